from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations import kernels
from skewless.aggregations.kernels import NEVER, Spans, numpy_kernels
from skewless.aggregations.kernels.rules import RuleRows, plain_spans
from tests.aggregations.kernels.kernel_cases import ints, moments, quick


@dataclass
class Rows:
    event: np.ndarray
    enter: np.ndarray
    superseded: np.ndarray | None
    start: np.ndarray

    def active(self, group: int, time: int) -> list[int]:
        return [
            row
            for row in range(self.start[group], self.start[group + 1])
            if self.enter[row] <= time and (self.superseded is None or time < self.superseded[row])
        ]


@st.composite
def rows_of_groups(draw: st.DrawFn) -> Rows:
    sizes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3))
    total = sum(sizes)
    start = np.concatenate(([0], np.cumsum(sizes)))
    event = ints(draw(st.lists(moments, min_size=total, max_size=total)))
    for low, high in pairwise(start):
        event[low:high].sort()
    lags = draw(st.sampled_from([st.just(0), st.integers(0, 4)]))
    enter = event + ints(draw(st.lists(lags, min_size=total, max_size=total)))
    superseded = None
    if draw(st.booleans()):
        ends = st.one_of(st.just(NEVER), moments)
        superseded = ints(draw(st.lists(ends, min_size=total, max_size=total)))
    return Rows(event, enter, superseded, start)


def chosen_rows(spans: Spans, group: int, time: int) -> list[int]:
    own = range(spans.start[group], spans.start[group + 1])
    row = np.arange(len(spans.enter)) if spans.row is None else spans.row
    return sorted(int(row[s]) for s in own if spans.enter[s] <= time < spans.exit[s])


def newest_session(rows: Rows, active: list[int], gap: int) -> list[int]:
    run = active[-1:]
    for row in reversed(active[:-1]):
        if rows.event[run[0]] - rows.event[row] > gap:
            break
        run.insert(0, row)
    return run


def arrays(spans: Spans) -> list[list[int] | None]:
    fields = (spans.row, spans.enter, spans.exit, spans.start, spans.enter_order, spans.exit_order)
    return [None if field is None else field.tolist() for field in fields]


@quick
@given(rows_of_groups(), st.integers(1, 4))
def test_a_row_is_in_its_spans_exactly_while_it_is_among_the_n_newest(implementation, rows, n):
    spans = kernels.last_n_spans(rows.enter, rows.superseded, rows.start, n)
    for group in range(len(rows.start) - 1):
        for time in range(-4, 20):
            assert rows.active(group, time)[-n:] == chosen_rows(spans, group, time)


@quick
@given(rows_of_groups(), st.integers(0, 4))
def test_a_row_is_in_its_spans_exactly_while_in_the_newest_session(implementation, rows, gap):
    spans = kernels.session_spans(rows.event, rows.enter, rows.superseded, gap, rows.start)
    for group in range(len(rows.start) - 1):
        for time in range(-4, 20):
            expected = newest_session(rows, rows.active(group, time), gap)
            assert expected == chosen_rows(spans, group, time)


@quick
@given(rows_of_groups(), st.integers(1, 4))
def test_both_implementations_return_the_same_spans(compiled_kernels, rows, parameter):
    prepared = [
        RuleRows.build(event, rows.enter, rows.superseded, rows.start)
        for event in (None, rows.event)
    ]
    for given_rows in prepared:
        assert arrays(numpy_kernels.rule_spans(given_rows, parameter)) == arrays(
            compiled_kernels.rule_spans(given_rows, parameter)
        )


@quick
@given(rows_of_groups(), st.integers(1, 4))
def test_groups_in_order_give_the_same_spans_as_the_general_way(compiled_kernels, rows, parameter):
    for event in (None, rows.event):
        given_rows = RuleRows.build(event, np.sort(rows.enter), None, rows.start)
        if given_rows.in_order():
            plain = plain_spans(given_rows, parameter)
            general = compiled_kernels.rule_spans(given_rows, parameter)
            assert [list(range(len(rows.enter))), *arrays(plain)[1:4]] == arrays(general)[:4]


def test_a_superseded_row_lets_an_older_row_back_in(implementation):
    spans = kernels.last_n_spans(ints([0, 1, 2]), ints([NEVER, NEVER, 5]), ints([0, 3]), 2)
    assert [chosen_rows(spans, 0, time) for time in (1, 2, 5)] == [[0, 1], [1, 2], [0, 1]]


def test_a_late_row_bridges_two_sessions_and_its_correction_parts_them(implementation):
    event, enter, gone = ints([0, 5, 10]), ints([0, 20, 10]), ints([NEVER, 30, NEVER])
    spans = kernels.session_spans(event, enter, gone, 5, ints([0, 3]))
    assert [chosen_rows(spans, 0, time) for time in (10, 20, 30)] == [[2], [0, 1, 2], [2]]


def test_a_bridge_that_comes_and_goes_makes_as_many_spans_as_it_takes(implementation):
    bridges = 30
    event = ints([0] * 20 + [5] * bridges + [10])
    enter = ints([0] * 20 + list(range(20, 20 + 2 * bridges, 2)) + [10])
    gone = ints([NEVER] * 20 + list(range(21, 21 + 2 * bridges, 2)) + [NEVER])
    spans = kernels.session_spans(event, enter, gone, 5, ints([0, len(event)]))
    assert len(chosen_rows(spans, 0, 40)) == 22
    assert len(chosen_rows(spans, 0, 41)) == 1
    assert len(spans.enter) > len(event) + bridges


@pytest.mark.parametrize("call", ["n", "gap", "start", "superseded"])
def test_bad_arguments_of_rules_are_refused(implementation, call):
    two, start = ints([0, 1]), ints([0, 2])
    with pytest.raises(ValueError, match=call):
        {
            "n": lambda: kernels.last_n_spans(two, None, start, 0),
            "gap": lambda: kernels.session_spans(two, two, None, -1, start),
            "start": lambda: kernels.last_n_spans(two, None, ints([0, 3]), 1),
            "superseded": lambda: kernels.last_n_spans(two, ints([1]), start, 1),
        }[call]()
