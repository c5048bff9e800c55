"""Which entities a profile is of, and at which hours they were asked for, in a few numbers.

>>> one, other = EntityKeys(), EntityKeys()
>>> one.add([("c1",), ("c2",)], [0, 3_600_000_000])
>>> other.add([("c2",), ("c3",)], [0, 0])
>>> one.share_in(other), one.hours_apart(other)
(0.5, 0.5)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skewless.drift.sketches import text_hashes

KEPT = 512
"""Smallest hashes that are kept: of more keys, what two sets share is known to some 4 %."""
_HOUR = 3_600_000_000
_SPACE = 2.0**32


@dataclass
class EntityKeys:
    """The smallest hashes of some join keys (32 bits: they name nobody), and hours of the day.

    Attributes:
        smallest: in order; all of them while there are at most `KEPT`.
        hours: how many entities were asked for in each hour of the day, UTC.
        complete: whether ``smallest`` has all.
    """

    smallest: list[int] = field(default_factory=list)
    hours: list[int] = field(default_factory=lambda: [0] * 24)
    complete: bool = True

    def add(self, keys: Iterable[tuple[Any, ...]], moments: Iterable[int]) -> None:
        """Take join keys, and the moments they were asked about, UTC microseconds."""
        found = np.unique(text_hashes(keys) >> np.uint64(32)).tolist()
        merged = sorted({*self.smallest, *found})
        self.complete = self.complete and len(merged) <= KEPT
        self.smallest = merged[:KEPT]
        for moment in moments:
            self.hours[moment // _HOUR % 24] += 1

    @property
    def count(self) -> float:
        """About how many keys there are."""
        return len(self.smallest) if self.complete else (KEPT - 1) / self.smallest[-1] * _SPACE

    def share_in(self, other: EntityKeys) -> float | None:
        """Return about which share of these keys is among those of another; None of none."""
        if not self.smallest:
            return None
        mine, theirs = set(self.smallest), set(other.smallest)
        union = EntityKeys(sorted(mine | theirs)[:KEPT])
        union.complete = self.complete and other.complete and len(mine | theirs) <= KEPT
        both = sum(key in mine and key in theirs for key in union.smallest)
        if union.complete:
            return both / len(mine)
        return min(1.0, both / len(union.smallest) * union.count / self.count)

    def hours_apart(self, other: EntityKeys) -> float | None:
        """Return which share was asked for at other hours: 0, the same hours, to 1."""
        mine, theirs = np.array(self.hours, float), np.array(other.hours, float)
        if not mine.sum() or not theirs.sum():
            return None
        return float(np.abs(mine / mine.sum() - theirs / theirs.sum()).sum() / 2)

    def to_record(self) -> dict[str, Any]:
        """Return it as the ledger keeps it."""
        return vars(self).copy()

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> EntityKeys:
        """Return what `to_record` gave."""
        return cls(list(data["smallest"]), list(data["hours"]), data["complete"])
