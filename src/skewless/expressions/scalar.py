"""Expressions over the values of one row or one entity, in plain Python.

This is the meaning of every operation: `skewless.expressions.columnar` does the same for whole
Arrow columns and is held to it bit for bit. A compiled expression is a chain of closures, so that
one entity's derived features cost well under a microsecond each.

>>> from skewless.definitions.expressions import Request
>>> ratio = compile_scalar(Request("amount", float) / Request("mean", float))
>>> ratio({"amount": 3.0, "mean": 2.0}), ratio({"amount": 3.0, "mean": 0.0})
(1.5, None)

Values are in canonical form (`DType.coerce`): null is None, text is str, times are datetimes in
UTC. What the operations do where Python alone does not say:

- An integer compared with a float is compared as float64; a decimal with a float likewise.
- A float cast to an integer drops its fraction, as Python's ``int`` does.
- A cast to text gives what Python's ``str`` gives: ``"1.0"``, ``"True"``, ``"2026-01-31"``.
- Text cast to a number is ASCII digits, with sign, point and exponent as the type has them, or
  ``inf``; white space, underscores and hexadecimal are not numbers.
- Floats beyond the greatest are infinite, as in IEEE 754; 0 to a negative power is null, being a
  division by zero.
"""

from __future__ import annotations

import math
import operator
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from math import isnan
from typing import Any

from skewless.definitions.aggregate import Aggregate
from skewless.definitions.chains import LONG_CHAIN, chain_of
from skewless.definitions.expressions import (
    Cast,
    Column,
    Expression,
    Literal,
    Operation,
    Request,
    RequestTime,
)
from skewless.definitions.lookup import LookedUp
from skewless.definitions.references import FeatureRef
from skewless.errors import DefinitionError
from skewless.types import DType

Compiled = Callable[[Mapping[str, Any]], Any]
Function = Callable[..., Any]

NOW = "\0now"
"""The key of the moment that is asked about, see `sl.now`."""
_SO_FAR = "\0so far"
"""Where a long chain keeps the value of the links before the next."""
_LEAST, _GREATEST = -(2**63), 2**63 - 1
_INTEGER = re.compile(r"([+-]?)0*([0-9]{1,19})")
_NUMBER = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|inf)")


def leaf_key(leaf: Expression) -> str:
    """Return the key under which the value or column of a leaf is looked up.

    Columns and request fields go by name, features by reference, aggregates by their definition.
    """
    if isinstance(leaf, (Column, Request)):
        return leaf.name
    if isinstance(leaf, FeatureRef):
        return leaf.reference
    if isinstance(leaf, RequestTime):
        return NOW
    if isinstance(leaf, Aggregate):
        return leaf.key
    raise DefinitionError("no operand of an expression", got=repr(leaf))


_MOST_COMPILED = 512
_COMPILED: dict[int, tuple[Expression, Compiled]] = {}
"""By the identity of an expression, which is held so that the identity stays its own."""


def evaluate_scalar(expression: Expression, values: Mapping[str, Any]) -> Any:
    """Return the value of an expression for one row.

    Args:
        expression: over columns, or over features.
        values: of its leaves, by `leaf_key`, in canonical form.

    Raises:
        KeyError: a leaf has no value; null is None.
    """
    known = _COMPILED.get(id(expression))
    if known is None:
        if len(_COMPILED) >= _MOST_COMPILED:
            _COMPILED.clear()
        known = _COMPILED[id(expression)] = expression, compile_scalar(expression)
    return known[1](values)


def compile_scalar(expression: Expression) -> Compiled:
    """Return a function from the values of the leaves, by `leaf_key`, to the expression's value."""
    start, links = chain_of(expression)
    if len(links) > LONG_CHAIN:
        return _compile_chain(start, links)
    compiled = _compile_leaf(start)
    for link in links:
        compiled = _compile_link(link, compiled)
    return compiled


