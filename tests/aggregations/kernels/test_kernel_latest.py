from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations import kernels
from skewless.aggregations.kernels import LatestJoin, latest
from tests.aggregations.kernels.kernel_cases import ints, quick

Row = tuple[int, int, int, int, int]  # code, enter, event, known, sequence
small = st.integers(0, 5)
rows_of_keys = st.lists(st.tuples(st.integers(-1, 3), small, small, small, small), max_size=30)
tied_rows = st.lists(
    st.tuples(st.integers(-1, 1), small, st.just(1), st.just(1), st.just(0)), max_size=20
)


@st.composite
def queries_of_keys(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    times = [sorted(draw(st.lists(st.integers(-1, 7), max_size=5))) for _ in range(4)]
    start = np.concatenate(([0], np.cumsum([len(own) for own in times])))
    return start, ints(list(chain.from_iterable(times)))


def brute_force(start: np.ndarray, time: np.ndarray, rows: list[Row]) -> list[list[int]]:
    """For each query, all rows tied for the win, by number."""
    winners = []
    for key in range(len(start) - 1):
        for t in time[start[key] : start[key + 1]]:
            found = [i for i, row in enumerate(rows) if row[0] == key and row[1] <= t]
            best = max((rows[i][2:] for i in found), default=None)
            winners.append([i for i in found if rows[i][2:] == best])
    return winners


def add_in_batches(join: LatestJoin, rows: list[Row], cuts: list[int]) -> None:
    """The batches between the cuts, the last one first."""
    edges = sorted({0, *(cut % (len(rows) + 1) for cut in cuts), len(rows)})
    for low, high in reversed(list(pairwise(edges))):
        code, enter, event, known, sequence = ints(rows[low:high]).T
        join.add(code, enter=enter, event=event, known=known, sequence=sequence, row_base=low)


@quick
@given(queries_of_keys(), rows_of_keys | tied_rows, st.lists(st.integers(0, 30), max_size=3))
def test_every_query_finds_its_newest_row_and_all_ties(implementation, queries, rows, cuts):
    start, time = queries
    join = LatestJoin(start, time)
    add_in_batches(join, rows, cuts)
    found = join.finish()
    winners = brute_force(start, time, rows)
    assert [rows_tied[0] if rows_tied else -1 for rows_tied in winners] == found.row.tolist()
    assert [rows[own[0]][2] if own else 0 for own in winners] == found.event.tolist()
    ties = [(query, row) for query, own in enumerate(winners) for row in own[1:]]
    assert ties == list(zip(found.tie_query.tolist(), found.tie_row.tolist(), strict=True))


def many_rows(count: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(9)
    event = generator.integers(0, 50, count)
    return {
        "codes": generator.integers(-1, 20, count),
        "enter": event + generator.integers(0, 3, count),
        "event": event,
        "known": event,
        "sequence": np.zeros(count, dtype=np.int64),
    }


def spine() -> tuple[np.ndarray, np.ndarray]:
    return np.arange(21) * 30, np.tile(np.arange(30) * 2, 20)


def test_any_order_of_batches_gives_the_same_answer(implementation):
    columns, answers = many_rows(5000), []
    for order in (range(0, 5000, 500), reversed(range(0, 5000, 500))):
        join = LatestJoin(*spine())
        for low in order:
            part = {name: column[low : low + 500] for name, column in columns.items()}
            join.add(part.pop("codes"), row_base=low, **part)
        found = join.finish()
        answers.append((found.row.tolist(), found.tie_query.tolist(), found.tie_row.tolist()))
    assert answers[0] == answers[1]


def test_memory_for_ties_follows_the_ties_that_still_count(implementation):
    join = LatestJoin(ints([0, 1]), ints([10**9]))
    for round_number in range(60):
        same = np.full(200, round_number)
        join.add(
            np.zeros(200, dtype=np.int64),
            enter=same,
            event=same,
            known=same,
            sequence=None,
            row_base=200 * round_number,
        )
    assert list(range(59 * 200 + 1, 60 * 200)) == join.finish().tie_row.tolist()
    assert len(join._tie) == latest._FEWEST_TIES


def test_no_rows_and_no_queries_are_fine(implementation):
    assert LatestJoin(ints([0, 1]), ints([5])).finish().row.tolist() == [-1]
    empty = LatestJoin(ints([0]), ints([]))
    none = ints([])
    empty.add(none, enter=none, event=none, known=none, sequence=none)
    assert empty.finish().row.tolist() == []


@pytest.mark.parametrize("code", [1, 2**40])
def test_a_code_beyond_the_keys_is_refused(implementation, code):
    one = ints([0])
    join = LatestJoin(ints([0, 1]), ints([5]))
    with pytest.raises(ValueError, match="code"):
        join.add(ints([code]), enter=one, event=one, known=one, sequence=None)


def test_query_times_that_step_back_are_refused(implementation):
    with pytest.raises(ValueError, match="step back"):
        LatestJoin(ints([0, 2]), ints([5, 4]))
    assert kernels.LatestJoin(ints([0, 1, 2]), ints([5, 4])).finish().row.tolist() == [-1, -1]
