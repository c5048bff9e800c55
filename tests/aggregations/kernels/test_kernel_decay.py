"""Means weighted by age are those of `Ewma.compute`, to the bit, in C and in Python."""

import math
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skewless.aggregations import aggregation, kernels
from skewless.aggregations.kernels import Queries
from skewless.aggregations.spans import RowTimes
from skewless.aggregations.sweep import WindowSweep
from skewless.aggregations.windows import LastN, Sliding
from tests.aggregations.kernels.kernel_cases import (
    integers,
    ints,
    nasty_floats,
    quick,
    tame_floats,
)

pytestmark = pytest.mark.usefixtures("implementation")
FLOATS = st.one_of(tame_floats, nasty_floats, st.sampled_from([1e300, -1e300, math.inf, 1e16, 0.5]))
AGES = st.one_of(st.just(0), st.integers(0, 50), st.integers(0, 10**7), st.integers(0, 2**53 - 1))
ROWS = st.lists(st.tuples(AGES, FLOATS), min_size=1, max_size=12)
HALF_LIVES = st.sampled_from(["1us", "5us", "1s", "1h", "90d"])
T = 2**53 - 1
# Of weights of 1 the sums are those of the values: halfway between two doubles, or all that is left.
HALFWAY = [1.0, 2.0**-53, 2.0**-120]
CANCELLED = [0.0, 1e300, 3.0, -1e16, 0.0, -1e300, 2.0**-60, 1e16, 0.0]


def bits(value):
    return None if value is None or math.isnan(value) else struct.pack("<d", value)


@quick
@given(ROWS, HALF_LIVES)
@example([(0, x) for x in HALFWAY], "1h")
@example([(0, x) for x in [*HALFWAY[:2], -(2.0**-120)]], "1h")
@example([(0, x) for x in HALFWAY[:2]], "1h")
@example([(0, x) for x in CANCELLED], "1h")
@example([(0, x) for x in reversed(CANCELLED)], "1h")
@example([(0, 1.7e308)] * 3, "1h")
@example([(0, 1.7e308), (0, 1.7e308), (0, -1.7e308)], "1h")
@example([(0, -0.0)] * 5, "1h")
@example([(2**52, 1.0)], "5us")
@example([(1074, 1.0), (1073, -3.0)], "1us")
def test_a_window_has_the_mean_of_the_definition(rows, half_life):
    rows = sorted(rows, reverse=True)
    values, events = [value for _, value in rows], [T - age for age, _ in rows]
    kind = aggregation("ewma", half_life=half_life)
    expected = kind.compute(values, events, T, None)
    found = kind.summary(np.array(values), ints(events), T, None)
    assert bits(found) == bits(expected)


@quick
@given(st.lists(st.sampled_from([*HALFWAY, *CANCELLED, -1.0, 7.0]), min_size=250, max_size=520))
def test_long_windows_too(values):
    events = list(range(len(values)))
    kind, t = aggregation("ewma", half_life="1h"), len(values)
    found = kind.summary(np.array(values), ints(events), t, None)
    assert bits(found) == bits(kind.compute(values, events, t, None))


@quick
@given(
    st.lists(st.tuples(st.integers(0, 300), st.one_of(st.none(), integers)), min_size=1),
    st.lists(st.integers(0, 400), min_size=1, max_size=9),
    st.sampled_from([Sliding(width=60), LastN(n=3)]),
)
@example([(0, 1), (2**60, 2)], [2**60 + 1, 2**60 + 2], LastN(n=3))
def test_a_sweep_gives_at_every_moment_what_its_rows_give(rows, asked, window):
    rows, asked = sorted(rows, key=lambda row: row[0]), sorted(asked)
    event = ints([event for event, _ in rows])
    spans = window.spans(RowTimes(event, None, ints([0, len(rows)])))
    swept = WindowSweep(window, spans, Queries(ints(asked), ints([0, len(asked)])), event)
    column = swept.column("n", pa.array([value for _, value in rows], pa.int64()))
    kind, expected = aggregation("ewma", half_life="20us"), []
    for t in asked:
        high = int(event.searchsorted(t, "right"))
        low, high = window.narrow(event, 0, high, t)
        known = [(value, at) for at, value in rows[low:high] if value is not None]
        values, events = [value for value, _ in known], [at for _, at in known]
        expected.append(kind.compute(values, events, t, window) if known else None)
    assert [bits(value) for value in kind.sweep(column).to_pylist()] == [*map(bits, expected)]


def test_windows_outside_the_rows_are_refused():
    for low, high in ((-1, 1), (1, 3), (2, 1)):
        windows = ints([low]), ints([high]), ints([5])
        with pytest.raises(ValueError, match="outside"):
            kernels.decayed_means(ints([0, 1]), np.array([1.0, 2.0]), windows, half_life=9)
