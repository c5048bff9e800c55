"""The right answers of windowed aggregations, for a sample of the spine: exact rationals."""

from __future__ import annotations

import json
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.data import DAY, SECOND, cached, read_columns

if TYPE_CHECKING:
    import pyarrow as pa

WINDOWS = {
    "5m": 300 * SECOND,
    "1h": 3_600 * SECOND,
    "24h": DAY,
    "7d": 7 * DAY,
    "30d": 30 * DAY,
}
AGGREGATIONS = ("count", "sum", "mean", "std", "min", "max", "first", "latest", "n_unique")
LAST_100 = ("mean", "std", "min", "max")
SAMPLE = 100


def expected_windows(events: Path, spine: Path) -> Path:
    """Return a JSON file with the features of a sample of the spine's rows."""

    def write(path: Path) -> None:
        entity, at, amount, merchant = read_columns(
            events, ["entity", "event_at", "amount", "merchant"]
        )
        asked, when = read_columns(spine, ["entity", "label_at"])
        chosen = np.random.default_rng(9).choice(len(asked), min(SAMPLE, len(asked)), replace=False)
        found = []
        for label in chosen.tolist():
            mine = np.flatnonzero((entity == asked[label]) & (at <= when[label]))
            rows = at[mine], amount[mine], merchant[mine]
            found.append({"row": label, "features": _features(rows, int(when[label]))})
        path.write_text(json.dumps(found), encoding="utf-8")

    return cached(f"expected-windows-{events.stem}-{spine.stem}.json", write)


def _features(rows: tuple[Any, Any, Any], when: int) -> dict[str, Any]:
    at, amount, merchant = rows
    found: dict[str, Any] = {}
    for window, length in WINDOWS.items():
        inside = at > when - length
        values = amount[inside].tolist()
        for name, value in _aggregate(values).items():
            found[f"{name}_{window}"] = value
        found[f"n_unique_{window}"] = len(np.unique(merchant[inside]))
    newest = _aggregate(amount[-100:].tolist())
    return found | {f"last100_{name}": newest[name] for name in LAST_100}


def _aggregate(values: list[float]) -> dict[str, Any]:
    if not values:
        nothing = dict.fromkeys(("mean", "std", "min", "max", "first", "latest"))
        return {"count": 0, "sum": 0.0, **nothing}
    # Amounts have at most 60 binary places, so these are exact whole numbers.
    scaled = [int(value) for value in (np.array(values) * 2.0**60).tolist()]
    n, total = len(values), sum(scaled)
    squares = sum(value * value for value in scaled)
    with localcontext(prec=60):
        variance = Decimal(n * squares - total * total) / Decimal(n * n) / Decimal(2**120)
        std = float(variance.sqrt())
    return {
        "count": n,
        "sum": math.fsum(values),
        "mean": float(Fraction(total, n * 2**60)),
        "std": std,
        "min": min(values),
        "max": max(values),
        "first": values[0],
        "latest": values[-1],
    }


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def compare(expected: str, features: pa.Table) -> dict[str, Any]:
    """Return how far the features (columns, in order of the spine) are from the right ones.

    ``wrong``: values of count, n_unique, min, max, first and latest that differ, and sums and
    means that are off by more than one in a million. ``inexact``: sums and means that are not the
    correctly rounded ones. ``worst_std``: the largest relative error. An engine's null for the sum
    of no rows passes.
    """
    with open(expected, encoding="utf-8") as file:
        sample = json.load(file)
    wrong = inexact = checked = 0
    worst_std = 0.0
    covered = sorted(set(features.column_names) & sample[0]["features"].keys())
    taken = features.select(covered).take([entry["row"] for entry in sample]).to_pylist()
    for entry, values in zip(sample, taken, strict=True):
        for name in covered:
            right, given = entry["features"][name], values[name]
            checked += 1
            if right is None or _missing(given):
                # Some engines have null, not 0, for the sum of no rows; nothing else may be amiss.
                wrong += not (_missing(given) and not right)
                continue
            error = abs(given - right) / (abs(right) or 1.0)
            if "std" in name:
                worst_std = max(worst_std, error)
            elif "sum" in name or "mean" in name:
                inexact += given != right
                wrong += error > 1e-6
            else:
                wrong += given != right
    return {
        "features": len(covered),
        "checked": checked,
        "wrong": wrong,
        "inexact": inexact,
        "worst_std": float(f"{worst_std:.2g}"),
    }
