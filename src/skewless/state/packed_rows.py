"""Rows on their way into and out of the online store: columns of many entities at once.

A `RowSet` holds rows sorted by group (entity) and row order: (event time, known time, tiebreak).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from skewless.clock import NEVER
from skewless.forks import cached_property
from skewless.state.slots import Slot
from skewless.state.texts import Coded, numbered

if TYPE_CHECKING:
    import pyarrow as pa

Tail = list[bytes]
_AS_THEY_ARE = frozenset({"float32", "float64", "int32", "int64"})
_SHARED = frozenset({"str", "json", "bytes"})


@lru_cache(maxsize=512)
def record_dtype(slots: tuple[Slot, ...]) -> np.dtype[Any]:
    """Return the form of one packed row: times, tiebreak, a bit per null, then the slots."""
    nulls = (len(slots) + 7) // 8
    head = [("event", "<i8"), ("known", "<i8"), ("tiebreak", "<i8"), ("nulls", "u1", (nulls,))]
    fields: list[Any] = head + [(f"s{at}", slot.field) for at, slot in enumerate(slots)]
    return np.dtype(fields)


def _joined(records: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenate packed rows; np.concatenate takes its time over the fields of each."""
    ends = np.cumsum([len(each) for each in records]).tolist()
    joined = np.empty(ends[-1], records[0].dtype)
    for each, end in zip(records, ends, strict=True):
        joined[end - len(each) : end] = each
    return joined


