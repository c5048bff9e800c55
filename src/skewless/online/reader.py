"""The one way features are read online: plan, read, check, assemble.

    reader = OnlineReader(runtime)
    lookup = reader.lookup("fraud_model", full_names=False)     # compiled once
    values, statuses, events = reader.read(lookup, entities, t)

`FeatureStore`, the HTTP server, Feast's contract, `explain` and `verify` read with it.

1. **Plan.** A list of features becomes a `Lookup`, kept until the registry or the tables of states
   change. `lookup` looks for changes once a second; a server calls `refresh` in the background and
   takes `snapshot`, so that no request waits for the registry.
2. **Read.** Entities become keys, and each table is asked for all of them in one call.
3. **Check.** A state that is missing is no proof that the entity was never seen: its table may have
   been dropped since the lookup was compiled, or the store may have lost it. Asked on misses only.
4. **Assemble.** States become values (`Lookup.assemble`). Pure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from skewless.clock import Now
from skewless.definitions import Source
from skewless.errors import DefinitionError, InputError, SkewlessError, StoreUnavailable
from skewless.online.clocks import ClocksAhead
from skewless.online.tables import TABLES, Serving, StateTables
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.arguments import check_features
from skewless.plan.lookup import Found, Lookup
from skewless.plan.selection import Features, references, select
from skewless.plan.table_read import OnlineReads, State, TableRead
from skewless.stores.online.base import OnlineStore

MOST_LOOKUPS = 2_000
"""Compiled lookups that are kept: some callers never ask for the same list twice."""
CHECK_SECONDS = 1.0
"""How long it is not asked again whether the store still has what it should."""
Entities = Sequence[Mapping[str, Any]]
States = list[Sequence[State | None]]


class Repo(Protocol):
    """What the reader needs of an open repo; see `Runtime`."""

    @property
    def online(self) -> OnlineStore:
        """The online store."""

    @property
    def journal(self) -> OnlineStore:
        """Where the records of tables are."""

    @property
    def changes(self) -> int:
        """How often registry or tables were seen to have changed."""

    @property
    def may_forget(self) -> bool:
        """Whether states can be lost while their log is not."""

    def check_states(self, tables: Iterable[str]) -> None:
        """Refuse to read tables of states that are not what the journal has led to."""

    def state(self, *, fresh: bool = False) -> RegistryState:
        """Return the registry's state, at most a second old unless it must be ``fresh``."""

    def tables(self) -> StateTables:
        """Return the tables of states."""

    def stamped(self, source: Source) -> int:
        """Return the greatest known time that a clock has given to rows of a source."""

    def set_back(self, keys: Mapping[str, Sequence[bytes]], *, wait: bool) -> bool:
        """Have states rebuilt that a clock that was ahead wrote; say whether they are.

        Args:
            keys: of the entities, by table.
            wait: whether to wait for it.
        """

    def missing(
        self,
        parts: Sequence[TableRead],
        keys: Sequence[Sequence[bytes | None]],
        states: Sequence[Sequence[State | None]],
    ) -> set[tuple[int, int]]:
        """Return the part and number of each entity of a read that was seen and has no state."""

    def note_vanished(self, keys: Mapping[str, Sequence[bytes]]) -> None:
        """Have states rebuilt that are missing of entities that were seen, by table."""


class Snapshot:
    """The registry and the tables of states at one moment, with the lookups compiled so far.

    Attributes:
        state: of the registry.
        serving: what answers for each view version, see `StateTables.serving`.
        changes: of the repo, when it was taken.
        checked: lookups whose tables were found to have lost nothing, and when.
        derived: what callers make of lookups, by keys of their own: it lasts as long as they do.
    """

    def __init__(
        self,
        state: RegistryState,
        serving: Serving,
        changes: int = 0,
    ) -> None:
        self.state = state
        self.serving = serving
        self.changes = changes
        self.checked: dict[Lookup, float] = {}
        self.derived: dict[Any, Any] = {}
        self._lookups: dict[tuple[Any, bool], Lookup] = {}

    def lookup(self, features: Features, full_names: bool) -> Lookup:
        """Return the compiled read of some features.

        Raises:
            UnknownName: a view, feature or service that does not exist.
            InputError: nothing is asked for, what is no feature, one feature twice, or two columns
                of one name.
        """
        found = self._known(features, full_names)
        if found is None:
            check_features(features)
            listed = tuple(references(self.state, features))
            found = self._lookups.get((listed, full_names))
            if found is None:
                current = self.serving.current
                selection = select(self.state, listed, full_names=full_names, current=current)
                found = Lookup(selection, self.serving)
            if len(self._lookups) >= MOST_LOOKUPS:
                self._lookups.clear()
            self._lookups[listed, full_names] = found
            if type(features) is str:
                self._lookups[features, full_names] = found
            elif type(features) is list and set(map(type, features)) == {str}:
                self._lookups[tuple(features), full_names] = found
        return found

    def _known(self, features: Features, full_names: bool) -> Lookup | None:
        """Return the read of a name or a list of references that was asked for before."""
        if type(features) is list:
            try:
                return self._lookups.get((tuple(features), full_names))
            except (TypeError, DefinitionError):
                return None  # something in it has no hash, or is a reference that is no text
        return self._lookups.get((features, full_names)) if type(features) is str else None

    def compile_services(self) -> None:
        """Compile the lookups of all feature services, before somebody waits for them."""
        for name in self.state.pins:
            try:
                self.lookup(name, False)
            except SkewlessError:
                continue  # a service of a view that was retired: whoever asks for it is told


