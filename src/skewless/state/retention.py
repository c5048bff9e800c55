"""Which rows of a state may still count, and so have to be kept."""

from __future__ import annotations

import numpy as np

from skewless.clock import NEVER
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet
from skewless.state.tiles import deciding, entered


def retained(
    layout: StateLayout, rows: RowSet, floor: int, folded: np.ndarray | None = None
) -> np.ndarray:
    """Return which rows may still count at or after ``floor`` (a mask); the newest always stays.

    Args:
        layout: says what the views need.
        rows: sorted by group and row order.
        floor: the earliest moment that will be asked about, microseconds.
        folded: the moment that the tiles of each row's group are folded to; None: keep all rows
            that tiles could stand for.
    """
    event, known = rows.records["event"] + layout.exclusive, rows.records["known"]

    def settled(offset: int) -> np.ndarray:
        """Rows that count at the floor and are never replaced: they displace older ones."""
        found: np.ndarray = np.maximum(event + offset, known) <= floor
        found &= rows.superseded == NEVER
        return found

    # Whether an entity was ever seen is told by its newest row, at any moment from the floor on.
    keep = rows.later_in_group(settled(0)) < 1
    for rule in layout.rules:
        passes = np.ones(len(rows), bool) if rule.filter is None else rows.passes(rule.filter)
        window = rule.window
        alive = passes & (rows.superseded > floor)

        def displacing(offset: int = window.offset, passes: np.ndarray = passes) -> np.ndarray:
            both: np.ndarray = settled(offset) & passes
            return both

        def coming(
            offset: int = window.offset, passes: np.ndarray = passes, alive: np.ndarray = alive
        ) -> np.ndarray:
            """Rows that count only later, or only for a while yet: what they join is kept."""
            both: np.ndarray = alive & ~(settled(offset) & passes)
            return both

        begin = floor - layout.exclusive - window.offset
        alive = alive & window.may_count(rows, displacing, coming, begin)
        if rule.uses and folded is not None:
            inside = alive & (entered(layout, rows, rule) <= folded) & (rows.superseded == NEVER)
            alive &= ~inside | deciding(rows, rule, inside)
        keep |= alive
    return keep
