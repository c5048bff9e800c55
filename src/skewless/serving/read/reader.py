"""Reading the online store for requests: within a deadline, never more at once than it can take.

An embedded store is read where the request is (microseconds, no thread); large reads in slices,
between which other requests get their turn (`read.turns`). A store across the network is read by
threads. What a read is stands in `online.reader`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence

from skewless.access.keyed import KeyedHash
from skewless.audit.audit import Audit
from skewless.errors import InputError, SkewlessError, StoreUnavailable
from skewless.forks import cached_property
from skewless.lineage.access import Access
from skewless.lineage.masks import Masks
from skewless.online.reader import MOST_LOOKUPS, OnlineReader, Outdated, Snapshot
from skewless.online.runtime import Runtime
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.lookup import Found, Lookup
from skewless.plan.selection import Features
from skewless.request_errors import Forbidden, Overloaded
from skewless.serving.operate.keys import Caller
from skewless.serving.operate.logs import event
from skewless.serving.operate.metrics import Metrics
from skewless.serving.read.accesses import note_refused
from skewless.serving.read.plans import ReadPlan, Row
from skewless.serving.read.turns import LARGE, SLICE, Turn, Turns
from skewless.serving.settings import Settings
from skewless.serving.threads import Threads
from skewless.stores.online.base import TooMuch

_SECONDS_PER_BYTE = 2e-8
"""Of CPU, for a body that is decoded."""
_FIRST = 16
"""Entities of the first slice of a plan whose pace is not known."""
_NETWORK_SLICE, _NETWORK_PLACES = 0.02, 4
_MOST_ASKERS = 1_000
"""Of whom it is kept that they may read something."""
MOST_BYTES = 1 << 20
"""Of the states of one table that a read unpacks where others wait for it."""
_RAISED_BY_FUNCTIONS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Reader:
    """Reads for requests.

    Args:
        runtime: the open repo.
        settings: limits and deadlines.
        metrics: where reads are counted.
        audit: where those that grants refuse are put on record.

    Attributes:
        online: what reads. It is refreshed in the background; no request waits for the registry.
        turns: of large reads.
        down: why the store cannot be read at the moment, or None.
        asked: what was read since somebody looked; they empty it.
        counted: of how many entities it was answered since then.
    """

    def __init__(
        self, runtime: Runtime, settings: Settings, metrics: Metrics, audit: Audit
    ) -> None:
        self._audit = audit
        self.runtime = runtime
        self.settings = settings
        self.metrics = metrics
        self.store = runtime.online
        self.across_network = "://" in self.store.where
        self.online = OnlineReader(
            runtime,
            observe=lambda seconds: metrics.store_read.observe((), seconds),
            waits=self.across_network,
        )
        runtime.to_rebuild.later = True  # requests wait for no writer
        self.threads = Threads(settings.threads, settings.max_waiting, "online store")
        self._slice = _NETWORK_SLICE if self.across_network else SLICE
        self.turns = Turns(
            settings.timeout,
            settings.max_waiting,
            places=min(_NETWORK_PLACES, settings.threads) if self.across_network else 1,
            clock=time.monotonic if self.across_network else time.thread_time,
            refused=lambda: metrics.shed.add(("large",)),
        )
        self.down: StoreUnavailable | None = None
        self._asked_at: float | None = None
        self._access = Access(RegistryState())
        self.asked: set[Lookup] = set()
        self.counted: dict[Lookup, int] = {}

    def plan_of(
        self,
        caller: Caller,
        key: Hashable,
        features: Callable[[RegistryState], Features],
        *,
        full_names: bool,
        where: str,
    ) -> ReadPlan:
        """Return the compiled read for some features, if the caller may read all of them.

        There is no other way to one. Grants are looked at once for each caller and read.

        Args:
            caller: who asks.
            key: what the features came in as: the same key is the same plan.
            features: returns them, when the plan is not there yet.
            full_names: whether features are called ``View__feature``.
            where: of the request, for errors.

        Raises:
            Forbidden: a grant forbids one, or there are grants and none allows it.
        """
        snapshot = self.online.snapshot
        plans = snapshot.derived
        found: ReadPlan | None = plans.get((key, full_names))
        if found is None:
            found = ReadPlan(snapshot.lookup(features(snapshot.state), full_names))
            if len(plans) >= MOST_LOOKUPS:
                plans.clear()
            plans[key, full_names] = found
        if not snapshot.state.grants:
            return found
        permitted = found.permitted.get(asker := caller.asker)
        if permitted is None:
            permitted = self._permitted(found, caller, self.access(snapshot), where)
            if len(found.permitted) >= _MOST_ASKERS:
                found.permitted.clear()
            found.permitted[asker] = permitted
        return permitted

    def _permitted(self, plan: ReadPlan, caller: Caller, access: Access, where: str) -> ReadPlan:
        """Return a plan as somebody may read it: the same, or one with masks."""
        outputs = plan.lookup.selection.outputs
        try:
            masks = access.require(caller.asker, (each.reference for each in outputs), where)
        except Forbidden as problem:
            if self._audit.is_on:
                note_refused(self._audit, caller, plan.lookup.selection, problem)
            raise
        if not any(masks):
            return plan
        found = plan.masked.get(masks)
        if found is None:
            shown = Masks(masks, [output.dtype for output in outputs], self._keyed)
            found = plan.masked[masks] = ReadPlan(plan.lookup, shown)
        return found

    @cached_property
    def _keyed(self) -> KeyedHash:
        return KeyedHash.read(self.runtime.config)

    def access(self, snapshot: Snapshot | None = None) -> Access:
        """Return the grants of a snapshot, the newest unless one is named."""
        state = (self.online.snapshot if snapshot is None else snapshot).state
        access = self._access
        if access.state is not state:
            self._access = access = Access(state)
        return access

    def is_small(self, plan: ReadPlan, entities: int) -> bool:
        """Return whether a read takes so little that nobody minds waiting for it.

        What a list or a map holds only its read tells: until one was seen, few entities are small.
        """
        return (plan.paced or entities <= _FIRST) and entities * plan.pace <= LARGE

    def admitted(self, body: int) -> Turn:
        """Return the turns of a large read whose body has so many bytes; `Overloaded` if too much.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        if self.down is not None:
            raise self.down
        return self.turns.admitted(body * _SECONDS_PER_BYTE)

    async def read(self, plan: ReadPlan, entities: Sequence[Row], t: int) -> Found:
        """Return the features of few entities at ``t``.

        Raises:
            TooMuch: their states are large.
            StoreUnavailable: the store does not answer, or not in time.
            InputError: a key of another type, or a moment too far back.
        """
        if self.down is not None:
            raise self.down
        timeout = self.settings.timeout
        if self.across_network:
            return await self._by_thread(timeout, plan, plan.lookup, entities, t, MOST_BYTES)
        try:
            return self._timed(plan, plan.lookup, entities, t)
        except Outdated:
            await self.threads.run(timeout, self.online.refresh)
            return self._timed(plan, self.online.newer(plan.lookup), entities, t)

    async def slices(
        self, turn: Turn, plan: ReadPlan, entities: Sequence[Row | None], t: int
    ) -> AsyncIterator[tuple[slice, list[Row], Found]]:
        """Yield the features of many entities at ``t`` in slices, each within a turn of its own.

        What is done with a slice belongs to its turn. Of places without an entity nothing is
        found.

        Args:
            turn: of this read; at the end it has its turn.
            plan: the compiled read.
            entities: in order; None where one has no key.
            t: the moment, UTC microseconds.

        Yields:
            Which places, their entities, and what was found.

        Raises:
            Overloaded: it cannot be done in time.
            StoreUnavailable: the store does not answer, or the read took too long.
            InputError: a key of another type, or a moment too far back.
        """
        lookup, start, count = plan.lookup, 0, len(entities)
        turn.expect(count * plan.pace)
        while start < count:
            size = max(1, int(self._slice / plan.pace))
            part = slice(start, start + (size if plan.paced else min(size, _FIRST)))
            await turn.begin(f"{start} of {count} entities")
            some = [entity for entity in entities[part] if entity is not None]
            try:
                found = await self._found(turn, plan, lookup, some, t)
            except Outdated:
                await self.threads.run(turn.remaining, self.online.refresh)
                lookup = self.online.newer(lookup)
                found = await self._found(turn, plan, lookup, some, t)
            yield part, some, found
            plan.note_pace(turn.end(), min(count, part.stop) - start)
            start = part.stop
            turn.left = (count - start) * plan.pace
        await turn.begin()

    async def _found(
        self, turn: Turn, plan: ReadPlan, lookup: Lookup, entities: Sequence[Row], t: int
    ) -> Found:
        if not entities:
            return [], [], []
        if not self.across_network and plan.pace <= LARGE:  # a slice of several entities
            with contextlib.suppress(TooMuch):
                return self.read_now(plan, lookup, entities, t, MOST_BYTES)
        return await self._by_thread(turn.remaining, plan, lookup, entities, t)

    def at_once(self, plan: ReadPlan, entities: Sequence[Row], t: int) -> Found | None:
        """Return the features of few entities without waiting; None: it has to be waited for.

        Raises:
            StoreUnavailable: the store does not answer.
            InputError: a key of another type, or a moment too far back.
        """
        if self.across_network or not self.is_small(plan, len(entities)):
            return None
        if self.down is not None:
            raise self.down
        try:
            return self._timed(plan, plan.lookup, entities, t)
        except (Outdated, TooMuch):
            return None

    def _timed(self, plan: ReadPlan, lookup: Lookup, entities: Sequence[Row], t: int) -> Found:
        """Read few entities here and now, and note what that takes."""
        began = time.thread_time()
        found = self.read_now(plan, lookup, entities, t, MOST_BYTES)
        taken, count = time.thread_time() - began, len(entities)
        # Of few entities it is the overhead that is measured: only what is far off is noted.
        if taken > SLICE / 2 or 4 * taken < plan.pace * count:
            plan.note_pace(taken, count)
        return found

    async def _by_thread(  # noqa: PLR0917 - those of `read_now`
        self,
        seconds: float,
        plan: ReadPlan,
        lookup: Lookup,
        entities: Sequence[Row],
        t: int,
        most: int | None = None,
    ) -> Found:
        try:
            return await self.threads.run(seconds, self.read_now, plan, lookup, entities, t, most)
        except Overloaded:
            raise
        except StoreUnavailable as problem:
            if self.across_network:
                self.note(problem)
            raise

    def read_now(
        self,
        plan: ReadPlan,
        lookup: Lookup,
        entities: Sequence[Row],
        t: int,
        most: int | None = None,
    ) -> Found:
        """Return the features of entities at ``t``, waiting for the store; see `OnlineReader`."""
        self.asked.add(lookup)
        try:
            found = self.online.read(lookup, entities, t, most)
            return found if plan.masks is None else plan.masks(found)
        except SkewlessError:
            raise
        except _RAISED_BY_FUNCTIONS as problem:
            raise _told(plan, problem) from problem

    def probe(self) -> bool:
        """Ask the store whether it answers and has what it should; note and return it."""
        self._asked_at = time.monotonic()
        try:
            if self.runtime.may_forget and self.online.ready:
                serving = self.online.snapshot.serving.values()
                self.runtime.check_states({by.layout.table for by in serving if by.complete})
            else:
                self.runtime.check_states(())  # first: it opens a copy that was put back
                self.store.read_one("skewless.probe", b"")
        except StoreUnavailable as problem:
            self.note(problem)
        else:
            self.note(None)
        finally:
            self._asked_at = None
        return self.down is None

    @property
    def silent(self) -> float:
        """How many seconds the store has been silent since it was asked whether it answers."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else time.monotonic() - asked_at

    def note(self, problem: StoreUnavailable | None) -> None:
        """Note that the store does not answer, and why, or that it does; log a change."""
        if (problem is None) != (self.down is None):
            event("store", up=problem is None, reason=None if problem is None else str(problem))
        self.down = problem
        self.metrics.store_up.set((), float(problem is None))

    def close(self) -> None:
        """Let the threads go."""
        self.threads.close()


def _told(plan: ReadPlan, problem: Exception) -> Exception:
    """Return the error for what a function of users raised; else what was raised."""
    if isinstance(problem, OverflowError):
        return InputError("a number beyond its type", got=str(problem))
    if not plan.fragile:
        return problem
    return InputError("an on-demand function failed", got=f"{type(problem).__name__}: {problem}")
