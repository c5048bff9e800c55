"""Reading the online store for requests: within a deadline, never more at once than it can take.

An embedded store is read where the request is (microseconds, no thread); large reads in pieces,
between which other requests get their turn. A store across the network is read by threads. What a
read is stands in `online.reader`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from skewless.errors import InputError, SkewlessError, StoreUnavailable
from skewless.online.reader import PIECE_VALUES, OnlineReader, Outdated
from skewless.online.runtime import Runtime
from skewless.plan.lookup import Found, Lookup
from skewless.request_errors import Overloaded
from skewless.serving.operate.logs import event
from skewless.serving.operate.metrics import Metrics
from skewless.serving.read.plans import ReadPlan, Row
from skewless.serving.settings import Settings
from skewless.serving.threads import Threads

_RAISED_BY_FUNCTIONS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Reader:
    """Reads for requests.

    Args:
        runtime: the open repo.
        settings: limits and deadlines.
        metrics: where reads are counted.

    Attributes:
        online: what reads. It is refreshed in the background; no request waits for the registry.
        down: why the store cannot be read at the moment, or None.
        asked: what was read since somebody looked; they empty it.
    """

    def __init__(self, runtime: Runtime, settings: Settings, metrics: Metrics) -> None:
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
        self.threads = Threads(settings.threads, settings.max_waiting, "online store")
        self.down: StoreUnavailable | None = None
        self.asked: set[Lookup] = set()

    async def read(self, plan: ReadPlan, entities: Sequence[Row], t: int) -> Found:
        """Return the features of entities at ``t``.

        Raises:
            StoreUnavailable: the store does not answer, or not in time.
            InputError: a key of another type, or a moment too far back.
        """
        if self.down is not None:
            raise self.down
        lookup = plan.lookup
        if self.across_network:
            return await self._by_thread(plan, entities, t)
        try:
            return await self._in_turns(plan, lookup, entities, t)
        except Outdated:
            await self.threads.run(self.settings.timeout, self.online.refresh)
            return await self._in_turns(plan, self.online.newer(lookup), entities, t)

    def at_once(self, plan: ReadPlan, entities: Sequence[Row], t: int) -> Found | None:
        """Return the features of few entities without waiting; None: it has to be waited for.

        Raises:
            StoreUnavailable: the store does not answer.
            InputError: a key of another type, or a moment too far back.
        """
        if self.across_network or len(entities) * len(plan.names) > PIECE_VALUES:
            return None
        if self.down is not None:
            raise self.down
        try:
            return self.read_now(plan, plan.lookup, entities, t)
        except Outdated:
            return None

    async def _in_turns(
        self, plan: ReadPlan, lookup: Lookup, entities: Sequence[Row], t: int
    ) -> Found:
        """Return what `read_now` does, in pieces where it is much."""
        if len(entities) * len(plan.names) <= 2 * PIECE_VALUES:
            return self.read_now(plan, lookup, entities, t)
        self.asked.add(lookup)
        found: Found = ([], [], [])
        values, statuses, events = found
        try:
            for piece in self.online.pieces(lookup, entities, t, self.settings.timeout):
                values.extend(piece[0])
                statuses.extend(piece[1])
                events.extend(piece[2])
                await asyncio.sleep(0)
        except SkewlessError:
            raise
        except _RAISED_BY_FUNCTIONS as problem:
            raise _told(plan, problem) from problem
        return found

    async def _by_thread(self, plan: ReadPlan, entities: Sequence[Row], t: int) -> Found:
        try:
            return await self.threads.run(
                self.settings.timeout, self.read_now, plan, plan.lookup, entities, t
            )
        except Overloaded:
            raise
        except StoreUnavailable as problem:
            self.note(problem)
            raise

    def read_now(self, plan: ReadPlan, lookup: Lookup, entities: Sequence[Row], t: int) -> Found:
        """Return the features of entities at ``t``, waiting for the store."""
        self.asked.add(lookup)
        try:
            return self.online.read(lookup, entities, t)
        except SkewlessError:
            raise
        except _RAISED_BY_FUNCTIONS as problem:
            raise _told(plan, problem) from problem

    def probe(self) -> bool:
        """Ask the store whether it answers and has what it should; note and return it."""
        try:
            if self.runtime.may_forget and self.online.ready:
                serving = self.online.snapshot.serving.values()
                self.runtime.check_states({by.layout.table for by in serving if by.complete})
            else:
                self.store.read_one("skewless.probe", b"")
                self.runtime.check_states(())
        except StoreUnavailable as problem:
            self.note(problem)
        else:
            self.note(None)
        return self.down is None

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
