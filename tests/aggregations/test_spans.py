"""Spans say of every moment which rows count, just as the reference does, and kernels over them
give what the aggregations' definitions give."""

import math
import struct
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skewless.aggregations import aggregation
from skewless.aggregations.kernels import (
    Queries,
    gather_active,
    sweep_extremes,
    sweep_positions,
    sweep_sums,
    sweep_sums_int,
    sweep_unique,
)
from skewless.aggregations.spans import RowTimes
from skewless.aggregations.windows import LastN, Lifetime, Session, Sliding, Tumbling
from skewless.clock import ALWAYS, NEVER
from skewless.engines.reference import rows_in_window, versions, visible
from tests.engines.rows import row

_TIMES = st.integers(-25, 60)
_VALUES = st.none() | st.sampled_from(
    [0.0, -0.0, 0.1, -0.3, 1.0, 3.0, 1e16, -1e16, 5e-324, 1.7e308, -1.7e308, 1e-300]
)
offsets = st.sampled_from([0, 0, 3, 12])
windows = st.one_of(
    st.builds(Sliding, width=st.sampled_from([1, 7, 20]), offset=offsets),
    st.builds(Sliding, width=st.just(20), resolution=st.sampled_from([3, 5, 20]), offset=offsets),
    st.builds(Tumbling, width=st.sampled_from([1, 6, 10]), offset=offsets),
    st.builds(LastN, n=st.integers(1, 5), offset=offsets),
    st.builds(Session, gap=st.integers(1, 12), offset=offsets),
    st.builds(Lifetime, offset=offsets),
)


@st.composite
def histories(draw, values=_VALUES):
    """Rows of three entities, late, corrected and deleted ones among them."""
    found = []
    for tiebreak in range(draw(st.integers(0, 14))):
        event = draw(_TIMES)
        found.append(
            row(
                event,
                draw(values),
                known=event + draw(st.sampled_from([0, 0, 0, 1, 9, 30])),
                tiebreak=tiebreak,
                key=draw(st.sampled_from("aabc")),
                row_id=draw(st.sampled_from([None, None, 1, 2])),
                n=draw(st.integers(0, 3)),
                deleted=draw(st.integers(0, 9)) == 0,
            )
        )
    return found


class Sorted:
    """The rows of a history that may count, by entity and row order, as arrays."""

    def __init__(self, history, *, as_known=True, exclusive=False):
        self.history, self.as_known, self.exclusive = history, as_known, exclusive
        kept = [v for v in versions(history) if not (v.duplicate or v.row.deleted)]
        kept.sort(key=lambda v: (v.row.values["key"], v.row.order))
        self.rows = [v.row for v in kept]
        self.keys = [key for key, _ in groupby(r.values["key"] for r in self.rows)]
        sizes = [sum(r.values["key"] == key for r in self.rows) for key in self.keys]
        until = ints([v.until for v in kept])
        self.arrays = RowTimes(
            ints([r.event for r in self.rows]),
            ints([r.known for r in self.rows]) if as_known else None,
            ints(np.concatenate([[0], np.cumsum(sizes)])),
            until if as_known else np.where(until == NEVER, NEVER, ALWAYS),
            exclusive,
        )

    def queries(self, times):
        asked = sorted(times)
        every = ints(asked * len(self.keys))
        return Queries(every, ints([len(asked) * g for g in range(len(self.keys) + 1)]))

    def counted(self, window, queries, passes=None):
        """Positions of the rows that the reference counts at each query."""
        place = {id(r): at for at, r in enumerate(self.rows)}
        found = []
        for group, key in enumerate(self.keys):
            for t in queries.time[queries.start[group] : queries.start[group + 1]].tolist():
                seen = visible(self.history, t if self.as_known else None)
                passing = [
                    r
                    for r in seen
                    if r.values["key"] == key and (passes is None or passes[place[id(r)]])
                ]
                at = t - self.exclusive - window.offset
                found.append([place[id(r)] for r in rows_in_window(window, passing, at)])
        return found


