"""Expressions over Arrow columns: each operation as kernels, bit for bit what `scalar` says.

Where no kernel says quite the same, or an integer overflows, the operation goes row by row
through the very function of `skewless.expressions.scalar`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.definitions.chains import chain_of
from skewless.definitions.expressions import Cast, Expression, Operation
from skewless.definitions.lookup import LookedUp
from skewless.errors import MissingColumn
from skewless.expressions.scalar import (
    cast_function,
    compile_scalar,
    function_of,
    leaf_key,
    lookup_function,
)
from skewless.types import DType, python_values

Operand = Any
"""A ``pa.Array``, or a ``pa.Scalar`` where the expression is constant."""

_FLOAT_EXACT = 2**53
_FLOATS = ("float32", "float64")


def compute(expression: Expression, columns: Mapping[str, Any]) -> Operand:
    """Return the values of an expression: an array, or a scalar when it has no leaf but literals.

    Raises:
        MissingColumn: a leaf has no column.
    """
    if expression.constant:
        return pa.scalar(compile_scalar(expression)({}), expression.dtype.arrow())
    start, links = chain_of(expression)
    value: Operand = None if start.constant else _leaf(start, columns)
    for link in links:
        if link.constant:
            continue
        if value is None:
            value = compute(link.children[0], columns)
        if isinstance(link, Cast):
            value = _cast(link, value)
        elif isinstance(link, LookedUp):
            others = [compute(child, columns) for child in link.children[1:]]
            value = _looked_up(link, value, *others)
        elif isinstance(link, Operation):
            others = [compute(child, columns) for child in link.children[1:]]
            value = _KERNELS[link.name](link, value, *others)
    return value


def _leaf(expression: Expression, columns: Mapping[str, Any]) -> pa.Array:
    key = leaf_key(expression)
    if key not in columns:
        raise MissingColumn.of(key, columns, where="the input of an expression")
    column, arrow = columns[key], expression.dtype.arrow()
    if isinstance(column, pa.ChunkedArray):
        chunks = column.chunks
        column = pa.concat_arrays(chunks) if chunks else pa.array([], column.type)
    if column.type != arrow:
        column = column.cast(arrow)
    return _without_nan(column) if expression.dtype.kind in _FLOATS else column


def _row_by_row(function: Callable[..., Any], dtype: DType, *operands: Operand) -> pa.Array:
    """Return the function of operands that are not null, null where any is."""
    lists = [python_values(array) for array in _aligned(*operands)]
    return pa.array(
        [None if None in row else function(*row) for row in zip(*lists, strict=True)],
        dtype.arrow(),
    )


def _by_distinct(function: Callable[..., Any], dtype: DType, column: pa.Array) -> pa.Array:
    """Return a function of the values, computed once for each distinct one."""
    encoded = column.dictionary_encode()
    found = [function(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(found, dtype.arrow()).take(encoded.indices)


def _aligned(*operands: Operand) -> list[pa.Array]:
    """Return the operands as arrays of one length."""
    length = next(len(operand) for operand in operands if isinstance(operand, pa.Array))
    return [
        operand if isinstance(operand, pa.Array) else repeat(operand, length)
        for operand in operands
    ]


def repeat(scalar: pa.Scalar, length: int) -> pa.Array:
    """Return an array of one value many times."""
    return pa.repeat(scalar, length) if scalar.is_valid else pa.nulls(length, scalar.type)


def _to(arrow: pa.DataType, *operands: Operand) -> list[Operand]:
    return [operand if operand.type == arrow else pc.cast(operand, arrow, safe=False)
            for operand in operands]  # fmt: skip


def _without(unwanted: Operand, column: Operand) -> Operand:
    """Return the column with null where ``unwanted`` is true."""
    if not pc.any(unwanted).as_py():
        return column
    return pc.if_else(pc.fill_null(unwanted, False), pa.scalar(None, column.type), column)


def _without_nan(column: Operand) -> Operand:
    return _without(pc.is_nan(column), column)


# ---------------------------------------------------------------------------------- arithmetic


def _is_integer(expression: Operation) -> bool:
    return all(child.dtype.is_integer for child in expression.children)


def _arithmetic(kernel: str) -> Callable[..., pa.Array]:
    def run(expression: Operation, *operands: Operand) -> pa.Array:
        kinds = {child.dtype.kind for child in expression.children}
        if kinds == {"str"}:
            return pc.binary_join_element_wise(*operands, "")
        if kinds == {"timestamp"}:
            return _seconds(expression, *operands)
        if "date" in kinds:
            return _row_by_row(function_of(expression), expression.dtype, *operands)
        if not _is_integer(expression):
            return _without_nan(pc.call_function(kernel, _to(pa.float64(), *operands)))
        try:
            return pc.call_function(f"{kernel}_checked", _to(pa.int64(), *operands))
        except pa.ArrowInvalid:
            return _row_by_row(function_of(expression), expression.dtype, *operands)

    return run


def _seconds(expression: Operation, later: Operand, earlier: Operand) -> pa.Array:
    try:
        micros = pc.subtract_checked(*_to(pa.int64(), later, earlier))
    except pa.ArrowInvalid:
        return _row_by_row(function_of(expression), expression.dtype, later, earlier)
    return _quotient(micros, pa.scalar(1_000_000))


def _divide(expression: Operation, above: Operand, below: Operand) -> pa.Array:
    if _is_integer(expression):
        return _quotient(*_to(pa.int64(), above, below))
    above, below = _to(pa.float64(), above, below)
    return _without_nan(pc.divide(above, _nonzero(below)))


def _quotient(above: Operand, below: Operand) -> pa.Array:
    """Return the correctly rounded quotients of int64, also of those that no float64 holds."""
    if all(map(_fits_float, (above, below))):
        return pc.divide(*_to(pa.float64(), above, _nonzero(below)))
    above, below = (array.to_pylist() for array in _aligned(above, _nonzero(below)))
    return pa.array(
        [None if a is None or b is None else a / b for a, b in zip(above, below, strict=True)],
        pa.float64(),
    )


def _fits_float(operand: Operand) -> bool:
    if isinstance(operand, pa.Scalar):
        return not operand.is_valid or abs(operand.as_py()) <= _FLOAT_EXACT
    bounds = pc.min_max(operand).as_py()
    return bounds["min"] is None or (
        bounds["min"] >= -_FLOAT_EXACT and bounds["max"] <= _FLOAT_EXACT
    )


def _nonzero(operand: Operand) -> Operand:
    zero = pc.equal(operand, pa.scalar(0, operand.type))
    if isinstance(operand, pa.Scalar):
        return pa.scalar(None, operand.type) if zero.as_py() else operand
    return _without(zero, operand)


def _modulo(expression: Operation, above: Operand, below: Operand) -> pa.Array:
    arrow = expression.dtype.arrow()
    above, below = _to(arrow, above, below)
    above, below = _aligned(above, _nonzero(below))
    missing = pc.or_(pc.is_null(above), pc.is_null(below))
    one = pa.scalar(1, arrow)
    with np.errstate(all="ignore"):
        # NumPy's mod has the sign of the divisor, as Python's has; Arrow's `modulo` is recent.
        result = np.mod(_numpy(pc.fill_null(above, one)), _numpy(pc.fill_null(below, one)))
    found = _without(missing, pa.array(result, arrow))
    return found if pa.types.is_integer(arrow) else _without_nan(found)


def _numpy(column: pa.Array) -> Any:
    return column.to_numpy(zero_copy_only=False)


def _power(expression: Operation, base: Operand, exponent: Operand) -> pa.Array:  # noqa: ARG001
    base, exponent = _to(pa.float64(), base, exponent)
    pole = pc.and_(pc.equal(base, 0.0), pc.less(exponent, 0.0))
    result = pc.power(base, exponent)
    if isinstance(pole, pa.Scalar):
        return result
    return _without_nan(_without(pole, result))


def _real(kernel: str) -> Callable[..., pa.Array]:
    def run(expression: Operation, operand: Operand) -> pa.Array:  # noqa: ARG001
        (operand,) = _to(pa.float64(), operand)
        return _without_nan(pc.call_function(kernel, [operand]))

    return run


def _log(expression: Operation, operand: Operand) -> pa.Array:  # noqa: ARG001
    (operand,) = _to(pa.float64(), operand)
    return _without_nan(pc.ln(_nonzero(operand)))


def _pair(expression: Operation, *operands: Operand) -> pa.Array:
    one, other = (_without_nan(each) for each in _aligned(*_to(pa.float64(), *operands)))
    missing = pc.or_(pc.is_null(one), pc.is_null(other))
    numbers = np.stack([_numpy(pc.fill_null(each, 0.0)) for each in (one, other)], axis=1)
    offsets = pa.array(np.arange(len(missing) + 1, dtype=np.int32) * 2)
    pairs = pa.ListArray.from_arrays(offsets, pa.array(numbers.reshape(-1)))
    return _without(missing, pairs.cast(expression.dtype.arrow()))


# ------------------------------------------------------------------------------------ lookups


def _looked_up(expression: LookedUp, *keys: Operand) -> pa.Array:
    function = lookup_function(expression)
    if len(keys) == 1:
        return _by_distinct(function, expression.dtype, keys[0])
    return _row_by_row(function, expression.dtype, *keys)


# ------------------------------------------------------------------------------------ conditions


def _compare(kernel: str) -> Callable[..., pa.Array]:
    def run(expression: Operation, *operands: Operand) -> pa.Array:
        left, right = (child.dtype for child in expression.children)
        if left != right:
            kinds = {left.kind, right.kind}
            if "decimal" in kinds:
                return _row_by_row(function_of(expression), expression.dtype, *operands)
            operands = tuple(_to(pa.float64() if kinds & set(_FLOATS) else pa.int64(), *operands))
        return pc.call_function(kernel, operands)

    return run


def _plain(kernel: str) -> Callable[..., pa.Array]:
    def run(expression: Operation, *operands: Operand) -> pa.Array:  # noqa: ARG001
        return pc.call_function(kernel, operands)

    return run


def _coalesce(expression: Operation, *operands: Operand) -> pa.Array:
    return pc.coalesce(*_to(expression.dtype.arrow(), *operands))


def _if_else(
    expression: Operation, condition: Operand, then: Operand, otherwise: Operand
) -> pa.Array:
    return pc.if_else(condition, *_to(expression.dtype.arrow(), then, otherwise))


# ----------------------------------------------------------------------------------------- text


def _letters(kernel: str) -> Callable[..., pa.Array]:
    """Return upper or lower case as Python has them: of more letters than Arrow's kernels."""

    def run(expression: Operation, text: pa.Array) -> pa.Array:
        if pc.all(pc.string_is_ascii(text)).as_py() is not False:
            return pc.call_function(kernel, [text])
        return _by_distinct(function_of(expression), expression.dtype, text)

    return run


