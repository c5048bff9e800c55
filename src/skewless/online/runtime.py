"""What a repo has open: its registry, stores, event logs and the plans compiled from them.

Everything is opened when it is first needed and shared by the verbs of `FeatureStore`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.clock import ALWAYS, NEVER, SECOND, Clock, SystemClock
from skewless.config import Config
from skewless.definitions import Source
from skewless.definitions.loading import files_of
from skewless.definitions.repo import Definitions, load_folder
from skewless.definitions.source import as_defined
from skewless.definitions.tables import Table
from skewless.engines.chosen import Engines
from skewless.errors import StoreUnavailable, UnknownName
from skewless.forks import Lock, cached_property, opened_property
from skewless.ledger.ledger import Ledger, ledger_of
from skewless.online.copies import LACKS, changes_and_copy, copied_to, count_write
from skewless.online.group_commit import GroupCommit
from skewless.online.history_folder import folder_of_project
from skewless.online.lag import Lag
from skewless.online.log_generations import generation_of
from skewless.online.log_owned import tables_of_logs
from skewless.online.loss_detection import (
    LOST,
    logger,
    losses,
    lost,
    may_forget,
    note_rewritten,
    standings,
)
from skewless.online.move.mirror import Mirror
from skewless.online.oversize import FittingRows
from skewless.online.ownership import FRESH_SECONDS, Ownership
from skewless.online.pinned_tables import Pinned, pinned_table
from skewless.online.reader import OnlineReader
from skewless.online.seen import SeenRows, seen_among
from skewless.online.storage import StateAndJournal, home_of, open_home
from skewless.online.table_changes import changes_of
from skewless.online.tables import StateTables
from skewless.online.to_rebuild import ToRebuild
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.table_read import State, TableRead
from skewless.plugins import create, table_reader, table_settings
from skewless.registry.base import Registry
from skewless.stores.offline.base import TableReader
from skewless.stores.online.base import KeyValues, OnlineStore, Transaction
from skewless.stores.online.change_capture import (
    CapturingRows,
    CapturingStore,
    CapturingTransaction,
)
from skewless.stores.online.compare_and_set import CompareAndSetRows
from skewless.stores.online.projects import whole
from skewless.stores.online.sealed import sealed

if TYPE_CHECKING:
    from skewless.online.table_index import TableIndexes
    from skewless.stores.offline.history import History
    from skewless.stores.offline.log.lake import LakeTable
    from skewless.stores.offline.log.log import EventLog

_CHECK_EVERY = 1_000_000


class Runtime:
    """The open parts of one repo.

    Args:
        config: its settings.
        clock: tells the present.
        online: an online store already open; by default the one the settings name.

    Attributes:
        changes: how often registry or tables of states were seen to have changed.
    """

    def __init__(
        self, config: Config, clock: Clock | None = None, online: OnlineStore | None = None
    ) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self._given = None if online is None else sealed(online)
        self._frames: dict[str, Table] = {}
        self.read_last: Definitions | None = None
        self._logs: dict[str, EventLog] = {}
        self._generations: dict[str, int] = {}
        self._state: RegistryState | None = None
        self._tables: StateTables | None = None
        self._changes = 0
        self.changes = 0
        self._checked = 0
        self._looked_at: dict[str, float] = {}
        self._known_to_lake: set[Path] = set()
        self._knows = True
        self._lock = Lock()
        self.repair: Callable[[Sequence[str]], None] | None = None
        """Brings some tables up to date, marked states too; see `materialize.repair`."""
        self.derive: Callable[[Source], None] | None = None
        """Brings a derived source up to date; see `ingest.catch_up`."""
        self.lag = Lag(self.forget_plans)
        self.engines = Engines(config.engine, str(config.file or config.folder))
        self.at_close: list[Callable[[], None]] = []
        self.clock_off = 0
        """Pushes that came while the clock of this host was off."""

    @cached_property
    def ledger(self) -> Ledger:
        """The record of what happened."""
        folder = folder_of_project(Path(self.config.ledger.options["folder"]), self.config.project)
        return ledger_of(self.config, folder / "chains", lambda: self.registry, self.clock)

    @opened_property
    def registry(self) -> Registry:
        """The registry."""
        section = self.config.registry
        where = f"[registry] of {self.config.file or self.config.folder}"
        made: Registry = create(
            "registry",
            section.kind,
            {
                "folder": self.config.folder,
                "clock": self.clock,
                "project": self.config.project,
                **section.options,
            },
            where=where,
        )
        made.read_only = self.config.read_only
        return made

    @opened_property
    def home(self) -> StateAndJournal:
        """The online store and the journal, without the mirror."""
        where = f"[online] of {self.config.file or self.config.folder}"
        if self._given is not None:
            return home_of(self._given, self.folder, self.config)
        return open_home(self.config.online, self.folder, where, self.config)

    @opened_property
    def mirror(self) -> Mirror | None:
        """The store that takes every write too, if the settings name one."""
        if not self.config.mirror or self.config.read_only:
            return None
        return Mirror(self.config, self.home, self.folder)

    @opened_property
    def online(self) -> OnlineStore:
        """The online store."""
        return self.journal if self.home.one_store else self.home.states

    @opened_property
    def journal(self) -> OnlineStore:
        """Where event logs, row ids and records of progress are kept: a store with transactions.

        The online store itself where it has transactions, so that a push is one of them; else an
        embedded one beside it.
        """
        journal, mirror = self.home.journal, self.mirror
        return journal if mirror is None else CapturingStore(journal, mirror.note, mirror.settle)

    @cached_property
    def commits(self) -> GroupCommit:
        """What joins the transactions of threads that push at the same time."""
        return GroupCommit(self.journal.transaction)

    @property
    def one_store(self) -> bool:
        """Whether states and logs are in one store, so that one transaction changes both."""
        return self.journal is self.online

    @cached_property
    def may_forget(self) -> bool:
        """Whether states can be lost while their log is not, see `online.loss_detection`."""
        return may_forget(self.home)

    @cached_property
    def ownership(self) -> Ownership:
        """Who may write the states of the online store."""
        return Ownership(self.home, self.config.folder, self.folder, self._last_row)

    def _last_row(self, journal: Transaction, table: str) -> int | None:
        """Return the last row of the log behind a table of states; None if that is no more."""
        found = self.tables().of_now(table)
        if found is None:
            return None
        return self.log(found.layout.source).last_sequence(journal)

    def missing(
        self,
        parts: Sequence[TableRead],
        keys: Sequence[Sequence[bytes | None]],
        states: Sequence[Sequence[State | None]],
    ) -> set[tuple[int, int]]:
        """Return the part and number of each entity of a read that was seen and has no state.

        An entity that is not among them was never seen. Costs a look into the journal.

        Args:
            parts: of the read.
            keys: of the entities, for each part; None of one without; none where it was not read.
            states: what the store gave for them.

        Raises:
            StoreUnavailable: the store has lost states of a table, or the repo has moved.
        """
        found = set()
        for number, (part, asked, got) in enumerate(zip(parts, keys, states, strict=True)):
            if None in got:
                at = [
                    (place, key)
                    for place, (key, state) in enumerate(zip(asked, got, strict=True))
                    if state is None and key is not None
                ]
                seen = self._seen(part.table, [key for _, key in at])
                found |= {(number, place) for place, key in at if key in seen}
        return found

    def _seen(self, table: str, keys: Sequence[bytes]) -> set[bytes]:
        if not keys:
            return set()
        seen = seen_among(self.home.journal, table, keys)
        if seen or time.monotonic() - self._looked_at.get(table, float("-inf")) > FRESH_SECONDS:
            self.check_states([table])
        if self.ownership.by_log:
            return seen_among(self.home.states, table, keys)
        return seen if self._knows else set(keys)  # another journal knows whom it has seen

    def note_vanished(self, keys: Mapping[str, Sequence[bytes]]) -> None:
        """Have states rebuilt, by whatever writes next, that entities which were seen lack.

        Args:
            keys: of the entities, by table; of those that were never seen nothing is noted.
        """
        if self._knows:
            self.to_rebuild.note(keys, missing=True)

    def set_back(self, keys: Mapping[str, Sequence[bytes]], *, wait: bool) -> bool:
        """Have states rebuilt that a clock that was ahead wrote; say whether they are.

        They are marked, to be built by whatever writes next, and at once where that may be waited
        for.
        """
        at_once = wait and self.repair is not None
        self.to_rebuild.note(keys, missing=False, at_once=at_once)
        if not wait or self.repair is None:
            return False
        self.repair(list(keys))
        return True

    def check_states(self, tables: Iterable[str]) -> None:
        """Refuse to read tables of states that are not what the journal has led to.

        Those that only lack the newest rows are brought up to date, or `building` (`online.lag`).

        Raises:
            StoreUnavailable: the store has lost them, its file is gone or another one, or the repo
                has moved to another store.
        """
        names = list(tables)
        self._follow()
        self._knows = self.ownership.knows()
        if self._knows and not self.one_store:
            ends = self._ends({*names, *self.lag.behind})
            found = standings(self.home, dict.fromkeys([*names, *ends]))
            for what in losses({name: found[name] for name in names}).values():
                raise lost(self.home.states.where, what)
            self.lag.see_to(self.lag.stuck({name: found[name] for name in ends}, ends), self.repair)
        if self.ownership.by_log:
            self.lag.forget(kept := tables_of_logs(self.home.states))
            self.lag.note(set(names) - kept)
        self._looked_at.update(dict.fromkeys(names, time.monotonic()))

    def stamped(self, source: Source) -> int:
        """Return the greatest known time that a clock has given to rows of a source."""
        if self.ownership.by_log:
            return ALWAYS if source.known_time is not None else NEVER
        return self.log(source).state().stamped

    def _follow(self) -> None:
        """Open what was put in the place of the online store's files; know nothing of it then."""
        if self.home.follow():
            self.forget_plans()
            self._changes = -1  # whatever is counted there: tables and pins are others

    def _ends(self, tables: Iterable[str]) -> dict[str, int]:
        """Return the last row of the log of each of some tables of states, of those known."""
        known = self._tables  # no read waits for others
        found = () if known is None else filter(None, map(known.of_now, tables))
        return {t.layout.table: self.log(t.layout.source).last_sequence() for t in found}

    def losses(self) -> list[str]:
        """Return what the online store has lost of the tables that answer, a line each.

        Raises:
            StoreUnavailable: the store cannot be reached, or the repo has moved to another one.
        """
        where = self.home.states.where
        try:
            self.check_states(())
        except StoreUnavailable as problem:
            if problem.what != LOST:
                raise
            return [f"{problem.got} ({where})"]
        serving = self.tables().serving().values()
        names = {by.layout.table for by in serving if by.complete} if self._knows else ()
        found = losses(standings(self.home, names))
        return [f"{what} ({where})" for what in found.values()]

    def now(self, tolerance: int = NEVER) -> int:
        """Return the present by the clock of whoever owns the transactions of the journal.

        That is this host, or the database where several share one: a host whose clock is off by
        more than ``tolerance`` (microseconds) is not believed, and counted in ``clock_off``.
        """
        own = self.clock.now()
        shared = self.journal.now() if isinstance(self.clock, SystemClock) else None
        if shared is None:
            return own
        if abs(shared - own) > tolerance:
            self.clock_off += 1
            if self.clock_off == 1:
                logger.warning(
                    "the clock of this host is %+d s off that of %s, which holds",
                    (own - shared) // SECOND,
                    self.journal.where,
                )
        return shared

    @contextmanager
    def writing(self) -> Iterator[tuple[Transaction, SeenRows]]:
        """Keep other writers of logs and states out, of all processes.

        Gives a transaction of the journal, and where states are written meanwhile: the same, or
        the online store where that has no transactions.

        Raises:
            Conflict: another journal writes the states of the online store.
        """
        with self._own_transaction() as transaction:
            if self.one_store:
                count_write(transaction)
                yield transaction, SeenRows(transaction, transaction)
                return
            checked = self.online.capabilities.compare_and_set
            states: KeyValues = CompareAndSetRows(self.online) if checked else self.online
            if isinstance(transaction, CapturingTransaction):
                states = CapturingRows(states, transaction)
            most = self.online.capabilities.max_value_bytes
            if most is not None:
                states = FittingRows(states, transaction, most)
            seen = SeenRows(states, transaction)
            yield transaction, seen
            for table in seen.rewritten:
                note_rewritten(self.home, transaction, table)

    @contextmanager
    def _own_transaction(self) -> Iterator[Transaction]:
        """Give a transaction of the journal, once a copy that lacks what it writes is outdated."""
        while True:
            self.ownership.check(seconds=FRESH_SECONDS)
            with self.journal.transaction() as transaction:
                if not self._outdates(copied_to(transaction)):
                    yield transaction
                    return
            self.outdate_copy()

    @cached_property
    def folder(self) -> Path:
        """Where the offline store keeps the project's files."""
        return folder_of_project(Path(self.config.offline.options["folder"]), self.config.project)

    def state(self, *, fresh: bool = False) -> RegistryState:
        """Return the registry's state, at most a second old unless it must be ``fresh``."""
        now, known = self.clock.now(), self._state
        if known is not None and not fresh and abs(now - self._checked) < _CHECK_EVERY:
            return known
        with self._lock:
            if self._state is not None and not fresh and abs(now - self._checked) < _CHECK_EVERY:
                return self._state
            self._checked = now
            moved = False
            if self._tables is not None:
                self._follow()
                moved = changes_of(self.journal) != self._changes
            # Pins move with the tables, without a revision of their own.
            revision = None if self._state is None or moved else self._state.revision
            newer = self.registry.state(if_newer_than=revision)
            if newer is not None:
                self._state = newer
            if newer is not None or moved:
                self.forget_plans()
            if self._state is None:
                raise UnknownName("the registry is empty")
            return self._state

    @property
    def is_empty(self) -> bool:
        """Whether the registry had nothing when it was last looked at; it may have been lost."""
        return self._state is not None and not self._state.revision

    @cached_property
    def to_rebuild(self) -> ToRebuild:
        """Entities that reads found to need new states."""
        return ToRebuild(lambda: self.journal)

    @cached_property
    def table_indexes(self) -> TableIndexes:
        """The indexes of the row ids that sources' tables hold."""
        from skewless.online.table_index import TableIndexes

        return TableIndexes(self.journal, self.folder, self.history)

    def forget_plans(self) -> None:
        """Compile lookups again: the registry or the tables of states have changed."""
        with self._lock:
            self.changes += 1
            self.__dict__.pop("table_indexes", None)
            self._generations.clear()
            self._logs.clear()
            self._tables = None

    def tables(self) -> StateTables:
        """Return the tables of states."""
        with self._lock:
            self.state()
            if self._tables is None:
                # In this order: whoever changes the registry counts the change afterwards.
                changes = changes_of(self.journal)
                if changes != self._changes:
                    self._state = None  # pins move with the tables
                state, behind = self.state(fresh=True), self.lag.behind
                self._tables = StateTables.load(self.journal, state, behind)
                self._changes = changes
            return self._tables

    def knows_tables(self, transaction: KeyValues) -> bool:
        """Return whether `tables` are those of now, inside a transaction of the journal.

        Where they are not, registry and tables are looked at again.
        """
        changes, copied = changes_and_copy(transaction)
        if changes == self._changes and not self._outdates(copied):
            return True
        self.forget_plans()
        return False

    def outdate_copy(self) -> None:
        """Have a copy of the store that does not get what is about to be written not be taken."""
        if self._outdates(copied_to(self.journal)):
            self.ownership.outdate_copy()

    def _outdates(self, copied: str) -> bool:
        """Return whether a write leaves behind the store that all was copied to."""
        return bool(copied) and (
            self.mirror is None or self.mirror.name != copied.removeprefix(LACKS)
        )

    @cached_property
    def reader(self) -> OnlineReader:
        """What features are read with."""
        return OnlineReader(self)

    def wanted(self, *definitions: Any) -> Definitions:
        """Return definitions that are given, else those of the repo's files; schemas are read."""
        token = table_settings.set(self.config.tables)
        try:
            if not definitions:
                files = self.config.definitions or None
                found = self.read_last = load_folder(self.config.folder, files)
            else:
                found = Definitions.of(*definitions)
            for source in found.sources.values():
                _ = source.schema
        finally:
            table_settings.reset(token)
        self.remember_frames(found.sources)
        return found

    def has_files(self) -> bool:
        """Return whether there are files of definitions in the repo."""
        return bool(files_of(self.config.folder.absolute(), tuple(self.config.definitions or ())))

    def remember_frames(self, sources: Mapping[str, Source]) -> None:
        """Keep frames in memory that sources were defined with; the registry cannot."""
        for source in sources.values():
            if source.table is not None and source.table.kind == "frame":
                self._frames[source.name] = source.table

    def source(self, name: str) -> Source:
        """Return a source by name."""
        sources = self.state().sources
        if name not in sources:
            raise UnknownName.of("source", name, sources, where=self.state().place)
        return sources[name]

    def log(self, source: Source) -> EventLog:
        """Return the event log of a source."""
        source = as_defined(source)
        found = self._logs.get(source.name)
        if found is None or found.source is not source:
            from skewless.stores.offline.log.log import EventLog

            place, number = (self.folder, self._lake(source)), self.log_generation(source.stored)
            found = EventLog(source, self.journal, *place, generation=number)
            self._logs[source.name] = found
        return found

    def log_generation(self, source: str) -> int:
        """Return which log of this name a source has, see `online.log_generations`."""
        found = self._generations.get(source)
        if found is None:
            found = self._generations[source] = generation_of(self.journal, source)
        return found

    def _lake(self, source: Source) -> LakeTable | None:
        """Return the table that the settled rows of a source go to, None for files of its own."""
        from skewless.stores.offline.log.lake import lake_table, table_name

        options = self.config.offline.get("log")
        if options is None:
            return None
        number = self.log_generation(source.stored)
        name = table_name(self.config.project, source.stored, number)
        return lake_table(options, source.as_stored(), self.config.folder, self.config.tables, name)

    def check_writer(self, source: Source) -> None:
        """Refuse to write rows of a source unless states and log are this repo's, as they are now.

        Whether a lake has rows that the log lacks is asked once, and again where it was away.

        Raises:
            Conflict: another writer owns the states, or the folder goes with another journal.
            StoreError: the journal was restored from before its rows were settled.
        """
        self.ownership.check()
        log = self.log(source)
        if log.folder not in self._known_to_lake:
            with suppress(StoreUnavailable):
                log.refuse_unknown()
                self._known_to_lake.add(log.folder)

    def table(self, source: Source, state: Pinned | None = None) -> TableReader | None:
        """Return the reader of a source's table, None where it has none.

        Args:
            source: whose table.
            state: which state of it; None: the one that the source names, else the newest.
        """
        table = self._frames.get(source.name, source.table)
        if state is not None:
            table = pinned_table(source, table, state)
        if table is None:
            return None
        reader: TableReader = table_reader(table, self.config.folder, self.config.tables)
        return reader

    def history(
        self, source: Source, state: Pinned | None = None, *, kept: bool = False
    ) -> History:
        """Return the history of a source: its table (in some ``state``) and its event log.

        A derived source is brought up to date first, unless what is ``kept`` is asked for.
        """
        from skewless.stores.offline.history import History

        if source.derivation is not None and self.derive is not None and not kept:
            self.derive(source)
        return History(source, self.table(source, state), self.log(source))

    def close(self) -> None:
        """Close what is open."""
        while self.at_close:
            self.at_close.pop()()
        self.engines.close()
        self.lag.close()
        mirror, home = (self.__dict__.pop(name, None) for name in ("mirror", "home"))
        for name in ("online", "journal", "ownership", "commits"):
            self.__dict__.pop(name, None)
        if mirror is not None:
            mirror.close()
        if home is not None:
            for store in {id(each): each for each in (home.states, home.journal)}.values():
                if whole(store) is not self._given:
                    store.close()
        registry = self.__dict__.pop("registry", None)
        if registry is not None:
            registry.close()
