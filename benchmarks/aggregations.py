"""What each aggregation costs beside a mean: in training sets and online, by rows in the window.

    python -m benchmarks.aggregations [ROWS ...]

prints a table: the mean in microseconds a value, all other aggregations as multiples of it. Values
are read from one entity's state, and computed for a training set of 500 moments of one entity.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

import skewless as sl
from skewless.aggregations import AGGREGATIONS, Aggregation
from skewless.aggregations.columns import Coded
from skewless.aggregations.kernels import Queries, Spans
from skewless.aggregations.windows import Lifetime, Sliding, Window
from skewless.definitions import Aggregate, FeatureView
from skewless.engines.local.window_kernels import WindowKernels
from skewless.errors import DefinitionError, MissingDependency
from skewless.plan.table_read import TableRead
from skewless.state.layout import StateLayout, expression_key
from skewless.state.packed_rows import RowSet
from skewless.state.update import update_states

SOURCE = sl.Source("rows", schema={"key": str, "x": float, "word": str}, event_time="at")
KEY = sl.Entity("key", key=str)
HOUR, MOMENTS = 3_600_000_000, 500
WINDOWS: dict[str, Window] = {
    "1h": Sliding(width=HOUR),
    "1h, resolution 1m": Sliding(width=HOUR, resolution=HOUR // 60),
    "lifetime": Lifetime(),
}


def main(sizes: Sequence[int]) -> None:
    """Print a table for each number of rows."""
    for rows in sizes:
        columns = [(way, name) for way in ("online", "training") for name in WINDOWS]
        print(f"\n{rows:,} rows, times a mean over 1h\n")
        print("| aggregation | " + " | ".join(f"{way}, {name}" for way, name in columns) + " |")
        print("|---|" + "---|" * len(columns))
        mean = {way: measured(AGGREGATIONS["mean"](), WINDOWS["1h"], way, rows) for way in ways()}
        told = " | ".join(f"{mean[way]:.1f} us" if name == "1h" else "" for way, name in columns)
        print(f"| mean | {told} |")
        for kind in every():
            cells = []
            for way, name in columns:
                found = measured(kind, WINDOWS[name], way, rows)
                cells.append("" if found is None else f"{found / mean[way]:.1f}")
            print(f"| {kind!r} | {' | '.join(cells)} |", flush=True)


def ways() -> tuple[str, str]:
    """Return the ways to a value that are measured."""
    return "online", "training"


def every() -> Iterator[Aggregation]:
    """Yield an example of every aggregation."""
    for name in sorted(AGGREGATIONS):
        yield AGGREGATIONS[name].examples()[0]


def measured(kind: Aggregation, window: Window, way: str, rows: int) -> Any:
    """Return microseconds a value; None where the aggregation has no such window."""
    try:
        aggregate = Aggregate(kind, SOURCE.x, None, window, source="rows")
    except (DefinitionError, MissingDependency):
        return None
    return (online if way == "online" else training)(aggregate, rows)


def history(rows: int) -> tuple[Any, Any]:
    """Return event times over an hour, and values."""
    random = np.random.default_rng(rows)
    return np.sort(random.integers(0, HOUR, rows)), random.normal(size=rows)


def online(aggregate: Aggregate, rows: int) -> float:
    """Return the time of a read of a state."""
    event, x = history(rows)
    view = FeatureView("V", entity=KEY, source=SOURCE, features={"f": aggregate})
    layout = StateLayout.of(KEY, SOURCE, [view])
    order = event, event, np.arange(rows) + 1
    packed = RowSet.build(layout.slots, [pa.array(x)], order, np.zeros(rows, np.int64))
    (state,) = update_states(layout, [None], packed.sorted(), sequence=rows, floor=HOUR - 1)
    part = TableRead(layout, [(view, 1, "f")])
    return least(lambda: part.answers([state], HOUR, HOUR), 1)


def training(aggregate: Aggregate, rows: int) -> float:
    """Return the time of a value of a training set."""
    event, x = history(rows)
    asked = np.linspace(HOUR // 2, HOUR, MOMENTS).astype(np.int64)
    start = np.array([0, rows])
    window = replace(aggregate.window)
    from skewless.aggregations.spans import RowTimes

    spans: Spans = window.spans(RowTimes(event, None, start))
    columns = {expression_key(SOURCE.x): pa.array(x)}

    def run() -> None:
        queries = Queries(asked, np.array([0, MOMENTS]))
        WindowKernels(window, spans, queries, event, (columns, Coded()), exclusive=0).run(
            [aggregate]
        )

    return least(run, MOMENTS)


def least(run: Callable[[], Any], values: int) -> float:
    """Return the least time of some runs, microseconds a value."""
    run()
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times) / values * 1e6


if __name__ == "__main__":
    main([int(given) for given in sys.argv[1:]] or [100, 1_000, 10_000])
