"""SYNTHETIC visits of a shop, made up by a random generator; no customer was watched.

made = history(end, users=160, items=150, days=24)
"""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

Row = dict[str, Any]
CATEGORIES = ("outdoor", "kitchen", "books", "toys", "garden", "music")
SIZE = 8


@dataclass
class Made:
    """Rows of the tables; those of `shown` in order of time."""

    items: list[Row] = field(default_factory=list)
    shown: list[Row] = field(default_factory=list)


def history(end: datetime, users: int, items: int, days: int, seed: int = 61) -> Made:
    """Return what was shown to users before `end`, and whether they clicked.

    A user is drawn to what is near to a taste that wanders from one category to another.
    """
    rng, numbers, made = random.Random(seed), np.random.default_rng(seed), Made()
    start = end - timedelta(days=days)
    centres = numbers.normal(0, 1, (len(CATEGORIES), SIZE))
    of = numbers.integers(0, len(CATEGORIES), items)
    vectors = centres[of] + numbers.normal(0, 0.45, (items, SIZE))
    drawn = numbers.normal(0, 0.7, items)  # some items are liked by everybody
    for n in range(items):
        made.items.append({
            "item_id": f"i{n:03}", "category": CATEGORIES[of[n]],
            "embedding": [round(float(x), 4) for x in vectors[n]],
            "price": round(rng.lognormvariate(3, 0.6), 2), "listed_at": start,
        })  # fmt: skip
    for n in range(users):
        first, then = rng.sample(range(len(CATEGORIES)), 2)
        turns = rng.uniform(0.2, 0.8) * days
        for _ in range(rng.randint(4, 14)):
            day = rng.random() * days
            taste = centres[then if day > turns else first]
            visit(rng, made, f"u{n:03}", start + timedelta(days=day), (taste, vectors, drawn))
    made.shown.sort(key=lambda each: each["shown_at"])
    return made


def visit(rng: random.Random, made: Made, user: str, at: datetime, liking: Any) -> None:
    """Add the eight items of a visit: what is near the taste is shown and clicked more often."""
    taste, vectors, drawn = liking
    near = vectors @ taste / SIZE + drawn * 0.5
    for number in range(8):
        item = rng.choices(range(len(near)), np.exp(near))[0]
        chance = 1 / (1 + np.exp(2.2 - 2.2 * near[item]))
        made.shown.append({
            "user_id": user, "item_id": made.items[item]["item_id"],
            "category": made.items[item]["category"], "embedding": made.items[item]["embedding"],
            "clicked": rng.random() < chance, "shown_at": at + timedelta(seconds=20 * number),
            "logged_at": at + timedelta(minutes=rng.choice((5, 10, 60))),
        })  # fmt: skip
