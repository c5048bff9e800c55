"""What each aggregation gives, beside libraries that know nothing of skewless."""

import math
import statistics
from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import groupby

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import skewless as sl
from skewless.aggregations.base import AGGREGATIONS, aggregation
from skewless.aggregations.pair_sums import limbs
from skewless.aggregations.standing import Standing
from skewless.aggregations.time_weighted import exact_products
from skewless.aggregations.windows import LastN, Sliding
from skewless.clock import SECOND
from skewless.errors import DefinitionError
from skewless.types import dtype_of

FLOATS = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)
SAMPLES = st.lists(FLOATS, min_size=1, max_size=30)
GRID = st.lists(st.integers(-9, 9).map(lambda n: n / 4), min_size=1, max_size=30)
WINDOW = Sliding(3600 * SECOND)


def value(name, values, events=None, t=None, window=WINDOW, **parameters):
    events = list(range(len(values))) if events is None else events
    return aggregation(name, **parameters).compute(
        values, events, t if t is not None else events[-1], window
    )


def near(found, expected, scale=1.0):
    return found == pytest.approx(expected, rel=1e-9, abs=1e-9 * max(scale, 1.0))


@given(SAMPLES)
def test_sum_and_mean_are_the_exact_ones_rounded_once(values):
    exact = sum(map(Fraction, values))
    assert value("sum", values) == float(exact)
    assert value("mean", values) == float(exact / len(values))


@given(SAMPLES)
def test_variance_and_deviation_are_those_of_the_statistics_module(values):
    exact = [Fraction(v) for v in values]
    assert near(value("var", values), float(statistics.pvariance(exact)))
    assert near(value("std", values), math.sqrt(statistics.pvariance(exact)))
    if len(values) > 1:
        assert near(value("var", values, ddof=1), float(statistics.variance(exact)))
        assert near(value("std", values, ddof=1), math.sqrt(statistics.variance(exact)))


@given(GRID)
def test_skew_and_kurtosis_are_those_of_scipy(values):
    assume(len(set(values)) > 1)
    assert near(value("skew", values), stats.skew(values))
    assert near(value("kurtosis", values), stats.kurtosis(values))


def test_what_has_no_spread_has_no_skew_and_no_kurtosis():
    assert value("skew", [3.0, 3.0]) is None
    assert value("kurtosis", [3.0]) is None


@given(st.lists(st.tuples(st.integers(0, 10**9), GRID.map(lambda g: g[0])), min_size=2))
def test_slope_is_that_of_scipy_per_second(rows):
    events, values = [event for event, _ in rows], [y for _, y in rows]
    assume(max(events) - min(events) > SECOND)
    seconds = [event / SECOND for event in events]
    assert near(value("slope", values, events), stats.linregress(seconds, values).slope)


def test_slope_of_rows_of_one_moment_is_null():
    assert value("slope", [1.0, 2.0], [5, 5]) is None


@given(SAMPLES, st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values, q):
    scale = max(map(abs, values))
    assert near(value("quantile", values, q=q), float(np.quantile(values, q)), scale)
    assert near(value("median", values), float(np.median(values)), scale)


@given(GRID)
def test_extremes_and_ends(values):
    assert value("min", values) == min(values)
    assert value("max", values) == max(values)
    assert value("first", values) == values[0]
    assert value("latest", values) == values[-1]
    assert value("last_n", values, n=3) == values[-3:]
    assert value("first_n", values, n=3) == values[:3]


@given(st.lists(st.sampled_from("abcd") | st.integers(0, 3).map(str), min_size=1))
def test_counts_of_distinct_values(values):
    counted = Counter(values)
    ranked = sorted(counted, key=lambda word: (-counted[word], word))
    assert value("n_unique", values) == len(counted)
    assert value("mode", values) == ranked[0]
    assert value("top_k", values, k=2) == ranked[:2]


@given(GRID)
def test_a_histogram_counts_every_value_once(values):
    edges = (-1.0, 0.0, 0.5)
    inside, _ = np.histogram(values, [-np.inf, *edges, np.inf])
    assert value("histogram", values, edges=edges) == inside.tolist()


