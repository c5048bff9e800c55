"""Aggregations over windows for a spine: chunks of keys, one task per chunk, filter and window.

Tasks run in threads (the kernels release the interpreter), those with the most rows first: a hot
key is a chunk of its own, whose windows keep every core busy while smaller chunks fill the gaps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from skewless.aggregations.columns import Coded
from skewless.aggregations.kernels import Queries
from skewless.aggregations.spans import RowTimes
from skewless.aggregations.windows import Window
from skewless.definitions import Expression
from skewless.engines.local.scan import as_mask
from skewless.engines.local.sorted_rows import SortedRows
from skewless.engines.local.spine import Ints
from skewless.engines.local.window_kernels import WindowKernels
from skewless.plan.retrieval import WantedAggregate
from skewless.state.layout import expression_key

_CHUNK = 1_000_000
Key = tuple[str, str]


@dataclass(frozen=True)
class WindowTask:
    """The aggregates that share a window and a filter."""

    window: Window
    where: Expression | None
    wanted: tuple[WantedAggregate, ...]


def jobs_of(wanted: tuple[WantedAggregate, ...]) -> list[WindowTask]:
    """Return the aggregates by window and filter."""
    found: dict[tuple[Window, str], list[WantedAggregate]] = {}
    for item in wanted:
        found.setdefault((item.aggregate.window, item.key[1]), []).append(item)
    return [
        WindowTask(window, group[0].where, tuple(group)) for (window, _), group in found.items()
    ]


def expressions_of(wanted: tuple[WantedAggregate, ...]) -> list[Expression]:
    """Return the row expressions that aggregates and their filters evaluate, each once."""
    used = (e for w in wanted for e in (w.aggregate.column, w.aggregate.by, w.where))
    return list({expression_key(e): e for e in used if e is not None}.values())


def run_windows(
    rows: SortedRows,
    queries: Queries,
    wanted: tuple[WantedAggregate, ...],
    exclusive: int,
) -> Iterator[tuple[Key, pa.Array]]:
    """Yield arrays of each aggregate that together, in their order, have an element per query.

    Args:
        rows: held rows of the queries' keys.
        queries: the moments, by key.
        wanted: the aggregates.
        exclusive: 1 where the moment itself does not count.
    """
    jobs = jobs_of(wanted)
    chunks = [(keys, Coded()) for keys in key_chunks(rows.start, queries.start)]
    tasks = [(chunk, job) for chunk in chunks for job in jobs]

    def run(task: tuple[tuple[tuple[int, int], Coded], WindowTask]) -> list[pa.Array]:
        return _run_one(rows, queries, task[1], exclusive, task[0])

    def weight(number: int) -> int:
        (first, last), _ = tasks[number][0]
        return int(rows.start[first] - rows.start[last])

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        heaviest_first = sorted(range(len(tasks)), key=weight)
        results = {number: pool.submit(run, tasks[number]) for number in heaviest_first}
        for number, (_, job) in enumerate(tasks):
            for item, array in zip(job.wanted, results.pop(number).result(), strict=True):
                yield item.key, array


def key_chunks(rows: Ints, queries: Ints) -> Iterator[tuple[int, int]]:
    """Yield runs of keys that have about `_CHUNK` rows and queries together."""
    weight = rows + queries
    first, keys = 0, len(weight) - 1
    while first < keys:
        last = int(np.searchsorted(weight, weight[first] + _CHUNK, "right")) - 1
        last = min(max(last, first + 1), keys)
        yield first, last
        first = last


def _run_one(
    rows: SortedRows,
    queries: Queries,
    job: WindowTask,
    exclusive: int,
    keys: tuple[tuple[int, int], Coded],
) -> list[pa.Array]:
    """Return one array per aggregate of a job, for the queries of a run of keys."""
    (first, last), coded = keys
    low, high = int(rows.start[first]), int(rows.start[last])
    columns = {key: column.slice(low, high - low) for key, column in rows.columns.items()}
    passes = None if job.where is None else as_mask(columns[expression_key(job.where)])
    part = RowTimes(
        rows.event[low:high],
        rows.known[low:high],
        rows.start[first : last + 1] - low,
        None if rows.superseded is None else rows.superseded[low:high],
        bool(exclusive),
    )
    spans = job.window.spans(part, passes)
    asked = queries.groups(first, last)
    kernels = WindowKernels(
        job.window, spans, asked, part.event, (columns, coded), exclusive=exclusive
    )
    return kernels.run([item.aggregate for item in job.wanted])
