"""Large reads have a process of their own behind the workers: other bytes never, and one that may die."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib import error
from urllib import request as http

import pytest

import skewless as sl
from skewless.config import Config
from skewless.errors import StoreUnavailable
from skewless.serving import server
from skewless.serving.app import App
from skewless.serving.handover import handed
from skewless.serving.http.http import SMALL_BODY
from skewless.serving.server import STAND_BACK
from skewless.serving.settings import Settings
from tests.serving.calling import PATIENCE, Running, call, serving, wait_for
from tests.serving.test_observability import samples
from tests.serving.test_processes import ask, get, said

CARDS = {"card_id": [None if number % 11 == 10 else f"c{number % 9}" for number in range(4_000)]}
NATIVE = ("/v1/features", {"service": "newest", "entities": CARDS | {"asked": [1.0] * 4_000}})
FEAST = ("/get-online-features", {"feature_service": "fraud", "entities": CARDS})
WRONG = ("/v1/features", {"features": ["Spend:totl"], "entities": CARDS})
Told = tuple[int, bytes, str | None]


@pytest.fixture
def two(repo: Path, tmp_path: Path) -> Iterator[Running]:
    """A server with two workers, on a machine that may be busy."""
    with serving(repo, tmp_path, "--workers", "2", "--timeout", "60") as running:
        wait_for(lambda: said(running, "ready") == 4, "all four processes")
        yield running


def post(server: Running, path: str, body: Any, **headers: str) -> Told:
    """Return status, body and id of an answer."""
    data = json.dumps(body).encode()
    given = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    try:
        with http.urlopen(http.Request(server.url + path, data, given), timeout=PATIENCE) as answer:
            return answer.status, answer.read(), answer.headers["x-request-id"]
    except error.HTTPError as problem:
        return problem.code, problem.read(), problem.headers["x-request-id"]


def until(server: Running, status: int, path: str, body: Any, **headers: str) -> str | None:
    """Ask again until an answer has a status, which a busy machine may delay; return its id."""
    told: list[Told] = []

    def answered() -> bool:
        told.append(post(server, path, body, **headers))
        return told[-1][0] == status

    wait_for(answered, f"an answer {status} of {path}")
    return told[-1][2]


def the_one(server: Running) -> int:
    (found,) = [pid for pid in server.children() if server.role_of(pid) == "large-reads"]
    return found


def without_moment(told: Told) -> Any:
    found = json.loads(told[1])
    for name in ("at", "ages"):
        found.pop(name, None)
    return told[0], found


def started_aside(server: Running) -> int:
    """Read so much that a server with one worker starts its process of large reads; return it."""
    until(server, 200, *NATIVE)
    wait_for(lambda: said(server, "ready") == 2, "the process of large reads")
    return the_one(server)


@pytest.fixture
def one(repo: Path, tmp_path: Path) -> Iterator[Running]:
    """A server with one worker."""
    with serving(repo, tmp_path, "--timeout", "60") as running:
        yield running


@pytest.mark.parametrize("workers", ["one", "two"])
def test_the_answer_is_that_of_a_server_without_such_a_process(
    repo: Path, workers: str, request: pytest.FixtureRequest
) -> None:
    server: Running = request.getfixturevalue(workers)
    if workers == "one":
        started_aside(server)
    for path, body in (NATIVE, FEAST, WRONG):
        assert len(json.dumps(body)) > SMALL_BODY
        until(server, 404 if (path, body) == WRONG else 200, path, body)
        found = post(server, path, body)
        with sl.FeatureStore(repo) as store:
            app = App(store, Settings(timeout=60.0))
            app.start()
            alone = call(app, "POST", path, body)
        assert without_moment(found) == without_moment((alone.status, alone.body, None))


def test_with_one_worker_it_is_started_by_the_first_large_read(one: Running) -> None:
    for _ in range(20):
        assert ask(one)[0] == 200
    assert "large-reads" not in map(one.role_of, one.children())
    victim = started_aside(one)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: said(one, "process ended") == 1, "the server to notice")
    wait_for(lambda: said(one, "ready") == 3, "a new one")
    assert until(one, 200, *NATIVE, x_request_id="mine") == "mine"
    shown = samples(get(one, "/metrics")[2])
    name = 'skewless_http_request_duration_seconds_count{route="/v1/features",size="%s"}'
    assert shown[name % "small"] == 20
    assert shown[name % "large"] >= 2


@pytest.mark.parametrize(("role", "workers", "nicer"), [
    ("large-reads", 1, ["nice", "open"]), ("large-reads", 2, ["open"]), ("worker", 2, ["open"]),
])  # fmt: skip
def test_beside_one_worker_it_stands_back_before_it_imports_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, role: str, workers: int, nicer: list[str]
) -> None:
    """Its start takes seconds of CPU, in which the only worker answers small reads."""
    done: list[str] = []

    def opened(config: Config) -> None:
        done.append("open")
        raise StoreUnavailable("no store", where=str(config.folder))

    line = io.BytesIO(handed(Config.of(tmp_path, {})))
    life, signs = os.pipe()
    with socket.socket(socket.AF_UNIX) as listening:
        given = json.dumps(dataclasses.asdict(Settings(workers=workers)))
        words = [role, "repo", "folder", "1", str(os.dup(listening.fileno())), str(signs), given]
        monkeypatch.setattr("sys.argv", ["server", *words])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(line))
        monkeypatch.setattr("os.nice", lambda by: done.append("nice" if by == STAND_BACK else "?"))
        monkeypatch.setattr("skewless.store.FeatureStore", opened)
        with pytest.raises(SystemExit):
            server.main()
    assert done == nicer
    assert b"no store" in os.read(life, 1_000)
    for end in (life, signs):
        os.close(end)


@pytest.mark.parametrize("workers", ["one", "two"])
def test_the_others_end_where_the_process_that_was_started_is_killed(
    workers: str, request: pytest.FixtureRequest
) -> None:
    server: Running = request.getfixturevalue(workers)
    if workers == "one":
        started_aside(server)
    others = server.children()
    assert others
    server.process.kill()
    wait_for(lambda: not any(map(runs, others)), "the others to end")


def test_it_ends_with_a_server_of_one_worker(one: Running) -> None:
    other = started_aside(one)
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(PATIENCE) == 0
    assert not runs(other)


def runs(pid: int) -> bool:
    """Whether a process is there that has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_requests_are_counted_once_and_keep_their_id(two: Running) -> None:
    assert until(two, 200, *NATIVE, x_request_id="mine") == "mine"
    assert until(two, 404, *WRONG, x_request_id="wrong") == "wrong"
    row = {"driver": 3, "code": "AQ==", "km": 1.0, "at": "2026-01-01T00:00:00Z"}
    until(two, 200, "/v1/push", {"source": "trips", "rows": [row], "backdate": True})
    name = 'skewless_http_requests_total{route="%s",status="%d"}'

    def counted() -> dict[str, float]:
        return samples(get(two, "/metrics")[2])

    large = 'skewless_http_request_duration_seconds_count{route="/v1/features",size="large"}'
    answered = [("/v1/push", 200), ("/v1/features", 200), ("/v1/features", 404)]
    wait_for(lambda: all(name % each in counted() for each in answered), "all to be counted")
    wait_for(lambda: counted().get(large, 0) >= 1, "the read to be counted as a large one")
    found = counted()
    assert [found[name % each] for each in answered] == [1, 1, 1]


