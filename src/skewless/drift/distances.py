"""Distances that people know, shown beside a test and never the reason of an alert by themselves.

| | of | says |
|---|---|---|
| PSI | 10 bins of equal frequency of the reference | > 0.2 is often called drift; it depends on n |
| its noise | ``chi2_.99(9) (1/n + 1/m)`` | what PSI is at most, mostly, when nothing has changed |
| Wasserstein / sd | numbers | how far mass has to move, in standard deviations of the reference |
| median shift | numbers | how far the median moved, in MADs of the reference |
| JS | cells | distance of Jensen and Shannon, base 2: 0 to 1 |
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from skewless.drift.sketches import Floats, distribution

BINS = 10
EPSILON = 1e-4
_CHI2_99 = 21.665994333461924
"""The 99 % quantile of chi-square with BINS - 1 degrees of freedom."""


def number_distances(one: Floats, n: int, other: Floats, m: int) -> dict[str, float]:
    """Return the distances of two distributions of numbers, reference first.

    Args:
        one, other: curves, see `Quantiles.curve`.
        n, m: how many numbers each is of.
    """
    one, other = one[np.isfinite(one)], other[np.isfinite(other)]
    if not len(one) or not len(other):
        return {}
    found = {"psi": psi(one, n, other, m), "psi_noise": psi_noise(n, m)}
    sd = float(one.std())
    if sd > 0:
        found["wasserstein_sd"] = _wasserstein(one, n, other, m) / sd
    middle = float(np.median(one))
    mad = float(np.median(np.abs(one - middle)))
    if mad > 0:
        found["median_shift_mads"] = (float(np.median(other)) - middle) / mad
    return found


def psi(one: Floats, n: int, other: Floats, m: int) -> float:
    """Return the population stability index over ten bins of equal frequency of the reference."""
    edges = np.unique(np.quantile(one, np.linspace(0, 1, BINS + 1)[1:-1]))
    shares = []
    for curve, count in ((one, n), (other, m)):
        upto = np.concatenate([[0.0], distribution(curve, count, edges)[1], [1.0]])
        shares.append(np.maximum(np.diff(upto), EPSILON))
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def psi_noise(n: int, m: int) -> float:
    """Return what PSI reaches in one of a hundred cases in which nothing has changed."""
    return _CHI2_99 * (1 / n + 1 / m)


def _wasserstein(one: Floats, n: int, other: Floats, m: int) -> float:
    points = np.unique(np.concatenate([one, other]))
    if len(points) < 2:
        return 0.0
    upto, other_upto = distribution(one, n, points)[1], distribution(other, m, points)[1]
    return float((np.abs(upto - other_upto)[:-1] * np.diff(points)).sum())


def jensen_shannon(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the distance (base 2) of two counts over the same cells."""
    p, q = np.asarray(one, float), np.asarray(other, float)
    if not p.sum() or not q.sum():
        return 0.0
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    total = 0.0
    for each in (p, q):
        held = each > 0
        total += float((each[held] * np.log2(each[held] / middle[held])).sum()) / 2
    return math.sqrt(max(0.0, total))
