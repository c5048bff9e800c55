"""What decoders of Avro and Protobuf make of types that columns do not have, and who takes it.

One table, of `Form`, for both sides: schemas that are made of a message's (`sl.Avro`,
`sl.Protobuf`) give a field the type that the decoder of its stream fills.

>>> from uuid import UUID
>>> from skewless.types import Json, List, String
>>> value_for(UUID(int=1), String), value_for({"a": [b"\\xff"]}, Json)
('00000000-0000-0000-0000-000000000001', '{"a":["/w=="]}')

| what a message holds | columns that take it |
|---|---|
| UUID | String (its canonical text), Bytes (16) |
| a time of day | String, ISO 8601 |
| a local time, without a zone | String, ISO 8601; never Timestamp |
| a duration | Float64 and Float32 (seconds), String |
| an enum | String (its name), whole numbers (its number, of Protobuf alone) |
| records, maps, lists | Struct, Map, List, Vector of their values; Json of anything |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from skewless.codec import to_json
from skewless.types import DType, Float32, Float64, Json, String


@dataclass(frozen=True)
class Seconds:
    """A duration: billionths of a second, and the text that Protobuf's JSON has for it."""

    nanos: int
    text: str


class JsonString(str):
    """A text that is JSON's string, and not text that holds JSON."""

    __slots__ = ()


@dataclass(frozen=True)
class Symbol:
    """A value of an enum.

    Attributes:
        number: of it.
        name: None where the schema at hand does not know the number.
    """

    number: int
    name: str | None


@dataclass(frozen=True)
class Form:
    """What a decoder makes of a type that is none of columns.

    Attributes:
        column: the type that a schema gives to it.
        takes: how columns take it, by the kind of their type.
    """

    column: DType
    takes: Mapping[str, Callable[[Any], Any]]


def _name_of(value: Symbol) -> Any:
    return value if value.name is None else value.name


def _seconds(value: Seconds) -> float:
    return value.nanos / 1_000_000_000


_as_text = {"str": lambda value: value.isoformat()}
UNIQUE_ID = Form(String, {"str": str, "bytes": attrgetter("bytes")})
TIME_OF_DAY = Form(String, _as_text)
LOCAL_TIME = Form(String, _as_text)
DURATION = Form(Float64, {"float64": _seconds, "float32": _seconds, "str": attrgetter("text")})
ENUM = Form(String, {"str": _name_of, "int32": attrgetter("number"), "int64": attrgetter("number")})
_FORMS = {UUID: UNIQUE_ID, time: TIME_OF_DAY, Seconds: DURATION, Symbol: ENUM}


def value_for(value: Any, dtype: DType) -> Any:
    """Return a decoded value in a form that `DType.coerce` takes, if there is one."""
    if dtype.kind == "json":
        found = plain(value)
        if isinstance(value, JsonString):
            return json.dumps(found)
        return None if value is None else Json.coerce(found)
    match value:
        case list() | tuple():
            item = dtype.item if dtype.kind == "list" else Float32
            return [value_for(each, item) for each in value] if item is not None else value
        case Mapping():
            return _fields(value, dtype)
        case timedelta():
            value = Seconds(value // timedelta(microseconds=1) * 1000, str(value))
    if isinstance(value, datetime):
        form = LOCAL_TIME if value.tzinfo is None else None
    else:
        form = _FORMS.get(type(value))
    take = None if form is None else form.takes.get(dtype.kind)
    return value if take is None else take(value)


def plain(value: Any) -> Any:
    """Return a decoded value as JSON holds it."""
    match value:
        case UUID():
            return str(value)
        case time():
            return value.isoformat()
        case Seconds():
            return value.text
        case Symbol():
            return value.number if value.name is None else value.name
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return to_json(value)


def _fields(value: Mapping[Any, Any], dtype: DType) -> Any:
    if dtype.kind == "map" and dtype.item is not None:
        return {_key(name): value_for(item, dtype.item) for name, item in value.items()}
    if dtype.kind != "struct":
        return value
    types = dict(dtype.fields)
    return {n: value_for(item, types[n]) if n in types else item for n, item in value.items()}


def _key(name: Any) -> Any:
    """Return the key of a map as text: Protobuf's may be whole numbers and true or false."""
    if isinstance(name, bool):
        return "true" if name else "false"
    return str(name) if isinstance(name, int) else name
