"""The C modules read keys, newest rows and windows as Python does: every type, nulls, ttl, damage."""

from __future__ import annotations

import math
import random
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.aggregations import AGGREGATIONS, Aggregation
from skewless.clock import NEVER
from skewless.definitions import Entity, FeatureView, Source
from skewless.errors import SkewlessError
from skewless.plan.table_read import TableRead
from skewless.state import keys, newest_row, window_eval
from skewless.state.keys import KeyCodec
from skewless.state.layout import StateLayout
from tests.laws import grid
from tests.laws.test_every_path import bits
from tests.state.states import KEY, SCHEMA, WHOLE, Row, updated

reading = newest_row.reading
if reading is None:
    pytest.skip("the modules in C were not built, or are switched off", allow_module_level=True)
COLUMNS = [name for name in SCHEMA if name != "key"]
DEFAULTS = {"n": -1, "word": "none", "x": 0.25}


def view_of(source: Source) -> FeatureView:
    """Every column, half of them with a ttl, some with a default."""
    features = {}
    for number, name in enumerate(COLUMNS):
        more = {"default": DEFAULTS[name]} if name in DEFAULTS else {}
        features[name] = source[name].latest(ttl="5s" if number % 2 else None, **more)
    return FeatureView("Every", entity=KEY, source=source, features=features)


def both(source: Source, order: list[str]) -> tuple[TableRead, newest_row.NewestRow]:
    """The part that reads features of a source, and a reader of the same that knows Python only."""
    view = view_of(source)
    layout = StateLayout.of(KEY, source, [view])
    part = TableRead(layout, [(view, 1, name) for name in order])
    with patch.object(newest_row, "reading", None):
        plain = newest_row.NewestRow.compile(layout, [(view, view.expressions[n]) for n in order])
    assert part.newest is not None
    assert plain is not None
    return part, plain


SOURCES = {
    closed: Source("rows", schema=SCHEMA, event_time="at", closed=closed)
    for closed in ("right", "left")
}
PARTS = {
    (closed, seed): both(source, random.Random(seed).sample(COLUMNS, 6 if seed else len(COLUMNS)))
    for closed, source in SOURCES.items()
    for seed in range(4)
}


def told(call, *arguments):
    """What a call gives, to the bit, or the error it raises."""
    try:
        return repr(call(*arguments))
    except (SkewlessError, ValueError, ArithmeticError, msgspec.DecodeError) as problem:
        return type(problem), str(problem)


rows = st.fixed_dictionaries({name: st.sampled_from([WHOLE[name], None]) for name in COLUMNS})
times = st.sampled_from([0, 1, 9_999_999, 10_000_000, 15_000_000, 15_000_001])


