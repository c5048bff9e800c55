"""Approximate aggregations: within their stated error, and a matter of the set of rows alone."""

import math
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as PyDecimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skewless as sl
from skewless.aggregations.approximate import (
    ApproxQuantile,
    ApproxUnique,
    _hashed_form,
    bucket_of,
    buckets_of,
    hashes_of,
    middle_of,
    middles_of,
    quantile_of,
)
from skewless.aggregations.kernels import Queries
from skewless.aggregations.spans import RowTimes
from skewless.aggregations.sweep import WindowSweep
from skewless.aggregations.windows import Sliding
from skewless.errors import DefinitionError, MissingDependency
from skewless.types import python_values

PAYS = sl.Source(
    "pays", schema={"card": str, "merchant": str, "amount": float, "flag": bool}, event_time="at"
)
NUMBERS = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, 1e15])
BITS = st.integers(0, 19)


def unique(values, precision=5):
    return ApproxUnique(precision=precision).compute(values, (), 0, None)


# ------------------------------------------------------------------------------- distinct values

COLUMNS = {
    "float": pa.array([1.5, None, -0.0, 0.0, 1e300, 1.5]),
    "float32": pa.array([1.5, -0.0, 0.1], pa.float32()),
    "int": pa.array([7, -3, None, 2**62]),
    "int32": pa.array([7, -3], pa.int32()),
    "bool": pa.array([True, False, None]),
    "str": pa.array(["", "a", "é" * 20, None, "16 characters = 1"]),
    "bytes": pa.array([b"", b"\x00\xff" * 9]),
    "timestamp": pa.array([0, 1_700_000_000_000_001], pa.timestamp("us", "UTC")),
    "date": pa.array([0, 20_000], pa.date32()),
    "decimal": pa.array([PyDecimal("1.50"), PyDecimal("0.00"), PyDecimal("-7.25")]),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_hashes_are_those_of_the_library_for_every_type(column):
    from datasketches import update_theta_sketch

    for value, hashed in zip(python_values(column), hashes_of(column).tolist(), strict=True):
        sketch = update_theta_sketch(5)
        if value is not None:
            sketch.update(_hashed_form(value))
            assert [hashed] == list(sketch)


def test_no_values_have_no_hashes():
    for kind in (pa.float64(), pa.string()):
        assert hashes_of(pa.array([], kind)).tolist() == []
        assert len(hashes_of(pa.array([None, None], kind))) == 2


@pytest.mark.parametrize("kept", [32, 33, 40, 1000])
def test_estimates_of_arrays_and_sweeps_are_those_of_the_sketch(kept):
    random = np.random.default_rng(kept)
    values = random.integers(0, kept, 4 * kept) / 8
    events = np.sort(random.integers(0, 1000, len(values)))
    window, kind = Sliding(width=400), ApproxUnique(precision=5)
    asked = np.arange(0, 1400, 50)
    rows = RowTimes(events, None, np.array([0, len(values)]))
    queries = Queries(asked, np.array([0, len(asked)]))
    swept = WindowSweep(window, window.spans(rows), queries, events)
    for column in (pa.array(values), pa.array([f"w{value}" for value in values])):
        found = kind.sweep(swept.column("x", column)).to_pylist()
        plain = column.to_pylist()
        for t, number in zip(asked.tolist(), found, strict=True):
            own = [v for v, at in zip(plain, events.tolist(), strict=True) if t - 400 < at <= t]
            assert number == (unique(own) if own else 0)
    assert kind.summary(values, events, 0, None) == unique(values.tolist())


@given(st.lists(st.integers(-300, 300), max_size=400), st.data())
def test_neither_order_nor_repetition_changes_the_number_of_distinct_values(values, data):
    again = data.draw(st.lists(st.sampled_from(values), max_size=50)) if values else []
    assert unique(data.draw(st.permutations(values + again))) == unique(values)


@given(st.sets(st.integers(0, 10**9), min_size=33, max_size=300), st.data())
def test_batches_and_merges_give_the_sketch_of_the_whole(values, data):
    from datasketches import theta_union, update_theta_sketch

    def sketch_of(part):
        sketch = update_theta_sketch(5)
        for value in part:
            sketch.update(value)
        sketch.trim()
        return sketch

    cut = data.draw(st.integers(0, len(values)))
    order = data.draw(st.permutations(sorted(values)))
    union = theta_union(5)
    for part in data.draw(st.permutations([order[:cut], order[cut:]])):
        union.update(sketch_of(part))
    assert union.get_result().get_estimate() == sketch_of(values).get_estimate()
    assert unique(values) == round(sketch_of(values).get_estimate())


@pytest.mark.parametrize("precision", [5, 12])
def test_distinct_values_are_exact_up_to_two_to_the_precision(precision):
    size = 1 << precision
    assert unique(list(range(size)), precision) == size
    assert unique(list(range(size + 1)), precision) != 0


@pytest.mark.parametrize(("precision", "size"), [(8, 3_000), (12, 30_000)])
def test_estimates_lie_within_four_standard_errors(precision, size):
    error = 1 / math.sqrt((1 << precision) - 1)
    for batch in range(5):
        values = [f"{batch}-{number}" for number in range(size)]
        assert abs(unique(values, precision) / size - 1) < 4 * error


DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "values",
    [
        [str(n) for n in range(99)] + [""],
        [str(n).encode() for n in range(99)] + [b"\xff\x00"],
        [n / 7 for n in range(100)],
        [DAY + timedelta(microseconds=n) for n in range(100)],
        [date(2026, 1, 1) + timedelta(n) for n in range(100)],
        [PyDecimal(n).scaleb(-2) for n in range(100)],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_every_plain_type_is_estimated(values):
    assert abs(unique(values) / len(values) - 1) < 4 / math.sqrt(31)
    assert unique(values) == unique(values[::-1])


def test_values_that_are_equal_are_one():
    many = [float(n) for n in range(1, 60)]
    assert unique([*many, 0.0]) == unique([*many, -0.0])
    texts = [PyDecimal(n) for n in range(1, 60)]
    assert unique([*texts, PyDecimal("0")]) == unique([*texts, PyDecimal("-0")])


def test_a_missing_library_is_told_where_the_feature_is_written(monkeypatch):
    monkeypatch.setattr("skewless.aggregations.approximate.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'skewless\[sketches\]'"):
        PAYS.merchant.approx_unique("1h")


def test_a_missing_library_is_told_even_while_the_number_would_be_exact(monkeypatch):
    from skewless.aggregations import approximate

    monkeypatch.setitem(sys.modules, "datasketches", None)
    approximate._theta.cache_clear()
    with pytest.raises(MissingDependency, match="approx_unique needs datasketches"):
        unique([1])


# ------------------------------------------------------------------------------------ quantiles


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.floats(0, 1), st.floats(1e-6, 0.5))
def test_a_quantile_is_within_its_accuracy_of_the_row_at_its_rank(values, q, accuracy):
    found = ApproxQuantile(q=q, accuracy=accuracy).compute(values, (), 0, None)
    row = sorted(values)[math.floor(q * (len(values) - 1))]
    if math.isinf(row) or row == 0:
        assert found == row
    elif abs(row) >= 2.3e-308:
        assert abs(found - row) <= accuracy * abs(row)


@given(st.lists(NUMBERS, min_size=1), st.data(), st.floats(0, 1), BITS)
def test_neither_order_nor_batches_nor_merges_change_a_quantile(values, data, q, bits):
    order = data.draw(st.permutations(values))
    cut = data.draw(st.integers(0, len(order)))
    whole = Counter(bucket_of(value, bits) for value in values)
    parts = Counter(bucket_of(value, bits) for value in order[:cut])
    parts += Counter(bucket_of(value, bits) for value in order[cut:])
    assert quantile_of(parts, q, bits) == quantile_of(whole, q, bits)


@given(st.lists(NUMBERS, min_size=2), BITS)
def test_buckets_have_the_order_of_their_values_and_hold_their_middle(values, bits):
    ordered = sorted(values)
    buckets = [bucket_of(value, bits) for value in ordered]
    assert buckets == sorted(buckets)
    assert buckets_of(np.array(ordered), bits).tolist() == buckets
    for value, bucket in zip(ordered, buckets, strict=True):
        if abs(value) >= 2.3e-308:
            assert bucket_of(middle_of(bucket, bits), bits) == bucket


@pytest.mark.parametrize(
    ("accuracy", "bits"), [(0.5, 0), (0.25, 1), (0.01, 6), (1 / 128, 6), (1e-6, 19)]
)
def test_a_bucket_is_twice_the_accuracy_at_most(accuracy, bits):
    assert ApproxQuantile(accuracy=accuracy).bits == bits


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: PAYS.merchant.approx_unique("1h", precision=4), "precision.*5 to 20"),
        (lambda: PAYS.merchant.approx_unique("1h", precision=12.0), r"Got: 12\.0"),
        (lambda: PAYS.amount.approx_quantile(1.5, "1h"), "between 0 and 1"),
        (lambda: PAYS.amount.approx_quantile(0.5, "1h", accuracy=0.0), "1e-6 to 0.5"),
        (lambda: PAYS.merchant.approx_quantile(0.5, "1h"), "a numeric column"),
    ],
)
def test_wrong_parameters_are_told(wrong, told):
    with pytest.raises(DefinitionError, match=told):
        wrong()


@given(st.lists(NUMBERS, min_size=1), BITS)
def test_middles_of_arrays_are_those_of_each_bucket(values, bits):
    buckets = buckets_of(np.array(values), bits)
    assert middles_of(buckets, bits).tolist() == [middle_of(b, bits) for b in buckets.tolist()]
