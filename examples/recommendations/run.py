"""Recommendations: 100 candidates of a user ranked at once, and what the user likes drawn.

The data is SYNTHETIC.

python examples/recommendations/run.py [--picture recommendations.png]
"""

import sys
from datetime import UTC, datetime, timedelta
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
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
CANDIDATES = 100


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    picture = steps.picture_of(__doc__, "recommendations.png")
    print("Recommendations. All data here is SYNTHETIC: made up by generate.py.")
    made = generate.history(NOW, users=160, items=150, days=24)
    with steps.repo(HERE, NOW, items=made.items, shown=made.shown) as (fs, clock):
        heading("Register, and build the states of all users and items")
        fs.apply(fs.plan())
        clicked = sum(each["clicked"] for each in made.shown)
        print(f"  {len(made.shown)} items shown to 160 users, {clicked} clicked")
        spine = [{name: each[name] for name in ("user_id", "item_id", "clicked", "shown_at")}
                 for each in made.shown if each["shown_at"] > NOW - timedelta(days=10)]  # fmt: skip
        trained = steps.train(
            fs, spine, "ranking_model", timestamp="shown_at", label="clicked",
            leak="the click itself is a part of taste and click rate", max_depth=3,
            learning_rate=0.05,
        )  # fmt: skip
        user = busiest(made)
        asked = rank_and_click(fs, clock, trained, user, made)
        steps.prove(fs, "ranking_model", asked)
        some = [[each.keys for each in asked[:CANDIDATES]]]
        steps.measure(fs, "ranking_model", [each.keys for each in asked], reads=500)
        steps.measure(fs, "ranking_model", some, reads=200)
        draw(picture, made, user, trained, asked)


def busiest(made: generate.Made) -> str:
    """Return the user with the most clicks."""
    users = [each["user_id"] for each in made.shown if each["clicked"]]
    return max(sorted(set(users)), key=users.count)


def rank_and_click(
    fs: sl.FeatureStore,
    clock: SettableClock,
    trained: steps.Trained,
    user: str,
    made: generate.Made,
) -> list[steps.Asked]:
    """Rank 100 candidates, let the user click the first one, and rank them anew."""
    heading(f"{CANDIDATES} candidates of user {user}, before and after a click")
    candidates = [{"user_id": user, "item_id": each["item_id"]} for each in made.items[:CANDIDATES]]
    asked: list[steps.Asked] = []
    for number in range(2):
        at = NOW + timedelta(minutes=10 * number)
        clock.time = to_micros(at)
        vectors = fs.get_online_features("ranking_model", candidates).to_rows()
        scores = trained.score(vectors)
        asked += [steps.Asked(k, at, v) for k, v in zip(candidates, vectors, strict=True)]
        order = np.argsort(-scores)
        first = [f"{candidates[n]['item_id']} {scores[n]:.2f}" for n in order[:6]]
        print(f"  {at:%H:%M}  {', '.join(first)}")
        if number == 0:
            chosen = made.items[order[-1]]  # the least likely one: taste has to move
            row = {"user_id": user, "clicked": True, "shown_at": at, "logged_at": at}
            row |= {name: chosen[name] for name in ("item_id", "category", "embedding")}
            clock.time = to_micros(at + timedelta(seconds=5))
            fs.push("shown", [row])
            print(f"         clicks {chosen['item_id']} ({chosen['category']}), the last of them")
    place = next(n for n, each in enumerate(candidates) if each["item_id"] == chosen["item_id"])
    before, after = (asked[place + n].vector["like_now"] for n in (0, CANDIDATES))
    print(f"  {chosen['item_id']} against the taste of the last five clicks:"
          f" {before:.2f} before, {after:.2f} after")  # fmt: skip
    return asked


def draw(
    path: Path, made: generate.Made, user: str, trained: steps.Trained, asked: list[steps.Asked]
) -> None:
    """Draw items by their vectors, those that were clicked, and the first ten."""
    vectors = np.array([each["embedding"] for each in made.items])
    middle = vectors.mean(axis=0)
    flat = np.linalg.svd(vectors - middle, full_matrices=False)[2][:2]

    def placed(points: Any) -> Any:
        return (np.asarray(points) - middle) @ flat.T

    figure, axes = steps.drawing(figsize=(9.5, 7))
    at = placed(vectors)
    for category, colour in zip(generate.CATEGORIES, steps.COLOURS, strict=True):
        some = [n for n, each in enumerate(made.items) if each["category"] == category]
        axes.scatter(*at[some].T, s=26, color=colour, alpha=0.55, edgecolor="none", label=category)
    clicked = [each for each in made.shown if each["user_id"] == user and each["clicked"]]
    seen = placed([each["embedding"] for each in clicked])
    axes.scatter(*seen.T, s=90, facecolor="none", edgecolor="#1f2933", label="clicked by the user")
    means = [np.mean([each["embedding"] for each in clicked[max(0, n - 4) : n + 1]], axis=0)
             for n in range(len(clicked))]  # fmt: skip
    way = placed(means)
    axes.plot(*way.T, color="#1f2933", linewidth=1, alpha=0.6)
    axes.plot(*way[-1], marker="*", markersize=18, color="#1f2933", linestyle="none",
              label="taste now (mean of five clicks)")  # fmt: skip
    first = asked[:CANDIDATES]
    order = np.argsort(-trained.score([each.vector for each in first]))[:10]
    for rank, n in enumerate(order, 1):
        axes.annotate(str(rank), at[n], fontsize=11, fontweight="bold", color="#1f2933",
                      xytext=(4, 4), textcoords="offset points")  # fmt: skip
    axes.plot(
        [], [], marker="$1$", color="#1f2933", linestyle="none", label="rank of the first ten"
    )
    axes.set(title=f"Synthetic items by their vectors, and what user {user} is shown",
             xlabel="first direction of the vectors", ylabel="second direction")  # fmt: skip
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    steps.save(figure, path)


if __name__ == "__main__":
    main()
