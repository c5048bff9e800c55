"""One pass over everything periodic: what is due is done, each part whether another fails or not.

    report = tend(runtime)
    print(report)

| part | due | what |
|---|---|---|
| materialize | every hour | all views are brought up to date; what has not changed costs little |
| backfill | every day | rows that came too late for their source (`lateness`) count from now on |
| compact | every day | event logs are settled into files |
| check | every hour | the checks of sources and views are carried out |
| profile | every day | the profiles of all features go into the ledger |
| drift | every day | the newest profiles are compared with their references |
| freshness | at every pass | how fresh each view is goes into the ledger, for its attainment |
| alerts | at every pass | who has to know is told what is wrong, and what no longer is |
| checkpoint | at every pass | how far the ledger goes is signed, where a second place is named |

``[tend]`` in ``skewless.toml`` says otherwise: ``materialize = "15m"``, ``backfill = "off"``.

When a part was last done stands in the registry, so passes may come as often as they like, from
cron, a container or a DAG. One pass at a time: a lease in the journal keeps a second one, on any
machine, from beginning; it ends with its holder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skewless.alerts.alerts import Runner
from skewless.audit.audit import Audit
from skewless.clock import iso
from skewless.config import Config
from skewless.drift.drift import drift, profile, served_folder
from skewless.durations import format_duration, parse_duration
from skewless.errors import ConfigError, Conflict, DefinitionError, SkewlessError
from skewless.ledger.runs import recorded
from skewless.materialize.late_rows import late_ones
from skewless.materialize.verbs import backfill, compact, materialize
from skewless.monitoring.freshness import freshness, note_freshness
from skewless.online.lease import Holder, Lease
from skewless.online.runtime import Runtime
from skewless.quality.check import check

LEASE = "skewless:tend"
"""The name of the lease: no source can have it."""
_DONE = "tend/"
_OFF = -1
CHECKPOINT = "checkpoint"
EVERY: Mapping[str, int] = {
    "materialize": parse_duration("1h"),
    "backfill": parse_duration("1d"),
    "compact": parse_duration("1d"),
    "check": parse_duration("1h"),
    "profile": parse_duration("1d"),
    "drift": parse_duration("1d"),
    "freshness": 0,
    "alerts": 0,
    CHECKPOINT: 0,
}
"""Part to how often it is due, microseconds."""


@dataclass(frozen=True)
class Part:
    """What became of one part of a pass.

    Attributes:
        name: of the part.
        status: ``done``, ``failed``, ``not due`` or ``off``.
        said: what it did, why it failed, or when it is due.
        ok: False where it failed, or found what needs somebody.
    """

    name: str
    status: str
    said: str
    ok: bool = True


@dataclass(frozen=True)
class TendReport:
    """What became of a pass.

    Attributes:
        at: when it began, UTC microseconds.
        parts: of it, in order.
    """

    at: int
    parts: tuple[Part, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether every part was done and found nothing that needs somebody."""
        return all(part.ok for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {"at": iso(self.at), "ok": self.ok, "parts": [vars(part) for part in self.parts]}

    def __str__(self) -> str:
        return "\n".join(f"{part.name}: {part.status}, {part.said}" for part in self.parts)


def _result(report: TendReport) -> dict[str, Any]:
    return {part.name: part.status for part in report.parts} | {"ok": report.ok}


@recorded("tend", result=_result)
def tend(runtime: Runtime, *, everything: bool = False) -> TendReport:
    """Do what is due; see `FeatureStore.tend`.

    Raises:
        Conflict: another pass is at work.
    """
    every = schedule(runtime.config)
    lease = Lease(runtime.journal, LEASE, dict)
    if not lease.take():
        raise Conflict("another pass is at work", hint="It ends by itself, or with its process.")
    try:
        now = runtime.clock.now()
        names = [name for name in _PARTS if name != CHECKPOINT or runtime.ledger.is_signed]
        done = []
        for name in names:
            # One that was taken for dead leaves the rest to the pass that has begun since.
            if lease.lost.is_set():
                done.append(Part(name, "failed", "another pass took over", ok=False))
            else:
                done.append(_part(runtime, name, now, None if everything else every[name]))
        return TendReport(now, tuple(done))
    finally:
        lease.release()


def schedule(config: Config) -> dict[str, int]:
    """Return how often each part is due, microseconds; -1: never by itself.

    Raises:
        ConfigError: ``[tend]`` has something that is neither a duration nor ``"off"``.
    """
    found = dict(EVERY)
    for name, given in config.tend.items():
        try:
            found[name] = _OFF if given == "off" else parse_duration(given, what=name)
        except DefinitionError as problem:
            where = f"{name!r} in [tend] of {config.file or config.folder}"
            expected = "a duration such as '15m', or 'off'"
            raise ConfigError(
                "not how often", got=problem.got, expected=expected, where=where
            ) from None
    return found


@dataclass(frozen=True)
class Due:
    """When a part of a pass is due.

    Attributes:
        name: of the part.
        every: how often, microseconds; None: never by itself.
        last: when it was last done, UTC microseconds; None: never.
    """

    name: str
    every: int | None
    last: int | None

    @property
    def next(self) -> int | None:
        """When it is due, UTC microseconds; None: never by itself, or it was never done."""
        return None if self.every is None or self.last is None else self.last + self.every


def due_parts(runtime: Runtime) -> list[Due]:
    """Return when each part is due, in the order in which a pass does them."""
    every, found = schedule(runtime.config), []
    for name in _PARTS:
        if name != CHECKPOINT or runtime.ledger.is_signed:
            often = None if every[name] == _OFF else every[name]
            found.append(Due(name, often, runtime.registry.get_progress(_DONE + name)))
    return found


def at_work(runtime: Runtime) -> Holder | None:
    """Return who does a pass now; None: nobody."""
    return next((each for each in Holder.read(runtime.journal, LEASE) if each.alive), None)


def _part(runtime: Runtime, name: str, now: int, every: int | None) -> Part:
    """Do a part that is due every so often; None: now."""
    if every == _OFF:
        return Part(name, "off", "by [tend]")
    last = runtime.registry.get_progress(_DONE + name)
    # What was done in the future was done by a clock that was ahead: it is due.
    if every is not None and last is not None and 0 <= now - last < every:
        return Part(name, "not due", f"next in {format_duration(last + every - now)}")
    try:
        said, ok = _PARTS[name](runtime)
    except SkewlessError as problem:  # the other parts are done all the same
        return Part(name, "failed", str(problem), ok=False)
    runtime.registry.set_progress(_DONE + name, now)
    return Part(name, "done", said, ok)


def _materialize(runtime: Runtime) -> tuple[str, bool]:
    results = materialize(runtime, None, None, None)
    built = [result for result in results if not result.skipped]
    return f"{len(built)} of {len(results)} tables of states had changed", True


def _backfill(runtime: Runtime) -> tuple[str, bool]:
    sources = runtime.state(fresh=True).sources.values()
    bounded = [source for source in sources if source.lateness is not None]
    late = {source.name: times for source in bounded if (times := late_ones(runtime, source))}
    for name, times in late.items():
        views = runtime.state().views.items()
        over = [f"{view}@v{number}" for (view, number), each in views if each.source.name == name]
        if over:
            backfill(runtime, over, min(times), max(times) + 1)
    return f"{sum(map(len, late.values())):,} rows that came too late let in", True


def _compact(runtime: Runtime) -> tuple[str, bool]:
    return f"{sum(compact(runtime, None).values()):,} rows settled", True


def _check(runtime: Runtime) -> tuple[str, bool]:
    report = check(runtime)
    said = f"{len(report.results) - len(report.failed)} of {len(report.results)} checks hold"
    return "; ".join([said, *map(str, report.failed)]), report.ok


def _profile(runtime: Runtime) -> tuple[str, bool]:
    found = profile(runtime)
    folder = served_folder(runtime)
    served = profile(runtime, served=folder) if folder is not None else []
    return f"{len(found):,} profiles online, {len(served):,} served", True


def _drift(runtime: Runtime) -> tuple[str, bool]:
    report = drift(runtime)
    said = f"{len(report.alerts):,} of {len(report.findings):,} tests say drift"
    return "; ".join([said, *map(report.alert_text, report.alerts[:3])]), report.ok


def _freshness(runtime: Runtime) -> tuple[str, bool]:
    report = freshness(runtime)
    note_freshness(runtime.ledger, report)
    broken = [each for each in report.views if each.promised is not None and each.status != "ok"]
    names = ", ".join(f"{each.view}@v{each.version} is {each.status}" for each in broken)
    return names or "every promise is kept", report.ok


def _alerts(runtime: Runtime) -> tuple[str, bool]:
    report = Runner(runtime).run()
    return str(report), True


def _checkpoint(runtime: Runtime) -> tuple[str, bool]:
    made = runtime.ledger.checkpoint()
    said = f"{len(made.heads)} chains of the ledger signed"
    audit = Audit.of(runtime.config, runtime.ledger, lambda: runtime.registry, runtime.clock)
    if audit.is_on:
        said += f", {len(audit.ledger.checkpoint().heads)} of the audit"
    return said, True


_PARTS: Mapping[str, Callable[[Runtime], tuple[str, bool]]] = {
    "materialize": _materialize,
    "backfill": _backfill,
    "compact": _compact,
    "check": _check,
    "profile": _profile,
    "drift": _drift,
    "freshness": _freshness,
    "alerts": _alerts,
    CHECKPOINT: _checkpoint,
}