class RowSet:
    """Rows of many entities, sorted by group and row order.

    Attributes:
        slots: the columns.
        records: one packed row each (`record_dtype`).
        group: int64, which entity each row belongs to, ascending.
    """

    def __init__(
        self,
        slots: tuple[Slot, ...],
        records: np.ndarray,
        group: np.ndarray,
        superseded: np.ndarray | None = None,
        tails: dict[int, Tail] | None = None,
        *,
        coded: dict[int, Coded] | None = None,
    ) -> None:
        self.slots = slots
        self.records = records
        self.group = group
        self._superseded = superseded
        self._tails = tails
        self._coded = coded or {}

    @cached_property
    def tails(self) -> dict[int, Tail]:
        """For each slot that is not fixed, the bytes of each row's value."""
        if self._tails is not None:
            return self._tails
        return {
            slot: [texts[code] for code in codes.tolist()]
            for slot, (codes, texts) in self._coded.items()
        }

    def coded(self, slot: int) -> Coded:
        """Return the distinct bytes of a slot that is not fixed, and which of them rows have."""
        found = self._coded.get(slot)
        if found is None:
            found = self._coded[slot] = numbered(self.tails[slot])
        return found

    @property
    def superseded(self) -> np.ndarray:
        """When a correction replaced each row, int64; `NEVER` for most."""
        if self._superseded is None:
            self._superseded = np.full(len(self.records), NEVER, np.int64)
        return self._superseded

    @property
    def event(self) -> np.ndarray:
        """Event time of each row, int64."""
        return self.records["event"]

    @property
    def corrected(self) -> bool:
        """Whether any row may have been replaced."""
        return self._superseded is not None

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def build(
        cls,
        slots: tuple[Slot, ...],
        columns: Sequence[pa.Array],
        order: tuple[np.ndarray, np.ndarray, np.ndarray],
        group: np.ndarray,
        superseded: np.ndarray | None = None,
    ) -> RowSet:
        """Return rows from Arrow columns (one per slot), in any order; see `sorted`.

        Args:
            slots: the columns' slots.
            columns: their values, in canonical Arrow types.
            order: event time, known time and tiebreak.
            group: the entity of each row.
            superseded: when each row was replaced.
        """
        records = np.zeros(len(group), record_dtype(slots))
        records["event"], records["known"], records["tiebreak"] = order
        tails: dict[int, Tail] = {}
        for at, (slot, column) in enumerate(zip(slots, columns, strict=True)):
            if column.null_count:
                null = np.asarray(column.is_null())
                records["nulls"][:, at // 8] |= null.astype(np.uint8) << (at % 8)
            if slot.fixed:
                records[f"s{at}"] = slot.pack_fixed(column)
            else:
                tails[at] = slot.pack_tail(column)
                records[f"s{at}"] = np.fromiter(map(len, tails[at]), np.uint32, len(group))
        return cls(slots, records, group, superseded, tails)

    def take(self, rows: np.ndarray) -> RowSet:
        """Return the rows at these positions (or under this mask), in that order."""
        at = np.flatnonzero(rows) if rows.dtype == bool else rows
        tails = {slot: [tail[i] for i in at.tolist()] for slot, tail in self.tails.items()}
        superseded = self.superseded[at] if self.corrected else None
        # np.take: indexing of records goes field by field, twenty times slower.
        return RowSet(self.slots, np.take(self.records, at), self.group[at], superseded, tails)

    def among(self, kept: np.ndarray) -> RowSet:
        """Return the rows under a mask; these themselves where it leaves none out."""
        return self if kept.all() else self.take(kept)

    def order(self) -> np.ndarray:
        """Return the positions of the rows by group and row order."""
        r = self.records
        return np.lexsort((r["tiebreak"], r["known"], r["event"], self.group))

    def sorted(self) -> RowSet:
        """Return the rows by group and row order."""
        return self.take(self.order())

    def joined(self, *others: RowSet) -> RowSet:
        """Return these rows and those of others, unsorted."""
        if not others:
            return self
        every = (self, *others)
        return RowSet(
            self.slots,
            _joined([each.records for each in every]),
            np.concatenate([each.group for each in every]),
            np.concatenate([each.superseded for each in every]),
            {slot: list(chain.from_iterable(e.tails[slot] for e in every)) for slot in self.tails},
        )

    def nulls(self, slot: int) -> np.ndarray:
        """Return which rows are null in a slot (a mask)."""
        return (self.records["nulls"][:, slot // 8] >> (slot % 8)) & 1 == 1  # type: ignore[no-any-return]

    def passes(self, slot: int) -> np.ndarray:
        """Return for which rows the condition in a slot is true (a mask)."""
        return (self.records[f"s{slot}"] != 0) & ~self.nulls(slot)  # type: ignore[no-any-return]

    def last_of_group(self) -> np.ndarray:
        """Return which rows are the greatest of their group (a mask)."""
        last = np.ones(len(self), bool)
        last[:-1] = self.group[1:] != self.group[:-1]
        return last

    def later_in_group(self, marked: np.ndarray) -> np.ndarray:
        """Return for each row how many marked rows of its group come after it."""
        total = np.cumsum(marked)
        ends = np.flatnonzero(self.last_of_group())
        sizes = np.diff(ends, prepend=-1)
        return np.repeat(total[ends], sizes) - total  # type: ignore[no-any-return]

    def value(self, row: int, slot: int) -> Any:
        """Return one Python value, None where null."""
        record = self.records[row]
        if record["nulls"][slot // 8] >> (slot % 8) & 1:
            return None
        described = self.slots[slot]
        if slot in self._coded:
            codes, texts = self._coded[slot]
            return described.unpack(texts[codes[row]])
        if not described.fixed:
            return described.unpack(self.tails[slot][row])
        raw = record[f"s{slot}"]
        packed = described.dtype.kind in ("vector", "decimal")
        return described.unpack(raw.tobytes() if packed else raw.item())

    def values(self, slot: int, rows: np.ndarray | None = None) -> list[Any]:
        """Return the Python values of a slot, None where null; of some rows, or of all."""
        described = self.slots[slot]
        null = self.nulls(slot) if rows is None else self.nulls(slot)[rows]
        if described.dtype.kind in _SHARED:
            codes, texts = self.coded(slot)
            shared = list(map(described.unpack, texts))  # equal texts, one object
            own = (codes if rows is None else codes[rows]).tolist()
            if not null.any():
                return [shared[code] for code in own]
            nothing = null.tolist()
            return [None if n else shared[code] for code, n in zip(own, nothing, strict=True)]
        if not described.fixed:
            tail = self.tails[slot]
            raws: Any = tail if rows is None else [tail[row] for row in rows.tolist()]
        else:
            column = self.records[f"s{slot}"]
            column = column if rows is None else column[rows]
            if described.dtype.kind in ("vector", "decimal"):
                raws = [value.tobytes() for value in column]
            else:
                raws = column.tolist()
        if described.dtype.kind in _AS_THEY_ARE:
            values = raws
        else:
            nothing = null.tolist()
            return [
                None if n else described.unpack(raw) for raw, n in zip(raws, nothing, strict=True)
            ]
        if not null.any():
            return values  # type: ignore[no-any-return]
        return [None if n else value for value, n in zip(values, null.tolist(), strict=True)]
