"""What a store of states still holds: lost rows are noticed before anybody builds on them.

A cache that restarts empty, a replica that had not caught up, a table that was truncated, a backup
that was restored: such a store answers like one that never had the rows. So each table of states
has notes beside it, in the same store, of the last row of the event log that its states hold and of
the build they belong to, and the journal knows the build. It changes whenever states are written
out of the order of the log: when they are materialized, repaired, or built with late rows. Notes
that are gone or of another build mean that states are: reads are refused, and the next push builds
the table anew. Notes of fewer rows mean that the last pushes are gone: what came since is done
again. Single states that are gone are told by `online.seen`.

Where a write of many rows is not one and a node may forget alone (a cluster), the notes are spread
over the store, and the oldest of them counts.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence

from skewless.errors import StoreUnavailable
from skewless.online.storage import StateAndJournal
from skewless.stores.online.base import KeyValues
from skewless.stores.online.change_capture import CapturingTransaction

HELD = "skewless.held"
APPLIED = "skewless.applied"
"""In the journal: the last row of the log that all states of a table hold."""
_MATERIALIZED = "materialized"
SPREAD = 32
LOST = "the online store has lost its rows"
logger = logging.getLogger("skewless.states")


def may_forget(home: StateAndJournal) -> bool:
    """Return whether states can be lost while their log is not: they are in another store."""
    return not home.one_store


def note_held(home: StateAndJournal, journal: KeyValues, table: str, sequence: int) -> None:
    """Note that all states of a table hold the log up to a row."""
    if may_forget(home):
        build = journal.read_one(HELD, table.encode())
        if build is None:
            build = _new_build()
            journal.write(HELD, [(table.encode(), build)])
        _note(home, journal, table, b"%d %b" % (sequence, build))


def note_rewritten(home: StateAndJournal, journal: KeyValues, table: str) -> None:
    """Note that states of a table were written out of the order of the log.

    From now on an older copy of them lacks that, though it may hold as many rows of the log.
    """
    before = journal.read_one(HELD, table.encode())
    if before is None:
        return  # without notes nothing is expected of the store yet
    holds = _holds(home.states.read(HELD, _keys(home, table)), before)
    build = _new_build()
    journal.write(HELD, [(table.encode(), build)])
    if holds is not None:
        _note(home, journal, table, b"%d %b" % (holds, build))


def is_noted(journal: KeyValues, table: str) -> bool:
    """Return whether there must be notes of a table."""
    return journal.read_one(HELD, table.encode()) is not None


def is_known(journal: KeyValues, table: str) -> bool:
    """Return whether the journal has ever led to rows of a table of states."""
    key = table.encode()
    return any(journal.read_one(name, key) for name in (HELD, APPLIED, _MATERIALIZED))


def held(home: StateAndJournal, journal: KeyValues, table: str, noted: int) -> int | None:
    """Return the last row of the log that the states of a table still hold; None: all is lost.

    Args:
        home: where states are.
        journal: where it is known whether there are notes.
        table: of the states.
        noted: what the journal says that they hold.
    """
    build = journal.read_one(HELD, table.encode()) if may_forget(home) else None
    if build is None:
        return noted
    holds = _holds(home.states.read(HELD, _keys(home, table)), build)
    return None if holds is None else min(noted, holds)


def note_of(home: StateAndJournal, table: str) -> bytes:
    """Return the note of a table as it stands; of several the oldest, b"" unless they agree."""
    found = home.states.read(HELD, _keys(home, table))
    notes = [note for note in found if note is not None]
    builds = {note.partition(b" ")[2] for note in notes}
    return min(notes, key=_sequence) if len(notes) == len(found) and len(builds) == 1 else b""


def write_note(home: StateAndJournal, table: str, note: bytes) -> None:
    """Write what `note_of` returned, of this store or of one that holds the same."""
    home.states.write(HELD, [(key, note) for key in _keys(home, table)])


def goes_on(note: bytes, before: bytes) -> bool:
    """Return whether states with a note hold all that those with an earlier one did."""
    same = note.partition(b" ")[2] == before.partition(b" ")[2]
    return same and bool(note and before) and _sequence(note) >= _sequence(before)


def all_held(states: KeyValues) -> Iterator[tuple[str, int]]:
    """Yield each table of states that has a note, and the last row of the log that it holds."""
    for key, value in states.scan(HELD):
        if key:
            yield key.partition(b"/")[0].decode(), int(value.partition(b" ")[0])


def lacking(home: StateAndJournal, tables: Iterable[str]) -> dict[str, str]:
    """Return what the store has lost of some tables of states, in words; {} if nothing.

    Asks each store once, however many tables there are.
    """
    names = list(tables)
    if not may_forget(home) or not names:
        return {}
    keys = [name.encode() for name in names]
    applied = home.journal.read(APPLIED, keys)  # before the states: it only grows
    builds = home.journal.read(HELD, keys)
    asked = {
        name: (0 if at is None else int(at), build, _keys(home, name))
        for name, at, build in zip(names, applied, builds, strict=True)
        if build is not None
    }
    found = iter(home.states.read(HELD, [key for *_, notes in asked.values() for key in notes]))
    lacks = {}
    for name, (least, build, notes) in asked.items():
        holds = _holds(list(itertools.islice(found, len(notes))), build)
        if holds is None:
            lacks[name] = f"no note of now of the table {name}"
        elif holds < least:
            lacks[name] = f"{name} holds the log up to row {holds} and not {least}"
    return lacks


def refuse_if_lost(home: StateAndJournal, tables: Iterable[str]) -> None:
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
        hint="A push to their source builds them anew; or: skewless materialize",
    )


def _keys(home: StateAndJournal, table: str) -> list[bytes]:
    can = home.states.capabilities
    if can.atomic_batch or can.durable:
        return [table.encode()]
    return [b"%b/%d" % (table.encode(), number) for number in range(SPREAD)]


def _new_build() -> bytes:
    return secrets.token_hex(6).encode()


def _note(home: StateAndJournal, journal: KeyValues, table: str, note: bytes) -> None:
    """Write the note of a table; a mirror is told before."""
    if isinstance(journal, CapturingTransaction):
        journal.note(HELD, [table.encode() + b"\0" + note])
    write_note(home, table, note)


def _sequence(note: bytes) -> int:
    return int(note.partition(b" ")[0])


def _holds(notes: Sequence[bytes | None], build: bytes) -> int | None:
    """Return the oldest of a table's notes; None if one is gone, or is of another build."""
    oldest = None
    for note in notes:
        sequence, _, of = (note or b"").partition(b" ")
        if of != build:
            return None
        oldest = int(sequence) if oldest is None else min(oldest, int(sequence))
    return oldest
