"""A hundred candidates of one user: what repeating the user in every row of a read costs.

The rows are synthetic. One read of the user, one of the items, and one of all features of the pairs
take turns in a process, so that other work on the machine slows them alike; the ratio is that of
the pairs to the sum of the other two.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from benchmarks.child import Clock
from benchmarks.harness import Contender, Figures, Line, Options, run_all

ITEMS = 100
HEADINGS = {
    "user_us": "user, us of CPU",
    "items_us": f"{ITEMS} items",
    "pairs_us": f"{ITEMS} pairs",
    "ratio": "pairs to user and items",
}


def run(options: Options) -> Figures:
    """Measure reads of pairs of one user with many items, over few and many rows of the user."""
    reads = options.pick(3, 200, 1_000)
    contenders = [
        Contender(
            f"a user of {rows:,} rows, {of_items}",
            "benchmarks.candidates:read",
            {"rows": rows, "windows": windows, "reads": reads},
            about="14 windowed features of the user",
        )
        for rows in (100, 1_000)
        for of_items, windows in (
            ("2 newest values an item", False),
            ("3 windows and a newest text an item", True),
        )
    ]
    return {
        "title": f"{ITEMS} candidates of one user, read in process",
        "contenders": run_all(contenders, options),
    }


def definitions(windows: bool) -> tuple[Any, Any]:
    """Return the source of clicks, and the views of its users and items with their service."""
    import skewless as sl

    schema = {"user_id": str, "item_id": str, "price": float, "kind": str}
    clicks = sl.Source("clicks", schema=schema, event_time="at")

    @sl.feature_view(entity=sl.Entity("user", user_id=str), source=clicks)
    class User:
        """What a user did."""

        count = clicks.count("1h", "24h", "7d")
        total = clicks.price.sum("1h", "24h", "7d")
        mean = clicks.price.mean("1h", "24h", "7d")
        greatest = clicks.price.max("1h", "24h", "7d")
        last = clicks.price.last_n(20)
        kinds = clicks.price.sum("7d", by="kind")

    newest = {"kind": clicks.kind.latest(), "paid": clicks.price.latest()}
    lately = {"views": clicks.count("1h", "24h"), "mean": clicks.price.mean("24h")}
    lately |= {"kind": clicks.kind.latest()}
    item = sl.FeatureView(
        "Item",
        entity=sl.Entity("item", item_id=str),
        source=clicks,
        features=lately if windows else newest,
    )
    return clicks, [User, item, sl.FeatureService("ranking", [User, item])]


def clicks_of(rows: int) -> Any:
    """Return the user's rows, and 20,000 of others over the items, as an Arrow table."""
    import numpy as np
    import pyarrow as pa

    some, many = np.random.default_rng(7), rows + 20_000
    seconds = some.integers(0, 7 * 86_400, many)
    now = datetime.now(UTC)
    who = ["u"] * rows + [f"o{number}" for number in some.integers(0, 500, 20_000)]
    columns = {
        "user_id": who,
        "item_id": [f"i{number}" for number in some.integers(0, ITEMS, many)],
        "price": some.gamma(2.0, 20.0, many),
        "kind": [f"k{number}" for number in some.integers(0, 8, many)],
        "at": pa.array([now - timedelta(seconds=int(each)) for each in seconds]),
    }
    return pa.table(columns)


def read(clock: Clock, rows: int, windows: bool, reads: int) -> dict[str, Any]:
    """Read the user, the items, and the pairs, in turns."""
    import skewless as sl

    clicks, ranking = definitions(windows)
    items = [f"i{number}" for number in range(ITEMS)]
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(ranking)
        store.push(clicks, clicks_of(rows), backdate=True)
        get = store.get_online_features
        calls: dict[str, Callable[[], Any]] = {
            "user_us": lambda: get("User", {"user_id": "u"}),
            "items_us": lambda: get("Item", {"item_id": items}),
            "pairs_us": lambda: get("ranking", {"user_id": ["u"] * ITEMS, "item_id": items}),
        }
        pairs = calls["pairs_us"]().to_dict()
        if pairs["last"] != [pairs["last"][0]] * ITEMS or not pairs["last"][0]:
            raise RuntimeError("the pairs are not what was asked for")
        taken: dict[str, list[int]] = {name: [] for name in calls}
        with clock:
            for _ in range(reads):
                for name, call in calls.items():
                    begin = time.process_time_ns()
                    call()
                    taken[name].append(time.process_time_ns() - begin)
    found = {name: round(median(times) / 1e3, 1) for name, times in taken.items()}
    return found | {"ratio": round(found["pairs_us"] / (found["user_us"] + found["items_us"]), 2)}


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README: none, there is no peer."""
    del result
    return []
