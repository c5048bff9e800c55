"""States larger than what their store takes: set aside, while everything else goes on.

Such a state is taken out of the store and noted in the journal with its size. Its entity was seen,
so reads say ``building``; pushes pass it over, so that they do not build it from history each time.
A materialize tries again: it may fit by then, since rows leave windows and definitions change.
"""

from __future__ import annotations

from collections.abc import Iterable

from skewless.online.loss_detection import logger
from skewless.online.storage import StateAndJournal
from skewless.stores.online.base import Item, KeyValues
from skewless.stores.online.delegating import DelegatingReads

OVERSIZE = "skewless.oversize"


def set_aside(journal: KeyValues, table: str) -> dict[bytes, int]:
    """Return the keys of a table whose states are set aside, and how many bytes they had."""
    prefix = f"{table}/".encode()
    found = journal.scan(OVERSIZE, prefix=prefix)
    return {key[len(prefix) :]: int(size) for key, size in found}


def counts_of_set_aside(home: StateAndJournal, tables: Iterable[str]) -> dict[str, int]:
    """Return how many states are larger than the online store takes, of the tables that have such.

    Args:
        home: the stores.
        tables: of states.
    """
    if home.one_store:
        return {}
    found = {name: len(set_aside(home.journal, name)) for name in tables}
    return {name: count for name, count in found.items() if count}


class FittingRows(DelegatingReads):
    """States that fit their store; larger ones are set aside as they are written.

    Args:
        states: where states are.
        journal: a transaction of the journal.
        most: bytes of the longest value.
        noted: what `set_aside` said of tables, where that is known already.
    """

    def __init__(
        self,
        states: KeyValues,
        journal: KeyValues,
        most: int,
        noted: dict[str, dict[bytes, int]] | None = None,
    ) -> None:
        super().__init__(states)
        self._journal = journal
        self._most = most
        self._noted = {} if noted is None else noted

    def write(self, table: str, items: Iterable[Item]) -> None:
        """Write the states that fit, take the others out and note them."""
        rows = list(items)
        large = {key: len(value) for key, value in rows if len(value) > self._most}
        if large:
            self._rows.delete(table, list(large))
            rows = [(key, value) for key, value in rows if key not in large]
            self._note(table, large)
        self._rows.write(table, rows)
        if table not in self._noted:
            self._noted[table] = set_aside(self._journal, table)
        fits = [key for key, _ in rows if key in self._noted[table]]
        self._forget(table, fits)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        """Remove states; what was noted of them goes too."""
        gone = list(keys)
        self._rows.delete(table, gone)
        self._forget(table, gone)

    def _note(self, table: str, large: dict[bytes, int]) -> None:
        notes = [(f"{table}/".encode() + key, b"%d" % size) for key, size in large.items()]
        self._journal.write(OVERSIZE, notes)
        for key, size in large.items():
            logger.warning(
                "a state of %s has %d bytes, the store takes %d: entity %r is building until it"
                " fits (a resolution= or shorter windows make it smaller)",
                table,
                size,
                self._most,
                key[:40],
            )

    def _forget(self, table: str, keys: list[bytes]) -> None:
        if keys:
            self._journal.delete(OVERSIZE, [f"{table}/".encode() + key for key in keys])
