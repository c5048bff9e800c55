"""One pass does what is due, whole or in part, and never beside another."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.errors import ConfigError, Conflict
from skewless.monitoring.freshness import kept_promises
from skewless.online.lease import Lease
from skewless.online.runtime import Runtime
from skewless.tend.parts import PARTS, Items, Task
from skewless.tend.schedule import due_items
from skewless.tend.tend import LEASE
from skewless.testing.clock import SettableClock
from tests.cli.running import data_of, ran, run_in
from tests.shop import CARD, DAY, HOUR, MINUTE, NOON, SCHEMA, open_store, pay


def store(folder: Path, *checks: sl.Check, clock: SettableClock | None = None) -> sl.FeatureStore:
    pays = sl.Source("pays", schema=SCHEMA, event_time="at", row_id="pay_id", checks=checks)
    spend = sl.FeatureView(
        "Spend",
        entity=CARD,
        source=pays,
        features={"total": pays.amount.sum("1h")},
        freshness="30m",
    )
    return open_store(folder, spend, clock=clock)


def statuses(report: object) -> dict[str, str]:
    return {part.name: part.status for part in report.parts}  # type: ignore[attr-defined]


def test_everything_is_done_once_and_then_when_it_is_due(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    fs = store(tmp_path, sl.Check.not_null("amount"), clock=clock)
    fs.push("pays", [pay("p1", NOON - MINUTE)])
    first = fs.tend()
    assert first.ok
    assert set(statuses(first).values()) == {"done"}
    assert [part.said for part in first.parts] == [
        "0 of 1 tables of states had changed",
        "0 rows that came too late let in",
        "1 rows settled",
        "1 of 1 checks hold",
        "1 profiles online, 0 served",
        "0 of 0 tests say drift",
        "every promise is kept",
        "0 open, 0 new, 0 resolved; 0 messages taken, 0 waiting, 0 given up",
    ]
    clock.time = NOON + 20 * MINUTE
    again = fs.tend()
    due = [name for name, status in statuses(again).items() if status == "done"]
    assert due == ["freshness", "alerts"]
    assert again.parts[0].said == "next in 40m"
    clock.time = NOON + HOUR
    due = [name for name, status in statuses(fs.tend()).items() if status == "done"]
    assert due == ["materialize", "check", "freshness", "alerts"]
    clock.time = NOON + DAY
    assert set(statuses(fs.tend()).values()) == {"done"}
    assert set(statuses(fs.tend(everything=True)).values()) == {"done"}


def test_a_clock_that_was_ahead_for_a_pass_keeps_nothing_from_being_due(tmp_path: Path) -> None:
    clock = SettableClock(NOON + 365 * DAY)
    fs = store(tmp_path, clock=clock)
    assert set(statuses(fs.tend()).values()) == {"done"}
    clock.time = NOON
    assert set(statuses(fs.tend()).values()) == {"done"}


def test_a_pass_is_one_run(tmp_path: Path) -> None:
    fs = store(tmp_path)
    before = len(fs.runs())
    fs.tend()
    newest, *others = fs.runs()
    assert len(others) == before
    assert (newest.job, newest.result["materialize"]) == ("tend", "done")


def test_a_part_that_fails_keeps_no_other_from_being_done(tmp_path: Path) -> None:
    fs = store(tmp_path, sl.Check.row_count(1, action="block"))
    report = fs.tend()
    assert not report.ok
    assert statuses(report) == {
        "materialize": "failed", "backfill": "done", "compact": "done", "check": "done", "profile": "done",
        "drift": "done", "freshness": "done", "alerts": "done",
    }  # fmt: skip
    assert "a check fails" in report.parts[0].said
    fs.push("pays", [pay("p1", NOON - MINUTE)])
    assert statuses(fs.tend())["materialize"] == "done"  # what failed is due again


def test_how_often_a_promise_was_kept_is_counted(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    fs = store(tmp_path, clock=clock)
    fs.push("pays", [pay("p1", NOON - MINUTE)])
    assert fs.tend(everything=True).ok
    clock.time = NOON + 10 * HOUR
    report = fs.tend()
    assert not report.ok
    assert report.parts[-2].said == "Spend@v1 is stale"
    assert report.parts[-1].said.startswith("1 open")
    assert kept_promises(fs.runtime.ledger, 0) == {"Spend@v1": (1, 2)}
    assert kept_promises(fs.runtime.ledger, NOON + 1) == {"Spend@v1": (0, 1)}


def test_rows_that_came_too_late_count_once_a_day(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    source = sl.Source("pays", schema=SCHEMA, event_time="at", row_id="pay_id", lateness="10m")
    features = {"total": source.amount.sum("1d")}
    view = sl.FeatureView("Spend", entity=CARD, source=source, features=features)
    fs = open_store(tmp_path, view, clock=clock, build=True)
    fs.tend()
    rows = [pay("a", NOON - MINUTE), pay("b", NOON - 12 * MINUTE, 7.0)]
    rows += [pay("c", NOON - 13 * MINUTE, 9.0, card="c2")]
    assert fs.push("pays", rows, backdate=True).late == 2

    def totals() -> list[list[object]]:
        found = fs.get_online_features(["Spend:total"], [{"card_id": c} for c in ("c1", "c2")])
        return [row[0] for row in found.values]  # type: ignore[misc]

    assert totals() == [1.0, 0.0]
    clock.time = NOON + HOUR
    assert statuses(fs.tend())["backfill"] == "not due"
    assert totals() == [1.0, 0.0]
    clock.time = NOON + 23 * HOUR
    (part,) = (each for each in fs.tend(everything=True).parts if each.name == "backfill")
    assert part.said == "2 rows that came too late let in"
    assert totals() == [8.0, 9.0]
    assert fs.verify("Spend").ok
    (part,) = (each for each in fs.tend(everything=True).parts if each.name == "backfill")
    assert part.said == "0 rows that came too late let in"


def test_a_table_whose_history_was_corrected_is_built_anew(tmp_path: Path) -> None:
    def write(amount: float) -> None:
        rows = [pay(f"p{n}", NOON - n * MINUTE, amount, card=f"c{n % 2}") for n in range(1, 9)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pays.parquet")

    write(1.0)
    clock = SettableClock(NOON)
    table = sl.Parquet(str(tmp_path / "pays.parquet"))
    source = sl.Source("pays", schema=SCHEMA, event_time="at", table=table)
    features = {"total": source.amount.sum("1d")}
    view = sl.FeatureView("Spend", entity=CARD, source=source, features=features)
    fs = open_store(tmp_path / "repo", view, clock=clock, build=True)
    fs.tend()
    write(3.0)
    clock.time = NOON + HOUR
    assert fs.tend().parts[0].said == "1 of 1 tables of states had changed"
    found = fs.get_online_features(["Spend:total"], [{"card_id": "c0"}, {"card_id": "c1"}])
    assert found.values == [[12.0], [12.0]]


def test_the_settings_say_what_is_due(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    settings = {"tend": {"materialize": "15m", "drift": "off"}}
    fs = open_store(tmp_path, clock=clock, **settings)
    assert statuses(fs.tend())["drift"] == "off"
    clock.time = NOON + 15 * MINUTE
    found = statuses(fs.tend(everything=False))
    assert (found["materialize"], found["check"]) == ("done", "not due")
    assert statuses(fs.tend(everything=True))["drift"] == "done"
    wrong = open_store(tmp_path / "wrong", tend={"check": "often"})
    with pytest.raises(ConfigError, match="not how often"):
        wrong.tend()


def test_a_pass_that_was_taken_for_dead_leaves_the_rest_to_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = store(tmp_path)
    taken: list[Lease] = []
    take = Lease.take
    monkeypatch.setattr(Lease, "take", lambda self: taken.append(self) or take(self))
    lost = Task(lambda *_: (taken[0].lost.set(), ("done", True))[1])
    monkeypatch.setitem(PARTS, "compact", lost)
    assert list(statuses(fs.tend()).values())[:4] == ["done", "done", "done", "failed"]


def test_of_two_at_once_one_is_refused(tmp_path: Path) -> None:
    fs = store(tmp_path)
    other = Lease(fs.runtime.journal, LEASE, dict)
    assert other.take()
    with pytest.raises(Conflict, match="another pass is at work"):
        fs.tend()
    other.release()
    assert fs.tend().ok is False  # there is nothing to be fresh yet


def test_a_pass_that_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    fs = store(tmp_path)
    fs.close()
    script = (
        "import os, signal, sys, skewless as sl\n"
        "from skewless.online.lease import Lease\n"
        "from skewless.tend.tend import LEASE\n"
        "fs = sl.FeatureStore(sys.argv[1])\n"
        "assert Lease(fs.runtime.journal, LEASE, dict).take()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with sl.FeatureStore(tmp_path) as again:
        assert "materialize" in statuses(again.tend())
        assert os.getpid() == again.runs("tend")[0].process


def test_the_command_exits_with_1_for_what_needs_somebody(tmp_path: Path) -> None:
    ran(run_in(tmp_path, "init", "shop"))
    shop = tmp_path / "shop"
    ran(run_in(shop, "apply", "--yes"))
    ran(run_in(shop, "push", "payments", "data/payments.csv", "--backdate"))
    code = run_in(shop, "tend").exit_code
    data = data_of(run_in(shop, "tend", "--everything", "--json"), code)
    assert {part["status"] for part in data["parts"]} == {"done"}
    assert "kept" in data_of(run_in(shop, "status", "--json"))


def two_views(folder: Path, clock: SettableClock, **settings: object) -> sl.FeatureStore:
    """A view of payments, and one of others that a check refuses as long as there are none."""
    pays = sl.Source("pays", schema=SCHEMA, event_time="at")
    block = sl.Check.row_count(1, action="block")
    others = sl.Source("others", schema=SCHEMA, event_time="at", checks=[block])
    views = [
        sl.FeatureView(name, entity=CARD, source=source, features={"n": source.count("1d")})
        for name, source in (("Spend", pays), ("Wrong", others))
    ]
    return open_store(folder, *views, clock=clock, **settings)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What passes materialize: lists of views; None for all of them."""
    found: list[object] = []
    task = PARTS["materialize"]

    def noted(runtime: Runtime, items: Items) -> tuple[str, bool]:
        said = task.do(runtime, items)
        found.append(items)
        return said

    monkeypatch.setitem(PARTS, "materialize", Task(noted, task.items))
    return found


