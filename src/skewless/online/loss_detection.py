"""What a store of states still holds: lost rows are noticed before anybody builds on them.

A cache that restarts empty, a replica that had not caught up, a table that was truncated, a backup
that was restored: such a store answers like one that never had the rows. So each table of states
has notes beside it, in the same store, of the last row of the event log that its states hold, and
the journal knows that there are such notes. Notes that are gone mean that states are: reads are
refused, and the next push builds the table anew. Notes that went back mean that the last writes
are gone: what came since is done again. Single states that are gone are told by `online.seen`.

Where a write of many rows is not one and a node may forget alone (a cluster), the notes are spread
over the store, and the oldest of them counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from skewless.errors import StoreUnavailable
from skewless.online.storage import Home
from skewless.stores.online.base import Rows

HELD = "skewless.held"
APPLIED = "skewless.applied"
"""In the journal: the last row of the log that all states of a table hold."""
_MATERIALIZED = "materialized"
SPREAD = 32
LOST = "the online store has lost its rows"
logger = logging.getLogger("skewless.states")


def may_forget(home: Home) -> bool:
    """Return whether states can be lost while their log is not: they are in another store."""
    return not home.one_store


def note_held(home: Home, journal: Rows, table: str, sequence: int) -> None:
    """Note that all states of a table hold the log up to a row."""
    if may_forget(home):
        home.states.write(HELD, [(key, b"%d" % sequence) for key in _keys(home, table)])
        if not is_noted(journal, table):
            journal.write(HELD, [(table.encode(), b"noted")])


def is_noted(journal: Rows, table: str) -> bool:
    """Return whether there must be notes of a table."""
    return journal.read_one(HELD, table.encode()) is not None


def is_known(journal: Rows, table: str) -> bool:
    """Return whether the journal has ever led to rows of a table of states."""
    key = table.encode()
    return any(journal.read_one(name, key) for name in (HELD, APPLIED, _MATERIALIZED))


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


def all_held(states: Rows) -> Iterator[tuple[str, int]]:
    """Yield each table of states that has a note, and the last row of the log that it holds."""
    for key, value in states.scan(HELD):
        if key:
            yield key.partition(b"/")[0].decode(), int(value)


def lacking(home: Home, tables: Iterable[str]) -> dict[str, str]:
    """Return what the store has lost of some tables of states, in words; {} if nothing.

    Asks each store once, however many tables there are.
    """
    names = list(tables)
    if not may_forget(home) or not names:
        return {}
    keys = [name.encode() for name in names]
    applied = home.journal.read(APPLIED, keys)  # before the states: it only grows
    noted = home.journal.read(HELD, keys)
    asked = {
        name: (0 if at is None else int(at), _keys(home, name))
        for name, at, note in zip(names, applied, noted, strict=True)
        if note is not None
    }
    found = iter(home.states.read(HELD, [key for _, notes in asked.values() for key in notes]))
    lacks = {}
    for name, (least, notes) in asked.items():
        holds = [None if (note := next(found)) is None else int(note) for _ in notes]
        there = [row for row in holds if row is not None]
        if len(there) < len(holds):
            lacks[name] = f"no note of the table {name}"
        elif min(there) < least:
            lacks[name] = f"{name} holds the log up to row {min(there)} and not {least}"
    return lacks


def refuse_if_lost(home: Home, tables: Iterable[str]) -> None:
    """Refuse to say that an entity was never seen where its states may be lost.

    Raises:
        StoreUnavailable: they are, all of them or the last writes.
    """
    for what in lacking(home, tables).values():
        raise lost(home.states.where, what)


def lost(where: str, got: str) -> StoreUnavailable:
    """Return the error for a store that has lost its states."""
    return StoreUnavailable(
        LOST,
        got=got,
        where=where,
        hint="The next push builds them anew; or: skewless online rebuild",
    )


def _keys(home: Home, table: str) -> list[bytes]:
    can = home.states.capabilities
    if can.atomic_batch or can.durable:
        return [table.encode()]
    return [b"%b/%d" % (table.encode(), number) for number in range(SPREAD)]
