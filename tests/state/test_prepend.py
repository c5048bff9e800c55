"""Rows added one by one, in batches, in any order of their times: the state of all at once."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import ALWAYS
from skewless.definitions import FeatureView, Source
from skewless.engines.reference import HistoryRow, view_values
from skewless.state.blob import decode, encode
from skewless.state.header import layout_mark, read_header
from skewless.state.prepend import Inserter
from skewless.state.update import Replacement
from tests.engines.cases import FLOATS
from tests.state.states import (
    KEY,
    SCHEMA,
    SOURCE,
    WHOLE,
    Row,
    answers,
    bits,
    every_column,
    layout_of,
    plain,
    row_set,
    updated,
    windows,
)

LEFT = Source("rows", schema=SCHEMA, event_time="at", closed="left")
VIEWS = {"right": windows(), "left": windows(LEFT), "columns": every_column()}
END = 80


@st.composite
def arrivals(draw):
    """Rows as they come in, moment by moment; when they happened is any time before, or after."""
    rows, now = [], 0
    for number in range(draw(st.integers(1, 16))):
        now += draw(st.integers(0, 5))
        event = max(0, now + draw(st.sampled_from([0, 0, 0, -1, -3, -12, -30, 2])))
        values = plain(
            number, x=draw(st.none() | FLOATS), word=draw(st.sampled_from([None, "", "a", "bb"])),
            flag=draw(st.none() | st.booleans()),
        )  # fmt: skip
        rows.append(Row(values, event, now, number + 1))
    return rows


def added(layout, rows, *, rewind):
    """The state after rows came one by one, as pushes bring them: the quick way where it is open.

    A row amid others can join the newest session to rows that were dropped: as a push does, it then
    rebuilds the state.
    """
    inserter, state, quick = Inserter(layout), None, 0
    joins = any(rule.window.joins for rule in layout.rules)
    for number, row in enumerate(rows):
        floor = row.known - rewind
        record, tails = inserter.record(row.values, row.order)
        if state is None:
            state = inserter.start(record, row.order, tails, floor)
            continue
        if joins and row.event < inserter.newest(state)[0]:
            state = updated(layout, None, rows[: number + 1], floor)
            continue
        new = inserter.add(state, record, row.order, tails)
        quick += new is not None
        state = updated(layout, state, [row], floor) if new is None else new
    return state, quick


def as_history(rows):
    return [HistoryRow(r.values, r.event, r.known, r.sequence) for r in rows]


def by_reference(view, rows, t):
    found = view_values(view, as_history(rows), {"key": "k"}, t, t)
    return {name: [bits(value), status.value] for name, (value, status) in found.items()}


JOINED_AGAIN = [
    (1, 1), (0, 3), (6, 6), (10, 10), (12, 12), (16, 16), (20, 20), (24, 25), (18, 30), (28, 31),
    (2, 32),
]  # fmt: skip
"""When rows happened and were known: the last joins the newest session to the two first."""


@pytest.mark.parametrize("kind", ["right", "left"])
def test_a_row_that_joins_two_sessions_has_the_older_one_built_anew(kind):
    view, layout = VIEWS[kind], layout_of(VIEWS[kind])
    rows = [Row(plain(n), *times, n + 1) for n, times in enumerate(JOINED_AGAIN)]
    state, _ = added(layout, rows, rewind=0)
    for t in range(32, 40):
        assert answers(view, layout, state, t) == by_reference(view, rows, t)


@pytest.mark.parametrize("kind", ["right", "left"])
@pytest.mark.parametrize("floor", [0, 29, 30, 31, 34, 36, 37])
def test_a_row_that_is_known_later_keeps_the_session_that_it_will_join(kind, floor):
    """Of a state that is brought to a moment before that."""
    view, layout = VIEWS[kind], layout_of(VIEWS[kind])
    times = [(0, 0), *JOINED_AGAIN[:8], (28, 30), (32, 34), (2, 37)]
    rows = [Row(plain(n), *each, n + 1) for n, each in enumerate(times)]
    state = updated(layout, None, rows, floor)
    for t in range(37, 42):
        assert answers(view, layout, state, t) == by_reference(view, rows, t)


@pytest.mark.parametrize("kind", VIEWS)
@given(rows=arrivals(), rewind=st.sampled_from([0, 7, 100]))
def test_rows_added_one_by_one_give_the_state_built_at_once(kind, rows, rewind):
    """Brought to one floor, both are the same bytes."""
    layout = layout_of(VIEWS[kind])
    state, _ = added(layout, rows, rewind=rewind)
    floor = rows[-1].known
    assert updated(layout, state, [], floor) == updated(layout, None, rows, floor)


@pytest.mark.parametrize("kind", ["right", "left"])
@given(rows=arrivals(), rewind=st.sampled_from([0, 7, 100]), data=st.data())
def test_a_state_answers_what_the_reference_does_however_it_came_about(kind, rows, rewind, data):
    view, layout = VIEWS[kind], layout_of(VIEWS[kind])
    last = rows[-1].known
    at_once = updated(layout, None, rows)
    one_by_one, _ = added(layout, rows, rewind=rewind)
    for t in data.draw(st.lists(st.integers(last, END), min_size=1, max_size=3)):
        expected = by_reference(view, rows, t)
        assert answers(view, layout, at_once, t) == expected
        assert answers(view, layout, one_by_one, t) == expected


@given(rows=arrivals(), data=st.data())
def test_no_tile_changes_a_value(rows, data):
    """Folded never, at once, or at any moments in between: the values are those of the rows."""
    view = VIEWS["right"]
    layout = layout_of(view)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(rows)), max_size=4)) | {0, len(rows)})
    plain_state, folded = None, None
    for first, last in pairwise(cuts):
        batch = rows[first:last]
        plain_state = updated(layout, plain_state, batch)
        floor = batch[0].known - data.draw(st.integers(0, 9))
        folded = updated(layout, folded, batch, floor)
    assert read_header(plain_state).rows == len(rows)
    final = rows[-1].known
    folded = updated(layout, folded, [], final)
    for t in range(final, END, 7):
        assert answers(view, layout, folded, t) == answers(view, layout, plain_state, t)


@settings(max_examples=30)
@given(rows=arrivals(), width=st.integers(1, 40), resolution=st.integers(1, 40))
def test_no_width_of_a_tile_changes_a_value(rows, width, resolution):
    x = SOURCE.x
    features = {
        "tumbling": x.sum(sl.tumbling(f"{width}us")),
        "least": x.min(sl.tumbling(f"{width}us")),
    }
    if resolution <= width:
        features["coarse"] = x.mean(f"{width}us", resolution=f"{resolution}us")
        features["words"] = SOURCE.word.n_unique(f"{width}us", resolution=f"{resolution}us")
    view = FeatureView("Tiled", entity=KEY, source=SOURCE, features=features)
    layout = layout_of(view)
    state, _ = added(layout, rows, rewind=3)
    for t in range(rows[-1].known, END, 9):
        assert answers(view, layout, state, t) == by_reference(view, rows, t)


@given(rows=arrivals())
def test_the_quick_way_writes_what_the_long_way_writes(rows):
    """A row that is the newest goes in front of the packed state; nothing is unpacked."""
    layout = layout_of(VIEWS["columns"])
    rows = [
        Row(WHOLE | {"x": row.values["x"], "word": row.values["word"]}, at, at, at + 1)
        for at, row in enumerate(rows)
    ]
    inserter = Inserter(layout)
    state = None
    for number, row in enumerate(rows):
        record, tails = inserter.record(row.values, row.order)
        if state is None:
            state = inserter.start(record, row.order, tails, ALWAYS)
        else:
            state = inserter.add(state, record, row.order, tails)
        if state is None:
            return  # due to let old rows go
        packed = row_set(layout, rows[: number + 1])
        sequence, floor = packed.records["tiebreak"][-1:], packed.records["event"][:1] * 0 + ALWAYS
        (whole,) = encode(packed, layout_mark(layout.fingerprint), sequence, floor)
        assert _without_limit(state) == _without_limit(whole)


def _without_limit(state):
    """A state without the number of rows at which it lets old ones go."""
    return state[:32] + state[36:]


@given(rows=arrivals(), data=st.data())
def test_rows_a_state_holds_already_change_nothing(rows, data):
    """A replay of any part of the log."""
    layout = layout_of(VIEWS["right"])
    state, _ = added(layout, rows, rewind=5)
    first = data.draw(st.integers(0, len(rows) - 1))
    inserter = Inserter(layout)
    for row in rows[first:]:
        record, tails = inserter.record(row.values, row.order)
        assert inserter.add(state, record, row.order, tails) in (None, state)
    floor = read_header(state).floor
    again = updated(layout, state, rows[first:], floor)
    assert decoded(layout, again) == decoded(layout, updated(layout, state, [], floor))


def decoded(layout, state):
    rows = decode(layout.slots, [state])
    return rows.records.tobytes(), rows.superseded.tolist(), rows.tails


@given(rows=arrivals(), data=st.data())
def test_a_replaced_row_counts_until_it_is_replaced(rows, data):
    view = VIEWS["right"]
    layout = layout_of(view)
    gone = data.draw(st.sampled_from(rows))
    at = data.draw(st.integers(rows[-1].known, END))
    state = updated(layout, None, rows, ALWAYS, [Replacement(0, gone.sequence, at)])
    without = [row for row in rows if row is not gone]
    for t in (rows[-1].known, at - 1, at, END):
        if t < rows[-1].known:
            continue
        expected = by_reference(view, without if t >= at else rows, t)
        found = answers(view, layout, state, t)
        if without or t < at:
            assert found == expected


def test_a_state_stays_within_half_as_many_rows_again_as_it_needs():
    """However many rows come: those that no longer count are dropped."""
    view = FeatureView("Short", entity=KEY, source=SOURCE, features={"x": SOURCE.x.sum("20us")})
    layout = layout_of(view)
    rows = [Row(plain(n, x=1.0), n, n, n + 1) for n in range(2_000)]
    state, quick = added(layout, rows, rewind=0)
    assert read_header(state).rows <= 20 * 1.5 + 8
    assert quick > 1_800
