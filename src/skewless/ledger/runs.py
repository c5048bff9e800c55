"""Runs of jobs: what was started, by whom, and what became of it.

    @recorded("compact", "name", result=lambda rows: {"rows": rows})
    def compact(runtime, name): ...

    for run in runs(ledger):
        print(run.job, run.status)

A run is two records: one at its start, so that a job that was killed is seen, one at its end. What
a job calls belongs to it: a materialization within a backfill is no run of its own.
"""

from __future__ import annotations

import functools
import inspect
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from skewless.access.actors import caller
from skewless.clock import iso
from skewless.errors import SkewlessError
from skewless.ledger.ledger import Ledger

KIND = "run"
RUNNING, DONE, FAILED, INTERRUPTED, KILLED = "running", "done", "failed", "interrupted", "killed"
P = ParamSpec("P")
T = TypeVar("T")
_inside: ContextVar[str] = ContextVar("run", default="")


@dataclass(frozen=True)
class Run:
    """One run of a job.

    Attributes:
        id: of the run.
        job: ``materialize``, ``backfill``, ``compact``, ``apply``, ``verify`` and so on.
        status: ``running``, ``done``, ``failed``, ``interrupted`` (Ctrl-C) or ``killed``: its
            process is gone and has not said how it ended.
        started: UTC microseconds.
        ended: UTC microseconds; None while it runs, or when it was killed.
        about: what it was asked to do.
        result: what it did.
        error: as plain data, where it failed.
        who: user and host.
        process: its number on that host.
    """

    id: str
    job: str
    status: str
    started: int
    ended: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    who: str = ""
    process: int = 0

    @property
    def seconds(self) -> float | None:
        """How long it took; None where its end is not known."""
        return None if self.ended is None else (self.ended - self.started) / 1e6

    def to_dict(self) -> dict[str, Any]:
        """Return the run as plain data, times in ISO 8601."""
        ended = None if self.ended is None else iso(self.ended)
        return vars(self) | {"started": iso(self.started), "ended": ended, "seconds": self.seconds}


@contextmanager
def run(ledger: Ledger, job: str, about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Record a run, and what is put into the dict that is yielded as its result."""
    result: dict[str, Any] = {}
    if _inside.get():
        yield result
        return
    name = secrets.token_hex(6)
    process = os.getpid()
    start = {"run": name, "job": job, "about": dict(about), "who": caller(), "process": process}
    ledger.record(KIND, start | {"host": socket.gethostname(), "born": _born(process)})
    token = _inside.set(name)
    began = time.monotonic()
    end: dict[str, Any] = {"run": name, "job": job, "about": dict(about), "status": DONE}
    try:
        yield result
    except BaseException as problem:
        end["status"] = INTERRUPTED if isinstance(problem, KeyboardInterrupt) else FAILED
        end["error"] = {"error": type(problem).__name__}
        if isinstance(problem, SkewlessError):
            end["error"] = problem.to_dict()
        raise
    finally:
        _inside.reset(token)
        seconds = round(time.monotonic() - began, 3)
        ledger.record(KIND, end | {"result": result, "seconds": seconds})


def recorded(
    job: str, *names: str, result: Callable[[Any], Mapping[str, Any]] = lambda _: {}
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make every call of a verb a run.

    Args:
        job: what it is called.
        names: the arguments that say what it was asked to do, or attributes of these
            (``plan.summary``).
        result: what is recorded of what it returns.
    """

    def decorate(verb: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(verb)

        @functools.wraps(verb)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            given = signature.bind(*args, **kwargs).arguments
            asked = {name.partition(".")[0]: _argument(given, name) for name in names}
            about = {name: value for name, value in asked.items() if value not in (None, "")}
            runtime: Any = args[0]
            with run(runtime.ledger, job, about) as outcome:
                found = verb(*args, **kwargs)
                outcome.update(result(found))
            return found

        return call

    return decorate


def _argument(given: Mapping[str, Any], name: str) -> Any:
    name, _, attribute = name.partition(".")
    return getattr(given.get(name), attribute) if attribute else given.get(name)


def runs(ledger: Ledger, *, job: str | None = None, since: int | None = None) -> list[Run]:
    """Return the runs, newest first.

    Args:
        ledger: of the repo.
        job: of this job alone; None: of all.
        since: those that began at this moment or later, UTC microseconds.
    """
    found: dict[str, Run] = {}
    for record in ledger.records(kinds=[KIND], since=since):
        data = record.data
        if "who" in data:
            alive = _is_alive(data["host"], data["process"], data["born"])
            found[data["run"]] = Run(
                data["run"], data["job"], RUNNING if alive else KILLED, record.at,
                about=data["about"], who=data["who"], process=data["process"],
            )  # fmt: skip
        elif (known := found.get(data["run"])) is not None:
            found[data["run"]] = Run(
                known.id, known.job, data["status"], known.started, record.at, known.about,
                data["result"], data.get("error"), known.who, known.process,
            )  # fmt: skip
    return [each for each in reversed(found.values()) if job is None or each.job == job]


def _born(process: int) -> str:
    """Return when a process was started, as the kernel counts; empty where that is not told."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_alive(host: str, process: int, born: str) -> bool:
    """Return whether a process still runs; that of another host is taken to."""
    if host != socket.gethostname():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not born or _born(process) in ("", born)
