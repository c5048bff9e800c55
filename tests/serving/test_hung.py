"""Processes that are there and do nothing: a stuck disk, a stopped process, a slow start."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import skewless as sl
from skewless.errors import SkewlessError, StoreUnavailable
from skewless.serving import server, workers
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.serving.sockets import shut
from tests.serving.calling import PATIENCE, Running, call, serving, wait_for
from tests.serving.test_processes import ask, get, said


def stopped(server: Running, role: str) -> int:
    """Stop a process of a server as a hanging disk does: it is there and does nothing."""
    wait_for(lambda: len(server.children()) == 4, "all four processes")
    wait_for(lambda: said(server, "ready") >= 4, "all four to have started")
    (victim, *_) = [pid for pid in server.children() if server.role_of(pid) == role]
    os.kill(victim, signal.SIGSTOP)
    return victim


def values_in(body: bytes) -> object:
    """What an answer says; nothing: it is none."""
    return json.loads(body).get("values") if body else None


def down(server: Running) -> set[int]:
    """The processes of a server that live and cannot read the store."""
    found = set()
    for each in server.events():
        if each["event"] == "store":
            (found.discard if each["up"] else found.add)(each["process"])
    return found & set(server.children())


def test_a_worker_that_hangs_is_replaced(two: Running, repo: Path) -> None:
    """By one with the settings of when the server was started, whatever stands there by now."""
    victim = stopped(two, "worker")
    (repo / "skewless.toml").write_text("[online]\nkind = nothing at all")
    wait_for(lambda: said(two, "process hangs") >= 1, "the supervisor to notice")
    wait_for(lambda: said(two, "process ended") >= 1, "the worker to be killed and its door shut")
    assert victim not in two.children()
    for _ in range(20):  # by the other worker, until there is a new one
        assert ask(two)[0] == 200
    wait_for(lambda: said(two, "ready") >= 5, "a new worker")


def test_a_writer_that_hangs_is_replaced_and_pushes_are_answered(two: Running) -> None:
    row = {"driver": 21, "code": b"\x01", "km": 4.0, "at": datetime.now(UTC)}
    with sl.Client(two.url, timeout=PATIENCE, retries=0) as client:
        assert client.push("trips", [row]).accepted == 1  # the writer has started
        stopped(two, "writer")

        def pushed() -> bool:
            try:  # by the new one; or it is told that there is none yet, on a busy machine
                return client.push("trips", [{**row, "km": 5.0}]).accepted == 1
            except sl.StoreUnavailable:
                return False

        wait_for(pushed, "a new writer")
    wait_for(lambda: said(two, "process hangs") >= 1, "the supervisor to say so")


def test_connections_go_to_the_others_while_a_worker_cannot_start(two: Running, repo: Path) -> None:
    wait_for(lambda: said(two, "ready") == 4, "all four processes")
    for _ in range(20):
        assert ask(two)[0] == 200
    for file in (repo / ".skewless").glob("registry.db*"):
        file.unlink()
    (repo / ".skewless" / "registry.db").write_bytes(os.urandom(20_000))
    (victim, *_) = [pid for pid in two.children() if two.role_of(pid) == "worker"]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: said(two, "process ended") >= 2, "an attempt to restart it")
    assert [get(two, "/health")[0] for _ in range(20)] == [200] * 20
    assert two.process.poll() is None


def test_while_no_worker_can_start_the_server_says_why(two: Running, repo: Path) -> None:
    """The file of the store was cut under it: a copy that is put back is served."""
    wait_for(lambda: said(two, "ready") == 4, "all four processes")
    right = values_in(ask(two)[2])
    file = repo / ".skewless" / "online" / "data.mdb"
    whole = file.read_bytes()
    os.truncate(file, len(whole) // 3)
    for pid in two.children():
        if two.role_of(pid) == "worker":
            os.kill(pid, signal.SIGKILL)

    def told(path: str) -> tuple[int, bytes]:
        return heard(lambda: get(two, path))

    def heard(asked: Callable[[], tuple[int, dict[str, str], bytes]]) -> tuple[int, bytes]:
        # Nobody is there yet, or one that came up over the damaged file died of it.
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, _, body = asked()
            return status, body
        return 0, b""

    # What is still there may have written to it before it died.
    wait_for(lambda: re.search(b"was cut short|file is damaged", told("/ready")[1]), "the reason")
    wait_for(lambda: told("/health") == (200, b""), "a sign of life")
    assert two.process.poll() is None
    reasons = [each["reason"] for each in two.events() if each["event"] == "cannot start"]
    assert all(re.search("was cut short|file is damaged", reason) for reason in reasons)
    assert "Traceback" not in two.log.read_text()
    before = said(two, "ready")
    (repo / "copy").write_bytes(whole)
    os.replace(repo / "copy", file)
    # A process that lived on, or came up over the cut file, opens the copy within a second.
    wait_for(lambda: said(two, "ready") >= before + 2, "both workers to be back")
    wait_for(lambda: values_in(heard(lambda: ask(two))[1]) == right, "an answer of theirs")
    wait_for(lambda: not down(two), "those that lived on to have opened it")


def test_a_worker_that_hangs_before_it_is_ready_takes_no_connections(two: Running) -> None:
    successor = None
    while successor is None:
        victim, before = stopped(two, "worker"), set(two.children())
        ready = said(two, "ready")
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: set(two.children()) - before, "a new worker")  # noqa: B023 - asked at once
        (successor,) = set(two.children()) - before
        os.kill(successor, signal.SIGSTOP)
        if said(two, "ready") != ready:  # it was faster: the next one, then
            os.kill(successor, signal.SIGCONT)
            successor = None
    try:
        for _ in range(20):
            assert ask(two)[0] == 200
    finally:
        os.kill(successor, signal.SIGCONT)
    wait_for(lambda: said(two, "ready") > ready, "the new worker")


def test_a_door_that_is_shut_before_anybody_listens_is_none_the_worse_for_it() -> None:
    """A worker that dies while it starts is restarted; its connections were cut ever after."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        for _ in range(2):  # nobody has listened; somebody has
            shut(door)
            door.listen()
            with socket.create_connection(door.getsockname(), PATIENCE) as client:
                server, _ = door.accept()
                with server:
                    client.sendall(b"a")
                    assert server.recv(1) == b"a"
                    server.sendall(b"b")
                    assert client.recv(1) == b"b"
        shut(door)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(door.getsockname(), PATIENCE)