def _by_row(expression: Operation, *operands: Operand) -> pa.Array:
    return _row_by_row(function_of(expression), expression.dtype, *operands)


def _length(expression: Operation, text: pa.Array) -> pa.Array:
    if expression.children[0].dtype.kind != "str":
        return _by_row(expression, text)
    return pc.utf8_length(text).cast(pa.int64())


def _part(kernel: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
    def run(expression: Operation, text: Operand, part: Operand) -> pa.Array:
        plain = expression.children[0].dtype.kind == "str"
        if plain and isinstance(text, pa.Array) and isinstance(part, pa.Scalar) and part.is_valid:
            return kernel(text, pattern=part.as_py())
        return _row_by_row(function_of(expression), expression.dtype, text, part)

    return run


# ----------------------------------------------------------------------------------------- time


def _calendar(kernel: str) -> Callable[..., pa.Array]:
    def run(expression: Operation, times: pa.Array) -> pa.Array:
        if pa.types.is_timestamp(times.type):
            times = times.view(pa.timestamp("us"))  # UTC without a look into a time zone database
        elif expression.name == "hour":
            return pc.if_else(pc.is_valid(times), pa.scalar(0), pa.scalar(None, pa.int64()))
        return pc.call_function(kernel, [times]).cast(pa.int64())

    return run


_KERNELS: dict[str, Callable[..., pa.Array]] = {
    "add": _arithmetic("add"), "subtract": _arithmetic("subtract"),
    "multiply": _arithmetic("multiply"), "divide": _divide, "modulo": _modulo, "power": _power,
    "negate": _arithmetic("negate"), "abs": _arithmetic("abs"),
    "sqrt": _real("sqrt"), "log": _log, "exp": _real("exp"), "floor": _real("floor"),
    "ceil": _real("ceil"),
    "equal": _compare("equal"), "not_equal": _compare("not_equal"), "less": _compare("less"),
    "less_equal": _compare("less_equal"), "greater": _compare("greater"),
    "greater_equal": _compare("greater_equal"),
    "and": _plain("and_kleene"), "or": _plain("or_kleene"), "not": _plain("invert"),
    "is_null": _plain("is_null"), "coalesce": _coalesce, "if_else": _if_else,
    "lower": _letters("ascii_lower"), "upper": _letters("ascii_upper"),
    "strip": _plain("utf8_trim_whitespace"), "length": _length,
    "contains": _part(pc.match_substring), "starts_with": _part(pc.starts_with),
    "ends_with": _part(pc.ends_with),
    "item": _by_row, "get": _by_row, "top": _by_row, "near": _by_row,
    "rank": _by_row, "above": _by_row,
    "dot": _by_row, "cosine": _by_row, "pair": _pair, "days": _by_row,
    "year": _calendar("year"), "month": _calendar("month"), "day": _calendar("day"),
    "hour": _calendar("hour"), "weekday": _calendar("day_of_week"),
}  # fmt: skip


# ---------------------------------------------------------------------------------------- casts


def _cast(expression: Cast, column: pa.Array) -> pa.Array:
    source, target = expression.children[0].dtype, expression.dtype
    function, arrow = cast_function(source, target), target.arrow()
    if source == target:
        return column
    if source.kind == "str":
        return _by_distinct(function, target, column)
    if source.kind == "decimal" or (target.kind == "str" and not source.is_integer):
        return _row_by_row(function, target, column)
    if target.is_integer:
        return _to_integer(column, arrow)
    if target.kind == "float32":
        (wide,) = _to(pa.float64(), column)
        (narrow,) = _to(arrow, wide)
        return _without(pc.and_(pc.is_inf(narrow), pc.invert(pc.is_inf(wide))), narrow)
    return pc.cast(column, arrow, safe=False)


def _to_integer(column: pa.Array, arrow: pa.DataType) -> pa.Array:
    """Return numbers without their fractions as integers, null where they leave the type."""
    if pa.types.is_floating(column.type):
        (column,) = _to(pa.float64(), column)
        column = pc.trunc(column)
        bound = 2.0 ** (arrow.bit_width - 1)
        fits = pc.and_(pc.greater_equal(column, -bound), pc.less(column, bound))
    elif arrow == pa.int32() and column.type == pa.int64():
        fits = pc.and_(pc.greater_equal(column, -(2**31)), pc.less(column, 2**31))
    else:
        return pc.cast(column, arrow)
    return pc.cast(_without(pc.invert(fits), column), arrow)
