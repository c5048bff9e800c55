"""Adding one row to a packed state without unpacking it: the way of nearly every pushed row.

A row that is newer than all others goes in front; nothing else moves. Rows that no longer count
stay until the state has grown by half, then they are dropped together (`state.update`), so that
the cost per row does not depend on the number of rows.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skewless.compiled import compiled
from skewless.expressions.scalar import compile_scalar
from skewless.state import pieces
from skewless.state.blob import grown
from skewless.state.header import HEADER, TILED, VERSION, layout_mark
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet, record_dtype
from skewless.state.pieces import Head
from skewless.state.slots import Slot
from skewless.state.tiles import TILES_END, Tiles, folded_to

_in_c = compiled("skewless.state._inserting")
_ORDER = struct.Struct("<qqq")
Order = tuple[int, int, int]
"""Event time, known time and tiebreak of a row."""


class Inserter:
    """Adds rows to the states of one layout.

    Args:
        layout: of the states.
    """

    def __init__(self, layout: StateLayout) -> None:
        self._mark = layout_mark(layout.fingerprint)
        self._tail_slots = [at for at, slot in enumerate(layout.slots) if not slot.fixed]
        self._tails = len(self._tail_slots)
        self._exclusive = layout.exclusive
        self._flags = TILED if layout.tiled else 0
        self._no_tiles = Tiles().to_bytes() if layout.tiled else b""
        self._sizes = struct.Struct(f"<{self._tails}I")
        self._rows_at = HEADER.size + self._sizes.size
        self._record = record_dtype(layout.slots).itemsize
        self._fields = [
            (compile_scalar(expression), slot.pack_value, slot.fixed, _nothing(slot))
            for slot, expression in zip(layout.slots, layout.expressions, strict=True)
        ]
        self._nulls = (len(layout.slots) + 7) // 8
        codes = "".join(slot.struct_code for slot in layout.slots)
        self._row = struct.Struct(f"<qqq{self._nulls}s{codes}")

    def record(self, values: Mapping[str, Any], order: Order) -> tuple[bytes, list[bytes]]:
        """Return a row of a source packed, and its tails.

        Args:
            values: column name to canonical value.
            order: event time, known time and tiebreak.
        """
        nulls = 0
        raws: list[Any] = []
        tails: list[bytes] = []
        for at, (compute, pack, fixed, nothing) in enumerate(self._fields):
            value = compute(values)
            raw = nothing
            if value is None:
                nulls |= 1 << at
            else:
                raw = pack(value)
            if not fixed:
                tails.append(raw)
                raw = len(raw)
            raws.append(raw)
        packed = self._row.pack(*order, nulls.to_bytes(self._nulls, "little"), *raws)
        return packed, tails

    def add_all(
        self, states: list[Any], rows: RowSet, floor: int, longest: int, skipped: bytearray
    ) -> Sequence[int]:
        """Prepend rows to their states, in the list; return the numbers of those left to do.

        Args:
            states: by group, None for an entity without one.
            rows: in the order they came in.
            floor: of states that begin.
            longest: bytes of the longest state that a row is added to.
            skipped: by group, whether all its rows are left; set for those of which some are.
        """
        if _in_c is None:
            return range(len(rows))
        records = np.ascontiguousarray(rows.records).tobytes()
        found: list[int] = _in_c.insert(
            states,
            np.ascontiguousarray(rows.group, "<i8").tobytes(),
            records,
            self._record,
            list(rows.tails.values()),
            self._first(0, floor),
            self._no_tiles,
            self._exclusive,
            longest,
            skipped,
        )
        return found

    def _first(self, sequence: int, floor: int) -> bytes:
        """Return the header of a state with one row."""
        fixed = (VERSION, self._flags, self._tails, self._mark)
        return HEADER.pack(*fixed, 1, 0, sequence, floor, grown(1))

    def start(self, record: bytes, order: Order, tails: list[bytes], floor: int) -> bytes:
        """Return the state of an entity with one row."""
        sizes = self._sizes.pack(*map(len, tails))
        return b"".join((self._first(order[2], floor), sizes, record, *tails, self._no_tiles))

    def add(self, state: bytes, record: bytes, order: Order, tails: list[bytes]) -> bytes | None:
        """Return the state with a row added, or None when that is not enough.

        None is returned for a row that is not the newest, for states with corrections and for
        states due to let old rows go. A row of the log that the state holds changes nothing.
        """
        new = self._header(state, order, self.newest(state), state)
        if new is None:
            return None
        if not new:
            return state
        if not self._tails:
            return b"".join((new, record, state[HEADER.size :]))
        return self._with_tails(state, new, record, tails)

    def add_to_head(
        self, head: Head, record: bytes, order: Order, tails: list[bytes]
    ) -> Head | None:
        """Return the head of a state in pieces with a row added; see `add`."""
        first, rows, *own, blocks, ends = head.columns
        new = self._header(first, order, _ORDER.unpack_from(rows), ends)
        if new is None:
            return None
        if not new:
            return head
        sizes = self._grown_sizes(first, tails)
        if head.size > pieces.LONG:
            head = head.moved()
            _, rows, *own, blocks, ends = head.columns
        with_row = [tail + before for tail, before in zip(tails, own, strict=True)]
        return head.with_columns((new + sizes, record + rows, *with_row, blocks, ends))

    def divided(self, state: bytes) -> Head | None:
        """Return a state that is about to grow as a head without pieces.

        Its columns: header, rows, each tail, blocks of tiles, and how those end. None for a state
        that `add` does not take.
        """
        version, flags, _, mark, rows, corrections, *_ = HEADER.unpack_from(state)
        if version != VERSION or mark != self._mark or corrections:
            return None
        at = self._rows_at + rows * self._record
        columns = [state[: self._rows_at], state[self._rows_at : at]]
        for size in self._sizes.unpack_from(state, HEADER.size):
            columns.append(state[at : at + size])
            at += size
        end = len(state) - (TILES_END if flags & TILED else 0)
        return Head((*columns, state[at:end], state[end:]))

    @staticmethod
    def order(record: bytes) -> Order:
        """Return the order of a packed row."""
        found: Order = _ORDER.unpack_from(record)
        return found

    def newest(self, state: bytes | Head) -> Order:
        """Return the order of the newest row of a state."""
        if isinstance(state, Head):
            found: Order = _ORDER.unpack_from(state.columns[1])
        else:
            found = _ORDER.unpack_from(state, self._rows_at)
        return found

    def _header(self, head: bytes, order: Order, newest: Order, ends: bytes) -> bytes | None:
        """Return the header with a row more; none if the state has the row, None if it cannot."""
        version, flags, count, mark, rows, corrections, sequence, floor, limit = HEADER.unpack_from(
            head
        )
        if version != VERSION or mark != self._mark or corrections or rows >= limit:
            return None
        if order[2] <= sequence:
            return b""
        if order <= newest:
            return None
        if flags & TILED and max(order[0] + self._exclusive, order[1]) <= folded_to(ends):
            return None
        return HEADER.pack(version, flags, count, mark, rows + 1, 0, order[2], floor, limit)

    def _grown_sizes(self, head: bytes, tails: list[bytes]) -> bytes:
        sizes = self._sizes.unpack_from(head, HEADER.size)
        return self._sizes.pack(*(s + len(tail) for s, tail in zip(sizes, tails, strict=True)))

    def _with_tails(self, state: bytes, head: bytes, record: bytes, tails: list[bytes]) -> bytes:
        rows = HEADER.unpack_from(state)[4]
        sizes = self._sizes.unpack_from(state, HEADER.size)
        at = self._rows_at + rows * self._record
        parts = [state[self._rows_at : at]]
        for size, tail in zip(sizes, tails, strict=True):
            parts += [tail, state[at : at + size]]
            at += size
        return b"".join((head, self._grown_sizes(state, tails), record, *parts, state[at:]))


def _nothing(slot: Slot) -> Any:
    """Return what stands for null in a row or its tail."""
    return b"" if slot.struct_code.endswith("s") or not slot.fixed else 0
