"""Answers as JSON and Arrow, column by column.

Values have the form of `skewless.codec`; every finite number is written so that it reads back to
the same bits.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import orjson

from skewless.clock import from_micros, iso
from skewless.codec import finite, json_default
from skewless.errors import InputError
from skewless.plan.lookup import Found
from skewless.request_errors import RequestError, TooLarge
from skewless.serving.http.arrow_sizes import announced, written_out
from skewless.serving.http.http import Part
from skewless.serving.read.plans import ReadPlan, Row
from skewless.state.status import Status
from skewless.types import DType

if TYPE_CHECKING:
    import pyarrow as pa

EXTRAS = ("ages", "event_times", "statuses", "types", "versions")
OF_EVENTS = ("ages", "event_times")
"""Those of them that every value has one of."""
UNPACKED = 8
"""How many times the bytes that a body may have it may stand for."""
_OPTIONS = orjson.OPT_UTC_Z
_TEXT = {status: status.value for status in Status}
_NUMBER = {status: number for number, status in enumerate(Status)}
_PRESENT = Status.PRESENT
_MACHINE_TYPES = {"int64": "q", "float64": "d"}


def features_json(
    plan: ReadPlan, found: Found, t: int, extras: Sequence[str], *, statuses: bool = True
) -> bytes:
    """Return the answer to a read.

    Args:
        plan: the compiled read.
        found: what it gave.
        t: the moment, UTC microseconds.
        extras: of `EXTRAS`, what is wanted beside values.
        statuses: whether statuses are wanted.
    """
    rows, states, events = found
    present = all_present(states)
    answer: list[Part] = [*opening(t), values_json(plan, rows, present)]
    if statuses:
        shown = _present(plan, len(rows)) if present else _by_name(plan, texts_of(states))
        answer += (b',"statuses":', shown)
    if extras:
        answer += extra_parts(
            plan, extras, lambda extra: [_by_name(plan, by_event(events, extra, t))]
        )
    answer.append(b"}")
    return b"".join(answer)


def opening(t: int) -> tuple[bytes, ...]:
    """Return how an answer begins, up to its values."""
    return b'{"at":"', moment(t).encode(), b'","values":'


def extra_parts(
    plan: ReadPlan, extras: Sequence[str], of_events: Callable[[str], Iterable[Part]]
) -> Iterator[Part]:
    """Yield what is wanted beside values and statuses, in pieces of JSON.

    Args:
        plan: the compiled read.
        extras: of `EXTRAS`.
        of_events: gives the object of an extra of `OF_EVENTS`.
    """
    for extra in extras:
        if extra == "statuses":
            continue  # they are there already
        yield b',"%s":' % extra.encode()
        if extra in OF_EVENTS:
            yield from of_events(extra)
        else:
            made = versions if extra == "versions" else types
            yield plan.fragment(extra, partial(made, plan))


def values_json(plan: ReadPlan, rows: list[list[Any]], present: bool) -> bytes:
    """Return values by feature, in the order of the entities, as JSON.

    Args:
        plan: the compiled read.
        rows: values, a list per entity.
        present: whether every value is there.
    """
    columns = list(zip(*rows, strict=True))
    values = dict(zip(plan.names, columns, strict=True))
    body = orjson.dumps(values, default=json_default, option=_OPTIONS)
    # Infinities come out as null. Of numbers that are all there, the sum tells that there are none;
    # else count whether there are more nulls than there should be.
    floats = plan.floats if present else None
    if floats is not None and isfinite(sum(sum(columns[at]) for at in floats)):
        return body
    nulls = 0 if present else sum(row.count(None) for row in rows)
    if body.count(b"null") != nulls:
        body = orjson.dumps(finite(values), default=json_default, option=_OPTIONS)
    return body


def column_json(
    column: Sequence[Any],
    default: Callable[[Any], Any] = json_default,
    options: int = _OPTIONS,
) -> bytes:
    """Return the values of one feature as JSON."""
    body = orjson.dumps(column, default=default, option=options)
    if body.count(b"null") != column.count(None):  # infinities come out as null
        body = orjson.dumps(finite(column), default=default, option=options)
    return body


def alike(states: list[list[Status]]) -> Iterator[tuple[list[Status], int]]:
    """Yield lists of statuses, each with how often it occurs in a row.

    Parts answer with one and the same list for all entities of which every value is there.
    """
    before, times = states[0], 0
    for row in states:
        if row is before:
            times += 1
        else:
            yield before, times
            before, times = row, 1
    yield before, times


def all_present(states: list[list[Status]]) -> bool:
    """Return whether every value is there."""
    if len(states) == 1:
        return states[0].count(_PRESENT) == len(states[0])
    return all(row.count(_PRESENT) == len(row) for row, _ in alike(states))


def _present(plan: ReadPlan, count: int) -> bytes:
    found = plan.present.get(count)
    if found is None:
        found = orjson.dumps(dict.fromkeys(plan.names, ["present"] * count))
        if len(plan.present) < 64:
            plan.present[count] = found
    return found


def _by_name(plan: ReadPlan, columns: Iterator[list[Any]]) -> bytes:
    return orjson.dumps(dict(zip(plan.names, columns, strict=True)))


def texts_of(states: list[list[Status]]) -> Iterator[list[str]]:
    """Yield for each feature the statuses as texts."""
    text = _TEXT
    for column in zip(*states, strict=True):
        yield [text[status] for status in column]


def by_event(events: list[list[int | None]], extra: str, t: int) -> Iterator[list[Any]]:
    """Yield for each feature its newest event times, or their ages in seconds."""
    shown = iso if extra == "event_times" else partial(_age, t)
    for column in zip(*events, strict=True):
        yield [None if event is None else shown(event) for event in column]


def _age(t: int, event: int) -> float:
    return (t - event) / 1e6


def versions(plan: ReadPlan) -> dict[str, str]:
    """Return by feature the reference that was answered, with its version."""
    return {output.name: output.reference for output in plan.lookup.selection.outputs}


def types(plan: ReadPlan) -> dict[str, Any]:
    """Return by feature its type as plain data."""
    return {output.name: output.dtype.to_dict() for output in plan.lookup.selection.outputs}


_second, _second_text = -1, ""


def moment(t: int) -> str:
    """Return UTC microseconds as ISO 8601 text."""
    global _second, _second_text
    second, micros = divmod(t, 1_000_000)
    if second != _second:
        try:
            text = from_micros(second * 1_000_000).isoformat()[:19]
        except OverflowError:
            raise InputError("a time beyond the calendar", got=t) from None
        _second, _second_text = second, text
        return f"{text}.{micros:06d}Z"
    return f"{_second_text}.{micros:06d}Z"


def features_arrow(
    plan: ReadPlan, entities: Sequence[Row], found: Found, t: int, extras: Sequence[str]
) -> bytes:
    """Return the answer to a read as an Arrow IPC stream of one batch, see `batch_of`."""
    return stream_of([batch_of(plan, entities, found, t, extras)])


def batch_of(
    plan: ReadPlan, entities: Sequence[Row], found: Found, t: int, extras: Sequence[str]
) -> pa.RecordBatch:
    """Return rows of an answer as an Arrow batch.

    The columns are what was given, then the features; with the extras also ``<feature>__status``,
    ``<feature>__event_time`` and ``<feature>__age`` (seconds). The moment is in the metadata.
    """
    import pyarrow as pa

    rows, states, events = found
    if clash := plan.inputs & set(plan.names):
        raise RequestError(
            "a feature and a key of one name",
            got=sorted(clash)[0], hint="Ask with full_names, or for JSON.",
        )  # fmt: skip
    names, arrays = list(plan.types), []
    for name, dtype in plan.types.items():
        arrays.append(pa.array([entity[name] for entity in entities], dtype.arrow()))
    for output, column in zip(plan.lookup.selection.outputs, zip(*rows, strict=True), strict=True):
        names.append(output.name)
        arrays.append(_array(column, output.dtype))
    if "statuses" in extras:
        for name, shown in zip(plan.names, _status_arrays(states), strict=True):
            names.append(f"{name}__status")
            arrays.append(shown)
    if not {"event_times", "ages"}.isdisjoint(extras):
        for name, times in zip(plan.names, zip(*events, strict=True), strict=True):
            if "event_times" in extras:
                names.append(f"{name}__event_time")
                arrays.append(pa.array(times, pa.timestamp("us", "UTC")))
            if "ages" in extras:
                ages = [None if event is None else (t - event) / 1e6 for event in times]
                names.append(f"{name}__age")
                arrays.append(pa.array(ages, pa.float64()))
    return pa.RecordBatch.from_arrays(arrays, names=names, metadata={"at": moment(t)})


def stream_of(batches: Sequence[pa.RecordBatch]) -> bytes:
    """Return batches of one schema as an Arrow IPC stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def _array(column: Sequence[Any], dtype: DType) -> pa.Array:
    """Return values as an Arrow array; numbers without a null four times as fast as Arrow does."""
    import pyarrow as pa

    code = _MACHINE_TYPES.get(dtype.kind)
    if code is not None:
        try:
            buffer = pa.py_buffer(array(code, column))
        except TypeError:  # there is a null
            return pa.array(column, dtype.arrow())
        return pa.Array.from_buffers(dtype.arrow(), len(column), [None, buffer])
    return pa.array(column, dtype.arrow())