def ints(values):
    return np.array(values, dtype=np.int64)


def active(spans, queries):
    offsets, found = gather_active(spans, queries)
    return [found[low:high].tolist() for low, high in pairwise(offsets)]


@given(
    histories(),
    windows,
    st.lists(st.integers(-30, 95), min_size=1, max_size=8),
    st.booleans(),
    st.booleans(),
)
@example([row(0, known=4), row(2, known=3)], Session(gap=1), [2, 3, 4, 5], True, False)
@example([row(0, tiebreak=1), row(1, row_id=1), row(1, known=2, row_id=1, deleted=True)],
         LastN(n=1), [0, 2], True, False)  # fmt: skip
@example([row(9, tiebreak=1), row(10, tiebreak=2)], Tumbling(width=10), [10, 11, 20], True, True)
def test_active_rows_are_those_the_reference_counts(history, window, times, as_known, exclusive):
    rows = Sorted(history, as_known=as_known, exclusive=exclusive)
    queries = rows.queries(times)
    spans = window.spans(rows.arrays)
    assert active(spans, queries) == rows.counted(window, queries)


@given(histories(), windows, st.lists(st.integers(-30, 95), min_size=1, max_size=8), st.data())
def test_only_rows_that_pass_the_filter_are_active(history, window, times, data):
    rows = Sorted(history)
    size = len(rows.rows)
    passes = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    queries = rows.queries(times)
    spans = window.spans(rows.arrays, np.array(passes, dtype=bool))
    assert active(spans, queries) == rows.counted(window, queries, passes)


def defined(kind, rows, positions, queries, window, *, column="x"):
    """The value of an aggregation at each query, by its definition."""
    found = []
    for t, counted in zip(queries.time.tolist(), positions, strict=True):
        values = [rows.rows[at].values[column] for at in counted]
        some = [at for at, v in enumerate(values) if v is not None or kind.keeps_nulls]
        events = [rows.rows[counted[at]].event for at in some]
        empty = kind.empty if not some else None
        found.append(
            kind.compute([values[at] for at in some], events, t, window) if some else empty
        )
    return found


def bits(values):
    """Values to the bit, with null for NaN."""
    return [
        None
        if v is None or (isinstance(v, float) and math.isnan(v))
        else struct.pack("<d", v)
        if isinstance(v, float)
        else v
        for v in values
    ]


def setting(history, window, times):
    rows = Sorted(history)
    queries = rows.queries(times)
    values = [r.values["x"] for r in rows.rows]
    valid = np.array([v is not None for v in values], dtype=np.uint8)
    spans = window.spans(rows.arrays)
    return rows, queries, spans, valid, rows.counted(window, queries)


TIMES = st.lists(st.integers(-30, 95), min_size=1, max_size=6)


@given(histories(_VALUES | st.just(math.inf)), windows, TIMES)
def test_kernels_give_the_sums_that_the_aggregations_define(history, window, times):
    rows, queries, spans, valid, positions = setting(history, window, times)
    values = np.array([r.values["x"] for r in rows.rows], dtype=np.float64)  # null is NaN
    found = sweep_sums(spans, queries, values, valid)
    kinds = {
        "count": aggregation("count"), "sum": aggregation("sum"), "mean": aggregation("mean"),
        "var": aggregation("var"), "var_sample": aggregation("var", ddof=1),
    }  # fmt: skip
    for name, kind in kinds.items():
        expected = defined(kind, rows, positions, queries, window)
        if name == "sum":
            expected = [v if v is None else float(v) for v in expected]
        assert bits(found[name].tolist()) == bits(expected), name


