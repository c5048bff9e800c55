"""How large the states of entities will be online, estimated from history before an apply.

for size in estimated_sizes(fs.runtime, plan):
    print(size)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from skewless.definitions import FeatureView
from skewless.engines.local.spine import KeyIndex
from skewless.online.runtime import Runtime
from skewless.online.table_index import is_indexed
from skewless.plan.apply.apply_plan import ApplyPlan
from skewless.state.layout import StateLayout
from skewless.state.sizes import StateSize, estimated, spans_of
from skewless.stores.offline.history import History
from skewless.stores.offline.table_ids import bytes_a_row

MOST_ROWS = 10_000_000
"""How many rows of a source are counted; of a longer history, those that are read first."""
Ints = npt.NDArray[np.int64]


def estimated_sizes(runtime: Runtime, plan: ApplyPlan, *definitions: Any) -> list[StateSize]:
    """Return the sizes of the states behind views that a plan adds or changes.

    Views over a source without history are skipped.

    Args:
        runtime: the open parts of a repo.
        plan: of an apply.
        definitions: what was planned; none: the repo's files.

    Raises:
        StoreError, InputError: history cannot be read.
    """
    changed = {step.name for step in plan.changed if step.kind == "feature view"}
    groups: dict[str, list[FeatureView]] = {}
    # The files that were planned from are not run again.
    read = None if definitions else runtime.read_last
    for view in (read or runtime.wanted(*definitions)).views.values():
        place = repr(StateLayout(view.row_entity, view.source, {}, ()).rows_of)
        groups.setdefault(place, []).append(view)
    known = runtime.registry.state().sources
    found: list[StateSize] = []
    for views in groups.values():
        source = views[0].source
        if changed & {view.name for view in views}:
            log = runtime.log(source) if source.name in known else None
            history = History(source, runtime.table(source), log)
            found += _estimated(history, views)
    return found


def _estimated(history: History, views: list[FeatureView]) -> Iterator[StateSize]:
    layout = StateLayout.of(views[0].row_entity, history.source, views)
    codes, event, entities = _rows(history, layout)
    if not entities:
        return
    newest = event.max()
    counts = {}
    for span in spans_of(layout):
        inside = codes if span is None else codes[event > newest - span]
        counts[span] = np.bincount(inside, minlength=entities)
    size = estimated(layout, views, counts)
    if is_indexed(history.source):
        row = bytes_a_row(history.source, layout.entity.key_names)
        size = replace(size, index=history.table_rows() * row)
    yield size


def _rows(history: History, layout: StateLayout) -> tuple[Ints, Ints, int]:
    """Return key code and event time of rows, and how many keys there are."""
    import pyarrow as pa

    names = list(layout.entity.key_names)
    parts: dict[str, list[Any]] = {name: [] for name in names}
    events, rows = [np.zeros(0, np.int64)], 0
    for chunk in history.chunks(names):
        for name, chunks in parts.items():
            chunks.extend(chunk.table[name].chunks)
        events.append(np.asarray(chunk.event))
        rows += len(chunk.event)
        if rows >= MOST_ROWS:
            break
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), 0
    index = KeyIndex([pa.chunked_array(each).combine_chunks() for each in parts.values()], rows)
    some = index.codes >= 0
    return index.codes[some], np.concatenate(events)[some], index.size
