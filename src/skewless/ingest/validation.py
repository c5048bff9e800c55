"""Rows on their way in: checked against their source; the bad ones are set aside."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.clock import iso, to_micros
from skewless.codec import row_text
from skewless.definitions import Source
from skewless.errors import InputError, MissingColumn, NaiveTime, SkewlessError, UnknownName
from skewless.online.dedup import Rejected, ValidRows
from skewless.stores.offline.as_table import as_table, mapping_columns
from skewless.stores.offline.cast import WrongType, cast_column
from skewless.types import DType, Misfit, python_values, shown

Ints = npt.NDArray[np.int64]
MOST_KEY_BYTES = 1 << 16
"""Of a join key or row id that is pushed. Stores hold longer ones, at the cost of every read."""
_SIZED = (pa.string(), pa.binary())
Coercer = tuple[str, Callable[..., Any], bool]


def validate(
    source: Source,
    rows: Any,
    *,
    now: int,
    backdate: bool,
    reached: Callable[[], int] | None = None,
) -> ValidRows:
    """Return the rows of any accepted kind that fit ``source``, and those that do not.

    Args:
        source: whose rows they are.
        rows: dicts, an Arrow, Polars or pandas table, or the path of a Parquet file.
        now: the present, microseconds: rows pushed now are known from now on.
        backdate: whether known time is event time + delay instead.
        reached: gives the newest moment that clocks gave to rows before: the present is not
            earlier. Asked only where a row seems to lie in the future.


    What becomes of fields that the source does not have, `Source.extra` says; those that are left
    out are named (`ValidRows.ignored`).

    Raises:
        UnknownName: a column that looks like one of the source's which is missing.
        MissingColumn: the event time or a row id is missing altogether.
    """
    if isinstance(rows, Mapping):
        rows = [rows]
    path = isinstance(rows, (str, bytes, Path))
    listed = isinstance(rows, Sequence) and not path
    if (
        not listed
        and not path
        and isinstance(rows, Iterable)
        and not hasattr(rows, "__arrow_c_stream__")
    ):
        listed, rows = True, list(rows)
    if not listed:
        mappings = mapping_columns(rows)
        if mappings:
            rows = rows.loc[:, [str(name) not in mappings for name in rows.columns]]
        table = as_table(rows, where=f"what was pushed to source {source.name!r}")
        ignored = _check_names(source, [*table.column_names, *mappings])
        if ignored and source.extra_fields != "ignore":
            listed, rows = True, _as_rows(source, table, mappings)
    if not listed:
        present = _Present(now, source.future, reached)
        admitted = _validate_table(source, (table, mappings), present, backdate)
        return replace(admitted, ignored=ignored)
    present = _Present(now, source.future, reached)
    return _validate_rows(source, rows, present, backdate)


def without_long_keys(admitted: ValidRows, names: Iterable[str]) -> ValidRows:
    """Return rows without those whose keys are longer than `MOST_KEY_BYTES`, which are set aside.

    Args:
        admitted: rows that fit their source.
        names: of the columns that are join keys or row ids.
    """
    batch, long = admitted.batch, dict[int, str]()
    for name in names:
        column = batch.column(name)
        # Of whole buffers: to count the bytes of a slice takes as long as to type a row.
        if column.type in _SIZED and column.get_total_buffer_size() > MOST_KEY_BYTES:
            sizes = np.asarray(pc.binary_length(column).fill_null(0))
            for place in np.flatnonzero(sizes > MOST_KEY_BYTES).tolist():
                reason = f"{name}: a key of {sizes[place]:,} bytes, {MOST_KEY_BYTES:,} are the most"
                long.setdefault(place, reason)
    if not long:
        return admitted
    kept = np.ones(batch.num_rows, np.bool_)
    kept[list(long)] = False
    before = {each.row for each in admitted.rejected}
    numbers = [n for n in range(batch.num_rows + len(before)) if n not in before]
    rejected = [
        Rejected(numbers[place], reason, row_text(batch.slice(place, 1).to_pylist()[0]))
        for place, reason in long.items()
    ]
    return replace(
        admitted,
        batch=batch.filter(pa.array(kept)),
        event=admitted.event[kept],
        known=admitted.known[kept],
        rejected=sorted([*admitted.rejected, *rejected], key=lambda each: each.row),
    )


class _Present:
    """The moment of a push, and the latest time that its rows may have.

    Args:
        now: what a clock says.
        future: how far beyond the present rows may lie, microseconds.
        reached: see `admit`.
    """

    def __init__(self, now: int, future: int, reached: Callable[[], int] | None) -> None:
        self.now = now
        self.latest = now + future
        self._future = future
        self._reached = reached

    def look_again(self) -> None:
        """Ask how far clocks had come before, once: this one may have been turned back."""
        if self._reached is not None:
            self.latest = max(self.latest, self._reached() + self._future)
            self._reached = None


def _check_names(source: Source, names: Iterable[Any]) -> tuple[str, ...]:
    """Return the names that the source does not have: such fields are left out, and named.

    Raises:
        UnknownName: one is no text, or looks like a column that nothing else names.
        MissingColumn: what every row needs is missing.
    """
    where = f"source {source.name!r}"
    given, columns = dict.fromkeys(names), source.columns
    unknown = [name for name in given if name not in columns]
    missing = [name for name in columns if name not in given] if unknown else []
    for column, words in source.words.items():
        if words.was and words.was in unknown:
            hint = f"It is {column!r} now."
            raise UnknownName(f"column {words.was!r} of {where} was renamed", hint=hint)
    for name in unknown:
        if not isinstance(name, str) or misspelt(name, missing):
            raise UnknownName.of("column", str(name), columns, where=where)
    needed = [source.event_time, *source.row_id]
    if source.known_time is not None:
        needed.append(source.known_time)
    for name in needed:
        if given and name not in given:
            raise MissingColumn.of(name, list(given), where=f"what was pushed to {where}")
    return tuple(unknown)


def misspelt(name: str, missing: Iterable[str]) -> str | None:
    """Return the column that a name was probably meant to be, among those that are missing."""
    return next(iter(difflib.get_close_matches(name, list(missing), n=1)), None)


def _validate_table(
    source: Source,
    rows: tuple[pa.Table, Mapping[str, list[Any]]],
    present: _Present,
    backdate: bool,
) -> ValidRows:
    """Type whole columns; rows whose value in one does not fit are set aside alone.

    Args:
        source: whose rows they are.
        rows: columns, and those that hold mappings of Python.
        present: the moment of the push.
        backdate: whether known time is event time + delay.
    """
    table, mappings = rows
    faults: dict[int, str] = {}
    columns = []
    for name, dtype in source.columns.items():
        if name in table.column_names:
            columns.append(_typed_column(table[name], dtype, name, faults))
        elif name in mappings:
            columns.append(_typed_values(mappings[name], dtype, name, faults))
        else:
            columns.append(pa.nulls(table.num_rows, dtype.arrow()))
    batch = pa.RecordBatch.from_arrays(columns, list(source.columns))
    times = [name for name in (source.event_time, source.known_time) if name is not None]
    for name in dict.fromkeys((*times, *source.row_id)):
        if batch[name].null_count:
            for row in np.flatnonzero(np.asarray(batch[name].is_null())).tolist():
                faults.setdefault(row, f"{name} is null")
    for name in times:
        micros = _micros(batch[name].fill_null(0))
        if len(micros) and int(micros.max()) > present.latest:
            present.look_again()
        latest = present.latest
        for row in np.flatnonzero(micros > latest).tolist():
            faults.setdefault(row, _in_the_future(name, int(micros[row]), latest))
    if faults:
        kept = np.ones(table.num_rows, np.bool_)
        kept[list(faults)] = False
        batch = batch.filter(pa.array(kept))
    rejected = [
        Rejected(row, faults[row], _shown_row(table, mappings, row)) for row in sorted(faults)
    ]
    event = _micros(batch[source.event_time])
    known = _known(source, batch, event, present.now, backdate)
    return ValidRows(batch, event, known, rejected, now=_stamp(source, present.now, backdate))


def _typed_column(
    column: pa.ChunkedArray, dtype: DType, name: str, faults: dict[int, str], start: int = 0
) -> pa.Array:
    """Return a column in its declared type, null in the rows that do not fit, which are noted."""
    try:
        typed = cast_column(column, dtype, where=name)
    except (WrongType, NaiveTime) as problem:
        texts = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if isinstance(problem, NaiveTime) and texts and len(column) > 1:  # some may have a zone
            return _halves(column, dtype, name, faults, start)
        for row in np.flatnonzero(np.asarray(column.is_valid())).tolist():
            faults.setdefault(start + row, f"{name}: {_reason(column[row], dtype, problem)}")
        return pa.nulls(len(column), dtype.arrow())
    except InputError as problem:
        if len(column) == 1:
            faults.setdefault(start, f"{name}: {_reason(column[0], dtype, problem)}")
            return pa.nulls(1, dtype.arrow())
        return _halves(column, dtype, name, faults, start)
    return pa.concat_arrays(typed.chunks) if typed.num_chunks else pa.nulls(0, dtype.arrow())


def _reason(scalar: pa.Scalar, dtype: DType, problem: InputError) -> str:
    """Return why a value does not fit, in the words for a value that is pushed alone."""
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        return f"{problem.what}. Got: {problem.got}"
    try:
        dtype.coerce(value)
    except (ValueError, SkewlessError) as said:
        return str(said)
    except (TypeError, ArithmeticError):
        pass
    # In Arrow it is something else than in Python, such as a local time of a declared type.
    return f"{shown(value)} ({scalar.type}) is no {dtype!r}"


def _halves(
    column: pa.ChunkedArray, dtype: DType, name: str, faults: dict[int, str], start: int
) -> pa.Array:
    """Return a column of which a part does not fit, typed in halves until the part is found."""
    half = len(column) // 2
    parts = [
        _typed_column(column.slice(0, half), dtype, name, faults, start),
        _typed_column(column.slice(half), dtype, name, faults, start + half),
    ]
    return pa.concat_arrays(parts)


def _typed_values(values: list[Any], dtype: DType, name: str, faults: dict[int, str]) -> pa.Array:
    """Return Python values in their declared type, null in the rows that do not fit."""
    typed = []
    for row, value in enumerate(values):
        try:
            typed.append(dtype.coerce(value))
        except ValueError as problem:
            faults.setdefault(row, f"{name}: {problem}")
            typed.append(None)
    return pa.array(typed, dtype.arrow())


def _shown_row(table: pa.Table, mappings: Mapping[str, list[Any]], row: int) -> str:
    values = {name: _python(table[name][row]) for name in table.column_names}
    return row_text(values | {name: column[row] for name, column in mappings.items()})


def _python(scalar: pa.Scalar) -> Any:
    """Return a value as Python has it, or as text where it cannot have it."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        return str(scalar.type)


