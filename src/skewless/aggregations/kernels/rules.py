"""Rows of a rule ("the newest N", "the newest session") and the spans of in-order groups.

A row is active while ``enter <= t < superseded``. Where rows become known in the order of their
events and none is ever superseded, a row simply leaves when a later row pushes it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skewless.aggregations.kernels.spans import (
    NEVER,
    Ints,
    Spans,
    check_starts,
    checked,
    sorted_order,
)


@dataclass(frozen=True, slots=True, eq=False)
class RuleRows:
    """Rows grouped by key, in the total order of events within a group.

    ``event`` is there for sessions alone. ``dropped`` are the rows that are ever superseded, by
    (group, the time of it).
    """

    event: Ints | None
    enter: Ints
    superseded: Ints | None
    start: Ints
    enter_order: Ints | None
    dropped: Ints
    dropped_start: Ints

    @classmethod
    def build(
        cls, event: Ints | None, enter: Ints, superseded: Ints | None, group_start: Ints
    ) -> RuleRows:
        """Check the arrays and find the orders; superseded may be None for "never"."""
        enter = checked(enter, np.int64, None, "enter")
        start = checked(group_start, np.int64, None, "group_start")
        check_starts(start, len(enter), "group_start", whole=True)
        if event is not None:
            event = checked(event, np.int64, len(enter), "event")
        dropped = np.empty(0, dtype=np.int64)
        if superseded is not None:
            superseded = checked(superseded, np.int64, len(enter), "superseded")
            dropped = np.flatnonzero(superseded < NEVER)
        dropped_start = np.searchsorted(dropped, start)
        if superseded is not None and len(dropped):
            order = sorted_order(superseded[dropped], dropped_start)
            dropped = dropped if order is None else dropped[order]
        else:
            superseded = None
        return cls(
            event, enter, superseded, start, sorted_order(enter, start), dropped, dropped_start
        )

    def in_order(self) -> bool:
        """Whether every group is known in the order of its events and never superseded."""
        return self.enter_order is None and self.superseded is None


def plain_groups(rows: RuleRows) -> npt.NDArray[np.bool_]:
    """Which groups are known in the order of their events and never superseded."""
    back = np.concatenate(([0], np.cumsum(rows.enter[1:] < rows.enter[:-1]), [0]))
    first, last = rows.start[:-1], np.maximum(rows.start[1:] - 1, rows.start[:-1])
    plain: npt.NDArray[np.bool_] = back[first] == back[last]
    if rows.superseded is not None:
        plain &= np.diff(rows.dropped_start) == 0
    return plain


def plain_exits(rows: RuleRows, parameter: int) -> Ints:
    """When each row of an in-order group leaves: N rows later, or when the next run begins."""
    count = len(rows.enter)
    stop = np.repeat(rows.start[1:], np.diff(rows.start))
    if rows.event is None:
        successor = np.arange(count) + min(parameter, count)
    else:
        breaks = np.ones(count + 1, dtype=bool)
        breaks[1:-1] = _wide_gaps(rows.event, parameter)
        breaks[rows.start] = True
        following = np.flatnonzero(breaks)
        successor = following[np.searchsorted(following, np.arange(count), "right")]
    pushed = successor < stop
    exits = np.full(count, NEVER, dtype=np.int64)
    exits[pushed] = rows.enter[successor[pushed]]
    return exits


def _wide_gaps(event: Ints, gap: int) -> npt.NDArray[np.bool_]:
    apart = event[1:].view(np.uint64) - event[:-1].view(np.uint64)  # exact where the order holds
    wide: npt.NDArray[np.bool_] = apart > np.uint64(gap)
    return wide


def plain_spans(rows: RuleRows, parameter: int) -> Spans:
    """Spans where all groups are in order: span i is row i."""
    exits = plain_exits(rows, parameter)
    return Spans(None, rows.enter, exits, rows.start, None, None)
