"""Exact sums of products of pairs of numbers: what covariance, correlation and beta are made of.

>>> spreads_of([[0.5, 1.0], [1.5, 4.0]])
Spreads(n=2, both=6, first=4, second=9, first_exponent=-1, second_exponent=0)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True)
class Spreads:
    """Exact sums of products of differences from the mean, times the number of rows.

    Whole numbers in units of a power of two.

    Attributes:
        n: number of rows.
        both: of first and second value; its unit is ``2 ** (first_exponent + second_exponent)``.
        first: of the first value with itself, likewise.
        second: of the second with itself.
        first_exponent: of the first value's unit.
        second_exponent: of the second's.
    """

    n: int
    both: int
    first: int
    second: int
    first_exponent: int
    second_exponent: int


def spreads_of(pairs: Sequence[Sequence[float]]) -> Spreads | None:
    """Return the spreads of at least one pair; None where a number is infinite."""
    from skewless.aggregations.kernels.numpy_moments import whole

    if not all(map(math.isfinite, chain.from_iterable(pairs))):
        return None
    xs, first = whole([x for x, _ in pairs])
    ys, second = whole([y for _, y in pairs])
    n, sx, sy = len(pairs), sum(xs), sum(ys)
    sxy = sum(x * y for x, y in zip(xs, ys, strict=True))
    sxx, syy = sum(x * x for x in xs), sum(y * y for y in ys)
    return Spreads(n, n * sxy - sx * sy, n * sxx - sx * sx, n * syy - sy * sy, first, second)
