"""One pass does what is due, whole or in part, and never beside another."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import skewless as sl
from skewless.errors import Conflict
from skewless.monitoring.freshness import kept_promises
from skewless.online.lease import Lease
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
        "materialize": "failed", "compact": "done", "check": "done", "profile": "done",
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
