"""Clocks that are fast, slow or turned back hide no row and make no state unreadable."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import SystemClock, to_micros
from skewless.engines.reference import view_values
from skewless.online import to_rebuild
from skewless.online.dirty_keys import any_marked, mark_keys
from skewless.testing.clock import SettableClock
from skewless.testing.memory import MemoryStore
from tests.ingest.test_push import TwoStores
from tests.shop import (
    HOUR,
    MINUTE,
    NOON,
    bits,
    cards,
    check_parity,
    open_store,
    pay,
    payments,
    rows_of,
    spend_of,
)

ALL = cards("c1", "c2", "nobody")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


def now_of(fs, view, entities=ALL):
    """What a read that names no moment gives: values by feature, for each entity."""
    found = fs.get_online_features(view.name, entities)
    return [
        {name: (bits(v), str(s)) for name, v, s in zip(found.names, values, statuses, strict=True)}
        for values, statuses in zip(found.values, found.statuses, strict=True)
    ]


def expected_now(fs, view, entities=ALL):
    """The same by the oracle: what everything in the log gives at the moment of the clock."""
    t, rows = fs.runtime.clock.now(), rows_of(fs, view.source.name)
    k = max(t, fs.runtime.log(view.source).state().stamped)
    return [
        {name: (bits(v), str(s)) for name, (v, s) in view_values(view, rows, e, t, k).items()}
        for e in entities
    ]


def test_one_push_by_a_fast_clock_hides_nothing_and_drops_nothing(folder):
    view = spend_of(payments(row_id="pay_id"))
    right, fast = SettableClock(NOON), SettableClock(NOON + HOUR)
    with open_store(folder, view, clock=right) as fs, open_store(folder, clock=fast) as other:
        fs.push("pays", [pay(f"p{n}", NOON - n * MINUTE) for n in range(90)])
        other.push("pays", [pay("q", NOON - MINUTE)])
        assert now_of(fs, view) == expected_now(fs, view)
        assert fs.get_online_features("Spend:count_1d", cards("c1")).to_dict()["count_1d"] == [91]
        explained = fs.explain("Spend:count_1d", {"card_id": "c1"})
        assert (explained.value, explained.online.same) == (91, True)
        fs.delete("pays", ["q"])
        assert now_of(fs, view) == expected_now(fs, view)
        assert fs.get_online_features("Spend:count_1d", cards("c1")).to_dict()["count_1d"] == [90]


@pytest.mark.parametrize("one_store", [True, False])
def test_states_that_a_fast_clock_kept_for_later_are_built_anew_by_a_read(folder, one_store):
    view = spend_of(payments())
    clock = SettableClock(NOON)
    online = MemoryStore() if one_store else TwoStores()
    with open_store(folder, view, clock=clock, using=online) as fs:
        fs.push("pays", [pay(f"p{n}", NOON - n * MINUTE, card=f"c{n % 2 + 1}") for n in range(90)])
        clock.time = NOON + 3 * HOUR
        for n in range(3):
            fs.push("pays", [pay(f"q{n}", NOON - MINUTE)])
        fs.backfill()
        clock.time = NOON
        assert now_of(fs, view) == expected_now(fs, view)
        assert fs.get_online_features("Spend:count_1d", cards("c1")).to_dict()["count_1d"] == [48]
        check_parity(fs, view, cards("c2"), NOON)


def test_a_read_that_may_not_wait_marks_such_states_later_and_once(folder, monkeypatch):
    """A server's reads wait for no writer: what they met is marked in its background."""
    view = spend_of(payments(row_id="pay_id"))
    right, fast = SettableClock(NOON), SettableClock(NOON + HOUR)
    with open_store(folder, view, clock=fast) as other:
        other.push("pays", [pay(f"p{n}", NOON + HOUR - n * MINUTE) for n in range(90)])
        now_of(other, view)
    with open_store(folder, clock=right) as fs:
        runtime, marks = fs.runtime, []
        runtime.to_rebuild.later = True
        monkeypatch.setattr(
            to_rebuild, "mark_keys", lambda *given: (marks.append(given[2]), mark_keys(*given))
        )
        keys = {table.layout.table: [b"c1"] for table in runtime.tables().of_source("pays")}
        for _ in range(3):
            assert not runtime.set_back(keys, wait=False)
        assert (marks, any_marked(runtime.journal)) == ([], False)
        for _ in range(2):
            runtime.to_rebuild.mark()
        assert marks == [[b"c1"]] * len(keys)
        assert runtime.set_back(keys, wait=True)  # where it may be waited for
        assert not any_marked(runtime.journal)
        assert now_of(fs, view) == expected_now(fs, view)


