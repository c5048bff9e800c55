"""Which rows later versions of their row id replace: found in bounded memory, decided exactly.

What is superseded is so for good. Of two versions in the event log the one with the greater
sequence is the later, whatever clocks said; a row of the table stands among them by its known time
(the log comes after the table where both are known at once). A version counts from its own known
time until the first moment when any later one is known, so where a correction or deletion is known
before what it replaces, the latter never counts.

1. A pass over the ids keeps 64 bits of each, eight bytes a row, in one array that is sorted; ids
   whose bits occur once have one version. Longer histories take several passes, each for a range
   of the bits.
2. Another pass finds the rows of the few ids that are left. These are read, some millions at a
   time, and compared as they are: equal bits alone prove nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from skewless.clock import ALWAYS, NEVER
from skewless.stores.offline.hashing import column_hash, content_hash

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.source import Source

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]


class Version(Protocol):
    """Some rows of all versions, see `history.HistoryChunk`."""

    @property
    def table(self) -> pa.Table: ...
    @property
    def event(self) -> Int64s: ...
    @property
    def known(self) -> Int64s: ...
    @property
    def tiebreak(self) -> Int64s: ...
    @property
    def late(self) -> Bools: ...
    @property
    def row(self) -> Int64s: ...
    @property
    def deleted(self) -> Bools | None: ...


class Versions(Protocol):
    """Every version of every row of a source, see `history.History`."""

    source: Source

    def content_hash(self, rows: Int64s) -> UInt64s:
        """Return 64 bits that say what the rows of these numbers hold."""

    def row_count(self) -> int:
        """Return the number of rows."""

    def row_ids(self) -> Iterator[pa.Table]:
        """Yield the columns of the row id, of every row."""

    def versions(self, columns: Sequence[str]) -> Iterator[Version]:
        """Yield every row."""

    def pieces(self, rows: Int64s, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of these numbers piece by piece."""


ROWS_A_PASS = 48_000_000
ROWS_A_SLICE = 1 << 22


@dataclasses.dataclass(frozen=True, eq=False)
class Superseded:
    """The rows that a later version replaces, and when; all others never are.

    Attributes:
        rows: row numbers of the history, ascending.
        times: known time of the next version (UTC microseconds); ``clock.ALWAYS`` for a
            re-delivery, which never counts.
    """

    rows: Int64s
    times: Int64s

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, rows: Int64s) -> Int64s:
        """Return for each row number when it was superseded, ``clock.NEVER`` for most."""
        if not len(self.rows):
            return np.full(len(rows), NEVER, np.int64)
        place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[place] == rows, self.times[place], NEVER)

    def any_after(self, moment: int) -> bool:
        """Return whether a row is superseded later than ``moment`` (UTC microseconds)."""
        return bool((self.times > moment).any())


def find_superseded(history: Versions, *, late: bool) -> Superseded:
    """Return the superseded rows of a history; see `History.superseded`."""
    rows, times = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    if history.source.row_id:
        for bits, counts in _repeated_bits(history):
            for part in _slices(bits, counts):
                candidates = _candidates(history, part, late=late)
                if len(candidates.row):
                    found = _decide(history, candidates)
                    rows.append(found.rows)
                    times.append(found.times)
    number = np.concatenate(rows)
    order = np.argsort(number)
    return Superseded(number[order], np.concatenate(times)[order])


