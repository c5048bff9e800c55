"""What may be done to values inside expressions: each operation with its rule for types.

An operation is a name, the types it takes and the type it gives. How it is carried out on Arrow
columns is in `skewless.expressions.evaluate`; how on single values, slow and obvious, in
`skewless.engines.reference`.

Rules that hold for all: null in, null out (except where said); a result that is not a number is
null; an integer result that leaves its type is null; division by zero is null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from skewless.errors import DefinitionError
from skewless.types import (
    Bool,
    DType,
    Float32,
    Float64,
    Int64,
    List,
    String,
    Timestamp,
)

Rule = Callable[[str, Sequence[DType]], DType]


def _arithmetic(name: str, types: Sequence[DType]) -> DType:
    for dtype in types:
        if dtype.kind == "decimal":
            raise DefinitionError(
                f"{name!r} on a decimal", got=repr(dtype), hint="Say .cast(float) first."
            )
        if not dtype.is_numeric:
            raise _wrong(name, types, "numbers")
    return Int64 if all(dtype.is_integer for dtype in types) else Float64


def _add(name: str, types: Sequence[DType]) -> DType:
    if all(dtype.kind == "str" for dtype in types):
        return String
    return _arithmetic(name, types)


def _subtract(name: str, types: Sequence[DType]) -> DType:
    if all(dtype.kind in ("timestamp", "date") for dtype in types):
        return Float64
    return _arithmetic(name, types)


def _float(name: str, types: Sequence[DType]) -> DType:
    _arithmetic(name, types)
    return Float64


def _compare(name: str, types: Sequence[DType]) -> DType:
    left, right = types
    if not (left.kind == right.kind or (left.is_numeric and right.is_numeric)):
        raise _wrong(name, types, "two values of one type")
    if left.kind in ("list", "vector", "map", "struct", "json"):
        raise _wrong(name, types, "plain values")
    return Bool


def _boolean(name: str, types: Sequence[DType]) -> DType:
    if any(dtype.kind != "bool" for dtype in types):
        raise _wrong(name, types, "conditions (true or false)")
    return Bool


def _anything_to_bool(name: str, types: Sequence[DType]) -> DType:  # noqa: ARG001
    return Bool


def _common(name: str, types: Sequence[DType]) -> DType:
    first = types[0]
    if all(dtype == first for dtype in types):
        return first
    if all(dtype.is_numeric and dtype.kind != "decimal" for dtype in types):
        return Int64 if all(dtype.is_integer for dtype in types) else Float64
    raise _wrong(name, types, "values of one type")


def _choose(name: str, types: Sequence[DType]) -> DType:
    if types[0].kind != "bool":
        raise _wrong(name, types, "a condition first")
    return _common(name, types[1:])


def _text(result: DType) -> Rule:
    def rule(name: str, types: Sequence[DType]) -> DType:
        if any(dtype.kind != "str" for dtype in types):
            raise _wrong(name, types, "text")
        return result

    return rule


def _time(result: DType) -> Rule:
    def rule(name: str, types: Sequence[DType]) -> DType:
        if types[0].kind not in ("timestamp", "date"):
            raise _wrong(name, types, "a timestamp or a date")
        return result

    return rule


def _length(name: str, types: Sequence[DType]) -> DType:
    if types[0].kind not in ("str", "list", "vector", "map"):
        raise _wrong(name, types, "text, a list, a vector or a map")
    return Int64


def _contains(name: str, types: Sequence[DType]) -> DType:
    whole, part = types
    inside = String if whole.kind in ("str", "map") else _element(whole)
    if inside is None or not (inside == part or (inside.is_numeric and part.is_numeric)):
        raise _wrong(name, types, "text in text, a value of a list, or a key of a map")
    return Bool


def _item(name: str, types: Sequence[DType]) -> DType:
    element = _element(types[0])
    if element is None or not types[1].is_integer:
        raise _wrong(name, types, "a list or a vector, and a place in it")
    return element


def _get(name: str, types: Sequence[DType]) -> DType:
    if types[0].kind != "map" or types[0].item is None or types[1].kind != "str":
        raise _wrong(name, types, "a map, and text: a key of it")
    return types[0].item


def _top(name: str, types: Sequence[DType]) -> DType:
    values, many = types[0].item, types[1]
    if types[0].kind != "map" or values is None or not values.is_numeric or not many.is_integer:
        raise _wrong(name, types, "a map to numbers, and how many")
    return List(String)


def _rank(name: str, types: Sequence[DType]) -> DType:
    values = types[0].item
    if types[0].kind != "map" or values is None or not values.is_numeric or types[1] != String:
        raise _wrong(name, types, "a map to numbers, and a key")
    return Int64


def _above(name: str, types: Sequence[DType]) -> DType:
    values = _element(types[0])
    if values is None:
        raise _wrong(name, types, "a list of numbers, and a number")
    _arithmetic(name, [values, types[1]])
    return Int64


def _near(name: str, types: Sequence[DType]) -> DType:
    values = _element(types[0])
    if values is None:
        raise _wrong(name, types, "a list of numbers, a number, and a share of it")
    _arithmetic(name, [values, *types[1:]])
    return Int64


def _vectors(name: str, types: Sequence[DType]) -> DType:
    elements = [_element(dtype) for dtype in types]
    if any(e is None or not e.is_numeric or e.kind == "decimal" for e in elements):
        raise _wrong(name, types, "two vectors, or lists of numbers")
    return Float64


def _pair(name: str, types: Sequence[DType]) -> DType:
    return List(_float(name, types))


def _element(dtype: DType) -> DType | None:
    return Float32 if dtype.kind == "vector" else dtype.item if dtype.kind == "list" else None


def _same_number(name: str, types: Sequence[DType]) -> DType:
    return _arithmetic(name, types)


OPERATIONS: dict[str, Rule] = {
    "add": _add, "subtract": _subtract, "multiply": _arithmetic, "divide": _float,
    "modulo": _arithmetic, "power": _float, "negate": _same_number, "abs": _same_number,
    "sqrt": _float, "log": _float, "exp": _float, "floor": _float, "ceil": _float,
    "equal": _compare, "not_equal": _compare, "less": _compare, "less_equal": _compare,
    "greater": _compare, "greater_equal": _compare,
    "and": _boolean, "or": _boolean, "not": _boolean,
    "is_null": _anything_to_bool, "coalesce": _common, "if_else": _choose,
    "lower": _text(String), "upper": _text(String), "strip": _text(String),
    "length": _length, "contains": _contains, "item": _item, "get": _get, "top": _top,
    "rank": _rank, "above": _above, "near": _near, "dot": _vectors,
    "cosine": _vectors, "pair": _pair, "days": _float, "starts_with": _text(Bool),
    "ends_with": _text(Bool),
    "year": _time(Int64), "month": _time(Int64), "day": _time(Int64), "hour": _time(Int64),
    "weekday": _time(Int64),
}  # fmt: skip

CASTS: dict[str, frozenset[str]] = {
    "bool": frozenset({"int32", "int64", "float32", "float64", "str"}),
    "int32": frozenset({"int64", "float32", "float64", "str", "bool"}),
    "int64": frozenset({"int32", "float32", "float64", "str", "bool"}),
    "float32": frozenset({"float64", "int32", "int64", "str"}),
    "float64": frozenset({"float32", "int32", "int64", "str"}),
    "decimal": frozenset({"float64"}),
    "str": frozenset({"int32", "int64", "float32", "float64"}),
    "date": frozenset({"str"}),
}
"""From each kind, the kinds it may be cast to. What does not fit becomes null."""


def result_type(name: str, types: Sequence[DType]) -> DType:
    """Return the type of an operation's result.

    Raises:
        DefinitionError: the operation is not defined on such types.
    """
    return OPERATIONS[name](name, types)


def cast_type(source: DType, target: DType) -> DType:
    """Return ``target`` when values of ``source`` may be cast to it, else raise."""
    if source != target and target.kind not in CASTS.get(source.kind, frozenset()):
        raise DefinitionError(f"no cast from {source!r} to {target!r}")
    return target


def literal_type(value: object) -> DType:
    """Return the type of a plain value written inside an expression."""
    from datetime import datetime

    for kind, dtype in ((bool, Bool), (int, Int64), (float, Float64), (str, String)):
        if isinstance(value, kind):
            return dtype
    if isinstance(value, datetime):
        return Timestamp
    raise DefinitionError(
        "not a value an expression can hold",
        got=f"{value!r} ({type(value).__name__})",
        expected="bool, int, float, str or a datetime with a time zone",
    )


def _wrong(name: str, types: Sequence[DType], expected: str) -> DefinitionError:
    got = ", ".join(map(repr, types))
    return DefinitionError(f"{name!r} is not defined here", got=got, expected=expected)