def _status_arrays(states: list[list[Status]]) -> Iterator[pa.Array]:
    """Yield for each feature the statuses as an Arrow dictionary array."""
    import pyarrow as pa

    texts = pa.array(list(_TEXT.values()))
    if all_present(states):
        zeros = pa.array([_NUMBER[_PRESENT]] * len(states), pa.int8())
        yield from [pa.DictionaryArray.from_arrays(zeros, texts)] * len(states[0])
        return
    for column in zip(*states, strict=True):
        numbers = pa.array([_NUMBER[status] for status in column], pa.int8())
        yield pa.DictionaryArray.from_arrays(numbers, texts)


def _check_size(size: int, most: int, where: str) -> None:
    if size > most:
        raise TooLarge(
            "the body stands for too much once it is unpacked",
            got=f"{size} bytes or more", expected=f"at most {most} bytes", where=where,
            hint="Split the request, or raise --max-body.",
        )  # fmt: skip


def _check_text(field: pa.Field) -> None:
    """Raise where a name or a time zone is no text, or no zone: Arrow looks at neither."""
    import pyarrow as pa

    found = field.type
    field.name.encode()
    if isinstance(found, pa.TimestampType) and found.tz is not None:
        pa.lib.string_to_tzinfo(found.tz)
    for number in range(found.num_fields):
        _check_text(found.field(number))


