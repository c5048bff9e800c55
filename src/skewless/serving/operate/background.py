"""What a server does beside answering: it looks for changes, probes the store, counts, writes logs.

Everything that waits is done in one thread of its own, so that a registry or store that hangs holds
nothing up.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from skewless.alerts.signs import Signs
from skewless.errors import SkewlessError, StoreError, StoreUnavailable
from skewless.online.oversize import counts_of_set_aside
from skewless.online.reader import OnlineReader
from skewless.plan.lookup import Lookup
from skewless.quality.check import FailingChecks
from skewless.serving.operate.freshness_probe import ViewAges
from skewless.serving.operate.issuer import OidcSettings
from skewless.serving.operate.keys import Keyring, keyring_of, note_uses
from skewless.serving.operate.logs import event
from skewless.serving.operate.metrics import Metrics
from skewless.serving.operate.tokens import Tokens
from skewless.serving.read.reader import Reader
from skewless.serving.read.served_log import ServedLog
from skewless.serving.settings import Settings
from skewless.serving.threads import Threads
from skewless.store import FeatureStore
from skewless.version import __version__

EVERY = 1.0
WHILE_DOWN = 0.2
REPAIR_EVERY = 2.0
NOTED_EVERY = 3_600.0
"""Seconds between two notes that a view is read."""
FRESHNESS_EVERY = 15.0
FORGOTTEN = "the registry knows of no keys, and there were some: lost, or restored from before?"
EMPTY = "the registry is empty: nothing was applied to it, or it was lost or replaced"
_THREADS = ("upkeep", "probe", "freshness", "repair", "issuer")
_TICK = 0.05
_OF_AUDIT = "the audit"


class Upkeep:
    """The background of one worker.

    Args:
        store: what is served.
        settings: of the server.
        metrics: of the worker.
        reader: whose plans and store are looked after.
        log: the served log, or None.
        folder: what the processes of one server share; None: there is but one.
        first: whether this worker does what only one has to do.

    Attributes:
        keyring: the keys that count; None: they were not read yet.
        tokens: takes tokens of an issuer; None: there is none, or nobody is asked.
        lag: how far behind the event loop is, seconds.
        beat: called by the event loop as long as it runs.
        also: what else is looked at once a second.
        concerns: what about the online store should be seen to.
    """

    def __init__(
        self,
        store: FeatureStore,
        settings: Settings,
        metrics: Metrics,
        reader: Reader,
        log: ServedLog | None,
        *,
        folder: Path | None = None,
        first: bool = True,
    ) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._reader = reader
        self._log = log
        self._first = first
        self._shut = None if folder is None else folder / "keys"
        self.keyring: Keyring | None = None
        self.tokens: Tokens | None = None
        if (oidc := store.config.oidc) is not None and not settings.anonymous:
            where = f"[oidc] of {store.config.file or store.config.folder}"
            self.tokens = Tokens(OidcSettings.of(oidc, where), store.runtime.clock.now)
        self.lag = 0.0
        self.beat: Callable[[], None] = lambda: None
        self.also: Callable[[], None] = lambda: None
        self.concerns: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._threads = [Threads(1, 1, name) for name in _THREADS]
        self._failing = False
        self._not_healed = ""
        self._noted: dict[str, float] = {}
        self._uses: dict[str, int] = {}
        self._counted: Counter[str] = Counter()
        self._counted_at = float("-inf")
        self._ages = ViewAges(store)
        self._checks = FailingChecks(store.runtime.ledger)
        self._signs = Signs(store.runtime.ledger)

    def first_time(self) -> None:
        """Do everything once, before the first request; raise what goes wrong."""
        import platform

        self._load_keys()
        self.ask_issuer()
        self._reader.online.refresh()
        self._reader.access().warm()
        self._store.runtime.online.warm()
        self._reader.probe()
        self._look_for_concerns()
        self._note_revision()
        project = self._store.config.project
        self._metrics.info.set((__version__, platform.python_version(), project), 1)
        gc.collect()
        gc.freeze()  # what lives as long as the server is not looked at again

    def go(self) -> None:
        """Begin to work in the background of the running event loop."""
        self._tasks = [
            asyncio.create_task(self._keep_up()),
            asyncio.create_task(self._probe()),
            asyncio.create_task(self._measure_lag()),
        ]
        if self.tokens is not None:
            self._tasks.append(asyncio.create_task(self._watch_issuer()))
        if self._first:
            self._tasks.append(asyncio.create_task(self._watch_freshness()))
            self._tasks.append(asyncio.create_task(self._repair()))

    async def stop(self) -> None:
        """Stop working; what was counted and logged is written down."""
        self._ages.stop()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.write()
        self._count_reads(dict(self._reader.counted), last=True)
        for threads in self._threads:
            threads.close()

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            await self._done(0, self.work)

    async def _watch_freshness(self) -> None:
        while True:
            await self._done(2, self.look_at_freshness)
            await asyncio.sleep(FRESHNESS_EVERY)

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(EVERY if self._reader.down is None else WHILE_DOWN)
            await self._done(1, self.probe)

    async def _watch_issuer(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            await self._done(4, self.ask_issuer)

    async def _repair(self) -> None:
        while True:
            await asyncio.sleep(REPAIR_EVERY)
            await self._done(3, self.heal)

    async def _done(self, thread: int, work: Callable[[], None]) -> None:
        """Do something in a thread; what fails in an unknown way is logged, and done again.

        A loop that ended would leave keys that were revoked valid, and a store that is away ready.
        """
        try:
            await self._threads[thread].run(None, work)
        except Exception:  # noqa: BLE001 - whatever it is, the next time it may go well
            self._metrics.refresh_failures.add()
            event("failed", path=f"background: {work.__name__}", trace=traceback.format_exc())

    def probe(self) -> None:
        """Ask the store whether it answers; one that is damaged does not."""
        try:
            self._reader.probe()
        except StoreError as problem:
            parts = {name: getattr(problem, name) for name in ("got", "where", "hint")}
            self._reader.note(StoreUnavailable(problem.what, **parts))

    def look_at_freshness(self) -> None:
        """Note what is fresh; where that cannot be told, log it."""
        try:
            self.note_freshness()
        except (SkewlessError, OSError) as problem:
            if not self._ages.stopped:
                event("freshness unknown", reason=str(problem))

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(_TICK)
            self.lag = max(0.0, loop.time() - before - _TICK)
            self.beat()
            self._metrics.lag.set((), round(self.lag, 4))

    def work(self) -> None:
        """Look for changes, and write metrics and logs down."""
        try:
            self._load_keys()
            if self._reader.online.refresh():
                self._reader.access().warm()
                self._note_revision()
                event("registry", revision=self._revision())
            self._failing = False
        except (SkewlessError, OSError) as problem:
            self._metrics.refresh_failures.add()
            if not self._failing:
                event("registry unreachable", reason=str(problem))
            self._failing = True
        with contextlib.suppress(SkewlessError, OSError):  # a journal that is read only, or away
            self._store.runtime.to_rebuild.mark()
        with contextlib.suppress(SkewlessError, OSError):  # a registry that is read only
            self.note_reads()
            if self.keyring is not None:
                note_uses(self._store.runtime.registry, self.keyring, self._uses)
        self._watch_audit()
        self.also()
        self.write()

    def _watch_audit(self) -> None:
        """Let `concerns` say how many accesses are not on record, as long as they are not told."""
        self.concerns = [each for each in self.concerns if not each.startswith(_OF_AUDIT)]
        if dropped := self._store.audit.dropped:
            self.concerns.append(f"{_OF_AUDIT}: {dropped:,} accesses could not be written")

    def ask_issuer(self) -> None:
        """Look at the keys of the issuer of tokens, if it is time to; log what has changed."""
        if self.tokens is None:
            return
        issuer = self.tokens.issuer
        before = issuer.problem
        if issuer.refresh() and issuer.problem != before:
            event("issuer", up=not issuer.problem, reason=issuer.problem or None)

    def note_reads(self) -> None:
        """Note in the registry which views were read, each once an hour."""
        asked, self._reader.asked = self._reader.asked, set()
        counted, self._reader.counted = self._reader.counted, {}
        self._count_reads(dict(counted))
        if not asked:
            return
        from skewless.online.in_use import note_reads

        now = time.monotonic()  # whatever the clock does
        views = {view.view.name for lookup in asked for view in lookup.selection.views}
        views |= {view.view.name for lookup in asked for view in lookup.selection.on_demand}
        never = float("-inf")
        new = {view for view in views if now - self._noted.get(view, never) > NOTED_EVERY}
        self._noted |= dict.fromkeys(new, now)
        note_reads(self._store.runtime.registry, sorted(new), self._store.runtime.clock.now())

    def _count_reads(self, counted: dict[Lookup, int], *, last: bool = False) -> None:
        """Put into the ledger, once an hour, of how many entities each feature was read."""
        for lookup, entities in counted.items():
            for output in lookup.selection.outputs:
                self._counted[output.reference] += entities
        runtime, now = self._store.runtime, time.monotonic()
        if self._counted and (last or now - self._counted_at >= NOTED_EVERY):
            if not runtime.config.read_only:
                runtime.ledger.record("reads", {"features": dict(self._counted)})
            self._counted.clear()
            self._counted_at = now

    def heal(self) -> None:
        """Build the states that the online store has lost."""
        from skewless.materialize.recovery import heal

        try:
            healed = heal(self._store.runtime)
            if healed:
                event("healed", tables=healed)
        except SkewlessError as problem:
            if str(problem) != self._not_healed:
                event("states cannot be built", reason=str(problem))
            self._not_healed = str(problem)
        else:
            self._not_healed = ""

    def _look_for_concerns(self) -> None:
        found = self._store.runtime.home.states.concerns()
        for what, hint in found:
            event("concern", what=what, hint=hint)
        self.concerns = [f"the online store: {what}" for what, _ in found]

    def write(self) -> None:
        """Write metrics and the served log down; a full disk is logged and counted."""
        try:
            if self._log is not None:
                self._log.write()
            self._metrics.write()
        except OSError as problem:
            event("cannot write", reason=str(problem))

    def check_registry(self, asked: OnlineReader | None = None) -> None:
        """Raise `StoreUnavailable` if the registry holds nothing that could be served.

        Args:
            asked: what has not found something; it may not have seen yet that there is more.
        """
        lost = asked is not None and asked.ready and not asked.snapshot.state.revision
        if lost or self._store.runtime.is_empty:
            raise StoreUnavailable(
                EMPTY, hint="Apply the definitions, or restore the registry from a backup."
            )

    def _load_keys(self) -> None:
        if self._settings.anonymous:
            self.keyring = Keyring()
            return
        before = self.keyring
        if before is None and self._was_shut():
            before = Keyring(required=True)
        self.keyring = keyring_of(self._store.runtime, before)
        if self.keyring.forgotten and not (before and before.forgotten):
            event("keys forgotten", reason=FORGOTTEN)
        if self._shut is not None and self.keyring.required and not self._shut.exists():
            with contextlib.suppress(OSError):  # a full disk: the registry and its journal say so
                self._shut.touch()

    def _was_shut(self) -> bool:
        """Whether keys are needed, whatever can be read of them now.

        A server that other machines reach was not started without, and a worker that is started
        again goes on as the one before it.
        """
        return not self._settings.loopback or (self._shut is not None and self._shut.exists())

    def _revision(self) -> int:
        online = self._reader.online
        return online.snapshot.state.revision if online.ready else 0

    def _note_revision(self) -> None:
        self._metrics.revision.set((), self._revision())
        online = self._reader.online
        building = online.snapshot.serving.building if online.ready else ()
        self._metrics.building.values = {(label,): 1.0 for label in building}

    def note_freshness(self) -> None:
        """Note the newest event of each view and whether its owner's promise is kept."""
        runtime = self._store.runtime
        metrics, now = self._metrics, runtime.clock.now()
        aside = counts_of_set_aside(runtime.home, runtime.tables().wanted())
        metrics.oversize.values = {(table,): float(count) for table, count in aside.items()}
        metrics.clock_off.set((), float(self._store.runtime.clock_off))
        metrics.failing.values = dict.fromkeys(self._checks.now(), 1.0)
        metrics.unrecorded.set((), float(self._store.runtime.ledger.dropped))
        found = self._ages.now()
        metrics.drifting.values, skewed = self._signs.now()
        metrics.skewed.set((), float(skewed))
        for gauge in (metrics.last_event, metrics.promised, metrics.fresh, metrics.late):
            gauge.values = {}
        for age in found:
            if age.served is not None:
                metrics.last_event.set((age.view,), age.served / 1e6)
            if age.promised is not None:
                metrics.promised.set((age.view,), age.promised / 1e6)
                metrics.fresh.set((age.view,), float(age.fresh(now)))
                metrics.late.set((age.view,), float(age.late(now)))
