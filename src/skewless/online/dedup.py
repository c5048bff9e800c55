"""Rows about to be appended: duplicates left out, corrections and late rows found.

A later row of the log supersedes an earlier one of its row id for good, whatever the clocks said:
it takes effect at the later of its own known time and that of what it replaces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS
from skewless.definitions import Source
from skewless.forks import cached_property
from skewless.online.row_ids import Version, keys_and_contents, versions_of
from skewless.stores.offline.hashing import content_hash
from skewless.stores.offline.retyped import seen_as
from skewless.stores.offline.table_ids import CONTENT, KNOWN, TableIds
from skewless.stores.online.base import KeyValues

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


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
class ValidRows:
    """Rows that fit their source.

    Attributes:
        batch: all columns of the source, in canonical Arrow types.
        event, known: microseconds.
        rejected: the rows that did not fit.
        now: what a clock said when they came, where that is since when they are known: then they
            must not be known before rows that came earlier. None: known times are from elsewhere.
        ignored: fields that the source does not have.
        deleted: which delete the rows of their ids; None: none does.
    """

    batch: pa.RecordBatch
    event: Ints
    known: Ints
    rejected: list[Rejected]
    now: int | None = None
    ignored: tuple[str, ...] = ()
    deleted: Bools | None = None


@dataclass(frozen=True, eq=False)
class InTable:
    """Rows of the source's table that arrivals replace.

    Attributes:
        index: of the table.
        places: theirs in the index.
        at: since when each is replaced.
    """

    index: TableIds
    places: Ints
    at: Ints


@dataclass(eq=False)
class Arrivals:
    """Rows about to be appended, after duplicates were left out.

    Attributes:
        batch, event, known: the rows.
        late: which are beyond the source's lateness.
        supersedes: the sequence each one corrects, 0 for none.
        deleted: which delete the rows of their ids; None: none does.
        versions: what to note per row id.
        duplicates: how many rows were left out.
        again: which are in the log, but duplicates: of a row of the table, or under the row id of
            an older version of the source; None: none is.
        in_table: the rows of the table that some replace.
        present: the moment that states are kept for, microseconds.
    """

    batch: pa.RecordBatch
    event: Ints
    known: Ints
    late: Bools
    supersedes: Ints
    deleted: Bools | None
    versions: list[tuple[bytes, bytes]]
    duplicates: int
    again: Bools | None = None
    in_table: InTable | None = None
    present: int = ALWAYS

    @cached_property
    def late_ones(self) -> int:
        """How many rows are late."""
        return int(np.count_nonzero(self.late))

    @cached_property
    def known_before(self) -> int:
        """How many rows are in the log although they are duplicates."""
        return 0 if self.again is None else int(np.count_nonzero(self.again))

    @cached_property
    def corrections(self) -> int:
        """How many rows replace an earlier one of their row id."""
        return int(np.count_nonzero(self.supersedes))


def arrivals_of(
    transaction: KeyValues,
    source: Source,
    admitted: ValidRows,
    reached: tuple[int, int | None],
    *,
    index: TableIds | None = None,
) -> Arrivals:
    """Leave out duplicates and find corrections and late rows, row by row in order.

    Args:
        transaction: of the journal.
        source: whose rows they are.
        admitted: the rows.
        reached: the sequence of the next row, and the newest event time so far.
        index: of the ids of the source's table.
    """
    first, newest = reached
    late = _late(source, admitted.event, newest)
    size = len(admitted.event)
    found = Arrivals(
        admitted.batch,
        admitted.event,
        admitted.known,
        late,
        np.zeros(size, np.int64),
        admitted.deleted,
        [],
        0,
    )
    if not source.row_id or size == 0:
        return found
    compared = _Compared(transaction, source, found, index)
    kept = [row for row in range(size) if compared.take(row, first + len(compared.kept))]
    return compared.arrivals(kept)


def seen_under(
    transaction: KeyValues,
    source: Source,
    arrivals: Arrivals,
    first: int,
    *,
    index: TableIds | None = None,
) -> Arrivals:
    """Return rows that are being appended as another version of their source sees them.

    Args:
        transaction: of the journal.
        source: that version: it may have another row id, or none.
        arrivals: the rows.
        first: sequence of the first of them.
        index: of the ids of its table.
    """
    size = len(arrivals.event)
    none = np.zeros(size, np.int64)
    found = replace(arrivals, supersedes=none, versions=[], again=None, in_table=None)
    if not source.row_id or size == 0:
        return found
    compared = _Compared(transaction, source, found, index)
    again = np.array([not compared.take(row, first + row) for row in range(size)])
    seen = compared.arrivals(list(range(size)))
    if seen.again is not None:
        again |= seen.again
    # Known times are those that the log has.
    return replace(seen, known=arrivals.known, again=again if again.any() else None)


class _Compared:
    """Rows compared, one after the other, with the versions that came before them."""

    def __init__(
        self, transaction: KeyValues, source: Source, given: Arrivals, index: TableIds | None
    ) -> None:
        self._given, self._index = given, index
        size = len(given.event)
        self._deletes = [False] * size if given.deleted is None else given.deleted.tolist()
        batch = seen_as(source, given.batch, source.columns)
        self._keys, self._contents = keys_and_contents(source, batch, self._deletes)
        self._known = given.known.tolist()
        self._late = given.late.tolist()
        keys = [key for key in self._keys if key is not None]
        self.versions = versions_of(transaction, source, keys)
        self.kept: list[int] = []
        self._changed: dict[bytes, None] = {}
        self._supersedes = [0] * size
        self._again: list[int] = []
        self._replaced: list[int] = []
        self._places, self._held = _held_in(index, source, batch)

    def take(self, row: int, sequence: int) -> bool:
        """Note what a row corrects, if it is to have this sequence; return whether it is new."""
        key, content = self._keys[row], self._contents[row]
        before = None if key is None else self.versions.get(key)
        held = self._held.get(row)
        if before is not None and before.content == content:
            return False
        self.kept.append(row)
        if key is None or self._late[row]:
            return True
        of_table = held is not None and (before is None or held.known > before.known)
        if held is not None and of_table:
            self._supersedes[row] = held.tiebreak
            self._known[row] = max(self._known[row], held.known)
            if held.is_same and not self._deletes[row]:
                # Kept all the same: the table may lose the row again.
                self._supersedes[row] = 0
                self._again.append(row)
        elif before is not None:
            self._supersedes[row] = before.sequence
            self._known[row] = max(self._known[row], before.known)
        if held is not None and row not in self._again:
            self._replaced.append(row)
        self._changed[key] = None
        self.versions[key] = Version(sequence, self._known[row], content, self._deletes[row])
        return True

    def arrivals(self, rows: list[int]) -> Arrivals:
        """Return the rows at some places with what was found of them."""
        given, size = self._given, len(self._keys)
        at = np.array(rows, np.int64)
        known = np.array(self._known, np.int64)
        again = np.isin(at, self._again)
        replaced = np.array(self._replaced, np.int64)
        in_table = None
        if self._index is not None and len(replaced):
            in_table = InTable(self._index, self._places[replaced], known[replaced])
        return Arrivals(
            given.batch if len(rows) == size else given.batch.take(pa.array(at)),
            given.event[at],
            known[at],
            given.late[at],
            np.array(self._supersedes, np.int64)[at],
            None if given.deleted is None else given.deleted[at],
            [(key, self.versions[key].packed()) for key in self._changed],
            size - len(rows),
            again if again.any() else None,
            in_table,
            given.present,
        )


@dataclass(frozen=True, slots=True)
class _Held:
    """The version of a row's id that the table holds: when known, and whether it is the same."""

    known: int
    tiebreak: int
    is_same: bool


