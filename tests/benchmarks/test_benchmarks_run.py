"""Every benchmark runs, at a size where only that matters, and its results have their shape."""

import dataclasses
import json
import random
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmarks import data, fairness, load, oracles, stores
from benchmarks.__main__ import NAMES, failures
from benchmarks.harness import Contender, Options, PeerMissing, measure, measured, middle, ratio
from benchmarks.load import Load
from benchmarks.peers import feast_env
from benchmarks.report import details, module, table, tables
from skewless.testing.servers import missing

ROOT = Path(__file__).resolve().parent.parent.parent
OWN = {
    "join": {"wall_s", "cpu_s", "peak_mb", "wrong_rows"},
    "windows": {"wall_s", "cpu_s", "peak_mb", "wrong", "inexact"},
    "online": {"1x10", "1x120", "100x10", "100x120"},
    "materialize": {"entities", "rows_per_s"},
    "push": {"events", "p50_us", "p99_us"},
    "startup": {"median_s", "over_python_s"},
    "newcomer": {"commands", "warnings", "lines", "values"},
}
INSTALLED = ("Feast", "River", "Bytewax")
"""Peers in environments of their own, which the tests do not make."""
ONCE = Options(size="tiny", repeats=1, install=False)


@pytest.fixture
def without_feast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feast_env, "HOME", tmp_path / "feast")


@pytest.mark.slow
@pytest.mark.usefixtures("without_feast")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"startup", "stores"}])
def test_benchmark_gives_figures_of_everybody_or_says_why_not(name: str) -> None:
    result = module(name).run(ONCE)

    assert failures(result) == []
    for figures in result["contenders"]:
        if any(peer in figures["name"] for peer in INSTALLED):
            assert measured(figures) or "no environment" in figures["skipped"]
        elif "skewless" in figures["name"]:
            assert figures.keys() >= OWN.get(name, set())
            assert figures.get("wrong_rows", figures.get("wrong", 0)) == 0
            assert figures.get("inexact", 0) == 0
        else:
            assert measured(figures)
    assert result["title"] in "\n".join(details(name, result))


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.server(kind)) for kind in stores.BARE]
)
def test_store_is_measured_beside_its_bare_driver(kind: str) -> None:
    results = stores.measured_store(kind, str(data.newest_rows(500, 10)), 500, ONCE)
    for figures in results:
        if "skipped" in figures:
            missing(figures["skipped"])

    assert [figures["name"] for figures in results] == stores.names_of(kind)
    assert all(figures[shape]["p50_us"] > 0 for figures in results for shape in ("1x10", "100x10"))


@pytest.mark.slow
@pytest.mark.server("redis")
@pytest.mark.usefixtures("without_feast")
def test_materialize_into_a_store_is_measured_beside_feast_or_says_why_not() -> None:
    own, feast = stores.materialized(ONCE)
    if "skipped" in own:
        missing(own["skipped"])

    assert own["rows_per_s"] > 0
    assert "no environment" in feast["skipped"]


@pytest.mark.slow
def test_servers_are_measured_as_fast_as_they_answer_and_at_fixed_rates() -> None:
    chosen = dataclasses.replace(ONCE, only=("skewless, LMDB, 1 worker", "a constant"))
    result = module("serving").run(chosen)

    assert failures(result) == []
    *shapes, floors = [result, *result["parts"]]
    assert [one["shape"] for one in shapes] == [
        "1x10", "1x120", "100x10", "100x120", "1x20 windowed",
    ]  # fmt: skip
    for figures in [each for one in (*shapes, floors) for each in one["contenders"]]:
        assert figures["req_s"] > 0
        assert figures["errors"] == figures["errors_100"] == 0
        assert figures["p50_ms_100"] <= figures["p95_ms_100"] <= figures["p99_ms_100"]
    assert len(floors["contenders"]) == 2
    assert "1 x 20 windowed" in "\n".join(details("serving", result))
    assert [line[0] for line in module("serving").summary(result)][0].startswith("HTTP, 1 x 10")


