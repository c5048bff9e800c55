"""The proof on what is served now: entities are read online and compared with history.

    print(verify_live(runtime, views=None, entities=1000))

Half of the entities are picked from history, evenly by a hash of their keys, so that one the
online store lacks is found; half are picked from the online store around them, so that one that
history lacks is found. Each is read now and at moments back to ``rewind``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from skewless.clock import from_micros
from skewless.definitions import FeatureView, OnDemandView
from skewless.definitions.references import split_view
from skewless.errors import InputError
from skewless.explain.entity_rows import every_key
from skewless.explain.store_view import StoreView
from skewless.parity.compare import compare
from skewless.parity.report import ParityReport
from skewless.parity.served import gathered
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.results import OnlineResult
from skewless.state.keys import KeyCodec

MOMENTS = 4
_ANCHORS = 16


def verify_live(
    runtime: StoreView,
    *,
    views: Sequence[str] | None = None,
    entities: int = 1000,
    seed: int = 0,
    checks: int = 50,
) -> ParityReport:
    """Compare what is served now with history.

    Args:
        runtime: the open repo.
        views: names (``Spend`` or ``Spend@v1``); None for every version that is served.
        entities: how many of each view to read.
        seed: of the choice of entities and moments.
        checks: how many answers to compare with the reference engine too.

    Raises:
        UnknownName: there is no such view.
        StoreUnavailable: the store cannot be reached.
    """
    state = runtime.state(fresh=True)
    report = ParityReport(f"what is served at {MOMENTS} moments")
    chance = random.Random(seed)
    for label, view in chosen(state, views):
        if isinstance(view, OnDemandView):
            if view.requests:
                fields = ", ".join(request.name for request in view.requests)
                report.notes.append(
                    f"{label} needs request fields ({fields}): verify it with a served log."
                )
                continue
            keys = _keys_on_demand(runtime, label, view, entities)
        else:
            keys = sample_keys(runtime, label, view, entities, chance)
        features = [f"{label}:{feature}" for feature in view.features]
        results = _read(runtime, features, keys, chance, report)
        for answers in gathered(results):
            left = max(0, checks - report.statuses // max(1, len(features)))
            compare(runtime, answers, report, checks=min(left, len(answers)))
    if not report.ok:
        report.notes.append(
            "If a table's files changed since, bring the store up to date: skewless materialize."
        )
    return report


def chosen(
    state: RegistryState, views: Sequence[str] | None
) -> list[tuple[str, FeatureView | OnDemandView]]:
    """Return label (``Spend@v1``) and definition of the views that are meant."""
    if views is None:
        every: list[tuple[tuple[str, int], FeatureView | OnDemandView]] = []
        every += [*state.views.items(), *state.on_demand.items()]
        return [(f"{name}@v{version}", view) for (name, version), view in every]
    found = []
    for name in views:
        bare, version = split_view(name)
        view = state.view(bare, version)
        found.append((f"{bare}@v{version or state.current[bare]}", view))
    return found


def sample_keys(
    runtime: StoreView, label: str, view: FeatureView, count: int, chance: random.Random
) -> list[Mapping[str, Any]]:
    """Return join keys of entities that history or the online store knows, each once."""
    codec = KeyCodec(view.row_entity)
    table = every_key(view.row_entity, [runtime.history(view.source)])
    every = codec.encode_columns(
        [table[name].combine_chunks() for name in view.row_entity.key_names], table.num_rows
    )
    every.sort()
    known = chance.sample(every, min(len(every), count - count // 2)) if every else []
    found = dict.fromkeys(known)
    (part,) = runtime.reader.lookup([f"{label}:{view.features[0]}"], True).parts
    anchors: list[bytes | None] = [None, *known[:_ANCHORS]]
    share = max(1, count // 2 // len(anchors))
    for anchor in anchors:
        page = runtime.online.scan(part.table, after=anchor, limit=share)
        found |= dict.fromkeys(key for key, _ in page)
    asked = KeyCodec(view.asked_entity)
    return [asked.decode(key) for key in list(found)[:count]]


def _keys_on_demand(
    runtime: StoreView, label: str, group: OnDemandView, count: int
) -> list[Mapping[str, Any]]:
    """Return join keys for all entities that the features of an on-demand view are of."""
    selection = runtime.reader.lookup([f"{label}:{group.features[0]}"], True).selection
    columns: dict[str, list[Any]] = {}
    for need in selection.views:
        view = need.view
        keys = every_key(view.row_entity, [runtime.history(view.source)]).slice(0, count)
        keys = keys.rename_columns(list(view.asked_entity.key_names))
        columns |= {name: columns.get(name, values) for name, values in keys.to_pydict().items()}
    shortest = min((len(values) for values in columns.values()), default=0)
    return [{name: values[row] for name, values in columns.items()} for row in range(shortest)]


def _read(
    runtime: StoreView,
    features: list[str],
    keys: list[Mapping[str, Any]],
    chance: random.Random,
    report: ParityReport,
) -> list[OnlineResult]:
    """Read entities online now and at moments back to the rewind."""
    lookup = runtime.reader.lookup(features, True)
    now = runtime.clock.now()
    back = runtime.config.rewind
    moments = [now, *(now - chance.randint(0, back) for _ in range(MOMENTS - 1))]
    results = []
    for t, found in zip(moments, runtime.reader.read_at(lookup, keys, moments), strict=True):
        if isinstance(found, InputError):
            report.skipped[f"{from_micros(t):%H:%M:%S} is before what the store remembers"] += len(
                keys
            )
            continue
        results.append(OnlineResult(lookup.selection.outputs, keys, found, t))
    return results