def test_read_of_a_moment_in_the_past_counts_what_was_known_then(folder):
    view = spend_of(payments())
    with open_store(folder, view) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE)])
        fs.runtime.clock.time = NOON + 2 * MINUTE
        fs.push("pays", [pay("b", NOON - MINUTE)])
        at = fs.get_online_features("Spend:count_1d", cards("c1"), at=NOON + MINUTE)
        assert at.to_dict()["count_1d"] == [1]


def test_rows_of_a_source_with_a_delay_are_waited_for_by_reads_of_the_present(folder):
    view = spend_of(payments(delay="1h"))
    with open_store(folder, view) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE)], backdate=True)
        assert fs.get_online_features("Spend:count_1d", cards("c1")).to_dict()["count_1d"] == [0]
        fs.push("pays", [pay("b", NOON - MINUTE)])
        assert fs.get_online_features("Spend:count_1d", cards("c1")).to_dict()["count_1d"] == [1]


def test_slow_clock_refuses_no_row_that_the_log_shows_to_be_past(folder):
    view = spend_of(payments())
    right, slow = SettableClock(NOON), SettableClock(NOON - 3 * HOUR)
    with open_store(folder, view, clock=right) as fs, open_store(folder, clock=slow) as other:
        fs.push("pays", [pay("a", NOON)])
        pushed = other.push("pays", [pay("b", NOON - MINUTE), pay("c", NOON + HOUR)])
        assert (pushed.accepted, [row.row for row in pushed.quarantined]) == (1, [1])
        check_parity(fs, view, ALL)


@st.composite
def lives(draw):
    """Pushes by a clock that steps forward and back."""
    steps = []
    for _ in range(draw(st.integers(1, 8))):
        move = draw(st.sampled_from([0, 1, 7, 60, 180, -1, -30, -180])) * MINUTE
        rows = st.lists(
            st.builds(
                lambda key, minutes, amount, card: (f"p{key}", minutes, amount, card),
                st.integers(0, 6),
                st.sampled_from([0, 1, 2, 9, 59, 60, 61, 1440]),
                st.sampled_from([1.0, -0.0, 2.0, None]),
                st.sampled_from(["c1", "c1", "c2"]),
            ),
            max_size=4,
        )
        kind = draw(st.sampled_from(["push", "push", "push", "delete", "materialize"]))
        steps.append((move, kind, draw(rows)))
    return steps


@pytest.mark.parametrize("one_store", [True, False])
@settings(max_examples=max(10, settings.default.max_examples // 4), deadline=None)
@given(steps=lives(), ids=st.booleans())
def test_present_is_everything_the_log_has_whatever_clocks_did(
    tmp_path_factory, one_store, steps, ids
):
    view = spend_of(payments(row_id="pay_id") if ids else payments())
    online = MemoryStore() if one_store else TwoStores()
    with open_store(tmp_path_factory.mktemp("repo"), view, using=online) as fs:
        clock = fs.runtime.clock
        for move, kind, rows in steps:
            clock.time += move
            if kind == "delete" and ids:
                fs.delete("pays", [row[0] for row in rows])
            elif kind == "materialize":
                fs.backfill()
            else:
                fs.push("pays", [pay(k, clock.time - m * MINUTE, a, card=c) for k, m, a, c in rows])
            assert now_of(fs, view) == expected_now(fs, view)


def test_now_is_a_moment_like_others():
    assert to_micros(sl.clock.Now(5)) == 5


def test_clock_of_the_database_holds_where_machines_share_one(folder, monkeypatch, caplog):
    view = spend_of(payments())
    online = MemoryStore()
    monkeypatch.setattr(MemoryStore, "now", lambda self: NOON)
    with open_store(folder, view, clock=SystemClock(), using=online) as fs:
        assert fs.runtime.clock.now() > NOON + HOUR  # this host is fast by far
        pushed = fs.push("pays", [pay("a", NOON - MINUTE), pay("b", NOON + HOUR)])
        assert (pushed.accepted, [row.row for row in pushed.quarantined]) == (1, [1])
        chunks = fs.runtime.history(fs.runtime.source("pays")).chunks(["pay_id"])
        assert [chunk.known.tolist() for chunk in chunks] == [[NOON]]
        assert fs.runtime.clock_off == 1
        assert "off that of" in caplog.text
