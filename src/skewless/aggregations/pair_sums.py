"""Exact sums of products of two columns at all moments, by the kernels' sums of whole numbers.

A float is a whole number of some power of two. Cut into limbs of 20 bits, products of limbs are
whole numbers that int64 holds; their sums are those of the kernels, and put together again they are
the exact sums of the products.

>>> limbs(np.array([3.0, 2.0**25 + 1]))
([array([3, 1]), array([ 0, 32])], 0)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.aggregations.columns import as_numbers
from skewless.aggregations.kernels import Want, sweep_counts, sweep_sums_int
from skewless.aggregations.spreads import Spreads, spreads_of
from skewless.aggregations.sweep import ColumnSweep

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Objects = npt.NDArray[np.object_]
_BITS = 20
_MOST = 8
"""Limbs of a column: with more, what is far apart is computed window by window."""


def all_spreads(rows: ColumnSweep) -> list[Spreads | None]:
    """Return the spreads of the pairs at each moment; None where there is none, or an infinity."""
    first, second = (as_numbers(pc.list_element(rows.column, place)) for place in (0, 1))
    one, other = limbs(first), limbs(second)
    sums = None if one is None or other is None else _all_sums(rows, one[0], other[0])
    if sums is None or one is None or other is None:
        return list(_gathered(rows))
    sx, sy, sxy, sxx, syy = sums
    n = sweep_counts(rows.spans, rows.queries, rows.valid).astype(object)
    spreads = zip(n, n * sxy - sx * sy, n * sxx - sx * sx, n * syy - sy * sy, strict=True)
    return [Spreads(*each, one[1], other[1]) if each[0] else None for each in spreads]


def _gathered(rows: ColumnSweep) -> Iterator[Spreads | None]:
    """Yield the same from the rows of each window: of numbers too far apart for limbs."""
    for part in rows.gathered():
        for low, high in pairwise(part.offsets.tolist()):
            pairs = rows.column.take(pa.array(part.rows[low:high])).to_pylist()
            yield spreads_of(pairs) if pairs else None


def _all_sums(rows: ColumnSweep, xs: list[Ints], ys: list[Ints]) -> list[Objects] | None:
    """Return the exact sums of x, y, xy, xx and yy; None where int64 does not hold a limb's."""
    ones = [np.ones(len(xs[0]), np.int64)]
    found = []
    for left, right in ((xs, ones), (ys, ones), (xs, ys), (xs, xs), (ys, ys)):
        total = _sums(rows, left, right)
        if total is None:
            return None
        found.append(total)
    return found


def _sums(rows: ColumnSweep, left: list[Ints], right: list[Ints]) -> Objects | None:
    """Return the exact sum of products at each moment; None where int64 does not hold a limb's."""
    total: Objects = np.zeros(len(rows.queries.time), object)
    for high, one in enumerate(left):
        for low, other in enumerate(right):
            found = sweep_sums_int(rows.spans, rows.queries, one * other, rows.valid, Want.SUM)
            if found["overflow"].any():
                return None
            total += found["sum"].astype(object) * (1 << _BITS * (high + low))
    return total


def limbs(values: Floats) -> tuple[list[Ints], int] | None:
    """Return floats as whole numbers of a power of two in limbs, the least first, and its exponent.

    None where one is infinite, or the greatest is too far from the least.
    """
    size = np.abs(values[values != 0])
    if not np.isfinite(size).all():
        return None
    if not len(size):
        return [np.zeros(len(values), np.int64)], 0
    fraction, exponent = np.frexp(size)
    digits = np.ldexp(fraction, 53).astype(np.int64)
    least_bit = (digits & -digits).astype(np.float64)  # a power of two
    unit = int((exponent - 53 + np.frexp(least_bit)[1] - 1).min())
    count = -(-(int(exponent.max()) - unit) // _BITS)
    if count > _MOST:
        return None
    sign, found = np.sign(values).astype(np.int64), []
    above = np.floor(_scaled(values, -unit))
    for place in range(1, count + 1):
        below, above = above, np.floor(_scaled(values, -unit - _BITS * place))
        found.append(sign * (below - above * 2.0**_BITS).astype(np.int64))
    return found, unit


def _scaled(values: Floats, exponent: int) -> Floats:
    """Return the sizes of values times a power of two; beyond the floats no exponent comes here."""
    scaled: Floats = np.ldexp(np.abs(values), exponent)
    return scaled
