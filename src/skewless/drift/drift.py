"""Whether features are still distributed as they were: profiles compared, findings judged together.

    report = fs.drift("fraud_model")
    print(report)
    report.ok

Two questions, two tables. `skewless verify` asks whether a value is served as history gives it: the
same entity, the same moment, the same bits. This asks whether the entities of today have values as
those had that the model learned from. A third cause is said first: they may be other entities, or
be asked for at other hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skewless.clock import iso
from skewless.config import EMBEDDED
from skewless.definitions.references import split_view
from skewless.drift.compare import FEW, Finding, compare, judged, paged
from skewless.drift.profile import ONLINE, SERVED, TRAINING, Profile
from skewless.drift.profiles import (
    DAY,
    feature_views,
    keep,
    newest,
    profile_online,
    profile_served,
    stored,
    stored_keys,
)
from skewless.drift.references import ACCEPTED, References, accepted, checked, needed
from skewless.drift.report import DriftReport, Mix
from skewless.errors import InputError, UnknownName
from skewless.ledger.ledger import Ledger
from skewless.ledger.runs import recorded
from skewless.lineage.graph import LineageReader, nodes_of
from skewless.online.runtime import Runtime
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.selection import references

KIND = "drift"
_ORDER = {"page": 0, "warn": 1, "": 2}
_DOWN = 6
RECENT = 3_600_000_000
"""How old a profile may be that stands for the present, microseconds."""


def served_folder(runtime: Runtime) -> Path | None:
    """Return the folder of the served log; None: the server keeps none."""
    folder = runtime.config.folder / EMBEDDED / "served"
    return folder if any(folder.glob("served-*.jsonl")) else None


@recorded("profile", "views", "served", result=lambda found: {"profiles": len(found)})
def profile(
    runtime: Runtime, views: Sequence[str] | None = None, *, served: str | Path | None = None
) -> list[Profile]:
    """Take profiles and keep them; see `FeatureStore.profile`."""
    if served is None:
        found = profile_online(runtime, views)
        keep(runtime.ledger, found)
        return found
    end = runtime.clock.now() + 1
    found, keys = profile_served(runtime, Path(served), end - DAY, end)
    if views is not None:
        labels = {label for label, _ in feature_views(runtime.state(), views)}
        found = [each for each in found if each.of.partition(":")[0] in labels]
        keys = {label: each for label, each in keys.items() if label in labels}
    keep(runtime.ledger, found, keys, point=SERVED)
    return found


def _summary(report: DriftReport) -> dict[str, Any]:
    return {"tests": len(report.findings), "alerts": len(report.alerts)}


@recorded("drift", "name", "reference", result=_summary)
def drift(
    runtime: Runtime,
    name: str | None = None,
    *,
    reference: str | None = None,
    point: str | None = None,
) -> DriftReport:
    """Compare the newest profiles with their references; see `FeatureStore.drift`."""
    if reference is not None:
        checked(reference)
    if point not in (None, ONLINE, SERVED):
        raise InputError("no point", got=repr(point), expected=f"{ONLINE} or {SERVED}")
    state, now = runtime.state(fresh=True), runtime.clock.now()
    of, views = _features(state, name)
    current = _current(runtime, views, of, point, now)
    held = accepted(runtime.ledger)
    found, skipped = _compared(References(runtime.ledger, of), current, reference, held, name)
    before = _before(runtime.ledger, name or "", current.values())
    judgements = [paged(each, before.get((each.of, each.what))) for each in judged(found)]
    judgements.sort(key=lambda each: (_ORDER[each.level], each.too_few, -abs(each.effect), each.of))
    report = DriftReport(
        name or "",
        now,
        tuple(judgements),
        tuple(_mixes(runtime.ledger, current)),
        _models(runtime, state, {each.of for each in judgements if each.level}),
        tuple(skipped),
        " and ".join(sorted({each.point for each in current.values()}, reverse=True)),
        max((iso(each.end)[:10] for each in current.values()), default=""),
    )
    _keep(runtime.ledger, report, current.values())
    return report


def _features(state: RegistryState, name: str | None) -> tuple[list[str], list[str] | None]:
    """Return the features that are meant, with versions, and their feature views."""
    if name is None:
        labels = feature_views(state, None)
        return [f"{label}:{f}" for label, view in labels for f in view.features], None
    if name in state.services:
        of = list(state.pins[name])
    elif ":" in name:
        of = list(references(state, [name]))
    elif split_view(name)[0] in state.current:
        of = [f"{label}:{f}" for label, view in feature_views(state, [name]) for f in view.features]
    else:
        known = [*state.current, *state.services]
        raise UnknownName.of("view or feature service", name, known, where=state.place)
    labels_of = dict.fromkeys(reference.partition(":")[0] for reference in of)
    return of, [label for label, _ in feature_views(state, list(labels_of))]


def _current(
    runtime: Runtime, views: list[str] | None, of: list[str], point: str | None, now: int
) -> dict[str, Profile]:
    """Return the newest profiles of features, taken now where there are none of this hour.

    Where no point is named, that is what was served, and for features of which too little was, what
    all entities have.
    """
    found: dict[str, Profile] = {}
    for wanted in (SERVED, ONLINE) if point is None else (point,):
        left = [feature for feature in of if feature not in found]
        if left:
            taken = _newest(runtime, views, left, wanted, now)
            few = FEW if point is None and wanted == SERVED else 1
            found |= {name: each for name, each in taken.items() if each.entities >= few}
    return found


def _newest(
    runtime: Runtime, views: list[str] | None, of: list[str], point: str, now: int
) -> dict[str, Profile]:
    """Return the newest profiles of features at a point."""
    found = newest(stored(runtime.ledger, points=[point], since=now - RECENT, of=of))
    if found:
        return found
    if point == ONLINE:
        taken = profile(runtime, views)
    else:
        folder = served_folder(runtime)
        taken = [] if folder is None else profile(runtime, served=folder)
    return newest(each for each in taken if each.of in of)


def _compared(
    known: References,
    current: Mapping[str, Profile],
    reference: str | None,
    held: Mapping[str, Any],
    name: str | None,
) -> tuple[list[Finding], list[str]]:
    """Return the findings of all features, not judged yet, and what has no reference."""
    found: list[Finding] = []
    without: list[str] = []
    for feature, profile in current.items():
        label = feature.partition(":")[0]
        names = [each for each in (name, label, split_view(label)[0]) if each]
        wanted = needed(held, names) if reference in (None, ACCEPTED) else reference
        other = known.of(profile, wanted)
        if other is None:
            without.append(feature)
        else:
            found += compare(other, profile)
    if not without:
        return found, []
    names = without[:3] + ["..."] * (len(without) > 3)
    return found, [
        f"{len(without):,} features have nothing to be compared with yet: {', '.join(names)}"
    ]


def _mixes(ledger: Ledger, current: Mapping[str, Profile]) -> Iterable[Mix]:
    """Yield of whom each view's training set and its present are, where both are known."""
    labels = {each.of.partition(":")[0] for each in current.values() if each.point == SERVED}
    if not labels:
        return
    served, training = stored_keys(ledger, SERVED), stored_keys(ledger, TRAINING)
    for label in sorted(labels & served.keys() & training.keys()):
        now, (then, made) = served[label][0], training[label]
        yield Mix(label, now.share_in(then), now.hours_apart(then), made)


