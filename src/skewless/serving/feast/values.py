"""Values and rows between Feast's JSON and skewless."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from skewless.clock import from_micros, to_micros
from skewless.definitions import Aggregate, FeatureView, OnDemandView, Source
from skewless.definitions.expressions import Column
from skewless.errors import InputError, MissingColumn
from skewless.serving.problems import RequestError
from skewless.types import DType

_AS_THEY_ARE: dict[str, type] = {"int64": int, "str": str}
_EVENT_TIME, _CREATED = "event_timestamp", "created"


def coerced_key(value: Any, dtype: DType, name: str) -> Any:
    """Return a join key or request field as its type: Feast takes ``"1"`` for a whole number.

    Raises:
        InputError: it is no value of the type.
    """
    if type(value) is _AS_THEY_ARE.get(dtype.kind):
        return value  # its range is looked at where the key is encoded
    try:
        match dtype.kind:
            case "int32" | "int64" if isinstance(value, str):
                return dtype.coerce(int(value))
            case "int32" | "int64" if isinstance(value, float) and value.is_integer():
                return dtype.coerce(int(value))
            case "float32" | "float64" if isinstance(value, str):
                return dtype.coerce(float(value))
            case "str" if isinstance(value, (int, float)) and not isinstance(value, bool):
                return str(value)
            case "bytes" if isinstance(value, str):
                return base64.b64decode(value, validate=True)
            case "timestamp" if isinstance(value, int) and not isinstance(value, bool):
                return from_micros(value * 1_000_000)
            case "timestamp" if isinstance(value, str):
                return from_micros(moment_of(value, name))
            case _:
                return dtype.coerce(value)
    except (ValueError, OverflowError, binascii.Error) as problem:
        raise InputError(f"{name!r}: {problem}", got=repr(value)[:60]) from None


def moment_of(text: str, where: str) -> int:
    """Return a time as UTC microseconds; one without an offset is UTC, as Feast has it.

    Raises:
        InputError: it is no time.
    """
    try:
        moment = datetime.fromisoformat(text)
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
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return to_micros(value) // 1_000_000
    if isinstance(value, date):
        return to_micros(datetime(value.year, value.month, value.day, tzinfo=UTC)) // 1_000_000
    if value is None or isinstance(value, (bool, int, float, str, list, tuple, dict)):
        return value
    return str(value)


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
        columns[column] = [_cell(value, dtype, name) for value in values]
    keys = view.entity.key_names if isinstance(view, FeatureView) else ()
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


def _cell(value: Any, dtype: DType, name: str) -> Any:
    if value is None:
        return None
    if dtype.kind in ("timestamp", "bytes", "int32", "int64", "float32", "float64"):
        if value in ("NaN", "Infinity", "-Infinity") and dtype.kind.startswith("float"):
            return float(value)
        try:
            return coerced_key(value, dtype, name)
        except InputError:
            return value  # the row is quarantined, with the reason
    if dtype.kind == "date" and isinstance(value, str):
        return value[:10]
    return value
