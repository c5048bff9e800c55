"""The rules of a state: which rows an aggregate may still count, and what its tiles must give."""

from __future__ import annotations

from dataclasses import dataclass

from skewless.aggregations.base import AGGREGATIONS, Deciding
from skewless.aggregations.windows import Window

ROWS = -1
"""Stands for the slot where whole rows are counted."""


@dataclass(frozen=True, order=True)
class Use:
    """What an aggregate takes from the rows of a rule that has tiles.

    Attributes:
        kind: name of the aggregation.
        slot: index of the slot of its values; `ROWS` for whole rows.
        skips_nulls: whether rows whose value is null do not take part.
    """

    kind: str
    slot: int
    skips_nulls: bool

    @property
    def decides(self) -> type[Deciding] | None:
        """The aggregation, where rows that decide are kept; None where sums are."""
        kind = AGGREGATIONS[self.kind]
        return kind if issubclass(kind, Deciding) else None


@dataclass(frozen=True)
class Rule:
    """Which rows one aggregate may still count.

    Attributes:
        filter: index of the slot that says whether a row passes; None where all do.
        window: from which the rows are taken.
        uses: what tiles are asked for; empty where the rows themselves are kept.
    """

    filter: int | None
    window: Window
    uses: tuple[Use, ...] = ()
