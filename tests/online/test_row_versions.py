"""What a later version of a row replaced stays replaced: whatever clocks, delays and definitions do."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import from_micros
from skewless.online import row_ids
from skewless.testing.memory import MemoryStore
from tests.ingest.test_push import TwoStores
from tests.shop import (
    HOUR,
    MINUTE,
    NOON,
    cards,
    check_parity,
    open_store,
    pay,
    payments,
    spend_of,
)

ALL = cards("c1", "c2", "nobody")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


def value(fs, view, feature, card="c1"):
    return fs.get_online_features(f"{view.name}:{feature}", cards(card)).to_dict()[feature][0]


# --------------------------------------------------------------------------------- whatever clocks do


def test_row_deleted_before_it_was_to_be_known_never_counts(folder):
    spend = spend_of(payments(row_id="pay_id", delay="1h"))
    with open_store(folder, spend) as fs:
        rows = [pay("a", NOON - MINUTE, 5.0), pay("b", NOON - MINUTE, 7.0, card="c2")]
        fs.push("pays", rows, backdate=True)
        fs.delete("pays", ["a"])
        fs.push("pays", [pay("b", NOON - MINUTE, 9.0, card="c2")])
        for later in (0, HOUR // 2, HOUR - MINUTE, 2 * HOUR):
            fs.runtime.clock.time = NOON + later
            check_parity(fs, spend, ALL)
        assert [value(fs, spend, "biggest"), value(fs, spend, "biggest", "c2")] == [None, 9.0]
        fs.backfill()
        assert [value(fs, spend, "biggest"), value(fs, spend, "biggest", "c2")] == [None, 9.0]


def test_row_pushed_by_a_fast_clock_is_deleted_for_good_by_a_right_one(folder):
    spend = spend_of(payments(row_id="pay_id"))
    with open_store(folder, spend) as fs:
        fs.runtime.clock.time = NOON + HOUR
        fs.push("pays", [pay("a", NOON - MINUTE)])
        fs.runtime.clock.time = NOON
        fs.delete("pays", ["a"])
        fs.push("pays", [pay("b", NOON - MINUTE)])
        fs.runtime.clock.time = NOON + 3 * HOUR
        check_parity(fs, spend, ALL, NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR)
        assert value(fs, spend, "sum_n") == 1


def test_row_is_never_known_before_one_that_was_there_already(folder):
    source = payments()
    with open_store(folder, spend_of(source)) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE)])
        fs.runtime.clock.time = NOON - HOUR
        fs.push("pays", [pay("b", NOON - 2 * HOUR)])
        chunks = fs.runtime.history(fs.runtime.source("pays")).chunks(["pay_id"])
        assert [chunk.known.tolist() for chunk in chunks] == [[NOON, NOON]]


def test_rows_known_later_by_their_delay_hold_no_clock_up(folder):
    source = payments(delay="1h")
    with open_store(folder, spend_of(source)) as fs:
        fs.push("pays", [pay("a", NOON)], backdate=True)
        fs.push("pays", [pay("b", NOON)])
        chunks = fs.runtime.history(fs.runtime.source("pays")).chunks(["pay_id"])
        assert [chunk.known.tolist() for chunk in chunks] == [[NOON + HOUR, NOON]]


@st.composite
def lives(draw):
    """Pushes, corrections, deletions, late and repeated rows, while the clock steps about."""
    steps = []
    for _ in range(draw(st.integers(1, 9))):
        move = draw(st.sampled_from([0, 0, 1, 7, 60, 600, -1, -30, -300])) * MINUTE
        rows = st.lists(
            st.builds(
                lambda key, minutes, amount, card: pay(
                    f"p{key}", NOON - minutes * MINUTE, amount, card=card, n=key
                ),
                st.integers(0, 4),
                st.sampled_from([0, 1, 2, 59, 60, 61, 1440]),
                st.sampled_from([1.0, -0.0, 2.0, None]),
                st.sampled_from(["c1", "c1", "c2"]),
            ),
            max_size=4,
        )
        kind = draw(st.sampled_from(["push", "push", "backdate", "delete", "backfill"]))
        given_ids = st.lists(st.integers(0, 4), max_size=2)
        steps.append((move, kind, draw(given_ids if kind == "delete" else rows)))
    return steps


@pytest.mark.parametrize("one_store", [True, False])
@pytest.mark.parametrize("lateness", [None, "30m"])
@settings(max_examples=max(10, settings.default.max_examples // 4), deadline=None)
@given(steps=lives(), delay=st.sampled_from(["0s", "45m"]))
def test_online_is_history_whatever_clocks_said(
    tmp_path_factory, one_store, lateness, steps, delay
):
    spend = spend_of(payments(row_id="pay_id", delay=delay, lateness=lateness, future="24h"))
    online = MemoryStore() if one_store else TwoStores()
    with open_store(tmp_path_factory.mktemp("repo"), spend, using=online) as fs:
        clock, last = fs.runtime.clock, NOON
        for move, kind, what in steps:
            clock.time += move
            last = max(last, clock.time)
            if kind == "delete":
                fs.delete("pays", [f"p{key}" for key in what])
            elif kind == "backfill":
                fs.backfill()
            else:
                fs.push("pays", what, backdate=kind == "backdate")
        check_parity(fs, spend, ALL, last, last + HOUR)


# ------------------------------------------------------------------------ when definitions change


def counted(source):
    return spend_of(source, n=source.count(sl.lifetime()), total=source.amount.sum(sl.lifetime()))


def test_rows_that_came_before_their_source_had_row_ids_are_versions_too(folder):
    with open_store(folder, counted(payments())) as fs:
        fs.push("pays", [pay("a", NOON - HOUR), pay("b", NOON - MINUTE)])
        view = counted(payments(row_id="pay_id"))
        fs.apply(fs.plan(view), allow_breaking=True)
        fs.materialize()
        assert fs.push("pays", [pay("a", NOON - HOUR)]).duplicates == 1
        assert fs.push("pays", [pay("a", NOON - HOUR, 5.0)]).corrections == 1
        assert value(fs, view, "total") == 6.0
        assert fs.delete("pays", ["b"]).accepted == 1
        assert (value(fs, view, "n"), value(fs, view, "total")) == (1, 5.0)
        check_parity(fs, view, ALL)


def test_ids_taken_away_and_given_again_know_the_rows_of_the_time_between(folder):
    with_ids, without = counted(payments(row_id="pay_id")), counted(payments())
    with open_store(folder, with_ids) as fs:
        fs.push("pays", [pay("a", NOON - HOUR)])
        fs.apply(fs.plan(without), allow_breaking=True)
        fs.push("pays", [pay("a", NOON - HOUR, 2.0), pay("b", NOON - HOUR)])
        fs.apply(fs.plan(with_ids), allow_breaking=True)
        fs.materialize()
        assert fs.push("pays", [pay("b", NOON - HOUR)]).duplicates == 1
        assert fs.push("pays", [pay("a", NOON - HOUR)]).corrections == 1
        assert (value(fs, with_ids, "n"), value(fs, with_ids, "total")) == (2, 2.0)


def test_each_version_of_a_view_sees_rows_by_the_ids_of_its_own_source(folder):
    with_ids, without = counted(payments(row_id="pay_id")), counted(payments())
    service = sl.FeatureService("model", ["Spend:n", "Spend:total"])
    with open_store(folder, with_ids, service) as fs:
        fs.push("pays", [pay("a", NOON - HOUR), pay("b", NOON - HOUR)])
        fs.apply(fs.plan(without), allow_breaking=True)
        fs.materialize()
        fs.push("pays", [pay("a", NOON - HOUR, 5.0)])
        fs.push("pays", [pay("a", NOON - HOUR, 5.0)])
        spine = [{"card_id": "c1", "t": from_micros(NOON)}]
        for features, expected in (("model", (2, 6.0)), ("Spend", (4, 12.0))):
            online = fs.get_online_features(features, cards("c1")).to_rows()[0]
            trained = fs.get_historical_features(spine, features, timestamp="t").to_dict()
            assert (online["n"], online["total"]) == expected
            assert (trained["n"][0], trained["total"][0]) == expected


def test_new_column_makes_no_correction_of_a_row_that_is_delivered_again(folder):
    old = payments(row_id="pay_id")
    new = sl.Source("pays", schema=old.schema | {"tip": float}, event_time="at", row_id="pay_id")
    with open_store(folder, counted(old)) as fs:
        fs.push("pays", [pay("a", NOON - HOUR)])
        view = spend_of(new, total=new.amount.sum(sl.lifetime()), tip=new.tip.latest())
        fs.apply(fs.plan(view))
        fs.materialize()
        assert fs.push("pays", [pay("a", NOON - HOUR)]).duplicates == 1
        assert fs.push("pays", [pay("a", NOON - HOUR, tip=None)]).duplicates == 1
        assert fs.push("pays", [pay("a", NOON - HOUR, tip=2.0)]).corrections == 1
        check_parity(fs, view, ALL)


def test_when_a_row_was_known_is_no_part_of_what_it_holds(folder):
    source = payments(row_id="pay_id", known_time="seen")
    with open_store(folder, counted(source)) as fs:
        seen = from_micros(NOON - MINUTE)
        fs.push("pays", [pay("a", NOON - HOUR, seen=seen)])
        again = fs.push("pays", [pay("a", NOON - HOUR, seen=seen + timedelta(seconds=5))])
        assert again.duplicates == 1


def test_ids_are_indexed_anew_in_parts_where_there_are_many(folder, monkeypatch):
    monkeypatch.setattr(row_ids, "ROWS_A_PASS", 3)
    with open_store(folder, counted(payments())) as fs:
        fs.push("pays", [pay(f"p{n % 7}", NOON - HOUR, float(n)) for n in range(20)])
        fs.compact()
        fs.push("pays", [pay(f"p{n % 7}", NOON - HOUR, float(n)) for n in range(20, 30)])
        view = counted(payments(row_id="pay_id"))
        fs.apply(fs.plan(view), allow_breaking=True)
        fs.materialize()
        again = [pay(f"p{n % 7}", NOON - HOUR, float(n)) for n in range(23, 30)]
        assert fs.push("pays", again).duplicates == 7
        check_parity(fs, view, ALL)


# ----------------------------------------------------------------------- after a breaking change


def test_source_takes_rows_and_has_its_history_after_a_column_went_and_a_key_changed(folder):
    def view(key, schema, name="Visits"):
        user = sl.Entity("user", user_id=key)
        clicks = sl.Source("clicks", schema=schema, event_time="at")
        return sl.FeatureView(name, entity=user, source=clicks, features={"n": clicks.count("1d")})

    at = from_micros(NOON - HOUR)
    with open_store(folder, view(str, {"user_id": str, "ms": float})) as fs:
        fs.push("clicks", [{"user_id": name, "ms": 5.0, "at": at} for name in ("1", "x")])
        changed = view(int, {"user_id": int})
        fs.apply(fs.plan(changed), allow_breaking=True)
        fs.materialize()
        fs.push("clicks", [{"user_id": 1, "at": at}])
        users = [{"user_id": 1}]
        for settle in (False, True):
            if settle:
                assert fs.compact() == {"clicks": 3}
            spine = [{"user_id": 1, "t": from_micros(NOON)}]
            found = fs.get_historical_features(spine, "Visits", timestamp="t").to_dict()
            assert found["n"] == [2]
            assert fs.get_online_features("Visits", users).to_dict()["n"] == [2]


def test_process_that_missed_a_new_column_pushes_rows_without_it(folder):
    old = payments()
    new = sl.Source("pays", schema=old.schema | {"tip": float}, event_time="at")
    with open_store(folder, counted(old)) as deploy, open_store(folder) as server:
        server.push("pays", [pay("a", NOON - HOUR)])
        view = spend_of(new, total=new.amount.sum(sl.lifetime()), tips=new.tip.sum("1d"))
        deploy.apply(deploy.plan(view))
        deploy.materialize()
        server.push("pays", [pay("b", NOON - HOUR)])
        check_parity(deploy, view, ALL)
