"""Which log is a source's: one that was removed and comes back under its name begins a new one.

Removing a source keeps its rows, but apart: nothing reads them any more, and a source that is
defined again under the name, which may mean something else by then, does not find them. They are
dropped, or given back to a source of the name, on purpose (`materialize.kept_rows`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

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
    """

    source: str
    generation: int
    rows: int

    @property
    def table(self) -> str:
        """The log's table in the journal."""
        return log_table(log_name(self.source, self.generation))


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


def kept_logs(journal: OnlineStore) -> list[KeptLog]:
    """Return the logs that are kept apart, those of a source oldest first."""
    found = []
    for table in journal.tables():
        if not table.startswith(_LOG):
            continue
        source, _, number = table[len(_LOG) :].partition("~")
        generation = int(number or 0)
        if generation < generation_of(journal, source):
            rows = rows_in(journal, source, generation)
            if rows:
                found.append(KeptLog(source, generation, rows))
    return sorted(found, key=lambda log: (log.source, log.generation))
