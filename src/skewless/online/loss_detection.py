"""What a store that may forget still holds: lost rows are noticed before anybody builds on them.

A cache that restarts empty, or that takes its last second back, answers like one that never had
the rows. So each table of states has notes beside it, in the same store, of the last row of the
event log that its states hold, and the journal knows that there are such notes. Notes that are
gone mean that states are: reads are refused, and the next push builds the table anew. Notes that
went back mean that the last writes are gone: what came since is done again.

Where a write of many rows is not one (a cluster: each node may forget alone), the notes are spread
over the store, and the oldest of them counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from skewless.errors import StoreUnavailable
from skewless.online.storage import Home
from skewless.stores.online.base import Rows

HELD = "skewless.held"
SPREAD = 32
logger = logging.getLogger("skewless.states")


def may_forget(home: Home) -> bool:
    """Return whether states are in a store that can lose what it has acknowledged."""
    return not home.one_store and not home.states.capabilities.durable


def note_held(home: Home, journal: Rows, table: str, sequence: int) -> None:
    """Note that all states of a table hold the log up to a row."""
    if may_forget(home):
        home.states.write(HELD, [(key, b"%d" % sequence) for key in _keys(home, table)])
        journal.write(HELD, [(table.encode(), b"noted")])


def is_noted(journal: Rows, table: str) -> bool:
    """Return whether there must be notes of a table."""
    return journal.read_one(HELD, table.encode()) is not None


def held(home: Home, journal: Rows, table: str, noted: int) -> int | None:
    """Return the last row of the log that the states of a table still hold; None: all is lost.

    Args:
        home: where states are.
        journal: where it is known whether there are notes.
        table: of the states.
        noted: what the journal says that they hold.
    """
    if not may_forget(home) or not is_noted(journal, table):
        return noted
    found = home.states.read(HELD, _keys(home, table))
    if None in found:
        return None
    return min(noted, *(int(value) for value in found if value is not None))


def refuse_if_lost(home: Home, tables: Iterable[str]) -> None:
    """Refuse to say that an entity was never seen where its states may be lost.

    Raises:
        StoreUnavailable: they are.
    """
    for table in tables:
        if held(home, home.journal, table, 0) is None:
            raise StoreUnavailable(
                "the online store has lost its rows",
                got=f"no note of the table {table}",
                where=home.states.where,
                hint="The next push builds them anew; or: skewless online rebuild",
            )


def _keys(home: Home, table: str) -> list[bytes]:
    if home.states.capabilities.atomic_batch:
        return [table.encode()]
    return [b"%b/%d" % (table.encode(), number) for number in range(SPREAD)]
