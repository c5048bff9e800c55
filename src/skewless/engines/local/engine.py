"""Building a training set on one machine, step by step of its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.definitions import Aggregate
from skewless.engines.history import SourceHistory
from skewless.engines.local.external_sort import held_runs
from skewless.engines.local.latest import run_latest
from skewless.engines.local.scan import Scan
from skewless.engines.local.spine import Ints, SpineIndex
from skewless.engines.local.windows import Key, expressions_of, run_windows
from skewless.expressions.evaluate import evaluate, leaf_key
from skewless.expressions.on_demand import compute_columns
from skewless.plan.retrieval import (
    LatestStep,
    RetrievalPlan,
    Step,
    WantedAggregate,
    WindowStep,
)
from skewless.state.layout import expression_key, filter_of
from skewless.state.window_eval import identity

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Retrieved:
    """What an engine made of a plan.

    Attributes:
        columns: by output name, as long as the spine.
        rows_dropped: rows of each source that were left out for want of an event time.
        unmatched: for each step, how many spine rows found no row at all.
    """

    columns: dict[str, pa.Array]
    rows_dropped: dict[str, int]
    unmatched: dict[str, int]


class LocalEngine:
    """Builds training sets on one machine, with the compiled kernels.

    Args:
        histories: history by source name.
        memory: about how many bytes the rows of windows may take; beyond it they are spilled to a
            temporary folder (that of ``TMPDIR``). No value depends on it.
    """

    def __init__(self, histories: Mapping[str, SourceHistory], *, memory: int = 1 << 30) -> None:
        self._histories = histories
        self._memory = memory

    def run(
        self, plan: RetrievalPlan, spine: pa.Table, times: Ints, progress: Progress | None = None
    ) -> Retrieved:
        """Carry out a plan.

        Args:
            plan: what is wanted.
            spine: join keys (of canonical type) and request fields, one row per row wanted.
            times: the moment of each spine row, UTC microseconds.
            progress: called with a step's text and the finished fraction of the whole.
        """
        indexes: dict[str, SpineIndex] = {}
        aggregates: dict[tuple[str, str, str, Key], pa.Array] = {}
        dropped: dict[str, int] = {}
        unmatched: dict[str, int] = {}
        for number, step in enumerate(plan.steps):
            if progress is not None:
                progress(step.explain(), number / len(plan.steps))
            name = step.entity.name
            if name not in indexes:
                indexes[name] = SpineIndex.build(step.entity, spine, times)
            scan = self._scan(plan, step, indexes[name])
            found, unmatched[step.explain()] = self._step(scan, indexes[name], step)
            back = _positions_back(indexes[name].order, len(times))
            for item in step.wanted:
                place = (step.source.name, step.source.closed, name, item.key)
                column = _joined(found.pop(item.key), item.aggregate).take(back)
                column = _with_identity(column, back, item.aggregate)
                aggregates[place] = _finished(column, item.aggregate)
            dropped[step.source.name] = scan.dropped
        columns = self._features(plan, aggregates, spine, len(times))
        if progress is not None:
            progress("done", 1.0)
        return Retrieved(columns, {k: v for k, v in dropped.items() if v}, unmatched)

    def _scan(self, plan: RetrievalPlan, step: Step, index: SpineIndex) -> Scan:
        """Return a scan that reads no more time than the step can need."""
        times = index.queries.time
        start = end = None
        if len(times):
            end = int(times.max()) + 1
            if isinstance(step, WindowStep):
                spans = [item.aggregate.window.span for item in step.wanted]
                if None not in spans:
                    start = int(times.min()) - max(s for s in spans if s is not None) - 1
        return Scan(
            self._histories[step.source.name],
            step.entity,
            as_known=plan.as_of == "known",
            left=step.source.closed == "left",
            start=start,
            end=end,
        )

    def _step(
        self, scan: Scan, index: SpineIndex, step: Step
    ) -> tuple[dict[Key, list[pa.Array]], int]:
        """Return arrays per aggregate, together an element per query, and the unmatched queries."""
        if isinstance(step, WindowStep):
            return self._windows(scan, index, step.wanted, None), 0
        corrected = scan.corrected(index.keys)
        found = self._latest(scan, index, step, corrected)
        if len(corrected):
            some = self._windows(scan, index, step.wanted, corrected)
            mask = pa.array(np.isin(_codes(index), corrected))
            for item in step.wanted:
                column = _joined(some[item.key], item.aggregate)
                found[0][item.key] = pc.if_else(mask, column, found[0][item.key])
        return {key: [column] for key, column in found[0].items()}, found[1]

    def _latest(
        self, scan: Scan, index: SpineIndex, step: LatestStep, corrected: Ints
    ) -> tuple[dict[Key, pa.Array], int]:
        answer = run_latest(scan, index, step, corrected)
        none = answer.place < 0
        take = pa.array(np.maximum(answer.place, 0), mask=none)
        columns: dict[Key, pa.Array] = {}
        for item in step.wanted:
            aggregate = item.aggregate
            if aggregate.column is None:
                raise ValueError(f"{aggregate!r} has no column")
            column = answer.columns[expression_key(aggregate.column)]
            indices = take
            if aggregate.ttl is not None:
                age = index.queries.time - scan.left - step.offset - answer.event
                expired = none | (age >= aggregate.ttl)
                indices = pa.array(np.maximum(answer.place, 0), mask=expired)
            columns[item.key] = column.take(indices)
        return columns, int(none.sum())

    def _windows(
        self,
        scan: Scan,
        index: SpineIndex,
        wanted: tuple[WantedAggregate, ...],
        only: Ints | None,
    ) -> dict[Key, list[pa.Array]]:
        found: dict[Key, list[pa.Array]] = {item.key: [] for item in wanted}
        runs = held_runs(scan, index.keys, expressions_of(wanted), only, self._memory)
        with closing(runs):
            for first, last, rows in runs:
                some = run_windows(rows, index.queries.groups(first, last), wanted, scan.left)
                for key, parts in some.items():
                    found[key] += parts
                del rows, some  # before those of the next run are read
        return found

    def _features(
        self,
        plan: RetrievalPlan,
        aggregates: Mapping[tuple[str, str, str, Key], pa.Array],
        spine: pa.Table,
        length: int,
    ) -> dict[str, pa.Array]:
        selection = plan.selection
        columns: dict[str, pa.Array] = {}
        for need in selection.views:
            view = need.view
            for feature in need.features:
                expression = view.expressions[feature]
                leaves = {}
                for leaf in expression.leaves():
                    if isinstance(leaf, Aggregate):
                        item = WantedAggregate(leaf, filter_of(view, leaf))
                        source = view.source
                        place = (source.name, source.closed, view.entity.name, item.key)
                        leaves[leaf_key(leaf)] = aggregates[place]
                reference = need.reference(feature)
                if isinstance(expression, Aggregate):
                    columns[reference] = leaves[leaf_key(expression)]
                else:
                    columns[reference] = evaluate(expression, leaves, length)
        for request in selection.requests:
            columns[request.name] = spine[request.name].combine_chunks()
        compute_columns(selection.on_demand, columns, length)
        return {output.name: columns[output.reference] for output in selection.outputs}


def _joined(parts: list[pa.Array], aggregate: Aggregate) -> pa.Array:
    if len(parts) == 1:
        return parts[0]
    return pa.concat_arrays(parts) if parts else pa.array([], type=aggregate.dtype.arrow())


def _codes(index: SpineIndex) -> Ints:
    """Return the code of each query."""
    return np.repeat(np.arange(index.keys.size), np.diff(index.queries.start))


def _positions_back(order: Ints, length: int) -> pa.Array:
    """Return for each spine row its place among the queries, null where it has none."""
    place = np.full(length, -1, np.int64)
    place[order] = np.arange(len(order))
    return pa.array(np.maximum(place, 0), mask=place < 0)


def _with_identity(column: pa.Array, back: pa.Array, aggregate: Aggregate) -> pa.Array:
    """Return the column with the value of no rows where the spine has no key."""
    empty = identity(aggregate)
    if empty is None or back.null_count == 0:
        return column
    return pc.if_else(back.is_null(), pa.scalar(empty, aggregate.dtype.arrow()), column)


def _finished(column: pa.Array, aggregate: Aggregate) -> pa.Array:
    """Return the column with the aggregate's default in place of null."""
    dtype = aggregate.dtype.arrow()
    if column.type != dtype:
        column = column.cast(dtype)
    if aggregate.default is None or column.null_count == 0:
        return column
    if aggregate.dtype.kind in ("list", "vector", "map", "struct"):
        filled = [aggregate.default if v is None else v for v in column.to_pylist()]
        return pa.array(filled, type=dtype)
    return pc.fill_null(column, pa.scalar(aggregate.default, type=dtype))
