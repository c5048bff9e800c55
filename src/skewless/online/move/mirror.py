"""The mirror: a second online store that takes every write too, while a repo moves to it.

    [online]
    kind = "lmdb"
    mirror = "next"                # a store of [stores.next]

Reads ask the first store alone. A write is kept in the first store together with a note of the rows
it changed (the outbox, a table of the journal), in one transaction. Then, in a second one, which
keeps other writers out, the rows of the outbox are copied as they are now and the notes removed. So
the mirror never gets an older value after a newer one, and a crash or an outage of the mirror
leaves notes, not gaps: whatever writes next, or `skewless online copy`, settles them.

Where both stores have one journal, the mirror's states also get the note of what they hold
(`online.loss_detection`), as long as they miss nothing: a chain from note to note tells that every
write since the note they have was noted here. A writer without the mirror breaks it.

A mirror that fails never fails a write. That is said once in the log of Python (`skewless.mirror`),
counted, shown by `skewless online status` and `doctor`, and tried again after a growing pause.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from skewless.config import Config
from skewless.errors import StoreError
from skewless.forks import Lock
from skewless.online.copies import LACKS, copied_to, note_copied
from skewless.online.history_folder import WRITERS, HistoryFolder, note_copy
from skewless.online.loss_detection import HELD, goes_on, is_noted, note_of, write_note
from skewless.online.ownership import claim
from skewless.online.seen import is_seen, note_seen
from skewless.online.storage import StateAndJournal, is_states, open_home
from skewless.online.table_changes import CHANGES
from skewless.plugins import find
from skewless.stores.online.base import Item, KeyValues, Transaction

OUTBOX = "skewless.mirror"
"""Rows that the mirror may lack: the name of the table, a zero byte, the key."""
CHAINS = "skewless.mirror_chains"
"""What the states of a table held before the first row of the outbox, and after the last one."""
_PROGRESS = "skewless.progress"
LOCAL = {OUTBOX, CHAINS, HELD, WRITERS, CHANGES[0], "skewless.copies", _PROGRESS}
"""Tables that are about one store and do not move with a repo."""
NEW, GAP = b"new", b"gap"
_BEHIND = b"behind"
PAGE_ROWS = 1_000
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
_logger = logging.getLogger("skewless.mirror")


@dataclass(frozen=True)
class MirrorStatus:
    """How a mirror stands.

    Attributes:
        name: of the store in the settings.
        pending: rows it may lack.
        copied: rows that this process has copied to it.
        failures: how often this process could not write to it.
        problem: why it could not the last time; empty: it could.
    """

    name: str
    pending: int
    copied: int
    failures: int
    problem: str


class Mirror:
    """Copies what changes to another store.

    Args:
        config: the settings; they name a mirror.
        home: where rows are read from.
        folder: of the offline store.
    """

    def __init__(self, config: Config, home: StateAndJournal, folder: Path) -> None:
        self.name = config.mirror
        section = config.stores[self.name]
        where = f"[stores.{self.name}] of {config.file or config.folder}"
        self._home = home
        self._folder = HistoryFolder(folder, home)
        self._place = config.folder
        self._open = partial(open_home, section, folder, where, config)
        kind = find("online_store", section.kind)  # a missing driver is told now
        self._journal_moves = kind.capabilities.transactions or home.one_store
        self._target: StateAndJournal | None = None
        self._lock = Lock()
        self._copied = self._failures = 0
        self._problem = ""
        self._pause, self._not_before = FIRST_PAUSE, 0.0
        self._behind = True  # of what was before this process nothing is known

    def wants(self, table: str) -> bool:
        """Return whether a table is mirrored."""
        if table in LOCAL or is_seen(table):
            return False
        return self._journal_moves or is_states(table)

    def note(self, journal: KeyValues, table: str, keys: Iterable[bytes]) -> None:
        """Note rows that are about to change, in the transaction that changes them."""
        if table == HELD and not self._journal_moves:
            self._chain(journal, keys)
        if not self.wants(table):
            return
        self._behind = True
        if not self._journal_moves:
            self._begin_chain(journal, table)
        start = table.encode() + b"\0"
        journal.write(OUTBOX, [(start + key, b"") for key in keys])

    def settle(self) -> None:
        """Copy what is in the outbox, unless the mirror has just failed; never raises for it."""
        if self._behind:
            with self._lock:
                if time.monotonic() >= self._not_before:
                    self._settle()

    def _settle(self) -> None:
        self._behind = False
        try:
            while self.settle_some():
                pass
        except StoreError as problem:
            self._behind = True
            self._failures += 1
            self._suspend()
            self._not_before = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            if not self._problem:
                _logger.warning("mirror %s: writes wait in the outbox: %s", self.name, problem)
            self._problem = str(problem)
        else:
            if self._problem:
                _logger.warning("mirror %s: takes writes again", self.name)
                self._resume()
            self._pause, self._problem = FIRST_PAUSE, ""

    def _suspend(self) -> None:
        """Have the mirror not be taken for the first store while it lacks rows."""
        with contextlib.suppress(StoreError):
            if copied_to(self._home.journal) == self.name:
                self._folder.rename(LACKS + self.name)

    def _resume(self) -> None:
        """Let the mirror be taken again, unless somebody has written without it."""
        if self._target is None:
            return
        with contextlib.suppress(StoreError), self._home.journal.transaction() as journal:
            waits = next(iter(journal.scan(OUTBOX, limit=1)), None)
            if waits is None and copied_to(journal) == LACKS + self.name:
                note_copied(journal, self.name)
                note_copy(journal, self._target.journal)

    def settle_some(self) -> bool:
        """Copy some rows of the outbox; return whether there may be more.

        Raises:
            StoreError: the mirror, or the first store, does not take part, or the mirror belongs
                to another repo.
        """
        if self._target is None:
            target = self._open()
            try:
                claim(self._home, target, self._place)
            except BaseException:
                target.close()
                raise
            self._target = target
        with self._home.journal.transaction() as journal:
            notes = [key for key, _ in journal.scan(OUTBOX, limit=PAGE_ROWS)]
            split = [note.partition(b"\0") for note in notes]
            behind = self._journal_moves and not self._target.one_store
            if behind:
                more = len(notes) == PAGE_ROWS  # of which tables, a later page says
                every = self._home.tables() if more else [each[0].decode() for each in split]
                _note_behind(self._target, every)
            for name, group in groupby(split, key=itemgetter(0)):
                table, keys = name.decode(), [key for _, _, key in group]
                copy_rows(self._home, journal, self._target, table, keys)
            journal.delete(OUTBOX, notes)
            if len(notes) < PAGE_ROWS:
                self._end_chains(journal, self._target)
                if behind:
                    _note_whole(self._target)
        self._copied += len(notes)
        return len(notes) == PAGE_ROWS

    def _begin_chain(self, journal: KeyValues, table: str) -> None:
        """Begin the chain of a table that has no note yet, before the first row is passed on."""
        key = table.encode()
        if not is_noted(journal, table) and journal.read_one(CHAINS, key) is None:
            begun = journal.read_one(_PROGRESS, key) is not None  # by whom, with a mirror?
            journal.write(CHAINS, [(key, (GAP if begun else NEW) + b"|")])

    def _chain(self, journal: KeyValues, notes: Iterable[bytes]) -> None:
        """Lengthen the chains of tables; each note is a table, a zero byte, and its next note.

        A writer without a mirror breaks them: what it wrote is not in the outbox.
        """
        for text in notes:
            key, told, after = text.partition(b"\0")
            if not told:
                continue
            self._behind = True
            now, found = note_of(self._home, key.decode()), journal.read_one(CHAINS, key)
            before, _, expected = (now + b"|" + now if found is None else found).partition(b"|")
            before = before if expected == now else GAP
            journal.write(CHAINS, [(key, before + b"|" + after)])

    def _end_chains(self, journal: Transaction, target: StateAndJournal) -> None:
        """Note beside the mirror's states what they hold, now that the outbox is empty.

        Only where they held all that there was before it; else they lack rows, and say so.
        """
        chains = list(journal.scan(CHAINS))
        for key, chain in chains:
            table, (before, _, after) = key.decode(), chain.partition(b"|")
            theirs, ours = note_of(target, table), note_of(self._home, table)
            whole = goes_on(theirs, before) or (before == NEW and not theirs)
            if after and after == ours and whole:
                write_note(target, table, ours)
        journal.delete(CHAINS, [key for key, chain in chains if not chain.endswith(b"|")])

    def status(self) -> MirrorStatus:
        """Return how the mirror stands."""
        pending = sum(1 for _ in self._home.journal.scan(OUTBOX))
        return MirrorStatus(self.name, pending, self._copied, self._failures, self._problem)

    def close(self) -> None:
        """Close the mirror's stores."""
        target, self._target = self._target, None
        if target is not None:
            target.close()


