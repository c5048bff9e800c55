"""What each aggregation costs beside a mean: in training sets, online and pushed, by rows.

    python -m benchmarks.aggregations [ROWS ...]

prints a table: the mean in microseconds a value, all other aggregations as multiples of it; what is
over its limit is bold. Values are read from one entity's state, computed for a training set of 500
moments of one entity, and a row is put into the state. Such multiples flatter nobody: a mean over a
sliding window is the fastest value there is, and a read over the API takes some 5 us more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

import skewless as sl
from skewless.aggregations import AGGREGATIONS, Aggregation
from skewless.aggregations.columns import Coded
from skewless.aggregations.kernels import Queries
from skewless.aggregations.spans import RowTimes
from skewless.aggregations.windows import LastN, Lifetime, Session, Sliding, Tumbling, Window
from skewless.definitions import Aggregate, FeatureView
from skewless.engines.local.window_kernels import WindowKernels
from skewless.errors import DefinitionError, MissingDependency
from skewless.plan.table_read import TableRead
from skewless.state.layout import StateLayout, expression_key
from skewless.state.packed_rows import RowSet
from skewless.state.update import update_states

SOURCE = sl.Source("rows", schema={"key": str, "x": float, "n": int, "word": str}, event_time="at")
KEY = sl.Entity("key", key=str)
HOUR, MOMENTS = 3_600_000_000, 500
WINDOWS: dict[str, Window] = {
    "1h": Sliding(width=HOUR),
    "1h, resolution 1m": Sliding(width=HOUR, resolution=HOUR // 60),
    "last 100": LastN(n=100),
    "tumbling 10m": Tumbling(width=HOUR // 6),
    "session 1s": Session(gap=HOUR // 3600),
    "lifetime": Lifetime(),
}
Case = tuple[Aggregation, Any, Any]
"""An aggregation, its column, and the text that groups rows."""
WIDE = {"n_unique", "median", "quantile", "approx_quantile", "approx_unique"}
WIDEST = {"mode", "top_k", "histogram", "last_n", "first_n", "distinct", "ewma"}


def main(sizes: Sequence[int]) -> None:
    """Print a table for each number of rows."""
    for rows in sizes:
        print(f"\n{rows:,} rows, times a mean over 1h\n")
        columns = [(way, name) for way in WAYS for name in WINDOWS]
        print("| aggregation | " + " | ".join(f"{way}, {name}" for way, name in columns) + " |")
        print("|---|" + "---|" * len(columns))
        mean = AGGREGATIONS["mean"]()
        base = {way: measured((mean, SOURCE.x, None), WINDOWS["1h"], way, rows) for way in WAYS}
        told = " | ".join(f"{base[way]:.1f} us" if name == "1h" else "" for way, name in columns)
        print(f"| mean | {told} |")
        for case in every():
            cells = [
                cell(case[0].name, measured(case, WINDOWS[name], way, rows), base[way])
                for way, name in columns
            ]
            if any(cells):
                print(f"| {described(*case)} | {' | '.join(cells)} |", flush=True)


def every() -> Iterator[Case]:
    """Yield an example of every aggregation of numbers, whole numbers, texts and groups."""
    for name in sorted(AGGREGATIONS):
        kind = AGGREGATIONS[name].examples()[0]
        for column in (SOURCE.x, SOURCE.n, SOURCE.word):
            yield kind, column, None
        yield kind, SOURCE.x, SOURCE.word


def described(kind: Aggregation, column: Any, by: Any) -> str:
    """Return what stands for a case in the table."""
    return f"{kind.name} of {column.name}" + ("" if by is None else " by word")


def cell(name: str, found: float | None, base: float) -> str:
    """Return a multiple of the mean, bold where it is over the limit of the aggregation."""
    if found is None:
        return ""
    limit = 10 if name in WIDE else 20 if name in WIDEST else 5
    return f"**{found / base:.1f}**" if found > limit * base else f"{found / base:.1f}"


def measured(case: Case, window: Window, way: str, rows: int) -> Any:
    """Return microseconds a value; None where the aggregation has no such window or column."""
    kind, column, by = case
    try:
        aggregate = Aggregate(kind, column, None, window, source="rows", by=by)
    except (DefinitionError, MissingDependency):
        return None
    return WAYS[way](aggregate, rows)


def history(rows: int) -> tuple[Any, dict[str, pa.Array]]:
    """Return event times over an hour, and columns."""
    random = np.random.default_rng(rows)
    whole = random.integers(0, 300, rows)
    columns = {
        SOURCE.x: pa.array(random.normal(size=rows)),
        SOURCE.n: pa.array(whole),
        SOURCE.word: pa.array([f"w{number % 7}" for number in whole.tolist()]),
    }
    event = np.sort(random.integers(0, HOUR, rows))
    return event, {expression_key(column): values for column, values in columns.items()}


def kept(aggregate: Aggregate, rows: int) -> tuple[FeatureView, StateLayout, RowSet]:
    """Return a view of one feature, its layout and the rows of one entity."""
    event, columns = history(rows)
    view = FeatureView("V", entity=KEY, source=SOURCE, features={"f": aggregate})
    layout = StateLayout.of(KEY, SOURCE, [view])
    own = [columns[slot.key] for slot in layout.slots]
    order = event, event, np.arange(rows) + 1
    return view, layout, RowSet.build(layout.slots, own, order, np.zeros(rows, np.int64)).sorted()


def online(aggregate: Aggregate, rows: int) -> float:
    """Return the time of a read of a state."""
    view, layout, packed = kept(aggregate, rows)
    (state,) = update_states(layout, [None], packed, sequence=rows, floor=HOUR - 1)
    part = TableRead(layout, [(view, 1, "f")])
    return least(lambda: part.answers([state], HOUR, HOUR), 1)


def pushed(aggregate: Aggregate, rows: int) -> float:
    """Return the time of putting the newest row into a state of the others."""
    _, layout, packed = kept(aggregate, rows)
    old, new = packed.take(np.arange(rows - 1)), packed.take(np.array([rows - 1]))
    (state,) = update_states(layout, [None], old, sequence=rows - 1, floor=HOUR // 2)
    return least(lambda: update_states(layout, [state], new, sequence=rows, floor=HOUR - 1), 1)


def training(aggregate: Aggregate, rows: int) -> float:
    """Return the time of a value of a training set."""
    event, columns = history(rows)
    asked = np.linspace(HOUR // 2, HOUR, MOMENTS).astype(np.int64)
    window = aggregate.window
    spans = window.spans(RowTimes(event, None, np.array([0, rows])))

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


WAYS: dict[str, Callable[[Aggregate, int], float]] = {
    "online": online,
    "training": training,
    "push": pushed,
}
"""The ways to a value that are measured."""


if __name__ == "__main__":
    main([int(given) for given in sys.argv[1:]] or [100, 1_000, 10_000])
