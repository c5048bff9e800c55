"""Training sets: the spine is checked, the engine run, the spine given back untouched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.engines.local import LocalEngine
from skewless.engines.local.engine import Retrieved
from skewless.errors import InputError, MissingColumn, UnknownName
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
from skewless.plan.selection import Features, Selection, select
from skewless.stores.offline.as_table import as_table
from skewless.stores.offline.cast import cast_column, to_micros_array
from skewless.stores.offline.history import History
from skewless.types import Timestamp

Ints = npt.NDArray[np.int64]
Progress = Callable[[str, float], None]
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
    tables: Mapping[str, Pinned] | None = None,
) -> TrainingSet:
    """Return a training set; see `FeatureStore.get_historical_features`."""
    selection = select(runtime.state(fresh=True), features, full_names=full_names)
    plan = plan_retrieval(selection, timestamp=timestamp, as_of=as_of)
    table = as_table(spine, where="the spine")
    check_spine(table, selection, timestamp)
    times = spine_times(table, timestamp)
    asked = spine_columns(table, selection)
    histories = open_histories(runtime, plan, asked, times, tables)
    found = LocalEngine(histories).run(plan, asked, times, progress)
    states = {name: pins for name, each in histories.items() if (pins := each.pinned())}

    def other() -> TrainingSet:
        opposite = "event_time" if plan.as_of == "known" else "known"
        return training_set(
            runtime,
            table,
            features,
            timestamp=timestamp,
            as_of=opposite,
            full_names=full_names,
            progress=None,
            tables=states,
        )

    notes = _notes(plan, found, len(times))
    notes += [note for history in histories.values() for note in history.notes()]
    return TrainingSet(_beside(table, found.columns), plan, notes, other, states)


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
    histories = open_histories(runtime, plan, asked, times)
    return LocalEngine(histories).run(plan, asked, times, progress)


def open_histories(
    runtime: Runtime,
    plan: RetrievalPlan,
    asked: pa.Table,
    times: Ints,
    tables: Mapping[str, Pinned] | None = None,
) -> dict[str, History]:
    """Return the histories of a plan's sources, told what of them will matter.

    Raises:
        UnknownName: ``tables`` names a source that the plan does not read.
    """
    histories = {}
    needed = steps_by_source(plan)
    for name in tables or ():
        if name not in needed:
            raise UnknownName.of("source", name, needed, where="the training set")
    for name, steps in needed.items():
        source = steps[0].source
        histories[name] = runtime.history(source, (tables or {}).get(source.name))
        if len(times):
            start, end = needed_times(steps, int(times.min()), int(times.max()))
            histories[name].narrow(start, end, _needed_keys(steps, asked))
    return histories


def _needed_keys(steps: Sequence[Step], asked: pa.Table) -> dict[str, list[Any]] | None:
    """Return the values of join keys that a source is asked for; None: of several entities."""
    if len({(step.entity.key_names, step.keys) for step in steps}) > 1:
        return None
    names = zip(steps[0].entity.key_names, steps[0].keys, strict=True)
    return {row: pc.unique(asked[name].drop_null()).to_pylist() for row, name in names}


def check_spine(table: pa.Table, selection: Selection, timestamp: str) -> None:
    """Raise unless a spine has its time, join keys and request fields and no clashing column."""
    requests = [request.name for request in selection.requests]
    for name in (timestamp, *selection.join_keys, *requests):
        if name not in table.column_names:
            raise MissingColumn.of(name, table.column_names, where="the spine")
    for output in selection.outputs:
        if output.name in table.column_names:
            raise InputError(
                f"the spine already has a column {output.name!r}",
                hint="Rename it, or pass full_names=True.",
            )


def spine_times(table: pa.Table, timestamp: str) -> Ints:
    """Return the spine's times as UTC microseconds.

    Raises:
        NaiveTime: they have no time zone.
        InputError: they are no times, or null.
    """
    column, where = table[timestamp], f"spine column {timestamp!r}"
    if column.null_count:
        raise InputError("a spine row without a time", where=where)
    return to_micros_array(cast_column(column, Timestamp, where=where))


def spine_columns(table: pa.Table, selection: Selection) -> pa.Table:
    """Return join keys and request fields in their canonical types."""
    wanted = dict(selection.join_keys)
    wanted |= {request.name: request.dtype for request in selection.requests}
    columns = {
        name: cast_column(table[name], dtype, where=f"spine column {name!r}").combine_chunks()
        for name, dtype in wanted.items()
    }
    columns |= selection.constant_columns(table.num_rows)
    if not columns:
        return pa.table({"_": pa.nulls(table.num_rows)})
    return pa.table(columns)


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