def _compile_chain(start: Expression, links: list[Expression]) -> Compiled:
    """Return a loop over the links, which a chain of closures would be too deep for."""
    first = _compile_leaf(start)
    so_far = operator.itemgetter(_SO_FAR)
    steps = [_compile_link(link, so_far) for link in links]

    def run(values: Mapping[str, Any]) -> Any:
        scope = dict(values)
        scope[_SO_FAR] = first(values)
        for step in steps:
            scope[_SO_FAR] = step(scope)
        return scope[_SO_FAR]

    return run


def _compile_leaf(expression: Expression) -> Compiled:
    if isinstance(expression, Literal):
        return _constant(expression.value)
    key = leaf_key(expression)
    if expression.dtype.kind in ("float32", "float64"):
        return _float_leaf(key)
    return operator.itemgetter(key)


def _constant(value: Any) -> Compiled:
    def run(values: Mapping[str, Any]) -> Any:  # noqa: ARG001
        return value

    return run


def _float_leaf(key: str) -> Compiled:
    def run(values: Mapping[str, Any]) -> Any:
        value = values[key]
        return None if value is None or isnan(value) else value

    return run


def _compile_link(expression: Expression, first: Compiled) -> Compiled:
    """Return a cast or operation whose first operand is compiled already."""
    if isinstance(expression, Cast):
        return _unary(cast_function(expression.children[0].dtype, expression.dtype), first)
    if isinstance(expression, LookedUp):
        return _of_all(lookup_function(expression), _operands(expression, first))
    if not isinstance(expression, Operation):
        raise DefinitionError("no operation", got=repr(expression))
    children = _operands(expression, first)
    match expression.name:
        case "and" | "or":
            return _kleene(*children, decisive=expression.name == "or")
        case "is_null":
            return _is_null(*children)
        case "coalesce":
            return _coalesce(*_converted(expression, children))
        case "if_else":
            _, then, otherwise = _converted(expression, children)
            return _if_else(children[0], then, otherwise)
    function = function_of(expression)
    if len(children) == 1:
        return _unary(function, children[0])
    if len(children) > 2:
        return _of_all(function, children)
    second = expression.children[1]
    if isinstance(second, Literal) and second.value is not None:
        return _with_constant(function, children[0], second.value)
    return _binary(function, *children)


def _operands(expression: Expression, first: Compiled) -> list[Compiled]:
    return [first, *(compile_scalar(child) for child in expression.children[1:])]


def lookup_function(expression: LookedUp) -> Function:
    """Return a lookup as a function of keys that are not null; None: there is no such row."""
    found = {tuple(keys): value for *keys, value in expression.rows}

    def run(*keys: Any) -> Any:
        return found.get(keys)

    return run


def _unary(function: Function, child: Compiled) -> Compiled:
    def run(values: Mapping[str, Any]) -> Any:
        value = child(values)
        return None if value is None else function(value)

    return run


def _with_constant(function: Function, child: Compiled, constant: Any) -> Compiled:
    def run(values: Mapping[str, Any]) -> Any:
        value = child(values)
        return None if value is None else function(value, constant)

    return run


def _binary(function: Function, left: Compiled, right: Compiled) -> Compiled:
    def run(values: Mapping[str, Any]) -> Any:
        a = left(values)
        if a is None:
            return None
        b = right(values)
        return None if b is None else function(a, b)

    return run


def _of_all(function: Function, children: list[Compiled]) -> Compiled:
    def run(values: Mapping[str, Any]) -> Any:
        found = [child(values) for child in children]
        return None if any(value is None for value in found) else function(*found)

    return run


def _kleene(left: Compiled, right: Compiled, *, decisive: bool) -> Compiled:
    """Return the condition that one operand decides when it is ``decisive``, whatever the other."""

    def run(values: Mapping[str, Any]) -> bool | None:
        a = left(values)
        if a == decisive:
            return decisive
        b = right(values)
        if b == decisive:
            return decisive
        return None if a is None or b is None else not decisive

    return run


def _is_null(child: Compiled) -> Compiled:
    return lambda values: child(values) is None


def _coalesce(*children: Compiled) -> Compiled:
    def run(values: Mapping[str, Any]) -> Any:
        for child in children:
            value = child(values)
            if value is not None:
                return value
        return None

    return run