def due_now(fs: sl.FeatureStore, part: str) -> list[str]:
    now = fs.runtime.clock.now()
    dues = [each for each in due_items(fs.runtime) if each.name == part]
    return [each.of for each in dues if each.every is not None and each.waits(now) is None]


def test_a_view_that_fails_keeps_no_other_from_being_done(
    tmp_path: Path, asked: list[object]
) -> None:
    clock = SettableClock(NOON)
    fs = two_views(tmp_path, clock)
    fs.push("pays", [pay("p1", NOON - MINUTE)])
    report = fs.tend()
    assert report.parts[0].status == "failed"
    assert report.parts[0].said.startswith("1 of 2 failed; Wrong@v1: ")
    assert asked == [["Spend@v1"]]
    clock.time = NOON + MINUTE
    assert due_now(fs, "materialize") == ["Wrong@v1"]
    assert fs.tend().parts[0].said.startswith("1 of 1 failed")
    fs.push("others", [pay("p1", NOON - MINUTE)])
    assert fs.tend().parts[0].status == "done"
    clock.time = NOON + HOUR
    assert due_now(fs, "materialize") == ["Spend@v1"]  # the other one was done a minute later
    clock.time = NOON + HOUR + MINUTE
    assert due_now(fs, "materialize") == ["Spend@v1", "Wrong@v1"]


