"""What is read and written of a store without transactions, kept all at once or not at all.

    unit = Together(store)
    count = int(unit.read_one("counts", b"f1") or b"0")
    unit.write("counts", [(b"f1", b"%d" % (count + 1))])
    unit.commit()                     # False: somebody else has changed that row: do it again

Nobody is kept waiting meanwhile: that others have changed something is found out at the end. Only
rows that are written are compared; others that were only read may have changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skewless.stores.online.base import Item, OnlineStore, TableChange, Transaction
from skewless.stores.online.delegating import DelegatingReads

Place = tuple[str, bytes]


class Together(DelegatingReads, Transaction):
    """Reads that see what is written; writes that `commit` keeps.

    Args:
        store: one with `change_together`.
    """

    def __init__(self, store: OnlineStore) -> None:
        super().__init__(store)
        self._store = store
        self._found: dict[Place, bytes | None] = {}
        self._new: dict[Place, bytes | None] = {}

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        unknown = [key for key in dict.fromkeys(keys) if (table, key) not in self._found]
        if unknown:
            values = self._store.read(table, unknown)
            self._found.update(zip(((table, key) for key in unknown), values, strict=True))
        return [self._new.get((table, key), self._found[table, key]) for key in keys]

    def read_one(self, table: str, key: bytes) -> bytes | None:
        return self.read(table, (key,))[0]

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = dict(items)
        self.read(table, list(rows))
        self._new.update({(table, key): value for key, value in rows.items()})

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        gone = list(keys)
        self.read(table, gone)
        self._new.update({(table, key): None for key in gone})

    @property
    def changes(self) -> list[TableChange]:
        """What is to be kept: table, key, value before and after."""
        return [(*place, self._found[place], value) for place, value in self._new.items()]

    def commit(self) -> bool:
        """Keep what was written, unless others have changed a row of it; say whether it is kept."""
        return self._store.change_together(self.changes)