def _note_behind(target: StateAndJournal, tables: Iterable[str]) -> None:
    """Let states count as lost in a mirror of two stores: its journal may get rows before them."""
    states = {table.encode() for table in tables if is_states(table)}
    target.journal.write(HELD, [(table, _BEHIND) for table in states])


def _note_whole(target: StateAndJournal) -> None:
    """Take back what `_note_behind` noted: the states have what the journal has."""
    noted = [table for table, value in target.journal.scan(HELD) if value == _BEHIND]
    target.journal.delete(HELD, noted)


def copy_rows(
    home: StateAndJournal,
    journal: Transaction,
    target: StateAndJournal,
    table: str,
    keys: Sequence[bytes],
) -> list[Item]:
    """Make rows of a table in ``target`` what they are now; return those there are.

    Args:
        home: where they are.
        journal: a transaction of its journal, which keeps writers out.
        target: where they go.
        table: name of the table.
        keys: of the rows.
    """
    source: KeyValues = journal if home.one_store or not is_states(table) else home.states
    found = list(zip(keys, source.read(table, keys), strict=True))
    rows = [(key, value) for key, value in found if value is not None]
    place = target.store_of(table)
    if rows:
        if is_states(table) and (home.one_store or target.one_store):  # else it is noted already
            with target.journal.transaction() as theirs:
                note_seen(theirs, table, [key for key, _ in rows])
        place.write(table, rows)
    gone = [key for key, value in found if value is None]
    if gone:
        place.delete(table, gone)
    return rows
