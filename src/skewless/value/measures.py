"""What can be measured of a repo: reuse, training sets, what leakage costs, how long reads take."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from skewless.clock import iso
from skewless.parity.live import sample_keys
from skewless.store import FeatureStore

READS = 200


@dataclass(frozen=True)
class Measure:
    """One measured figure.

    Attributes:
        name: what it is called in the report.
        what: it is, in words.
        value: of it; None: it was not measured.
        source: by what it was measured, or why it was not.
    """

    name: str
    what: str
    value: float | None
    source: str


def measures(fs: FeatureStore) -> list[Measure]:
    """Return everything that is measured of a repo; entities are read, nothing is written."""
    return [*reuse(fs), *training_sets(fs), errors_avoided(fs), latency(fs)]


def reuse(fs: FeatureStore) -> Iterator[Measure]:
    """Yield how often features are used by more than one service."""
    state = fs.runtime.state(fresh=True)
    used = Counter(
        reference.split("@")[0] + ":" + reference.rpartition(":")[2]
        for pins in state.pins.values()
        for reference in set(pins)
    )
    source = f"measured by the registry, revision {state.revision}: {len(state.pins)} services"
    yield Measure("features_used", "features that a service uses", len(used), source)
    again = sum(times - 1 for times in used.values())
    yield Measure("reuses", "times a feature is used by one more service", again, source)


def training_sets(fs: FeatureStore) -> Iterator[Measure]:
    """Yield how many training sets were made, and how many of them were checked for leakage."""
    made = fs.training_sets()
    source = "measured by the ledger"
    if made:
        source += f": from {iso(made[-1].at)[:10]} to {iso(made[0].at)[:10]}"
    yield Measure("training_sets", "training sets made", len(made), source)
    rows = sum(record.rows for record in made)
    yield Measure("training_rows", "rows in them", rows, source)


def errors_avoided(fs: FeatureStore) -> Measure:
    """Return what features as known keep in serving above naive ones, summed over labels."""
    what = "AUC in serving above that of naive features, newest backtest of each label"
    newest = {
        str(record.data["label"]): record.data
        for record in fs.runtime.ledger.records(kinds=["backtest"])
    }
    gains = {}
    for label, data in newest.items():
        served = {score["kind"]: score["served"].get("AUC") for score in data["scores"]}
        if served.get("known") is not None and served.get("naive-latest") is not None:
            gains[label] = served["known"] - served["naive-latest"]
    if not gains:
        return Measure(
            "auc_gained", what, None, "not measured: no backtest ran (skewless backtest)"
        )
    said = ", ".join(f"{label} {gain:+.4f}" for label, gain in gains.items())
    return Measure("auc_gained", what, sum(gains.values()), f"measured by backtests: {said}")


def latency(fs: FeatureStore) -> Measure:
    """Return the median machine time of reading a view's features of one entity, now."""
    what = "milliseconds of machine time for a vector of a view, median"
    state, chance, times = fs.runtime.state(fresh=True), random.Random(0), []
    names = [(n, v) for (n, v), view in state.views.items() if state.current.get(n) == v]
    for name, version in names:
        view = state.views[name, version]
        if view.is_role or not view.entity.key_names:
            continue
        label = f"{name}@v{version}"
        features = [f"{label}:{feature}" for feature in view.features]
        keys = sample_keys(fs.runtime, label, view, READS // len(names) + 1, chance)
        for each in keys:
            begin = time.process_time_ns()
            fs.get_online_features(features, each)
            times.append((time.process_time_ns() - begin) / 1e6)
    if not times:
        return Measure("vector_ms", what, None, "not measured: no entity is known")
    source = f"measured now: {len(times)} reads of {len(names)} views in this process"
    return Measure("vector_ms", what, median(times), source)
