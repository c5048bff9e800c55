"""Checks at their four points: history, push, training set, what was served; and how often they held."""

import json
from pathlib import Path

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.errors import CheckFailed, DefinitionError, UnknownName
from skewless.quality.check import FailingChecks, attainment
from tests.cli.running import data_of, ran, run_in
from tests.shop import CARD, HOUR, MINUTE, NOON, SCHEMA, open_store, pay

Check = sl.Check


def store(folder: Path, *checks: sl.Check, view: tuple[sl.Check, ...] = ()) -> sl.FeatureStore:
    pays = sl.Source("pays", schema=SCHEMA, event_time="at", row_id="pay_id", checks=checks)
    spend = sl.FeatureView(
        "Spend",
        entity=CARD,
        source=pays,
        features={"total": pays.amount.sum("1h"), "count": pays.count("1d")},
        checks=view,
    )
    return open_store(folder, spend, sl.FeatureService("fraud", [spend]), build=True)


def test_history_is_checked_table_and_log(tmp_path: Path) -> None:
    fs = store(tmp_path, Check.between("amount", 0), Check.unique("pay_id"))
    assert fs.check().ok
    fs.push("pays", [pay("p1", NOON - MINUTE), pay("p2", NOON - MINUTE, -1.0)])
    fs.compact()
    fs.push("pays", [pay("p3", NOON - MINUTE, -2.0)])
    report = fs.check("pays")
    (failed,) = report.failed
    assert (failed.of, failed.rows, failed.failing) == ("pays", 3, 2)
    assert failed.examples == ("-1.0", "-2.0")
    assert str(report).splitlines()[0] == "1 of 2 checks hold."


def test_the_number_of_rows_is_compared_with_the_check_before(tmp_path: Path) -> None:
    fs = store(tmp_path, Check.change_of_count(0.5))
    fs.push("pays", [pay(f"p{n}", NOON - MINUTE) for n in range(10)])
    assert fs.check().ok
    fs.push("pays", [pay(f"q{n}", NOON - MINUTE) for n in range(5)])
    assert fs.check().ok
    fs.push("pays", [pay(f"r{n}", NOON - MINUTE) for n in range(15)])
    (failed,) = fs.check().failed
    assert failed.found == "30 rows, after 15"


def test_values_of_features_are_checked(tmp_path: Path) -> None:
    fs = store(tmp_path, view=(Check.between("total", 0, 100), Check.row_count(1, 2)))
    fs.push("pays", [pay("p1", NOON - MINUTE, 500.0)])
    report = fs.check()
    (failed,) = report.failed
    assert (failed.of, failed.kind, failed.examples) == ("Spend@v1", "between", ("500.0",))


def test_a_push_tells_what_fails_and_keeps_the_rows(tmp_path: Path) -> None:
    fs = store(tmp_path, Check.between("amount", 0), Check.unique("city"))
    result = fs.push("pays", [pay("p1", NOON - MINUTE, -1.0), pay("p2", NOON - MINUTE)])
    assert result.accepted == 2
    assert [str(each) for each in result.failed] == [
        "pays: amount between 0.0 and anything: 1 of 2 rows fail, such as -1.0"
    ]
    assert fs.push("pays", [pay("p3", NOON - MINUTE)]).failed == ()


def test_a_check_that_blocks_refuses_a_push_whole(tmp_path: Path) -> None:
    fs = store(tmp_path, Check.between("amount", 0, action="block"))
    with pytest.raises(CheckFailed, match="the push is refused"):
        fs.push("pays", [pay("p1", NOON - MINUTE), pay("p2", NOON - MINUTE, -1.0)])
    assert fs.push("pays", [pay("p1", NOON - MINUTE)]).sequence == 1


def test_a_check_that_blocks_refuses_a_materialization(tmp_path: Path) -> None:
    fs = store(tmp_path, Check.row_count(2, action="block"))
    fs.push("pays", [pay("p1", NOON - MINUTE)])
    with pytest.raises(CheckFailed, match="materialization of source 'pays'"):
        fs.materialize()
    assert fs.runs("materialize")[0].status == "failed"
    fs.push("pays", [pay("p2", NOON - MINUTE)])
    fs.materialize()


SPINE = [{"card_id": "c1", "t": from_micros(NOON)}, {"card_id": "c2", "t": from_micros(NOON)}]


def trained(fs: sl.FeatureStore, features: object = "fraud", **options: object) -> sl.TrainingSet:
    return fs.get_historical_features(SPINE, features, timestamp="t", **options)


def test_a_training_set_notes_what_fails(tmp_path: Path) -> None:
    fs = store(tmp_path, view=(Check.between("count", 1),))
    fs.push("pays", [pay("p1", NOON - HOUR, card="c1")], backdate=True)
    note = "A check fails: Spend@v1: count between 1 and anything: 1 of 2 rows fail, such as 0."
    assert trained(fs).notes[-1] == note
    assert trained(fs, full_names=True).notes[-1] == note
    assert trained(fs, ["Spend:total"]).notes == ()


