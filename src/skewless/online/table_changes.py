"""How often the records of tables of states were changed: what every process looks at."""

from __future__ import annotations

from skewless.stores.online.base import KeyValues

CHANGES = ("skewless.state_changes", b"count")
COPIED = b"copied"


def changes_of(store: KeyValues) -> int:
    """Return how often the records of tables were changed, by any process."""
    return int(store.read_one(*CHANGES) or b"0")


def note_change(transaction: KeyValues) -> None:
    """Tell every process, inside a transaction, that the tables in use may be others now."""
    table, key = CHANGES
    rows = [(key, b"%d" % (changes_of(transaction) + 1))]
    if transaction.read_one(table, COPIED) is None:
        # Every push reads it, and a row that is there is found at less cost than none.
        rows.append((COPIED, b""))
    transaction.write(table, rows)
