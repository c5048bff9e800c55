"""Materializations that requests start: one at a time, their progress kept in the registry.

Any worker or server of the registry can tell what has become of a job. One whose process was
killed is found out by its silence and reported as ``lost``; starting it again is harmless.

A server runs a job in a process of its own (`job_process`), which stands back behind everything
else: one that computes beside reads would make them wait for the interpreter.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skewless.access.actors import acting_for
from skewless.clock import iso
from skewless.errors import Conflict, SkewlessError, StoreUnavailable, UnknownName, from_dict
from skewless.forks import Lock
from skewless.registry.base import Registry
from skewless.serving.handover import handed
from skewless.serving.operate.metrics import Metrics
from skewless.store import FeatureStore

KEPT = 100
SILENCE = 60_000_000
_PREFIX = "serving.job/"
_EVERY = 1.0


@dataclass
class Job:
    """One materialization.

    Attributes:
        id: names it.
        kind: ``materialize`` or ``backfill``.
        views: their names; None: all.
        start: changes are looked for in rows from here on, UTC microseconds, or None.
        end: rows before here, likewise.
        status: ``running``, ``done``, ``failed`` or ``lost``.
        progress: the finished fraction, 0 to 1.
        doing: what is being done.
        started, seen, ended: UTC microseconds; ``seen`` is when it was last heard of.
        results: what became of each table.
        error: what went wrong, as plain data.
        who: asked for it, see `Caller.who`; empty: nobody by name.
    """

    id: str
    kind: str
    views: list[str] | None
    start: int | None = None
    end: int | None = None
    status: str = "running"
    progress: float = 0.0
    doing: str = ""
    started: int = 0
    seen: int = 0
    ended: int | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    who: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the job as plain data, times in ISO 8601."""
        times = ("start", "end", "started", "seen", "ended")
        data = dict(vars(self))
        return {"job": data.pop("id")} | {
            name: iso(value) if name in times and value is not None else value
            for name, value in data.items()
        }


class Jobs:
    """Starts jobs and knows them.

    Args:
        store: whose views are materialized.
        metrics: where jobs are counted.

    Attributes:
        apart: whether jobs run in processes of their own; the repo must be open to several.
    """

    def __init__(self, store: FeatureStore, metrics: Metrics) -> None:
        self.apart = False
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._store = store
        self._metrics = metrics
        self._lock = Lock()
        self._clock = store.runtime.clock
        self._threads: list[threading.Thread] = []

    @property
    def _registry(self) -> Registry:
        return self._store.runtime.registry

    def claim(
        self,
        kind: str,
        views: list[str] | None,
        start: int | None,
        end: int | None,
        who: str = "",
    ) -> Job:
        """Note a new job as running; `run` carries it out.

        Raises:
            Conflict: another one is running.
        """
        now = self._clock.now()
        job = Job(secrets.token_hex(8), kind, views, start, end, started=now, seen=now, who=who)
        with self._lock:
            known = self.all()
            for other in known:
                if other.status == "running":
                    raise Conflict(
                        "another materialization is running",
                        got=other.id, hint=f"See GET /v1/jobs/{other.id}",
                    )  # fmt: skip
            self._save(job)
            for old in known[: -(KEPT - 1)]:
                self._registry.set_progress(_PREFIX + old.id, None)
        return job

    def start(self, job: Job) -> None:
        """Run a job in a thread of its own."""
        thread = threading.Thread(
            target=self._quietly, args=(job,), name=f"job {job.id}", daemon=True
        )
        self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        thread.start()

    def _quietly(self, job: Job) -> None:
        with contextlib.suppress(SkewlessError):  # it is in the job
            self.run(job)

    def run(self, job: Job) -> Job:
        """Carry a job out, and return it when it is done.

        Raises:
            SkewlessError: it failed.
        """
        if self.apart:
            return self._run_apart(job)
        verb: Callable[..., Any] = getattr(self._store, job.kind)
        last = time.monotonic()

        def progress(text: str, fraction: float) -> None:
            nonlocal last
            job.doing, job.progress = text, round(min(max(fraction, 0.0), 1.0), 4)
            if time.monotonic() - last > _EVERY:
                last = time.monotonic()
                job.seen = self._clock.now()
                self._save(job)

        try:
            with acting_for(job.who):
                results = verb(job.views, start=job.start, end=job.end, progress=progress)
        except SkewlessError as problem:
            self._end(job, "failed", error=problem.to_dict())
            raise
        except BaseException:
            self._end(job, "failed", error={"error": "SkewlessError", "what": "an internal error"})
            raise
        job.results = [dict(vars(result)) for result in results]
        self._end(job, "done")
        return job

    def _run_apart(self, job: Job) -> Job:
        words = [sys.executable, "-m", "skewless.serving.write.job_process"]
        # It ends when its standard input does: with this process, however that ends.
        process = subprocess.Popen(
            [*words, job.id], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
        )
        self._processes.add(process)
        try:
            with process:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # it has died: its code says so
                    process.stdin.write(handed(self._store.config))
                    process.stdin.flush()
                code = process.wait()
        finally:
            self._processes.discard(process)
        job = self.get(job.id)
        if job.status == "running":
            problem = StoreUnavailable(
                "the process of the job has ended",
                got=f"code {code}", hint="Start the job again: what was done is not done again.",
            )  # fmt: skip
            self._end(job, "failed", error=problem.to_dict())
            raise problem
        self._metrics.jobs.add((job.kind, job.status))
        if job.error is not None:
            raise from_dict(job.error)
        return job

    def _end(self, job: Job, status: str, error: dict[str, Any] | None = None) -> None:
        job.status, job.error = status, error
        job.seen = job.ended = self._clock.now()
        if status == "done":
            job.progress = 1.0
        self._metrics.jobs.add((job.kind, status))
        self._save(job)

    def get(self, number: str) -> Job:
        """Return a job.

        Raises:
            UnknownName: there is none of that id, or it was long ago.
        """
        body = self._registry.get_progress(_PREFIX + number)
        if body is None:
            raise UnknownName.of("job", number, (), where="this server")
        return self._heard(Job(**body))

    def all(self) -> list[Job]:
        """Return the jobs that are known, oldest first."""
        found = [Job(**body) for body in self._registry.progress(_PREFIX).values()]
        return sorted(map(self._heard, found), key=lambda job: (job.started, job.id))

    def _heard(self, job: Job) -> Job:
        if job.status == "running" and abs(self._clock.now() - job.seen) > SILENCE:
            job.status = "lost"
        return job

    def _save(self, job: Job) -> None:
        self._registry.set_progress(_PREFIX + job.id, vars(job))

    def close(self) -> None:
        """End the processes of jobs; what they have not done is done by the next."""
        for process in list(self._processes):
            process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for jobs that are running."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
