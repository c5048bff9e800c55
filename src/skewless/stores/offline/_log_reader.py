"""Reading an event log: settled files and journal as one table, while others append and settle.

Row numbers are sequences, so a row keeps its number wherever it lies. The reader looks at the state
and the manifest once. A settling run may then move rows out of the journal, or join files, before
the reader comes to them. It notices, since sequences are missing or a file is gone, and finds the
rows by the newest manifest: rows of one date whose sequences lie in a range are the same in every
manifest, only the file is another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from skewless.clock import ALWAYS, NEVER
from skewless.definitions.tables import Recorded
from skewless.errors import CorruptData, InputError, MissingColumn, StoreError
from skewless.stores.offline._ahead import one_ahead
from skewless.stores.offline._files import DataFile, Listing, MissingFile
from skewless.stores.offline._footers import Footer
from skewless.stores.offline._journal import (
    DELETED,
    JOURNAL,
    KNOWN,
    LATE,
    MANIFEST_KEY,
    SEQUENCE,
    STATE_KEY,
    SUPERSEDES,
    Entry,
    State,
    decode_entry,
    journal_key,
    log_table,
    sequence_of,
)
from skewless.stores.offline._manifest import LogFile, Manifest
from skewless.stores.offline._parquet_files import ParquetFiles
from skewless.stores.offline.base import CHUNK_ROWS, Chunk, Part, TableReader
from skewless.types import DType, dtype_from_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.source import Source
    from skewless.stores.online.base import OnlineStore

    Int64s = npt.NDArray[np.int64]

JOURNAL_PART = "journal"
TOGETHER_ROWS = 1 << 18
"""Small pieces are joined to chunks of about so many rows."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a scan asks for.

    Attributes:
        schema: of the columns.
        low: least event time, UTC microseconds.
        high: event time before which all are.
        after: only greater sequences.
    """

    schema: pa.Schema
    low: int = ALWAYS
    high: int = NEVER
    after: int = 0

    def in_time(self, item: LogFile | Entry) -> bool:
        return (self.low == ALWAYS and self.high == NEVER) or (
            item.low < self.high and item.high >= self.low
        )


class LogReader(TableReader):
    """Reads the rows that an event log had when the reader first looked.

    Besides the source's columns there are ``_known`` (timestamp), ``_sequence``, ``_late``,
    ``_deleted`` and ``_supersedes``. Chunks come by date, then by sequence, the journal last.
    """

    def __init__(self, source: Source, store: OnlineStore, folder: Path) -> None:
        super().__init__(Recorded({"kind": "log", "name": source.name}))
        self.where = f"event log of source {source.name!r}"
        self._source = source
        self._store = store
        self._folder = folder
        self._table = log_table(source.name)
        self._footers: dict[tuple[str, str], Footer] = {}
        self._schemas: dict[bytes, pa.Schema] = {}
        self.refresh()

    def refresh(self) -> None:
        self._snapshot: tuple[State, Manifest] | None = None

    def arrow_schema(self) -> pa.Schema:
        return log_schema(self._source)

    def schema(self) -> dict[str, DType]:
        return {field.name: dtype_from_arrow(field.type) for field in self.arrow_schema()}

    def last_sequence(self) -> int:
        """Return the greatest sequence that the reader sees."""
        return self._look()[0].next_sequence - 1

    def row_count(self) -> int:
        return self.last_sequence()

    def parts(self) -> list[Part]:
        state, manifest = self._look()
        parts = [Part(file.name, file.rows, str(file.size)) for file in manifest.files]
        rows = state.next_sequence - 1 - manifest.settled
        version = f"{manifest.settled}-{state.next_sequence}"
        return [*parts, Part(JOURNAL_PART, rows, version)] if rows else parts

    def chunks(
        self,
        columns: Sequence[str],
        *,
        time_column: str | None = None,
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
        after: int = 0,
    ) -> Iterator[Chunk]:
        """Yield rows as `TableReader.chunks` says; ``after``: only those of greater sequences."""
        self.unknown_parts(parts, [part.name for part in self.parts()])
        wanted = Wanted(self._selected(columns), after=after)
        if time_column == self._source.event_time:
            low, high = ALWAYS if start is None else start, NEVER if end is None else end
            wanted = dataclasses.replace(wanted, low=low, high=high)
        return one_ahead(self._scan(wanted, None if parts is None else set(parts)))

    def pieces(self, rows: Int64s, columns: Sequence[str]) -> Iterator[pa.Table]:
        schema = self._selected(columns)
        if len(rows) and not 1 <= rows[0] <= rows[-1] <= self.last_sequence():
            raise self._unknown_rows(rows)
        for begin in range(0, len(rows), CHUNK_ROWS):
            yield self._find(rows[begin : begin + CHUNK_ROWS], schema)

    # --------------------------------------------------------------------------------- whole scans

    def _scan(self, wanted: Wanted, parts: set[str] | None) -> Generator[Chunk, None, None]:
        state, manifest = self._look()
        pending: list[tuple[Int64s, pa.Table]] = []
        for sequences, table in self._scattered(wanted, parts, state, manifest):
            pending.append((sequences, table))
            if sum(len(numbers) for numbers, _ in pending) >= TOGETHER_ROWS:
                yield from _joined(pending)
                pending = []
        yield from _joined(pending)

    def _scattered(
        self, wanted: Wanted, parts: set[str] | None, state: State, manifest: Manifest
    ) -> Iterator[tuple[Int64s, pa.Table]]:
        for file in manifest.files:
            if file.last > wanted.after and (parts is None or file.name in parts):
                yield from self._file(file, wanted, max(file.first, wanted.after + 1), file.last)
        if parts is None or JOURNAL_PART in parts:
            yield from self._journal(wanted, manifest.settled, state.next_sequence)

    def _file(
        self, file: LogFile, wanted: Wanted, first: int, last: int
    ) -> Iterator[tuple[Int64s, pa.Table]]:
        """Yield the rows of a file from ``first`` to ``last``, wherever they are by now."""
        if not wanted.in_time(file):
            return
        names = list(dict.fromkeys([*wanted.schema.names, SEQUENCE]))
        try:
            # A file is opened once, before its first chunk: none was yielded when it is missing.
            for chunk in self._parquet([file]).chunks(
                names,
                time_column=self._source.event_time,
                start=None if wanted.low == ALWAYS else wanted.low,
                end=None if wanted.high == NEVER else wanted.high,
                ahead=False,
            ):
                sequences = chunk.table.column(SEQUENCE).to_numpy()
                table = chunk.table.select(wanted.schema.names)
                begin, stop = np.searchsorted(sequences, (first, last + 1))
                if (begin, stop) != (0, len(sequences)):
                    sequences, table = sequences[begin:stop], table.slice(begin, stop - begin)
                if len(sequences):
                    yield sequences, table
        except MissingFile as error:
            _, manifest = self._newest()
            if any(each.name == file.name for each in manifest.files):
                raise self._lost(file) from error
            yield from self._moved(manifest, wanted, first, last, date=file.date)

    def _moved(
        self, manifest: Manifest, wanted: Wanted, first: int, last: int, date: int | None = None
    ) -> Iterator[tuple[Int64s, pa.Table]]:
        """Yield settled rows by their sequences, all of them or those of one date."""
        for file in manifest.files:
            if (date is None or file.date == date) and file.first <= last and file.last >= first:
                yield from self._file(file, wanted, max(first, file.first), min(last, file.last))

    def _journal(
        self, wanted: Wanted, settled: int, stop: int
    ) -> Iterator[tuple[Int64s, pa.Table]]:
        """Yield the rows after ``settled`` and before ``stop``."""
        expected = settled + 1
        entries: list[tuple[int, Entry]] = []
        waiting = 0
        for sequence, entry in self._entries(settled, stop):
            if sequence != expected:
                yield from self._settled_meanwhile(wanted, expected, sequence - 1)
            expected = sequence + entry.rows
            if wanted.in_time(entry) and expected > wanted.after + 1:
                entries.append((sequence, entry))
                waiting += entry.rows
            if waiting >= TOGETHER_ROWS:
                yield self._decode(entries, wanted)
                entries, waiting = [], 0
        if entries:
            yield self._decode(entries, wanted)
        if expected < stop:
            yield from self._settled_meanwhile(wanted, expected, stop - 1)

    def _settled_meanwhile(
        self, wanted: Wanted, first: int, last: int
    ) -> Iterator[tuple[Int64s, pa.Table]]:
        _, manifest = self._newest()
        if manifest.settled < last:
            raise self._gap(first, last)
        yield from self._moved(manifest, wanted, max(first, wanted.after + 1), last)

    def _entries(self, settled: int, stop: int) -> Iterator[tuple[int, Entry]]:
        after = journal_key(settled)
        for key, value in self._store.scan(self._table, prefix=JOURNAL, after=after):
            sequence = sequence_of(key)
            if sequence >= stop:
                return
            yield sequence, decode_entry(value, self.where)

    def _decode(
        self, entries: list[tuple[int, Entry]], wanted: Wanted
    ) -> tuple[Int64s, pa.Table]:
        import pyarrow as pa

        sequences = np.concatenate(
            [np.arange(first, first + entry.rows, dtype=np.int64) for first, entry in entries]
        )
        stored = [name for name in wanted.schema.names if not name.startswith("_")]
        own = [entry for _, entry in entries]
        columns = {name: [] for name in dict.fromkeys(stored)}  # type: dict[str, list[pa.Array]]
        for entry in own:
            batch = entry.batch(self._schema_of(entry.schema_hash))
            present = batch.schema.names
            for name, arrays in columns.items():
                arrow = wanted.schema.field(name).type
                array = (
                    batch.column(name) if name in present else pa.nulls(batch.num_rows, arrow)
                )
                arrays.append(array if array.type == arrow else array.cast(arrow))
        arrays = []
        for field in wanted.schema:
            if field.name in columns:
                arrays.append(pa.concat_arrays(columns[field.name]))
            else:
                arrays.append(_own_column(field.name, sequences, own))
        table = pa.Table.from_arrays(arrays, schema=wanted.schema)
        if not arrays:
            table = pa.table({"": sequences}).select([])
        begin = int(np.searchsorted(sequences, wanted.after + 1))
        return sequences[begin:], table.slice(begin)

    # --------------------------------------------------------------------------------- single rows

    def _find(self, rows: Int64s, schema: pa.Schema) -> pa.Table:
        import pyarrow as pa

        state, manifest = self._look()
        while True:
            try:
                found = list(self._found(rows, schema, state, manifest))
            except MissingFile as error:
                _, newest = self._newest()
                if newest.generation == manifest.generation:
                    raise StoreError(
                        "a file of the event log is missing",
                        got=error.where,
                        where=self.where,
                        hint="Restore it from a backup.",
                    ) from error
                manifest = newest
                continue
            sequences = np.concatenate([np.empty(0, np.int64), *(each for each, _ in found)])
            if len(sequences) == len(rows):
                break
            _, newest = self._newest()
            if newest.generation == manifest.generation:
                raise self._unknown_rows(np.setdiff1d(rows, sequences))
            manifest = newest
        if not found:
            return schema.empty_table()
        table = pa.concat_tables([table for _, table in found])
        order = np.argsort(sequences, kind="stable")
        if not np.array_equal(sequences, rows):
            table = table.take(order)
        return table

    def _found(
        self, rows: Int64s, schema: pa.Schema, state: State, manifest: Manifest
    ) -> Iterator[tuple[Int64s, pa.Table]]:
        in_files = rows[: np.searchsorted(rows, manifest.settled + 1)]
        for file in manifest.files:
            begin, stop = np.searchsorted(in_files, (file.first, file.last + 1))
            if begin < stop:
                yield from self._found_in(file, in_files[begin:stop], schema)
        in_journal = rows[len(in_files) :]
        if not len(in_journal):
            return
        wanted, entries = Wanted(schema), []
        for sequence, entry in self._entries(manifest.settled, state.next_sequence):
            begin, stop = np.searchsorted(in_journal, (sequence, sequence + entry.rows))
            if begin < stop:
                entries.append((sequence, entry))
        if entries:
            sequences, table = self._decode(entries, wanted)
            places = np.flatnonzero(np.isin(sequences, in_journal, assume_unique=True))
            yield sequences[places], table.take(places)

    def _found_in(
        self, file: LogFile, rows: Int64s, schema: pa.Schema
    ) -> Iterator[tuple[Int64s, pa.Table]]:
        files = self._parquet([file])
        for chunk in files.chunks([SEQUENCE], ahead=False):
            sequences = chunk.table.column(SEQUENCE).to_numpy()
            places = np.flatnonzero(np.isin(sequences, rows, assume_unique=True))
            if len(places):
                tables = files.pieces(chunk.row_base + places, schema.names)
                begin = 0
                for table in tables:
                    yield sequences[places[begin : begin + table.num_rows]], table
                    begin += table.num_rows

    # ---------------------------------------------------------------------------- for settling runs

    def oldest(self, settled: int, stop: int, *, rows: int, size: int) -> pa.Table:
        """Return the first rows of the journal, all columns: about ``rows``, or ``size`` bytes."""
        entries: list[tuple[int, Entry]] = []
        found = length = 0
        expected = settled + 1
        for sequence, entry in self._entries(settled, stop):
            if sequence != expected:
                raise self._gap(expected, sequence - 1)
            expected = sequence + entry.rows
            entries.append((sequence, entry))
            found, length = found + entry.rows, length + len(entry.payload)
            if found >= rows or length >= size:
                break
        if not entries:
            raise self._gap(expected, stop - 1)
        return self._decode(entries, Wanted(self.arrow_schema()))[1]

    def settled_tables(self, files: list[LogFile]) -> Iterator[pa.Table]:
        """Yield all columns of the rows of settled files, in the order of the files."""
        for chunk in self._parquet(files).chunks(self.arrow_schema().names):
            yield chunk.table

    # ------------------------------------------------------------------------------------- helpers

    def _look(self) -> tuple[State, Manifest]:
        if self._snapshot is None:
            self._snapshot = self._newest()
        return self._snapshot

    def _newest(self) -> tuple[State, Manifest]:
        state, manifest = self._store.read(self._table, (STATE_KEY, MANIFEST_KEY))
        return State.decode(state, self.where), Manifest.decode(manifest, self.where)

    def _selected(self, columns: Sequence[str]) -> pa.Schema:
        import pyarrow as pa

        schema = self.arrow_schema()
        for column in columns:
            if column not in schema.names:
                raise MissingColumn.of(column, schema.names, where=self.where)
        return pa.schema([schema.field(column) for column in columns])

    def _parquet(self, files: list[LogFile]) -> ParquetFiles:
        from pyarrow.fs import LocalFileSystem

        listed = tuple(DataFile(str(self._folder / file.name), file.name, "") for file in files)
        listing = Listing(LocalFileSystem(), listed, {}, remote=False)
        return ParquetFiles(listing, self.where, schema=self.arrow_schema())

    def _schema_of(self, schema_hash: bytes) -> pa.Schema:
        import pyarrow as pa

        if schema_hash not in self._schemas:
            stored = self._store.read_one(self._table, b"t" + schema_hash)
            if stored is None:
                raise CorruptData(
                    "an event log lacks the schema of some of its rows",
                    got=schema_hash.hex(),
                    where=self.where,
                )
            self._schemas[schema_hash] = pa.ipc.read_schema(pa.py_buffer(stored))
        return self._schemas[schema_hash]

    def _gap(self, first: int, last: int) -> CorruptData:
        return CorruptData(
            "rows are missing from the journal of an event log",
            got=f"no sequences {first} to {last}",
            where=self.where,
            hint="Restore the log from a backup.",
        )

    def _lost(self, file: LogFile) -> StoreError:
        return StoreError(
            "a file of the event log is missing",
            got=str(self._folder / file.name),
            where=self.where,
            hint="Restore it from a backup.",
        )

    def _unknown_rows(self, rows: Int64s) -> InputError:
        return InputError(
            "row numbers that an event log does not have",
            got=f"{rows[:5].tolist()}",
            expected=f"1 to {self.last_sequence()}",
            where=self.where,
        )


def log_schema(source: Source) -> pa.Schema:
    """Return the columns of a source's log: its own, then those of the log."""
    import pyarrow as pa

    own = [(name, dtype.arrow()) for name, dtype in source.columns.items()]
    return pa.schema(
        [
            *own,
            (KNOWN, pa.timestamp("us", "UTC")),
            (SEQUENCE, pa.int64()),
            (LATE, pa.bool_()),
            (DELETED, pa.bool_()),
            (SUPERSEDES, pa.int64()),
        ]
    )


