"""Building a training set on one machine: each source of its plan is scanned once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from skewless.definitions import Aggregate
from skewless.definitions.source import exclusive_of
from skewless.engines.base import Engine, Progress, Retrieved
from skewless.engines.history import SourceHistory
from skewless.engines.local.scan import Scan
from skewless.engines.local.source_steps import SourceSteps
from skewless.engines.local.spine import Ints, SpineIndex
from skewless.engines.local.windows import Key
from skewless.engines.outputs import outputs_of
from skewless.expressions.evaluate import evaluate, leaf_key
from skewless.plan.retrieval import (
    RetrievalPlan,
    Step,
    WantedAggregate,
    history_names,
    needed_times,
    rows_of,
    steps_by_source,
)
from skewless.state.layout import filter_of
from skewless.types import python_values

_OF_A_CORE = 1 << 27
Place = tuple[str, int, tuple[str, ...], tuple[str, ...], Key]
"""Source, side on which it is closed, join keys as columns and as asked for, and aggregate."""


class LocalEngine(Engine):
    """Builds training sets on one machine, with the compiled kernels.

    Args:
        memory: about how many bytes the rows of windows may take; beyond it they are spilled to a
            temporary folder (that of ``TMPDIR``). No value depends on it. None: 128 MiB for each
            core, 256 MiB at least and 1 GiB at most, as more saves no time.
    """

    kind = "local"

    def __init__(self, *, memory: int | None = None) -> None:
        if memory is None:
            memory = min(max(_OF_A_CORE * (os.cpu_count() or 1), 2 * _OF_A_CORE), 8 * _OF_A_CORE)
        self._memory = memory

    def retrieve(
        self,
        plan: RetrievalPlan,
        spine: pa.Table,
        times: Ints,
        histories: Mapping[str, SourceHistory],
        progress: Progress | None = None,
    ) -> Retrieved:
        indexes = {
            keys: SpineIndex.build(keys, spine, times)
            for keys in dict.fromkeys(step.keys for step in plan.steps)
        }
        aggregates: dict[Place, pa.Array] = {}
        dropped: dict[str, int] = {}
        hidden: dict[str, int] = {}
        done = 0
        for source, steps in steps_by_source(plan).items():
            if progress is not None:
                progress(f"reading {source}", done / len(plan.steps))
            scan = self._scan(plan, steps, times, histories[source])
            for step, found, unknown in SourceSteps(scan, steps, indexes, self._memory).run():
                back = indexes[step.keys].places.back
                for item in step.wanted:
                    place = (source, step.exclusive, step.entity.key_names, step.keys, item.key)
                    column = _with_identity(found.pop(item.key), back, item.aggregate)
                    aggregates[place] = _finished(column, item.aggregate)
                hidden[step.explain()] = max(unknown, hidden.get(step.explain(), 0))
                done += 1
                if progress is not None:
                    progress(step.explain(), done / len(plan.steps))
            dropped[source] = scan.dropped
        columns = self._features(plan, aggregates, spine, times)
        if progress is not None:
            progress("done", 1.0)
        found_none = {text: count for text, count in hidden.items() if count}
        return Retrieved(columns, {k: v for k, v in dropped.items() if v}, found_none)

    def _scan(
        self, plan: RetrievalPlan, steps: Sequence[Step], times: Ints, history: SourceHistory
    ) -> Scan:
        """Return a scan that reads no more time than some steps can need."""
        start = end = None
        if len(times):
            start, end = needed_times(steps, int(times.min()), int(times.max()))
        return Scan(history, as_known=plan.as_of == "known", start=start, end=end)

    def _features(
        self,
        plan: RetrievalPlan,
        aggregates: Mapping[Place, pa.Array],
        spine: pa.Table,
        times: Ints,
    ) -> dict[str, pa.Array]:
        selection, length = plan.selection, len(times)
        columns: dict[str, pa.Array] = {}
        names = history_names(plan)
        for need in selection.views:
            view = need.view
            for feature in need.features:
                expression = view.expressions[feature]
                leaves = {}
                for leaf in expression.leaves():
                    if isinstance(leaf, Aggregate):
                        item = WantedAggregate(leaf, filter_of(view, leaf))
                        exclusive = exclusive_of(view.source)
                        keys = view.row_entity.key_names, view.asked_entity.key_names
                        place = (names[rows_of(view.source)], exclusive, *keys, item.key)
                        leaves[leaf_key(leaf)] = aggregates[place]
                reference = need.reference(feature)
                if isinstance(expression, Aggregate):
                    columns[reference] = leaves[leaf_key(expression)]
                else:
                    columns[reference] = evaluate(expression, leaves, length)
        return outputs_of(selection, columns, spine, times)


def _with_identity(column: pa.Array, back: pa.Array, aggregate: Aggregate) -> pa.Array:
    """Return the column with the value of no rows where the spine has no key."""
    empty = aggregate.identity
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
        filled = [aggregate.default if v is None else v for v in python_values(column)]
        return pa.array(filled, type=dtype)
    return pc.fill_null(column, pa.scalar(aggregate.default, type=dtype))
