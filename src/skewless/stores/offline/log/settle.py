"""Moving the journal of an event log into Parquet files by event date, and joining small ones.

Every step is one that may be the last before a kill:

1. Files are written under temporary names, flushed, renamed, their folders flushed. Nothing names
   them yet: readers do not see them, the next run removes them.
2. One transaction replaces the manifest: the files count from now on, and the rows up to
   `Manifest.settled` no longer count in the journal.
3. What no longer counts is deleted: journal entries in small transactions, files by unlinking.

Joining files is the same with other input. Files of one date are joined when eight neighbours have
about the same size (each join makes a file of the next size), so a row is written again at most
once per factor of eight.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from skewless.clock import ALWAYS, NEVER
from skewless.errors import Conflict, CorruptData, InputError, StoreError
from skewless.stores.offline.cast import to_micros_array
from skewless.stores.offline.log.columns import log_schema
from skewless.stores.offline.log.file_seal import checksum
from skewless.stores.offline.log.journal import (
    JOURNAL,
    KNOWN,
    MANIFEST_KEY,
    SEQUENCE,
    event_range,
    log_table,
    sequence_of,
)
from skewless.stores.offline.log.lake import lake_rows, lake_schema, other_rows, overtaken
from skewless.stores.offline.log.manifest import LogFile, Manifest
from skewless.stores.offline.log.reader import LogReader, elsewhere
from skewless.stores.offline.log.unknown_files import files_of, refuse_unknown
from skewless.stores.offline.tables.footers import DAY

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.source import Source
    from skewless.stores.offline.log.lake import LakeTable
    from skewless.stores.online.base import OnlineStore

RUN_ROWS = 1 << 20
RUN_BYTES = 256 << 20
DELETED_AT_ONCE = 5_000
JOINED_FILES = 8
FULL_ROWS = 1 << 20
GROUP_ROWS = 1 << 18
LOCK_FILE = "_settle.lock"  # a leading underscore: readers of Parquet folders pass it over


@dataclasses.dataclass(frozen=True)
class Settled:
    """What a settling run did.

    Attributes:
        rows: moved from the journal to files.
        written: files written.
        joined: files that were joined into others.
        busy: whether another process was at it, so that nothing was done.
    """

    rows: int = 0
    written: int = 0
    joined: int = 0
    busy: bool = False


def settle(
    source: Source, store: OnlineStore, folder: Path, lake: LakeTable | None = None
) -> Settled:
    """Settle what the journal of a source has now; see `EventLog.settle`."""
    settler = _Settler(source, store, folder)
    try:
        with _lock(folder) as alone:
            if not alone:
                return Settled(busy=True)
            if lake is None:
                return settler.run()
            try:
                return _LakeSettler(source, store, folder, lake).run()
            except Conflict:  # with a process of another machine, where the folder is no lock
                return Settled(busy=True)
    except OSError as error:
        with contextlib.suppress(OSError):
            settler.remove_strays()
        raise StoreError(
            "an event log cannot be settled into files",
            got=error.strerror or str(error),
            where=str(folder),
            hint="Nothing is lost; free some space or correct the permissions.",
        ) from error


class _FileTarget(NamedTuple):
    """What a file is to hold: an event date, a range of sequences, the hash of the columns."""

    day: int
    first: int
    last: int
    schema: bytes


class _Settler:
    def __init__(self, source: Source, store: OnlineStore, folder: Path) -> None:
        self._source = source
        self._store = store
        self._folder = folder
        self._table = log_table(folder.name)

    def run(self) -> Settled:
        manifest = self._manifest()
        if manifest.lake:
            raise elsewhere(manifest.lake, None, str(self._folder))
        self._forget_settled(manifest)
        self.remove_strays(manifest)
        last = self._reader().last_sequence()  # rows that come meanwhile wait for the next run
        rows = written = joined = 0
        while manifest.settled < last:
            upto, files = self._write_run()
            rows, written = rows + upto - manifest.settled, written + len(files)
            manifest = self._replace(manifest, manifest.changed(settled=upto, added=files))
            self._forget_settled(manifest)
        while neighbours := next(_to_join(manifest), None):
            gone = frozenset(each.name for each in neighbours)
            added = [self._join(neighbours)]
            changed = manifest.changed(settled=manifest.settled, added=added, removed=gone)
            manifest = self._replace(manifest, changed)
            for name in gone:
                (self._folder / name).unlink(missing_ok=True)
            joined, written = joined + len(gone), written + 1
        return Settled(rows, written, joined)

    # ------------------------------------------------------------------------------- the manifest

    def _manifest(self) -> Manifest:
        return Manifest.decode(self._store.read_one(self._table, MANIFEST_KEY), str(self._folder))

    def _replace(self, before: Manifest, after: Manifest) -> Manifest:
        with self._store.transaction() as rows:
            found = Manifest.decode(rows.read_one(self._table, MANIFEST_KEY), str(self._folder))
            if found.generation != before.generation:
                raise Conflict(
                    "an event log was settled by two processes at once",
                    got=f"generation {found.generation}",
                    expected=before.generation,
                    where=str(self._folder),
                    hint="Its folder must be on a file system that can lock files.",
                )
            rows.write(self._table, [(MANIFEST_KEY, after.encode())])
        return after

    def _forget_settled(self, manifest: Manifest) -> None:
        """Delete journal entries that no longer count."""
        while True:
            page = self._store.scan(self._table, prefix=JOURNAL, limit=DELETED_AT_ONCE)
            dead = [key for key, _ in page if sequence_of(key) <= manifest.settled]
            if dead:
                self._store.delete(self._table, dead)
            if len(dead) < DELETED_AT_ONCE:
                return

    # ---------------------------------------------------------------------------------- the files

    def remove_strays(self, manifest: Manifest | None = None) -> None:
        """Delete files of runs that ended before a manifest named them.

        Raises:
            Conflict: there are files with rows that the journal does not know.
        """
        refuse_unknown(self._store, self._folder)
        named = {file.name for file in (manifest or self._manifest()).files}
        for path, _ in files_of(self._folder):
            if f"{path.parent.name}/{path.name}" not in named:
                path.unlink()

    def _reader(self) -> LogReader:
        return LogReader(self._source, self._store, self._folder)

    def _write_run(self) -> tuple[int, list[LogFile]]:
        """Write the oldest rows of the journal; return the last one's sequence and the files."""
        schema_hash, table = self._reader().oldest(rows=RUN_ROWS, size=RUN_BYTES)
        event = self._events(table)
        known = to_micros_array(table.column(KNOWN))
        # Rows that delete may lack an event time; they lie by when that was known.
        days = np.where(event == ALWAYS, known, event) // DAY
        order = np.argsort(days, kind="stable")
        starts = np.flatnonzero(np.diff(days[order], prepend=days[order[0]] - 1))
        sequences = table.column(SEQUENCE).to_numpy()
        files = []
        for begin, stop in itertools.pairwise([*starts.tolist(), len(order)]):
            chosen = order[begin:stop]
            span = int(sequences[chosen[0]]), int(sequences[chosen[-1]])
            place = _FileTarget(int(days[chosen[0]]), *span, schema_hash)
            files.append(self._write(place, table.schema, [table.take(chosen)]))
        self._flush_folders(files)
        return int(sequences[-1]), files

    def _join(self, neighbours: list[LogFile]) -> LogFile:
        oldest, reader = neighbours[0], self._reader()
        place = _FileTarget(oldest.date, oldest.first, neighbours[-1].last, oldest.schema)
        schema = log_schema(reader.schema_of(oldest.schema))
        file = self._write(place, schema, _grouped(reader.settled_tables(neighbours)))
        self._flush_folders([file])
        return file

    def _events(self, table: pa.Table) -> npt.NDArray[np.int64]:
        if self._source.event_time not in table.column_names:  # it had another name then
            return np.full(table.num_rows, ALWAYS, np.int64)
        return to_micros_array(table.column(self._source.event_time))

    def _write(self, place: _FileTarget, schema: pa.Schema, tables: Iterable[pa.Table]) -> LogFile:
        """Write the rows of one date in a range of sequences, flushed to disk."""
        import pyarrow.parquet as pq

        folder = f"event_date={np.datetime64(place.day, 'D')}"
        name = f"{folder}/{place.first:020d}-{place.last:020d}.parquet"
        path, temporary = self._folder / name, self._folder / f"{name}.tmp"
        path.parent.mkdir(exist_ok=True)
        rows, low, high = 0, NEVER, ALWAYS
        options = {"use_dictionary": _repeating(schema), "write_page_checksum": True}
        with pq.ParquetWriter(temporary, schema, **options) as writer:
            for table in tables:
                writer.write_table(table, GROUP_ROWS)
                least, most = event_range(self._events(table))
                rows, low, high = rows + table.num_rows, min(low, least), max(high, most)
        _flush(temporary)
        written = checksum(temporary)
        os.replace(temporary, path)
        return LogFile(
            date=place.day,
            first=place.first,
            last=place.last,
            rows=rows,
            low=low,
            high=high,
            size=path.stat().st_size,
            name=name,
            schema=place.schema,
            checksum=written,
        )

    def _flush_folders(self, files: list[LogFile]) -> None:
        for folder in sorted({(self._folder / file.name).parent for file in files}):
            _flush(folder)
        _flush(self._folder)


