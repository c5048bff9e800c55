"""Spatial features of wafers: each die against its neighbours, made once a wafer is complete.

The data is SYNTHETIC.

python examples/spatial_wafers/run.py [--picture spatial.png]
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path += [
    str(Path(__file__).parents[1] / "_shared"),
    str(Path(__file__).parents[1] / "yield_wafers"),
]

import generate
import numpy as np
import steps
from steps import heading

import skewless as sl
from skewless.clock import SettableClock, to_micros

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
WAFERS, SHIFT = 200, 40
Tested = dict[str, Any]


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    picture = steps.picture_of(__doc__, "spatial.png")
    print("Spatial features of wafers. All data here is SYNTHETIC: made up by a generator.")
    dies, inspected = generate.history(NOW, WAFERS)
    with steps.repo(HERE, NOW) as (fs, clock):
        heading("Register, and push the history: a row for each wafer is made of its 137 dies")
        fs.apply(fs.plan())
        begin = time.perf_counter()
        pushed = fs.push("dies", sorted(dies, key=lambda die: die["uploaded_at"]), backdate=True)
        print(f"  {pushed.accepted + pushed.corrections} results of {WAFERS} wafers,"
              f" {pushed.corrections} of them corrections,"
              f" in {time.perf_counter() - begin:.1f} s")  # fmt: skip
        steps.train(
            fs, inspected, "spatial_model", timestamp="inspected_at", label="scrapped",
            leak="scrapped wafers are tested anew, and their maps made anew, a day later",
            min_samples_leaf=8,
        )  # fmt: skip
        tested = work_a_shift(fs, clock)
        asked = [steps.Asked(each["asked"], each["at"], each["vector"]) for each in tested]
        steps.prove(fs, "spatial_model", asked)
        steps.measure(fs, "spatial_model", [each.keys for each in asked])
        draw(picture, tested)


def work_a_shift(fs: sl.FeatureStore, clock: SettableClock) -> list[Tested]:
    """Push each wafer when it is tested, all dies but one first, and read it at once."""
    heading(f"A shift of {SHIFT} wafers: pushed, derived, read")
    tested, seconds, early = [], 0.0, 0
    for dies, pattern in generate.shift(NOW, SHIFT):
        at = dies[0]["uploaded_at"]
        clock.time = to_micros(at)
        asked = {"wafer_id": dies[0]["wafer_id"]}
        begin = time.perf_counter()
        fs.push("dies", dies[:-1])
        vector = fs.get_online_features("spatial_model", asked).to_rows()[0]
        early += vector["alike"] is not None
        fs.push("dies", dies[-1:])
        vector = fs.get_online_features("spatial_model", asked).to_rows()[0]
        seconds += time.perf_counter() - begin
        tested.append({"asked": asked, "at": at, "dies": dies, "pattern": pattern,
                       "vector": vector})  # fmt: skip
    print(f"  {SHIFT / seconds:.0f} wafers a second, pushed in two parts and read after each;"
          f" {early} had a map before the last die")  # fmt: skip
    return tested


def draw(path: Path, tested: list[Tested]) -> None:
    """Draw wafer maps of each pattern: the current of each die, and of its neighbours."""
    from matplotlib.patches import Circle

    patterns = ("none", "edge", "centre", "scratch")
    shown = [
        max((each for each in tested if each["pattern"] == pattern),
            key=lambda each: each["vector"]["bad_pairs"] * (each["pattern"] != "none"))
        for pattern in patterns
    ]  # fmt: skip
    figure, axes = steps.drawing(2, len(shown), figsize=(12, 6.4))
    half = generate.SIZE // 2
    for column, each in enumerate(shown):
        for row, values in enumerate(
            ([die["idd"] for die in each["dies"]], each["vector"]["around"])
        ):
            grid = np.full((generate.SIZE, generate.SIZE), np.nan)
            for die, value in zip(each["dies"], values, strict=True):
                grid[die["y"] + half, die["x"] + half] = value
            place = axes[row][column]
            image = place.imshow(grid, cmap="viridis", vmin=36, vmax=48, origin="lower")
            place.add_patch(
                Circle((half, half), generate.SIZE / 2 + 0.3, fill=False, ec="#1f2933", lw=1.2)
            )
            place.set(xlim=(-1.2, generate.SIZE + 0.2), ylim=(-1.2, generate.SIZE + 0.2))
            place.axis("off")
        v = each["vector"]
        axes[0][column].set_title(f"{each['asked']['wafer_id']}: pattern {each['pattern']}")
        axes[1][column].set_title(
            f"Moran's I {v['alike']:.2f}, bad pairs {v['bad_pairs']},\n"
            f"edge - centre {v['edge_centre']:+.1f} mA", fontsize=10,
        )  # fmt: skip
    figure.colorbar(image, ax=axes, shrink=0.7, label="supply current, mA")
    figure.suptitle("Synthetic wafers: each die (above), and the mean of its neighbours (below)")
    steps.save(figure, path)


if __name__ == "__main__":
    main()
