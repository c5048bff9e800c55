"""Rows by key and time: sorted, stable, and the same from C and from NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations.kernels import numpy_kernels

compiled_kernels = pytest.importorskip("skewless.aggregations.kernels.compiled_kernels")
BOTH = [numpy_kernels, compiled_kernels]
KEYS = 5
TIMES = st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)
ROWS = st.lists(st.tuples(st.integers(0, KEYS - 1), TIMES), max_size=80)


def arrays(rows):
    return [np.array([row[i] for row in rows], np.int64) for i in (0, 1)]


@given(ROWS)
def test_rows_come_by_key_then_time_then_as_they_were_given(rows):
    expected = sorted(range(len(rows)), key=lambda at: rows[at])
    for kernels in BOTH:
        order, start = kernels.group_rows(*arrays(rows), KEYS)
        assert order.tolist() == expected
        assert start.tolist() == [sum(code < key for code, _ in rows) for key in range(KEYS + 1)]


@pytest.mark.parametrize("kernels", BOTH)
@pytest.mark.parametrize("count", [15, 16, 17, 31, 33, 64, 1_000, 4_097])
def test_a_hot_key_in_no_order_of_time(kernels, count):
    times = np.random.default_rng(count).integers(0, count // 2 + 1, count)
    order, start = kernels.group_rows(np.zeros(count, np.int64), times, 1)
    assert order.tolist() == sorted(range(count), key=lambda at: times[at])
    assert start.tolist() == [0, count]


@pytest.mark.parametrize("kernels", BOTH)
@pytest.mark.parametrize("code", [-1, KEYS, 2**62])
def test_a_code_of_no_key_is_refused(kernels, code):
    with pytest.raises(ValueError, match="outside"):
        kernels.group_rows(np.array([0, code]), np.array([1, 2]), KEYS)


@pytest.mark.parametrize("kernels", BOTH)
def test_no_rows_and_no_keys(kernels):
    none = np.zeros(0, np.int64)
    order, start = kernels.group_rows(none, none, 0)
    assert (order.tolist(), start.tolist()) == ([], [0])
