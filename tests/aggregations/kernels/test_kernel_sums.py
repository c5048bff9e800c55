from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations import kernels
from skewless.aggregations.kernels import Queries, Spans, Want, numpy_kernels
from tests.aggregations.kernels.kernel_cases import (
    Case,
    bits,
    cases,
    column_of,
    columns_of_floats,
    integers,
    ints,
    quick,
    true_sums,
)

NAMES = ("count", "sum", "mean", "var", "var_sample")


@st.composite
def float_cases(draw: st.DrawFn) -> tuple[Case, list[float]]:
    case = draw(cases())
    return case, column_of(draw, case, draw(columns_of_floats))


@st.composite
def integer_cases(draw: st.DrawFn) -> tuple[Case, list[int]]:
    case = draw(cases())
    return case, column_of(draw, case, integers)


@quick
@given(float_cases())
def test_sums_are_the_correctly_rounded_results_of_exact_arithmetic(implementation, drawn):
    case, values = drawn
    got = kernels.sweep_sums(case.spans, case.queries, np.array(values, float), case.mask)
    expected = [true_sums([values[row] for row in rows]) for rows in case.active()]
    for name in NAMES:
        assert bits(row[name] for row in expected) == bits(got[name].tolist())


@quick
@given(integer_cases())
def test_integer_sums_are_exact_and_say_when_they_do_not_fit(implementation, drawn):
    case, values = drawn
    got = kernels.sweep_sums_int(case.spans, case.queries, ints(values), case.mask)
    active = [[values[row] for row in rows] for rows in case.active()]
    fits = [-(2**63) <= sum(rows) < 2**63 for rows in active]
    assert [int(not fit) for fit in fits] == got["overflow"].tolist()
    sums = [sum(rows) if fit else 0 for fit, rows in zip(fits, active, strict=True)]
    assert sums == got["sum"].tolist()
    for name in ("count", "mean", "var", "var_sample"):
        assert bits(true_sums(rows)[name] for rows in active) == bits(got[name].tolist())


@quick
@given(cases())
def test_counts_need_no_values(implementation, case):
    got = kernels.sweep_counts(case.spans, case.queries, case.mask)
    assert [len(rows) for rows in case.active()] == got.tolist()


@quick
@given(float_cases(), st.sampled_from([Want.SUM, Want.MEAN | Want.COUNT, Want.VAR]))
def test_what_is_not_wanted_is_not_returned_and_changes_nothing(implementation, drawn, want):
    case, values = drawn
    column = np.array(values, float)
    everything = kernels.sweep_sums(case.spans, case.queries, column, case.mask)
    some = kernels.sweep_sums(case.spans, case.queries, column, case.mask, want)
    assert {flag.name.lower() for flag in want} == some.keys()
    for name, column_wanted in some.items():
        assert bits(everything[name].tolist()) == bits(column_wanted.tolist())


def lifetime(values: list[float]) -> tuple[Spans, Queries, np.ndarray]:
    moments = ints(range(len(values)))
    spans = Spans.build(moments, np.full(len(values), kernels.NEVER), ints([0, len(values)]))
    return spans, Queries(moments, ints([0, len(values)])), np.array(values)


def test_infinities_are_counted_apart(implementation):
    spans, queries, values = lifetime([1.0, math.inf, 2.0, -math.inf])
    got = kernels.sweep_sums(spans, queries, values)
    assert got["count"].tolist() == [1, 2, 3, 4]
    assert bits([1.0, math.inf, math.inf, math.nan]) == bits(got["sum"].tolist())
    assert bits([1.0, math.inf, math.inf, math.nan]) == bits(got["mean"].tolist())
    assert bits([0.0, math.nan, math.nan, math.nan]) == bits(got["var"].tolist())


def test_an_infinity_that_has_left_the_window_leaves_no_trace(implementation):
    moments = ints([0, 1, 2, 3])
    spans = Spans.build(moments, moments + 2, ints([0, 4]))
    values = np.array([math.inf, 1.0, -math.inf, 3.0])
    queries = Queries(ints([1, 2, 3, 4, 5]), ints([0, 5]))
    got = kernels.sweep_sums(spans, queries, values)["sum"].tolist()
    assert bits([math.inf, -math.inf, -math.inf, 3.0, 0.0]) == bits(got)


def test_a_spike_that_has_left_the_window_leaves_no_trace(implementation):
    moments = ints(range(6))
    spans = Spans.build(moments, moments + 3, ints([0, 6]))
    values = np.array([1e300, 0.1, 0.2, 0.3, 1e-300, 5e-324])
    got = kernels.sweep_sums(spans, Queries(moments, ints([0, 6])), values)
    windows = [values[max(0, i - 2) : i + 1] for i in range(6)]
    assert [math.fsum(window) for window in windows] == got["sum"].tolist()


