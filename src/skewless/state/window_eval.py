"""The values of one entity's aggregates at one moment, from its packed rows.

This is the finish of an online read: pure, a few microseconds per window. The rows of a window
at one moment are found here; rows of windows over time are spans (`aggregations.spans`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skewless.aggregations.counting import rate
from skewless.aggregations.exact import ExactSum
from skewless.aggregations.kernels import Want, window_summary
from skewless.aggregations.moments import Std, Var
from skewless.aggregations.ordering import Trend, percentage_change
from skewless.aggregations.windows import Lifetime, Window
from skewless.definitions import Aggregate
from skewless.forks import cached_property
from skewless.state.layout import AggregateRead, StateLayout
from skewless.state.packed_rows import RowSet
from skewless.state.status import Status
from skewless.state.tiles import ROWS, Tiles

_MEAN = int(Want.MEAN)
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
    if aggregate.by is not None:
        return {}
    empty = aggregate.aggregation.empty
    if isinstance(empty, tuple):
        return list(empty)
    return None if empty is None else aggregate.dtype.coerce(empty)


@dataclass(frozen=True)
class _Summed:
    """The aggregates that one summary of a column gives: place, index in it, whether a root."""

    slot: int
    want: int
    outputs: tuple[tuple[int, int, bool], ...]


@dataclass(frozen=True)
class _Group:
    """The aggregates that share filter and window."""

    where: int | None
    window: Window
    tiled: tuple[int, ...]
    counts: tuple[int, ...]
    summed: tuple[_Summed, ...]
    others: tuple[int, ...]


class Reads:
    """Aggregates to read together: each filter and window looked up once, each column summed once.

    Args:
        layout: of the rows.
        reads: the aggregates, in order.

    Attributes:
        unknown, empty: values and statuses for an entity never seen, and for no rows.
    """

    def __init__(self, layout: StateLayout, reads: Sequence[AggregateRead]) -> None:
        self.reads = tuple(reads)
        nothing = [answer_of(read.aggregate, None, Status.EMPTY)[0] for read in reads]
        self.empty = nothing
        self.unknown = (nothing, [Status.UNKNOWN] * len(nothing))
        grouped: dict[tuple[int | None, Window], list[int]] = {}
        for place, read in enumerate(self.reads):
            grouped.setdefault((read.filter, read.aggregate.window), []).append(place)
        self.groups = tuple(
            self._group(layout, where, window, places)
            for (where, window), places in grouped.items()
        )

    def _group(
        self, layout: StateLayout, where: int | None, window: Window, places: list[int]
    ) -> _Group:
        tiled, counts, others = [], [], []
        summed: dict[int, list[tuple[int, int, bool]]] = {}
        for place in places:
            read = self.reads[place]
            kind, slot = read.aggregate.aggregation, read.slot
            if read.rule is not None:
                tiled.append(place)
            elif read.aggregate.expiry is not None or read.by is not None:
                others.append(place)
            elif slot is None and kind.name == "count":
                counts.append(place)
            elif slot is not None and kind.name in _SUMMARY and _fits(layout, slot, kind.name):
                index = 4 if isinstance(kind, Var) and kind.ddof else _SUMMARY[kind.name]
                summed.setdefault(slot, []).append((place, index, isinstance(kind, Std)))
            else:
                others.append(place)
        found = tuple(
            _Summed(slot, 1 | sum({1 << index for _, index, _ in outputs} - {1}), tuple(outputs))
            for slot, outputs in summed.items()
        )
        return _Group(where, window, tuple(tiled), tuple(counts), found, tuple(others))


def _fits(layout: StateLayout, slot: int, name: str) -> bool:
    """Whether a summary gives the value as it is: sums of integers may leave their type."""
    kind = layout.slots[slot].dtype.kind
    return kind == "float64" or (kind == "int64" and name != "sum")


class Moment:
    """One entity's rows, asked about one moment.

    Args:
        rows: of one group, in row order.
        left: 1 where the moment itself does not count.
        t: the moment, microseconds.
        k: the knowledge: rows known later do not count.
        tiles: as they end the entity's state; None where it has none.
    """

    def __init__(self, rows: RowSet, left: int, t: int, k: int, tiles: bytes | None = None) -> None:
        self._tiles = tiles
        self.rows = rows
        self.t = t
        self.at = t - left
        self.event = np.ascontiguousarray(rows.records["event"])
        self._counted: dict[Any, tuple[int, int] | np.ndarray] = {}
        self._columns: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        visible = rows.records["known"] <= k
        if rows.corrected:
            visible &= rows.superseded > k
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
            return window.narrow(self.event, low, high, at)
        mask = np.ones(len(self.rows), bool) if self.visible is None else self.visible
        if where is not None:
            mask = mask & self.rows.passes(where)
        positions = np.flatnonzero(mask & (self.event <= at))
        low, high = window.narrow(self.event[positions], 0, len(positions), at)
        return positions[low:high]

    def answers(self, reads: Reads) -> tuple[list[Any], list[Status]]:
        """Return values and statuses of aggregates, in their order."""
        if self.newest_event is None:
            return reads.unknown
        values = list(reads.empty)
        statuses = [Status.EMPTY] * len(values)
        for group in reads.groups:
            found = self.counted(group.where, group.window)
            size = found[1] - found[0] if isinstance(found, tuple) else len(found)
            for place in group.tiled:
                values[place], statuses[place] = self.answer(reads.reads[place])
            if size == 0:
                continue
            for place in group.counts:
                values[place], statuses[place] = size, Status.PRESENT
            for summed in group.summed:
                self._summarise(reads, summed, found, (values, statuses))
            for place in group.others:
                values[place], statuses[place] = self.answer(reads.reads[place])
        return values, statuses

    def _summarise(
        self,
        reads: Reads,
        summed: _Summed,
        found: tuple[int, int] | np.ndarray,
        answers: tuple[list[Any], list[Status]],
    ) -> None:
        column, valid = self._column(summed.slot)
        if isinstance(found, tuple):
            summary = window_summary(column, valid, found[0], found[1], summed.want)
        else:
            some = None if valid is None else valid[found]
            summary = window_summary(column[found], some, 0, len(found), summed.want)
        if summary[0] == 0:
            return
        values, statuses = answers
        for place, index, rooted in summed.outputs:
            value = summary[index]
            if value != value:  # noqa: PLR0124 - NaN, the kernel's word for null
                values[place] = reads.reads[place].aggregate.default
                statuses[place] = Status.NULL
                continue
            values[place] = math.sqrt(value) if rooted else value
            statuses[place] = Status.PRESENT

    def answer(self, read: AggregateRead) -> Answer:
        """Return value and status of one aggregate."""
        aggregate = read.aggregate
        if self.newest_event is None:
            return answer_of(aggregate, None, Status.UNKNOWN)
        if read.rule is not None:
            return self._from_tiles(read, read.rule)
        found = self.counted(read.filter, aggregate.window)
        size = found[1] - found[0] if isinstance(found, tuple) else len(found)
        if size == 0:
            return answer_of(aggregate, None, Status.EMPTY)
        if self._expired(aggregate, found):
            return answer_of(aggregate, None, Status.EXPIRED)
        value, some = self._value(read, found, size)
        return answer_of(aggregate, value, Status.PRESENT if some else Status.EMPTY)

    def _expired(self, aggregate: Aggregate, found: tuple[int, int] | np.ndarray) -> bool:
        if aggregate.expiry is None:
            return False
        last = found[1] - 1 if isinstance(found, tuple) else found[-1]
        age = self.at - aggregate.window.offset - int(self.event[last])
        return age >= aggregate.expiry

    def _value(
        self, read: AggregateRead, found: tuple[int, int] | np.ndarray, size: int
    ) -> tuple[Any, bool]:
        """Return the value of at least one row, and whether any row had a value to take part."""
        kind = read.aggregate.aggregation
        if read.by is not None:
            return self._general(read, found)
        if read.slot is None and kind.name == "count":
            return size, True
        if isinstance(kind, Trend) and self._is_float(read.slot):
            return self._trend(kind, read, found)
        return self._general(read, found)

    @cached_property
    def tiles(self) -> Tiles:
        """The entity's tiles."""
        return Tiles() if self._tiles is None else Tiles.from_bytes(self._tiles)

    def _from_tiles(self, read: AggregateRead, rule: int) -> Answer:
        """Return value and status of a sum that tiles and the rows not folded into them give."""
        aggregate, tiles = read.aggregate, self.tiles
        window = aggregate.window
        slot = ROWS if read.slot is None else read.slot
        total = tiles.total(rule, slot, window.tiles(self.at - window.offset))
        found = self.counted(read.filter, window)
        rows = np.arange(*found) if isinstance(found, tuple) else found
        event = self.event[rows] + (self.t - self.at) + window.offset
        rows = rows[np.maximum(event, self.rows.records["known"][rows]) > tiles.folded]
        if read.slot is not None:
            rows = rows[~self.rows.nulls(read.slot)[rows]]
            for value in self.rows.records[f"s{read.slot}"][rows].tolist():
                total.add(value)
        count = total.n + (len(rows) if read.slot is None else 0)
        if count == 0:
            return answer_of(aggregate, None, Status.EMPTY)
        return answer_of(aggregate, _finish(aggregate, total, count), Status.PRESENT)

    def _is_float(self, slot: int | None) -> bool:
        return slot is not None and self.rows.slots[slot].dtype.kind == "float64"

    def _column(self, slot: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return values of a numeric slot and which of them are not null (None: all)."""
        found = self._columns.get(slot)
        if found is None:
            values = np.ascontiguousarray(self.rows.records[f"s{slot}"])
            valid = None
            if self._any_null:
                valid = ~self.rows.nulls(slot)
                valid = None if valid.all() else valid.view(np.uint8)
            found = self._columns[slot] = values, valid
        return found

    @cached_property
    def _any_null(self) -> bool:
        return bool(self.rows.records["nulls"].any())

    def _trend(
        self, kind: Trend, read: AggregateRead, found: tuple[int, int] | np.ndarray
    ) -> tuple[Any, bool]:
        if read.slot is None:
            return None, False
        values, valid = self._column(read.slot)
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
        """Return `Aggregate.compute` over the rows: right for everything, fast for few rows."""
        aggregate, kind = read.aggregate, read.aggregate.aggregation
        rows = np.arange(*found) if isinstance(found, tuple) else found
        groups = None
        if read.by is not None:
            rows = rows[~self.rows.nulls(read.by)[rows]]
        elif read.slot is not None and kind.keeps_nulls:
            return self.rows.value(int(rows[0 if kind.name == "first" else -1]), read.slot), True
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
        if read.by is not None:
            groups = self.rows.take(rows).values(read.by)
        return aggregate.compute(values, events, self.t, groups), True


def _finish(aggregate: Aggregate, total: ExactSum, count: int) -> Any:
    """Return the value that a number of rows and their exact sums give."""
    kind = aggregate.aggregation
    if kind.name == "count":
        return count
    if kind.name == "rate":
        return rate(count, aggregate.window)
    if kind.name == "sum" and aggregate.dtype.is_integer:
        whole = total.integer_sum()
        return whole if -(2**63) <= whole < 2**63 else None
    if isinstance(kind, Var):
        value = total.var(kind.ddof) if count > kind.ddof else math.nan
        value = math.sqrt(value) if isinstance(kind, Std) and value >= 0 else value
    else:
        value = total.mean() if kind.name == "mean" else total.sum()
    return None if math.isnan(value) else value
