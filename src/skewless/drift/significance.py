"""Tests of whether two distributions differ, with their p-values, and what several tests are worth.

>>> round(kolmogorov_p(0.08, 1000, 1000), 6)
0.003323
>>> round(chi_square([[10, 20], [20, 10]])[2], 9)  # the last digits are the machine's
0.009823275
>>> [round(p, 3) for p in adjusted([0.01, 0.04, 0.03])]
[0.03, 0.04, 0.04]

Formulas of NumPy and the standard library alone; tests hold them against SciPy to 1e-9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from skewless.drift.sketches import Floats, distribution

LEAST_CELL = 10
"""A cell with fewer entities, both sides together, is merged with others."""
_TINY = 1e-300


def kolmogorov_distance(one: Floats, n: int, other: Floats, m: int) -> float:
    """Return ``D``: the greatest distance of two distributions of numbers, 0 to 1.

    Args:
        one, other: curves, see `Quantiles.curve`.
        n, m: how many numbers each is of.
    """
    points = np.unique(np.concatenate([one, other]))
    below, upto = distribution(one, n, points)
    other_below, other_upto = distribution(other, m, points)
    return float(max(np.abs(below - other_below).max(), np.abs(upto - other_upto).max()))


def kolmogorov_p(distance: float, n: float, m: float) -> float:
    """Return the p-value of a distance of two samples, by the law of Kolmogorov (Smirnov 1948).

    The law of the limit: what SciPy calls ``special.kolmogorov``.
    """
    x = math.sqrt(n * m / (n + m)) * distance
    if x < 0.04:
        return 1.0
    if x < 1.18:  # the same series, turned by the theta function: this one converges for small x
        base = math.exp(-(math.pi**2) / (8 * x * x))
        total = sum(base ** ((2 * k - 1) ** 2) for k in range(1, 8))
        return max(0.0, 1 - math.sqrt(2 * math.pi) / x * total)
    signs = (1.0 if k % 2 else -1.0 for k in range(1, 20))
    terms = (sign * math.exp(-2 * k * k * x * x) for k, sign in enumerate(signs, 1))
    return min(1.0, 2 * sum(terms))


def detectable(n: float, m: float, tests: int = 1, q: float = 0.05) -> float:
    """Return the distance that two samples could show at the worst place among so many tests."""
    return math.sqrt(math.log(2 * max(tests, 1) / q) / 2 * (n + m) / (n * m))


def merged_cells(counts: Sequence[Sequence[float]]) -> Any:
    """Return a table of two rows in which cells with few entities are one: the last."""
    table = np.asarray(counts, float)
    table = table[:, table.sum(0) > 0]
    rare = table.sum(0) < LEAST_CELL
    if rare.sum() < 2:
        return table
    return np.column_stack([table[:, ~rare], table[:, rare].sum(1)])


def chi_square(counts: Sequence[Sequence[float]]) -> tuple[float, int, float]:
    """Return Pearson's statistic of homogeneity, its degrees of freedom and its p-value.

    Args:
        counts: two rows: how many of each sample are in each cell.
    """
    table = np.asarray(counts, float)
    table = table[:, table.sum(0) > 0]
    freedom = table.shape[1] - 1
    if freedom < 1 or not table.sum(1).all():
        return 0.0, 0, 1.0
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic, freedom, chi_square_p(statistic, freedom)


def chi_square_p(statistic: float, freedom: int) -> float:
    """Return the chance of a greater statistic: the regularized upper incomplete gamma."""
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:  # the series of the lower one
        term = total = 1 / a
        k = a
        while abs(term) > abs(total) * 1e-16:
            k += 1
            term *= x / k
            total += term
        return max(0.0, 1 - front * total)
    b = x + 1 - a  # the continued fraction, by Lentz's method
    c, d = 1 / _TINY, 1 / b
    total = d
    for i in range(1, 10_000):
        step = -i * (i - a)
        b += 2
        d = step * d + b
        c = b + step / c
        d = 1 / (d if abs(d) > _TINY else _TINY)
        c = c if abs(c) > _TINY else _TINY
        total *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return front * total


def cramers_v(statistic: float, entities: float, columns: int) -> float:
    """Return the effect of a table of two rows: 0, no difference, to 1; corrected for its bias.

    Cramér's V of samples of one distribution grows with the cells: 40 cells of 400 entities have
    0.3 by chance alone. This is the corrected one of Bergsma, "A bias-correction for Cramér's V
    and Tschuprow's T", Journal of the Korean Statistical Society 42 (2013) 323-328.

    Args:
        statistic: of `chi_square`.
        entities: of both rows.
        columns: cells of a row that are not empty in both.
    """
    if entities <= 2 or columns < 2:
        return 0.0
    rows = 2
    phi2 = statistic / entities - (rows - 1) * (columns - 1) / (entities - 1)
    least = min(
        rows - (rows - 1) ** 2 / (entities - 1), columns - (columns - 1) ** 2 / (entities - 1)
    )
    return min(1.0, math.sqrt(max(0.0, phi2) / (least - 1))) if least > 1 else 0.0


def two_proportions(one: float, n: float, other: float, m: float) -> float:
    """Return the p-value of two shares, ``one`` of ``n`` and ``other`` of ``m`` (pooled, z)."""
    pooled = (one + other) / (n + m)
    spread = pooled * (1 - pooled) * (1 / n + 1 / m)
    if spread <= 0:
        return 1.0
    return math.erfc(abs(one / n - other / m) / math.sqrt(2 * spread))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return p-values for many tests: Benjamini and Hochberg (1995).

    Those up to ``q`` are the findings of which a share of ``q`` is false, at most and on average.
    """
    count = len(p_values)
    if not count:
        return []
    given = np.asarray(p_values, float)
    order = np.argsort(given)
    scaled = given[order] * count / np.arange(1, count + 1)
    lowest = np.minimum.accumulate(scaled[::-1])[::-1]
    found = np.empty(count)
    found[order] = np.minimum(lowest, 1.0)
    return [float(p) for p in found]