def _repeated_bits(history: Versions) -> Iterator[tuple[UInt64s, Int64s]]:
    """Yield the bits of ids that occur more than once, ascending, with how often."""
    total = history.row_count()
    passes = -(-total // ROWS_A_PASS)
    for number in range(passes):
        low = -(-(number << 64) // passes)
        high = -(-((number + 1) << 64) // passes) - 1
        kept, count = np.empty(total // passes + 1, np.uint64), 0
        for table in history.row_ids():
            bits = id_bits(table)
            # Bits 0: an id that is null, which has no other versions.
            bits = bits[(bits != 0) & (bits >= np.uint64(low)) & (bits <= np.uint64(high))]
            if count + len(bits) > len(kept):
                kept = np.concatenate((kept[:count], np.empty(len(kept) // 8 + len(bits), "u8")))
            kept[count : count + len(bits)] = bits
            count += len(bits)
        bits = kept[:count]
        bits.sort()
        again = bits[1:][bits[1:] == bits[:-1]]
        del kept, bits
        if len(again):
            repeated, counts = np.unique(again, return_counts=True)
            yield repeated, counts + 1


def _slices(bits: UInt64s, counts: Int64s) -> list[UInt64s]:
    """Split bits so that about `ROWS_A_SLICE` rows have those of one slice."""
    number = np.cumsum(counts) // ROWS_A_SLICE
    return np.split(bits, np.flatnonzero(np.diff(number)) + 1)


def id_bits(table: pa.Table) -> UInt64s:
    """Return 64 bits for each row's id, 0 if it is null in part."""
    if table.num_columns == 1:
        return column_hash(table.column(0))
    bits = content_hash(table)
    bits |= bits == 0
    for column in table.columns:
        if column.null_count:
            bits[column.is_null().to_numpy()] = 0
    return bits


@dataclasses.dataclass(frozen=True, eq=False)
class _Candidates:
    """Rows whose id may have several versions, ascending by row number."""

    bits: UInt64s
    row: Int64s
    event: Int64s
    known: Int64s
    tiebreak: Int64s
    deleted: Bools


def _candidates(history: Versions, wanted: UInt64s, *, late: bool) -> _Candidates:
    found: list[tuple[npt.NDArray[np.generic], ...]] = []
    for chunk in history.versions(history.source.row_id):
        bits = id_bits(chunk.table)
        place = np.minimum(np.searchsorted(wanted, bits), len(wanted) - 1)
        deleted = chunk.deleted if chunk.deleted is not None else np.zeros(len(bits), np.bool_)
        chosen = (wanted[place] == bits) & ((chunk.event != ALWAYS) | deleted)
        if not late:
            chosen &= ~chunk.late
        arrays = (bits, chunk.row, chunk.event, chunk.known, chunk.tiebreak, deleted)
        found.append(tuple(array[chosen] for array in arrays))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.argsort(columns[1], kind="stable")
    return _Candidates(*(column[order] for column in columns))


def _decide(history: Versions, rows: _Candidates) -> Superseded:
    """Put the versions of each id in order and see which replaces which, and when."""
    import pyarrow as pa

    ids = list(history.pieces(rows.row, list(history.source.row_id)))
    content = history.content_hash(rows.row)
    of_table = ALWAYS + (content >> np.uint64(1)).astype(np.int64)
    tiebreak = np.where(rows.tiebreak == 0, of_table, rows.tiebreak)
    event = np.where(rows.event == ALWAYS, 0, rows.event)
    group = exact_groups(rows.bits, pa.concat_tables(ids))
    place = _places(group, rows.known, rows.tiebreak)
    order = np.lexsort((rows.row, tiebreak, event, rows.tiebreak, place, group))
    group, known, number = group[order], rows.known[order], rows.row[order]
    content, deleted = content[order], rows.deleted[order]
    same = group[1:] == group[:-1]
    again = np.zeros(len(order), np.bool_)
    again[1:] = same & (content[1:] == content[:-1]) & (deleted[1:] == deleted[:-1])
    first = np.flatnonzero(~again)
    replaced = group[first[1:]] == group[first[:-1]]
    until = _least_from(group[first], known[first])
    return Superseded(
        np.concatenate((number[again], number[first[:-1][replaced]])),
        np.concatenate((np.full(np.count_nonzero(again), ALWAYS, np.int64), until[1:][replaced])),
    )


def _places(group: UInt64s, known: Int64s, sequence: Int64s) -> Int64s:
    """Return what puts versions in order: in the log the later row is the later version.

    A row of the table stands where its known time says; one of the log (``sequence`` above 0)
    behind every row that was known when it, or one of its id before it in the log, was.
    """
    place = known.copy()
    log = np.flatnonzero(sequence > 0)
    log = log[np.lexsort((sequence[log], group[log]))]
    place[log] = _running(np.maximum, group[log], known[log])
    return place


def _least_from(group: UInt64s, known: Int64s) -> Int64s:
    """Return for each row the least known time of it and those after it of its group."""
    return _running(np.minimum, group[::-1], known[::-1])[::-1]


def _running(choose: np.ufunc, group: UInt64s, values: Int64s) -> Int64s:
    """Return the running maximum or minimum of values within runs of equal groups."""
    if not len(values):
        return values
    distinct, rank = np.unique(values, return_inverse=True)
    run = np.cumsum(np.concatenate(([False], group[1:] != group[:-1])))
    # A later run has greater ranks for a maximum and lesser ones for a minimum: none sees another.
    shift = (run if choose is np.maximum else -run) * len(distinct)
    found: Int64s = distinct[choose.accumulate(rank + shift) - shift]
    return found


def exact_groups(bits: UInt64s, ids: pa.Table) -> UInt64s:
    """Return a number for each row, equal for equal ids only: the bits, but for chance matches."""
    order = np.argsort(bits, kind="stable")
    alike = bits[order][1:] == bits[order][:-1]
    sorted_ids = ids.take(order)
    differ = alike & ~_equal_to_next(sorted_ids)
    if not differ.any():
        return bits
    groups = bits.copy()
    taken = set(bits.tolist())
    for clash in np.unique(bits[order][1:][differ]):
        members = np.flatnonzero(bits == clash)
        numbers: dict[tuple[object, ...], int] = {}
        for member, row in zip(members, ids.take(members).to_pylist(), strict=True):
            key = tuple(row.values())
            if key not in numbers:
                number = int(clash)
                while numbers and number in taken:
                    number = (number + 1) % 2**64
                taken.add(number)
                numbers[key] = number
            groups[member] = numbers[key]
    return groups


def _equal_to_next(ids: pa.Table) -> Bools:
    import pyarrow as pa
    import pyarrow.compute as pc

    equal = np.ones(max(ids.num_rows - 1, 0), np.bool_)
    for column in ids.columns:
        try:
            same = pc.equal(column.slice(1), column.slice(0, ids.num_rows - 1))
            equal &= same.to_numpy()
        except pa.ArrowNotImplementedError:
            values = column.to_pylist()
            equal &= np.array([a == b for a, b in itertools.pairwise(values)], np.bool_)
    return equal
