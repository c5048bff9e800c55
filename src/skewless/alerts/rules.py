"""What is wrong now, as rules see it: each problem has a key under which it is told once.

| rule | of | page | warn |
|---|---|---|---|
| freshness | a view with a promise | the promise is broken | it soon is |
| check | a source or view | a check that blocks fails | a check that warns does |
| drift | a view | a large drift in two windows | a drift |
| skew | everything | the last `verify` found a value that differs | |
| job | a job | | its last run failed or was killed |

The texts hold no join key and no value of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from skewless.clock import iso
from skewless.definitions import FeatureView
from skewless.definitions.references import split_view
from skewless.drift.drift import drifting
from skewless.formatting import ago, count_of
from skewless.ledger.ledger import Ledger
from skewless.ledger.runs import FAILED, KILLED, RUNNING, runs
from skewless.monitoring.freshness import ERROR, WARN, freshness
from skewless.online.runtime import Runtime
from skewless.plan.apply.registry_state import RegistryState
from skewless.training.checked import KIND as CHECK

PAGE = "page"
LEVELS = (WARN, PAGE)
RULES = ("freshness", "check", "drift", "skew", "job")
_DAY = 86_400_000_000
_JOB_DAYS = 7


@dataclass(frozen=True)
class Problem:
    """Something that is wrong now.

    Attributes:
        rule: that sees it.
        of: the view, source or job.
        level: ``warn`` or ``page``.
        text: what is wrong, in a sentence or two.
        owner: who answers for it.
    """

    rule: str
    of: str
    level: str
    text: str
    owner: str = ""

    @property
    def key(self) -> str:
        """What it is told under, within a project."""
        return f"{self.of}/{self.rule}"


def problems(runtime: Runtime) -> list[Problem]:
    """Return what is wrong now, one problem for each rule and view, source or job."""
    state = runtime.state(fresh=True)
    ledger = runtime.ledger
    found = [*_stale(runtime), *_failing(ledger, state), *_drifting(ledger, state)]
    return [*found, *_skew(ledger), *_failed(ledger, runtime.clock.now())]


def _stale(runtime: Runtime) -> Iterator[Problem]:
    for view in freshness(runtime).views:
        if not view.level or view.promised is None:
            continue
        label = f"{view.view}@v{view.version}"
        promised = view.promised if view.level == ERROR else view.warns or view.promised
        age = "nothing can be served yet" if view.age is None else f"{ago(view.age)} old"
        text = f"{label} is {view.shown}: {age}, promised {ago(promised)}"
        text += "" if view.since is None else f"; broken since {iso(view.since)}"
        text += f"; models: {', '.join(view.models)}" if view.models else ""
        yield Problem("freshness", label, PAGE if view.level == ERROR else WARN, text, view.owner)


def _failing(ledger: Ledger, state: RegistryState) -> Iterator[Problem]:
    newest: dict[tuple[str, str], Any] = {
        (record.data["of"], record.data["point"]): record.data["results"]
        for record in ledger.records(kinds=[CHECK])
        if record.data["point"] != "push"  # what came in is seen with all of history
    }
    failing: dict[str, list[Any]] = {}
    for (of, _), results in newest.items():
        failing.setdefault(of, []).extend(each for each in results if not each["ok"])
    for of, results in failing.items():
        if results and (of in state.sources or split_view(of)[0] in state.current):
            blocks = any(each["action"] == "block" for each in results)
            names = ", ".join(dict.fromkeys(each["check"] for each in results))
            fails = "fails" if len(results) == 1 else "fail"
            text = f"{of}: {count_of(len(results), 'check')} {fails}: {names}"
            yield Problem("check", of, PAGE if blocks else WARN, text, _owner(state, of))


def _drifting(ledger: Ledger, state: RegistryState) -> Iterator[Problem]:
    found: dict[str, list[dict[str, Any]]] = {}
    for alert in drifting(ledger):
        if split_view(alert["view"])[0] in state.current:
            found.setdefault(alert["view"], []).append(alert)
    for view, alerts in found.items():
        pages = any(alert["level"] == PAGE for alert in alerts)
        more = f" (and {len(alerts) - 1} more)" if len(alerts) > 1 else ""
        text = f"drift on {alerts[0]['day']}: {alerts[0]['text']}{more}"
        yield Problem("drift", view, PAGE if pages else WARN, text, _owner(state, view))


def _skew(ledger: Ledger) -> Iterator[Problem]:
    for run in runs(ledger, job="verify")[:1]:
        if not run.result.get("ok", True):
            text = f"verify found values that are not those of history, on {iso(run.started)[:10]}"
            yield Problem("skew", "verify", PAGE, text)


def _failed(ledger: Ledger, now: int) -> Iterator[Problem]:
    seen = set()
    for run in runs(ledger, since=now - _JOB_DAYS * _DAY):
        if run.job in seen or run.status == RUNNING:
            continue
        seen.add(run.job)
        if run.status in (FAILED, KILLED):
            error = "" if run.error is None else f": {run.error.get('error', '')}"
            how = "failed" if run.status == FAILED else "was killed"
            text = f"the last run of {run.job} ({run.id}) {how}{error}"
            yield Problem("job", run.job, WARN, text)


def _owner(state: RegistryState, of: str) -> str:
    if of in state.sources:
        return str(state.sources[of].owner or "")
    name, version = split_view(of)
    try:
        view = state.view(name, version)
    except LookupError:
        return ""
    return str(view.labels.get("owner", "")) if isinstance(view, FeatureView) else ""
