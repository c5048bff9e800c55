"""Rows around a quantile, and the most frequent codes, in C and in NumPy, beside plain Python."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations import kernels
from skewless.aggregations.kernels import Queries, Spans
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
def test_the_most_frequent_codes_are_those_of_a_counter(case, k, data):
    codes = data.draw(st.lists(st.integers(0, 4), min_size=case.rows, max_size=case.rows))
    found = kernels.sweep_frequent(case.spans, case.queries, ints(codes), case.mask, k=k)
    for query, active in enumerate(case.active()):
        counts = Counter(codes[row] for row in active)
        ranked = sorted(counts, key=lambda code: (-counts[code], code))[:k]
        assert found[query].tolist() == ranked + [-1] * (k - len(ranked))


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
