"""What a pass does, part by part; some of them for each view or source by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from skewless.alerts.alerts import Runner
from skewless.audit.audit import Audit
from skewless.definitions import FeatureView
from skewless.drift.drift import drift, profile, served_folder
from skewless.drift.profiles import feature_views
from skewless.materialize.late_rows import late_ones
from skewless.materialize.verbs import backfill, compact, materialize
from skewless.monitoring.freshness import freshness, note_freshness
from skewless.online.runtime import Runtime
from skewless.quality.check import check

Items = Sequence[str] | None
"""Views or sources; None: all there are."""
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Task:
    """One part of a pass.

    Attributes:
        do: does it for some items; what it did, and whether nobody is needed.
        items: the views or sources that it is done for, each by itself; None: it is one thing.
    """

    do: Callable[[Runtime, Items], tuple[str, bool]]
    items: Callable[[Runtime], list[str]] | None = None


def _tables(runtime: Runtime) -> list[str]:
    return [f"{name}@v{version}" for name, version in runtime.state(fresh=True).views]


def _current(runtime: Runtime) -> list[str]:
    return [label for label, _ in feature_views(runtime.state(fresh=True), None)]


def _late_sources(runtime: Runtime) -> list[str]:
    sources = runtime.state(fresh=True).sources
    return [name for name, source in sources.items() if source.lateness is not None]


def _checked(runtime: Runtime) -> list[str]:
    state = runtime.state(fresh=True)
    sources = [name for name, source in state.sources.items() if source.checks]
    views = [(f"{name}@v{state.current[name]}", state.view(name)) for name in state.current]
    own = [label for label, view in views if isinstance(view, FeatureView) and view.checks]
    return [*sources, *own]


def _materialize(runtime: Runtime, views: Items) -> tuple[str, bool]:
    results = materialize(runtime, views, None, None)
    built = [result for result in results if not result.skipped]
    return f"{len(built)} of {len(results)} tables of states had changed", True


def _backfill(runtime: Runtime, names: Items) -> tuple[str, bool]:
    state = runtime.state(fresh=True)
    sources = [state.sources[name] for name in (_late_sources(runtime) if names is None else names)]
    late = {source.name: times for source in sources if (times := late_ones(runtime, source))}
    for name, times in late.items():
        views = runtime.state().views.items()
        over = [f"{view}@v{number}" for (view, number), each in views if each.source.name == name]
        if over:
            backfill(runtime, over, min(times), max(times) + 1)
    return f"{sum(map(len, late.values())):,} rows that came too late let in", True


def _compact(runtime: Runtime, _: Items) -> tuple[str, bool]:
    return f"{sum(compact(runtime, None).values()):,} rows settled", True


def _check(runtime: Runtime, names: Items) -> tuple[str, bool]:
    report = check(runtime, names)
    said = f"{len(report.results) - len(report.failed)} of {len(report.results)} checks hold"
    return "; ".join([said, *map(str, report.failed)]), report.ok


def _profile(runtime: Runtime, views: Items) -> tuple[str, bool]:
    found = profile(runtime, views)
    folder = served_folder(runtime)
    served = profile(runtime, views, served=folder) if folder is not None else []
    return f"{len(found):,} profiles online, {len(served):,} served", True


def _drift(runtime: Runtime, _: Items) -> tuple[str, bool]:
    report = drift(runtime)
    said = f"{len(report.alerts):,} of {len(report.findings):,} tests say drift"
    return "; ".join([said, *map(report.alert_text, report.alerts[:3])]), report.ok


def _freshness(runtime: Runtime, _: Items) -> tuple[str, bool]:
    report = freshness(runtime)
    note_freshness(runtime.ledger, report)
    broken = [each for each in report.views if each.promised is not None and each.status != "ok"]
    names = ", ".join(f"{each.view}@v{each.version} is {each.status}" for each in broken)
    return names or "every promise is kept", report.ok


def _alerts(runtime: Runtime, _: Items) -> tuple[str, bool]:
    report = Runner(runtime).run()
    return str(report), True


def _checkpoint(runtime: Runtime, _: Items) -> tuple[str, bool]:
    made = runtime.ledger.checkpoint()
    said = f"{len(made.heads)} chains of the ledger signed"
    audit = Audit.of(
        runtime.config, lambda: runtime.ledger, lambda: runtime.registry, runtime.clock
    )
    if audit.is_on:
        said += f", {len(audit.ledger.checkpoint().heads)} of the audit"
    return said, True


PARTS: Mapping[str, Task] = {
    "materialize": Task(_materialize, _tables),
    "backfill": Task(_backfill, _late_sources),
    "compact": Task(_compact),
    "check": Task(_check, _checked),
    "profile": Task(_profile, _current),
    # One run over all of them: how sure a drift is depends on how many features are looked at.
    "drift": Task(_drift),
    "freshness": Task(_freshness),
    "alerts": Task(_alerts),
    CHECKPOINT: Task(_checkpoint),
}