def test_a_sum_beyond_the_largest_float_is_infinite_and_its_mean_is_not(implementation):
    spans, queries, values = lifetime([1.7976931348623157e308, 1.7976931348623157e308])
    got = kernels.sweep_sums(spans, queries, values)
    assert [values[0], math.inf] == got["sum"].tolist()
    assert [values[0], values[0]] == got["mean"].tolist()


def test_a_valid_nan_is_refused(implementation):
    spans, queries, values = lifetime([1.0, math.nan])
    with pytest.raises(ValueError, match="NaN"):
        kernels.sweep_sums(spans, queries, values)
    valid = np.array([True, False])
    assert kernels.sweep_sums(spans, queries, values, valid)["sum"].tolist() == [1.0, 1.0]


def large_case(rows: int = 4000, groups: int = 40) -> tuple[Spans, Queries, np.random.Generator]:
    """Many rows a group, a third of them late; windows of every length."""
    generator = np.random.default_rng(5)
    start = np.sort(generator.integers(0, rows, groups - 1))
    start = np.concatenate(([0], start, [rows]))
    event = np.sort(generator.integers(0, 10_000, rows))
    enter = event + np.where(generator.random(rows) < 0.3, generator.integers(0, 500, rows), 0)
    leave = event + generator.choice([10, 500, 3000], rows)
    query_start = np.concatenate(([0], np.cumsum(generator.integers(0, 60, groups))))
    time = np.concatenate(
        [np.sort(generator.integers(0, 11_000, size)) for size in np.diff(query_start)]
    )
    return Spans.build(enter, leave, start), Queries(time, query_start), generator


@pytest.mark.parametrize("kind", ["normal", "billion", "spikes", "wide", "integers"])
def test_both_implementations_give_equal_bits_on_larger_data(kind, monkeypatch, compiled_kernels):
    spans, queries, generator = large_case()
    rows = len(spans.enter)
    noise = generator.normal(size=rows)
    values = {
        "normal": noise,
        "billion": 1e9 + noise,
        "spikes": np.where(generator.random(rows) < 0.01, 1e15, noise),
        "wide": noise * 10.0 ** generator.integers(-320, 300, rows),
        "integers": generator.integers(-(2**63), 2**63 - 1, rows),
    }[kind]
    sweep = kernels.sweep_sums_int if kind == "integers" else kernels.sweep_sums
    results = []
    for implementation in (numpy_kernels, compiled_kernels):
        monkeypatch.setattr(kernels.dispatch, "chosen", implementation)
        results.append(sweep(spans, queries, values))
    for name in results[0]:
        assert bits(results[0][name].tolist()) == bits(results[1][name].tolist())


def test_slices_of_groups_in_threads_give_the_whole(implementation):
    spans, queries, generator = large_case()
    values = generator.normal(size=len(spans.enter))
    whole = kernels.sweep_sums(spans, queries, values)
    cuts = [(0, 7), (7, 8), (8, 40)]
    with ThreadPoolExecutor(3) as pool:
        parts = pool.map(
            lambda cut: kernels.sweep_sums(spans.groups(*cut), queries.groups(*cut), values), cuts
        )
        together = list(parts)
    for name in NAMES:
        joined = np.concatenate([part[name] for part in together])
        assert bits(whole[name].tolist()) == bits(joined.tolist())


@quick
@given(float_cases(), st.booleans())
def test_window_summary_gives_the_numbers_of_a_sweep(implementation, drawn, strided):
    case, values = drawn
    column = np.repeat(np.array(values, float), 2)[::2] if strided else np.array(values, float)
    mask = case.mask
    low, high = len(values) // 4, len(values) - len(values) // 5
    got = kernels.window_summary(column, mask, low, high, int(Want.ALL))
    counted = [values[i] for i in range(low, high) if mask is None or mask[i]]
    expected = true_sums(counted)
    assert bits(expected[name] for name in NAMES) == bits(got[:5])
    if counted:
        order = sorted(counted, key=lambda value: (value, math.copysign(1.0, value)))
        assert bits([order[0], order[-1]]) == bits(got[5:])
    else:
        assert got[5:] == (None, None)


@quick
@given(st.lists(integers, max_size=12))
def test_window_summary_of_integers_is_exact_at_any_size(implementation, values):
    got = kernels.window_summary(ints(values), None, 0, len(values), int(Want.ALL))
    expected = true_sums(values)
    assert (len(values), sum(values)) == got[:2]
    assert bits(expected[name] for name in NAMES[2:]) == bits(got[2:5])
    assert (min(values, default=None), max(values, default=None)) == got[5:]


def test_window_summary_leaves_out_what_is_not_wanted(implementation):
    values = np.array([1.0, 3.0])
    got = kernels.window_summary(values, None, 0, 2, int(Want.SUM | Want.MAX))
    assert got == (None, 4.0, None, None, None, None, 3.0)