def _stamp(source: Source, now: int, backdate: bool) -> int | None:
    """Return the moment of the push if its rows are known from then on."""
    return now if source.known_time is None and not backdate else None


def _known(source: Source, typed: Any, event: Ints, now: int, backdate: bool) -> Ints:
    if source.known_time is not None:
        return _micros(typed[source.known_time])
    if backdate:
        return event + source.delay
    return np.full(len(event), now, np.int64)


def _micros(column: pa.ChunkedArray | pa.Array) -> Ints:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.asarray(column.view(pa.int64()))


def _validate_rows(
    source: Source, rows: Sequence[Any], present: _Present, backdate: bool
) -> ValidRows:
    """Check value by value, so that a bad row is set aside alone."""
    names = dict.fromkeys(n for row in rows if isinstance(row, Mapping) for n in row)
    ignored = _check_names(source, names) if names else ()
    if ignored and source.extra_fields == "error":
        raise InputError(
            f"fields that source {source.name!r} does not have",
            got=", ".join(ignored),
            hint="Leave them out, or let the source: extra='ignore'.",
        )
    coercers, type_ = _columns_of(source)
    typed: list[dict[str, Any]] = []
    rejected = []
    times = [name for name in (source.event_time, source.known_time) if name is not None]
    for number, row in enumerate(rows):
        try:
            values = _typed_row(row, coercers)
            if ignored:
                _check_spelling(source, row, ignored)
                if source.extra_fields != "ignore":
                    _check_extra(source, row)
            _check_future(values, times, present)
        except (ValueError, SkewlessError) as problem:
            rejected.append(Rejected(number, str(problem), row_text(row)))
            continue
        typed.append(values)
    # One array of all columns: an array of each costs three microseconds a column.
    batch = pa.RecordBatch.from_struct_array(pa.array(typed, type=type_))
    event = _micros(batch.column(source.event_time))
    known = _known(source, batch, event, present.now, backdate)
    return ValidRows(
        batch, event, known, rejected, ignored=ignored, now=_stamp(source, present.now, backdate)
    )


