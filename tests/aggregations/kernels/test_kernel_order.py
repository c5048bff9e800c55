from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations import kernels
from skewless.aggregations.kernels import NEVER, Queries, Spans, Want, gather_active
from tests.aggregations.kernels.kernel_cases import (
    Case,
    bits,
    cases,
    column_of,
    columns_of_floats,
    ints,
    quick,
)


@st.composite
def float_cases(draw: st.DrawFn) -> tuple[Case, list[float]]:
    case = draw(cases())
    return case, column_of(
        draw, case, draw(columns_of_floats) | st.sampled_from([math.inf, -math.inf])
    )


@st.composite
def code_cases(draw: st.DrawFn) -> tuple[Case, list[int]]:
    case = draw(cases())
    return case, column_of(draw, case, st.integers(0, 3))


@quick
@given(float_cases())
def test_extremes_are_those_of_the_active_rows_with_minus_zero_below_zero(implementation, drawn):
    case, values = drawn
    least, greatest, has = kernels.sweep_extremes(
        case.spans, case.queries, np.array(values, float), case.mask
    )
    active = [
        sorted((values[row] for row in rows), key=lambda value: (value, math.copysign(1.0, value)))
        for rows in case.active()
    ]
    assert [bool(rows) for rows in active] == has.astype(bool).tolist()
    assert bits(rows[0] if rows else math.nan for rows in active) == bits(least.tolist())
    assert bits(rows[-1] if rows else math.nan for rows in active) == bits(greatest.tolist())


@quick
@given(code_cases(), st.booleans())
def test_positions_are_the_rows_of_least_and_greatest_rank(implementation, drawn, ranked):
    case, ranks = drawn
    rank = ints(ranks) if ranked else None
    lowest, highest = kernels.sweep_positions(case.spans, case.queries, rank, case.mask)
    active = [
        sorted(rows, key=lambda row: (ranks[row] if ranked else 0, row)) for rows in case.active()
    ]
    assert [rows[0] if rows else -1 for rows in active] == lowest.tolist()
    assert [rows[-1] if rows else -1 for rows in active] == highest.tolist()


@quick
@given(code_cases())
def test_unique_counts_the_distinct_codes_of_the_active_rows(implementation, drawn):
    case, codes = drawn
    got = kernels.sweep_unique(case.spans, case.queries, ints(codes), case.mask, n_codes=4)
    assert [len({codes[row] for row in rows}) for rows in case.active()] == got.tolist()
    offsets, listed = kernels.sweep_codes(
        case.spans, case.queries, ints(codes), case.mask, n_codes=4
    )
    lists = [listed[low:high].tolist() for low, high in pairwise(offsets)]
    assert [sorted({codes[row] for row in rows}) for rows in case.active()] == lists


@quick
@given(cases())
def test_gathered_rows_are_the_active_rows_in_order(implementation, case):
    offsets, rows = kernels.gather_active(case.spans, case.queries, case.mask)
    got = [rows[low:high].tolist() for low, high in pairwise(offsets)]
    assert list(case.active()) == got


def test_gathering_finds_rows_that_lie_far_apart(implementation):
    row = ints([5, 70_000, 4_100, 300_000])
    spans = Spans.build(ints([0, 1, 2, 3]), ints([9, 3, 9, 9]), ints([0, 4]), row)
    offsets, rows = kernels.gather_active(spans, Queries(ints([2, 3]), ints([0, 2])))
    assert offsets.tolist() == [0, 3, 6]
    assert rows.tolist() == [5, 4_100, 70_000, 5, 4_100, 300_000]


def test_only_the_wanted_extreme_is_returned(implementation):
    moments = ints([0, 1])
    spans = Spans.build(moments, moments + 10, ints([0, 2]))
    queries = Queries(ints([1]), ints([0, 1]))
    least, greatest, has = kernels.sweep_extremes(
        spans, queries, np.array([2.0, 1.0]), want=Want.MIN
    )
    assert (least.tolist(), greatest, has.tolist()) == ([1.0], None, [1])
    assert kernels.sweep_positions(spans, queries, want=Want.MIN)[1].tolist() == [-1]


@pytest.mark.parametrize("late", [False, True])
def test_extremes_of_long_windows_match_a_scan(implementation, late):
    generator = np.random.default_rng(3)
    event = np.sort(generator.integers(0, 5000, 3000))
    enter = event + (generator.integers(0, 200, 3000) if late else 0)
    leave = event + 700
    values = np.cumsum(generator.normal(size=3000))
    times = np.sort(generator.integers(0, 6000, 300))
    spans = Spans.build(enter, leave, ints([0, 3000]))
    least, greatest, _ = kernels.sweep_extremes(spans, Queries(times, ints([0, 300])), values)
    windows = [values[(enter <= t) & (leave > t)] for t in times]
    assert bits(
        window.min(initial=math.inf) if len(window) else math.nan for window in windows
    ) == bits(least)
    assert bits(
        window.max(initial=-math.inf) if len(window) else math.nan for window in windows
    ) == bits(greatest)


def test_a_row_that_leaves_and_comes_back_between_two_queries_is_gathered(implementation):
    row, enter, leave = ints([0, 2, 0]), ints([0, 1, 2]), ints([1, 2, NEVER])
    spans = Spans.build(enter, leave, ints([0, 3]), row)
    offsets, rows = gather_active(spans, Queries(ints([0, 2]), ints([0, 2])))
    assert (offsets.tolist(), rows.tolist()) == ([0, 1, 2], [0, 0])
