"""Wafer maps of two fabs: training, a shift pushed wafer by wafer, leakage, and the maps drawn.

The data is SYNTHETIC.

python examples/yield_wafers/run.py [--picture wafers.png]
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "_shared"))

import generate
import numpy as np
import steps
from sklearn.metrics import roc_auc_score
from steps import heading

import skewless as sl
from skewless.clock import SettableClock, to_micros

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
WAFERS, SHIFT = 260, 48
Tested = dict[str, Any]


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    picture = steps.picture_of(__doc__, "wafers.png")
    print("Wafer maps. All data here is SYNTHETIC: made up by generate.py.")
    dies, inspected = generate.history(NOW, WAFERS)
    with steps.repo(HERE, NOW, dies=dies) as (fs, clock):
        heading("Register, and build the states of all wafers")
        fs.apply(fs.plan())
        print(f"  {len(dies)} results of dies of {WAFERS} wafers of two fabs")
        trained = steps.train(
            fs, inspected, "scrap_model", timestamp="inspected_at", label="scrapped",
            leak="scrapped wafers are tested anew, a day later", min_samples_leaf=8,
        )  # fmt: skip
        tested = work_a_shift(fs, clock, trained)
        asked = [steps.Asked(each["asked"], each["at"], each["vector"]) for each in tested]
        steps.prove(fs, "scrap_model", asked)
        steps.measure(fs, "scrap_model", [each.keys for each in asked], reads=500)
        draw(picture, tested)


def work_a_shift(fs: sl.FeatureStore, clock: SettableClock, trained: steps.Trained) -> list[Tested]:
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
        score = float(trained.score([vector])[0])
        tested.append({"asked": asked, "at": at, "dies": dies, "pattern": pattern,
                       "vector": vector, "score": score})  # fmt: skip
    print(f"  {len(generate.DIES)} dies a wafer; {SHIFT / seconds:.0f} wafers a second, end to end")
    scores = [each["score"] for each in tested]
    bad = [each["pattern"] != "none" for each in tested]
    print(
        f"  AUC of the shift against the patterns that were made: {roc_auc_score(bad, scores):.3f}"
    )
    return tested


def draw(path: Path, tested: list[Tested]) -> None:
    """Draw the wafers of the shift as wafer maps, the likeliest scrap first."""
    from matplotlib.patches import Circle

    ranked = sorted(tested, key=lambda each: -each["score"])
    shown = [*ranked[:12], *ranked[-6:]]
    figure, axes = steps.drawing(3, 6, figsize=(12, 6.2))
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
    steps.save(figure, path)


if __name__ == "__main__":
    main()