@given(st.lists(st.tuples(st.integers(0, 7200), FLOATS), min_size=1, max_size=20))
def test_ewma_is_the_mean_weighted_by_halves(rows):
    events = [second * SECOND for second, _ in rows]
    values = [v for _, v in rows]
    weights = [0.5 ** ((7200 - second) / 60) for second, _ in rows]
    expected = float(np.average(values, weights=weights))
    found = value("ewma", values, events, 7200 * SECOND, half_life="1m")
    assert near(found, expected, max(map(abs, values)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0], None),
        ([1.0, 2.0], 0.0),
        ([10.0, 11.0, 12.0], 15.0),
        ([0.0, 5.0, 5.0], 0.0),
        ([-10.0, 0.0, -5.0], -75.0),
        ([4.0, 6.0, 5.0, 5.0], 0.0),
    ],
)
def test_trend_is_the_change_of_the_newest_two_in_per_cent(values, expected):
    found = value("trend", values, recent=2)
    assert found is None if expected is None else near(found, expected)


def test_trend_of_a_negative_mean_has_the_sign_of_its_formula():
    assert near(value("trend", [-10.0, -5.0], recent=1), -50.0)


def test_rate_is_rows_per_second_of_the_window():
    assert value("rate", [1, 1, 1], window=Sliding(60 * SECOND)) == 3 / 60


def test_since_last_is_seconds_since_the_newest_row():
    assert value("since_last", [1, 1], [SECOND, 3 * SECOND], 10 * SECOND + 500_000) == 7.5


@pytest.mark.parametrize("name", ["sum", "mean", "std", "var"])
@given(SAMPLES, st.randoms(use_true_random=False))
def test_order_changes_no_bit(name, values, chance):
    shuffled = list(values)
    chance.shuffle(shuffled)
    assert value(name, shuffled) == value(name, values)


COLUMNS = {
    "a text": str, "a number": float, "a whole number": int, "a decimal": Decimal,
    "a date": date, "a truth": bool, "bytes": bytes, "a list": list[int],
}  # fmt: skip
TAKEN = {
    "vector_mean": (),
    "vector_sum": (),
    "corr": (),
    "cov": (),
    "beta": (),
    "streak": (),
    "time_in": (),
    "diff": (float, int),
}
"""Which numbers an aggregation takes, where it does not take all."""
VALUES = {
    "a text": "a", "a number": 0.5, "a whole number": 3, "a decimal": Decimal("1.5"),
    "a date": date(2026, 1, 1), "a truth": True, "bytes": b"a", "a list": [1],
}  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_what_the_definition_cannot_compute_is_refused_when_it_is_defined(name, column):
    kind, value = COLUMNS[column], VALUES[column]
    for found in AGGREGATIONS[name].examples():
        try:
            result = found.result_type(dtype_of(kind))
        except DefinitionError as problem:
            words = str(problem)
            assert "a column" in words or "numeric" in words or "condition" in words
            assert kind not in TAKEN.get(name, (float, int, Decimal))
        else:
            result.coerce(found.compute([value, value], [0, 1], 1, WINDOW))


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_every_aggregation_is_a_method_of_columns_or_sources(name):
    source = sl.Source("s", schema={"x": float, "key": str}, event_time="at")
    assert callable(getattr(source.x, name, None) or getattr(source, name, None))


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, 2.5]), min_size=1))
def test_changes_are_the_runs_of_equal_values_but_the_first(values):
    assert value("changes", values) == len(list(groupby(values))) - 1


@given(st.lists(st.booleans(), min_size=1))
def test_a_streak_is_the_last_run_where_that_is_true(flags):
    last, run = [(flag, len(list(rows))) for flag, rows in groupby(flags)][-1]
    assert value("streak", flags) == (run if last else 0)


@given(st.lists(st.integers(0, 60), min_size=1).map(sorted), st.integers(1, 20))
def test_a_burst_is_the_most_rows_that_any_stretch_of_its_width_holds(events, width):
    most = max(sum(start < event <= start + width for event in events) for start in range(-1, 61))
    assert value("burst", [None] * len(events), events, width=f"{width}us") == most


def test_previous_and_diff_are_of_the_two_newest():
    assert value("previous", [1.0, 2.0, 5.0]) == 2.0
    assert value("diff", [1.0, 2.0, 5.0]) == 3.0
    assert value("diff", [2**62, -(2**62) - 1]) is None
    assert value("diff", [math.inf, math.inf]) is None
    assert value("diff", [1.0]) is None
    assert value("previous", ["a"]) is None


