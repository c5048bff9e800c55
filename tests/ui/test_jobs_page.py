"""The page of jobs: what is due, who is at work, and which jobs fail."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

import skewless as sl
from skewless.errors import CheckFailed
from skewless.online.lease import Lease
from skewless.tend.tend import LEASE
from skewless.testing.clock import SettableClock
from skewless.ui.app import make_app
from tests.shop import DAY, HOUR, MINUTE, NOON, open_store, pay, payments, spend_of


def test_it_says_what_is_due_who_is_at_work_and_what_failed(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    pays = payments(checks=[sl.Check.row_count(2, action="block")])
    fs = open_store(tmp_path, spend_of(pays), clock=clock, tend={"drift": "off"})
    client = TestClient(make_app(fs), base_url="http://localhost")
    assert "never" in client.get("/jobs").text
    fs.tend()
    fs.push("pays", [pay("p1", NOON - MINUTE)])
    with pytest.raises(CheckFailed):
        fs.materialize()
    data = client.get("/jobs?format=json").json()
    parts = {part["name"]: part for part in data["parts"]}
    assert parts["compact"]["next"] == "2026-01-03T12:00:00Z"
    assert (parts["drift"]["every"], parts["materialize"]["never"]) == (None, True)
    apart = [(each["name"], each["of"], each["never"]) for each in data["views"]]
    assert apart == [("materialize", "Spend@v1", True)]  # it failed, and is due by itself
    assert "Of views and sources" in client.get("/jobs").text
    job = data["jobs"][0]
    assert (job["job"], job["status"], job["failed"]) == ("materialize", "failed", 1)
    assert "refused" in job["problem"]
    text = client.get("/jobs").text
    assert "refused" in text
    assert "<rect" in text
    clock.time = NOON + 3 * DAY + HOUR
    assert "no pass has done it for days" in client.get("/jobs").text
    lease = Lease(fs.runtime.journal, LEASE, dict)
    assert lease.take()
    assert "is at work on" in client.get("/jobs").text
    lease.release()
    assert client.get("/jobs?format=json").json()["at_work"] is None
    clock.time = NOON + 40 * DAY
    assert "No job ran in these days" in client.get("/jobs").text