def _models(runtime: Runtime, state: RegistryState, of: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the models that were trained on some features."""
    if not of:
        return {}
    graph = LineageReader(runtime.ledger).graph(state)
    found = {}
    for feature in of:
        below = graph.around("", nodes_of(state, graph, feature), up=0, down=_DOWN)
        if models := below.of_kind("model"):
            found[feature] = tuple(sorted(models))
    return found


# ------------------------------------------------------------------------------------------- kept


def _keep(ledger: Ledger, report: DriftReport, current: Iterable[Profile]) -> None:
    """Put the alerts of a run into the ledger, with its window."""
    alerts = [
        {**vars(each), "new": [list(new) for new in each.new],
         "text": report.alert_text(each), "models": list(report.models.get(each.of, ()))}
        for each in report.alerts
    ]  # fmt: skip
    views = sorted({each.of.partition(":")[0] for each in current})
    tests = len(report.findings) - len(report.too_few)
    data = {"name": report.of, "point": report.point, "day": report.day, "tests": tests}
    if report.day:
        ledger.record(KIND, data | {"views": views, "alerts": alerts})


def _before(
    ledger: Ledger, name: str, current: Iterable[Profile]
) -> dict[tuple[str, str], Finding]:
    """Return the alerts of the newest run over an earlier window."""
    days = {iso(each.end)[:10] for each in current}
    if not days:
        return {}
    earlier: dict[str, Any] = {}
    for record in ledger.records(kinds=[KIND]):
        if record.data["name"] == name and record.data["day"] < max(days):
            earlier = record.data
    return {(each.of, each.what): each for each in map(_finding, earlier.get("alerts", ()))}


def _finding(data: Mapping[str, Any]) -> Finding:
    known = {key: value for key, value in data.items() if key not in ("text", "models")}
    return Finding(**{**known, "new": tuple((value, share) for value, share in data["new"])})


def drifting(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the alerts of the newest run over each view, as plain data: for pages and metrics.

    Each has ``of``, ``what``, ``effect``, ``adjusted``, ``reference``, ``level``, ``text``,
    ``models``, ``day`` and ``at`` (UTC microseconds), and ``view``.
    """
    newest_of: dict[str, list[dict[str, Any]]] = {}
    for record in ledger.records(kinds=[KIND]):
        found: dict[str, list[dict[str, Any]]] = {view: [] for view in record.data["views"]}
        for alert in record.data["alerts"]:
            view = alert["of"].partition(":")[0]
            about = {"view": view, "day": record.data["day"], "at": record.at}
            found.setdefault(view, []).append({**alert, **about})
        newest_of |= found
    return [each for alerts in newest_of.values() for each in alerts]
