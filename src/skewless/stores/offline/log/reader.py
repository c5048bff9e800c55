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
from skewless.errors import ConfigError, CorruptData, InputError, MissingColumn, StoreError
from skewless.stores.offline.base import CHUNK_ROWS, Chunk, Part, TableReader
from skewless.stores.offline.files.paths import DataFile, Listing, MissingFile
from skewless.stores.offline.files.read_ahead import one_ahead
from skewless.stores.offline.log import file_seal
from skewless.stores.offline.log.columns import (
    Numbered,
    entries_table,
    in_order,
    joined,
    let_in,
    log_schema,
    retyped_column,
    together,
)
from skewless.stores.offline.log.journal import (
    INCLUDED_KEY,
    JOURNAL,
    KNOWN,
    LATE,
    MANIFEST_KEY,
    SEQUENCE,
    STATE_KEY,
    Entry,
    Included,
    State,
    decode_entry,
    journal_key,
    log_table,
    sequence_of,
)
from skewless.stores.offline.log.manifest import LogFile, Manifest
from skewless.stores.offline.tables.parquet_files import ParquetFiles

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.source import Source
    from skewless.stores.offline.log.lake import LakeFiles, LakeTable
    from skewless.stores.online.base import KeyValues

    Int64s = npt.NDArray[np.int64]