@given(histories(), windows, TIMES)
def test_kernels_give_the_extremes_that_the_aggregations_define(history, window, times):
    rows, queries, spans, valid, positions = setting(history, window, times)
    values = np.array([r.values["x"] for r in rows.rows], dtype=np.float64)  # null is NaN
    least, greatest, _ = sweep_extremes(spans, queries, values, valid)
    for found, name in ((least, "min"), (greatest, "max")):
        expected = defined(aggregation(name), rows, positions, queries, window)
        assert bits(found.tolist()) == bits(expected)


@given(histories(), windows, TIMES)
def test_kernels_give_first_latest_and_distinct_as_defined(history, window, times):
    rows, queries, spans, _, positions = setting(history, window, times)
    lowest, highest = sweep_positions(spans, queries)
    assert lowest.tolist() == [counted[0] if counted else -1 for counted in positions]
    assert highest.tolist() == [counted[-1] if counted else -1 for counted in positions]
    codes = ints([r.values["n"] for r in rows.rows])
    expected = defined(aggregation("n_unique"), rows, positions, queries, window, column="n")
    assert sweep_unique(spans, queries, codes, n_codes=4).tolist() == expected


@given(histories(), windows, TIMES)
def test_kernels_give_integer_sums_as_defined(history, window, times):
    rows, queries, spans, _, positions = setting(history, window, times)
    large = [2**62 * (r.values["n"] - 2) for r in rows.rows]
    for r, value in zip(rows.rows, large, strict=True):
        r.values["large"] = value
    found = sweep_sums_int(spans, queries, ints(large))
    sums = [
        None if over else value
        for value, over in zip(found["sum"].tolist(), found["overflow"].tolist(), strict=True)
    ]
    assert sums == defined(aggregation("sum"), rows, positions, queries, window, column="large")
    expected = defined(aggregation("mean"), rows, positions, queries, window, column="large")
    assert bits(found["mean"].tolist()) == bits(expected)


# ----------------------------------------------------------------------------------- edges


def one_group(*event, known=None, superseded=None, exclusive=False):
    return RowTimes(
        ints(event),
        None if known is None else ints(known),
        ints([0, len(event)]),
        None if superseded is None else ints(superseded),
        exclusive,
    )


@pytest.mark.parametrize(
    "window", [Sliding(width=10), Tumbling(width=10), Sliding(width=10, resolution=5), Lifetime()]
)
def test_spans_in_order_need_no_sorting(window):
    spans = window.spans(one_group(0, 3, 3, 40))
    assert spans.row is None
    assert spans.enter_order is None
    assert spans.exit_order is None


def test_spans_out_of_order_are_sorted_within_their_group():
    spans = Sliding(width=10).spans(one_group(0, 3, 5, known=[9, 3, 5]))
    assert spans.enter_order.tolist() == [1, 2, 0]
    assert spans.exit_order is None


@pytest.mark.parametrize(
    "window",
    [
        Sliding(width=10**15, offset=10**15),
        Sliding(width=10**15, resolution=7, offset=10**15),
        Tumbling(width=10**15, offset=10**15),
        Lifetime(offset=10**15),
        LastN(n=1, offset=10**15),
        Session(gap=10**15, offset=10**15),
    ],
)
@pytest.mark.parametrize("exclusive", [False, True])
def test_times_at_the_ends_of_int64_do_not_wrap_around(window, exclusive):
    spans = window.spans(one_group(ALWAYS, ALWAYS + 1, 0, NEVER - 1, NEVER, exclusive=exclusive))
    group = spans.enter if spans.row is None else spans.enter[np.argsort(spans.row)]
    assert (group[1:] >= group[:-1]).all()
    assert (spans.exit >= spans.enter).all()


def test_a_row_that_never_counts_has_no_span_or_an_empty_one():
    rows = one_group(0, 1, superseded=[ALWAYS, NEVER])
    queries = Queries(ints([1, 5]), ints([0, 2]))
    for window in (Sliding(width=10), LastN(n=2), Session(gap=5), Lifetime()):
        assert active(window.spans(rows), queries) == [[1], [1]]
