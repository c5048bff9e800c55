"""The values of one entity's aggregates at one moment, from its packed rows.

This is the finish of an online read: pure, a few microseconds per window. The rows of a window
at one moment are found here; rows of windows over time are spans (`aggregations.spans`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skewless.aggregations.base import NUMBERS, Aggregation, Number
from skewless.aggregations.exact import ExactSum
from skewless.aggregations.kernels import window_summary
from skewless.aggregations.windows import Lifetime, Window
from skewless.compiled import compiled
from skewless.definitions import Aggregate
from skewless.forks import cached_property
from skewless.state.header import start_of
from skewless.state.layout import AggregateRead, StateLayout
from skewless.state.packed_rows import RowSet
from skewless.state.rules import ROWS
from skewless.state.status import Answer, Status, answer_of
from skewless.state.tiles import Tiles, numbers_of

windows: Any = compiled("skewless.state._windows") if sys.byteorder == "little" else None
_INDEX: dict[Number | None, int] = {name: at for at, name in enumerate(NUMBERS)}
_WIDER = {"float32": np.float64, "int32": np.int64}
_NUMERIC = frozenset({"float64", "int64", *_WIDER})
Found = tuple[int, int] | np.ndarray
"""Rows that count: a range, or positions."""
Places = range | np.ndarray
"""The same, as sequences."""
Quick = tuple[list[Any], list[Status], int]
Finish = Callable[[Any, Window], Any]


@dataclass(frozen=True)
class _Summed:
    """The aggregates that one summary of a column gives.

    Attributes:
        slot: of the column.
        encoder: says what is summed; None: the values as they are.
        want: which numbers.
        outputs: for each aggregate its place, which number, and what makes the value of it.
    """

    slot: int
    encoder: Aggregation | None
    want: int
    outputs: tuple[tuple[int, int, Finish | None], ...]


@dataclass(frozen=True)
class _WindowGroup:
    """The aggregates that share filter and window."""

    where: int | None
    window: Window
    tiled: tuple[int, ...]
    counts: tuple[tuple[int, Finish | None], ...]
    summed: tuple[_Summed, ...]
    others: tuple[int, ...]

    @property
    def quick(self) -> _WindowGroup:
        """What the C module reads of it."""
        if self.window.reach is None:
            return replace(self, tiled=(), counts=(), summed=(), others=())
        plain = tuple(summed for summed in self.summed if summed.encoder is None)
        return replace(self, tiled=(), summed=plain, others=())

    @property
    def rest(self) -> _WindowGroup:
        """What it does not."""
        if self.window.reach is None:
            return self
        encoded = tuple(summed for summed in self.summed if summed.encoder is not None)
        return replace(self, counts=(), summed=encoded)


class AggregatePlan:
    """Aggregates to read together: each filter and window looked up once, each column summed once.

    Args:
        layout: of the rows.
        reads: the aggregates, in order.

    Attributes:
        unknown, empty: values and statuses for an entity never seen, and for no rows.
        left: the groups that remain to be read where `quick` has found something.
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
        quick = [group for group in self.groups if group.quick.counts or group.quick.summed]
        self._compiled = windows and quick and _compiled_windows(layout, self, quick)
        self.left = self.groups
        if self._compiled:
            rest = [group.rest for group in self.groups]
            self.left = tuple(g for g in rest if g.tiled or g.counts or g.summed or g.others)

    def quick(self, blob: bytes, t: int, k: int) -> Quick | None:
        """Return values, statuses and newest event of the rows of a state, by the C module.

        Only `left` remains to be read then. None where `EntityWindows` has to read all of it.
        """
        found: Quick | None = self._compiled.answer(blob, t, k) if self._compiled else None
        return found

    def _group(
        self, layout: StateLayout, where: int | None, window: Window, places: list[int]
    ) -> _WindowGroup:
        tiled, counts, others = [], [], []
        summed: dict[tuple[int, Aggregation | None], list[tuple[int, int, Finish | None]]] = {}
        for place in places:
            read = self.reads[place]
            kind, slot = read.aggregate.aggregation, read.slot
            finish = kind.finish if kind.finishes else None
            if read.rule is not None:
                tiled.append(place)
            elif read.aggregate.expiry is not None or read.by is not None or kind.plugged_in:
                others.append(place)
            elif slot is None and kind.number == "count":
                counts.append((place, finish))
            elif slot is not None and _is_number(layout, slot) and kind.number is not None:
                key = (slot, kind if kind.encodes else None)
                summed.setdefault(key, []).append((place, _INDEX[kind.number], finish))
            else:
                others.append(place)
        found = tuple(
            _Summed(*key, 1 | sum({1 << index for _, index, _ in outputs} - {1}), tuple(outputs))
            for key, outputs in summed.items()
        )
        return _WindowGroup(where, window, tuple(tiled), tuple(counts), found, tuple(others))


