"""Whatever way a value takes, it is that of the reference engine, to the bit, with its status.

Aggregations and windows come from their registries: a new one is held to this by itself.
"""

import struct
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from skewless.aggregations import AGGREGATIONS, sweep
from skewless.aggregations.windows import WINDOWS
from skewless.clock import ALWAYS
from skewless.engines.local import LocalEngine
from skewless.engines.reference import aggregate_value, visible
from skewless.plan.retrieval import plan_retrieval
from skewless.plan.selection import select
from skewless.plan.table_read import TableRead
from skewless.state import pieces
from skewless.state.layout import StateLayout
from skewless.state.pieces import Head, whole
from skewless.state.prepend import Inserter
from skewless.testing.history import MemoryHistory
from tests.engines.test_local_engine import state_of
from tests.laws.grid import HISTORIES, KEY, MOMENTS, aggregates, closed, source, view_of
from tests.state.states import Row, updated

FEW = {"_MOST_FREQUENT": 2, "_FEW": 1}
"""Limits beyond which long lists and many buckets are computed from gathered rows."""
LEAST_CASES = 3_000


def bits(value):
    """A value that equals another one only where every bit does."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, dict):
        return bits(list(value.items()))
    return [bits(item) for item in value] if isinstance(value, (list, tuple)) else value


def from_history(view, rows, t):
    """The local engine, at one moment; statuses are not what training sets have."""
    plan = plan_retrieval(select(state_of(view), [view]), timestamp="t", as_of="known")
    source = MemoryHistory(view.source, rows)
    spine = pa.table({"key": pa.array(["k"])})
    times = np.array([t], np.int64)
    local = LocalEngine().retrieve(plan, spine, times, {view.source.name: source})
    return [(bits(local.columns[name].to_pylist()[0]), None) for name in view.features]


def _answered(view, layout, state, t):
    part = TableRead(layout, [(view, 1, feature) for feature in view.features])
    values, statuses, _ = part.answers([state], t, t)[0]
    return [(bits(value), status) for value, status in zip(values, statuses, strict=True)]


def _rows(rows):
    return [Row(row.values, row.event, row.known, row.tiebreak) for row in rows]


def from_all_rows(view, rows, t):
    """A state that keeps every row."""
    layout = StateLayout.of(KEY, view.source, [view])
    known = _rows(row for row in rows if row.known <= t)
    return _answered(view, layout, updated(layout, None, known) if known else None, t)


def from_kept_rows(view, rows, t):
    """States that have dropped, and folded into tiles, what no read from now on needs as rows.

    One a column: a single aggregate that needs rows keeps them for all over its window.
    """
    known = _rows(row for row in rows if row.known <= t)
    groups = {}
    for feature, aggregate in view.expressions.items():
        groups.setdefault((repr(aggregate.column), aggregate.by is None), []).append(feature)
    found = {}
    for features in groups.values():
        part = view_of([view.expressions[feature] for feature in features], view.source)
        found |= zip(features, _from_folded(part, known, t), strict=True)
    return [found[feature] for feature in view.features]


def _from_folded(view, known, t):
    layout = StateLayout.of(KEY, view.source, [view])
    state = None
    for end in range(1, len(known) + 1, 4):
        part = known[end - 1 : end + 3]
        state = updated(layout, state, part, floor=max(row.known for row in part) - 2)
    return _answered(view, layout, updated(layout, state, [], floor=t) if known else None, t)


def from_pushed_rows(view, rows, t):
    """A state to which rows are added one at a time, the quick way where it will do."""
    layout = StateLayout.of(KEY, view.source, [view])
    inserter, state = Inserter(layout), None
    for row in _rows(row for row in rows if row.known <= t):
        record, tails = inserter.record(row.values, row.order)
        quick = None if state is None else inserter.add(state, record, row.order, tails)
        if state is None:
            state = inserter.start(record, row.order, tails, ALWAYS)
        else:
            state = quick or updated(layout, state, [row], floor=ALWAYS)
    return _answered(view, layout, state, t)


def from_pieces(view, rows, t):
    """A state in pieces, as those of entities with many rows are: here of a row each."""
    layout = StateLayout.of(KEY, view.source, [view])
    inserter, state = Inserter(layout), None
    for row in _rows(row for row in rows if row.known <= t):
        record, tails = inserter.record(row.values, row.order)
        if state is None:
            state = inserter.start(record, row.order, tails, ALWAYS)
            continue
        head = state if isinstance(state, Head) else inserter.divided(state)
        quick = None if head is None else inserter.add_to_head(head, record, row.order, tails)
        if quick is not None:
            state = quick.compacted(lambda numbers: [])
        else:
            state = updated(layout, in_one(state), [row], floor=ALWAYS)
    return _answered(view, layout, in_one(state), t)


def in_one(state):
    return whole(state, {}) if isinstance(state, Head) else state


PATHS = (from_history, from_all_rows, from_kept_rows, from_pushed_rows, from_pieces)


def expected(found, view, rows, t):
    seen = visible(rows, t)
    return [aggregate_value(aggregate, view, seen, t) for aggregate in found]


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_every_path_gives_the_value_of_the_reference(name, history, monkeypatch):
    monkeypatch.setattr(pieces, "LONG", 1)
    of, rows = source(closed(history)), HISTORIES[history]
    found = aggregates(name, of)
    if not found:
        pytest.skip("skewless[sketches] is not installed")
    view = view_of(found, of)
    for t in MOMENTS:
        right = [(bits(value), status) for value, status in expected(found, view, rows, t)]
        for path in PATHS:
            answers = path(view, rows, t)
            for aggregate, (value, status), wanted in zip(found, answers, right, strict=True):
                got = (value, status if status is not None else wanted[1])
                assert got == wanted, f"{path.__name__} at {t}: {aggregate!r}"


@pytest.mark.parametrize("name", ["top_k", "mode", "histogram"])
def test_long_lists_and_many_buckets_are_the_same_from_gathered_rows(name, monkeypatch):
    of, rows = source(), HISTORIES["right"]
    view = view_of(aggregates(name, of), of)
    swept_rows = [from_history(view, rows, t) for t in MOMENTS]
    for limit, number in FEW.items():
        monkeypatch.setattr(sweep, limit, number)
    assert [from_history(view, rows, t) for t in MOMENTS] == swept_rows


def tiles_of(aggregate):
    """Whether tiles stand for rows of the aggregate."""
    column = None if aggregate.column is None else aggregate.column.dtype
    return aggregate.window.tiled and aggregate.aggregation.tile(column) is not None


def test_the_grid_is_as_large_as_the_registries_make_it():
    cases = {name: aggregates(name) for name in AGGREGATIONS}
    assert sum(map(len, cases.values())) >= LEAST_CASES
    for name, found in cases.items():
        if found or name != "approx_unique":
            windows = {type(aggregate.window).__name__.lower() for aggregate in found}
            assert len(windows) >= 2, name
            assert any(aggregate.by is not None for aggregate in found), name
    tiled = sum(tiles_of(each) for found in cases.values() for each in found)
    assert tiled >= LEAST_CASES // 6
    seen = Counter(type(a.window).__name__.lower() for found in cases.values() for a in found)
    assert set(seen) == set(WINDOWS)
