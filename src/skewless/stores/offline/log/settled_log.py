"""The settled files of an event log as they were at one moment, for another process to read.

settled = SettledLog.of(log.reader())          # plain data: no store, no journal
settled.reader().chunks(columns, parts=[...])  # wherever the files are to be seen
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from skewless.stores.offline.log.journal import schema_key
from skewless.stores.offline.log.reader import LogReader

if TYPE_CHECKING:
    from skewless.definitions.source import Source
    from skewless.stores.online.base import KeyValues, Transaction


@dataclass(frozen=True)
class SettledLog:
    """Settled files of a log.

    Attributes:
        source: whose rows.
        folder: of the log.
        notes: what the log has noted of them, by key: files, lateness, schemas.
        parts: names of the files.
    """

    source: Source
    folder: Path
    notes: Mapping[bytes, bytes]
    parts: tuple[str, ...]

    @classmethod
    def of(cls, reader: LogReader) -> SettledLog:
        """Return the settled files that a reader sees; none where they are in a lakehouse."""
        files = reader.settled_files()
        notes = reader.noted()
        for name in set(files.values()):
            schema = reader.schema_of(name)
            notes[schema_key(schema)] = bytes(schema.serialize())
        return cls(reader.source, reader.folder, notes, tuple(files))

    def reader(self, *, rows: Transaction | None = None) -> LogReader:
        """Return a reader of the files."""
        del rows
        return LogReader(self.source, cast("KeyValues", _Notes(self.notes)), self.folder)


@dataclass(frozen=True)
class _Notes:
    """What a log has noted, in place of the store that keeps it."""

    notes: Mapping[bytes, bytes]

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        del table
        return [self.notes.get(key) for key in keys]

    def read_one(self, table: str, key: bytes) -> bytes | None:
        return self.read(table, [key])[0]

    def scan(self, *_: Any, **options: Any) -> list[Any]:
        del options
        return []
