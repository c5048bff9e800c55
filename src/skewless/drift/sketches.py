"""What a profile is made of, taken in chunks in bounded memory: quantiles, counts, distinct values.

>>> import numpy as np
>>> sketch = Quantiles()
>>> for start in range(0, 1_000_000, 10_000):
...     sketch.add(np.arange(start, start + 10_000, dtype=float))
>>> bool(abs(np.median(sketch.curve()) - 500_000) < 1_000)
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

MARKS = 1001
"""Values that a curve has at most: the ranks 0, 1/1000, ... 1."""
BUCKETS = 64
"""Cells that values too many to be listed are counted in, by their hash."""
MOST_LISTED = 50
"""Different values that are listed with their counts."""
_HALF = 8192
_MOST_COUNTED = 20_000
_BITS = 11
_CELLS = 1 << _BITS


class Quantiles:
    """Numbers of which quantiles are wanted: all of them while they are few, then a sketch.

    Two full buffers are sorted and every other value is kept, for two: the compactors of KLL
    (Karnin, Lang, Liberty 2016), with buffers of one size, and odd and even places in turn instead
    of by chance, so that the same numbers give the same curve. Exact below 16,384 numbers; the
    rank of a quantile of a million is off by some 0.0001 of them.

    Attributes:
        n: how many numbers were taken.
    """

    def __init__(self) -> None:
        self.n = 0
        self._levels: list[list[Floats]] = [[]]
        self._held = [0]
        self._odd = [False]

    def add(self, values: Floats) -> None:
        """Take numbers."""
        self.n += len(values)
        self._levels[0].append(values)
        self._held[0] += len(values)
        level = 0
        while level < len(self._held) and self._held[level] >= 2 * _HALF:
            self._compact(level)
            level += 1

    def _compact(self, level: int) -> None:
        values = np.concatenate(self._levels[level])
        values.sort()
        if level + 1 == len(self._levels):
            self._levels.append([])
            self._held.append(0)
            self._odd.append(False)
        even = len(values) - len(values) % 2
        kept = values[int(self._odd[level]) : even : 2].copy()
        self._odd[level] = not self._odd[level]
        rest = values[even:].copy()
        self._levels[level], self._held[level] = [rest] if len(rest) else [], len(rest)
        self._levels[level + 1].append(kept)
        self._held[level + 1] += len(kept)

    def curve(self) -> Floats:
        """Return the numbers in order while they are at most 1,001, else 1,001 of their ranks."""
        values, weights = [], []
        for level, held in enumerate(self._levels):
            for each in held:
                values.append(each)
                weights.append(np.full(len(each), 1 << level, np.int64))
        if not values:
            return np.zeros(0)
        return curve_of(np.concatenate(values), np.concatenate(weights))


def curve_of(values: Floats, weights: npt.NDArray[Any] | None = None) -> Floats:
    """Return numbers in order while they are at most 1,001, else 1,001 of their ranks.

    Args:
        values: the numbers, in any order.
        weights: how often each counts; None: once.
    """
    if weights is None or (weights == 1).all():
        ordered = np.sort(values)
        if len(ordered) <= MARKS:
            return ordered
        ranks = np.ceil(np.linspace(0, 1, MARKS) * len(ordered)).astype(np.int64)
        return ordered[np.clip(ranks - 1, 0, len(ordered) - 1)]
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    wanted = np.linspace(0, 1, MARKS) * reached[-1]
    found = np.searchsorted(reached, wanted - reached[-1] * 1e-12)
    return np.asarray(values[order][np.clip(found, 0, len(order) - 1)])


def distribution(curve: Floats, n: int, points: Floats) -> tuple[Floats, Floats]:
    """Return the share of numbers below each point, and of those up to it.

    Between two ranks of a curve shares are interpolated; where a curve has every number they are
    those of the numbers.

    Args:
        curve: of ``n`` numbers, see `Quantiles.curve`.
        n: how many numbers there are.
        points: where it is asked.
    """
    below = np.searchsorted(curve, points, "left").astype(float)
    upto = np.searchsorted(curve, points, "right").astype(float)
    if n <= MARKS:
        return below / len(curve), upto / len(curve)
    last = len(curve) - 1
    low = np.clip(below, 0, last) / last
    high = np.clip(upto - 1, 0, last) / last
    between = (below == upto) & (upto > 0) & (upto <= last)
    at = np.clip(upto.astype(np.int64), 1, last)
    left, right = curve[at - 1], curve[at]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(right > left, (points - left) / (right - left), 0.0)
    inside = (at - 1 + np.nan_to_num(part)) / last
    low = np.where(between, inside, low)
    high = np.where(between, inside, high)
    outside = points < curve[0]
    return np.where(outside | (points <= curve[0]), 0.0, low), np.where(outside, 0.0, high)


class Counts:
    """How often each value occurs while they are few; beyond that by a hash of the value.

    Attributes:
        listed: value to how often, of those that are still counted one by one.
        complete: whether those are all there are.
        buckets: how many values there are by their hash.
    """

    def __init__(self) -> None:
        self.listed: dict[Any, int] = {}
        self.complete = True
        self.buckets = np.zeros(BUCKETS, np.int64)

    def add(self, counts: Iterable[tuple[Any, int]], hashes: Hashes) -> None:
        """Take values with how often each occurs, and a hash of each."""
        found = list(counts)
        times = np.array([count for _, count in found], np.int64)
        np.add.at(self.buckets, (hashes % np.uint64(BUCKETS)).astype(np.int64), times)
        for value, count in found:
            self.listed[value] = self.listed.get(value, 0) + count
        if len(self.listed) > _MOST_COUNTED:
            self.complete = False
            kept = sorted(self.listed.items(), key=lambda each: -each[1])[: _MOST_COUNTED // 2]
            self.listed = dict(kept)

    def top(self) -> tuple[list[tuple[Any, int]], bool]:
        """Return the most frequent values with their counts, and whether these are all."""
        ordered = sorted(self.listed.items(), key=lambda each: (-each[1], str(each[0])))
        return ordered[:MOST_LISTED], self.complete and len(ordered) <= MOST_LISTED


class Distinct:
    """How many different values there are: HyperLogLog with 2,048 registers, to some 2 %.

    After Flajolet and others (2007), few values by linear counting.
    """

    def __init__(self, registers: npt.NDArray[np.uint8] | None = None) -> None:
        self.registers = np.zeros(_CELLS, np.uint8) if registers is None else registers

    def add(self, hashes: Hashes) -> None:
        """Take hashes of values."""
        if not len(hashes):
            return
        cell = (hashes >> np.uint64(64 - _BITS)).astype(np.int64)
        rest = (hashes << np.uint64(_BITS)) >> np.uint64(12)  # 52 bits: a float holds them exactly
        rank = np.minimum(53 - np.frexp(rest.astype(np.float64))[1], 53).astype(np.uint8)
        np.maximum.at(self.registers, cell, rank)

    def estimate(self) -> int:
        """Return about how many different values there are."""
        zeros = int((self.registers == 0).sum())
        if not zeros or zeros < _CELLS // 16:
            alpha = 0.7213 / (1 + 1.079 / _CELLS)
            raw = alpha * _CELLS**2 / float(np.sum(2.0 ** -self.registers.astype(float)))
            return round(raw)
        return round(_CELLS * float(np.log(_CELLS / zeros)))


def number_hashes(values: Floats) -> Hashes:
    """Return a hash of each number (splitmix64 of its bits); -0.0 and 0.0 have the same."""
    bits = (values + 0.0).view(np.uint64).copy()
    bits += np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))


def text_hashes(values: Iterable[Any]) -> Hashes:
    """Return a hash of each value, by its text; the same in every process."""
    from hashlib import blake2b

    digests = (blake2b(str(value).encode(), digest_size=8).digest() for value in values)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def merged_counts(parts: Iterable[Mapping[Any, float]]) -> dict[Any, float]:
    """Return how often values occur in several counts together."""
    found: dict[Any, float] = {}
    for part in parts:
        for value, count in part.items():
            found[value] = found.get(value, 0) + count
    return found