JOURNAL_PART = "journal"
JOURNAL_ROWS = 1 << 18


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A log at one moment: what it has, where, and which late rows count."""

    state: State
    manifest: Manifest
    included: Included


@dataclasses.dataclass(frozen=True)
class LogScan:
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
        """Return whether a file or entry may have rows that are asked for."""
        every = self.low == ALWAYS and self.high == NEVER
        return every or (item.low < self.high and item.high >= self.low)


class LogReader(TableReader):
    """Reads the rows that an event log had when the reader first looked.

    Besides the source's columns there are ``_known`` (timestamp), ``_sequence``, ``_late``,
    ``_deleted`` and ``_supersedes``. Sequences ascend within a chunk, with gaps where the rows of
    other dates are in another; the journal comes last.
    """

    def __init__(
        self,
        source: Source,
        store: KeyValues,
        folder: Path,
        lake: LakeTable | None = None,
    ) -> None:
        import pyarrow as pa

        super().__init__(Recorded({"kind": "log", "name": source.name}))
        self.where = f"event log of source {source.name!r}"
        self.source = source
        self._event_time = source.event_time
        self._store = store
        self.folder = folder
        self._table = log_table(folder.name)
        types = {name: dtype.arrow() for name, dtype in source.as_stored().columns.items()}
        self._schema = log_schema(pa.schema(list(types.items())))
        self._schemas: dict[bytes, pa.Schema] = {}
        self._snapshot: Snapshot | None = None
        self._lake = lake
        self._in_lake: dict[str, tuple[LakeFiles, DataFile]] = {}
        self._of_lake: dict[int, tuple[LogFile, ...]] = {}

    def refresh(self) -> None:
        self._snapshot = None

    def arrow_schema(self) -> pa.Schema:
        import pyarrow as pa

        now = {stored: name for name, stored in self.source.stored_columns.items()}
        return pa.schema(
            [field.with_name(now.get(field.name, field.name)) for field in self._schema]
        )

    def _kept(self, columns: Sequence[str]) -> list[str]:
        """Return the names that columns are kept under."""
        return [self.source.stored_name_of(name) for name in columns]

    def last_sequence(self) -> int:
        """Return the greatest sequence that the reader sees."""
        return self._look().state.next_sequence - 1

    def row_count(self) -> int:
        return self.last_sequence()

    def parts(self) -> list[Part]:
        now = self._look()
        parts = [Part(file.name, file.rows, str(file.size)) for file in self._files(now.manifest)]
        rows = now.state.next_sequence - 1 - now.manifest.settled
        version = f"{now.manifest.settled}-{now.state.next_sequence}"
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
        kept = self._kept(columns)
        wanted = LogScan(self._selected(kept), after=after)
        if time_column == self._event_time:
            low, high = ALWAYS if start is None else start, NEVER if end is None else end
            wanted = dataclasses.replace(wanted, low=low, high=high)
        found = self._scan(wanted, kept, None if parts is None else set(parts))
        return one_ahead(found if kept == list(columns) else _renamed(found, columns))

    def pieces(self, rows: Int64s, columns: Sequence[str]) -> Iterator[pa.Table]:
        kept = self._kept(columns)
        schema = self._selected(kept)
        if len(rows) and not 1 <= rows[0] <= rows[-1] <= self.last_sequence():
            raise self._unknown_rows(rows)
        included = self._look().included
        for begin in range(0, len(rows), CHUNK_ROWS):
            block = rows[begin : begin + CHUNK_ROWS]
            _, table = let_in((block, self._find(block, schema)), included)
            yield table.select(kept).rename_columns(list(columns)) if columns else table

    # --------------------------------------------------------------------------------- the files

    def _files(self, manifest: Manifest, *, anew: bool = False) -> tuple[LogFile, ...]:
        """Return the files of settled rows: the log's own, and those of its lake.

        Args:
            manifest: as it is.
            anew: whether to ask the lake again: its files may have been joined meanwhile.
        """
        if sum(file.rows for file in manifest.files) >= manifest.settled:
            return manifest.files
        return (*manifest.files, *self._lake_files(manifest, anew=anew))

    def _lake_files(self, manifest: Manifest, *, anew: bool) -> tuple[LogFile, ...]:
        if self._lake is None or self._lake.where != manifest.lake:
            raise elsewhere(manifest.lake, getattr(self._lake, "where", None), self.where)
        key = manifest.generation
        if anew or key not in self._of_lake:
            listed = self._lake.look()
            self._in_lake |= {name: (listed, file) for name, (_, file) in listed.files.items()}
            self._of_lake[key] = tuple(known for known, _ in listed.files.values())
        return self._of_lake[key]

    def in_lake(self, first: int, last: int, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these sequences that the lake has, settled or not."""
        kept = self._kept(columns)
        schema = self._selected(kept)
        wanted = LogScan(schema)
        found = [
            piece
            for file in self._lake_files(self._look().manifest, anew=False)
            if file.first <= last and file.last >= first
            for piece in self._file(file, wanted, first, last)
        ]
        rows = (joined(found)[1] if found else schema.empty_table()).select(kept)
        return rows.rename_columns(list(columns))

    def settled_files(self) -> dict[str, bytes]:
        """Return name and schema of the files of settled rows; none where a lake has them."""
        manifest = self._look().manifest
        if sum(file.rows for file in manifest.files) < manifest.settled:
            return {}
        return {file.name: file.schema for file in manifest.files}

    def noted(self) -> dict[bytes, bytes]:
        """Return what the log has noted as the reader sees it: all but its rows and schemas."""
        now = self._look()
        return {
            STATE_KEY: now.state.encode(),
            MANIFEST_KEY: now.manifest.encode(),
            INCLUDED_KEY: now.included.encode(),
        }

    # ---------------------------------------------------------------------------- for settling runs

    def oldest(self, *, rows: int, size: int) -> tuple[bytes, pa.Table]:
        """Return the first rows of the journal that have one schema, all columns; and its hash.

        Args:
            rows: about how many at most.
            size: about how many bytes at most.
        """
        now = self._look()
        entries: list[tuple[int, Entry]] = []
        found = length = 0
        expected = now.manifest.settled + 1
        for sequence, entry in self._entries(now.manifest.settled, now.state.next_sequence):
            if sequence != expected:
                break
            if entries and entry.schema_hash != entries[0][1].schema_hash:
                break
            expected = sequence + entry.rows
            entries.append((sequence, entry))
            found, length = found + entry.rows, length + len(entry.payload)
            if found >= rows or length >= size:
                break
        if not entries:
            raise self._gap(expected, now.state.next_sequence - 1)
        schema_hash = entries[0][1].schema_hash
        schema = log_schema(self.schema_of(schema_hash))
        return schema_hash, entries_table(entries, schema, self.schema_of)[1]

    def settled_tables(self, files: list[LogFile]) -> Iterator[pa.Table]:
        """Yield all columns of files that have one schema, in the order of the files."""
        schema = log_schema(self.schema_of(files[0].schema))
        for chunk in self._parquet(files, schema).chunks(schema.names):
            yield chunk.table

    def schema_of(self, schema_hash: bytes) -> pa.Schema:
        """Return a schema that rows of the log were written with."""
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

    # --------------------------------------------------------------------------------- whole scans

    def _scan(
        self, wanted: LogScan, columns: Sequence[str], parts: set[str] | None
    ) -> Generator[Chunk, None, None]:
        now = self._look()
        for piece in together(self._scattered(wanted, parts, now), CHUNK_ROWS):
            sequences, table = let_in(piece, now.included)
            table = table.select(list(columns))
            # An entry has as many rows as were pushed at once.
            for begin in range(0, len(sequences), CHUNK_ROWS):
                numbers = sequences[begin : begin + CHUNK_ROWS]
                yield Chunk(int(numbers[0]), table.slice(begin, len(numbers)), numbers)

    def _scattered(
        self, wanted: LogScan, parts: set[str] | None, now: Snapshot
    ) -> Iterator[Numbered]:
        # Files of one settling run follow each other: their rows are neighbours by sequence.
        settled = now.manifest.settled
        files = self._files(now.manifest) if wanted.after < settled else ()
        for file in sorted(files, key=lambda file: (file.first, file.date)):
            if file.last > wanted.after and (parts is None or file.name in parts):
                first, last = max(file.first, wanted.after + 1), min(file.last, settled)
                yield from self._file(file, wanted, first, last)
        if parts is None or JOURNAL_PART in parts:
            yield from self._journal(wanted, now.manifest.settled, now.state.next_sequence)

    def _file(self, file: LogFile, wanted: LogScan, first: int, last: int) -> Iterator[Numbered]:
        """Yield the rows of a file from ``first`` to ``last``, wherever they are by now."""
        if not wanted.in_time(file):
            return
        names = list(dict.fromkeys([*wanted.schema.names, SEQUENCE]))
        chunks = self._parquet([file], self._stored(file)).chunks
        at, low, high = self._event_time, wanted.low, wanted.high
        try:
            # A file is opened once, before its first chunk: none was yielded when it is missing.
            for chunk in chunks(names, time_column=at, start=low, end=high, ahead=False):
                sequences, found = in_order(chunk.table)
                table = _as_wanted(found, wanted.schema)
                begin, stop = np.searchsorted(sequences, (first, last + 1)).tolist()
                if begin < stop:
                    yield sequences[begin:stop], table.slice(begin, stop - begin)
        except MissingFile as error:
            manifest = self._newest().manifest
            if any(each.name == file.name for each in self._files(manifest, anew=True)):
                raise self._lost(error) from error
            yield from self._moved(manifest, wanted, first, last, date=file.date)

    def _moved(
        self, manifest: Manifest, wanted: LogScan, first: int, last: int, date: int | None = None
    ) -> Iterator[Numbered]:
        """Yield settled rows by their sequences, all of them or those of one date."""
        for file in self._files(manifest):
            if (date is None or file.date == date) and file.first <= last and file.last >= first:
                yield from self._file(file, wanted, max(first, file.first), min(last, file.last))

    def _journal(self, wanted: LogScan, settled: int, stop: int) -> Iterator[Numbered]:
        """Yield the rows after ``settled`` and before ``stop``."""
        expected = settled + 1
        entries: list[tuple[int, Entry]] = []
        waiting = 0
        for sequence, entry in self._entries(settled, stop):
            if sequence != expected:
                yield from self._settled_meanwhile(wanted, expected, sequence - 1)
            expected = sequence + entry.rows
            if expected > wanted.after + 1 and wanted.in_time(entry):
                entries.append((sequence, entry))
                waiting += entry.rows
            if waiting >= JOURNAL_ROWS:
                yield self._decoded(entries, wanted)
                entries, waiting = [], 0
        if entries:
            yield self._decoded(entries, wanted)
        if expected < stop:
            yield from self._settled_meanwhile(wanted, expected, stop - 1)

    def _decoded(self, entries: list[tuple[int, Entry]], wanted: LogScan) -> Numbered:
        sequences, table = entries_table(entries, wanted.schema, self.schema_of)
        begin = int(np.searchsorted(sequences, wanted.after + 1))
        return sequences[begin:], table.slice(begin)

    def _settled_meanwhile(self, wanted: LogScan, first: int, last: int) -> Iterator[Numbered]:
        manifest = self._newest().manifest
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

    # --------------------------------------------------------------------------------- single rows

    def _find(self, rows: Int64s, schema: pa.Schema) -> pa.Table:
        """Return the rows of these sequences, looking again when some have moved meanwhile."""
        now, looked_again = self._look(), self._lake is None
        while True:
            missing: MissingFile | None = None
            found: list[Numbered] = []
            try:
                found = list(self._found(rows, schema, now))
            except MissingFile as error:
                missing = error
            if sum(len(sequences) for sequences, _ in found) == len(rows):
                break
            newest = dataclasses.replace(self._newest(), state=now.state)
            if newest.manifest.generation == now.manifest.generation and looked_again:
                raise self._unknown_rows(rows) if missing is None else self._lost(missing)
            if self._lake is not None:
                self._files(newest.manifest, anew=True)
                looked_again = True
            now = newest
        if not found:
            return schema.empty_table()
        return joined(found)[1]

    def _found(self, rows: Int64s, schema: pa.Schema, now: Snapshot) -> Iterator[Numbered]:
        in_files = rows[: np.searchsorted(rows, now.manifest.settled + 1)]
        for file in self._files(now.manifest) if len(in_files) else ():
            begin, stop = np.searchsorted(in_files, (file.first, file.last + 1))
            if begin < stop:
                yield from self._found_in(file, in_files[begin:stop], schema)
        in_journal = rows[len(in_files) :]
        if not len(in_journal):
            return
        entries = []
        for sequence, entry in self._entries(now.manifest.settled, now.state.next_sequence):
            begin, stop = np.searchsorted(in_journal, (sequence, sequence + entry.rows))
            if begin < stop:
                entries.append((sequence, entry))
        if entries:
            sequences, table = entries_table(entries, schema, self.schema_of)
            places = np.flatnonzero(np.isin(sequences, in_journal, assume_unique=True))
            yield sequences[places], table.take(places)

    def _found_in(self, file: LogFile, rows: Int64s, schema: pa.Schema) -> Iterator[Numbered]:
        files = self._parquet([file], self._stored(file))
        for chunk in files.chunks([SEQUENCE], ahead=False):
            sequences = chunk.table.column(SEQUENCE).to_numpy()
            places = np.flatnonzero(np.isin(sequences, rows, assume_unique=True))
            begin = 0
            for found in files.pieces(chunk.row_base + places, schema.names):
                table = _as_wanted(found, schema)
                yield sequences[places[begin : begin + table.num_rows]], table
                begin += table.num_rows

    # ------------------------------------------------------------------------------------- helpers

    def _look(self) -> Snapshot:
        if self._snapshot is None:
            self._snapshot = self._newest()
        return self._snapshot

    def _newest(self) -> Snapshot:
        state, manifest, included = self._store.read(
            self._table, (STATE_KEY, MANIFEST_KEY, INCLUDED_KEY)
        )
        return Snapshot(
            State.decode(state, self.where),
            Manifest.decode(manifest, self.where),
            Included.decode(included),
        )

    def _selected(self, columns: Sequence[str]) -> pa.Schema:
        """Return the schema to read: also what `let_in` needs."""
        import pyarrow as pa

        # Of no column at all Arrow tables forget how many rows they have.
        names = list(dict.fromkeys(columns)) or self._schema.names[:1]
        for column in names:
            if column not in self._schema.names:
                raise MissingColumn.of(column, self._schema.names, where=self.where)
        if KNOWN in names or LATE in names:
            names += [name for name in (KNOWN, LATE) if name not in names]
        return pa.schema([self._schema.field(name) for name in names])

    def _stored(self, file: LogFile) -> pa.Schema:
        """Return the reader's columns as a file has them: types may have changed since."""
        import pyarrow as pa

        if not file.schema or file.name in self._in_lake:
            return self._schema
        own = self.schema_of(file.schema)
        return pa.schema(
            [own.field(field.name) if field.name in own.names else field for field in self._schema]
        )

    def _parquet(self, files: list[LogFile], schema: pa.Schema | None = None) -> ParquetFiles:
        from pyarrow.fs import LocalFileSystem

        if files and files[0].name in self._in_lake:
            lake, _ = self._in_lake[files[0].name]
            listed = tuple(self._in_lake[file.name][1] for file in files)
            listing = Listing(lake.filesystem, listed, {}, lake.remote)
            return ParquetFiles(listing, self.where, schema=self._schema, ids=lake.ids)
        for file in files:
            file_seal.check(self.folder, file)
        listed = tuple(DataFile(str(self.folder / file.name), file.name, "") for file in files)
        listing = Listing(LocalFileSystem(), listed, {}, remote=False)
        return ParquetFiles(listing, self.where, schema=schema or self._schema)

    def _gap(self, first: int, last: int) -> CorruptData:
        return CorruptData(
            "rows are missing from the journal of an event log",
            got=f"no sequences {first} to {last}",
            where=self.where,
            hint="Restore the log from a backup.",
        )

    def _lost(self, error: MissingFile) -> StoreError:
        return StoreError(
            "a file of the event log is missing",
            got=error.where,
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


def elsewhere(lake: str, configured: str | None, where: str) -> ConfigError:
    """Return the error for a log whose settled rows are in another place than is configured."""
    return ConfigError(
        "the settled rows of an event log are in another place",
        got="no log in [offline]" if configured is None else configured,
        expected=lake,
        where=where,
        hint="Name that table as log in [offline] of skewless.toml again.",
    )


def _renamed(chunks: Iterator[Chunk], names: Sequence[str]) -> Generator[Chunk, None, None]:
    """Yield chunks with their columns called otherwise."""
    for chunk in chunks:
        yield dataclasses.replace(chunk, table=chunk.table.rename_columns(list(names)))


def _as_wanted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of a schema, as its types, of rows that were kept with others."""
    import pyarrow as pa

    columns = [retyped_column(table.column(field.name), field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)