def test_a_check_that_blocks_refuses_a_training_set(tmp_path: Path) -> None:
    fs = store(tmp_path, view=(Check.between("count", 1, action="block"),))
    fs.push("pays", [pay("p1", NOON - HOUR, card="c1")], backdate=True)
    with pytest.raises(CheckFailed, match="the training set is refused"):
        trained(fs)
    fs.push("pays", [pay("p2", NOON - HOUR, card="c2")], backdate=True)
    assert len(trained(fs)) == 2


def test_what_was_served_is_checked_without_what_is_building(tmp_path: Path) -> None:
    fs = store(tmp_path / "shop", view=(Check.between("total", 0, 100), Check.not_null("total")))
    line = {
        "format": 2,
        "at": NOON,
        "features": ["Spend@v1:total"],
        "entity": {"card_id": "c1"},
        "events": [None],
    }
    answers = [(5.0, "present"), (500.0, "present"), (None, "building")]
    lines = [{**line, "values": [v], "statuses": [s]} for v, s in answers]
    lines.append({**line, "features": ["Spend@v1:count"], "values": [7], "statuses": ["present"]})
    text = "".join(json.dumps(each) + "\n" for each in lines)
    (tmp_path / "served-1.jsonl").write_text(text)
    report = fs.check(served=tmp_path)
    assert [(each.kind, each.rows, each.failing) for each in report.results] == [
        ("between", 2, 1),
        ("not_null", 2, 0),
    ]


def test_how_often_checks_have_held_is_counted(tmp_path: Path) -> None:
    fs = store(tmp_path, Check.between("amount", 0), Check.not_null("card_id"))
    fs.push("pays", [pay("p1", NOON - MINUTE)])
    fs.check()
    fs.push("pays", [pay("p2", NOON - MINUTE, -1.0)])
    fs.check()
    (found,) = attainment(fs.runtime.ledger, 0)
    assert (found.of, found.held, found.checks, found.share) == ("pays", 5, 6, 5 / 6)
    assert attainment(fs.runtime.ledger, NOON + 1) == []
    assert fs.runs("check")[0].result == {"checks": 2, "failed": 1}


def test_what_fails_now_is_what_the_newest_check_of_each_says(tmp_path: Path) -> None:
    fs = store(tmp_path, Check.row_count(2), Check.between("amount", 0))
    failing = FailingChecks(fs.runtime.ledger)
    assert failing.now() == []
    fs.push("pays", [pay("p1", NOON - MINUTE, -1.0)])
    fs.check()
    found = failing.now()
    assert [(of, point) for of, point, _ in found] == [("pays", "push"), *[("pays", "history")] * 2]
    assert failing.now() is found, "nothing was added to the ledger"
    fs.push("pays", [pay("p2", NOON - MINUTE)])
    fs.check()
    assert [check for _, point, check in failing.now() if point == "history"] == [
        "amount between 0.0 and anything"
    ]


def test_checks_that_change_are_words_and_no_new_version(tmp_path: Path) -> None:
    fs = store(tmp_path)
    pays = sl.Source(
        "pays", schema=SCHEMA, event_time="at", row_id="pay_id", checks=[Check.not_null("city")]
    )
    plan = fs.plan(pays)
    assert [step.action for step in plan.changed] == ["described only"]
    fs.apply(plan)
    assert fs.sources["pays"].checks == pays.checks
    assert fs.runtime.state().views["Spend", 1].source.checks == pays.checks


def test_an_unknown_name_and_a_check_of_the_wrong_thing_are_errors(tmp_path: Path) -> None:
    fs = store(tmp_path)
    with pytest.raises(UnknownName):
        fs.check("nobody")
    with pytest.raises(DefinitionError, match="check of a source"):
        store(tmp_path / "other", view=(Check.fresh("1h"),))
    assert str(fs.check()) == "No checks."


def test_the_command_exits_with_1_and_status_tells_the_share(tmp_path: Path) -> None:
    ran(run_in(tmp_path, "init", "shop"))
    shop = tmp_path / "shop"
    text = (shop / "features.py").read_text()
    changed = text.replace('event_time="', 'checks=[sl.Check.row_count(1)],\n    event_time="', 1)
    assert changed != text
    (shop / "features.py").write_text(changed)
    ran(run_in(shop, "apply", "--yes"))
    assert data_of(run_in(shop, "check", "--json"), 1)["results"][0]["found"] == "0 rows"
    ran(run_in(shop, "push", "payments", "data/payments.csv", "--backdate"))
    assert "1 of 1 checks hold." in ran(run_in(shop, "check", "payments")).stdout
    assert data_of(run_in(shop, "status", "--json"))["checks"][0]["share"] == 0.5
    assert "50.0%" in ran(run_in(shop, "status")).stdout
