"""Which entities have states, where these live apart from the journal: a lost one is noticed.

A cache evicts a state, somebody deletes a key: the store then answers as if the entity had never
been seen. So the journal keeps the key of every state that was ever written, in a table beside the
log. A state that is missing although its key is there has vanished: a read says ``building``, a
push builds it from history instead of starting again.

Asked only where a state is missing, so that the path of entities that are there costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skewless.errors import Conflict
from skewless.stores.online.base import Item, KeyValues
from skewless.stores.online.delegating import DelegatingReads


class Vanished(Conflict):
    """States are missing of entities that had some."""


def seen_table(table: str) -> str:
    """Return the table of the journal with the keys that a table of states has.

    >>> seen_table("payments.card.0a1b2c3d")
    'seen.payments.card.0a1b2c3d'
    """
    return f"seen.{table}"


def is_seen(table: str) -> bool:
    """Return whether a table of the journal is one of `seen_table`: made again where states go."""
    return table.startswith(seen_table(""))


def seen_among(journal: KeyValues, table: str, keys: Sequence[bytes]) -> set[bytes]:
    """Return those of the keys that a table of states had at some time."""
    found = journal.read(seen_table(table), keys)
    return {key for key, note in zip(keys, found, strict=True) if note is not None}


def note_seen(journal: KeyValues, table: str, keys: Sequence[bytes]) -> None:
    """Note keys that a table of states is about to get."""
    found = journal.read(seen_table(table), keys)
    new = [(key, b"") for key, note in zip(keys, found, strict=True) if note is None]
    if new:
        journal.write(seen_table(table), new)


class SeenRows(DelegatingReads):
    """States in another store than the journal; what is written there is noted in the journal.

    Args:
        states: where states are.
        journal: a transaction of the journal.

    Attributes:
        rewritten: tables whose states were written, but for those that rows were added to.
    """

    def __init__(self, states: KeyValues, journal: KeyValues) -> None:
        super().__init__(states)
        self._journal = journal
        self.rewritten: set[str] = set()

    def expecting(self) -> ExpectedRows:
        """Return the same rows for adding to what is there."""
        return ExpectedRows(self._rows, self._journal)

    def write(self, table: str, items: Iterable[Item]) -> None:
        """Write states; what is new is noted before, so that none goes without a note."""
        rows = list(items)
        if rows:
            self.rewritten.add(table)
        note_seen(self._journal, table, [key for key, _ in rows])
        self._rows.write(table, rows)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        """Remove states whose entities have no rows any more; their notes go too."""
        gone = list(keys)
        if gone:
            self.rewritten.add(table)
        self._rows.delete(table, gone)
        self._journal.delete(seen_table(table), gone)


class ExpectedRows(DelegatingReads):
    """States that rows are about to be added to: one that has vanished is never begun again.

    Every state that it reads was noted when it was written, so only those of entities that had
    none are noted with a write.

    Args:
        states: where states are.
        journal: a transaction of the journal, which has all that was written before.
    """

    def __init__(self, states: KeyValues, journal: KeyValues) -> None:
        super().__init__(states)
        self._journal = journal
        self._known: set[tuple[str, bytes]] = set()

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return states; refuse, with `Vanished`, if one of them is missing that there was."""
        values = self._rows.read(table, keys)
        missing = []
        for key, value in zip(keys, values, strict=True):
            if value is None:
                missing.append(key)
            else:
                self._known.add((table, key))
        if missing:
            self._refuse_vanished(table, missing)
        return values

    def read_one(self, table: str, key: bytes) -> bytes | None:
        """Return a state; refuse, with `Vanished`, if it is missing although there was one."""
        value = self._rows.read_one(table, key)
        if value is None:
            self._refuse_vanished(table, [key])
        else:
            self._known.add((table, key))
        return value

    def write(self, table: str, items: Iterable[Item]) -> None:
        """Write states; those that were read are noted already."""
        rows = list(items)
        new = [key for key, _ in rows if (table, key) not in self._known]
        if new:
            note_seen(self._journal, table, new)
        self._rows.write(table, rows)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        """Remove states whose entities have no rows any more; their notes go too."""
        gone = list(keys)
        self._rows.delete(table, gone)
        self._journal.delete(seen_table(table), gone)

    def _refuse_vanished(self, table: str, missing: Sequence[bytes]) -> None:
        gone = seen_among(self._journal, table, missing)
        if gone:
            raise Vanished(
                "states have vanished from the online store",
                got=f"{len(gone)} of {table}",
                hint="They are built from history.",
            )
