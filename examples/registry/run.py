"""A registry of 1,000 test parameters: rules of names, search, a model, and what has drifted.

The data is SYNTHETIC.

python examples/registry/run.py [--picture registry.png]
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
from parameters import FAMILIES, PARAMETERS, QUANTITIES, STATES
from steps import heading

import skewless as sl

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
LOTS, NEWEST = 180, generate.MOVED
RULES = f"""
[lint]
features = "({"|".join(FAMILIES)})_({"|".join(QUANTITIES)})_({"|".join(STATES)})"
views = "[A-Z][a-z]+"
sources = "[a-z]+_results"
owners = {[*(f"{name}-team" for name in FAMILIES), "yield"]}
descriptions = ["view", "feature", "source", "service", "entity"]
freshness = true
enforce = true
"""


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    picture = steps.picture_of(__doc__, "registry.png")
    print("A registry of test parameters. All data here is SYNTHETIC: made up by generate.py.")
    results, judged = generate.history(NOW, LOTS)
    with steps.repo(HERE, NOW, RULES, **results) as (fs, _):
        register(fs)
        refuse(fs)
        find(fs)
        steps.train(
            fs, judged, "lot_model", timestamp="judged_at", label="failed",
            leak="lots that fail are tested anew, two days later",
        )  # fmt: skip
        asked = read(fs, [{"lot_id": each["lot_id"]} for each in judged[-20:]])
        steps.prove(fs, "lot_model", asked)
        steps.measure(fs, "lot_model", [each.keys for each in asked], reads=100)
        steps.measure(fs, "memory_model", [each.keys for each in asked], reads=500)
        draw(picture, fs, judged)


def register(fs: sl.FeatureStore) -> None:
    """Plan and apply a thousand features; they keep to the rules of names."""
    heading("Register 1,000 features: 20 families by 50 parameters, made by a function")
    begin = time.perf_counter()
    plan = fs.plan()
    planned = time.perf_counter()
    fs.apply(plan)
    print(f"  {str(plan).splitlines()[0]}")
    print(f"  {sum(len(view.features) for view in fs.views.values())} features;"
          f" {len(plan.lint)} do not keep to the rules of [lint]")  # fmt: skip
    print(f"  planned in {planned - begin:.2f} s; applied, and the states of {LOTS} lots built,"
          f" in {time.perf_counter() - planned:.2f} s")  # fmt: skip


def refuse(fs: sl.FeatureStore) -> None:
    """Try to apply a view that somebody wrote in a hurry."""
    heading("A view that does not keep to the rules of [lint] is refused")
    source = fs.sources["sram_results"]
    hurry = sl.FeatureView(
        "Sram_v2_NEW",
        entity=fs.entities["lot"],
        source=source,
        features={"vminHot": source.vmin_125c.mean(sl.lifetime())},
        owner="me",
    )
    try:
        fs.apply(hurry)
    except sl.SkewlessError as problem:
        print("  " + str(problem).replace("; ", "\n    "))
    else:
        raise SystemExit("It was taken.")


def find(fs: sl.FeatureStore) -> None:
    """Search a thousand features by what they say, by unit, owner and tag."""
    for text in (
        "jitter of clock generators",
        "least supply voltage static memory after burn-in",
        "quiescent current owner:leakage-team",
        "tag:family=adc noise at 85 degrees",
    ):
        begin = time.perf_counter()
        found = fs.search(text, limit=3)
        heading(f"Search: {text}   ({(time.perf_counter() - begin) * 1e3:.1f} ms)")
        for each in found:
            print(f"  {each['feature']:28} {each['description']}")
    heading("Show one of them")
    print(fs.show("Sram:sram_vmin_125c"))


def read(fs: sl.FeatureStore, keys: list[steps.Row]) -> list[steps.Asked]:
    """Read the whole vector of each lot."""
    found = fs.get_online_features("lot_model", keys).to_rows()
    return [steps.Asked(key, NOW, row) for key, row in zip(keys, found, strict=True)]


def draw(path: Path, fs: sl.FeatureStore, judged: list[dict[str, Any]]) -> None:
    """Draw how far each parameter of the newest lots lies from those before."""
    heading(f"What has moved: the newest {NEWEST} lots against those before")
    spine = [{"lot_id": each["lot_id"], "at": each["judged_at"]} for each in judged]
    table = fs.get_historical_features(spine, "lot_model", timestamp="at").to_arrow()
    names = [f"{family}_{parameter}" for family in FAMILIES for parameter in PARAMETERS]
    values = steps.matrix(table.select(names).to_pylist(), names)
    before, newest = values[:-NEWEST], values[-NEWEST:]
    error = np.sqrt(before.var(axis=0) / len(before) + newest.var(axis=0) / NEWEST)
    moved = ((newest.mean(axis=0) - before.mean(axis=0)) / error).reshape(len(FAMILIES), -1)
    for place in np.argsort(-np.abs(moved).ravel())[:6]:
        print(f"  {names[place]:20} {moved.ravel()[place]:+.1f} standard errors")
    figure, axes = steps.drawing(figsize=(13, 6.2))
    image = axes.imshow(moved, cmap="PuOr_r", vmin=-8, vmax=8, aspect="auto")
    axes.set_yticks(range(len(FAMILIES)), list(FAMILIES))
    axes.set_xticks(range(len(PARAMETERS)), PARAMETERS, rotation=90, fontsize=8)
    for x in range(len(STATES), len(PARAMETERS), len(STATES)):
        axes.axvline(x - 0.5, color="white", linewidth=1.5)
    for family, parameter in zip(*np.nonzero(np.abs(moved) > 4), strict=True):
        axes.text(parameter, family, f"{moved[family, parameter]:.0f}", ha="center", va="center",
                  fontsize=8, color="white")  # fmt: skip
    axes.set_title(f"1,000 features of {LOTS} synthetic lots: how far the newest {NEWEST} lie from"
                   " those before")  # fmt: skip
    figure.colorbar(image, ax=axes, label="standard errors", shrink=0.8, pad=0.01)
    steps.save(figure, path)


if __name__ == "__main__":
    main()