@given(
    st.sampled_from(sorted(PARTS)), st.lists(st.tuples(rows, times, times), min_size=1, max_size=4),
    times, times, st.data(),
)  # fmt: skip
def test_every_column_of_the_newest_row_is_read_as_in_python(which, history, t, k, data):
    part, plain = PARTS[which]
    state = None
    for number, (values, event, late) in enumerate(history):
        row = Row({"key": "k", **values}, event, event + late, number)
        state = updated(part.layout, state, [row])
    assert state is not None
    damaged = bytearray(state)
    bit = data.draw(st.integers(0, 8 * len(state) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    cut = state[: data.draw(st.integers(0, len(state)))]
    for states in ([state, None, state], [bytes(damaged)], [cut], []):
        right = told(plain.read_many, states, t, k)
        assert told(part.newest.read_many, states, t, k) == right
    found = part.newest.columns(range(len(part.references)))([state, state], t, k)
    answers = plain.read_many([state, state], t, k)
    assert (found is None) == (None in answers)
    if found is not None:
        assert repr(found[0]) == repr([answer[0] for answer in answers])
        assert found[1] == [answer[1] for answer in answers]
        assert found[2] == [[answer[2]] * len(part.references) for answer in answers]


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(-(2**70), 2**70), st.sampled_from(sorted(PARTS)))
def test_no_bytes_make_it_leave_the_state(noise, t, which):
    part, plain = PARTS[which]
    with_start = plain._start + noise[8:]
    for state in (noise, with_start, with_start[:40] + bytes(360)):
        got, right = (told(one.read_many, [state], t, t) for one in (part.newest, plain))
        assert got == right


def test_features_are_given_in_the_order_asked_for():
    part, plain = PARTS["right", 0]
    state = updated(part.layout, None, [Row(WHOLE, 10, 10, 1)])
    order = random.Random(5).sample(range(len(COLUMNS)), 7)
    values, statuses, events = part.newest.columns(order)([state], 10, 10)
    (right,) = plain.read_many([state], 10, 10)
    assert values == [[right[0][at] for at in order]]
    assert statuses == [[right[1][at] for at in order]]
    assert events == [[10] * 7]


def test_seventy_tails_are_no_more_than_five():
    names = [f"word_{number}" for number in range(70)]
    source = Source("wide", schema={"key": str, **dict.fromkeys(names, str)}, event_time="at")
    features = {"now": source.latest(*names)}
    view = FeatureView("Wide", entity=KEY, source=source, features=features)
    layout = StateLayout.of(KEY, source, [view])
    part = TableRead(layout, [(view, 1, feature) for feature in view.features])
    values = {"key": "k", **{name: name.upper() for name in names}}
    state = updated(layout, None, [Row(values, 10, 10, 1)])
    found = part.newest.columns(range(70))([state], 10, 10)
    assert found[0] == [[feature.upper() for feature in view.features]]


entities = st.sampled_from(
    ["", "f1", "ä", "\ud800", 0, 5, -(2**63), 2**63 - 1, 2**63, True, None, 1.5, b"x"]
)


@pytest.mark.parametrize("key_type", [str, int, float, bytes, bool])
@given(data=st.data())
def test_keys_are_those_of_python(key_type, data):
    if key_type is float:
        codec = KeyCodec(Entity("pair", one=str, other=int))
    else:
        codec = KeyCodec(Entity("one", one=key_type))
    asked = data.draw(
        st.lists(
            st.fixed_dictionaries({}, optional={"one": entities, "other": entities}), max_size=7
        )
    )
    got = told(codec.encode_all, asked)
    with patch.object(keys, "reading", None):
        assert got == told(codec.encode_all, asked)


def test_a_row_of_infinities_and_a_negative_zero_keeps_its_bits():
    part, _ = PARTS["right", 0]
    at = part.references.index("Every@v1:x")
    for number in (math.inf, -math.inf, -0.0, 5e-324):
        state = updated(part.layout, None, [Row(WHOLE | {"x": number}, 10, 10, 1)])
        (values,), _, _ = part.newest.columns(range(len(COLUMNS)))([state], 10, 10)
        assert math.copysign(1, values[at]) == math.copysign(1, number)
        assert values[at] == number


def test_what_is_no_layout_of_a_row_is_refused():
    good = {
        "start": bytes(8), "tails": 1, "record": 40, "slots": 2, "exclusive": 0,
        "columns": (("d", 25, 8, -1, 0, -1, None, float),), "statuses": (1, 2, 3),
    }  # fmt: skip
    reading.NewestRows(**good)
    for change in (
        {"start": b"x"}, {"tails": -1}, {"record": 24}, {"slots": 0}, {"exclusive": 2},
        {"columns": (("d", 33, 8, -1, 0, -1, None, float),)},
        {"columns": (("d", 24, 8, -1, 0, -1, None, float),)},
        {"columns": (("d", 25, 8, 0, 0, -1, None, float),)},
        {"columns": (("u", 25, 4, 1, 0, -1, None, float),)},
        {"columns": (("v", 25, 5, -1, 0, -1, None, float),)},
        {"columns": (("Q", 25, 8, -1, 0, -1, None, None),)},
        {"columns": (("z", 25, 8, -1, 0, -1, None, float),)},
        {"columns": (("d", 25, 8, -1, 2, -1, None, float),)},
        {"columns": (("d", 25, 8, -1, 0, -2, None, float),)},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"layout of a row|fit its row"):
            reading.NewestRows(**good | change)
    rows = reading.NewestRows(**good)
    with pytest.raises(TypeError, match="expected states, t and k"):
        rows.found([])
    assert rows.found([bytes(100)], 2**80, 0) is None
    assert rows.answers([bytes(100)], -(2**63), NEVER) == [None]


# --------------------------------------------------------------------------------------- windows


def window_parts(name: str, of: Source) -> tuple[TableRead, TableRead]:
    """Reads of every aggregate of an aggregation, by the C module and without it."""
    view = grid.view_of(grid.aggregates(name, of), of)
    layout = StateLayout.of(grid.KEY, of, [view])
    features = [(view, 1, feature) for feature in view.features]
    part = TableRead(layout, features)
    with patch.object(window_eval, "windows", None):
        plain = TableRead(layout, features)
        assert plain._reads.left  # they are compiled when they are first needed
        return part, plain


NAMES = [
    name for name, kind in AGGREGATIONS.items()
    if kind.number is not None and kind.encode is Aggregation.encode
]  # fmt: skip
"""Those whose numbers are of the values as they are: what is encoded first is left to NumPy."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("history", grid.HISTORIES)
def test_windows_are_read_as_in_python(name, history):
    of, rows = grid.source(grid.closed(history)), grid.HISTORIES[history]
    part, plain = window_parts(name, of)
    state, quick = None, 0
    for count, row in enumerate(rows, 1):
        state = updated(part.layout, state, [Row(row.values, row.event, row.known, row.tiebreak)])
        for t in {row.known, rows[count].known - 1 if count < len(rows) else 61}:
            assert bits(part.answers([state], t, t)) == bits(plain.answers([state], t, t)), t
            quick += part._reads.quick(state, t, t) is not None
    assert quick > len(rows) // 2
    assert plain._reads.quick(state, 61, 61) is None
    left, whole = (
        sum(len(group.counts) + len(group.summed) for group in one._reads.left)
        for one in (part, plain)
    )
    assert left < whole


@given(st.data(), st.sampled_from(["mean", "std"]))
def test_damaged_states_of_windows_are_told_as_in_python(data, name):
    part, plain = DAMAGED[name]
    rows = grid.HISTORIES["right"]
    state = updated(part.layout, None, [Row(r.values, r.event, r.known, r.tiebreak) for r in rows])
    at = data.draw(st.integers(0, 8 * 60))
    damaged = bytearray(state)
    damaged[at // 8] ^= 1 << at % 8
    cut = state[: data.draw(st.integers(0, len(state)))]
    t = data.draw(st.sampled_from([0, 20, 61, NEVER, -(2**63), 2**70]))
    for given_state in (bytes(damaged), cut):
        right = told(plain.answers, [given_state], t, t)
        assert bits(told(part.answers, [given_state], t, t)) == bits(right)


DAMAGED = {name: window_parts(name, grid.source()) for name in ("mean", "std")}


def test_windows_that_do_not_fit_their_rows_are_refused():
    compiled = pytest.importorskip("skewless.state._windows")
    output = (0, 1, None, None)
    group = ("window", -1, 0, 0, 10, -1, (), (("d", 25, 0, 3, (output,)),))
    good = {
        "start": bytes(8), "tails": 0, "record": 40, "slots": 2, "exclusive": 0, "groups": (group,),
        "empty": [None], "statuses": (1, 2, 3),
    }  # fmt: skip
    assert compiled.WindowRows(**good).answer(bytes(200), 5, 5) is None  # it has no rows
    column = group[-1][0]
    for change in (
        {"start": b"x"}, {"record": 24}, {"slots": -1}, {"exclusive": 2}, {"tails": -1},
        *({"groups": ((*group[:at], wrong, *group[at + 1 :]),)} for at, wrong in (
            (1, 40), (1, -2), (3, -1), (4, -2), (5, -2), (6, []),
        )),
        *({"groups": ((*group[:-1], ((*column[:at], wrong, *column[at + 1 :]),)),)} for at, wrong in (
            (0, "x"), (1, 33), (1, 0), (2, 2), (2, -1), (4, []), (4, ((1, 1, None, None),)),
            (4, ((0, 7, None, None),)),
        )),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="do not fit their rows"):
            compiled.WindowRows(**good | change)


def test_an_error_of_a_finish_is_not_swallowed():
    compiled = pytest.importorskip("skewless.state._windows")

    def fails(number: float, window: str) -> float:
        raise ZeroDivisionError(window)

    group = ("hour", -1, 0, 0, -1, -1, (), (("d", 25, 0, 3, ((0, 1, fails, None),)),))
    rows = compiled.WindowRows(
        start=bytes(8), tails=0, record=40, slots=2, exclusive=0, groups=(group,), empty=[None],
        statuses=(1, 2, 3),
    )  # fmt: skip
    state = bytes(8) + (1).to_bytes(4, "little") + bytes(24) + bytes(40)
    with pytest.raises(ZeroDivisionError, match="hour"):
        rows.answer(state, 5, 5)


def counts(of: Source) -> FeatureView:
    return FeatureView("Counts", entity=grid.KEY, source=of, features={"n": of.count("10us")})


def test_a_view_of_counts_alone_keeps_no_columns_and_is_read():
    of = grid.source()
    view = counts(of)
    layout = StateLayout.of(grid.KEY, of, [view])
    part = TableRead(layout, [(view, 1, "n")])
    state = updated(layout, None, [Row({}, event, event, event) for event in (1, 5, 9, 30)])
    assert not layout.slots
    assert [part.answers([state], t, t)[0][0] for t in (30, 31, 40)] == [[1], [1], [0]]


def test_equal_keys_are_read_and_answered_once():
    view = counts(grid.source())
    part = TableRead(StateLayout.of(grid.KEY, view.source, [view]), [(view, 1, "n")])
    state = updated(part.layout, None, [Row({}, event, event, event) for event in (1, 5, 9)])
    asked = []

    class Store:
        @staticmethod
        def read_each(table, keys, each):
            asked.append(list(keys))
            return [each(at, state) if key != b"none" else None for at, key in enumerate(keys)]

    found = part.read_at(Store, [b"a", b"none", None, b"a", b"b"], 9, 9)
    assert asked == [[b"a", b"none", b"b"]]
    assert found[1] is found[2] is None
    answers = part.answers(found, 9, 9)
    assert [answer[0] for answer in answers] == [[3], [0], [0], [3], [3]]
    assert answers[0][0] is not answers[3][0]
    assert answers[0][1] is not answers[3][1]
