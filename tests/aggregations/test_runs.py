"""Windows as runs of one sequence: equal to the definition at every moment, without their rows."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from skewless.aggregations import AGGREGATIONS, runs, span_sets
from skewless.aggregations.kernels import Queries, Spans
from skewless.aggregations.sweep import WindowSweep
from skewless.aggregations.windows import WINDOWS
from skewless.errors import DefinitionError
from skewless.types import Bool, Float64, String, python_values

NAMES = ("changes", "streak", "burst", "time_in", "time_mean", "distinct")
GROUPS, ROWS = 2, 24
CASES = {
    "in order": (lambda event, chance: event, lambda enter, chance: enter * 0 + 10**9),
    "late": (lambda event, chance: event + chance.choice([0, 0, 4, 30], len(event)),
             lambda enter, chance: enter + chance.choice([0, 6, 10**9, 10**9], len(enter))),
}  # fmt: skip


def swept(window, case, *, nulls):
    """A window over rows of some groups, asked about at every moment, and columns of them."""
    chance = np.random.default_rng(len(case))
    known, superseded = CASES[case]
    event = np.sort(chance.integers(0, 60, (GROUPS, ROWS)), axis=1).reshape(-1)
    start = np.arange(GROUPS + 1) * ROWS
    enter = known(event, chance)
    until = superseded(enter, chance)
    rows = runs_of(window, event, enter, until, start)
    asked = np.tile(np.arange(-1, 110, 4), GROUPS)
    queries = Queries(asked, np.arange(GROUPS + 1) * (len(asked) // GROUPS))
    mask = chance.random(len(event)) < 0.3 if nulls else None
    columns = {
        Float64: pa.array(chance.choice([0.1, -0.0, 0.0, 1e15, -3.5, 1e9 + 1], len(event)), mask=mask),
        Bool: pa.array(chance.random(len(event)) < 0.7, mask=mask),
        String: pa.array(chance.choice(["a", "b", "ä"], len(event)), mask=mask),
    }  # fmt: skip
    return WindowSweep(window, rows, queries, event), columns


def runs_of(window, event, enter, until, start):
    """When each row counts: as the window says, of what is known and not yet superseded."""
    from skewless.aggregations.spans import RowTimes

    spans = window.spans(RowTimes(event, enter, start))
    row = np.arange(len(event)) if spans.row is None else spans.row
    return Spans.build(spans.enter, np.minimum(spans.exit, until[row]), spans.start, row)


def aggregates(name):
    for kind in AGGREGATIONS[name].examples():
        for dtype in (Float64, Bool, String):
            for window in (each for w in WINDOWS.values() for each in w.examples()):
                try:
                    kind.result_type(dtype)
                    kind.check_window(window)
                except DefinitionError:
                    continue
                if kind.sweeps(dtype):
                    yield kind, dtype, window


def by_definition(rows, kind):
    """What `compute` gives of the rows of each moment."""
    found = []
    for part in rows.gathered(nulls=kind.keeps_nulls):
        for t, (low, high) in zip(
            rows.queries.time[part.first : part.last].tolist(), pairwise(part.offsets), strict=True
        ):
            at = part.rows[low:high]
            values = python_values(rows.column.take(pa.array(at)))
            empty = list(kind.empty) if isinstance(kind.empty, tuple) else kind.empty
            found.append(
                kind.compute(values, rows.event[at].tolist(), t, rows.window) if len(at) else empty
            )
    return found


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NAMES)
def test_every_moment_has_the_value_of_the_definition(name, case, nulls):
    cases = list(aggregates(name))
    assert cases
    for kind, dtype, window in cases:
        swept_rows, columns = swept(window, case, nulls=nulls)
        rows = swept_rows.column("x", columns[dtype])
        assert by_definition(rows, kind) == kind.sweep(rows).to_pylist(), (kind, dtype, window)


@pytest.mark.parametrize("name", NAMES)
def test_rows_in_order_are_not_gathered_for_any_moment(name, monkeypatch):
    """Counts, not times: a window of many rows costs no more than one of few."""

    def refuse(*given):
        raise AssertionError("rows were gathered")

    monkeypatch.setattr(runs, "gather", refuse)
    monkeypatch.setattr(span_sets, "gather_active", refuse)
    for kind, dtype, window in aggregates(name):
        swept_rows, columns = swept(window, "in order", nulls=False)
        assert len(kind.sweep(swept_rows.column("x", columns[dtype])))
