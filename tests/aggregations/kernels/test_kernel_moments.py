"""Central moments and slopes of spans are the exact ones, rounded once, in C and in Python."""

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skewless.aggregations import kernels
from skewless.aggregations.kernels import NEVER, Queries, Spans, gather_active
from skewless.aggregations.moments import central_moment, to_float
from tests.aggregations.kernels.kernel_cases import (
    cases,
    integers,
    nasty_floats,
    quick,
    tame_floats,
)

pytestmark = pytest.mark.usefixtures("implementation")
FLOATS = st.one_of(tame_floats, nasty_floats, st.sampled_from([math.inf, -math.inf, 1e-300, 1e300]))
COLUMNS = st.sampled_from([tame_floats, tame_floats, FLOATS, integers, st.integers(-9, 9)])
EVENTS = st.one_of(st.integers(0, 50), st.integers(-(10**15), 10**15), st.integers(-(2**63), NEVER))


def true_moments(values):
    if any(math.isinf(value) for value in values):
        return (math.nan,) * 3
    return tuple(to_float(central_moment(values, power)) for power in (2, 3, 4))


def true_slope(values, events):
    n, xs = len(values), [Fraction(event, 10**6) for event in events]
    if any(math.isinf(value) for value in values):
        return math.nan
    ys = [Fraction(value) for value in values]
    spread = n * sum(x * x for x in xs) - sum(xs) ** 2
    product = n * sum(x * y for x, y in zip(xs, ys, strict=True)) - sum(xs) * sum(ys)
    return to_float(product / spread) if spread else math.nan


def bits(numbers):
    return [None if math.isnan(x) else struct.pack("<d", x) for x in numbers]


def array(values):
    whole = all(isinstance(value, int) for value in values)
    return np.array(values, np.int64 if whole else np.float64)


@quick
@given(COLUMNS.flatmap(lambda numbers: st.lists(numbers, min_size=1, max_size=9)))
@example([0.0, -0.0])
@example([1e300, 1e-300, 1.0])
@example([-(2**63), 2**63 - 1, 0])
def test_moments_of_a_window_are_the_exact_ones(values):
    assert bits(kernels.window_moments(array(values))) == bits(true_moments(values))


@quick
@given(
    COLUMNS.flatmap(lambda numbers: st.lists(st.tuples(numbers, EVENTS), min_size=1, max_size=9))
)
@example([(1.0, -(2**63)), (2.0, NEVER)])
@example([(1.0, 5), (2.0, 5)])
def test_the_slope_of_a_window_is_the_exact_one(rows):
    values, events = [value for value, _ in rows], [event for _, event in rows]
    found = kernels.window_slope(array(values), np.array(events, np.int64))
    assert bits([found]) == bits([true_slope(values, events)])


@quick
@given(cases(), st.data())
def test_sweeps_give_at_every_query_what_the_active_rows_give(case, data):
    numbers = data.draw(COLUMNS)
    values = data.draw(st.lists(numbers, min_size=case.rows, max_size=case.rows))
    events = data.draw(st.lists(EVENTS, min_size=case.rows, max_size=case.rows))
    valid = None if case.valid is None else np.array(case.valid, np.uint8)
    column, times = array(values), np.array(events, np.int64)
    found = kernels.sweep_moments(
        case.spans, case.queries, column, valid, events=times,
        want=("second", "third", "fourth", "slope"),
    )  # fmt: skip
    offsets, rows = gather_active(case.spans, case.queries, valid)
    for query in range(len(offsets) - 1):
        active = rows[offsets[query] : offsets[query + 1]].tolist()
        some = [values[row] for row in active]
        expected = true_moments(some) if some else (math.nan,) * 3
        got = [found[name][query] for name in ("second", "third", "fourth")]
        assert bits(got) == bits(expected)
        slope = true_slope(some, [events[row] for row in active]) if some else math.nan
        assert bits([found["slope"][query]]) == bits([slope])


def test_a_valid_value_that_is_nan_is_refused():
    spans = Spans.build(np.array([0]), np.array([9]), np.array([0, 1]))
    asked = Queries(np.array([1]), np.array([0, 1]))
    if kernels.dispatch.chosen is not kernels.dispatch.numpy_kernels:
        with pytest.raises(ValueError, match="NaN"):
            kernels.sweep_moments(spans, asked, np.array([math.nan]))
    found = kernels.sweep_moments(spans, asked, np.array([math.nan]), np.array([0], np.uint8))
    assert math.isnan(found["second"][0])
