"""Which entities have states: a state that is lost is noticed.

A cache evicts a state, somebody deletes a key: the store then answers as if the entity had never
been seen. So the journal keeps the key of every state that was ever written, in a table beside the
log. A state that is missing although its key is there has vanished: a read says ``building``, a
push builds it from history instead of starting again.

Asked only where a state is missing, so that the path of entities that are there costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skewless.stores.online.base import Item, KeyValues
from skewless.stores.online.delegating import DelegatingReads

_MANY = 64
"""So many keys are looked for as a range first."""


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
    new = [(key, b"") for key in keys]
    if not _none_between(journal, seen_table(table), keys):
        found = journal.read(seen_table(table), keys)
        new = [item for item, note in zip(new, found, strict=True) if note is None]
    if new:
        journal.write(seen_table(table), new)


def _none_between(journal: KeyValues, noted: str, keys: Sequence[bytes]) -> bool:
    """Return whether no key from the least to the greatest is noted, as when a table is built."""
    if len(keys) < _MANY:
        return False
    first, last = min(keys), max(keys)
    following = next(journal.scan(noted, after=first, limit=1), None)
    beyond = following is None or following[0] > last
    return beyond and journal.read_one(noted, first) is None


class SeenRows(DelegatingReads):
    """States; which of them are written is noted in the journal.

    Args:
        rows: where states are.
        journal: a transaction of the journal.

    Attributes:
        rows: where states are, for whoever adds rows to them and notes the new ones alone.
        rewritten: tables whose states were written, but for those that rows were added to.
    """

    def __init__(self, rows: KeyValues, journal: KeyValues) -> None:
        super().__init__(rows)
        self.rows = rows
        self._journal = journal
        self.rewritten: set[str] = set()

    def write(self, table: str, items: Iterable[Item]) -> None:
        """Write states; what is new is noted before, so that none goes without a note."""
        self._rows.write(table, self._noted(table, items))

    def overwrite(self, table: str, items: Iterable[Item]) -> None:
        """Do what `write` does, and let go of the pieces of the values there were."""
        self._rows.overwrite(table, self._noted(table, items))

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        """Remove states whose entities have no rows any more; their notes go too."""
        gone = list(keys)
        if gone:
            self.rewritten.add(table)
        self._rows.delete(table, gone)
        self._journal.delete(seen_table(table), gone)

    def _noted(self, table: str, items: Iterable[Item]) -> list[Item]:
        rows = list(items)
        if rows:
            self.rewritten.add(table)
        note_seen(self._journal, table, [key for key, _ in rows])
        return rows
