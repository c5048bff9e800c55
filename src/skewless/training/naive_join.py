"""Each entity's newest values over all history: what naive joins on the key alone give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS
from skewless.definitions.source import exclusive_of
from skewless.engines.given_spine import spine_columns, spine_times
from skewless.engines.local.spine import KeyIndex
from skewless.expressions.on_demand import compute_columns
from skewless.expressions.scalar import NOW
from skewless.online.runtime import Runtime
from skewless.plan.retrieval import plan_retrieval
from skewless.plan.selection import NeededView, Output, Selection
from skewless.training.training_set import run

Ints = npt.NDArray[np.int64]


def newest_values(
    runtime: Runtime, selection: Selection, table: pa.Table, timestamp: str
) -> dict[str, pa.Array]:
    """Return features by name with each entity's newest values over all history up to now.

    It is what a join on the key alone gives: values that are right at the entity's newest event,
    whatever time the row asks for.
    """
    asked = spine_columns(table, selection)
    columns: dict[str, pa.Array] = {}
    together: dict[tuple[str, tuple[str, ...]], list[NeededView]] = {}
    for need in selection.views:
        keys = (*need.view.row_entity.key_names, *need.view.asked_entity.key_names)
        place = (repr(need.view.source.to_dict()), keys)
        together.setdefault(place, []).append(need)
    for needs in together.values():
        outputs = tuple(
            Output(need.reference(name), need.view.name, need.version, name, need.view.dtypes[name])
            for need in needs
            for name in need.features
        )
        alone = Selection(outputs, tuple(needs), (), (), (needs[0].view.asked_entity,))
        plan = plan_retrieval(alone, timestamp=timestamp, as_of="event_time")
        newest = _newest_events(runtime, needs[0], asked)
        columns |= run(runtime, plan, asked, newest).columns
    for request in selection.requests:
        columns[request.name] = asked[request.name].combine_chunks()
    if selection.asks_now:
        columns[NOW] = pa.array(spine_times(table, timestamp), pa.timestamp("us", "UTC"))
    compute_columns(selection.on_demand, columns, table.num_rows)
    return {output.name: columns[output.reference] for output in selection.outputs}


def _newest_events(runtime: Runtime, need: NeededView, asked: pa.Table) -> Ints:
    """Return for each spine row the moment at which its entity's newest row counts."""
    names = list(need.view.row_entity.key_names)
    wanted = [asked[name].combine_chunks() for name in need.view.asked_entity.key_names]
    index = KeyIndex(wanted, asked.num_rows)
    now = runtime.clock.now()
    newest = np.full(index.size + 1, ALWAYS, np.int64)
    for chunk in runtime.history(need.view.source).chunks(names, end=now + 1):
        codes = index.find([chunk.table[name] for name in names], len(chunk.row))
        counts = (codes >= 0) & (chunk.event <= now) & ~chunk.late
        np.maximum.at(newest, codes[counts], chunk.event[counts])
    newest = np.where(newest == ALWAYS, now, newest) + exclusive_of(need.view.source)
    found: Ints = newest[index.codes]
    return found
