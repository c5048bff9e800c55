"""Who writes the states of a store: one journal, which the store names beside them.

Where states are in another store than the event log, two logs may lead to one store: two machines
with a journal each, a folder that was copied, a new container, a backup that was restored. Each
would build states from its own rows and drop the other's. So the store has a **mark**: the journal
that writes its states, from where, and a **generation** and **session** that only this journal
knows. It is looked at before anything is appended:

| the mark | means | then |
|---|---|---|
| is missing, and none is known | nothing was ever written | the journal becomes the owner |
| is missing, but one is known | flushed, replaced, failed over empty | lost: rebuilt |
| names another journal | another machine or container | refused, by name |
| names a log | what keeps no journal writes them (`online.log_owned`) | refused, by name |
| has an unknown session | a copied journal, or one from a backup | refused, by name |
| has another generation | an older copy of the store | lost: rebuilt |
| that was left by a move | the repo has moved away from here | refused |

``skewless online adopt`` takes a store over on purpose (`adopt`): its states are rebuilt.

The journal keeps its generation, its sessions, and the stores it was copied to or has left. A
session begins with a process's first write and is noted there before the mark says it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from skewless.errors import Conflict, StoreError, StoreUnavailable
from skewless.forks import Lock
from skewless.online.history_folder import WRITERS, HistoryFolder
from skewless.online.loss_detection import HELD, is_known, lost, noted_tables
from skewless.online.storage import LEASES, StateAndJournal, is_states, journal_id
from skewless.stores.online.base import KeyValues, Transaction

MARK = (HELD, b"")
"""Table and key of the mark in the store of states."""
LOG = "log "
"""How the writer is called where what writes states keeps no journal."""
FRESH_SECONDS = 1.0
KEPT_SESSIONS = 10_000
ATTEMPTS = 20
_GENERATION = b"generation"
_SESSION, _COPY, _LEFT = b"session/", b"copy/", b"left/"
_READS = b"reads"
"""Where a journal notes whose states without a journal it reads, so that it misses them."""


@dataclass(frozen=True)
class Mark:
    """What a store says of who writes its states.

    Attributes:
        writer: ``journal <id>``, or ``log <id>``.
        generation: of the states; another one whenever they are begun again.
        session: of the process that wrote last for the first time.
        host, folder: where that was.
    """

    writer: str
    generation: str
    session: str
    host: str
    folder: str

    @property
    def place(self) -> str:
        """Where the writer is, for people."""
        return f"{self.host}:{self.folder}"

    @property
    def of_log(self) -> bool:
        """Whether what writes the states keeps no journal, see `online.log_owned`."""
        return self.writer.startswith(LOG)

    @classmethod
    def read(cls, states: KeyValues) -> Mark | None:
        """Return the mark of a store, None if it has none."""
        found = states.read_one(*MARK)
        return None if found is None else cls.from_json(found)

    @classmethod
    def from_json(cls, text: bytes) -> Mark:
        """Return what `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> bytes:
        """Return the mark as it stands in the store."""
        return json.dumps(asdict(self)).encode()


class Ownership:
    """The right of one repo to write the states of its store.

    Args:
        home: the stores.
        folder: of the repo; named in the mark.
        history: folder of the event logs.
        last: returns the last row of the log that belongs to a table of states, None if there is
            no such log.

    Attributes:
        by_log: whether what keeps no journal wrote the states when `knows` looked last.
    """

    def __init__(
        self,
        home: StateAndJournal,
        folder: Path,
        history: Path,
        last: Callable[[Transaction, str], int | None],
    ) -> None:
        self._home = home
        self._place = (socket.gethostname(), str(folder))
        self._last = last
        self._folder = HistoryFolder(history, home)
        self._id = self._session = ""
        self._read = b""
        self._checked = float("-inf")
        self._lock = Lock()
        self.by_log = False

    # ------------------------------------------------------------------------------- writing

    def check(self, *, seconds: float = 0.0) -> None:
        """Refuse to write unless this journal owns the states; the first writer becomes owner.

        Args:
            seconds: do nothing if that was checked within so many.

        Raises:
            Conflict: another writer owns them, or the repo has moved to another store.
        """
        self._folder.take()
        if self._home.one_store or time.monotonic() - self._checked < seconds:
            return
        with self._lock:
            writer, mark = self._writer, Mark.read(self._home.states)
            known, session = self._known(self._home.journal, mark)
            mine = mark is not None and (mark.writer, mark.generation) == (writer, known)
            if not (mine and session and self._session):
                self._begin()
            self._checked = time.monotonic()

    def adopt(self, tables: Iterable[str]) -> Mark | None:
        """Become the owner of the states, whoever it was; return the mark there was.

        Args:
            tables: of states; they count as lost until they are rebuilt.

        Raises:
            Conflict: the folder has rows that the journal does not know.
        """
        home = self._home
        self._folder.refuse_unknown()
        self._folder.adopt()
        if home.one_store:
            return None
        with self._lock:
            before, _ = Mark.read(home.states), self._writer
            with home.journal.transaction() as journal:
                mark = self._note(journal, uuid.uuid4().hex)
                journal.write(HELD, [(name.encode(), b"noted") for name in tables])
            home.states.drop(HELD)
            home.states.write(HELD, [(b"", mark.to_json())])
        return before

    def forget_sessions(self) -> None:
        """Forget the oldest sessions: a copy of the store from their time is then refused."""
        with self._home.journal.transaction() as journal:
            known = [key for key, _ in journal.scan(WRITERS, prefix=_SESSION)]
            if len(known) > KEPT_SESSIONS:
                journal.delete(WRITERS, known[:-KEPT_SESSIONS])

    def take_folder(self) -> None:
        """Let the folder of the history go with this journal.

        Raises:
            Conflict: it goes with another one.
        """
        self._folder.take()

    def outdate_copy(self) -> None:
        """Go on under another name, by which a copy of this journal does not know it."""
        self._folder.rename("")

    def refusal(self) -> StoreError | None:
        """Return why the stores may not be used with the history of the repo, None if they may."""
        return self._folder.refusal()

    def _begin(self) -> None:
        """Begin a session: of the owner, or as the first writer."""
        for _ in range(ATTEMPTS):  # processes of one journal may begin at once
            if self._begun():
                return
        raise Conflict(
            "other writers begin to write the states of this store all the time",
            where=self._home.states.where,
            hint="Try again.",
        )

    def _begun(self) -> bool:
        """Write the mark; return whether nobody else did meanwhile."""
        home = self._home
        with home.journal.transaction() as journal:
            mark = Mark.read(home.states)
            known, session = self._known(journal, mark)
            generation = uuid.uuid4().hex
            if mark is None:
                if known is None:
                    self._refuse_unmarked(journal)
            else:
                self._refuse_others(mark, session)
                if self._is_of_now(journal, mark, known):
                    generation = mark.generation
                    self._refuse_older(journal, mark)
                else:  # an older copy of the store: its notes are void
                    home.states.delete(HELD, [key for key, _ in home.states.scan(HELD) if key])
            now = self._note(journal, generation)
        # The journal knows the session before the store names it.
        if not home.states.capabilities.compare_and_set:
            home.states.write(HELD, [(b"", now.to_json())])
            return True
        before = None if mark is None else mark.to_json()
        return all(home.states.compare_and_set(HELD, [(b"", before, now.to_json())]))

    def _note(self, journal: Transaction, generation: str) -> Mark:
        """Note session and generation in the journal; return the mark for the store."""
        self._session = self._session or _new_session()
        host, folder = self._place
        mark = Mark(self._writer, generation, self._session, host, folder)
        place = {"host": host, "folder": folder, "pid": os.getpid(), "at": time.time()}
        journal.write(
            WRITERS,
            [
                (_GENERATION, generation.encode()),
                (_SESSION + self._session.encode(), json.dumps(place).encode()),
            ],
        )
        return mark

    # ------------------------------------------------------------------------------ refusing

    def _refuse_unmarked(self, journal: Transaction) -> None:
        """Refuse a store with states that this journal never wrote, and that name no writer."""
        states = self._home.states
        tables = [name for name in states.tables() if is_states(name)]
        if tables and not any(is_known(journal, name) for name in tables):
            raise self._refusal("a writer that has left no mark", tables[0])

    def _refuse_others(self, mark: Mark, session: bool) -> None:
        if mark.writer != self._writer:
            raise self._refusal(f"{mark.writer} of {mark.place}")
        if not session:
            raise self._refusal(
                f"a copy of this journal, or a later state of it, at {mark.place}",
                hint="Was the folder copied, or the journal restored from a backup?",
            )

    def _is_of_now(self, journal: Transaction, mark: Mark, known: str | None) -> bool:
        """Return whether a mark is of the generation that the journal means.

        A store that the repo was copied to is taken; one that it has left is refused.
        """
        if mark.generation == known:
            return True
        where, gone = self._home.states.where, mark.generation.encode()
        copied, left = journal.read(WRITERS, [_COPY + gone, _LEFT + gone])
        if left is not None:
            raise _moved(where, left, Conflict)
        if copied is None:
            return False
        journal.delete(WRITERS, [_COPY + gone])
        if known is not None:
            journal.write(WRITERS, [(_LEFT + known.encode(), where.encode())])
        return True

    def _refuse_older(self, journal: Transaction, mark: Mark) -> None:
        """Refuse a journal that lacks rows which the states hold."""
        for table, sequence in noted_tables(self._home.states):
            last = self._last(journal, table)
            if last is not None and sequence > last:
                raise self._refusal(
                    f"a later state of this journal, last at {mark.place}",
                    f"row {sequence} of {table}, the log ends with {last}",
                    hint="Was the journal restored from a backup?",
                )

    def _refusal(self, owner: str, got: str | None = None, *, hint: str = "") -> Conflict:
        host, folder = self._place
        return Conflict(
            f"the states of this store are written by {owner}",
            got=f"{self._writer} of {host}:{folder}" + (f"; the states hold {got}" if got else ""),
            where=self._home.states.where,
            hint=f"{hint} Give each its own namespace or project, share a [journal], or, if the"
            " other is no more, take the store over: skewless online adopt".strip(),
        )

    # ------------------------------------------------------------------------------- reading

    def is_mine(self) -> bool:
        """Return whether this journal writes the states, lost or not, and no other does."""
        mark = Mark.read(self._home.states)
        known, session = self._known(self._home.journal, mark)
        if mark is None:
            return known is not None
        return mark.writer == self._writer and session

    def knows(self) -> bool:
        """Return whether this journal can say which entities the store has seen.

        Raises:
            StoreUnavailable: the store has lost its states, or the repo has moved away from it.
        """
        moved = self._folder.refusal()
        if moved is not None:
            raise StoreUnavailable(
                moved.what,
                got=moved.got,
                expected=moved.expected,
                where=moved.where,
                hint=moved.hint,
            )
        if self._home.one_store:
            return True
        mark = Mark.read(self._home.states)
        self.by_log = mark is not None and mark.of_log
        journal = self._home.journal
        known, session = self._known(journal, mark)
        self._note_read(mark if self.by_log else None)
        if mark is None:
            reads = self._read or journal.read_one(WRITERS, _READS)
            if known is not None or reads:
                raise lost(self._home.states.where, "no mark of its writer")
            return True
        if mark.writer != self._writer or not session:
            return False
        if mark.generation != known:
            gone = mark.generation.encode()
            copied, left = journal.read(WRITERS, [_COPY + gone, _LEFT + gone])
            if left is not None:
                raise _moved(self._home.states.where, left, StoreUnavailable)
            if copied is None:
                raise lost(self._home.states.where, "an older copy of the store")
        return True

    def _note_read(self, mark: Mark | None) -> None:
        """Note whose states are read that no journal writes."""
        writer = b"" if mark is None else mark.writer.encode()
        if mark is None or writer == self._read:
            return
        kept = self._home.journal
        if kept.read_one(WRITERS, _READS) != writer:  # else nobody waits for a transaction
            with contextlib.suppress(StoreError), kept.transaction() as journal:
                journal.write(WRITERS, [(_READS, writer)])
        self._read = writer

    def _known(self, journal: KeyValues, mark: Mark | None) -> tuple[str | None, bool]:
        """Return the generation that the journal knows, and whether it knows a mark's session."""
        session = b"" if mark is None else mark.session.encode()
        generation, known = journal.read(WRITERS, [_GENERATION, _SESSION + session])
        return None if generation is None else generation.decode(), known is not None

    @property
    def _writer(self) -> str:
        if not self._id:
            self._id = journal_id(self._home.journal)
        return f"journal {self._id}"


def _new_session() -> str:
    """Return the id of a session; later ones are greater, as far as clocks agree."""
    return f"{time.time_ns():016x}-{uuid.uuid4().hex}"


def claim(home: StateAndJournal, target: StateAndJournal, folder: Path) -> None:
    """Mark a store that gets what a repo writes, unless it is marked; the repo does not use it yet.

    Raises:
        StoreError: another repo writes its states.
    """
    writer, found = f"journal {journal_id(home.journal)}", Mark.read(target.states)
    if found is None:
        mark_copy(target, writer, folder, finished=False)
    elif found.writer != writer:
        raise StoreError(
            "the store belongs to another repo",
            got=f"states written by {found.writer} of {found.place}",
            where=target.states.where,
            hint="Give it a namespace, project, table or file of its own.",
        )


def mark_copy(target: StateAndJournal, writer: str, folder: Path, *, finished: bool = True) -> None:
    """Mark a store that is copied to; once the copy is finished the repo may go on there."""
    generation, session = uuid.uuid4().hex.encode(), _new_session().encode()
    mark = Mark(writer, generation.decode(), session.decode(), socket.gethostname(), str(folder))
    if finished:
        note = (_COPY + generation, b"")
    else:
        note = (_LEFT + generation, b"the store that it is copied from: the copy is not finished")
    with target.journal.transaction() as journal:
        journal.write(WRITERS, [(_SESSION + session, b"{}"), note])
        journal.write(LEASES, [(b"", writer.removeprefix("journal ").encode())])
    target.states.write(HELD, [(b"", mark.to_json())])


def _moved(where: str, to: bytes, kind: type[StoreError]) -> StoreError:
    return kind(
        "the repo has moved to another online store",
        got=f"states at {where}",
        expected=to.decode(),
        where="[online] of the settings",
        hint="Name that one there: store = ... To come back, copy it:"
        " skewless online copy --to NAME",
    )
