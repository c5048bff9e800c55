"""Pushes and materializations over HTTP, and what becomes of jobs."""

import base64
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import skewless as sl
from skewless.errors import Conflict
from skewless.serving.app import App
from skewless.testing.clock import SettableClock
from tests.serving.calling import call
from tests.serving.conftest import NOW, payment
from tests.serving.test_features import ARROW, read, stream_of

ROW = {
    "payment_id": "n1", "card_id": "c9", "amount": 4.0, "country": "FR",
    "seen": "2026-01-01T09:59:00Z", "picture": base64.b64encode(b"\x07").decode(), "ok": False,
    "paid_at": "2026-01-01T09:59:00Z",
}  # fmt: skip
C9 = [{"card_id": "c9"}]


def test_pushed_rows_are_readable_when_the_push_returns(app: App) -> None:
    answer = call(app, "POST", "/v1/push", {"source": "payments", "rows": [ROW]})
    assert answer.data == {
        "source": "payments", "accepted": 1, "corrections": 0, "duplicates": 0, "late": 0,
        "quarantined": 0, "reasons": [], "sequence": 7,
    }  # fmt: skip
    values = read(app, features=["Newest"], entities=C9)["values"]
    assert values["amount"] == [4.0]
    assert values["picture"] == [ROW["picture"]]


def test_a_push_again_is_a_duplicate(app: App) -> None:
    body = {"source": "payments", "rows": [ROW]}
    call(app, "POST", "/v1/push", body)
    again = call(app, "POST", "/v1/push", body).data
    assert (again["accepted"], again["duplicates"]) == (0, 1)


def test_rows_come_as_columns_and_infinities_as_text(app: App) -> None:
    columns = {name: [value] for name, value in (ROW | {"amount": "-Infinity"}).items()}
    assert call(app, "POST", "/v1/push", {"source": "payments", "rows": columns}).status == 200
    found = read(app, features=["Newest:amount"], entities=C9)
    assert found["values"]["amount"] == ["-Infinity"]


def test_a_bad_row_is_set_aside_with_its_reason_and_the_rest_goes_in(app: App) -> None:
    bad = ROW | {"payment_id": "n2", "amount": "much"}
    found = call(app, "POST", "/v1/push", {"source": "payments", "rows": [bad, ROW]}).data
    assert (found["accepted"], found["quarantined"]) == (1, 1)
    assert found["reasons"][0]["row"] == 0
    assert "amount" in found["reasons"][0]["reason"]


def test_a_table_in_arrow_is_pushed(app: App) -> None:
    row = payment(50, "c9", 6.0, 1)
    body = stream_of(pa.Table.from_pylist([row]))
    headers = {"content-type": ARROW}
    answer = call(app, "POST", "/v1/push?source=payments&backdate=true", body=body, headers=headers)
    assert answer.data["accepted"] == 1
    assert read(app, features=["Newest:amount"], entities=C9)["values"]["amount"] == [6.0]


def test_old_rows_are_pushed_with_backdate(app: App, clock: SettableClock) -> None:
    old = ROW | {"paid_at": "2025-06-01T00:00:00Z"}
    call(app, "POST", "/v1/push", {"source": "payments", "rows": [old], "backdate": True})
    assert read(app, features=["Newest:amount"], entities=C9, at=NOW - 1)["values"] == {
        "amount": [4.0]
    }


def started(app: App, body: dict[str, Any]) -> dict[str, Any]:
    answer = call(app, "POST", "/v1/materialize", body)
    assert answer.status == 202, answer.body
    assert answer.headers["location"] == f"/v1/jobs/{answer.data['job']}"
    app.writer.jobs.wait(30)
    found: dict[str, Any] = call(app, "GET", answer.headers["location"]).data
    return found


@pytest.mark.parametrize("backfill", [False, True])
def test_a_materialization_is_a_job_that_can_be_asked_about(app: App, backfill: bool) -> None:
    job = started(app, {"views": ["Spend"], "backfill": backfill})
    assert (job["status"], job["progress"], job["error"]) == ("done", 1.0, None)
    assert job["kind"] == ("backfill" if backfill else "materialize")
    assert job["views"] == ["Spend"]
    (result,) = job["results"]
    assert (result["entities"], result["skipped"]) == ((4, False) if backfill else (0, True))
    assert [j["job"] for j in call(app, "GET", "/v1/jobs").data["jobs"]] == [job["job"]]


def test_a_second_materialization_waits_for_the_first_to_end(
    app: App, store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    real = store.materialize

    def slow(*args: Any, **options: Any) -> Any:
        go_on.wait(30)
        return real(*args, **options)

    monkeypatch.setattr(store, "materialize", slow)
    first = call(app, "POST", "/v1/materialize", {}).data
    second = call(app, "POST", "/v1/materialize", {})
    feast = call(app, "POST", "/materialize", {"end_ts": "2026-01-01T00:00:00"})
    go_on.set()
    assert (second.status, second.data["got"]) == (409, first["job"])
    assert feast.status == 409
    assert "another materialization is running" in feast.data["error"]
    app.writer.jobs.wait(30)
    assert call(app, "GET", f"/v1/jobs/{first['job']}").data["status"] == "done"


def test_a_job_that_fails_says_why(
    app: App, store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        raise sl.StoreError("the disk is full")

    monkeypatch.setattr(store, "materialize", broken)
    job = started(app, {})
    assert (job["status"], job["error"]["what"]) == ("failed", "the disk is full")


def test_a_job_whose_process_was_killed_is_lost_and_holds_nobody_up(
    app: App, clock: SettableClock
) -> None:
    job = app.writer.jobs.claim("materialize", None, None, None)
    with pytest.raises(Conflict, match="another"):
        app.writer.jobs.claim("materialize", None, None, None)
    clock.time += 61_000_000
    assert call(app, "GET", f"/v1/jobs/{job.id}").data["status"] == "lost"
    assert started(app, {})["status"] == "done"


def test_only_the_newest_jobs_are_kept(
    app: App, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skewless.serving.write.jobs.KEPT", 3)
    jobs = []
    for _ in range(5):
        jobs.append(started(app, {})["job"])
        clock.time += 1
    assert [j["job"] for j in call(app, "GET", "/v1/jobs").data["jobs"]] == jobs[:1:-1]


def test_a_job_of_one_process_is_known_to_another(app: App, repo: Path) -> None:
    job = started(app, {})
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as other:
        from skewless.serving.settings import Settings

        second = App(other, Settings())
        second.start()
        assert call(second, "GET", f"/v1/jobs/{job['job']}").data == job


def test_a_full_queue_of_writes_is_refused_at_once(
    app: App, store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.writer.threads.active = 10**6
    answer = call(app, "POST", "/v1/push", {"source": "payments", "rows": [ROW]})
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.data["error"] == "Overloaded"