def test_a_process_that_takes_long_to_start_is_given_more_time_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A large store on a busy machine: killed after the same time each time, it would never be."""
    now, started, lived = 0.0, [], []

    def start(_: int) -> subprocess.Popen[bytes]:
        started.append(now)
        return subprocess.Popen(["sleep", "600"])

    monkeypatch.setattr(workers.time, "monotonic", lambda: now)
    child = workers.Child("worker 0", start)
    try:
        while len(lived) < 6:
            child.watch()
            if child.process is None and len(started) > len(lived):
                lived.append(now - started[-1])
            now += 1.0
    finally:
        child.close()
    assert lived == [46.0, 91.0, 181.0, 361.0, 601.0, 601.0]


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (StoreUnavailable("the store is elsewhere"), "the store is elsewhere"),
        (MemoryError(), "the server cannot start: MemoryError"),
    ],
)
def test_why_a_server_cannot_start_is_what_it_ends_with(
    app: App, monkeypatch: pytest.MonkeyPatch, problem: Exception, told: str
) -> None:
    def fails() -> None:
        raise problem

    monkeypatch.setattr(app.upkeep, "first_time", fails)
    monkeypatch.setattr(server.signal, "signal", lambda *_: None)
    monkeypatch.setattr(server, "tune", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as door:
        with pytest.raises(SkewlessError, match=told):
            server.run(app, Settings(), [door])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_systemd_is_told_that_a_server_is_ready_lives_and_stops(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "150000")
        with serving(repo, tmp_path, "--workers", workers):
            told = [notified.recv(100) for _ in range(4)]
        assert told == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        while (last := notified.recv(100)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1"


def test_a_writer_that_takes_nothing_is_waited_for_no_longer_than_a_push_may_take(
    store: sl.FeatureStore, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / "writer.sock"))
        hung.listen(8)  # connections are made, and nobody takes them
        app = App(store, Settings(write_timeout=0.1), writer=str(tmp_path / "writer.sock"))
        app.start()
        began = time.monotonic()
        for path in ("/v1/push", "/push", "/write-to-online-store", "/v1/materialize"):
            answer = call(app, "POST", path, {})
            assert answer.status == 503
            assert b"the process that writes does not answer" in answer.body
        assert time.monotonic() - began < PATIENCE / 2