def _own_column(name: str, sequences: Int64s, entries: list[Entry]) -> pa.Array:
    import pyarrow as pa

    if name == SEQUENCE:
        return pa.array(sequences)
    if name == KNOWN:
        known = np.concatenate([entry.known for entry in entries])
        return pa.array(known).view(pa.timestamp("us", "UTC"))
    if name == SUPERSEDES:
        return pa.array(np.concatenate([_or_zeros(entry.supersedes, entry) for entry in entries]))
    flags = [entry.late if name == LATE else entry.deleted for entry in entries]
    zeros = [
        np.zeros(entry.rows, np.bool_) if flag is None else flag
        for flag, entry in zip(flags, entries, strict=True)
    ]
    return pa.array(np.concatenate(zeros))


def _or_zeros(values: Int64s | None, entry: Entry) -> Int64s:
    return np.zeros(entry.rows, np.int64) if values is None else values


def _joined(pending: list[tuple[Int64s, pa.Table]]) -> Iterator[Chunk]:
    import pyarrow as pa

    if not pending:
        return
    if len(pending) == 1:
        sequences, table = pending[0]
    else:
        sequences = np.concatenate([numbers for numbers, _ in pending])
        table = pa.concat_tables([table for _, table in pending]).combine_chunks()
    yield Chunk(int(sequences[0]), table, sequences)
