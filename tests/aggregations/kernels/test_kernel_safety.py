"""No input makes a compiled kernel read or write outside its arrays."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations import kernels
from skewless.aggregations.kernels import Queries, Spans, Want, spans
from skewless.aggregations.kernels.rules import RuleRows
from tests.aggregations.kernels.kernel_cases import ints, quick

TWO, ONE_GROUP = ints([0, 1]), ints([0, 2])
QUERIES = Queries(ints([5]), ints([0, 1]))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("exit", {"exit": ints([1])}),
        ("row", {"row": ints([0, 1, 2])}),
        ("enter_order", {"enter_order": ints([0])}),
        ("start", {"start": ints([0, 3])}),
        ("start", {"start": ints([-1, 2])}),
        ("start", {"start": ints([2, 0])}),
        ("start", {"start": ints([])}),
        ("enter", {"enter": np.array([0.5, 1.5])}),
    ],
)
def test_spans_that_do_not_fit_are_refused(name, change):
    arrays: dict[str, Any] = {"row": None, "enter": TWO, "exit": TWO + 9, "start": ONE_GROUP}
    with pytest.raises(ValueError, match=name):
        Spans(**{**arrays, **change})


def test_queries_that_do_not_cover_their_groups_are_refused():
    with pytest.raises(ValueError, match="start"):
        Queries(ints([1, 2]), ints([0, 1]))
    with pytest.raises(ValueError, match="start"):
        Queries(ints([1, 2]), ints([1, 2]))


def test_a_row_outside_the_values_is_refused(implementation):
    for row in (-1, 2, 2**62):
        outside = Spans.build(TWO, TWO + 9, ONE_GROUP, ints([0, row]))
        with pytest.raises(ValueError, match="outside"):
            kernels.sweep_sums(outside, QUERIES, np.array([1.0, 2.0]))
        with pytest.raises(ValueError, match="outside"):
            kernels.sweep_extremes(outside, QUERIES, np.array([1.0, 2.0]))


def test_codes_values_masks_and_groups_that_do_not_fit_are_refused(implementation):
    window = Spans.build(TWO, TWO + 9, ONE_GROUP)
    with pytest.raises(ValueError, match="code"):
        kernels.sweep_unique(window, QUERIES, ints([0, 7]), n_codes=7)
    with pytest.raises(ValueError, match="valid"):
        kernels.sweep_sums(window, QUERIES, np.array([1.0, 2.0]), np.array([True]))
    with pytest.raises(ValueError, match="outside"):
        kernels.sweep_sums(window, QUERIES, np.array([1.0]))
    with pytest.raises(ValueError, match="groups"):
        kernels.sweep_counts(window, Queries(ints([1]), ints([0, 0, 1])))
    with pytest.raises(ValueError, match="values"):
        kernels.sweep_sums(window, QUERIES, np.array(["a", "b"]))
    with pytest.raises(ValueError, match="step back"):
        kernels.sweep_counts(window, Queries(ints([5, 4]), ints([0, 2])))


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 3), (2, 1)])
def test_a_slice_outside_the_values_is_refused(implementation, low, high):
    with pytest.raises(ValueError, match="outside"):
        kernels.window_summary(np.array([1.0, 2.0]), None, low, high, int(Want.ALL))


def test_window_summary_refuses_nan_and_other_types(implementation):
    with pytest.raises(ValueError, match="NaN"):
        kernels.window_summary(np.array([np.nan]), None, 0, 1, int(Want.ALL))


def test_compiled_kernels_check_types_lengths_and_writability_themselves(compiled_kernels):
    compiled = compiled_kernels._compiled
    values, out = np.zeros(2), np.zeros(1)
    sweep = (None, TWO, TWO + 9, ONE_GROUP, None, None, QUERIES.time, QUERIES.start)
    nothing = (None,) * 4
    with pytest.raises(ValueError, match="expected length 1, got 2"):
        compiled.sweep_sums(sweep, values, None, 2, None, np.zeros(2), *nothing)
    with pytest.raises(ValueError, match="int64"):
        compiled.sweep_sums(sweep, values, None, 1, np.zeros(1), None, *nothing)
    crooked = np.frombuffer(bytes(25), np.uint8)[1:17].view(np.float64)
    with pytest.raises(ValueError, match="aligned"):
        compiled.sweep_sums(sweep, crooked, None, 2, None, out, *nothing)
    out.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match=r"writ|read-only"):
        compiled.sweep_sums(sweep, values, None, 2, None, out, *nothing)
    with pytest.raises(TypeError, match="arguments"):
        compiled.sweep_sums(sweep)


wild = st.lists(st.integers(-2, 6) | st.just(2**62), min_size=4, max_size=4)


@quick
@given(st.lists(wild, min_size=6, max_size=6), st.booleans())
def test_orders_that_are_no_permutations_give_an_error_or_an_answer(drawn, with_rows):
    row, enter, leave, enter_order, exit_order, codes = map(ints, drawn)
    lying = Spans(row if with_rows else None, enter, leave, ints([0, 4]), enter_order, exit_order)
    queries = Queries(ints([0, 2, 4]), ints([0, 3]))
    values = codes.astype(float)
    for call in (
        lambda: kernels.sweep_sums(lying, queries, values),
        lambda: kernels.sweep_sums_int(lying, queries, codes),
        lambda: kernels.sweep_extremes(lying, queries, values),
        lambda: kernels.sweep_unique(lying, queries, codes, n_codes=5),
        lambda: kernels.sweep_codes(lying, queries, codes, n_codes=5),
        lambda: kernels.gather_active(lying, queries, np.ones(4, bool)),
    ):
        with suppress(ValueError):
            call()


@quick
@given(st.lists(wild, min_size=4, max_size=4), st.booleans())
def test_lying_rule_rows_give_an_error_or_an_answer(compiled_kernels, drawn, session):
    enter, gone, order, dropped = map(ints, drawn)
    event = enter if session else None
    rows = RuleRows(event, enter, gone, ints([0, 4]), order, dropped, ints([0, 4]))
    with suppress(ValueError):
        assert len(compiled_kernels.rule_spans(rows, 2).start) == 2


def test_an_order_is_made_only_where_groups_are_out_of_order():
    values, start = ints([3, 1, 2, 5, 4]), ints([0, 1, 3, 5])
    assert spans.sorted_order(values, start).tolist() == [0, 1, 2, 4, 3]
    assert spans.sorted_order(ints([3, 1, 2]), ints([0, 1, 3])) is None
