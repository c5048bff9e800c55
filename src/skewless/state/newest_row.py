"""Reading features that are columns of the newest row, without unpacking the other rows."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from skewless.aggregations.ordering import Latest
from skewless.definitions import Aggregate, Expression, FeatureView
from skewless.errors import CorruptData
from skewless.state.blob import HEADER, TILED, VERSION, layout_mark
from skewless.state.layout import StateLayout, filter_of
from skewless.state.slots import Slot
from skewless.state.status import Status

_CHANGED = frozenset({"bool", "timestamp", "date", "decimal", "vector"})
Row = tuple[Any, ...]
Answers = tuple[list[Any], list[Status], int | None]
"""Values and statuses of some features, and the newest event behind them."""


class NewestRow:
    """Reads features that are columns of the newest row, without unpacking the others."""

    def __init__(self, layout: StateLayout, wanted: Sequence[tuple[Aggregate, int]]) -> None:
        slots = layout.slots
        self._left = layout.left
        self._tails = [at for at, slot in enumerate(slots) if not slot.fixed]
        nulls = (len(slots) + 7) // 8
        picked = sorted({slot for _, slot in wanted} | set(self._tails))
        codes = [
            slot.struct_code if at in picked else f"{struct.calcsize('<' + slot.struct_code)}x"
            for at, slot in enumerate(slots)
        ]
        tails = f"{len(self._tails)}I" if self._tails else ""
        self._head = struct.Struct(f"{HEADER.format}{tails}qqq{nulls}s")
        self._row = struct.Struct(f"<{''.join(codes)}")
        # Of head and row what `read_many` looks at: version to layout, which are the same in all
        # states, as one piece; corrections, floor, times, nulls.
        skipped = 4 + 4 * len(self._tails)
        self._glance = struct.Struct(f"<8s4xI8xq{skipped}xqq8x{nulls}s")
        flags, mark = TILED if layout.tiled else 0, layout_mark(layout.fingerprint)
        self._start = struct.pack("<BBHI", VERSION, flags, len(self._tails), mark)
        self._no_nulls = bytes(nulls)
        self._version = VERSION
        self._mark = layout_mark(layout.fingerprint)
        self._record = self._head.size + self._row.size - HEADER.size - 4 * len(self._tails)
        place = {slot: at for at, slot in enumerate(picked)}
        self._wanted = tuple(
            (place[slot], slot, 1 << slot, slots[slot], aggregate) for aggregate, slot in wanted
        )
        self._plain = all(
            slots[slot].fixed and slots[slot].dtype.kind not in _CHANGED
            and aggregate.expiry is None
            for aggregate, slot in wanted
        )  # fmt: skip
        self._present = [Status.PRESENT] * len(wanted)
        self._places = [place[slot] for _, slot in wanted]
        self._pick = _picker(self._places, len(picked))
        self._place_of = place

    @classmethod
    def compile(
        cls, layout: StateLayout, features: Sequence[tuple[FeatureView, Expression]]
    ) -> NewestRow | None:
        """Return the reader, or None when a feature is not a column of the newest row."""
        wanted = []
        for view, expression in features:
            if not is_newest_row(view, expression):
                return None
            read = layout.read_of(view, expression)  # type: ignore[arg-type]
            if read.slot is None:
                return None
            wanted.append((read.aggregate, read.slot))
        return cls(layout, wanted)

    def read(self, blob: bytes, t: int, k: int) -> Answers | None:
        """Return the answers, or None when an older row has to be looked at."""
        try:
            head = self._head.unpack_from(blob)
            found = self._row.unpack_from(blob, self._head.size)
        except struct.error:
            raise CorruptData("a state shorter than one row", got=f"{len(blob)} bytes") from None
        version, _, _, mark, rows, corrections, _, floor, _ = head[:9]
        event, known, _, null_bytes = head[-4:]
        if version != self._version or mark != self._mark or corrections or t < floor:
            return None
        at = t - self._left
        if event > at or known > k:
            return None
        null_bits = int.from_bytes(null_bytes, "little")
        if self._plain and not null_bits:
            return list(self._pick(found) if self._pick else found), self._present, event
        tails = self._tail_values(blob, (head, found), rows) if self._tails else {}
        values, statuses = [], []
        for place, at_slot, bit, slot, aggregate in self._wanted:
            value, status = self._one(found[place], null_bits & bit, slot, tails.get(at_slot))
            if aggregate.expiry is not None and at - event >= aggregate.expiry:
                value, status = None, Status.EXPIRED
            if value is None:
                value = aggregate.default
            values.append(value)
            statuses.append(status)
        return values, statuses, event

    def read_many(self, blobs: Sequence[bytes | None], t: int, k: int) -> list[Answers | None]:
        """Return what `read` says of each state; None where there is none."""
        if not self._plain:
            return [None if blob is None else self.read(blob, t, k) for blob in blobs]
        glance, row, size = self._glance.unpack_from, self._row.unpack_from, self._head.size
        pick = self._pick
        least, at = size + self._row.size, t - self._left
        start, present, no_nulls = self._start, self._present, self._no_nulls
        answers: list[Answers | None] = []
        for blob in blobs:
            if blob is not None and len(blob) >= least:
                found, corrections, floor, event, known, nulls = glance(blob)
                if (
                    found == start
                    and not corrections
                    and floor <= t
                    and event <= at
                    and known <= k
                    and nulls == no_nulls
                ):
                    found = row(blob, size)
                    answers.append((list(pick(found) if pick else found), present, event))
                    continue
            answers.append(None if blob is None else self.read(blob, t, k))
        return answers

    @staticmethod
    def _one(raw: Any, null: int, slot: Slot, tail: bytes | None) -> tuple[Any, Status]:
        if null:
            return None, Status.NULL
        if tail is not None:
            return slot.unpack(tail), Status.PRESENT
        return (slot.unpack(raw) if slot.dtype.kind in _CHANGED else raw), Status.PRESENT

    def _tail_values(
        self, blob: bytes, unpacked: tuple[tuple[Any, ...], tuple[Any, ...]], rows: int
    ) -> dict[int, bytes]:
        """Return the tail bytes of the newest row, by slot."""
        head, found = unpacked
        at = HEADER.size + 4 * len(self._tails) + rows * self._record
        values = {}
        for number, slot in enumerate(self._tails):
            values[slot] = blob[at : at + found[self._place_of[slot]]]
            at += head[9 + number]
        return values


def _picker(places: Sequence[int], count: int) -> Callable[[Row], Row] | None:
    """Return what takes values from these places of a row; None: it is all, in order."""
    if list(places) == list(range(count)):
        return None
    if len(places) == 1:
        (place,) = places
        return lambda row: (row[place],)
    return itemgetter(*places)


def is_latest(aggregate: Aggregate) -> bool:
    """Return whether an aggregate is a column of the newest row that passes its filter."""
    window, kind = aggregate.window, aggregate.aggregation
    newest = window.most_rows == 1
    return newest and type(kind) is Latest and aggregate.by is None


def is_newest_row(view: FeatureView, expression: Expression) -> bool:
    """Return whether a feature is a column of the newest row of all, and nothing else."""
    return (
        isinstance(expression, Aggregate)
        and is_latest(expression)
        and expression.aggregation.keeps_nulls  # else a newest row that is null would not count
        and filter_of(view, expression) is None
        and expression.window.offset == 0
    )
