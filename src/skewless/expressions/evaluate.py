"""What expressions evaluate to: over Arrow columns, or over the values of one row.

>>> import pyarrow as pa
>>> from skewless.definitions.expressions import Request
>>> amount = Request("amount", float)
>>> evaluate(amount / 2 > 1, {"amount": pa.array([1.0, 3.0, None])}, 3).to_pylist()
[False, True, None]
>>> evaluate_scalar(amount / 2 > 1, {"amount": 3.0})
True

Both obey the rules of `skewless.definitions.operations` and agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from skewless.definitions.expressions import Expression
from skewless.expressions.scalar import Compiled, compile_scalar, evaluate_scalar, leaf_key

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Compiled", "compile_scalar", "evaluate", "evaluate_scalar", "leaf_key"]


def evaluate(
    expression: Expression, columns: Mapping[str, pa.Array | pa.ChunkedArray], length: int
) -> pa.Array:
    """Return the values of an expression, one per row, of type ``expression.dtype.arrow()``.

    Args:
        expression: over columns, or over features.
        columns: of its leaves, by `leaf_key`: columns and request fields by name, features by
            reference, aggregates by definition. NaN in them is null.
        length: the number of rows, which an expression without leaves cannot know.

    Raises:
        MissingColumn: a leaf has no column.
    """
    import pyarrow as pa

    from skewless.expressions.columnar import compute, repeat

    result = compute(expression, columns)
    return repeat(result, length) if isinstance(result, pa.Scalar) else result
