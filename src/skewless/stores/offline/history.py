"""The history of a source: its table and its event log as one, typed and timed.

    history = History(source, reader, log)
    for chunk in history.chunks(["fab_id", "vdd"]):
        chunk.table, chunk.event, chunk.known, chunk.row

Times are UTC microseconds. Which of two rows counts, and when, is decided by others from what this
gives: event time, known time, tiebreak, and the moment a row was superseded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skewless.clock import ALWAYS, NEVER
from skewless.errors import UnknownName
from skewless.stores.offline.base import Chunk, Part, TableReader
from skewless.stores.offline.cast import to_micros_array, to_source_columns
from skewless.stores.offline.hashing import content_hash
from skewless.stores.offline.log.journal import DELETED, KNOWN, LATE
from skewless.stores.offline.rows_of_keys import RowsOfKeys
from skewless.stores.offline.superseded import Superseded, find_superseded

if TYPE_CHECKING:
    from typing import Protocol

    import pyarrow as pa

    from skewless.definitions.source import Source
    from skewless.stores.offline.log.reader import LogReader
    from skewless.stores.online.base import Transaction

    class Log(Protocol):
        """What a history needs of an event log."""

        def reader(self, *, rows: Transaction | None = None) -> LogReader:
            """Return a reader of the rows there are."""


Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

LOG_ROWS = 1 << 62
"""Row numbers of an event log's rows are this plus their sequence; those of a table are below."""


@dataclasses.dataclass(frozen=True, eq=False)
class HistoryChunk:
    """Some rows of a source's history; all arrays are as long as the table.

    Attributes:
        table: the columns asked for, of the source's types; NaN is null.
        event: event times, UTC microseconds.
        known: known times, UTC microseconds; the event time where the known column is null.
        tiebreak: the sequence for rows of the log; 0, not computed, for rows of the table: it is
            ``ALWAYS + (content_hash >> 1)`` (see `History.content_hash`).
        late: whether the row was beyond the source's lateness when it came.
        row: its number in the history, ascending within the chunk: see `LOG_ROWS`.
        dropped: how many rows without an event time were left out; the chunk may then be empty.
        deleted: whether the row takes the one of its id away; such rows only come to those who
            ask for every version.
    """

    table: pa.Table
    event: Int64s
    known: Int64s
    tiebreak: Int64s
    late: Bools
    row: Int64s
    dropped: int = 0
    deleted: Bools | None = None