def test_distinct_values_come_in_ascending_order():
    assert value("distinct", ["b", "a", "b"]) == ["a", "b"]
    assert math.copysign(1.0, value("distinct", [-0.0, 0.0])[0]) == 1.0


def test_since_first_is_seconds_since_the_oldest_row():
    assert value("since_first", [1, 1], [SECOND, 3 * SECOND], 10 * SECOND + 500_000) == 9.5


@given(
    st.lists(st.tuples(st.integers(0, 60), FLOATS | st.none()), min_size=1),
    st.integers(1, 30),
    st.integers(0, 9),
)
def test_the_mean_over_time_is_that_of_what_stood_at_each_microsecond(rows, width, offset):
    rows.sort(key=lambda row: row[0])
    window = replace(Standing(width=width), offset=offset)
    t = 70 + offset
    held = window.holds([event for event, _ in rows], 70)
    events, values = [rows[place][0] for place in held], [rows[place][1] for place in held]
    stood = [
        next((v for event, v in reversed(rows) if event <= at), None)
        for at in range(70 - width, 70)
    ]
    known = [v for v in stood if v is not None]
    found = value("time_mean", values, events, t, window)
    if not known:
        assert found is None
    else:
        assert found == float(sum(map(Fraction, known))) / len(known)
    in_state = sum(v == 2.5 for v in stood) / SECOND
    states = ["on" if v == 2.5 else None if v is None else "off" for v in values]
    assert value("time_in", states, events, t, window, state="on") == in_state


def test_what_stood_before_the_window_is_unknown_where_it_begins_with_its_first_row():
    assert value("time_in", ["on"], [3 * SECOND], 10 * SECOND, LastN(5), state="on") == 7.0
    assert value("time_mean", [4.0], [SECOND], SECOND, LastN(5)) is None


@given(SAMPLES, st.integers(0, 2**52))
def test_products_are_split_into_what_is_rounded_and_the_rest(values, whole):
    product, rest = exact_products(np.array(values), np.full(len(values), whole))
    for each, rounded, left in zip(values, product.tolist(), rest.tolist(), strict=True):
        assert Fraction(each) * whole == Fraction(rounded) + Fraction(left)


@given(st.lists(st.tuples(GRID.map(lambda g: g[0]), FLOATS), min_size=2, max_size=30))
def test_pairs_are_those_of_numpy_and_scipy(rows):
    pairs, (xs, ys) = [list(row) for row in rows], zip(*rows, strict=True)
    scale = max(map(abs, ys)) * 9
    assert near(value("cov", pairs), float(np.cov(xs, ys, ddof=0)[0, 1]), scale)
    assert near(value("cov", pairs, ddof=1), float(np.cov(xs, ys)[0, 1]), scale)
    assume(statistics.pvariance(map(Fraction, ys)) > 1e-9 and len(set(xs)) > 1)
    found = stats.linregress(ys, xs)
    assert value("corr", pairs) == pytest.approx(found.rvalue, abs=1e-6)
    assert near(value("beta", pairs), found.slope, abs(found.slope))


def test_pairs_without_spread_or_with_an_infinity_have_no_value():
    assert value("corr", [[1.0, 2.0], [1.0, 3.0]]) is None
    assert value("beta", [[1.0, 2.0], [3.0, 2.0]]) is None
    assert value("beta", [[2.0, 1.0], [2.0, 3.0]]) == 0.0
    assert value("cov", [[1.0, 2.0]], ddof=1) is None
    assert value("cov", [[1.0, math.inf], [2.0, 1.0]]) is None


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_limbs_put_together_are_the_numbers(values):
    found = limbs(np.array(values))
    if found is None:
        return
    parts, unit = found
    for place, each in enumerate(values):
        whole = sum(int(part[place]) << 20 * number for number, part in enumerate(parts))
        assert Fraction(whole) * Fraction(2) ** unit == Fraction(each)


@given(st.lists(st.lists(st.floats(-9, 9, width=32), min_size=3, max_size=3), min_size=1))
def test_vectors_are_summed_element_by_element(rows):
    for name in ("sum", "mean"):
        elements = [np.float32(value(name, element)) for element in zip(*rows, strict=True)]
        assert value(f"vector_{name}", rows) == elements
        array = np.array(rows, np.float32)
        found = aggregation(f"vector_{name}").summary(array, np.arange(len(rows)), 0, WINDOW)
        assert found == elements