def table_of(body: bytes, where: str, max_body: int) -> pa.Table:
    """Return the table that an Arrow IPC stream holds.

    Args:
        body: the stream.
        where: named in errors.
        max_body: bytes a body may have; what it stands for may have eight times as many.

    Raises:
        RequestError: it holds none, or columns of a type that is not taken.
        TooLarge: it stands for much more than its bytes.
    """
    import pyarrow as pa

    most = UNPACKED * max_body
    try:
        size = 0
        for message in pa.ipc.MessageReader.open_stream(body):
            size += announced(message)
            _check_size(size, most, where)
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        table.validate(full=True)
        for field in table.schema:
            _check_text(field)
        _check_size(written_out(table), most, where)
        if len(set(table.column_names)) < table.num_columns:
            raise ValueError(f"two columns of one name: {', '.join(table.column_names)}")
    except (pa.ArrowException, OSError, ValueError, EOFError, LookupError) as problem:
        raise RequestError(
            "the body is not an Arrow IPC stream",
            got=str(problem).splitlines()[0][:200] if str(problem) else "nothing",
            where=where,
        ) from None
    return table


def columns_of(table: pa.Table, where: str) -> dict[str, list[Any]]:
    """Return an Arrow table as lists of Python values by column.

    Raises:
        RequestError: a column holds values that Python has no form for, such as times of the year
            10000 or of a zone that nobody knows.
    """
    import pyarrow as pa

    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            found[name] = column.to_pylist()
        except (pa.ArrowException, ValueError, ArithmeticError, LookupError) as problem:
            raise RequestError(
                f"column {name!r} holds values that cannot be read",
                got=f"{column.type}: {problem}"[:200], where=where,
            ) from None  # fmt: skip
    return found