def test_load_counts_from_when_a_request_was_due_and_knows_what_was_not_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = Load("127.0.0.1", silent.getsockname()[1], "/", ["{}"], 0.2, 2, rate=50.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(load, "GRACE", 0.1)
            figures = load.paced(given).figures()

    assert figures["sent"] == 10
    assert figures["statuses"] == {"unanswered": 10}
    assert figures["p50_ms"] == pytest.approx(300, abs=1)


@pytest.mark.slow
def test_feast_is_measured_where_its_environment_is() -> None:
    try:
        python = feast_env.feast_python(install=False)
        python()
    except PeerMissing as reason:
        pytest.skip(str(reason))
    newest = data.newest_rows(500, 10)
    task = "benchmarks.peers.feast_tasks:materialize"
    arguments = {"newest": str(newest), "rows": 500, "width": 10}

    figures = measure(Contender("Feast", task, arguments, python), ONCE)

    assert figures["rows_per_s"] > 0


def test_command_line_prints_json_and_writes_it_to_a_file(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "startup", "--size", "tiny", "--repeats", "1"]
    done = subprocess.run(
        [*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    drawn = subprocess.run(
        [*command[:3], "--table", str(out)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    results = json.loads(done.stdout)

    assert json.loads(out.read_text()) == results
    assert results["machine"].keys() >= {"cpu", "cores", "memory_gb", "python", "versions"}
    own = results["benchmarks"]["startup"]["contenders"][1]
    assert own.keys() >= OWN["startup"]
    assert drawn.stdout == tables(results) + "\n"
    assert drawn.stdout in done.stderr


@pytest.mark.parametrize("as_known", [False, True])
def test_join_oracle_agrees_with_brute_force(as_known: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    entity = rng.integers(0, 5, 60)
    event = 1_735_689_600_000_000 + rng.integers(0, 20, 60)
    rows = entity, event, event + rng.permutation(60)
    asked = rng.integers(0, 6, 40), 1_735_689_600_000_000 + rng.integers(0, 60, 40)

    found = oracles.winners(rows, asked, as_known=as_known)

    expected = [
        oracles.brute_force(rows, int(one), int(when), as_known=as_known)
        for one, when in zip(*asked, strict=True)
    ]
    assert expected == found.tolist()


@pytest.mark.usefixtures("without_feast")
def test_missing_peer_is_skipped_with_its_reason() -> None:
    feast = Contender("Feast", "no:task", python=feast_env.feast_python(install=False))
    absent = Contender("absent", "no:task", needs=("no-such-package",))

    assert "no environment" in measure(feast, ONCE)["skipped"]
    assert "no-such-package is not installed" in measure(absent, ONCE)["skipped"]


def test_failing_contender_is_reported_with_its_last_words() -> None:
    figures = measure(Contender("broken", "benchmarks.child:no_such_function"), ONCE)

    assert "no_such_function" in figures["failed"]
    assert failures({"deep": [{"contenders": [figures]}]}) == ["broken"]


def test_contender_that_takes_too_long_is_given_up() -> None:
    figures = measure(Contender("slow", "benchmarks.child:main", limit_s=0.001), ONCE)

    assert figures == {"name": "slow", "gave_up_s": 0.001}


def test_several_runs_become_their_medians_and_the_highest_peak() -> None:
    runs = [
        {"wall_s": wall, "cpu_s": 1.0, "peak_mb": 10 * wall, "1x10": {"p50_us": wall}, "wrong": 0}
        for wall in random.Random(1).sample([1.0, 2.0, 9.0], 3)
    ]

    figures = middle(runs)

    assert (figures["wall_s"], figures["cpu_s"], figures["peak_mb"]) == (2.0, 1.0, 90.0)
    assert figures["1x10"] == {"p50_us": 2.0}
    assert sorted(figures["wall_s_runs"]) == [1.0, 2.0, 9.0]


def test_ratio_is_left_out_where_a_side_has_no_figure() -> None:
    assert ratio({"cpu_s": 9.0}, {"cpu_s": 2.0}, "cpu_s") == 4.5
    assert ratio(None, {"cpu_s": 2.0}, "cpu_s") is None
    assert ratio({"wall_s": 9.0}, {"cpu_s": 2.0}, "cpu_s") is None


def test_tables_align_numbers_to_the_right() -> None:
    assert table(["name", "s"], [["join", "1.5"]]) == [
        "| name | s |",
        "| --- | ---: |",
        "| join | 1.5 |",
    ]


def test_percentiles_of_buckets_are_those_of_prometheus() -> None:
    before = {0.001: 100, 0.01: 100, float("inf"): 100}
    after = {0.001: 150, 0.01: 200, float("inf"): 200}
    assert fairness.percentile(before, after, 0.5) == 1.0
    assert fairness.percentile(before, after, 0.75) == 5.5
    assert fairness.percentile(before, {**after, float("inf"): 300}, 0.99) == 10.0
    assert fairness.percentile(after, after, 0.99) is None


def test_a_connection_that_is_refused_rests_before_it_asks_again() -> None:
    statuses = iter(["503", "503", "200", "200"])
    asked: list[float] = []

    class Refusing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(time.monotonic())
            self.send_response(int(next(statuses, "200")))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            found = load.closed(
                Load("127.0.0.1", server.server_port, "/", ["{}"], 1.0, 1, pause=0.2)
            )
        finally:
            server.shutdown()
            thread.join()
    assert found.statuses["503"] == 2
    assert found.statuses["200"] > 10
    assert asked[1] - asked[0] >= 0.2
    assert asked[2] - asked[1] >= 0.2
