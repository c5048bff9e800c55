"""Values and rows between Feast's JSON and skewless."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from skewless.clock import from_micros, is_epoch_text, to_micros
from skewless.codec import FLOATS, from_json, from_text, json_default, misfit
from skewless.definitions import Aggregate, FeatureView, OnDemandView, Source
from skewless.definitions.expressions import Column
from skewless.errors import InputError, MissingColumn
from skewless.request_errors import RequestError
from skewless.types import DType, Float32, Misfit, Unreadable, is_epoch

_AS_THEY_ARE: dict[str, type] = {"int64": int, "str": str}
_EVENT_TIME, _CREATED = "event_timestamp", "created"
_DAY = 86_400
_DIGITS_OF_A_DATE = 8


def coerced_key(value: Any, dtype: DType, name: str) -> Any:
    """Return a join key or request field as its type: Feast takes ``"1"`` for a whole number.

    Raises:
        InputError: it is no value of the type.
    """
    if type(value) is _AS_THEY_ARE.get(dtype.kind):
        return value  # its range is looked at where the key is encoded
    try:
        return from_feast(value, dtype, name)
    except Misfit as problem:
        raise problem.as_input("the request") from None


def from_feast(value: Any, dtype: DType, at: str = "") -> Any:
    """Return what a client of Feast sends as a value of a type.

    Beside the forms of `skewless.codec`: times are seconds since 1970, or what their column has
    said that numbers are (`sl.Epoch`), or ISO 8601, in UTC where they have no offset; whole numbers
    may end in ``.0``; numbers may be text, and text numbers.

    Raises:
        Misfit: it is no value of the type.
    """
    try:
        return _read(value, dtype)
    except Misfit as problem:
        raise problem.inside(at) from None


def _read(value: Any, dtype: DType) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match dtype.kind:
        case "int32" | "int64" if isinstance(value, float) and value.is_integer():
            return from_json(int(value), dtype)
        case "float32" | "float64" if isinstance(value, str) and value not in FLOATS:
            return from_text(value, dtype)
        case "str" if number:
            return str(value)
        case "timestamp" if is_epoch(dtype) and (number or is_epoch_text(value)):
            return from_json(value, dtype)
        case "timestamp" if number:
            return _moment(value, dtype)
        case "timestamp" if isinstance(value, str):
            try:
                return from_micros(moment_of(value, ""))
            except InputError:
                raise misfit(value, dtype) from None
        case "date" if number or isinstance(value, str):
            return _date(value, dtype)
        case "list" | "vector" if isinstance(value, list):
            item = dtype.item or Float32
            found = [from_feast(each, item, f"[{n}]") for n, each in enumerate(value)]
            return dtype.coerce(found) if dtype.kind == "list" else from_json(found, dtype)
        case "map" if isinstance(value, Mapping) and dtype.item is not None:
            return {key: from_feast(each, dtype.item, f"[{key!r}]") for key, each in value.items()}
        case "struct" if isinstance(value, Mapping):
            types = dict(dtype.fields)
            read = {n: from_feast(v, types[n], n) if n in types else v for n, v in value.items()}
            try:
                return dtype.coerce(read)
            except ValueError as problem:
                raise Misfit("", str(problem)) from None
    return from_json(value, dtype)


def _moment(seconds: float, dtype: DType) -> datetime:
    """Return seconds since 1970, as Feast writes times, as a time."""
    try:
        return from_micros(round(seconds * 1_000_000))
    except (OverflowError, ValueError):
        raise misfit(seconds, dtype, "it is out of range") from None


def _date(value: Any, dtype: DType) -> date:
    """Return a date: as text, perhaps with midnight, or as seconds since 1970 of its midnight."""
    try:
        if isinstance(value, str):
            found = _parsed(value)
        elif value % _DAY:
            raise misfit(value, dtype, "seconds of a midnight in UTC are expected")
        else:
            found = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as problem:
        raise problem if isinstance(problem, Misfit) else misfit(value, dtype) from None
    if found.time() != time():
        raise misfit(value, dtype, "a time of day where a date is expected")
    return found.date()


def _parsed(text: str) -> datetime:
    """Return ISO 8601 as a time.

    More digits than a date has, and nothing else, are a number of some unit, though Python's parser
    finds a year and a time of day in them.
    """
    if text.isdigit() and len(text) > _DIGITS_OF_A_DATE:
        raise ValueError(text)
    return datetime.fromisoformat(text)


def moment_of(text: str, where: str) -> int:
    """Return a time as UTC microseconds; one without an offset is UTC, as Feast has it.

    Raises:
        InputError: it is no time.
    """
    try:
        moment = _parsed(text)
        return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise InputError(
            "not a time", got=repr(text[:60]), expected="ISO 8601, UTC", where=where
        ) from None


def timestamp(micros: int) -> str:
    """Return UTC microseconds as protobuf writes them: 0, 3 or 6 digits of a second.

    >>> timestamp(1_500_000), timestamp(1_000_000)
    ('1970-01-01T00:00:01.500Z', '1970-01-01T00:00:01Z')
    """
    fraction = micros % 1_000_000
    spec = (
        "seconds" if not fraction else "milliseconds" if fraction % 1_000 == 0 else "microseconds"
    )
    return from_micros(micros).isoformat(timespec=spec).replace("+00:00", "Z")


def in_feast(value: Any) -> Any:
    """Return a value that JSON has no form for as Feast writes it: times as seconds since 1970."""
    if isinstance(value, datetime):
        return to_micros(value) // 1_000_000
    if isinstance(value, date):
        return to_micros(datetime(value.year, value.month, value.day, tzinfo=UTC)) // 1_000_000
    if value is None or isinstance(value, (bool, int, float, str, list, tuple, dict)):
        return value
    return json_default(value)


def frame_rows(
    df: Mapping[str, list[Any]], source: Source, view: FeatureView | OnDemandView | None, now: int
) -> list[dict[str, Any]]:
    """Return the rows of a frame that a Feast client writes as rows of a source.

    Feast's client calls the event time ``event_timestamp`` and the creation time ``created``,
    whatever they are called in the source; times without an offset are UTC; a column may bear the
    name of a feature that is the latest value of a column.

    Args:
        df: values by column.
        source: whose rows they become.
        view: that the client writes to, or None where it writes to the source.
        now: stands in for a creation time that is needed and missing, UTC microseconds.

    Raises:
        RequestError: unequal lengths, no rows, or a column of another name.
        MissingColumn: there is no event time, or no join key of the view.
    """
    lengths = {name: len(values) for name, values in df.items()}
    if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
        raise RequestError("df: lists of one length are needed, 1 or more", got=lengths)
    count = next(iter(lengths.values()))
    names = _column_names(view, source)
    columns: dict[str, list[Any]] = {}
    for name, values in df.items():
        column = names.get(name)
        if column is None:
            if name == _CREATED:
                continue
            raise RequestError(
                f"df: source {source.name!r} has no column {name!r}",
                expected=", ".join(source.columns),
            )
        dtype = source.columns[column]
        columns[column] = [_cell(value, dtype) for value in values]
    keys = view.row_entity.key_names if isinstance(view, FeatureView) else ()
    for needed in (source.event_time, *keys):
        if needed not in columns:
            raise MissingColumn.of(needed, df, where="df")
    if source.known_time is not None:
        known = columns.get(source.known_time, [None] * count)
        moment = from_micros(now)
        columns[source.known_time] = [moment if value is None else value for value in known]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _column_names(view: FeatureView | OnDemandView | None, source: Source) -> dict[str, str]:
    """Return by the name a Feast client uses the column of the source."""
    names = {_EVENT_TIME: source.event_time}
    if source.known_time is not None:
        names[_CREATED] = source.known_time
    if isinstance(view, FeatureView):
        for feature, expression in view.expressions.items():
            if isinstance(expression, Aggregate) and expression.aggregation.name == "latest":
                inner = expression.column
                if isinstance(inner, Column):
                    names[feature] = inner.name
    return names | {name: name for name in source.columns}


def _cell(value: Any, dtype: DType) -> Any:
    if value is None:
        return None
    try:
        return from_feast(value, dtype)
    except Misfit as problem:
        return Unreadable(value, problem)  # the row is quarantined, with the reason
