"""Central moments and slopes in Python's integers: the readable form, and that of any numbers.

>>> central_moments([1.0, 2.0, 6.0])
(4.666666666666667, 6.0, 32.666666666666664)
>>> slope([0.0, 2.0, 4.0], [0, 1_000_000, 2_000_000])
2.0

Values are whole numbers times one power of two, so sums of their powers are exact; each result is a
ratio of whole numbers, rounded once. Infinities, and slopes of rows of one moment, give NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from skewless.aggregations.exact import rounded_ratio
from skewless.clock import SECOND


def central_moments(values: Sequence[float | int]) -> tuple[float, float, float]:
    """Return the second, third and fourth central moment of at least one value."""
    if not all(map(math.isfinite, values)):
        return math.nan, math.nan, math.nan
    digits, exponent = whole(values)
    n, s1 = len(digits), sum(digits)
    squares = [x * x for x in digits]
    s2, s4 = sum(squares), sum(x * x for x in squares)
    s3 = sum(x * square for x, square in zip(digits, squares, strict=True))
    second = n * s2 - s1**2
    third = n * n * s3 - 3 * n * s1 * s2 + 2 * s1**3
    fourth = n**3 * s4 - 4 * n * n * s1 * s3 + 6 * n * s1 * s1 * s2 - 3 * s1**4
    return (
        rounded_ratio(second, n**2, 2 * exponent),
        rounded_ratio(third, n**3, 3 * exponent),
        rounded_ratio(fourth, n**4, 4 * exponent),
    )


def slope(values: Sequence[float | int], events: Sequence[int]) -> float:
    """Return the slope of the least-squares line over event time, per second."""
    if not all(map(math.isfinite, values)):
        return math.nan
    digits, exponent = whole(values)
    times = [event - events[0] for event in events]
    n, t1, x1 = len(digits), sum(times), sum(digits)
    spread = n * sum(t * t for t in times) - t1 * t1
    product = n * sum(t * x for t, x in zip(times, digits, strict=True)) - t1 * x1
    return rounded_ratio(product * SECOND, spread, exponent) if spread else math.nan


def whole(values: Sequence[float | int]) -> tuple[list[int], int]:
    """Return finite values as whole numbers times a power of two."""
    ratios = [value.as_integer_ratio() for value in values]
    largest = max(denominator for _, denominator in ratios)
    return [number * (largest // denominator) for number, denominator in ratios], (
        1 - largest.bit_length()
    )