def _if_else(condition: Compiled, then: Compiled, otherwise: Compiled) -> Compiled:
    def run(values: Mapping[str, Any]) -> Any:
        holds = condition(values)
        if holds is None:
            return None
        return then(values) if holds else otherwise(values)

    return run


def _converted(expression: Operation, compiled: list[Compiled]) -> list[Compiled]:
    """Return the compiled operands, integers as floats where the result is a float."""
    real = expression.dtype.kind == "float64"
    return [
        _unary(float, one) if real and child.dtype.is_integer else one
        for child, one in zip(expression.children, compiled, strict=True)
    ]


# ------------------------------------------------------------------------- operations on values


def function_of(expression: Operation) -> Function:
    """Return the operation as a function of operands that are not null; None is a null result."""
    name, types = expression.name, [child.dtype for child in expression.children]
    if name in _COMPARISONS:
        return _comparison(_COMPARISONS[name], *types)
    if name in _ARITHMETIC:
        return _arithmetic(name, types)
    if name == "hour" and types[0].kind == "date":
        return _midnight
    return _FUNCTIONS[name]


def _arithmetic(name: str, types: list[DType]) -> Function:
    function = _ARITHMETIC[name]
    if types[0].kind == "str":
        return function
    if types[0].kind in ("timestamp", "date"):
        return _seconds
    if all(dtype.is_integer for dtype in types):
        return _whole_unary(function) if len(types) == 1 else _whole(function)
    return function if len(types) == 1 else _real(function)


def _whole(function: Function) -> Function:
    def run(a: int, b: int) -> int | None:
        result = function(a, b)
        if result is None:
            return None
        return result if _LEAST <= result <= _GREATEST else None

    return run


def _whole_unary(function: Function) -> Function:
    def run(a: int) -> int | None:
        result: int = function(a)
        return result if result <= _GREATEST else None

    return run


def _real(function: Function) -> Function:
    def run(a: float, b: float) -> float | None:
        result: float | None = function(a, b)
        return None if result is None or isnan(result) else result

    return run


def _modulo(a: Any, b: Any) -> Any:
    return None if b == 0 else a % b


def _divide(a: float, b: float) -> float | None:
    if b == 0:
        return None
    result = a / b
    return None if isnan(result) else result


def _power(a: float, b: float) -> float | None:
    try:
        return math.pow(a, b)
    except ValueError:
        return None
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _sqrt(value: float) -> float | None:
    return None if value < 0 else math.sqrt(value)


def _log(value: float) -> float | None:
    return None if value <= 0 else math.log(value)


def _rounding(function: Callable[[float], int]) -> Function:
    def run(value: float) -> float:
        if math.isinf(value):
            return float(value)
        return math.copysign(function(value), value)  # the zero keeps its sign

    return run


def _seconds(later: date, earlier: date) -> float:
    apart = _moment(later) - _moment(earlier)
    micros = (apart.days * 86_400 + apart.seconds) * 1_000_000 + apart.microseconds
    return micros / 1_000_000


def _moment(time: date) -> datetime:
    """Return a time as it is, and of a day its beginning, in UTC."""
    if isinstance(time, datetime):
        return time
    return datetime(time.year, time.month, time.day, tzinfo=UTC)


def _item(values: Any, place: int) -> Any:
    return values[place] if -len(values) <= place < len(values) else None


def _top(numbers: Any, many: int) -> list[str]:
    """Return the keys of the greatest numbers, the smaller key first among equals."""
    known = [(-number, key) for key, number in numbers.items() if number is not None]
    return [key for _, key in sorted(known)[: max(many, 0)]]


def _rank(numbers: Any, key: str) -> int | None:
    """Return how many keys have a greater number than a key, and one; null where it has none."""
    mine = numbers.get(key)
    if mine is None:
        return None
    return 1 + sum(1 for number in numbers.values() if number is not None and number > mine)


def _above(values: Any, number: float) -> int:
    """Return how many values are greater than a number."""
    return sum(1 for value in values if value is not None and value > number)


