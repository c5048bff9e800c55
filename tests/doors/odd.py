"""Odd values of every kind, and what it means that one was taken for what it is."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import math
import struct
import uuid
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import skewless as sl
from skewless.clock import to_micros
from skewless.errors import SkewlessError
from skewless.types import DType, dtype_of

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Color(enum.Enum):
    RED = "red"


class Word(str):
    """Text of a class of its own."""

    __slots__ = ()


class Weekday(enum.IntEnum):
    MONDAY = 1


@dataclasses.dataclass
class Point:
    x: int = 1


class Liar:
    """Says that it is a number, and fails when it is asked for it."""

    def __float__(self) -> float:
        raise OverflowError("no number after all")

    def __index__(self) -> int:
        raise ZeroDivisionError("nor a whole one")

    def __repr__(self) -> str:
        return "Liar()"


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**70,
    -(2**63), -(2**63) - 1, 0.0, -0.0, 1.0, 1.5, -2.5, 1e300, 5e-324, float("nan"), float("inf"),
    float("-inf"), "", "a", "1", "1.5", "true", "NaN", "null", "{}", "[1]", '{"a": 1}', "\0", "é",
    "\ud800", "x" * 5000, "2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05",
    "0001-01-01T00:00:00+14:00", b"", b"a", b"\xff", bytearray(b"ab"), memoryview(b"ab"),
    date(2026, 1, 2), date.min, date.max, AT, AT.replace(tzinfo=None),
    AT.astimezone(timezone(timedelta(hours=5, minutes=45))), datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=timezone(-timedelta(hours=23))),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=23))), time(1, 2), timedelta(days=1),
    Decimal(0), Decimal("1.50"), Decimal("0.1"), Decimal("-0.0"), Decimal(10**38 - 1), Decimal(10**38),
    Decimal("1E-12"), Decimal("1E+40"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"),
    Decimal("0." + "3" * 120), uuid.UUID(int=7), Fraction(1, 3), 1 + 2j,
    [], [1], [1, 2.5], [None], ["a", None], [True], [1, "a"], [[1]], [float("nan")], [AT], [b"a"],
    [1.0, 2.0], [1.0, 2.0, 3.0], [1.0, None], [{"a": 1}], (1, 2), {1}, frozenset({"a"}), range(3),
    {}, {"a": 1}, {"a": None}, {"a": "x"}, {"b": 1, "a": 2}, {"a": {"b": 1}}, {"a": [1]}, {1: 2},
    {"a": AT}, OrderedDict(a=1), object(), Color.RED, Weekday.MONDAY, Word("word"), Point(), Liar(),
    lambda: None, int, ..., np.int8(1), np.uint64(2**64 - 1), np.float16(1.5), np.float32(0.1),
    np.float64(0.1), np.bool_(True), np.str_("a"), np.bytes_(b"a"), np.datetime64("2026-01-02"),
    np.datetime64("NaT", "us"), np.timedelta64(1, "s"), np.array([1, 2]), np.array([1.0, 2.0]),
    np.array([["a"]]), np.array(1), pd.NaT, pd.NA, pd.Timestamp("2026-01-02T03:04:05.123456789Z"),
    pd.Timestamp("2026-01-02"), pd.Timestamp("2026-01-02", tz="Europe/Berlin"), pd.Timedelta("1s"),
    pd.Period("2026-01"), pd.Interval(0, 1), pd.Series([1]), pa.scalar(1), pa.scalar("a"), pa.array([1]),
]  # fmt: skip

DTYPES: dict[str, DType] = {
    repr(dtype): dtype
    for dtype in map(
        dtype_of,
        (
            bool, int, float, str, bytes, datetime, date, sl.Int32, sl.Float32, sl.Decimal(38, 9),
            sl.Decimal(38, 0), sl.Decimal(5, 2), list[int], list[str], list[float], list[datetime],
            sl.List(sl.Map(int)), sl.Vector(2), sl.Map(int), sl.Map(list[float]), sl.Json,
            sl.Struct({"a": int, "b": str}), sl.Struct({"a": sl.Map(int)}),
        ),
    )
}  # fmt: skip


def says(dtype: DType, taken: Any, given: Any) -> bool:
    """Return whether a value that was taken says what was given: exactly, nothing is guessed."""
    given = _plain(given)
    if _is_missing(given):
        return taken is None
    if taken is None:
        return dtype.kind == "vector" and isinstance(given, (list, tuple))  # null as a whole
    match dtype.kind:
        case "bool":
            return isinstance(given, bool) and given == taken
        case "int32" | "int64":
            return _is_number(given) and Fraction(given) == taken
        case "float64":
            return _is_number(given) and _same_float(*_floats(taken, given))
        case "float32":
            taken, number = _floats(taken, given)
            return _is_number(given) and _same_float(taken, _rounded(number))
        case "decimal":
            number = Decimal(given) if isinstance(given, str) else given
            return _is_number(number) and not isinstance(number, float) and number == taken
        case "str":
            return str(given) == taken if isinstance(given, uuid.UUID) else given == taken
        case "bytes":
            return (given.bytes if isinstance(given, uuid.UUID) else given) == taken
        case "date":
            return _is_date(given, taken)
        case "timestamp":
            moment = datetime.fromisoformat(given) if isinstance(given, str) else given
            return isinstance(moment, datetime) and to_micros(moment) == to_micros(taken)
        case "json":
            data = json.loads(given) if isinstance(given, str) else _listed(given)
            return bool(json.loads(taken) == data)
    return _says_inside(dtype, taken, given)


def _says_inside(dtype: DType, taken: Any, given: Any) -> bool:
    item = dtype.item or sl.Float32
    if dtype.kind in ("list", "vector"):
        if not isinstance(given, (list, tuple, range)):
            return False
        pairs = zip(taken, given, strict=True) if len(taken) == len(given) else ()
        return len(taken) == len(given) and all(says(item, t, g) for t, g in pairs)
    if not isinstance(given, dict):
        return False
    if dtype.kind == "map":
        return taken.keys() == given.keys() and all(says(item, taken[k], given[k]) for k in taken)
    return all(says(field, taken[name], given.get(name)) for name, field in dtype.fields)


def _listed(given: Any) -> Any:
    if isinstance(given, dict):
        return {name: _listed(item) for name, item in given.items()}
    return [*map(_listed, given)] if isinstance(given, (list, tuple)) else given


def _plain(given: Any) -> Any:
    """Return NumPy's and Arrow's forms of a value as Python's."""
    if isinstance(given, pa.Scalar):
        given = given.as_py()  # NumPy's, of half floats in older releases
    if isinstance(given, (pd.Series, pa.Array)):
        return given.to_pylist() if isinstance(given, pa.Array) else given.tolist()
    if isinstance(given, pd.Timestamp):
        return given.to_pydatetime(warn=False)
    if isinstance(given, (np.generic, np.ndarray)):
        given = given.tolist()
    return bytes(given) if isinstance(given, (bytearray, memoryview)) else given


