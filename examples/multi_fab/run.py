"""Yield of four fabs: one model, results that arrive by each fab's pace, leakage, a picture.

The data is SYNTHETIC.

python examples/multi_fab/run.py [--picture yield.png]
"""

import heapq
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "_shared"))

import generate
import steps
from sklearn.metrics import roc_auc_score
from steps import heading

import skewless as sl
from skewless.clock import SettableClock, to_micros

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAYS, LIVE = 120, 6
LOW = 80.0
Row = dict[str, Any]


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    picture = steps.picture_of(__doc__, "yield.png")
    print("Yield of four fabs. All data here is SYNTHETIC: made up by generate.py.")
    made = list(generate.lots(NOW + timedelta(days=LIVE), DAYS + LIVE))
    probes = [probe for probe, _ in made if probe["probed_at"] <= NOW]
    results = [result for _, result in made if result["received_at"] <= NOW]
    with steps.repo(HERE, NOW, probes=probes, results=results) as (fs, clock):
        heading("Register, and build the states of lots, fabs, lines and the company")
        fs.apply(fs.plan())
        print(f"  {len(probes)} lots of {len(generate.FABS)} fabs, {len(results)} results so far")
        trained = steps.train(
            fs, spine_of(made, results), "yield_model", timestamp="asked_at", label="low",
            leak="yields of neighbours that were tested, but not received yet",
            min_samples_leaf=20,
        )  # fmt: skip
        asked = live(fs, clock, made, trained)
        steps.prove(fs, "yield_model", [each for each, _, _ in asked])
        steps.measure(fs, "yield_model", [each.keys for each, _, _ in asked])
        draw(picture, fs, asked)


def spine_of(made: list[tuple[Row, Row]], received: list[Row]) -> list[Row]:
    """Return the lots whose results are there, asked about when their probe was at hand."""
    known = {row["lot_id"] for row in received}
    rows = [
        keys_of(probe) | {
            "asked_at": probe["probed_at"] + timedelta(minutes=15),
            "low": result["yield_pct"] < LOW,
        }
        for probe, result in made
        if probe["lot_id"] in known
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row["asked_at"])


def keys_of(row: Row) -> Row:
    """Return what names a lot, its fab and its line."""
    return {name: row[name] for name in ("lot_id", "fab_id", "product")}


def live(
    fs: sl.FeatureStore, clock: SettableClock, made: list[tuple[Row, Row]], trained: steps.Trained
) -> list[tuple[steps.Asked, float, bool]]:
    """Push probes and results as they come in; read and score each lot when it is probed."""
    heading(f"{LIVE} days of lots: probes and results pushed as they come, each lot read at once")
    events: list[tuple[datetime, int, str, Row, bool]] = []
    for number, (probe, result) in enumerate(made):
        low = result["yield_pct"] < LOW
        if probe["probed_at"] > NOW:
            at = probe["probed_at"] + timedelta(minutes=10)
            heapq.heappush(events, (at, number, "probes", probe, low))
        if result["received_at"] > NOW:
            heapq.heappush(events, (result["received_at"], number, "results", result, low))
    end = NOW + timedelta(days=LIVE)
    asked, seconds = [], 0.0
    while events and events[0][0] <= end:
        at, _, source, row, low = heapq.heappop(events)
        clock.time = to_micros(at)
        begin = time.perf_counter()
        fs.push(source, [row])
        if source == "probes":
            keys = keys_of(row)
            vector = fs.get_online_features("yield_model", keys).to_rows()[0]
            asked.append((steps.Asked(keys, at, vector), float(trained.score([vector])[0]), low))
        seconds += time.perf_counter() - begin
    late = sum(row["received_at"] > NOW >= row["tested_at"] for _, row in made)
    print(f"  {len(asked)} lots scored, {late} results were tested but on their way at the start")
    score = roc_auc_score([low for *_, low in asked], [score for _, score, _ in asked])
    print(f"  AUC of these days against what final test said later: {score:.3f}")
    print(f"  {len(asked) / seconds:.0f} lots a second: pushed, read and scored")
    return asked


def draw(path: Path, fs: sl.FeatureStore, asked: list[tuple[steps.Asked, float, bool]]) -> None:
    """Draw what each fab's mean yield was known to be, day by day, and the risk of the new lots."""
    days = [NOW - timedelta(days=DAYS - 14 - n) for n in range(DAYS - 14 + LIVE + 1)]
    spine = [{"fab_id": fab, "day": day} for fab in generate.FABS for day in days]
    known = fs.get_historical_features(spine, "Fab", timestamp="day").to_arrow().to_pylist()
    figure, (left, right) = steps.drawing(1, 2, figsize=(12, 4.6), width_ratios=(3, 2))
    ends: list[tuple[float, str, int]] = []
    for number, fab in enumerate(generate.FABS):
        its = [row for row in known if row["fab_id"] == fab]
        xs, ys = [row["day"] for row in its], [row["fab_mean"] for row in its]
        left.plot(xs, ys, color=steps.COLOURS[number], lw=1.6)
        ends.append((ys[-1], f" {fab}, results after {generate.FABS[fab]} h", number))
        scores = [(each.at, score, low) for each, score, low in asked if each.keys["fab_id"] == fab]
        for wrong, marker in ((True, "x"), (False, ".")):
            some = [(at, score) for at, score, low in scores if low is wrong]
            if some:
                right.scatter(*zip(*some, strict=True), marker=marker, s=28, alpha=0.8,
                              color=steps.COLOURS[number])  # fmt: skip
    height = float("-inf")
    for end, label, number in sorted(ends):
        height = max(end, height + 0.4)  # labels of lines that end together stand apart
        left.text(days[-1], height, label, fontsize=8, va="center", color=steps.COLOURS[number])
    left.axvline(NOW, color="#b8c1cc", lw=1)
    left.set(title="Mean yield of 14 days as it was known, synthetic", ylabel="%")
    left.margins(x=0.02)
    left.set_xlim(days[0], days[-1] + timedelta(days=42))
    right.set(title="Risk when probed; x: fell short at final test", ylabel="score", ylim=(0, 1))
    for axis in (left, right):
        axis.tick_params(axis="x", rotation=30, labelsize=8)
    steps.save(figure, path)


if __name__ == "__main__":
    main()
