"""Which log is a source's: one that was removed and comes back under its name begins a new one.

Removing a source keeps its rows, but apart: nothing reads them any more, and a source that is
defined again under the name, which may mean something else by then, does not find them. They are
dropped, or given back to a source of the name, on purpose (`materialize.kept_rows`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from skewless.online.quarantine_table import TABLE, QuarantineTable
from skewless.online.table_changes import note_change
from skewless.stores.offline.log.journal import STATE_KEY, State, log_name, log_table
from skewless.stores.online.base import KeyValues, OnlineStore, Transaction

GENERATIONS = "skewless.log_generations"
_LOG = log_table("")


class LogGenerations:
    """Which log each source has.

    Args:
        numbers: the generation of each, where it is not the first.
    """

    def __init__(self, numbers: Mapping[str, int] | None = None) -> None:
        self._numbers = numbers or {}

    @classmethod
    def load(cls, journal: KeyValues) -> LogGenerations:
        """Read those of all sources."""
        return cls({name.decode(): int(number) for name, number in journal.scan(GENERATIONS)})

    def of(self, names: Iterable[str]) -> str:
        """Return which log each of some sources has, by the names that these are kept under."""
        return ".".join(str(self._numbers.get(name, 0)) for name in names)


@dataclass(frozen=True)
class KeptLog:
    """The rows of a source that was removed.

    Attributes:
        source: its name.
        generation: of the log.
        rows: how many, deletions and all versions among them.
        quarantined: how many lie beside them.
    """

    source: str
    generation: int
    rows: int
    quarantined: int = 0

    @property
    def table(self) -> str:
        """The log's table in the journal."""
        return log_table(log_name(self.source, self.generation))

    @property
    def quarantine(self) -> QuarantineTable:
        """What was quarantined beside it."""
        return QuarantineTable.of(self.source, self.generation)


def generation_of(journal: KeyValues, source: str) -> int:
    """Return which log of this name a source has now: 0 is the first."""
    return int(journal.read_one(GENERATIONS, source.encode()) or b"0")


def note_generation(transaction: Transaction, source: str, generation: int) -> None:
    """Note which log a source has from now on, and tell every process."""
    transaction.write(GENERATIONS, [(source.encode(), b"%d" % generation)])
    note_change(transaction)


def forget_ids(transaction: Transaction, log: KeptLog) -> None:
    """Have the row ids of a log indexed again: another log of its name was since it was in use."""
    state = State.decode(transaction.read_one(log.table, STATE_KEY), log.table)
    transaction.write(log.table, [(STATE_KEY, replace(state, ids=bytes(8)).encode())])


def rows_in(journal: KeyValues, source: str, generation: int) -> int:
    """Return how many rows a log has."""
    table = log_table(log_name(source, generation))
    return State.decode(journal.read_one(table, STATE_KEY), table).next_sequence - 1


def is_used(journal: KeyValues, source: str, generation: int) -> bool:
    """Return whether a log of a source has rows, or ever quarantined one."""
    aside = QuarantineTable.of(source, generation).size(journal)
    return bool(rows_in(journal, source, generation) or aside.kept or aside.dropped)


def kept_logs(journal: OnlineStore) -> list[KeptLog]:
    """Return the logs that are kept apart with their quarantines, of a source oldest first."""
    tables = journal.tables()
    names = {t[len(start) :] for start in (_LOG, TABLE) for t in tables if t.startswith(start)}
    found = []
    for name in names:
        source, _, number = name.partition("~")
        generation = int(number or 0)
        if generation < generation_of(journal, source):
            rows = rows_in(journal, source, generation)
            quarantined = QuarantineTable.of(source, generation).size(journal).kept
            if rows or quarantined:
                found.append(KeptLog(source, generation, rows, quarantined))
    return sorted(found, key=lambda log: (log.source, log.generation))
