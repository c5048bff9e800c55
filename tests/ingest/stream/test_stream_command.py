"""`skewless stream`: run, status, reset."""

from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from tests.cli.running import Run, data_of, ran, run_in
from tests.ingest.stream.events import append, event, lines, source, store


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    store(tmp_path, source(sl.Files("landing"), row_id="id")).close()
    append(tmp_path / "landing" / "a.jsonl", lines(event(n) for n in range(20)) + "oops\n")
    return tmp_path


@pytest.fixture
def run(repo: Path) -> Run:
    return lambda *words, **options: run_in(repo, "stream", *words, **options)


def test_run_once_takes_everything_in_and_says_so(run: Run) -> None:
    told = ran(run("run", "tests", "--once")).stdout
    assert told.startswith("tests: 20 rows taken in (")
    assert "0 duplicates, 1 quarantined, lag 0 bytes." in told
    counted = data_of(run("run", "tests", "--once", "--json"))
    assert (counted["rows"], counted["batches"]) == (0, 0)


def test_run_may_bound_a_batch_and_leave_out_what_is_there(run: Run, repo: Path) -> None:
    assert data_of(run("run", "tests", "--once", "--start", "latest", "--json"))["rows"] == 0
    append(repo / "landing" / "a.jsonl", lines(event(n) for n in range(20, 25)))
    counted = data_of(run("run", "tests", "--once", "--max-rows", "2", "--json"))
    assert (counted["rows"], counted["batches"]) == (5, 3)


def test_status_shows_how_streams_stand(run: Run) -> None:
    assert "never" in ran(run("status")).stdout
    ran(run("run", "tests", "--once"))
    (status,) = data_of(run("status", "tests", "--json"))
    assert (status["source"], status["state"]) == ("tests", "stopped")
    assert status["position"] == {"a.jsonl": status["position"]["a.jsonl"]}
    assert status["metrics"]["rows"] == 20
    heads, row = ran(run("status")).stdout.splitlines()
    assert heads.split() == ["source", "stream", "state", "rows", "lag", "quarantined", "worker"]
    assert row.split()[:7] == ["tests", "files", "stopped", "20", "0", "bytes", "1"]


def test_reset_begins_anew(run: Run) -> None:
    assert "never read" in ran(run("reset", "tests")).stdout
    ran(run("run", "tests", "--once"))
    assert data_of(run("reset", "tests", "--json")) == {"source": "tests", "had_position": True}
    assert data_of(run("run", "tests", "--once", "--json"))["duplicates"] == 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "needs the name of a source"),
        (["run", "test"], "Did you mean 'tests'?"),
        (["pause", "tests"], "'pause' is not one of"),
        (["run", "tests", "--start", "yesterday"], "not a time"),
        (["run", "tests", "--once", "--start", "2026-01-01T00:00:00Z"], "no place that belongs"),
    ],
)
def test_what_cannot_be_run_is_an_error(run: Run, words: list[str], said: str) -> None:
    assert said in ran(run(*words), 2).stderr


def test_a_repo_without_streams_says_so(tmp_path: Path) -> None:
    store(tmp_path, source(None)).close()
    told: Any = run_in(tmp_path, "stream", "status")
    assert "No source has a stream." in ran(told).stdout
