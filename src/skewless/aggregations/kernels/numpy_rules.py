"""Spans of the newest N rows and of the newest session, in Python.

Rows of a group are in the order of their events; a row is active while ``enter <= t < superseded``.
What is superseded at a moment goes before what enters then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, insort

import numpy as np

from skewless.aggregations.kernels.rules import RuleRows, plain_exits, plain_groups
from skewless.aggregations.kernels.spans import NEVER, Spans

Change = tuple[int, bool, int]


class _Rule(ABC):
    """The chosen rows of one group are the active rows from `first` on; spans as they open."""

    def __init__(self, rows: RuleRows, parameter: int) -> None:
        self.rows = rows
        self.parameter = parameter
        self.active: list[int] = []
        self.first = NEVER
        self.now = 0
        self.spans: list[list[int]] = []  # row, enter, exit
        self.slot: dict[int, int] = {}

    @abstractmethod
    def next_first(self, entering: bool, row: int) -> int:
        """The first chosen row now that a row has entered or gone; NEVER if none is active."""

    def run(self, group: int) -> list[list[int]]:
        for time, entering, row in _changes(self.rows, group):
            self.now, before = time, self.first
            if entering:
                insort(self.active, row)
            else:
                self.active.pop(bisect_left(self.active, row))
                if row >= before:
                    self.close(row)
            self.first = self.next_first(entering, row)
            if entering and row >= self.first:
                self.open(row)
            for other in self.between(before, self.first):
                self.close(other)
            for other in reversed(self.between(self.first, before)):
                if other != row:
                    self.open(other)
        return self.spans

    def between(self, low: int, high: int) -> list[int]:
        return self.active[bisect_left(self.active, low) : bisect_left(self.active, high)]

    def open(self, row: int) -> None:
        self.slot[row] = len(self.spans)
        self.spans.append([row, self.now, NEVER])

    def close(self, row: int) -> None:
        self.spans[self.slot[row]][2] = self.now


class _Newest(_Rule):
    def next_first(self, entering: bool, row: int) -> int:
        return self.active[-self.parameter :][0] if self.active else NEVER


class _Session(_Rule):
    def next_first(self, entering: bool, row: int) -> int:
        at = bisect_left(self.active, row)
        return self.first_after_entering(at) if entering else self.first_after_going(at, row)

    def first_after_entering(self, at: int) -> int:
        if at + 1 == len(self.active):
            return self.first if self.is_near(at - 1, at) else self.active[at]
        reaches_run = self.active[at + 1] == self.first and self.is_near(at, at + 1)
        return self.run_from(at) if reaches_run else self.first

    def first_after_going(self, at: int, row: int) -> int:
        if row < self.first:
            return self.first
        if at == len(self.active):
            return self.run_from(at - 1) if row == self.first else self.first
        parted = row == self.first or not self.is_near(at - 1, at)
        return self.active[at] if parted else self.first

    def is_near(self, older: int, newer: int) -> bool:
        event = self.rows.event
        if event is None or older < 0 or newer >= len(self.active):
            return False
        apart = int(event[self.active[newer]]) - int(event[self.active[older]])
        return apart <= self.parameter

    def run_from(self, at: int) -> int:
        """The first row of the run that ends at a place."""
        while self.is_near(at - 1, at):
            at -= 1
        return self.active[at] if at >= 0 else NEVER


def _changes(rows: RuleRows, group: int) -> list[Change]:
    """(time, entering, row) of one group as time goes on."""
    low, high = int(rows.start[group]), int(rows.start[group + 1])
    order = np.arange(low, high) if rows.enter_order is None else rows.enter_order[low:high]
    gone = rows.dropped[rows.dropped_start[group] : rows.dropped_start[group + 1]]
    if rows.superseded is not None:
        order = order[rows.enter[order] < rows.superseded[order]]
        gone = gone[rows.enter[gone] < rows.superseded[gone]]
    changes = [(int(rows.enter[row]), True, int(row)) for row in order]
    if rows.superseded is not None:
        changes += [(int(rows.superseded[row]), False, int(row)) for row in gone]
    return sorted(changes, key=lambda change: change[:2])


def rule_spans(rows: RuleRows, parameter: int) -> Spans:
    """The newest N rows, or the newest session where events are given."""
    kind = _Newest if rows.event is None else _Session
    plain, exits = plain_groups(rows), plain_exits(rows, parameter)
    pieces, start = [], [0]
    for group, is_plain in enumerate(plain.tolist()):
        own = slice(int(rows.start[group]), int(rows.start[group + 1]))
        if is_plain:
            piece = np.column_stack((np.arange(own.start, own.stop), rows.enter[own], exits[own]))
        else:
            spans = kind(rows, parameter).run(group)
            piece = np.array(spans, dtype=np.int64).reshape(-1, 3)
        pieces.append(piece)
        start.append(start[-1] + len(piece))
    every = np.concatenate([np.empty((0, 3), dtype=np.int64), *pieces])
    row, enter, leave = (np.ascontiguousarray(column) for column in every.T)
    return Spans.build(enter, leave, np.array(start, dtype=np.int64), row)