def _held_in(
    index: TableIds | None, source: Source, batch: pa.RecordBatch
) -> tuple[Ints, dict[int, _Held]]:
    """Return the place in the index of each row's id, and what the table holds of it."""
    if index is None:
        return np.zeros(0, np.int64), {}
    table = pa.Table.from_batches([batch])
    places = index.find(table.select(list(source.row_id)))
    rows = np.flatnonzero(places >= 0)
    if not len(rows):
        return places, {}
    names = [name for name in source.columns if name != source.known_time]
    contents = content_hash(table.select(names).take(pa.array(rows))).tolist()
    held = index.take(places[rows], [KNOWN, CONTENT])
    return places, {
        row: _Held(known, ALWAYS + (content >> 1), content == own)
        for row, own, (known, content) in zip(rows.tolist(), contents, held, strict=True)
    }


def versions_let_in(
    transaction: KeyValues,
    source: Source,
    rows: pa.Table,
    *,
    known: Ints,
    sequence: Ints,
    deleted: Bools,
) -> list[tuple[bytes, bytes]]:
    """Return what to note per row id when late rows start to count.

    Args:
        transaction: of the journal.
        source: whose rows they are.
        rows: all columns of the source.
        known: since when each is known now, microseconds.
        sequence: of each, ascending.
        deleted: which delete the rows of their ids.
    """
    keys, contents = keys_and_contents(source, rows, deleted.tolist())
    newest = versions_of(transaction, source, [key for key in keys if key is not None])
    changed: dict[bytes, bytes] = {}
    for key, content, moment, number, deletes in zip(
        keys, contents, known.tolist(), sequence.tolist(), deleted.tolist(), strict=True
    ):
        before = None if key is None else newest.get(key)
        if key is None or (before is not None and before.sequence > number):
            continue  # what came after it in the log holds
        if before is None or before.content != content:
            newest[key] = Version(number, moment, content, deletes)
            changed[key] = newest[key].packed()
    return list(changed.items())


def _late(source: Source, event: Ints, newest: int | None) -> Bools:
    if source.lateness is None or not len(event):
        return np.zeros(len(event), bool)
    start = ALWAYS + source.lateness if newest is None else newest
    before = np.maximum.accumulate(np.r_[start, event])[:-1]
    return event < before - source.lateness