def _compiled_windows(
    layout: StateLayout, plan: AggregatePlan, groups: Sequence[_WindowGroup]
) -> Any:
    """Return what the C module reads groups with."""
    fields: Any = layout.record.fields

    def output(place: int, index: int, finish: Finish | None) -> tuple[Any, ...]:
        return place, index, finish, plan.reads[place].aggregate.default

    def column(summed: _Summed) -> tuple[Any, ...]:
        outputs = tuple(output(*each) for each in summed.outputs)
        code, (_, at) = layout.slots[summed.slot].struct_code, fields[f"s{summed.slot}"]
        return code, at, summed.slot, summed.want, outputs

    def taken(group: _WindowGroup) -> tuple[Any, ...]:
        width, rows = group.window.reach or (None, None)
        counts = tuple(output(place, 0, finish) for place, finish in group.counts)
        return (
            group.window,
            -1 if group.where is None else fields[f"s{group.where}"][1],
            group.where or 0,
            group.window.offset,
            -1 if width is None else width,
            -1 if rows is None else rows,
            counts,
            tuple(column(summed) for summed in group.summed),
        )

    tails = sum(not slot.fixed for slot in layout.slots)
    return windows.WindowRows(
        start=start_of(layout.fingerprint, tails, tiled=layout.tiled),
        tails=tails,
        record=layout.record.itemsize,
        slots=len(layout.slots),
        exclusive=layout.exclusive,
        groups=tuple(taken(group.quick) for group in groups),
        empty=plan.empty,
        statuses=(Status.PRESENT, Status.NULL, Status.EMPTY),
    )


def _is_number(layout: StateLayout, slot: int) -> bool:
    return layout.slots[slot].dtype.kind in _NUMERIC


