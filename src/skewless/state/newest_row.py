"""Reading features that are columns of the newest row, without unpacking the other rows.

Done by the C module where there is one (``_reading``), else here: both give the same.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from skewless.aggregations.ordering import Latest
from skewless.clock import NEVER
from skewless.compiled import compiled
from skewless.definitions import Aggregate, Expression, FeatureView
from skewless.errors import CorruptData
from skewless.state.header import HEADER, VERSION, layout_mark, start_of
from skewless.state.layout import StateLayout, filter_of
from skewless.state.slots import Slot
from skewless.state.status import Status

reading = compiled("skewless.state._reading") if sys.byteorder == "little" else None
_CHANGED = frozenset({"bool", "timestamp", "date", "decimal", "vector"})
_FORM = {
    "float64": "d", "float32": "f", "int64": "q", "int32": "i", "bool": "b", "vector": "v",
    "str": "u", "json": "u", "bytes": "y", "timestamp": "Q", "date": "I", "decimal": "R",
}  # fmt: skip
"""How the C module reads a type; others from their tail, by `Slot.unpack`."""
_TIMES = struct.Struct("<qqq")
Row = tuple[Any, ...]
Column = tuple[str, int, int, int, int, int, Any, Callable[[Any], Any]]
"""A column for the C module: form, place, size, tail, slot, expiry, default, what unpacks it."""
Columns = Callable[[Sequence[bytes | None], int, int], Any]
Answers = tuple[list[Any], list[Status], int | None]
"""Values and statuses of some features, and the newest event behind them."""


class NewestRow:
    """Reads features that are columns of the newest row, without unpacking the others."""

    def __init__(self, layout: StateLayout, wanted: Sequence[tuple[Aggregate, int]]) -> None:
        slots = self._slots = layout.slots
        self._exclusive = layout.exclusive
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
        self._start = start_of(layout.fingerprint, len(self._tails), tiled=layout.tiled)
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
        self._compiled = self._columns_of(range(len(wanted)))

    def _columns_of(self, order: Iterable[int]) -> Any:
        """Return what the C module reads some of the features with; None where there is none."""
        if reading is None:
            return None
        at, places = _TIMES.size + len(self._no_nulls), []
        for slot in self._slots:
            places.append(at)
            at += struct.calcsize(f"<{slot.struct_code}")
        columns = []
        for number in order:
            _, slot_at, _, slot, aggregate = self._wanted[number]
            code, kind = slot.struct_code, slot.dtype.kind
            size = slot.dtype.size if kind == "vector" else struct.calcsize(f"<{code}")
            tail = self._tails.index(slot_at) if slot_at in self._tails else -1
            expiry = -1 if aggregate.expiry is None else min(aggregate.expiry, NEVER)
            form = _FORM.get(kind, "T")
            column = (form, places[slot_at], size, tail, slot_at, expiry, aggregate.default)
            columns.append((*column, slot.unpack))
        return reading.NewestRows(
            start=self._start,
            tails=len(self._tails),
            record=self._record,
            slots=len(self._slots),
            exclusive=self._exclusive,
            columns=tuple(columns),
            statuses=(Status.PRESENT, Status.NULL, Status.EXPIRED),
        )

    def columns(self, order: Iterable[int]) -> Columns | None:
        """Return what reads features of many states at once, in another order.

        It takes states, ``t`` and ``k`` and returns values, statuses and newest events, a list per
        state; None where `read` has to be asked of one, or there is none. None without a compiler.
        """
        compiled = self._columns_of(order)
        return None if compiled is None else compiled.found

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
        at = t - self._exclusive
        if event > at or known > k:
            return None
        null_bits = int.from_bytes(null_bytes, "little")
        if self._plain and not null_bits:
            return list(self._pick(found) if self._pick else found), self._present, event
        tails = self._tail_values(blob, (head, found), rows) if self._tails else {}
        values, statuses = [], []
        for place, at_slot, bit, slot, aggregate in self._wanted:
            if aggregate.expiry is not None and at - event >= aggregate.expiry:
                value, status = None, Status.EXPIRED
            else:
                value, status = self._one(found[place], null_bits & bit, slot, tails.get(at_slot))
            if value is None:
                value = aggregate.default
            values.append(value)
            statuses.append(status)
        return values, statuses, event

    def read_many(self, blobs: Sequence[bytes | None], t: int, k: int) -> list[Answers | None]:
        """Return what `read` says of each state; None where there is none."""
        if self._compiled is not None:
            quick: list[Answers | None] = self._compiled.answers(blobs, t, k)
            if None not in quick:
                return quick
            return [
                self.read(blob, t, k) if answer is None and blob is not None else answer
                for blob, answer in zip(blobs, quick, strict=True)
            ]
        if not self._plain:
            return [None if blob is None else self.read(blob, t, k) for blob in blobs]
        glance, row, size = self._glance.unpack_from, self._row.unpack_from, self._head.size
        pick = self._pick
        least, at = size + self._row.size, t - self._exclusive
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
        and filter_of(view, expression) is None
        and is_of_newest_row(expression)
    )


def is_of_newest_row(aggregate: Aggregate) -> bool:
    """Return whether an aggregate is a column of the newest row of those that pass its filter."""
    return (
        is_latest(aggregate)
        and aggregate.aggregation.keeps_nulls  # else a newest row that is null would not count
        and aggregate.window.offset == 0
    )