def test_a_view_may_have_intervals_of_its_own(tmp_path: Path, asked: list[object]) -> None:
    clock = SettableClock(NOON)
    views = {"Spend": {"materialize": "15m", "profile": "off"}, "Wrong": {"materialize": "2h"}}
    fs = two_views(tmp_path, clock, tend={"views": views})
    fs.push("others", [pay("p1", NOON - MINUTE)])
    assert statuses(fs.tend())["materialize"] == "done"
    assert due_now(fs, "profile") == []
    for minutes, wanted in ((14, []), (15, ["Spend@v1"]), (120, ["Spend@v1", "Wrong@v1"])):
        clock.time = NOON + minutes * MINUTE
        assert due_now(fs, "materialize") == wanted
    clock.time = NOON + 15 * MINUTE
    assert statuses(fs.tend())["materialize"] == "done"
    assert asked == [None, ["Spend@v1"]]
    assert fs.tend().parts[0].said == "next in 15m"
    profiled = {each.of for each in due_items(fs.runtime, apart=True) if each.name == "profile"}
    assert profiled == {"Spend@v1"}


def test_what_others_raise_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> tuple[str, bool]:
        raise ValueError("no such thing")

    fs = store(tmp_path)
    monkeypatch.setitem(PARTS, "compact", Task(breaks))
    found = {part.name: part for part in fs.tend().parts}
    assert found["compact"].said == "ValueError: no such thing"
    assert found["check"].status == "done"


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"Spend": "15m"}, "no section of a view"),
        ({"Spend": {"drift": "1d"}}, "part of a view"),
        ({"Spend": {"check": "often"}}, "not how often"),
    ],
)
def test_what_is_wrong_in_the_section_of_a_view_is_said(
    tmp_path: Path, views: object, message: str
) -> None:
    fs = open_store(tmp_path, tend={"views": views})
    with pytest.raises(ConfigError, match=message):
        fs.tend()


def test_a_section_of_a_view_that_is_not_there_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    fs = two_views(tmp_path, SettableClock(NOON), tend={"views": {"Spent": {"check": "1d"}}})
    first, *others = fs.tend().parts
    assert (first.name, first.ok) == ("views", False)
    assert "Did you mean 'Spend'" in first.said
    assert len(others) == 8


def test_the_command_says_what_is_due_and_does_nothing(tmp_path: Path) -> None:
    two_views(tmp_path, SettableClock(NOON)).close()
    found = data_of(run_in(tmp_path, "tend", "--due", "--json"))["due"]
    assert [each["of"] for each in found if each["name"] == "materialize"] == [
        "Spend@v1",
        "Wrong@v1",
    ]
    assert all(each["last"] is None for each in found)
    said = ran(run_in(tmp_path, "tend", "--due")).output
    assert "never" in said
    assert run_in(tmp_path, "tend", "--due", "--everything").exit_code == 2
