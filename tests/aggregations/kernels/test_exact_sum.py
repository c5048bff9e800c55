from __future__ import annotations

import math
import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations.exact import ExactSum, rounded_ratio
from tests.aggregations.kernels.kernel_cases import (
    bits,
    integers,
    nasty_floats,
    quick,
    tame_floats,
    true_sums,
)

numbers = nasty_floats | tame_floats | integers
lists_of_numbers = st.lists(numbers, max_size=12)
infinities = st.sampled_from([math.inf, -math.inf])


def state_of(values: list[float]) -> ExactSum:
    state = ExactSum()
    for value in values:
        state.add(value)
    return state


@quick
@given(lists_of_numbers)
def test_results_are_the_correctly_rounded_exact_ones(values):
    state, expected = state_of(values), true_sums(values)
    got = [state.n, state.sum(), state.mean(), state.var(), state.var(ddof=1)]
    assert bits(expected.values()) == bits(got)


@quick
@given(st.lists(st.floats(-1e300, 1e300), max_size=40))
def test_the_sum_is_that_of_fsum(values):
    assert math.fsum(values) + 0.0 == state_of(values).sum()


@quick
@given(lists_of_numbers, st.randoms())
def test_order_changes_nothing(values, generator: random.Random):
    shuffled = list(values)
    generator.shuffle(shuffled)
    assert state_of(values).to_bytes() == state_of(shuffled).to_bytes()


@quick
@given(st.lists(numbers | infinities, max_size=8), st.lists(numbers | infinities, max_size=8))
def test_merging_parts_gives_the_whole(first, second):
    merged = state_of(first)
    merged.merge(state_of(second))
    assert state_of(first + second) == merged


@quick
@given(st.lists(numbers | infinities, max_size=8), st.lists(numbers | infinities, max_size=8))
def test_a_removed_value_was_never_added(kept, removed):
    state = state_of(kept + removed)
    for value in removed:
        state.remove(value)
    assert state_of(kept).to_bytes() == state.to_bytes()


@quick
@given(st.lists(numbers | infinities, max_size=8))
def test_bytes_bring_back_the_state(values):
    state = state_of(values)
    again = ExactSum.from_bytes(state.to_bytes())
    assert state == again
    assert bits([state.sum(), state.mean(), state.var()]) == bits(
        [again.sum(), again.mean(), again.var()]
    )


@quick
@given(st.binary(max_size=40), st.booleans())
def test_damaged_bytes_are_refused_or_read_but_never_crash(data, versioned):
    with suppress(ValueError):
        assert ExactSum.from_bytes(b"\x01" * versioned + data).n >= 0


def test_bytes_are_few():
    assert len(ExactSum().to_bytes()) <= 12
    assert len(state_of([0.1 * i for i in range(100)]).to_bytes()) <= 36


def test_bytes_that_are_cut_off_or_of_another_version_are_refused():
    data = state_of([1.5, 2.5]).to_bytes()
    for wrong in (b"", data[:-1], data + b"\x00", b"\x07" + data[1:]):
        with pytest.raises(ValueError, match="ExactSum"):
            ExactSum.from_bytes(wrong)


def test_infinities_are_counted_apart():
    assert math.inf == state_of([1.0, math.inf]).sum()
    assert -math.inf == state_of([-math.inf, 5.0]).mean()
    both = state_of([math.inf, -math.inf])
    assert math.isnan(both.sum())
    both.remove(-math.inf)
    assert (math.inf, 1) == (both.sum(), both.n)
    assert math.isnan(both.var())


def test_integers_keep_their_exact_sum():
    assert state_of([2**80, 1]).integer_sum() == 2**80 + 1
    assert state_of([0.5, 2.5]).integer_sum() == 3
    for values in ([0.5], [math.inf]):
        with pytest.raises(ValueError, match="not an integer"):
            state_of(values).integer_sum()


def test_nan_and_removing_from_nothing_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        state_of([math.nan])
    with pytest.raises(ValueError, match="no value is left"):
        ExactSum().remove(1.0)


def test_a_copy_is_independent():
    state = state_of([1.0])
    twin = state.copy()
    twin.add(2.0)
    assert (state.n, twin.n) == (1, 2)


def test_rounding_is_to_even_and_zero_is_positive():
    assert rounded_ratio(2**53 + 1, 1) == 9007199254740992.0
    assert rounded_ratio(2**53 + 3, 1) == 9007199254740996.0
    assert bits([0.0]) == bits([rounded_ratio(-1, 3, -1074)])
    assert -math.inf == rounded_ratio(-(2**1024), 1)
