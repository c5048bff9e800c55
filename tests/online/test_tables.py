"""Tables of states over the life of definitions: begun, complete, stopped, never believed again."""

import pytest

import skewless as sl
from skewless.materialize import materialize as materialize_module
from skewless.materialize.materialize import PROGRESS
from skewless.online.apply import reconcile, retire
from tests.shop import (
    ALL,
    CARD,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    cards,
    check_parity,
    open_store,
    pay,
    payments,
    random_rows,
    spend_of,
    write_part,
)

PAYS = payments()


def view(name="Spend", **features):
    return spend_of(PAYS, name, n=PAYS.count(sl.lifetime()), **features)


def count(fs, name="Spend"):
    found = fs.get_online_features([f"{name}:n"], cards("c1"))
    return found.values[0][0], str(found.statuses[0][0])


def push(fs, number):
    fs.push("pays", [pay(f"p{number}", NOON - number * MINUTE)], backdate=True)


def tables(fs):
    return fs.runtime.tables().tables


def names(fs):
    return {name for name, table in tables(fs).items() if table.active}


@pytest.fixture
def fs(tmp_path):
    with open_store(tmp_path / "repo") as fs:
        yield fs


def test_over_a_source_without_history_a_table_is_complete_at_once(fs):
    fs.apply(fs.plan(view()), build=False)
    assert count(fs) == (0, "unknown")
    push(fs, 1)
    fs.apply(fs.plan(view(most=PAYS.amount.max("1h"))), build=False)
    assert sorted(table.complete for table in tables(fs).values()) == [False, True]


@pytest.mark.parametrize("name", ["Spend", "Other"])
def test_a_view_that_comes_back_is_built_from_the_rows_of_the_gap_too(fs, name):
    fs.apply(fs.plan(view(), removing=True))
    push(fs, 1)
    (first,) = names(fs)
    fs.apply(fs.plan(CARD, PAYS, removing=True), allow_breaking=True)
    assert names(fs) == set()
    fs.runtime.clock.time += 3 * SECOND
    push(fs, 2)
    fs.apply(fs.plan(view(name), removing=True), build=False)
    assert count(fs, name) == (None, "building")
    assert names(fs) == {f"{first}.2"}
    push(fs, 3)
    assert count(fs, name) == (None, "building")
    fs.materialize()
    assert count(fs, name) == (3, "present")


def test_an_interrupted_build_of_a_view_that_went_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(materialize_module, "_BATCH", 1)
    stored = payments(table=sl.Parquet(str(tmp_path / "pays")))
    write_part(tmp_path / "pays" / "a.parquet", random_rows(1, 50))
    spend, other = spend_of(stored), spend_of(PAYS, "Other", n=PAYS.count("1h"))
    others = sl.Source("taps", schema={"card_id": str}, event_time="at")
    other = sl.FeatureView("Other", entity=CARD, source=others, features={"m": others.count("1h")})

    def stop(text, share):
        if share > 0.6:
            raise KeyboardInterrupt

    with open_store(tmp_path / "repo", spend, other) as fs:
        with pytest.raises(KeyboardInterrupt):
            fs.materialize("Spend", progress=stop)
        assert list(fs.runtime.journal.scan(PROGRESS)) != []
        fs.apply(fs.plan(other, removing=True), allow_breaking=True, build=False)
        fs.apply(fs.plan(spend, other), build=False)  # the first table is there still
        for _ in range(2):
            fs.runtime.clock.time += 5 * SECOND
            results = fs.materialize()
        assert [result.resumed for result in results] == [0, 0]
        check_parity(fs, spend, ALL)
        assert list(fs.runtime.journal.scan(PROGRESS)) == []


def test_retiring_a_version_that_was_tried_out_changes_no_value_of_the_other(fs):
    fs.apply(fs.plan(view()))
    fs.apply(fs.plan(view(mean=PAYS.amount.mean("1h"))))
    fs.apply(fs.plan(view()), allow_breaking=True)
    push(fs, 1)
    retire(fs.runtime, "Spend", 2)
    assert count(fs) == (1, "present")
    before = names(fs)
    push(fs, 2)
    assert count(fs) == (2, "present")
    assert names(fs) == before  # nothing is written twice
    fs.materialize()  # and this makes the table as small as is wanted
    assert (count(fs), len(names(fs))) == ((2, "present"), 1)
    assert names(fs) != before


