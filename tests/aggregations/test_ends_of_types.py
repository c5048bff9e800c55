"""Aggregations of values near the ends of their types."""

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from skewless.aggregations import aggregation
from skewless.aggregations.kernels import Queries
from skewless.aggregations.spans import RowTimes
from skewless.aggregations.sweep import WindowSweep
from skewless.aggregations.windows import Sliding


def of(name, values, **parameters):
    return aggregation(name, **parameters).compute(values, [0] * len(values), 0, None)


def test_a_decimal_sum_keeps_all_38_digits():
    values = [Decimal("12345678901234567890123456789.123456788"), Decimal("0.000000001")]
    assert of("sum", values) == Decimal("12345678901234567890123456789.123456789")
    assert of("sum", [Decimal(10) ** 37] * 10) is None


def test_an_integer_sum_beyond_int64_is_null_and_its_mean_is_not():
    assert of("sum", [2**63 - 1, 1]) is None
    assert of("sum", [2**63 - 1, 1, -1]) == 2**63 - 1
    assert of("mean", [2**63 - 1, 1]) == 2.0**62


def test_a_float_sum_may_pass_beyond_the_floats_and_return():
    assert of("sum", [1.7e308, 1.7e308, -1.7e308]) == 1.7e308
    assert of("sum", [1.7e308, 1.7e308]) == math.inf
    assert of("mean", [1.7e308, 1.7e308]) == 1.7e308


def test_a_median_between_the_ends_of_the_floats_is_finite():
    assert of("median", [-1.7e308, 1.7e308]) == 0.0
    assert of("quantile", [-1.5e308, 1.5e308], q=0.75) == 0.75e308


def test_an_ewma_whose_weighted_sum_leaves_the_floats_is_null():
    assert of("ewma", [1.7e308] * 3, half_life="1h") is None
    assert of("ewma", [1.0, 3.0], half_life="1h") == 2.0


@pytest.mark.parametrize("name", ["skew", "kurtosis"])
@pytest.mark.parametrize("size", [1.3e154, 1e110, 1e-110, 1e-160])
def test_moments_whose_powers_leave_the_floats_are_the_same_at_many_moments(name, size):
    values = [-size, -size, 0.0, size]
    event, start = np.arange(4), np.array([0, 4])
    window = Sliding.of("1h")
    spans = window.spans(RowTimes(event, event, start))
    swept = WindowSweep(window, spans, Queries(event, start), event)
    found = aggregation(name).sweep(swept.column("x", pa.array(values))).to_pylist()
    assert found == [of(name, values[:many]) for many in (1, 2, 3, 4)]
