"""The values of one entity's aggregates at one moment, from its packed rows.

This is the finish of an online read: pure, a few microseconds per window. The rows of a window
at one moment are found here; rows of windows over time are spans (`aggregations.spans`).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from skewless.aggregations.kernels import Want, window_summary
from skewless.aggregations.moments import Std, Var
from skewless.aggregations.ordering import Trend, percentage_change
from skewless.aggregations.windows import LastN, Lifetime, Session, Sliding, Tumbling, Window
from skewless.definitions import Aggregate
from skewless.plan.layout import AggregateRead
from skewless.plan.rows import RowSet
from skewless.plan.status import Status

_ALL, _MEAN = int(Want.ALL), int(Want.MEAN)
_SUMMED = ("float64", "int64")
_SUMMARY = {"count": 0, "sum": 1, "mean": 2, "var": 3, "std": 3, "min": 5, "max": 6}
Answer = tuple[Any, Status]


def answer_of(aggregate: Aggregate, value: Any, status: Status) -> Answer:
    """Return value and status, with the identity or the default in place of nothing."""
    if value is None:
        if status is not Status.PRESENT and status is not Status.EXPIRED:
            value = identity(aggregate)
        elif status is Status.PRESENT:
            status = Status.NULL
        if value is None:
            value = aggregate.default
    return value, status


def identity(aggregate: Aggregate) -> Any:
    """Return the value of an aggregate over no rows; None where it has none."""
    empty = aggregate.aggregation.empty
    if isinstance(empty, tuple):
        return list(empty)
    return None if empty is None else aggregate.dtype.coerce(empty)


class Moment:
    """One entity's rows, asked about one moment.

    Args:
        rows: of one group, in row order.
        left: 1 where the moment itself does not count.
        t: the moment, microseconds.
        k: the knowledge: rows known later do not count.
    """

    def __init__(self, rows: RowSet, left: int, t: int, k: int) -> None:
        self.rows = rows
        self.t = t
        self.at = t - left
        self.event = np.ascontiguousarray(rows.records["event"])
        self._summaries: dict[Any, tuple[Any, ...]] = {}
        self._counted: dict[Any, tuple[int, int] | np.ndarray] = {}
        self._columns: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        visible = (rows.records["known"] <= k) & (rows.superseded > k)
        self.visible = None if visible.all() else visible

    @cached_property
    def newest_event(self) -> int | None:
        """Event time of the newest row that may count; None when there is none."""
        found = self.counted(None, Lifetime())
        if isinstance(found, tuple):
            return int(self.event[found[1] - 1]) if found[1] > found[0] else None
        return int(self.event[found[-1]]) if len(found) else None

    def counted(self, where: int | None, window: Window) -> tuple[int, int] | np.ndarray:
        """Return the rows that count, as a range or as positions, in row order."""
        key = (where, window)
        found = self._counted.get(key)
        if found is None:
            found = self._counted[key] = self._find(where, window)
        return found

    def _find(self, where: int | None, window: Window) -> tuple[int, int] | np.ndarray:
        at = self.at - window.offset
        if where is None and self.visible is None:
            low, high = 0, int(self.event.searchsorted(at, "right"))
            return _narrow(window, self.event, low, high, at)
        mask = np.ones(len(self.rows), bool) if self.visible is None else self.visible
        if where is not None:
            mask = mask & self.rows.passes(where)
        positions = np.flatnonzero(mask & (self.event <= at))
        low, high = _narrow(window, self.event[positions], 0, len(positions), at)
        return positions[low:high]

    def answer(self, read: AggregateRead) -> Answer:
        """Return value and status of one aggregate."""
        aggregate = read.aggregate
        if self.newest_event is None:
            return answer_of(aggregate, None, Status.UNKNOWN)
        found = self.counted(read.filter, aggregate.window)
        size = found[1] - found[0] if isinstance(found, tuple) else len(found)
        if size == 0:
            return answer_of(aggregate, None, Status.EMPTY)
        if self._expired(aggregate, found):
            return answer_of(aggregate, None, Status.EXPIRED)
        value, some = self._value(read, found, size)
        return answer_of(aggregate, value, Status.PRESENT if some else Status.EMPTY)

    def _expired(self, aggregate: Aggregate, found: tuple[int, int] | np.ndarray) -> bool:
        window = aggregate.window
        limit = aggregate.ttl
        if limit is None and not isinstance(window, Session):
            return False
        last = found[1] - 1 if isinstance(found, tuple) else found[-1]
        age = self.at - window.offset - int(self.event[last])
        if isinstance(window, Session):
            return age > window.gap
        return limit is not None and age >= limit

    def _value(
        self, read: AggregateRead, found: tuple[int, int] | np.ndarray, size: int
    ) -> tuple[Any, bool]:
        """Return the value of at least one row, and whether any row had a value to take part."""
        kind = read.aggregate.aggregation
        name = kind.name
        if read.slot is None and name == "count":
            return size, True
        if read.slot is not None and self.rows.slots[read.slot].dtype.kind in _SUMMED:
            if name in _SUMMARY:
                return self._from_summary(read, found)
            if isinstance(kind, Trend):
                return self._trend(kind, read, found)
        return self._general(read, found)

    def _from_summary(
        self, read: AggregateRead, found: tuple[int, int] | np.ndarray
    ) -> tuple[Any, bool]:
        kind = read.aggregate.aggregation
        summary = self._summary(read, found)
        if summary[0] == 0:
            return None, False
        ddof = kind.ddof if isinstance(kind, Var) else 0
        value = summary[4 if ddof else _SUMMARY[kind.name]]
        if isinstance(value, float) and math.isnan(value):
            return None, True
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return None, True
        return (math.sqrt(value) if isinstance(kind, Std) else value), True

    def _summary(self, read: AggregateRead, found: tuple[int, int] | np.ndarray) -> tuple[Any, ...]:
        key = (read.slot, read.filter, read.aggregate.window)
        if key not in self._summaries:
            values, valid = self._column(read)
            if isinstance(found, tuple):
                self._summaries[key] = window_summary(values, valid, found[0], found[1], _ALL)
            else:
                some = None if valid is None else valid[found]
                self._summaries[key] = window_summary(values[found], some, 0, len(found), _ALL)
        return self._summaries[key]

    def _column(self, read: AggregateRead) -> tuple[np.ndarray, np.ndarray | None]:
        """Return values of a float slot and which of them are not null (None: all)."""
        slot = read.slot
        if slot is None:
            raise ValueError("an aggregation of whole rows has no column")
        if slot not in self._columns:
            valid = ~self.rows.nulls(slot)
            values = np.ascontiguousarray(self.rows.records[f"s{slot}"])
            self._columns[slot] = values, None if valid.all() else valid.view(np.uint8)
        return self._columns[slot]

    def _trend(
        self, kind: Trend, read: AggregateRead, found: tuple[int, int] | np.ndarray
    ) -> tuple[Any, bool]:
        values, valid = self._column(read)
        rows = np.arange(*found) if isinstance(found, tuple) else found
        if valid is not None:
            rows = rows[valid[rows] != 0]
        if len(rows) == 0:
            return None, False
        if len(rows) < kind.recent:
            return None, True
        if len(rows) == kind.recent:
            return 0.0, True
        taken, split = values[rows], len(rows) - kind.recent
        old, new = (window_summary(taken, None, *part, _MEAN)[2] for part in
                    ((0, split), (split, len(rows))))  # fmt: skip
        if math.isnan(old) or math.isnan(new):
            return None, True
        return percentage_change(old, new), True

    def _general(
        self, read: AggregateRead, found: tuple[int, int] | np.ndarray
    ) -> tuple[Any, bool]:
        """Return `Aggregation.compute` over the rows: right for everything, fast for few rows."""
        aggregate, kind = read.aggregate, read.aggregate.aggregation
        rows = np.arange(*found) if isinstance(found, tuple) else found
        if kind.name in ("latest", "first") and kind.keeps_nulls:
            rows = rows[-1:] if kind.name == "latest" else rows[:1]
        if read.slot is None:
            values: list[Any] = [None] * len(rows)
        else:
            values = self.rows.take(rows).values(read.slot)
            if not kind.keeps_nulls:
                some = [at for at, value in enumerate(values) if value is not None]
                values, rows = [values[at] for at in some], rows[some]
        if not values:
            return None, False
        events = self.event[rows].tolist()
        return kind.compute(values, events, self.t, aggregate.window), True


def _narrow(window: Window, event: np.ndarray, low: int, high: int, at: int) -> tuple[int, int]:
    """Return the part of rows ``low:high`` (event times up to ``at``) that the window holds."""
    match window:
        case Sliding():
            start = at - window.width
            if window.resolution:
                start = start // window.resolution * window.resolution
            low = max(low, int(event.searchsorted(start, "right")))
        case LastN():
            low = max(low, high - window.n)
        case Tumbling():
            end = at // window.width * window.width
            low = int(event.searchsorted(end - window.width, "left"))
            high = int(event.searchsorted(end, "left"))
        case Session():
            breaks = np.flatnonzero(np.diff(event[low:high]) > window.gap)
            low = low + int(breaks[-1]) + 1 if len(breaks) else low
    return low, max(low, high)
