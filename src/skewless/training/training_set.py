"""Training sets: the spine is checked, the engine run, the spine given back untouched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.definitions import Source
from skewless.engines.base import Engine, Progress, Retrieved
from skewless.engines.given_spine import check_spine, spine_columns, spine_times
from skewless.engines.local import LocalEngine
from skewless.errors import UnknownName
from skewless.online.pinned_tables import Pinned
from skewless.online.runtime import Runtime
from skewless.plan.results import TrainingSet
from skewless.plan.retrieval import (
    RetrievalPlan,
    Step,
    needed_times,
    plan_retrieval,
    steps_by_source,
)
from skewless.plan.selection import Features, select
from skewless.stores.offline.as_table import as_table
from skewless.stores.offline.history import History
from skewless.training.frame_training_set import FrameTrainingSet

Ints = npt.NDArray[np.int64]
_HIDDEN_SHARE = 0.5


def training_set(
    runtime: Runtime,
    spine: Any,
    features: Features,
    *,
    timestamp: str,
    as_of: str,
    full_names: bool,
    progress: Progress | None,
    tables: Mapping[str, Pinned | History] | None = None,
    engine: Engine | str | None = None,
) -> TrainingSet:
    """Return a training set; see `FeatureStore.get_historical_features`.

    Of ``tables`` a history is read itself, with the rows that it holds.
    """
    selection = select(runtime.state(fresh=True), features, full_names=full_names)
    plan = plan_retrieval(selection, timestamp=timestamp, as_of=as_of)
    chosen = runtime.engines.get(engine)

    def other(given: Any, states: Mapping[str, Pinned]) -> TrainingSet:
        opposite = "event_time" if plan.as_of == "known" else "known"
        return training_set(
            runtime,
            given,
            features,
            timestamp=timestamp,
            as_of=opposite,
            full_names=full_names,
            progress=None,
            tables=states,
            engine=chosen,
        )

    if chosen.takes(spine):
        check_spine(chosen.columns_of(spine).names, selection, timestamp)
        histories = open_histories(runtime, plan, tables)
        frame, how = chosen.retrieve_frame(plan, spine, histories), chosen.explain(histories)
        states = pinned(histories)
        return FrameTrainingSet(frame, chosen, plan, lambda: other(spine, states), states, how=how)
    types = {each.name: each.dtype for each in selection.requests if each.dtype.holds_mappings}
    table = as_table(spine, where="the spine", types=types)
    check_spine(table.column_names, selection, timestamp)
    times = spine_times(table, timestamp)
    asked = spine_columns(table, selection)
    histories = open_histories(runtime, plan, tables)
    narrow(histories, plan, asked, times)
    found = chosen.retrieve(plan, asked, times, histories, progress)
    states = pinned(histories)
    notes = _notes(plan, found, len(times))
    notes += [note for history in histories.values() for note in history.notes()]
    made = _beside(table, found.columns)
    how = chosen.explain(histories)
    return TrainingSet(made, plan, notes, lambda: other(table, states), states, engine=how)


def pinned(histories: Mapping[str, History]) -> dict[str, dict[str, Any]]:
    """Return the states of the tables that were read, by history; see `TrainingSet.tables`."""
    return {name: state for name, each in histories.items() if (state := each.pinned())}


def _beside(table: pa.Table, columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    """Return a table with more columns to the right of its own."""
    more = [pa.field(name, column.type) for name, column in columns.items()]
    schema = pa.schema([*table.schema, *more], metadata=table.schema.metadata)
    return pa.Table.from_arrays([*table.columns, *columns.values()], schema=schema)


def run(
    runtime: Runtime,
    plan: RetrievalPlan,
    asked: pa.Table,
    times: Ints,
    progress: Progress | None = None,
) -> Retrieved:
    """Run a plan with the local engine over the histories of its sources."""
    histories = open_histories(runtime, plan)
    narrow(histories, plan, asked, times)
    return LocalEngine().retrieve(plan, asked, times, histories, progress)


def open_histories(
    runtime: Runtime, plan: RetrievalPlan, tables: Mapping[str, Pinned | History] | None = None
) -> dict[str, History]:
    """Return the histories of a plan's sources.

    Raises:
        UnknownName: ``tables`` names a source that the plan does not read.
    """
    needed = steps_by_source(plan)
    for name in tables or ():
        if name not in needed:
            raise UnknownName.of("source", name, needed, where="the training set")

    def opened(source: Source) -> History:
        given = (tables or {}).get(source.name)
        if not isinstance(given, History):
            return runtime.history(source, given)
        return given if given.source is source else runtime.history(source)

    return {name: opened(steps[0].source) for name, steps in needed.items()}


def narrow(
    histories: Mapping[str, History], plan: RetrievalPlan, asked: pa.Table, times: Ints
) -> None:
    """Tell the histories of a plan's sources which of their rows will matter."""
    for name, steps in steps_by_source(plan).items():
        if len(times):
            start, end = needed_times(steps, int(times.min()), int(times.max()))
            histories[name].narrow(start, end, _needed_keys(steps, asked))


def _needed_keys(steps: Sequence[Step], asked: pa.Table) -> dict[str, list[Any]] | None:
    """Return the values of join keys that a source is asked for; None: of several entities."""
    if len({(step.entity.key_names, step.keys) for step in steps}) > 1:
        return None
    names = zip(steps[0].entity.key_names, steps[0].keys, strict=True)
    return {row: pc.unique(asked[name].drop_null()).to_pylist() for row, name in names}


def _notes(plan: RetrievalPlan, found: Retrieved, rows: int) -> list[str]:
    """Return what a reader should know of the result."""
    notes = [
        f"{count} rows of source {source!r} have no event time and were left out."
        for source, count in found.rows_dropped.items()
    ]
    if plan.as_of == "known":
        notes += [
            f"Known time hides most of it: {count} of {rows} spine rows have a row by"
            f" event time, but it was not known yet ({step}). Old rows that were pushed"
            " late need push(..., backdate=True); for research use as_of='event_time'."
            for step, count in found.hidden.items()
            if count > _HIDDEN_SHARE * rows
        ]
    return notes
