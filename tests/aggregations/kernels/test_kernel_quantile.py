"""Rows around a quantile, and the most frequent keys, in C and in NumPy, beside plain Python."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations import kernels
from skewless.aggregations.kernels import Queries, Spans
from skewless.aggregations.kernels.numpy_distinct import hash_of
from tests.aggregations.kernels.kernel_cases import cases, integers, ints, quick

pytestmark = pytest.mark.usefixtures("implementation")


@quick
@given(cases(), st.sampled_from([0.0, 0.3, 0.5, 0.99, 1.0]), st.data())
def test_rows_around_a_quantile_are_those_of_the_sorted_active_rows(case, q, data):
    keys = data.draw(st.lists(integers, min_size=case.rows, max_size=case.rows))
    below, above, counts = kernels.sweep_quantile(
        case.spans, case.queries, ints(keys), case.mask, q=q
    )
    for query, active in enumerate(case.active()):
        ordered = sorted(active, key=lambda row: (keys[row], row))
        position = q * (len(ordered) - 1)
        expected = (
            (ordered[math.floor(position)], ordered[math.ceil(position)], len(ordered))
            if ordered
            else (-1, -1, 0)
        )
        assert (below[query], above[query], counts[query]) == expected


@quick
@given(cases(), st.integers(1, 4), st.data())
def test_the_most_frequent_keys_are_those_of_a_counter(case, k, data):
    keys = data.draw(st.lists(st.integers(-2, 2), min_size=case.rows, max_size=case.rows))
    found = kernels.sweep_frequent(case.spans, case.queries, ints(keys), case.mask, k=k)
    for query, active in enumerate(case.active()):
        counts = Counter(keys[row] for row in active)
        ranked = sorted(counts, key=lambda key: (-counts[key], key))[:k]
        rows = found[query].tolist()
        assert [keys[row] for row in rows if row >= 0] == ranked
        assert rows[len(ranked) :] == [-1] * (k - len(ranked))


def test_a_row_that_is_not_valid_stands_for_no_key():
    spans = Spans.build(ints([0, 0]), ints([9, 9]), ints([0, 2]))
    asked = Queries(ints([1]), ints([0, 1]))
    mask = np.array([0, 1], np.uint8)
    assert kernels.sweep_frequent(spans, asked, ints([7, 7]), mask, k=1).tolist() == [[1]]
    row, counts = kernels.sweep_distinct(spans, asked, ints([7, 7]), mask, nth=0)
    assert (row.tolist(), counts.tolist()) == ([1], [1])


@quick
@given(cases(), st.integers(0, 4), st.data())
def test_the_distinct_key_of_a_rank_is_that_of_the_sorted_set(case, nth, data):
    keys = data.draw(st.lists(st.integers(-4, 4), min_size=case.rows, max_size=case.rows))
    row, counts = kernels.sweep_distinct(case.spans, case.queries, ints(keys), case.mask, nth=nth)
    for query, active in enumerate(case.active()):
        distinct = sorted({keys[one] for one in active})
        assert counts[query] == len(distinct)
        expected = distinct[nth] if len(distinct) > nth else None
        assert (None if row[query] < 0 else keys[row[query]]) == expected


@pytest.mark.parametrize("size", [1, 15, 16, 17, 399, 400, 5000])
def test_rows_of_long_groups_are_ranked_by_key_and_then_by_row(size):
    random = np.random.default_rng(size)
    row = random.permutation(size)
    keys = random.choice([-(2**63), -7, 0, 5, 2**40, 2**63 - 1], size)
    spans = Spans.build(np.zeros(size, np.int64), np.full(size, 9), ints([0, size]), row)
    asked = Queries(ints([1]), ints([0, 1]))
    order = np.lexsort((np.arange(size), keys))
    for q in (0.0, 0.25, 0.5, 1.0):
        below, above, _ = kernels.sweep_quantile(spans, asked, keys, q=q)
        position = q * (size - 1)
        assert below.tolist() == [order[math.floor(position)]]
        assert above.tolist() == [order[math.ceil(position)]]


@quick
@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(0, 2**32))
def test_hashes_are_those_of_the_plain_form(texts, seed):
    offsets = np.cumsum([0, *map(len, texts)])
    data = np.frombuffer(b"".join(texts), np.uint8)
    assert kernels.hashes(offsets, data, seed=seed).tolist() == [
        hash_of(text, seed) for text in texts
    ]


def test_hashes_stay_within_the_bytes():
    for offsets in ([0, 5], [3, 1], [-1, 2]):
        with pytest.raises(ValueError, match="offsets"):
            kernels.hashes(ints(offsets), np.zeros(4, np.uint8), seed=1)


def test_a_row_with_several_spans_is_one_row():
    spans = Spans.build(ints([0, 5, 0]), ints([2, 9, 9]), ints([0, 3]), ints([0, 0, 1]))
    asked = Queries(ints([1, 3, 6]), ints([0, 3]))
    below, above, counts = kernels.sweep_quantile(spans, asked, ints([7, 3]), q=1.0)
    assert below.tolist() == above.tolist() == [0, 1, 0]
    assert counts.tolist() == [2, 1, 2]


def test_rows_outside_the_keys_are_refused():
    spans = Spans.build(ints([0]), ints([9]), ints([0, 1]), ints([3]))
    with pytest.raises(ValueError, match="outside"):
        kernels.sweep_quantile(spans, Queries(ints([1]), ints([0, 1])), np.array([1]), q=0.5)
