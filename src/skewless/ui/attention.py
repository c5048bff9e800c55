"""What needs a person, the most urgent first: broken promises, lost states, rows set aside.

for need in needs(site):
    print(need.what, need.do)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from skewless.definitions.references import split_reference
from skewless.drift.drift import drifting
from skewless.errors import StoreUnavailable
from skewless.formatting import ago
from skewless.ingest.quarantine import size_of
from skewless.monitoring.freshness import ViewFreshness
from skewless.ui.check_days import results
from skewless.ui.render import address, count
from skewless.ui.site import Site

_RUNS = 7 * 86_400_000_000
"""How far back a run that failed is news, microseconds."""
_URGENCY = ("bad", "warn", "info")
_RULES = {"stale": "freshness", "check": "check", "drift": "drift", "failed": "job"}
"""Kind to the rule of alerts that sees the same."""


@dataclass(frozen=True)
class Need:
    """Something that a person should look at.

    Attributes:
        urgency: ``bad`` (what is served is not what was promised), ``warn`` or ``info``.
        what: it is about.
        says: in a sentence.
        do: a command or an act that helps.
        link: the page to look at.
        owner: whose it is.
        kind: what is wrong, in a word: acts are about it.
        since: when it went wrong, where that is known, UTC microseconds.
        acknowledged: who looks after it, and since when; empty: nobody.
        silenced_until: when it comes back; empty: it is not silenced.
        by: who has acknowledged or silenced it.
        note: what they said.
    """

    urgency: str
    what: str
    says: str
    do: str
    link: str
    owner: str = ""
    kind: str = ""
    since: int = 0
    acknowledged: str = ""
    silenced_until: str = ""
    by: str = ""
    note: str = ""

    @property
    def of(self) -> str:
        """The view, source or job that it is about: features of a view are told together."""
        return self.what.partition(":")[0] if self.kind == "drift" else self.what

    @property
    def rule(self) -> str:
        """The rule of alerts that sees it, or else its kind."""
        return _RULES.get(self.kind, self.kind)

    @property
    def key(self) -> str:
        """What it is acknowledged and silenced under: the key of its alert, where it has one."""
        return f"{self.of}/{self.rule}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self) | {"key": self.key}


def needs(site: Site) -> list[Need]:
    """Return what needs a person, the most urgent first."""
    kinds = {
        "lost": _losses, "failed": _failed, "stale": _stale, "check": _unmet, "drift": _drifted,
        "quarantine": _quarantined, "deprecated": _deprecated, "waits": _waiting,
        "unsaid": _unsaid,
    }  # fmt: skip
    found = [replace(need, kind=kind) for kind, look in kinds.items() for need in look(site)]
    return sorted(found, key=lambda need: _URGENCY.index(need.urgency))


def _losses(site: Site) -> Iterator[Need]:
    try:
        lost = site.runtime.losses()
    except StoreUnavailable as problem:
        yield Need("bad", "online store", str(problem), "skewless doctor", address("freshness"))
        return
    for line in lost:
        yield Need(
            "bad", "online store", f"States were lost: {line}", "skewless materialize",
            address("freshness"),
        )  # fmt: skip


def _failed(site: Site) -> Iterator[Need]:
    """Yield the jobs whose newest run failed or was killed, of the last days."""
    newest = {run.job: run for run in reversed(site.store.runs(since=site.now() - _RUNS))}
    for job, run in newest.items():
        if run.status in ("failed", "killed"):
            why = "" if run.error is None else f": {run.error.get('what', run.error.get('error'))}"
            says = f"Its last run {'failed' if run.status == 'failed' else 'was killed'}{why}."
            yield Need(
                "bad", job, says, f"skewless ledger runs --job {job}", address("runs", job=job),
                run.who, since=run.started,
            )  # fmt: skip


def _stale(site: Site) -> Iterator[Need]:
    for view in site.freshness().views:
        says = _said_of(view)
        if says:
            broken = view.status in ("stale", "never")
            label = f"{view.view}@v{view.version}"
            do = f"skewless materialize {view.view}" if view.note.startswith("history") else ""
            if view.status == "building":
                do = f"skewless materialize {view.view}"
            do = do or "Look at what writes its source: no newer event has come."
            yield Need(
                "bad" if broken else "warn", label, says, do, address("views", label), view.owner
            )


def _said_of(view: ViewFreshness) -> str:
    if view.status == "building":
        return "Its values are building: they are null until it is built from all of history."
    if view.promised is None or view.status == "ok":
        return ""
    if view.age is None:
        return f"Promised fresh within {ago(view.promised)}; nothing can be served yet."
    return f"Promised fresh within {ago(view.promised)}; its newest event is {ago(view.age)} old."


def _unmet(site: Site) -> Iterator[Need]:
    """Yield the sources and views of which a check did not hold when it was last carried out."""
    failing: dict[str, list[dict[str, Any]]] = {}
    for (of, point, _), found in results(site.runtime.ledger, site.now() - _RUNS).items():
        if not found["ok"] and point != "push":  # what came in is seen with all of history
            failing.setdefault(of, []).append(found)
    for of, checks in failing.items():
        more = f" And {count(len(checks) - 1, 'other check')}." if len(checks) > 1 else ""
        blocks = any(each["action"] == "block" for each in checks)
        yield Need(
            "bad" if blocks else "warn", of, f"Does not hold: {checks[0]['check']}.{more}",
            f"skewless check {of.partition('@')[0]}", address("quality"),
        )  # fmt: skip


def _drifted(site: Site) -> Iterator[Need]:
    """Yield the features that are not distributed as their reference was."""
    for alert in drifting(site.runtime.ledger):
        yield Need(
            "bad" if alert["level"] == "page" else "warn", alert["of"],
            f"Drifted: {alert['text'].removeprefix(alert['of']).strip()}.",
            f"skewless drift {alert['view']}", address("drift", of=alert["of"]),
        )  # fmt: skip


def _quarantined(site: Site) -> Iterator[Need]:
    for name, source in site.state.sources.items():
        size = size_of(site.runtime, name)
        if size.kept:
            newest = site.store.quarantine(name, 1)
            why = f" The newest: {newest[0].reason}" if newest else ""
            says = f"{count(size.kept, 'row')} set aside.{why}"
            yield Need(
                "warn", name, says, f"skewless quarantine {name}", address("sources", name),
                source.owner,
            )  # fmt: skip


def _deprecated(site: Site) -> Iterator[Need]:
    now = site.now()
    for service, pins in site.state.pins.items():
        gone: dict[str, bool] = {}
        for reference in pins:
            view, version, feature = split_reference(reference)
            notice = site.deprecation_of(view, version or 0, feature)
            if notice is not None:
                gone[notice.target] = notice.is_past(now)
        for target, past in gone.items():
            until = " and its last day is over" if past else ""
            yield Need(
                "bad" if past else "warn", service,
                f"Serves {target}, which is deprecated{until}.",
                "Move the service to what replaces it.", address("services", service),
                site.state.services[service].labels["owner"],
            )  # fmt: skip


def _waiting(site: Site) -> Iterator[Need]:
    for service, wanted in site.state.wanted_pins.items():
        if wanted != site.state.pins[service]:
            yield Need(
                "info", service, "Waits for new versions of its features to be built.",
                "skewless materialize", address("services", service),
            )  # fmt: skip


def _unsaid(site: Site) -> Iterator[Need]:
    """Yield what nobody answers for, and what nobody has described: one line each."""
    views = [site.state.view(name) for name in sorted(site.state.current)]
    for what, key in (("an owner", "owner"), ("a description", "description")):
        bare = [view.name for view in views if not view.labels[key]]
        if bare:
            shown = ", ".join(bare[:3]) + (f" and {len(bare) - 3} more" if len(bare) > 3 else "")
            do = f'@sl.feature_view(..., {key}="...")' if key == "owner" else "A docstring."
            yield Need(
                "info", count(len(bare), "view"), f"Without {what}: {shown}.", do, address("views")
            )