class _LakeSettler(_Settler):
    """Settles into a table of a lakehouse; see `_lake`.

    Any step may be the last before a kill: the table knows up to which sequence it has rows, so a
    commit that the manifest does not know of yet is found by the next run, and not made again.
    """

    def __init__(self, source: Source, store: OnlineStore, folder: Path, lake: LakeTable) -> None:
        super().__init__(source, store, folder)
        self._lake = lake
        self._generation = 0

    def run(self) -> Settled:
        try:
            return self._run()
        except (CorruptData, InputError):
            # Rows are missing from the journal when another process has settled them meanwhile.
            if self._manifest().generation == self._generation:
                raise
            raise overtaken(self._lake.where) from None

    def _replace(self, before: Manifest, after: Manifest) -> Manifest:
        self._generation = after.generation
        return super()._replace(before, after)

    def _run(self) -> Settled:
        manifest = self._manifest()
        self._generation = manifest.generation
        manifest = self._claimed(manifest)
        self._forget_settled(manifest)
        self.remove_strays(manifest)
        reader = self._reader()
        last = reader.last_sequence()
        if manifest.settled >= last:
            return Settled()
        reached = self._lake.claim(manifest.log, lake_schema(reader.arrow_schema(), self._source))
        rows = written = 0
        if reached > manifest.settled:
            self._check_committed(manifest.settled, reached, last)
            rows = reached - manifest.settled
            manifest = self._replace(manifest, manifest.changed(settled=reached, added=[]))
            self._forget_settled(manifest)
        while manifest.settled < last:
            _, table = self._reader().oldest(rows=RUN_ROWS, size=RUN_BYTES)
            upto = int(table.column(SEQUENCE)[-1].as_py())
            self._lake.append(lake_rows(table, self._source), upto)
            rows, written = rows + upto - manifest.settled, written + 1
            manifest = self._replace(manifest, manifest.changed(settled=upto, added=[]))
            self._forget_settled(manifest)
        joined, into = self._lake.compact(FULL_ROWS, JOINED_FILES) if written else (0, 0)
        return Settled(rows, written + into, joined)

    def _claimed(self, manifest: Manifest) -> Manifest:
        """Return the manifest of a log that is known to settle into this table."""
        if manifest.lake and manifest.lake != self._lake.where:
            raise elsewhere(manifest.lake, self._lake.where, str(self._folder))
        if manifest.lake:
            return manifest
        return self._replace(manifest, manifest.in_lake(self._lake.where, uuid4().hex))

    def _check_committed(self, settled: int, reached: int, last: int) -> None:
        """Raise unless the rows that a killed run committed are those of the journal.

        They are not where the journal was restored from a backup, and has gone another way since.
        """
        if reached <= last:
            reader = LogReader(self._source, self._store, self._folder, self._lake)
            names = [SEQUENCE, *self._source.columns]
            mine = reader.take(np.arange(settled + 1, reached + 1), names)
            if reader.in_lake(settled + 1, reached, names).equals(mine):
                return
        raise other_rows(self._lake.where, reached, last, str(self._folder))


def _to_join(manifest: Manifest) -> Iterator[list[LogFile]]:
    """Yield neighbours of one date that are enough, and alike enough in size, to be joined."""
    alike = itertools.groupby(manifest.files, key=lambda file: (file.date, file.schema))
    for _, group in alike:
        files = list(group)
        for tier in range(JOINED_FILES):
            most = min(JOINED_FILES ** (tier + 1), FULL_ROWS)
            for small, run in itertools.groupby(files, key=lambda file: file.rows < most):
                neighbours = list(run)
                if small and len(neighbours) >= JOINED_FILES:
                    yield neighbours


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join tables until each makes a row group."""
    import pyarrow as pa

    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        if sum(each.num_rows for each in pending) >= GROUP_ROWS:
            yield pa.concat_tables(pending)
            pending = []
    if pending:
        yield pa.concat_tables(pending)


def _repeating(schema: pa.Schema) -> list[str]:
    """Return the columns worth a dictionary: not those whose values hardly repeat."""
    import pyarrow as pa

    plain = (pa.types.is_floating, pa.types.is_timestamp)
    return [
        field.name
        for field in schema
        if field.name != SEQUENCE and not any(matches(field.type) for matches in plain)
    ]


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock, which dies with the process; False if another one has it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
