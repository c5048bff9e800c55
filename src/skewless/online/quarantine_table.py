"""Where the quarantined rows of a source lie, and how many: beside the log that it has.

A source that was removed and defined again has another log, and so another quarantine: what did not
fit the old one says nothing of the new one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from skewless.stores.offline.log.journal import log_name
from skewless.stores.online.base import KeyValues, OnlineStore

TABLE = "quarantine."
_COUNTS = "skewless.quarantine"


@dataclass(frozen=True)
class QuarantineSize:
    """How many rows of a source are set aside.

    Attributes:
        kept: that can be looked at.
        dropped: older ones that were dropped, because there were too many or by `purge`.
    """

    kept: int
    dropped: int


@dataclass(frozen=True)
class QuarantineTable:
    """The quarantine that goes with a log.

    Attributes:
        log: its name, see `log_name`.
    """

    log: str

    @classmethod
    def of(cls, source: str, generation: int) -> QuarantineTable:
        """Return that of a source, by the name it is kept under, and of one of its logs."""
        return cls(log_name(source, generation))

    @property
    def name(self) -> str:
        """The table of the rows in the journal."""
        return TABLE + self.log

    def size(self, rows: KeyValues) -> QuarantineSize:
        """Return how many rows there are."""
        found = rows.read_one(_COUNTS, self.log.encode())
        if found is None:  # of before there were counts
            return QuarantineSize(sum(1 for _ in rows.scan(self.name)), 0)
        return QuarantineSize(*struct.unpack(">QQ", found))

    def note(self, rows: KeyValues, size: QuarantineSize) -> None:
        """Note, inside a transaction, how many there are now."""
        rows.write(_COUNTS, [(self.log.encode(), struct.pack(">QQ", size.kept, size.dropped))])

    def move(self, rows: KeyValues, to: QuarantineTable) -> None:
        """Put the rows, inside a transaction, beside those of another log."""
        own, others = self.size(rows), to.size(rows)
        items = list(rows.scan(self.name))
        rows.write(to.name, items)
        to.note(rows, QuarantineSize(own.kept + others.kept, own.dropped + others.dropped))
        rows.delete(self.name, [key for key, _ in items])
        rows.delete(_COUNTS, [self.log.encode()])

    def drop(self, journal: OnlineStore) -> None:
        """Drop the rows for good."""
        journal.delete(_COUNTS, [self.log.encode()])
        journal.drop(self.name)
