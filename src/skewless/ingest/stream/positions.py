"""Where a stream was left: a row of the journal for each of its partitions.

    places = StreamPositions(runtime.journal, source, reader)
    stored = places.read()                       # partition to position; {}: it was never read
    places.names(stored)                         # the same by the names of the rows

A partition has a row of its own, so that workers that share a stream move each other's nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from skewless.definitions import Source
from skewless.online.lease import POSITIONS
from skewless.stores.online.base import OnlineStore, Transaction
from skewless.streams.base import StreamReader

P = TypeVar("P", bound="bytes | None")
_OF = "\0"


class StreamPositions:
    """The positions of a source's stream; a stream defined again has others.

    Args:
        journal: where they are kept.
        source: whose stream it is.
        reader: of the stream.
    """

    def __init__(self, journal: OnlineStore, source: Source, reader: StreamReader) -> None:
        kind = source.stream.kind if source.stream else ""
        self.stream = f"{source.stored}/{kind}:{reader.name}"
        self._journal = journal

    def names(self, positions: Mapping[str, P]) -> dict[str, P]:
        """Return positions of partitions by the names that the journal has for them."""
        return {self._name(part): position for part, position in positions.items()}

    def read(self, rows: OnlineStore | Transaction | None = None) -> dict[str, bytes]:
        """Return how far each partition was read.

        Args:
            rows: a transaction to read in; None: of its own.
        """
        rows = rows or self._journal
        prefix = (self.stream + _OF).encode()
        found = {
            key[len(prefix) :].decode(): position
            for key, position in rows.scan(POSITIONS, prefix=prefix)
        }
        whole = rows.read_one(POSITIONS, self.stream.encode())
        return found if whole is None else {"": whole, **found}

    def forget(self, rows: Transaction) -> bool:
        """Delete all of them; return whether there were any."""
        known = [self._name(part).encode() for part in self.read(rows)]
        rows.delete(POSITIONS, known)
        return bool(known)

    def _name(self, part: str) -> str:
        return self.stream + _OF + part if part else self.stream
