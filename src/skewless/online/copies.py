"""What a journal notes of a copy that was made of it, so that none is taken that lacks rows.

A repo may go on in a store that everything was copied to, as long as that lacks nothing. So whoever
writes what the copy does not get, since it is not the mirror, gives the journal another name
first (`HistoryFolder.rename`), by which the copy does not know it any more. It looks inside of its
transaction: a copy that is finished before is outdated, one that is finished afterwards has it.
"""

from __future__ import annotations

from skewless.online.loss_detection import APPLIED, HELD
from skewless.online.table_changes import CHANGES, COPIED
from skewless.stores.offline.log.journal import INCLUDED_KEY, MANIFEST_KEY, STATE_KEY, log_table
from skewless.stores.online.base import KeyValues, OnlineStore

_WRITES = b"writes"
LACKS = "?"
"""Before the name of a store: it is the mirror, and lacks rows at the moment."""


def changes_and_copy(store: KeyValues) -> tuple[int, str]:
    """Return what `changes_of` and `copied_to` do, out of one read."""
    table, count = CHANGES
    changes, copied = store.read(table, [count, COPIED])
    return int(changes or b"0"), (copied or b"").decode()


def copied_to(store: KeyValues) -> str:
    """Return the name of the store that everything was copied to, "" if it was not; see `LACKS`."""
    return (store.read_one(CHANGES[0], COPIED) or b"").decode()


def note_copied(transaction: KeyValues, name: str) -> None:
    """Note where everything was copied to; "": nowhere."""
    transaction.write(CHANGES[0], [(COPIED, name.encode())])


def count_write(transaction: KeyValues) -> None:
    """Count a transaction that writes states without rows of a log."""
    count = int(transaction.read_one(CHANGES[0], _WRITES) or b"0")
    transaction.write(CHANGES[0], [(_WRITES, b"%d" % (count + 1))])


def writes_of(journal: OnlineStore, rows: KeyValues) -> list[bytes | None]:
    """Return what is another with every write of rows or states.

    Args:
        journal: says which tables there are.
        rows: a transaction of it.
    """
    found = rows.read(CHANGES[0], [CHANGES[1], _WRITES])
    for name in journal.tables():
        if name.startswith(log_table("")):
            found += rows.read(name, [STATE_KEY, MANIFEST_KEY, INCLUDED_KEY])
    return found + [value for name in (HELD, APPLIED) for _, value in rows.scan(name)]