def _near(values: Any, number: float, share: float) -> int:
    """Return how many values are at most that share of a number away from it."""
    apart = abs(number) * share
    return sum(abs(value - number) <= apart for value in values if value is not None)


def _dot(left: Any, right: Any) -> float | None:
    """Return the correctly rounded sum of the rounded products; null of unequal lengths."""
    if len(left) != len(right) or None in left or None in right:
        return None
    return _summed(map(operator.mul, map(float, left), map(float, right)))


def _cosine(left: Any, right: Any) -> float | None:
    both, one, other = _dot(left, right), _dot(left, left), _dot(right, right)
    if both is None or one is None or other is None:
        return None
    lengths = math.sqrt(one) * math.sqrt(other)
    return None if lengths == 0 or not math.isfinite(lengths) else both / lengths


def _summed(values: Iterable[float]) -> float | None:
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return None


def _midnight(day: date) -> int:  # noqa: ARG001
    return 0


def _comparison(function: Function, left: DType, right: DType) -> Function:
    """Return the comparison of two values; beside a float everything is compared as float64."""
    floats = ("float32", "float64")
    if left.kind != right.kind and (left.kind in floats or right.kind in floats):
        return lambda a, b: function(float(a), float(b))
    return function


_COMPARISONS: dict[str, Function] = {
    "equal": operator.eq, "not_equal": operator.ne, "less": operator.lt,
    "less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge,
}  # fmt: skip
_ARITHMETIC: dict[str, Function] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "modulo": _modulo,
    "negate": operator.neg, "abs": operator.abs,
}  # fmt: skip
_FUNCTIONS: dict[str, Function] = {
    "divide": _divide, "power": _power, "sqrt": _sqrt, "log": _log, "exp": _exp,
    "floor": _rounding(math.floor), "ceil": _rounding(math.ceil), "not": operator.not_,
    "lower": str.lower, "upper": str.upper, "strip": str.strip, "length": len,
    "item": _item, "dot": _dot, "cosine": _cosine,
    "pair": lambda a, b: [float(a), float(b)],
    "get": dict.get, "top": _top, "rank": _rank, "above": _above, "near": _near,
    "days": lambda seconds: seconds / 86_400,
    "contains": operator.contains, "starts_with": str.startswith, "ends_with": str.endswith,
    "year": operator.attrgetter("year"), "month": operator.attrgetter("month"),
    "day": operator.attrgetter("day"), "hour": operator.attrgetter("hour"),
    "weekday": date.weekday,
}  # fmt: skip


# ------------------------------------------------------------------------------ casts of values


def cast_function(source: DType, target: DType) -> Function:
    """Return the cast as a function of a value that is not null; None where it does not fit."""
    if source == target:
        return lambda value: value
    text = source.kind == "str"
    match target.kind:
        case "str":
            return str
        case "bool":
            return bool
        case "int32" | "int64":
            return _to_integer(31 if target.kind == "int32" else 63, text=text)
        case "float32":
            return _text_to_float32 if text else _to_float32
        case _:
            return _text_to_float if text else float


def _to_integer(bits: int, *, text: bool) -> Function:
    bound = 2**bits

    def from_number(value: Any) -> int | None:
        if isinstance(value, float) and math.isinf(value):
            return None
        whole = int(value)
        return whole if -bound <= whole < bound else None

    def from_text(value: str) -> int | None:
        digits = _INTEGER.fullmatch(value)
        return from_number(int(digits[1] + digits[2])) if digits else None

    return from_text if text else from_number


def _to_float32(value: float) -> float | None:
    try:
        (narrow,) = struct.unpack("<f", struct.pack("<f", float(value)))
    except OverflowError:
        return None
    return narrow  # type: ignore[no-any-return]


def _text_to_float(value: str) -> float | None:
    if not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if math.isfinite(number) or value.endswith("inf") else None


def _text_to_float32(value: str) -> float | None:
    number = _text_to_float(value)
    return None if number is None else _to_float32(number)