class History:
    """The union of a source's table and its event log, as both are when first looked at.

    Args:
        source: whose rows.
        reader: its table; None: it has none.
        log: its event log; None: it has none.
        rows: a transaction in which the log is looked at; None: what is kept.

    Raises:
        StoreError: the table or the log cannot be read (from the verbs).
        InputError: the table's columns are not what the source declares (from the verbs).
    """

    def __init__(
        self,
        source: Source,
        reader: TableReader | None = None,
        log: Log | None = None,
        rows: Transaction | None = None,
    ) -> None:
        self.source = source
        self._reader = reader
        self._log: LogReader | None = None if log is None else log.reader(rows=rows)
        self._superseded: dict[bool, Superseded] = {}
        self._some_of_table: RowsOfKeys | None = None
        self._some_of_log: RowsOfKeys | None = None
        if reader is not None:
            needed = [source.event_time, source.known_time or source.event_time, *source.row_id]
            reader.typed(source.columns, needed)

    def narrow(
        self,
        start: int | None = None,
        end: int | None = None,
        keys: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Say, before anything is read, which rows of the table will matter.

        A database sends no others then. A source with row ids needs them all: the version that
        corrects a row may be of another time and another key.

        Args:
            start: rows before it do not matter: UTC microseconds of event time.
            end: rows from it on do not matter.
            keys: values of key columns that matter; None: all do.
        """
        if self._reader is not None and not self.source.row_id:
            self._reader.narrow(self.source.event_time, start=start, end=end, keys=keys)

    def only(self, keys: Mapping[str, pa.Array]) -> None:
        """Say that `chunks` may leave out the rows of other keys.

        The rows of these are found by their key columns and then held, if they are few. Corrections
        and deletions are still those of all rows: one may move a row to another key.

        Args:
            keys: key column to the values that matter, of the source's types.
        """
        if not keys:
            return
        if self._reader is not None:
            self._some_of_table = RowsOfKeys(self._reader, keys, self._typed)
        if self._log is not None:
            self._some_of_log = RowsOfKeys(self._log, keys, self._typed_of_log)

    def pinned(self) -> dict[str, Any]:
        """Return the options with which the table is read again as it is now read."""
        return {} if self._reader is None else self._reader.pinned()

    def chunks(
        self,
        columns: Sequence[str],
        *,
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
        after: int | None = None,
    ) -> Iterator[HistoryChunk]:
        """Yield all rows, those of the table first.

        Rows without an event time are left out and counted, rows that delete others are left out.
        Rows outside ``[start, end)`` of event time may be left out.

        Args:
            columns: names of the source's columns.
            start: UTC microseconds, inclusive.
            end: UTC microseconds, exclusive.
            parts: only these parts of the table, and nothing of the log.
            after: only rows of the log with a greater sequence, and nothing of the table.
        """
        wanted = self._checked(columns)
        some = parts is None and after is None
        if after is None:
            held = self._some_of_table if some else None
            found = None if held is None else held.chunk(self._table_columns(wanted))
            if found is not None:
                yield _counting(self._of_table(found, wanted))
            else:
                for chunk in self._of_the_table(wanted, start, end, parts):
                    yield _counting(chunk)
        if parts is None:
            held = self._some_of_log if some else None
            found = None if held is None else held.chunk(self._log_columns(wanted))
            if found is not None:
                yield _counting(self._of_log(found, wanted))
            else:
                for chunk in self._of_the_log(wanted, start, end, after or 0):
                    yield _counting(chunk)

    def take(self, rows: Int64s, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these numbers (ascending, each once), typed as in `chunks`."""
        import pyarrow as pa

        wanted = self._checked(columns)
        types = self.source.columns
        empty = pa.schema([(name, types[name].arrow()) for name in wanted]).empty_table()
        return pa.concat_tables([empty, *self.pieces(rows, wanted)])

    def content_hash(self, rows: Int64s) -> UInt64s:
        """Return 64 bits that say what these rows hold (ascending, each once)."""
        columns = self.content_columns
        hashes = [content_hash(table, columns) for table in self.pieces(rows, columns)]
        return np.concatenate([np.empty(0, np.uint64), *hashes])

    @property
    def content_columns(self) -> list[str]:
        """The columns by which two deliveries of a row are told apart: not when it was known."""
        return [name for name in self.source.columns if name != self.source.known_time]

    def superseded(self, *, late: bool = False) -> Superseded:
        """Return which rows a later version of their row id replaces, and when.

        For a source without a row id that is none, at no cost.

        Args:
            late: whether rows beyond the source's lateness count as versions.
        """
        if late not in self._superseded:
            self._superseded[late] = find_superseded(self, late=late)
        return self._superseded[late]

    def notes(self) -> list[str]:
        """Return what should be known of the rows of the table that were read."""
        return [] if self._reader is None else self._reader.notes()

    def parts(self) -> list[Part]:
        """Return the parts of the table; none if the source has no table."""
        return [] if self._reader is None else self._reader.parts()

    def row_count(self) -> int:
        """Return the number of rows of table and log, all versions and deletions among them."""
        readers = [each for each in (self._reader, self._log) if each is not None]
        return sum(reader.row_count() for reader in readers)

    def table_rows(self) -> int:
        """Return the number of rows of the table."""
        return 0 if self._reader is None else self._reader.row_count()

    def last_sequence(self) -> int:
        """Return the greatest sequence of the log that this history sees, 0 if none."""
        return 0 if self._log is None else self._log.last_sequence()

    # --------------------------------------------------------------------------------- every row

    def versions(self, columns: Sequence[str]) -> Iterator[HistoryChunk]:
        """Yield every row, also deletions and those without an event time (`clock.ALWAYS`)."""
        wanted = self._checked(columns)
        yield from self._of_the_table(wanted)
        yield from self._of_the_log(wanted)

    def some_versions(
        self,
        columns: Sequence[str],
        *,
        of_table: Sequence[str] = (),
        of_log: Sequence[str] = (),
        start: int | None = None,
        end: int | None = None,
    ) -> Iterator[HistoryChunk]:
        """Yield every row, as `versions`, of some parts of the table and of the log.

        Args:
            columns: names of the source's columns.
            of_table: names of parts of the table, see `table_reader`.
            of_log: names of parts of the log, see `log_reader`.
            start: rows before it may be left out: UTC microseconds of event time.
            end: rows from it on may be left out.
        """
        wanted = self._checked(columns)
        if of_table:
            yield from self._of_the_table(wanted, start, end, of_table)
        if of_log:
            yield from self._of_the_log(wanted, start, end, parts=of_log)

    @property
    def table_reader(self) -> TableReader | None:
        """What reads the table; None: the source has none."""
        return self._reader

    @property
    def log_reader(self) -> LogReader | None:
        """What reads the event log; None: there is none."""
        return self._log

    def table_chunks(self, columns: Sequence[str]) -> Iterator[HistoryChunk]:
        """Yield every row of the table alone, also those without an event time."""
        yield from self._of_the_table(self._checked(columns))

    def row_ids(self) -> Iterator[pa.Table]:
        """Yield the columns of the row id, of every row."""
        ids = list(self.source.row_id)
        if self._reader is not None:
            for chunk in self._reader.chunks(ids):
                yield self._typed(chunk.table, ids)
        if self._log is not None:
            for chunk in self._log.chunks(ids):
                yield to_source_columns(chunk.table, self.source, ids)

    def pieces(self, rows: Int64s, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of `take` piece by piece."""
        in_table = int(np.searchsorted(rows, LOG_ROWS))
        if in_table and self._reader is not None:
            for table in self._reader.pieces(rows[:in_table], columns):
                yield self._typed(table, columns)
        if in_table < len(rows) and self._log is not None:
            for table in self._log.pieces(rows[in_table:] - LOG_ROWS, columns):
                yield to_source_columns(table, self.source, columns)

    def _of_the_table(
        self,
        columns: list[str],
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
    ) -> Iterator[HistoryChunk]:
        if self._reader is None:
            return
        at, names = self.source.event_time, self._table_columns(columns)
        chunks = self._reader.chunks(names, time_column=at, start=start, end=end, parts=parts)
        for chunk in chunks:
            yield self._of_table(chunk, columns)

    def _of_the_log(
        self,
        columns: list[str],
        start: int | None = None,
        end: int | None = None,
        after: int = 0,
        parts: Sequence[str] | None = None,
    ) -> Iterator[HistoryChunk]:
        if self._log is None:
            return
        at, names = self.source.event_time, self._log_columns(columns)
        chunks = self._log.chunks(
            names, time_column=at, start=start, end=end, parts=parts, after=after
        )
        for chunk in chunks:
            yield self._of_log(chunk, columns)

    def _table_columns(self, columns: list[str]) -> list[str]:
        known = self.source.known_time
        times = [self.source.event_time, *([] if known is None else [known])]
        return list(dict.fromkeys([*columns, *times]))

    def _log_columns(self, columns: list[str]) -> list[str]:
        return list(dict.fromkeys([*columns, self.source.event_time, KNOWN, LATE, DELETED]))

    def _of_table(self, chunk: Chunk, columns: list[str]) -> HistoryChunk:
        table = self._typed(chunk.table, chunk.table.column_names)
        event = to_micros_array(table.column(self.source.event_time))
        if self.source.known_time is not None:
            known = to_micros_array(table.column(self.source.known_time))
            missing = known == ALWAYS
            known = np.where(missing, event, known) if missing.any() else known
        else:
            known = _after(event, self.source.delay)
        rows = len(event)
        return HistoryChunk(
            table=table.select(columns),
            event=event,
            known=known,
            tiebreak=np.zeros(rows, np.int64),
            late=np.zeros(rows, np.bool_),
            row=chunk.rows,
        )

    def _of_log(self, chunk: Chunk, columns: list[str]) -> HistoryChunk:
        table = chunk.table
        sequences = chunk.rows
        return HistoryChunk(
            table=to_source_columns(table, self.source, columns),
            event=to_micros_array(table.column(self.source.event_time)),
            known=to_micros_array(table.column(KNOWN)),
            tiebreak=sequences,
            late=table.column(LATE).to_numpy(),
            row=sequences + LOG_ROWS,
            deleted=table.column(DELETED).to_numpy(),
        )

    def _typed(self, table: pa.Table, columns: Sequence[str]) -> pa.Table:
        if self._reader is None:
            return table
        where = f"{self._reader.where!r}, the table of source {self.source.name!r}"
        zone = self._reader.timezone
        return to_source_columns(table, self.source, columns, timezone=zone, where=where)

    def _typed_of_log(self, table: pa.Table, columns: Sequence[str]) -> pa.Table:
        return to_source_columns(table, self.source, columns)

    def _checked(self, columns: Sequence[str]) -> list[str]:
        known = self.source.columns
        for name in columns:
            if name not in known:
                raise UnknownName.of("column", name, known, where=f"source {self.source.name!r}")
        # Of no column at all Arrow tables forget how many rows they have.
        return list(dict.fromkeys(columns)) or [self.source.event_time]


def _counting(chunk: HistoryChunk) -> HistoryChunk:
    """Return the rows of a chunk that can count: without deletions, with an event time."""
    import pyarrow as pa

    keep = chunk.event != ALWAYS
    if chunk.deleted is not None:
        dropped = int(np.count_nonzero(~keep & ~chunk.deleted))
        keep &= ~chunk.deleted
    else:
        dropped = int(np.count_nonzero(~keep))
    if keep.all():
        return dataclasses.replace(chunk, deleted=None)
    return HistoryChunk(
        table=chunk.table.filter(pa.array(keep)),
        event=chunk.event[keep],
        known=chunk.known[keep],
        tiebreak=chunk.tiebreak[keep],
        late=chunk.late[keep],
        row=chunk.row[keep],
        dropped=dropped,
    )


def _after(event: Int64s, delay: int) -> Int64s:
    """Return times later by ``delay``; those that would overflow are the last of all."""
    if not delay:
        return event
    later = event + delay
    return np.where(later < event, NEVER, later)