class EntityWindows:
    """One entity's rows, asked about one moment.

    Args:
        rows: of one group, in row order.
        exclusive: 1 where the moment itself does not count.
        t: the moment, microseconds.
        k: the knowledge: rows known later do not count.
        tiles: as they end the entity's state; None where it has none.
    """

    def __init__(
        self, rows: RowSet, exclusive: int, t: int, k: int, tiles: bytes | None = None
    ) -> None:
        self._tiles = tiles
        self.rows = rows
        self.t = t
        self.at = t - exclusive
        self.event = np.ascontiguousarray(rows.records["event"])
        self._counted: dict[Any, Found] = {}
        self._totals: dict[tuple[int, int | None], tuple[ExactSum, int]] = {}
        self._columns: dict[Any, tuple[np.ndarray, np.ndarray | None]] = {}
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

    def counted(self, where: int | None, window: Window) -> Found:
        """Return the rows that count, as a range or as positions, in row order."""
        key = (where, window)
        found = self._counted.get(key)
        if found is None:
            found = self._counted[key] = self._find(where, window)
        return found

    def _find(self, where: int | None, window: Window) -> Found:
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

    def answers(
        self, reads: AggregatePlan, quick: Quick | None = None
    ) -> tuple[list[Any], list[Status]]:
        """Return values and statuses of aggregates, in their order.

        Args:
            reads: the aggregates.
            quick: what `AggregatePlan.quick` has found of them; the others take their places in it.
        """
        if self.newest_event is None:
            return reads.unknown
        if quick is None:
            groups, values, statuses = (
                reads.groups,
                list(reads.empty),
                [Status.EMPTY] * len(reads.empty),
            )
        else:
            groups, (values, statuses, _) = reads.left, quick
        for group in groups:
            found = self.counted(group.where, group.window)
            size = found[1] - found[0] if isinstance(found, tuple) else len(found)
            for place in group.tiled:
                values[place], statuses[place] = self.answer(reads.reads[place])
            if size == 0:
                continue
            for place, finish in group.counts:
                values[place] = size if finish is None else finish(size, group.window)
                statuses[place] = Status.PRESENT
            for summed in group.summed:
                self._summarise(reads, (group.window, summed), found, (values, statuses))
            for place in group.others:
                values[place], statuses[place] = self.answer(reads.reads[place])
        return values, statuses

    def _summarise(
        self,
        reads: AggregatePlan,
        what: tuple[Window, _Summed],
        found: Found,
        answers: tuple[list[Any], list[Status]],
    ) -> None:
        window, summed = what
        summary = self._summary(summed.slot, summed.encoder, found, summed.want)
        if summary[0] == 0:
            return
        values, statuses = answers
        for place, index, finish in summed.outputs:
            value = summary[index]
            if finish is not None and value == value:  # noqa: PLR0124 - NaN is null
                value = finish(value, window)
            if value is None or value != value:  # noqa: PLR0124
                values[place] = reads.reads[place].aggregate.default
                statuses[place] = Status.NULL
                continue
            values[place] = value
            statuses[place] = Status.PRESENT

    def _summary(
        self, slot: int, encoder: Aggregation | None, found: Found, want: int
    ) -> tuple[Any, ...]:
        """Return the kernels' numbers of a column's values that are not null."""
        column, valid = self._column(slot, encoder)
        if isinstance(found, tuple):
            return window_summary(column, valid, found[0], found[1], want)
        some = None if valid is None else valid[found]
        return window_summary(column[found], some, 0, len(found), want)

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
        rows = self._taking_part(read, found)
        if len(rows) == 0:
            return answer_of(aggregate, None, Status.EMPTY)
        if read.by is None:
            return answer_of(aggregate, self._value(read, rows), Status.PRESENT)
        return answer_of(aggregate, self._by_text(read, rows, read.by), Status.PRESENT)

    def _by_text(self, read: AggregateRead, rows: Places, by: int) -> dict[str, Any]:
        """Return the value of the rows of each text; the order of texts is that of their bytes."""
        at, (codes, texts) = _positions(rows), self.rows.coded(by)
        own = codes[at]
        at, counts = at[np.argsort(own, kind="stable")], np.bincount(own, minlength=len(texts))
        ends = np.cumsum(counts)
        begin, ends, some = (ends - counts).tolist(), ends.tolist(), np.flatnonzero(counts)
        return {
            texts[code].decode(): self._value(read, at[begin[code] : ends[code]])
            for code in sorted(some.tolist(), key=texts.__getitem__)
        }

    def _taking_part(self, read: AggregateRead, found: Found) -> Places:
        """Return the rows that count and have what an aggregate needs of a row."""
        rows: Places = range(*found) if isinstance(found, tuple) else found
        if not self._any_null:
            return rows
        skipped = None if read.aggregate.aggregation.keeps_nulls else read.slot
        for slot in (skipped, read.by):
            nulls = None if slot is None else self.rows.nulls(slot)
            if nulls is not None and nulls.any():
                rows = _positions(rows)
                rows = rows[~nulls[rows]]
        return rows

    def _expired(self, aggregate: Aggregate, found: Found) -> bool:
        if aggregate.expiry is None:
            return False
        last = found[1] - 1 if isinstance(found, tuple) else found[-1]
        age = self.at - aggregate.window.offset - int(self.event[last])
        return age >= aggregate.expiry

    def _value(self, read: AggregateRead, rows: Places) -> Any:
        """Return the value of one row or more that all take part, in the fastest form there is."""
        kind, slot, window = read.aggregate.aggregation, read.slot, read.aggregate.window
        if kind.number == "count":
            return kind.finish(len(rows), window)
        numeric = slot is not None and self.rows.slots[slot].dtype.kind in _NUMERIC
        if kind.number is not None and slot is not None and numeric:
            index = _INDEX[kind.number]
            encoder = kind if kind.encodes else None
            found = (rows.start, rows.stop) if isinstance(rows, range) else rows
            numbers = self._summary(slot, encoder, found, 1 | 1 << index)
            return _finished(kind, numbers[index], window)
        if kind.needs is not None:
            rows = rows[kind.needs]
        event = self.event[rows.start : rows.stop] if isinstance(rows, range) else self.event[rows]
        if kind.summarises:
            values = None
            if slot is not None and self.rows.slots[slot].dtype.kind == "vector":
                values = self.rows.records[f"s{slot}"][_positions(rows)]
            elif slot is not None and numeric:
                column, valid = self._column(slot)
                part = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
                values = column[part]
                if kind.keeps_nulls and valid is not None:
                    values = _with_nulls(values, valid[part])
            value = kind.summary(values, event, self.t, window)
            if value is not NotImplemented:
                return value
        if kind.of_set and slot is not None and not self.rows.slots[slot].fixed:
            codes = self.rows.coded(slot)[0]
            rows = _positions(rows)
            rows = rows[np.unique(codes[rows], return_index=True)[1]]
            event = self.event[rows]
        return kind.compute(self._python(slot, rows), event.tolist(), self.t, window)

    def _python(self, slot: int | None, rows: Places) -> list[Any]:
        """Return the values of rows as Python has them."""
        if slot is None:
            return [None] * len(rows)
        if len(rows) == 1:
            return [self.rows.value(int(rows[0]), slot)]
        return self.rows.values(slot, _positions(rows))

    @cached_property
    def tiles(self) -> Tiles:
        """The entity's tiles."""
        return Tiles() if self._tiles is None else Tiles.from_bytes(self._tiles)

    def _from_tiles(self, read: AggregateRead, rule: int) -> Answer:
        """Return value and status of a sum that tiles and the rows not folded into them give."""
        aggregate = read.aggregate
        key = (rule, read.slot)
        if key not in self._totals:
            self._totals[key] = self._tiled_total(read, rule)
        total, count = self._totals[key]
        if count == 0:
            return answer_of(aggregate, None, Status.EMPTY)
        kind = aggregate.aggregation
        number: Any = count
        if kind.number is not None and kind.number != "count":
            number = total.number(kind.number, whole=aggregate.dtype.is_integer)
        return answer_of(aggregate, _finished(kind, number, aggregate.window), Status.PRESENT)

    def _tiled_total(self, read: AggregateRead, rule: int) -> tuple[ExactSum, int]:
        """Return the sum of tiles and of the rows not folded into them, and how many there are."""
        tiles, window = self.tiles, read.aggregate.window
        slot = ROWS if read.slot is None else read.slot
        total = tiles.total(rule, slot, window.tiles(self.at - window.offset))
        found = self.counted(read.filter, window)
        rows = np.arange(*found) if isinstance(found, tuple) else found
        shift = self.t - self.at + window.offset
        known = self.rows.records["known"]
        rows = rows[np.maximum(self.event[rows] + shift, known[rows]) > tiles.folded]
        if read.slot is None:
            return total, total.n + len(rows)
        if self._any_null:
            rows = rows[~self.rows.nulls(read.slot)[rows]]
        for value in numbers_of(self.rows, read.slot, rows):
            total.add(value)
        return total, total.n

    def _column(
        self, slot: int, encoder: Aggregation | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return values of a numeric slot and which of them are not null (None: all)."""
        key = slot if encoder is None else (slot, encoder)
        found = self._columns.get(key)
        if found is None:
            values = np.ascontiguousarray(self.rows.records[f"s{slot}"])
            wider = _WIDER.get(self.rows.slots[slot].dtype.kind)
            if wider is not None:
                values = values.astype(wider)
            if encoder is not None:
                with np.errstate(all="ignore"):
                    values = encoder.encode(values)
            valid = None
            if self._any_null:
                valid = ~self.rows.nulls(slot)
                valid = None if valid.all() else valid.view(np.uint8)
            found = self._columns[key] = values, valid
        return found

    @cached_property
    def _any_null(self) -> bool:
        return bool(self.rows.records["nulls"].any())


def _positions(rows: Places) -> np.ndarray:
    return np.arange(rows.start, rows.stop) if isinstance(rows, range) else rows


def _with_nulls(values: np.ndarray, valid: np.ndarray) -> np.ndarray | None:
    """Return values with NaN for null; None of whole numbers among which there are nulls."""
    some = valid != 0
    if some.all():
        return values
    return np.where(some, values, np.nan) if values.dtype.kind == "f" else None


def _finished(kind: Aggregation, number: Any, window: Window) -> Any:
    """Return the value that an aggregation makes of its number; None for NaN, before and after."""
    if number != number:  # noqa: PLR0124 - NaN
        return None
    value = kind.finish(number, window)
    if kind.plugged_in:
        return value  # it may be anything, see `answer_of`
    return None if value != value else value  # noqa: PLR0124