def test_small_reads_go_on_while_it_is_stopped_and_it_is_replaced(
    repo: Path, tmp_path: Path
) -> None:
    with serving(repo, tmp_path, "--workers", "2") as server:  # the read waits for its time-out
        wait_for(lambda: said(server, "ready") == 4, "all four processes")
        victim = the_one(server)
        os.kill(victim, signal.SIGSTOP)
        status, body, _ = post(server, *NATIVE)
        for _ in range(20):
            assert ask(server)[0] == 200
        if status != 200:  # it was replaced before the time-out, on a busy machine
            assert status == 503
            assert "process of large reads does not answer" in json.loads(body)["what"]
        wait_for(lambda: victim not in server.children(), "it to be killed")
        wait_for(lambda: post(server, *NATIVE)[0] == 200, "a new one")
        assert said(server, "process hangs") == 1


def test_one_that_was_killed_is_started_anew(two: Running) -> None:
    before = the_one(two)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: said(two, "process ended") == 1, "the supervisor to notice")
    wait_for(lambda: post(two, *NATIVE)[0] == 200, "a new one")
    assert the_one(two) != before


def test_a_key_for_one_service_reads_no_other_by_way_of_it(two: Running, repo: Path) -> None:
    from skewless.serving.operate import keys

    with sl.FeatureStore(repo) as store:
        key = keys.create(store.runtime.registry, scope="read", services=["fraud"])
    wait_for(lambda: ask(two)[0] == 401, "the workers to know of the key")
    for given, (path, body), status in (
        ({"authorization": f"Bearer {key}"}, FEAST, 200),
        ({"authorization": f"Bearer {key}"}, NATIVE, 403),
        ({}, NATIVE, 401),
    ):
        told = [0] * 10

        def always(path=path, body=body, given=given, told=told) -> bool:  # type: ignore[no-untyped-def]
            told[:] = [post(two, path, body, **given)[0], *told[:-1]]
            return set(told) == {status}  # noqa: B023 - asked at once

        wait_for(always, f"all processes to answer {status}")


def test_it_stands_back_behind_the_workers(two: Running) -> None:
    nice = {two.role_of(pid): os.getpriority(os.PRIO_PROCESS, pid) for pid in two.children()}
    assert nice["large-reads"] > nice["worker"] == nice["writer"]