def test_until_the_newest_version_is_complete_what_served_before_goes_on(fs):
    fs.apply(fs.plan(view()))
    fs.apply(fs.plan(view(mean=PAYS.amount.mean("1h"))))
    push(fs, 1)
    fs.apply(fs.plan(view(mean=PAYS.amount.mean("1h"), top=PAYS.amount.max("5h"))), build=False)
    for number in (2, 3):
        assert count(fs) == (number - 1, "present")
        push(fs, number)
    fs.materialize()
    assert count(fs) == (3, "present")


def test_pushes_reach_a_table_for_as_long_as_another_process_may_read_it(fs):
    fs.apply(fs.plan(view()))
    with sl.FeatureStore(fs.config, clock=fs.runtime.clock) as other:
        assert count(other) == (0, "unknown")
        fs.apply(fs.plan(view(mean=PAYS.amount.mean("1h"))))
        push(fs, 1)
        assert count(other) == (1, "present")
        fs.runtime.clock.time += 3 * SECOND
        assert count(other) == (1, "present")
        fs.materialize()
        assert len(tables(fs)) == 1


def test_a_process_that_missed_an_apply_pushes_to_the_new_table(fs):
    fs.apply(fs.plan(view()))
    with sl.FeatureStore(fs.config, clock=fs.runtime.clock) as other:
        push(other, 1)
        fs.apply(fs.plan(view(most=PAYS.amount.max("5h"))))
        push(other, 2)
        assert count(fs) == (2, "present")


def test_a_crash_between_registry_and_journal_leaves_views_building(fs, monkeypatch):
    push_source = fs.plan(PAYS)
    fs.apply(push_source)
    push(fs, 1)
    with monkeypatch.context() as patched:
        patched.setattr("skewless.online.apply.reconcile", lambda _: None)
        fs.apply(fs.plan(view()), build=False)
    fs.runtime.state(fresh=True)
    assert count(fs) == (None, "building")
    push(fs, 2)
    assert count(fs) == (None, "building")
    reconcile(fs.runtime)
    fs.materialize()
    assert count(fs) == (2, "present")


def test_a_table_added_to_a_source_is_part_of_its_states_before_they_answer(tmp_path):
    with open_store(tmp_path / "repo", view()) as fs:
        push(fs, 1)
        write_part(tmp_path / "repo" / "old" / "a.parquet", [pay("old", NOON - HOUR)])
        stored = payments(table=sl.Parquet("old"))
        grown = spend_of(stored, n=stored.count(sl.lifetime()))
        fs.apply(fs.plan(grown), build=False)
        assert count(fs) == (1, "present")  # the rows that there were
        fs.materialize()
        assert count(fs) == (2, "present")
        check_parity(fs, grown, ALL)


def test_a_new_column_beside_a_view_of_a_higher_version(fs):
    def views(width, more=False):
        columns = {"w": float} if more else {}
        source = sl.Source("rows", schema={"card_id": str, "v": float} | columns, event_time="at")
        features = {"n": source.count(sl.lifetime())}
        if more:
            features["w"] = source.w.sum(sl.lifetime())
        one = sl.FeatureView("One", entity=CARD, source=source, features=features)
        total = {"v": source.v.sum(width)}
        return one, sl.FeatureView("Two", entity=CARD, source=source, features=total)

    def row(**more):
        return {"card_id": "c1", "v": 1.0, "at": "2026-01-02T11:00:00Z"} | more

    for width in ("1h", "2h"):
        fs.apply(fs.plan(*views(width)))
    fs.push("rows", [row()], backdate=True)
    fs.apply(fs.plan(*views("2h", more=True)))
    fs.push("rows", [row(w=2.0)], backdate=True)
    for verb in (fs.materialize, fs.backfill):
        verb()
        assert fs.get_online_features("One", cards("c1")).to_rows() == [{"n": 2, "w": 2.0}]