class _FewBytes:
    """Reads of a store that refuse to give more than so many bytes at once."""

    def __init__(self, store: OnlineStore, most: int) -> None:
        self._store = store
        self._most = most

    def read(self, table: str, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return self._store.read_few(table, keys, self._most)

    def read_each(
        self, table: str, keys: Sequence[bytes], each: Callable[[int, bytes], State]
    ) -> Sequence[State | None]:
        values = self.read(table, keys)
        return [None if value is None else each(at, value) for at, value in enumerate(values)]


class Outdated(StoreUnavailable):
    """A read was compiled for a table that was dropped since."""


class OnlineReader:
    """Reads features out of the online store.

    Args:
        repo: the open repo.
        observe: called with the seconds that each read of the store took.
        waits: whether a read may wait for the registry, where its table was dropped; if not, it
            raises `Outdated`: `refresh` elsewhere, and read with the `newer` lookup.
    """

    def __init__(
        self,
        repo: Repo,
        observe: Callable[[float], None] | None = None,
        *,
        waits: bool = True,
    ) -> None:
        self._repo = repo
        self._observe = observe
        self._waits = waits
        self._snapshot: Snapshot | None = None

    # ------------------------------------------------------------------------------------- plan

    @property
    def snapshot(self) -> Snapshot:
        """What was known when `refresh` or `current` looked last; asks nobody.

        Raises:
            StoreUnavailable: neither has looked yet.
        """
        if self._snapshot is None:
            raise StoreUnavailable("the registry was not read yet")
        return self._snapshot

    @property
    def ready(self) -> bool:
        """Whether there is a snapshot."""
        return self._snapshot is not None

    def current(self) -> Snapshot:
        """Return what the registry and the tables are, at most a second old."""
        self._repo.state()
        found = self._snapshot
        if found is None or found.changes != self._repo.changes:
            found = self._snapshot = self._taken()
        return found

    def refresh(self) -> bool:
        """Look for changes and take a new snapshot if there are any; say whether.

        Raises:
            StoreError, RegistryError: they cannot be read; the snapshot stays.
        """
        self._repo.state(fresh=True)
        before = self._snapshot
        if before is not None and before.changes == self._repo.changes:
            return False
        found = self._taken()
        found.compile_services()
        self._snapshot = found
        return True

    def _taken(self) -> Snapshot:
        changes = self._repo.changes  # first: what changes after this is seen the next time
        return Snapshot(self._repo.state(), self._repo.tables().serving(), changes)

    def lookup(self, features: Features, full_names: bool) -> Lookup:
        """Return the compiled read of some features; see `Snapshot.lookup`.

        Raises:
            StoreUnavailable: the store has lost the states that it is to be read from.
        """
        snapshot = self.current()
        found = snapshot.lookup(features, full_names)
        now = time.monotonic()
        if now - snapshot.checked.get(found, float("-inf")) > CHECK_SECONDS:
            self._repo.check_states(part.table for part in found.parts if part.complete)
            if snapshot.changes != self._repo.changes:  # some are building, or no more
                snapshot = self.current()
                found = snapshot.lookup(features, full_names)
            if len(snapshot.checked) >= MOST_LOOKUPS:
                snapshot.checked.clear()
            snapshot.checked[found] = now
        return found

    def newer(self, lookup: Lookup) -> Lookup:
        """Return the read of the same features out of the tables of the newest snapshot."""
        outputs = lookup.selection.outputs
        full_names = any(output.name != output.feature for output in outputs)
        return self.snapshot.lookup([output.reference for output in outputs], full_names)

    # ------------------------------------------------------------------------------------- read

    def read(self, lookup: Lookup, entities: Entities, t: int, most: int | None = None) -> Found:
        """Return values, statuses and newest event times: a list per entity, in output order.

        Args:
            lookup: the compiled read.
            entities: join keys and request fields.
            t: the moment, UTC microseconds; `Now` counts all that the store knows.
            most: bytes that states of one table may have together; None: any number.

        Raises:
            TooMuch: they have more. Nothing was unpacked.
            MissingColumn, InputError: join keys or request fields are missing or wrong, or the
                moment is further back than the store remembers.
            StoreUnavailable: the store does not answer, or has lost its rows.
        """
        lookup, states, vanished = self._states(lookup, entities, t, most)
        found = lookup.newest(states, t, t)
        if found is not None:
            return found
        if not isinstance(t, Now):
            return lookup.assemble(states, entities, t, t, vanished)
        now, ahead = int(t), ClocksAhead(self._repo.stamped)
        found = lookup.assemble(states, entities, now, now, vanished, ahead=ahead)
        if ahead.states and self._set_back(ahead, entities):
            lookup, states, vanished = self._states(lookup, entities)
            found = lookup.assemble(states, entities, now, now, vanished, ahead=ahead)
        return found

    def _set_back(self, ahead: ClocksAhead, entities: Entities) -> bool:
        """Have states rebuilt that answer for later moments only; return whether they are."""
        keys: dict[str, list[bytes]] = {}
        for part, number in ahead.states:
            keys.setdefault(part.table, []).extend(part.keys([entities[number]]))  # type: ignore[arg-type]
        return self._repo.set_back(keys, wait=self._waits)

    def read_at(
        self, lookup: Lookup, entities: Entities, moments: Sequence[int]
    ) -> list[Found | InputError]:
        """Return what `read` does at several moments, out of one read of the store.

        Where the moment is further back than the store remembers, its place has the error.
        """
        lookup, states, vanished = self._states(lookup, entities)
        found: list[Found | InputError] = []
        for t in moments:
            try:
                found.append(lookup.assemble(states, entities, t, t, vanished))
            except InputError as problem:
                found.append(problem)
        return found

    def _states(
        self, lookup: Lookup, entities: Entities, t: int | None = None, most: int | None = None
    ) -> tuple[Lookup, States, Iterable[tuple[int, int]]]:
        """Return the states of entities for each part, and whose state has vanished.

        And the lookup they belong to: a newer one where a table was dropped meanwhile. Where only
        one moment ``t`` is asked about, there may be answers in place of states.
        """
        states = self._fetched(lookup, entities, t, most)
        for some in states:
            if None in some:
                return self._checked(lookup, entities, states, t)
        return lookup, states, ()

    def _fetched(
        self, lookup: Lookup, entities: Entities, t: int | None = None, most: int | None = None
    ) -> States:
        store: OnlineReads = self._repo.online
        if most is not None:
            store = _FewBytes(self._repo.online, most)
        observe = self._observe
        keys = [part.keys(entities) for part in lookup.parts]
        began = 0.0 if observe is None else time.perf_counter()
        states = [
            part.read(store.read, some) if t is None else part.read_at(store, some, t, t)
            for part, some in zip(lookup.parts, keys, strict=True)
        ]
        if observe is not None:
            observe(time.perf_counter() - began)
        return states

    # ------------------------------------------------------------------------------------ check

    def _checked(
        self, lookup: Lookup, entities: Entities, states: States, t: int | None
    ) -> tuple[Lookup, States, Iterable[tuple[int, int]]]:
        """Find out why states are missing.

        A state may come while the others are read, with a first row or because it is rebuilt: what
        is missing although it was seen is read again, and what is missing still is to be rebuilt.

        Raises:
            Outdated: a table was dropped, and the read may not wait.
            StoreUnavailable: the store has lost its rows.
        """
        if self._dropped(lookup, states):
            if not self._waits:
                raise Outdated("the tables of states have changed", hint="Try again.")
            self.refresh()
            lookup = self.newer(lookup)
            states, t = self._fetched(lookup, entities), None
        keys = [part.keys(entities) for part in lookup.parts]
        missing = self._repo.missing(lookup.parts, keys, states)
        if not missing:
            return lookup, states, missing
        again, seen = self._fetched(lookup, entities, t), [list(some) for some in states]
        vanished: dict[str, list[bytes]] = {}
        for part, number in missing:
            seen[part][number] = again[part][number]
            key = keys[part][number]
            if again[part][number] is None and key is not None:
                vanished.setdefault(lookup.parts[part].table, []).append(key)
        self._repo.note_vanished(vanished)
        return lookup, list(seen), {(p, n) for p, n in missing if seen[p][n] is None}

    def _dropped(self, lookup: Lookup, states: States) -> bool:
        """Return whether a table that had no state is in use no more."""
        record = self._repo.journal.read_one
        return any(
            None in some and record(TABLES, part.table.encode()) is None
            for part, some in zip(lookup.parts, states, strict=True)
        )
