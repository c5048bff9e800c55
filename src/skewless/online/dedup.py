"""Rows about to be appended: duplicates left out, corrections and late rows found.

The newest version of every row id is kept beside the journal, so that a delivery is compared with
what came before it, in whatever batch.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS
from skewless.definitions import Source
from skewless.forks import cached_property
from skewless.stores.online.base import Rows as KeyValues

Ints = npt.NDArray[np.int64]
VERSION = struct.Struct("<qq16s?")
"""Of the newest version of a row id: sequence, known time, content hash, whether it deletes.

The sequences of all versions follow, eight bytes each.
"""


@dataclass(frozen=True)
class Rejected:
    """A row that was set aside.

    Attributes:
        row: its position among those handed in.
        reason: why.
        values: what it held, as text.
    """

    row: int
    reason: str
    values: str


@dataclass(frozen=True, eq=False)
class Admitted:
    """Rows that fit their source.

    Attributes:
        batch: all columns of the source, in canonical Arrow types.
        event, known: microseconds.
        rejected: the rows that did not fit.
    """

    batch: pa.RecordBatch
    event: Ints
    known: Ints
    rejected: list[Rejected]


@dataclass(eq=False)
class Arrivals:
    """Rows about to be appended, after duplicates were left out.

    Attributes:
        batch, event, known: the rows.
        late: which are beyond the source's lateness.
        supersedes: the sequence each one corrects, 0 for none.
        deleted: whether they delete the rows of their ids.
        versions: what to note per row id.
        outdated: rows older (by known time) than one of their row id that came before them, each
            with the sequences of all versions there were.
        duplicates: how many rows were left out.
    """

    batch: pa.RecordBatch
    event: Ints
    known: Ints
    late: npt.NDArray[np.bool_]
    supersedes: Ints
    deleted: bool
    versions: list[tuple[bytes, bytes]]
    outdated: list[tuple[int, tuple[int, ...]]]
    duplicates: int

    @cached_property
    def late_ones(self) -> int:
        """How many rows are late."""
        return int(np.count_nonzero(self.late))

    @cached_property
    def corrections(self) -> int:
        """How many rows replace an earlier one of their row id."""
        return int(np.count_nonzero(self.supersedes))


def arrivals_of(
    transaction: KeyValues,
    source: Source,
    admitted: Admitted,
    reached: tuple[int, int | None],
    deleted: bool,
) -> Arrivals:
    """Leave out duplicates and find corrections and late rows, row by row in order.

    Args:
        transaction: of the journal.
        source: whose rows they are.
        admitted: the rows.
        reached: the sequence of the next row, and the newest event time so far.
        deleted: whether they delete the rows of their ids.
    """
    first, newest = reached
    late = _late(source, admitted.event, newest)
    size = len(admitted.event)
    supersedes = np.zeros(size, np.int64)
    if not source.row_id or size == 0:
        return Arrivals(
            admitted.batch, admitted.event, admitted.known, late, supersedes, deleted, [], [], 0
        )
    compared = _Compared(transaction, source, admitted, first, deleted)
    for row in range(size):
        compared.take(row, bool(late[row]))
    kept = np.array(compared.keep, np.int64)
    supersedes = supersedes[kept]
    for row, before in compared.corrected:
        supersedes[row] = before
    return Arrivals(
        admitted.batch.take(pa.array(kept)) if len(kept) < size else admitted.batch,
        admitted.event[kept],
        admitted.known[kept],
        late[kept],
        supersedes,
        deleted,
        [(key, compared.versions[key].packed()) for key in compared.changed],
        compared.outdated,
        size - len(kept),
    )


@dataclass(frozen=True)
class _Version:
    """The newest version of a row id, and the sequences of all of them."""

    sequence: int
    known: int
    content: bytes
    deletes: bool
    sequences: tuple[int, ...]

    def packed(self) -> bytes:
        own = VERSION.pack(self.sequence, self.known, self.content, self.deletes)
        return own + struct.pack(f"<{len(self.sequences)}q", *self.sequences)

    @classmethod
    def unpacked(cls, data: bytes) -> _Version:
        count = (len(data) - VERSION.size) // 8
        sequences = struct.unpack_from(f"<{count}q", data, VERSION.size)
        sequence, known, content, deletes = VERSION.unpack_from(data)
        return cls(sequence, known, content, deletes, sequences)


class _Compared:
    """Rows compared, one after the other, with the versions that came before them."""

    def __init__(
        self,
        transaction: KeyValues,
        source: Source,
        admitted: Admitted,
        first: int,
        deleted: bool,
    ) -> None:
        names = list(source.columns)
        compared = [name for name in names if name != source.known_time]
        columns = [admitted.batch.column(names.index(name)).to_pylist() for name in compared]
        at = [compared.index(name) for name in source.row_id]
        self._contents = list(zip(*columns, strict=True))
        self._keys = [id_bytes([row[i] for i in at]) for row in self._contents]
        self._known = admitted.known.tolist()
        self._first, self._deleted = first, deleted
        stored = zip(self._keys, transaction.read(ids_table(source), self._keys), strict=True)
        self.versions = {key: _Version.unpacked(v) for key, v in stored if v is not None}
        self.keep: list[int] = []
        self.changed: dict[bytes, None] = {}
        self.corrected: list[tuple[int, int]] = []
        self.outdated: list[tuple[int, tuple[int, ...]]] = []

    def take(self, row: int, late: bool) -> None:
        """Keep a row unless it is a duplicate, and note what it corrects."""
        key, known = self._keys[row], self._known[row]
        content = _content(self._contents[row], self._deleted)
        before = self.versions.get(key)
        if before is not None and before.content == content:
            return
        place, sequence = len(self.keep), self._first + len(self.keep)
        self.keep.append(row)
        if late:
            return
        self.changed[key] = None
        if before is not None and known < before.known:
            self.outdated.append((place, before.sequences))
            sequences = (*before.sequences, sequence)
            self.versions[key] = replace(before, sequences=sequences)
            return
        earlier = () if before is None else before.sequences
        if before is not None:
            self.corrected.append((place, before.sequence))
        self.versions[key] = _Version(sequence, known, content, self._deleted, (*earlier, sequence))

    def let_in(self, row: int, sequence: int, deletes: bool) -> None:
        """Note a late row of the log that counts from now on."""
        key, known = self._keys[row], self._known[row]
        content = _content(self._contents[row], deletes)
        before = self.versions.get(key)
        if before is not None and before.content == content:
            return
        self.changed[key] = None
        every = (*(() if before is None else before.sequences), sequence)
        if before is not None and (known, sequence) < (before.known, before.sequence):
            self.versions[key] = replace(before, sequences=every)
        else:
            self.versions[key] = _Version(sequence, known, content, deletes, every)


def versions_let_in(
    transaction: KeyValues,
    source: Source,
    rows: pa.Table,
    *,
    known: Ints,
    sequence: Ints,
    deleted: npt.NDArray[np.bool_],
) -> list[tuple[bytes, bytes]]:
    """Return what to note per row id when late rows come to count.

    Args:
        transaction: of the journal.
        source: whose rows they are.
        rows: all columns of the source.
        known: since when each is known now, microseconds.
        sequence: of each, ascending.
        deleted: which delete the rows of their ids.
    """
    batch = rows.combine_chunks().to_batches()[0]
    admitted = Admitted(batch, known, known, [])
    compared = _Compared(transaction, source, admitted, 0, False)
    for row, (number, deletes) in enumerate(zip(sequence.tolist(), deleted.tolist(), strict=True)):
        compared.let_in(row, number, deletes)
    return [(key, compared.versions[key].packed()) for key in compared.changed]


def _late(source: Source, event: Ints, newest: int | None) -> npt.NDArray[np.bool_]:
    if source.lateness is None or not len(event):
        return np.zeros(len(event), bool)
    start = ALWAYS + source.lateness if newest is None else newest
    before = np.maximum.accumulate(np.r_[start, event])[:-1]
    return event < before - source.lateness


def ids_table(source: Source) -> str:
    """Return the table of the newest version of each row id."""
    return f"ids.{source.name}"


def id_bytes(values: Sequence[Any]) -> bytes:
    """Return a row id as a key."""
    text = json.dumps([str(value) if isinstance(value, bytes) else value for value in values],
                      default=str, separators=(",", ":"))  # fmt: skip
    return text.encode()


def _content(values: Sequence[Any], deleted: bool) -> bytes:
    return hashlib.blake2b(repr((values, deleted)).encode(), digest_size=16).digest()
