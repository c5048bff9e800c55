"""Rows that were pushed after the snapshot of a history that states are built from.

A build reads the history as it was when it began. Before it writes states it adds what has come
since, under a lock that keeps other writers out; so nothing is lost, and nothing counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS, NEVER
from skewless.online.keyed_rows import columns_needed, keyed_rows, keys_of
from skewless.online.row_ids import mark_of
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet
from skewless.stores.offline.cast import to_micros_array, to_source_columns
from skewless.stores.offline.history import LOG_ROWS, History, HistoryChunk
from skewless.stores.offline.log.journal import DELETED, KNOWN, LATE, SUPERSEDES
from skewless.stores.offline.log.log import EventLog
from skewless.stores.offline.table_ids import TableIds

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Replaced:
    """A row that one that came later replaces.

    Attributes:
        key: of its entity.
        tiebreak: its sequence in the log; for a row of the table what its content makes it.
        at: since when it is replaced.
        times: event time and known time of a row of the table; None: it is in the log.
    """

    key: bytes
    tiebreak: int
    at: int
    times: tuple[int, int] | None = None


class LogTail:
    """The rows of an event log after a sequence, as a layout keeps them.

    Args:
        layout: of the states.
        log: of the source.
        sequence: rows up to it are in the history already.
        index: gives that of the row ids of the source's table: it may come to be meanwhile.

    Attributes:
        sequence: the newest row seen so far.
        replaced: the rows, by sequence, that those seen replace, and when.
        of_table: entities of rows seen whose id the table holds, and of the rows it holds: what
            counts of them is for history to say.
    """

    def __init__(
        self,
        layout: StateLayout,
        log: EventLog,
        sequence: int,
        index: Callable[[], TableIds | None] = lambda: None,
    ) -> None:
        self._index = index
        self.sequence = sequence
        self._before = sequence
        self._layout = layout
        self._log = log
        self._parts: list[tuple[list[bytes], RowSet]] = []
        self.replaced: dict[int, int] = {}
        self.of_table: set[bytes] = set()
        self._in_table: dict[tuple[int, int, int], int] = {}

    def read(self) -> None:
        """Look for rows that have come since the last look."""
        if self._log.last_sequence() == self.sequence:
            return
        columns = columns_needed([self._layout])
        source = self._layout.source
        reader = self._log.reader(source)
        elsewhere = self._decided_elsewhere()
        if elsewhere and source.row_id:
            found = History(source, None, self._log).superseded()
            self._replace(found.rows - LOG_ROWS, found.times)
        index = self._index()
        ids = [] if index is None else list(source.row_id)
        names = [*columns, *ids, source.event_time, KNOWN, LATE, DELETED, SUPERSEDES]
        for chunk in reader.chunks(list(dict.fromkeys(names)), after=self.sequence):
            late = chunk.table[LATE].to_numpy()
            known = to_micros_array(chunk.table[KNOWN])
            if not elsewhere:
                replaces = chunk.table[SUPERSEDES].to_numpy()
                corrects = (replaces > 0) & ~late
                self._replace(replaces[corrects], known[corrects])
            at = np.flatnonzero(~late & ~chunk.table[DELETED].to_numpy())
            table = to_source_columns(chunk.table.take(pa.array(at)), source, columns)
            event = to_micros_array(chunk.table[source.event_time])
            keyed = keyed_rows(self._layout, table, (event[at], known[at], chunk.rows[at]))
            self._parts.append((keyed.keys, keyed.rows))
            if index is not None:
                counts = to_source_columns(chunk.table.filter(pa.array(~late)), source,
                                           [*dict.fromkeys([*columns, *ids])])  # fmt: skip
                self._look_up(index, counts)
        self.sequence = reader.last_sequence()

    def _decided_elsewhere(self) -> bool:
        """Return whether rows since replace others under another row id than the layout's."""
        source, state = self._layout.source, self._log.state()
        own = mark_of([source] if source.row_id else [])
        return state.main != own or state.main_since > self._before + 1

    def _look_up(self, index: TableIds, rows: pa.Table) -> None:
        """Note the entities of rows whose ids the table holds, and those it has them under."""
        places = index.find(rows.select(list(self._layout.source.row_id)))
        hit = np.flatnonzero(places >= 0)
        names = list(self._layout.entity.key_names)
        if not len(hit) or not set(names) <= set(index.columns):
            return
        for table in (rows.take(pa.array(hit)), index.rows(places[hit], names)):
            self.of_table |= {key for key, _ in keys_of(self._layout, table, places[hit])}

    def add(self, keys: list[bytes], rows: RowSet, replaced: Sequence[Replaced]) -> None:
        """Add rows that are not in the log yet, and the rows they replace."""
        self._parts.append((keys, rows))
        for row in replaced:
            if row.times is None:
                self.replaced[row.tiebreak] = min(row.at, self.replaced.get(row.tiebreak, row.at))
            else:
                place = (*row.times, row.tiebreak)
                self._in_table[place] = min(row.at, self._in_table.get(place, row.at))

    @property
    def replaces_any(self) -> bool:
        """Whether a row of the history was replaced since it was read."""
        return bool(self.replaced or self._in_table)

    def until_of_table(self, history: History, chunk: HistoryChunk, at: Ints, until: Ints) -> Ints:
        """Return when rows of the table were replaced, given what was known when it was read.

        Args:
            history: that is read.
            chunk: of it.
            at: positions of the rows in the chunk.
            until: what was known.
        """
        if not self._in_table:
            return until
        event, known, number = chunk.event[at], chunk.known[at], chunk.row[at]
        events, knowns = (np.array(sorted({place[n] for place in self._in_table})) for n in (0, 1))
        some = np.flatnonzero(
            (chunk.tiebreak[at] == 0) & np.isin(event, events) & np.isin(known, knowns)
        )
        hashes = history.content_hash(number[some]) >> np.uint64(1)
        found = until.copy()
        for place, content in zip(some.tolist(), hashes.tolist(), strict=True):
            own = (int(event[place]), int(known[place]), ALWAYS + content)
            found[place] = min(int(found[place]), self._in_table.get(own, NEVER))
        return found

    def keys(self) -> set[bytes]:
        """Return the entities of all rows seen so far."""
        return {key for keys, _ in self._parts for key in keys}

    def keys_replaced(self) -> set[bytes]:
        """Return the entities of all rows of the snapshot that those seen replace."""
        numbers = np.array(sorted(n for n in self.replaced if n <= self._before), np.int64)
        if not len(numbers):
            return set()
        table = self._log.reader().take(numbers, list(self._layout.entity.key_names))
        return {key for key, _ in keys_of(self._layout, table, numbers)}

    def joined(self, keys: list[bytes], rows: RowSet) -> RowSet:
        """Return rows of some entities with those that have come since.

        Args:
            keys: of the entities.
            rows: their rows so far; the group of a row is the place of its entity in ``keys``.
        """
        place = {key: number for number, key in enumerate(keys)} if self._parts else {}
        for others, since in self._parts:
            groups = np.array([place.get(key, -1) for key in others], np.int64)
            wanted = groups[since.group] >= 0 if len(since) else np.zeros(0, bool)
            if wanted.any():
                more = since.take(wanted)
                more.group = groups[more.group]
                rows = rows.joined(more)
        if self.replaced:
            rows.superseded[:] = self.until(rows.records["tiebreak"], rows.superseded)
        return rows

    def until(self, sequences: Ints, until: Ints) -> Ints:
        """Return when rows were replaced, given what was known of it when the history was read."""
        numbers = np.array(sorted(self.replaced), np.int64)
        if not len(numbers):
            return until
        times = np.array([self.replaced[number] for number in numbers.tolist()], np.int64)
        nearest = np.minimum(np.searchsorted(numbers, sequences), len(numbers) - 1)
        hit = numbers[nearest] == sequences
        return np.where(hit, np.minimum(until, times[nearest]), until)

    def _replace(self, numbers: Ints, times: Ints) -> None:
        for number, time in zip(numbers.tolist(), times.tolist(), strict=True):
            self.replaced[number] = min(time, self.replaced.get(number, time))
