"""Credit: more than 200 features of a customer, what they are worth, and what leakage costs.

The data is SYNTHETIC.

python examples/credit/run.py [--picture credit.png]
"""

import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "_shared"))

import generate
import numpy as np
import steps
from steps import heading

import skewless as sl
from skewless.clock import SettableClock, to_micros

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    picture = steps.picture_of(__doc__, "credit.png")
    print("Credit. All data here is SYNTHETIC: made up by generate.py.")
    made = generate.history(NOW, customers=300, days=420)
    tables = {name: rows for name, rows in vars(made).items() if name != "applications"}
    with steps.repo(HERE, NOW, **tables) as (fs, clock):
        heading("Register, and build the states of all customers")
        fs.apply(fs.plan())
        print(f"  {', '.join(f'{len(rows)} {name}' for name, rows in tables.items())}")
        trained = steps.train(
            fs, made.applications, "credit_model", timestamp="asked_at", label="defaulted",
            leak="reports are revised when a loan is not paid back", max_depth=4,
            learning_rate=0.05,
        )  # fmt: skip
        groups = importance(fs, trained)
        asked = decide(fs, clock, trained, generate.asked_today(made, NOW, many=60))
        steps.prove(fs, "credit_model", asked)
        steps.measure(fs, "credit_model", [each.keys for each in asked])
        draw(picture, groups, trained)


def decide(
    fs: sl.FeatureStore, clock: SettableClock, trained: steps.Trained, asked: list[steps.Row]
) -> list[steps.Asked]:
    """Read each application of today when it is asked, and score it."""
    heading("Applications of today")
    found = []
    for each in asked:
        clock.time = to_micros(each["asked_at"])
        keys = {name: each[name] for name in ("customer_id", "amount", "months")}
        vector = fs.get_online_features("credit_model", keys).to_rows()[0]
        found.append(steps.Asked(keys, each["asked_at"], vector))
    scores = trained.score([each.vector for each in found])
    print(f"  {len(found)} applications; {sum(scores > 0.5)} are refused")
    return found


def importance(fs: sl.FeatureStore, trained: steps.Trained) -> list[dict[str, Any]]:
    """Return what each feature adds to scores of the holdout, with its view and sources."""
    heading("What each view and source adds to the scores (mean |SHAP value|, log odds)")
    if find_spec("shap") is None:
        raise SystemExit("SHAP is not installed: pip install 'skewless[importance]'")
    import shap

    x = steps.matrix(trained.holdout.to_pylist(), trained.names)
    values = shap.TreeExplainer(trained.model).shap_values(x)
    strength = np.abs(values).mean(axis=0)
    outputs = {output.name: output for output in trained.training.plan.selection.outputs}
    found = [
        {"feature": name, "size": float(size), "values": values[:, n], "given": x[:, n]}
        for n, (name, size) in enumerate(zip(trained.names, strength, strict=True))
    ]
    for each in found:
        output = outputs[each["feature"]]
        each["view"] = output.view
        columns = fs.lineage(output.reference, up=3, down=0).of_kind("column")
        sources = sorted({column.split(".")[0] for column in columns})
        each["source"] = " + ".join(sources) or "request"
    for by in ("view", "source"):
        for name, size, many in grouped(found, by):
            print(f"  {by:7} {name:28} {size:6.3f}  of {many} features")
    return found


def grouped(found: list[dict[str, Any]], by: str) -> list[tuple[str, float, int]]:
    """Return the sum of sizes and the number of features of each group, the largest first."""
    names = {each[by] for each in found}
    rows = [[each["size"] for each in found if each[by] == name] for name in sorted(names)]
    sums = [(name, sum(row), len(row)) for name, row in zip(sorted(names), rows, strict=True)]
    return sorted(sums, key=lambda each: -each[1])


def draw(path: Path, found: list[dict[str, Any]], trained: steps.Trained) -> None:
    """Draw what views and sources add, and of the strongest features each application's share."""
    figure, (left, right) = steps.drawing(1, 2, figsize=(13, 6.4), width_ratios=[2, 3])
    sources = [name for name, _, _ in grouped(found, "source")]
    colours = dict(zip(sources, steps.COLOURS, strict=False))
    views = grouped(found, "view")[::-1]
    for place, (view, _, many) in enumerate(views):
        base = 0.0
        parts = grouped([each for each in found if each["view"] == view], "source")
        for source, size, _ in parts:
            left.barh(place, size, left=base, color=colours.get(source, "#b8c1cc"))
            base += size
        left.text(base + 0.01, place, f" {many} features", va="center", fontsize=9)
    left.set_yticks(range(len(views)), [view for view, _, _ in views])
    left.set(title="What views add to the score, by source", xlabel="mean |SHAP value|, log odds",
             xlim=(0, 1.3 * views[-1][1]))  # fmt: skip
    for source in sources:
        left.barh(0, 0, color=colours.get(source, "#b8c1cc"), label=source)
    left.legend(loc="lower right", frameon=False, fontsize=9)
    best = sorted(found, key=lambda each: each["size"])[-15:]
    rng = np.random.default_rng(0)
    for place, each in enumerate(best):
        order = np.argsort(np.argsort(np.nan_to_num(each["given"], nan=-np.inf)))
        high = order / max(1, len(order) - 1)
        dots = right.scatter(each["values"], place + rng.uniform(-0.25, 0.25, len(high)), c=high,
                             cmap="cividis", s=11, alpha=0.8, edgecolor="none")  # fmt: skip
    right.axvline(0, color="#b8c1cc", linewidth=0.8, zorder=0)
    right.set_yticks(range(len(best)), [each["feature"] for each in best])
    right.set(title=f"The 15 strongest of {len(found)}: each of {trained.holdout.num_rows} loans",
              xlabel="what the feature adds to the log odds of default")  # fmt: skip
    bar = figure.colorbar(dots, ax=right, ticks=[0, 1], shrink=0.6, pad=0.01)
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("value of the feature", labelpad=-12)
    figure.suptitle("Why a loan is refused (synthetic customers)")
    steps.save(figure, path)


if __name__ == "__main__":
    main()