@lru_cache(maxsize=256)
def _columns_of(source: Source) -> tuple[list[Coercer], pa.StructType]:
    """Return checks of a source's columns, and their Arrow types."""
    needed = {source.event_time, *source.row_id, source.known_time}
    columns = source.columns
    coercers = [(name, dtype.coerce, name in needed) for name, dtype in columns.items()]
    return coercers, pa.struct([(name, dtype.arrow()) for name, dtype in columns.items()])


def _typed_row(row: Any, coercers: list[Coercer]) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise ValueError(f"a row is a mapping of columns, not {type(row).__name__}")
    values: dict[str, Any] = {}
    for name, coerce, needed in coercers:
        value = row.get(name)
        if value is None:
            if needed:
                raise ValueError(f"{name} is null")
            continue
        try:
            typed = coerce(value)
        except Misfit as problem:
            raise problem.inside(name) from None
        except (ValueError, TypeError, ArithmeticError, RecursionError) as problem:
            # What a caller's value does when it is asked to be a number, nobody knows.
            raise ValueError(f"{name}: {problem}") from None
        if typed is None and needed:
            raise ValueError(f"{name} is null")
        values[name] = typed
    return values


def _check_spelling(source: Source, row: Mapping[str, Any], ignored: Iterable[str]) -> None:
    """Refuse a row with a field that looks like a column that the row lacks."""
    for name in ignored:
        if name in row and (meant := misspelt(name, (c for c in source.columns if c not in row))):
            raise ValueError(f"{name} is no column; did you mean {meant}?")


def _as_rows(
    source: Source, table: pa.Table, mappings: Mapping[str, list[Any]]
) -> list[dict[str, Any]]:
    """Return the rows of a frame, as dicts; a field of no column that is null is not said."""
    columns = {name: python_values(table[name]) for name in table.column_names} | dict(mappings)
    rows = zip(*columns.values(), strict=True)
    pairs = (zip(columns, row, strict=True) for row in rows)
    known = source.columns
    return [{name: v for name, v in row if v is not None or name in known} for row in pairs]


def _check_extra(source: Source, row: Mapping[str, Any]) -> None:
    """Refuse a row with a field that its source does not have."""
    for name in row:
        if name not in source.columns:
            raise ValueError(f"{name} is no column of the source (extra={source.extra_fields!r})")


def _check_future(row: Mapping[str, Any], times: Iterable[str], present: _Present) -> None:
    for name in times:
        micros = to_micros(row[name], where=name)
        if micros > present.latest:
            present.look_again()
        if micros > present.latest:
            raise ValueError(_in_the_future(name, micros, present.latest))


def _in_the_future(name: str, micros: int, latest: int) -> str:
    return f"{name} lies in the future: {iso(micros)}, after {iso(latest)}"
