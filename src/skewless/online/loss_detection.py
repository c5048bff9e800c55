"""What a store of states still holds: lost rows are noticed before anybody builds on them.

A cache that restarts empty, a replica that had not caught up, a table that was truncated, a backup
that was restored: such a store answers like one that never had the rows. So each table of states
has notes beside it, in the same store, of the last row of the event log that its states hold and of
the build they belong to, and the journal knows the build. It changes whenever states are written
out of the order of the log: when they are materialized, repaired, or built with late rows. Notes
that are gone or of another build mean that states are: reads are refused, and the next push builds
the table again. Notes of fewer rows mean that the last pushes are gone: what came since is done
again. Single states that are gone are told by `online.seen`.

Where a write of many rows is not one and a node may forget alone (a cluster), the notes are spread
over the store, and the oldest of them counts.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from skewless.errors import StoreUnavailable
from skewless.online.storage import StateAndJournal
from skewless.stores.online.base import KeyValues
from skewless.stores.online.change_capture import CapturingTransaction

HELD = "skewless.held"
APPLIED = "skewless.applied"
"""In the journal: the last row of the log that all states of a table hold."""
_REFUSED = b"!"
"""Behind that row, where the store has refused the next ones."""
_MATERIALIZED = "materialized"
SPREAD = 32
LOST = "the online store has lost its rows"
logger = logging.getLogger("skewless.states")


@dataclass(frozen=True)
class Standing:
    """How far the states of a table have come.

    Attributes:
        applied: the last row of the log that they got, as the journal has noted; None: it has not.
        holds: the last row that they still have; None: they are lost, or nothing is noted.
        noted: whether there must be a note of them in their store.
        refused: whether the store has refused rows since.
    """

    applied: int | None
    holds: int | None
    noted: bool
    refused: bool = False

    @property
    def lost(self) -> bool:
        """Whether all states are gone."""
        return self.noted and self.holds is None

    def lacks(self, last: int) -> bool:
        """Return whether the states are there, and lack rows of a log that ends with ``last``."""
        return self.applied is not None and self.holds is not None and self.holds < last


def standings(
    home: StateAndJournal, tables: Iterable[str], journal: KeyValues | None = None
) -> dict[str, Standing]:
    """Return how far the states of tables have come; asks each store once.

    Args:
        home: where states are.
        tables: their names.
        journal: a transaction of the journal; None: as it is now.
    """
    names, journal = list(tables), journal or home.journal
    applied = journal.read(APPLIED, [name.encode() for name in names])  # first: it only grows
    noted = _noted(home, journal, names)
    found = {}
    for name, note in zip(names, applied, strict=True):
        done = None if note is None else int(note.removesuffix(_REFUSED))
        holds = noted.get(name, done)
        if holds is not None and done is not None:
            holds = min(holds, done)
        refused = note is not None and note.endswith(_REFUSED)
        found[name] = Standing(done, holds, name in noted, refused)
    return found


def applied(journal: KeyValues, table: str) -> int | None:
    """Return the last row of the log that all states of a table hold."""
    note = journal.read_one(APPLIED, table.encode())
    return None if note is None else int(note.removesuffix(_REFUSED))


def note_applied(journal: KeyValues, table: str, sequence: int) -> None:
    """Note the last row of the log that all states of a table hold."""
    journal.write(APPLIED, [(table.encode(), b"%d" % sequence)])


def note_refused(journal: KeyValues, tables: Iterable[str]) -> None:
    """Note that the store did not take the rows after those that tables hold."""
    keys = [name.encode() for name in tables]
    held = zip(keys, journal.read(APPLIED, keys), strict=True)
    noted = [(key, note.removesuffix(_REFUSED) + _REFUSED) for key, note in held if note]
    journal.write(APPLIED, noted)


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


def last_held(home: StateAndJournal, journal: KeyValues, table: str, noted: int) -> int | None:
    """Return the last row of the log that the states of a table still hold; None: all is lost.

    Args:
        home: where states are.
        journal: where it is known whether there are notes.
        table: of the states.
        noted: what the journal says that they hold.
    """
    holds = _noted(home, journal, [table]).get(table, noted)
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


def noted_tables(states: KeyValues) -> Iterator[tuple[str, int]]:
    """Yield each table of states that has a note, and the last row of the log that it holds."""
    for key, value in states.scan(HELD):
        if key:
            yield key.partition(b"/")[0].decode(), int(value.partition(b" ")[0])


def losses(found: Mapping[str, Standing]) -> dict[str, str]:
    """Return what the store has lost of tables of states, in words; {} if nothing."""
    lacks = {}
    for name, table in found.items():
        if table.lost:
            lacks[name] = f"no note of now of the table {name}"
        elif table.applied is not None and table.lacks(table.applied):
            lacks[name] = f"{name} holds the log up to row {table.holds} and not {table.applied}"
    return lacks


def lost(where: str, got: str) -> StoreUnavailable:
    """Return the error for a store that has lost its states."""
    return StoreUnavailable(
        LOST,
        got=got,
        where=where,
        hint="A push to their source rebuilds them; or: skewless materialize",
    )


def _noted(
    home: StateAndJournal, journal: KeyValues, names: Sequence[str]
) -> dict[str, int | None]:
    """Return up to which row tables hold the log, by the notes in their store; None: all is lost.

    Of tables that must have notes.
    """
    builds = journal.read(HELD, [name.encode() for name in names]) if may_forget(home) else ()
    asked = {name: build for name, build in zip(names, builds, strict=False) if build is not None}
    keys = {name: _keys(home, name) for name in asked}
    every = [key for some in keys.values() for key in some]
    found = iter(home.states.read(HELD, every) if every else ())
    return {
        name: _holds(list(itertools.islice(found, len(keys[name]))), build)
        for name, build in asked.items()
    }


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
