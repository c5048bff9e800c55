"""Wafer maps of two fabs: training, a shift pushed wafer by wafer, leakage, and the maps drawn.

The data is SYNTHETIC.

python examples/yield_wafers/run.py [--picture wafers.png]
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a small model: threads would only wait

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import skewless as sl
from skewless.clock import SettableClock, to_micros
from skewless.formatting import same_bits

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import generate  # noqa: E402

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
WAFERS, SHIFT = 260, 48
Tested = dict[str, Any]


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--picture", type=Path, default=Path("wafers.png"))
    picture = parser.parse_args().picture
    print("Wafer maps. All data here is SYNTHETIC: made up by generate.py.")
    with tempfile.TemporaryDirectory() as name:
        repo = Path(name)
        dies, inspected = generate.history(NOW, WAFERS)
        (repo / "data" / "dies").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(dies), repo / "data" / "dies" / "a.parquet")
        shutil.copy(HERE / "features.py", repo)
        clock = SettableClock(to_micros(NOW))
        with sl.FeatureStore(repo, clock=clock) as fs:
            heading("Register, and build the states of all wafers")
            fs.apply(fs.plan())
            print(f"  {len(dies)} results of dies of {WAFERS} wafers of two fabs")
            model, names = train(fs, inspected)
            tested = work_a_shift(fs, clock, model, names)
            prove(fs, tested)
            measure(fs, tested)
            draw(picture, tested)


def train(fs: sl.FeatureStore, inspected: list[Tested]) -> tuple[Any, list[str]]:
    """Train on what was known at the final inspection; say what worse joins would have promised."""
    heading("Training set, as known at final inspection")
    spine = pa.Table.from_pylist(inspected)
    training = fs.get_historical_features(spine, "scrap_model", timestamp="inspected_at")
    print(training)
    print(fs.leakage(training, timestamp="inspected_at", label="scrapped"))
    heading("What leakage would have cost: scrapped wafers are tested anew, a day later")
    print(fs.backtest(spine, "scrap_model", timestamp="inspected_at", label="scrapped"))
    table = training.to_arrow()
    names = [name for name in table.column_names if name not in spine.column_names]
    x, y = matrix(table.to_pylist(), names), np.asarray(table["scrapped"])
    cut = len(y) * 3 // 4
    model = HistGradientBoostingClassifier(random_state=0, min_samples_leaf=8).fit(x[:cut], y[:cut])
    score = roc_auc_score(y[cut:], model.predict_proba(x[cut:])[:, 1])
    print(f"\n  {len(names)} features; AUC of the latest quarter {score:.3f}")
    return model, names


def work_a_shift(
    fs: sl.FeatureStore, clock: SettableClock, model: Any, names: list[str]
) -> list[Tested]:
    """Push each wafer when it is tested, and read it at once."""
    heading(f"A shift of {SHIFT} wafers: all dies pushed, the wafer read at once")
    tested, seconds = [], 0.0
    for dies, pattern in generate.shift(NOW, SHIFT):
        at = dies[0]["uploaded_at"]
        clock.time = to_micros(at)
        asked = {name: dies[0][name] for name in ("wafer_id", "fab_id")}
        begin = time.perf_counter()
        fs.push("dies", dies)
        vector = fs.get_online_features("scrap_model", asked).to_rows()[0]
        seconds += time.perf_counter() - begin
        score = float(model.predict_proba(matrix([vector], names))[0, 1])
        tested.append({"asked": asked, "at": at, "dies": dies, "pattern": pattern,
                       "vector": vector, "score": score})  # fmt: skip
    print(f"  {len(generate.DIES)} dies a wafer; {SHIFT / seconds:.0f} wafers a second, end to end")
    scores = [each["score"] for each in tested]
    bad = [each["pattern"] != "none" for each in tested]
    print(
        f"  AUC of the shift against the patterns that were made: {roc_auc_score(bad, scores):.3f}"
    )
    return tested


def prove(fs: sl.FeatureStore, tested: list[Tested]) -> None:
    """Build a training set of the same moments, and compare every bit with what was served."""
    heading("Served and trained: the same to the bit")
    spine = [each["asked"] | {"moment": each["at"]} for each in tested]
    training = fs.get_historical_features(spine, "scrap_model", timestamp="moment").to_arrow()
    values = differing = 0
    for trained, each in zip(training.to_pylist(), tested, strict=True):
        for name, served in each["vector"].items():
            values += 1
            differing += not same_bits(served, trained[name])
    print(f"  {values} values of {len(tested)} vectors; {differing} differ")
    if differing:
        raise SystemExit("They differ.")


def measure(fs: sl.FeatureStore, tested: list[Tested]) -> None:
    """Time reads of one vector, in this process."""
    heading("Latency of one vector, in process")
    times = []
    for number in range(500):
        asked = tested[number % len(tested)]["asked"]
        begin = time.perf_counter()
        fs.get_online_features("scrap_model", asked)
        times.append((time.perf_counter() - begin) * 1e6)
    p50, p99 = np.percentile(times, [50, 99])
    print(f"  {len(times)} reads: half within {p50:.0f} us, 99 % within {p99:.0f} us")


def draw(path: Path, tested: list[Tested]) -> None:
    """Draw the wafers of the shift as wafer maps, the likeliest scrap first."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Circle

    ranked = sorted(tested, key=lambda each: -each["score"])
    shown = [*ranked[:12], *ranked[-6:]]
    figure, axes = plt.subplots(3, 6, figsize=(12, 6.2), layout="constrained")
    low, high = 36.0, 52.0
    for each, place in zip(shown, axes.flat, strict=True):
        grid = np.full((generate.SIZE, generate.SIZE), np.nan)
        half = generate.SIZE // 2
        for die in each["dies"]:
            grid[die["y"] + half, die["x"] + half] = die["idd"]
        image = place.imshow(grid, cmap="viridis", vmin=low, vmax=high, origin="lower")
        failed = [(die["x"] + half, die["y"] + half) for die in each["dies"] if not die["passed"]]
        if failed:
            place.scatter(*zip(*failed, strict=True), marker="x", s=14, c="white", linewidth=1)
        edge = Circle((half, half), generate.SIZE / 2 + 0.3, fill=False, ec="#1f2933", lw=1.2)
        place.add_patch(edge)
        place.set(xlim=(-1.2, generate.SIZE + 0.2), ylim=(-1.2, generate.SIZE + 0.2))
        place.set_title(f"{each['asked']['wafer_id']}  scrap {each['score']:.2f}", fontsize=9)
        place.axis("off")
    figure.colorbar(image, ax=axes, shrink=0.7, label="supply current, mA")
    figure.suptitle("Synthetic wafers of a shift by likelihood of scrap: the first twelve, "
                    "and the last six; x: the die failed")  # fmt: skip
    figure.savefig(path, dpi=110)
    print(f"\nThe picture is {path}.")


def matrix(rows: list[dict[str, Any]], names: list[str]) -> Any:
    """Return features as numbers, null as NaN."""
    numbers = [[np.nan if row[n] is None else float(row[n]) for n in names] for row in rows]
    return np.array(numbers, np.float64)


def heading(text: str) -> None:
    """Print the title of a step."""
    print(f"\n== {text}")


if __name__ == "__main__":
    main()