def _is_missing(given: Any) -> bool:
    if given is None or given is pd.NA or given is pd.NaT:
        return True
    if isinstance(given, Decimal):
        return given.is_nan()
    return isinstance(given, float) and math.isnan(given)


def _is_number(given: Any) -> bool:
    return isinstance(given, (int, float, Decimal, Fraction)) and not isinstance(given, bool)


def _same_float(one: float, other: float) -> bool:
    return struct.pack("<d", one) == struct.pack("<d", other)


def _floats(taken: float, given: Any) -> tuple[float, float]:
    """Return both as floats; a decimal's sign of zero says nothing, Arrow's decimals have none."""
    if isinstance(given, Decimal):
        return taken + 0.0, float(given) + 0.0
    if isinstance(given, int) and int(float(given)) != given:
        return taken, math.nan
    return taken, float(given) if _is_number(given) else math.nan


def _rounded(value: float) -> float:
    try:
        (number,) = struct.unpack("<f", struct.pack("<f", value))
    except OverflowError:
        return math.nan
    return float(number)


def _is_date(given: Any, taken: date) -> bool:
    if isinstance(given, str):
        return date.fromisoformat(given) == taken
    if isinstance(given, datetime):  # a local midnight, as pandas has days
        return given.tzinfo is None and given == datetime.combine(taken, time())
    return bool(given == taken)


def bits(value: Any) -> Any:
    """Return a value in a form that is equal when every bit is."""
    if isinstance(value, list):
        return [bits(each) for each in value]
    if isinstance(value, dict):
        return {name: bits(each) for name, each in value.items()}
    if isinstance(value, datetime):
        return ("moment", to_micros(value))
    return value.hex() if isinstance(value, float) else (type(value), str(value))


def told(problem: SkewlessError, name: str = "") -> None:
    """Check that an error says what, with what it got or where, and names the column at fault."""
    assert problem.what
    parts = (problem.got, problem.expected, problem.where, problem.hint)
    assert any(part is not None for part in parts), repr(problem)
    assert name in str(problem), str(problem)


def as_text(value: Any) -> str:
    """Return bytes in JSON's form; for names of tests."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else repr(value)
