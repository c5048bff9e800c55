"""Reading the online store for requests: within a deadline, never more at once than it can take.

An embedded store is read where the request is (microseconds, no thread); large reads in pieces,
between which other requests get their turn. A store across the network is read by threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from skewless.errors import InputError, SkewlessError, StoreUnavailable
from skewless.serving.operate.logs import event
from skewless.serving.operate.metrics import Metrics
from skewless.serving.problems import Overloaded
from skewless.serving.read.plans import Plans, ReadPlan, Row
from skewless.serving.settings import Settings
from skewless.serving.threads import Threads
from skewless.state.status import Status

Found = tuple[list[list[Any]], list[list[Status]], list[list[int | None]]]
"""Values, statuses and newest event times: a list per entity, in the order of the features."""

PIECE_VALUES = 4_000
_RAISED_BY_FUNCTIONS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Reader:
    """Reads for requests.

    Args:
        plans: of the repo.
        settings: limits and deadlines.
        metrics: where reads are counted.

    Attributes:
        down: why the store cannot be read at the moment, or None.
    """

    def __init__(self, plans: Plans, settings: Settings, metrics: Metrics) -> None:
        self.plans = plans
        self.settings = settings
        self.metrics = metrics
        self.store = plans.runtime.online
        self.across_network = "://" in self.store.where
        self.threads = Threads(settings.threads, settings.max_waiting, "online store")
        self.down: StoreUnavailable | None = None

    async def read(self, plan: ReadPlan, entities: Sequence[Row], t: int) -> Found:
        """Return the features of entities at ``t``.

        Raises:
            StoreUnavailable: the store does not answer, or not in time.
            InputError: a key of another type, or a moment too far back.
        """
        if self.down is not None:
            raise self.down
        if self.across_network:
            return await self._by_thread(plan, entities, t)
        piece = max(1, PIECE_VALUES // len(plan.names))
        if len(entities) <= 2 * piece:
            return self.read_now(plan, entities, t)
        found: Found = ([], [], [])
        deadline = time.monotonic() + self.settings.timeout
        for start in range(0, len(entities), piece):
            values, statuses, events = self.read_now(plan, entities[start : start + piece], t)
            found[0].extend(values)
            found[1].extend(statuses)
            found[2].extend(events)
            await asyncio.sleep(0)
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    "the read took too long",
                    expected=f"{self.settings.timeout:g} seconds at most",
                    hint="Ask for fewer entities at once, or raise --timeout.",
                )
        return found

    async def _by_thread(self, plan: ReadPlan, entities: Sequence[Row], t: int) -> Found:
        try:
            return await self.threads.run(self.settings.timeout, self.read_now, plan, entities, t)
        except Overloaded:
            raise
        except StoreUnavailable as problem:
            self.note(problem)
            raise

    def read_now(self, plan: ReadPlan, entities: Sequence[Row], t: int) -> Found:
        """Return the features of entities at ``t``, waiting for the store."""
        lookup = plan.lookup
        try:
            keys = [part.keys(entities) for part in lookup.parts]
            began = time.perf_counter()
            states = [
                part.read(self.store.read, some)
                for part, some in zip(lookup.parts, keys, strict=True)
            ]
            self.metrics.store_read.observe((), time.perf_counter() - began)
            for part, some in zip(lookup.parts, states, strict=True):
                if None in some and not self.plans.has_table(part.table):
                    return self._read_anew(plan, entities, t)
            runtime = self.plans.runtime
            vanished = runtime.missing(lookup.parts, keys, states) if runtime.may_forget else ()
            return lookup.assemble(states, entities, t, t, vanished)
        except SkewlessError:
            raise
        except OverflowError as problem:
            raise InputError("a number beyond its type", got=str(problem)) from None
        except _RAISED_BY_FUNCTIONS as problem:
            if not plan.fragile:
                raise
            raise InputError(
                "an on-demand function failed", got=f"{type(problem).__name__}: {problem}"
            ) from problem

    def _read_anew(self, plan: ReadPlan, entities: Sequence[Row], t: int) -> Found:
        """Read with newest plans: the table was dropped after another one took its place."""
        self.plans.refresh()
        if self.plans.current is None:
            raise StoreUnavailable("the registry was not read yet")
        outputs = plan.lookup.selection.outputs
        full_names = any(output.name != output.feature for output in outputs)
        references = tuple(output.reference for output in outputs)
        newer = self.plans.current.plan(references, lambda: references, full_names)
        parts = newer.lookup.parts
        states = [part.read(self.store.read, part.keys(entities)) for part in parts]
        return newer.lookup.assemble(states, entities, t, t)

    def probe(self) -> bool:
        """Ask the store for a row that need not be there; note and return whether it answers."""
        try:
            self.store.read_one("skewless.probe", b"")
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
