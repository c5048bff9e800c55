"""Values of columns as JSON and as text, and back: one form for every type, on every path.

| type | in JSON |
|---|---|
| Bool | `true`, `false` |
| Int32, Int64 | a number; read from text too, for readers whose numbers end at 2**53 |
| Float32, Float64 | a number; `"Infinity"`, `"-Infinity"`; read: `"NaN"`, which is null |
| Decimal | text, all its digits; read from a whole number too |
| String, Json | text |
| Bytes | base64 with `+`, `/` and padding |
| Timestamp | ISO 8601 text in UTC; read with any offset |
| Date | text, `2026-01-31` |
| List, Vector | an array |
| Map, Struct | an object |

Inside of lists, maps and structs values have the same form. A cell of CSV, an argument of a command
and a parameter of a query hold the same texts, nested values as JSON.

>>> from skewless.types import Bytes, Float64, Int64, List
>>> to_json([float("inf"), b"\\xff", None]), from_json(["Infinity", 1], List(Float64))
(['Infinity', '/w==', None], [inf, 1.0])
>>> from_json("9007199254740993", Int64), from_text("9007199254740993", Int64)
(9007199254740993, 9007199254740993)
>>> from_json({"a": 1}, Bytes, "picture")
Traceback (most recent call last):
    ...
skewless.types.Misfit: picture: {'a': 1} (dict) is no Bytes: base64 text is expected
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from skewless.clock import from_micros, iso, to_micros
from skewless.errors import NaiveTime, SkewlessError
from skewless.types import FLOAT, DType, Float32, Misfit, Unreadable, shown

FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": None}
"""Texts for the floats that JSON has no numbers for; NaN is null."""
EXPECTED = {
    "bool": "true or false", "int32": "a whole number", "int64": "a whole number",
    "float32": 'a number, "Infinity" or "-Infinity"',
    "float64": 'a number, "Infinity" or "-Infinity"', "str": "text", "bytes": "base64 text",
    "timestamp": "ISO 8601 text with an offset, such as 2026-01-31T10:00:00Z",
    "date": "text such as 2026-01-31", "decimal": "text such as 12.50", "json": "JSON",
    "list": "an array", "vector": "an array of numbers", "map": "an object",
    "struct": "an object",
}  # fmt: skip
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}").fullmatch
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?").fullmatch
_FLOAT_TEXTS = {"infinity": math.inf, "inf": math.inf, "nan": None}
_BOOLS = {**dict.fromkeys(("true", "t", "yes", "y", "1"), True),
          **dict.fromkeys(("false", "f", "no", "n", "0"), False)}  # fmt: skip
_READ_ANEW = frozenset((str, list, dict))
_EXACT = 2**53
_NESTED = ("list", "vector", "map", "struct")


def to_json(value: Any) -> Any:
    """Return a value, or plain data with values in it, as JSON holds it."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else non_finite(value)
        case list() | tuple():
            return [to_json(item) for item in value]
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
    return json_default(value)


def json_default(value: Any) -> Any:
    """Return a value that JSON has no form for; for ``default=`` of encoders.

    What is no value of a column, such as an enum or a path, becomes its text.
    """
    match value:
        case Unreadable():
            return to_json(value.raw)
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return format(value, "f")
        case datetime():
            return iso(to_micros(value)) if value.tzinfo else value.isoformat()
        case date():
            return value.isoformat()
    return to_json(value.item()) if hasattr(value, "item") else str(value)


def non_finite(value: float) -> str | None:
    """Return an infinity as text, NaN as null."""
    if math.isnan(value):
        return None
    return "Infinity" if value > 0 else "-Infinity"


def finite(value: Any) -> Any:
    """Return data whose floats are all finite: infinities as texts, NaN as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else non_finite(value)
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value


def whole_as_text(value: Any) -> Any:
    """Return data whose whole numbers are texts, for readers whose numbers end at 2**53."""
    if type(value) is int:
        return str(value)
    if isinstance(value, (list, tuple)):
        return [whole_as_text(item) for item in value]
    if isinstance(value, dict):
        return {key: whole_as_text(item) for key, item in value.items()}
    return value


def from_json(value: Any, dtype: DType, at: str = "") -> Any:
    """Return what stands in JSON as a value of a type, in its canonical Python form.

    Args:
        value: what a parser of JSON gave.
        dtype: of the column.
        at: the name of the column, for the error.

    Raises:
        Misfit: it is no value of the type.
    """
    if value is None:
        return None
    try:
        return _READ.get(dtype.kind, _coerced)(value, dtype)
    except Misfit as problem:
        raise problem.inside(at) from None


_PLAIN: dict[str, frozenset[type]] = {
    "bool": frozenset({bool}),
    "int32": frozenset({int}),
    "int64": frozenset({int}),
    "str": frozenset({str}),
    "json": frozenset({str}),
}
"""What JSON has of the kinds of values that are the same there."""
_NUMBERS, _TEXT, _LIST = frozenset({float, int}), frozenset({str}), frozenset({list})
_NUMBERS_OR_NULL = _NUMBERS | {type(None)}


def read_back(value: Any, dtype: DType) -> Any:
    """Return the value that `to_json` wrote: fast, for data of our own.

    >>> from skewless.types import Float64, List
    >>> read_back(["Infinity", 0.5, None], List(Float64))
    [inf, 0.5, None]

    Raises:
        ValueError, ArithmeticError, TypeError, AttributeError: it is no such value after all.
    """
    if value is None:
        return None
    match dtype.kind:
        case "float32" | "float64":
            return FLOATS[value] if isinstance(value, str) else float(_of(_NUMBERS, value))
        case "bytes":
            return base64.b64decode(_of(_TEXT, value), validate=True)
        case "timestamp":
            return from_micros(to_micros(_of(_TEXT, value)))
        case "date":
            return date.fromisoformat(value)
        case "decimal":
            return dtype.coerce(Decimal(_of(_TEXT, value)))
        case "list" | "vector":
            item, kinds = dtype.item or Float32, set(map(type, _of(_LIST, value)))
            if dtype.kind == "vector" and (len(value) != dtype.size or not kinds <= _NUMBERS):
                return dtype.coerce([read_back(each, item) for each in value])
            if item.kind in ("float32", "float64") and kinds <= _NUMBERS_OR_NULL:
                return [None if each is None else float(each) for each in value]
            return [read_back(each, item) for each in value]
        case "map" if dtype.item is not None:
            return {key: read_back(each, dtype.item) for key, each in value.items()}
        case "struct":
            return {name: read_back(value.get(name), field) for name, field in dtype.fields}
        case "json" | "int32" | "int64":
            return dtype.coerce(_of(_PLAIN[dtype.kind], value))
    return _of(_PLAIN[dtype.kind], value)


def _of(kinds: frozenset[type], value: Any) -> Any:
    """Return a value that is of one of some classes; nothing else is taken for it."""
    if type(value) not in kinds:
        raise TypeError(f"{shown(value)} ({type(value).__name__})")
    return value


def from_text(text: str, dtype: DType, at: str = "") -> Any:
    """Return what a cell of CSV, an argument or a parameter says as a value of a type.

    Raises:
        Misfit: it is no value of the type.
    """
    try:
        match dtype.kind:
            case "float32" | "float64":
                return _float_of_text(text, dtype)
            case "bool":
                if text.lower() not in _BOOLS:
                    raise misfit(text, dtype)
                return _BOOLS[text.lower()]
            case kind if kind in _NESTED:
                return from_json(json.loads(text), dtype)
            case "str":
                return _coerced(text, dtype)
        return from_json(text, dtype)
    except Misfit as problem:
        raise problem.inside(at) from None
    except (ValueError, RecursionError) as problem:
        raise Misfit(at, f"{shown(text)} is not JSON: {problem}") from None


def readable(value: Any, dtype: DType) -> Any:
    """Return what stands in JSON as a value of a type, or, if it is none, with the reason why.

    The row of an `Unreadable` is set aside, with that reason.
    """
    try:
        return from_json(value, dtype)
    except Misfit as problem:
        return Unreadable(value, problem)


def read_rows(rows: Sequence[Any], columns: Mapping[str, DType]) -> list[Any]:
    """Return rows as a parser of JSON gave them with the values that their columns mean.

    A value that is none of its column's type becomes an `Unreadable`; what is no object stays.
    """
    wanted = [(name, dtype) for name, dtype in columns.items() if differs_in_json(dtype)]
    found = []
    for row in rows:
        if not isinstance(row, Mapping):
            found.append(row)
            continue
        made = dict(row)
        for name, dtype in wanted:
            value = made.get(name)
            large = isinstance(value, int) and abs(value) > _EXACT and dtype.kind in FLOAT
            if large or type(value) in _READ_ANEW:
                made[name] = readable(value, dtype)
        found.append(made)
    return found


def row_text(row: Any, longest: int = 2_000) -> str:
    """Return a row as people and JSON read it, to be kept beside the reason why it was refused."""
    try:
        return json.dumps(to_json(row))[:longest]
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        return repr(row)[:longest]


def differs_in_json(dtype: DType) -> bool:
    """Return whether JSON may hold values of a type in another form than `DType.coerce` takes."""
    if dtype.kind in ("list", "map"):
        return dtype.item is not None and differs_in_json(dtype.item)
    if dtype.kind == "struct":
        return any(differs_in_json(field) for _, field in dtype.fields)
    return dtype.kind in ("bytes", "float32", "float64", "int32", "int64", "vector")


def misfit(value: Any, dtype: DType, why: str = "") -> Misfit:
    """Return the error for a value that is none of a type."""
    expected = why or f"{EXPECTED[dtype.kind]} is expected"
    if dtype.kind == "timestamp" and isinstance(value, (int, float)) and not why:
        expected += "; the unit of a number would be a guess"
    return Misfit("", f"{shown(value)} ({type(value).__name__}) is no {dtype!r}: {expected}")


# ---------------------------------------------------------------------------------------- private


def _coerced(value: Any, dtype: DType) -> Any:
    try:
        return dtype.coerce(value)
    except NaiveTime:
        raise misfit(value, dtype, "a time without an offset, such as +00:00 or Z") from None
    except SkewlessError as problem:
        known = dtype.kind == "timestamp" and problem.what == "not a time"
        raise misfit(value, dtype, "" if known else problem.what) from None
    except TypeError:
        raise misfit(value, dtype) from None
    except ValueError as problem:
        _, is_no, why = str(problem).partition(f" is no {dtype!r}")
        if is_no:
            raise misfit(value, dtype, why.lstrip(": ")) from None
        raise Misfit("", str(problem)) from None
    except (ArithmeticError, RecursionError):
        raise misfit(value, dtype, "it is out of range") from None


def _whole(value: Any, dtype: DType) -> Any:
    if isinstance(value, str):
        if not _WHOLE(value):
            raise misfit(value, dtype)
        value = int(value)
    return _coerced(value, dtype)


def _float(value: Any, dtype: DType) -> Any:
    if isinstance(value, str):
        if value not in FLOATS:
            raise misfit(value, dtype)
        return FLOATS[value]
    if type(value) is int:  # a number of JSON, as good as one with a point
        try:
            value = float(value)
        except OverflowError:
            raise misfit(value, dtype, "it is out of range") from None
    return _coerced(value, dtype)


def _float_of_text(text: str, dtype: DType) -> Any:
    if _NUMBER(text):
        return _coerced(float(text), dtype)
    bare = text.lstrip("+-").lower()
    if bare not in _FLOAT_TEXTS or len(text) - len(bare) > 1:
        raise misfit(text, dtype)
    found = _FLOAT_TEXTS[bare]
    return -found if found is not None and text.startswith("-") else found


def _bytes(value: Any, dtype: DType) -> bytes:
    if not isinstance(value, str):
        raise misfit(value, dtype)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise misfit(value, dtype) from None


def _list(value: Any, dtype: DType) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise misfit(value, dtype)
    item = dtype.item or Float32
    read = _READ.get(item.kind, _coerced)
    number = 0
    try:
        found = []
        for number, each in enumerate(value):  # noqa: B007 - says where it ended
            found.append(None if each is None else read(each, item))
    except Misfit as problem:
        raise problem.inside(f"[{number}]") from None
    return _coerced(found, dtype) if dtype.kind == "vector" else found


def _map(value: Any, dtype: DType) -> dict[str, Any]:
    if not isinstance(value, Mapping) or dtype.item is None:
        raise misfit(value, dtype)
    return {key: from_json(each, dtype.item, f"[{key!r}]") for key, each in value.items()}


def _struct(value: Any, dtype: DType) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise misfit(value, dtype)
    names = [name for name, _ in dtype.fields]
    if unknown := [name for name in value if name not in names]:
        raise Misfit("", f"{dtype!r} has no field {unknown[0]!r}")
    return {name: from_json(value.get(name), field, name) for name, field in dtype.fields}


_READ: dict[str, Callable[[Any, DType], Any]] = {
    "int32": _whole, "int64": _whole, "float32": _float, "float64": _float, "bytes": _bytes,
    "list": _list, "vector": _list, "map": _map, "struct": _struct,
}  # fmt: skip
