"""Real servers under stress: shut down, killed, stalled, flooded, cut off from their store."""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.serving.read import served_log
from skewless.testing.servers import running as running_server
from tests.serving.calling import PATIENCE, Running, alive, serving, wait_for
from tests.serving.test_observability import samples

BODY = json.dumps({"features": ["Newest:amount"], "entities": [{"card_id": "c1"}]}).encode()
TWO = ["--workers", "2"]
HEAD = b"POST /v1/features HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture
def one(repo: Path, tmp_path: Path) -> Iterator[Running]:
    with serving(repo, tmp_path, "--slow-client", "3", "--max-body", "1M") as running:
        yield running


def connected(server: Running) -> socket.socket:
    return socket.create_connection(server.address, timeout=PATIENCE)


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    response = http.client.HTTPResponse(connection)
    with contextlib.closing(response):
        response.begin()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


def ask(server: Running, sent: bytes = WHOLE) -> tuple[int, dict[str, str], bytes]:
    """Send a request over a new connection; again while a busy machine is a second behind, or where
    the connection was cut: but then one of the processes must have ended."""
    found = []

    def told() -> bool:
        before = said(server, "process ended")
        try:
            with connected(server) as connection:
                connection.sendall(sent)
                found[:] = answer(connection)
        except ConnectionError:
            wait_for(lambda: said(server, "process ended") > before, "the end of who was asked")
            return False
        return not (found[0] == 503 and b"the server cannot keep up" in found[2])

    wait_for(told, "the server to keep up")
    status, headers, body = found
    return status, headers, body


def get(server: Running, path: str) -> tuple[int, dict[str, str], bytes]:
    return ask(server, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())


# ----------------------------------------------------------------------------------- protocol


def test_the_many_ways_to_send_a_request_have_one_answer(one: Running) -> None:
    values = json.loads(ask(one)[2])["values"]
    chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:9], BODY[9:])
    ) + b"0\r\n\r\n"  # fmt: skip
    old = WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0")
    for sent in (chunked, old, WHOLE.replace(b"host: x", b"host: x\r\nconnection: close")):
        status, _, body = ask(one, sent)
        assert (status, json.loads(body)["values"]) == (200, values)
    with connected(one) as connection:
        expect = HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY)
        connection.sendall(expect)
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert json.loads(answer(connection)[2])["values"] == values
    with connected(one) as connection:
        for start in range(0, len(WHOLE), 50):
            connection.sendall(WHOLE[start : start + 50])
        assert json.loads(answer(connection)[2])["values"] == values


def test_requests_in_a_pipeline_are_answered_in_order(one: Running) -> None:
    health = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    last = health.replace(b"host: x", b"host: x\r\nconnection: close")
    with connected(one) as connection:
        connection.sendall(WHOLE + health + WHOLE + WHOLE + last)
        found = b"".join(iter(lambda: connection.recv(65_536), b""))
    bodies = [part.partition(b"\r\n\r\n")[2] for part in found.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert [bool(body) for body in bodies] == [True, False, True, True, False]


def test_a_target_that_is_no_address_is_the_callers_mistake(one: Running) -> None:
    targets = {
        b"/" + b"a" * 70_000: 414, b"http://[": 400, b"http://a:b:c/": 400, b"/\xff": 400,
        b"//": 404, b"*": 404, b"/%": 404, b"/%ff": 404, b"http://x/health": 200,
    }  # fmt: skip
    for target, status in targets.items():
        sent = b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % target
        assert ask(one, sent)[0] == status, target[:20]
    assert not [each for each in one.events() if each["event"] in {"failed", "server"}]


def test_a_wish_for_another_protocol_is_ignored_and_the_body_kept(one: Running) -> None:
    """What curl --http2 and the JDK's client send; a body may look like the next request."""
    wish = (
        b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIA\r\n"
    )
    head = HEAD + wish
    feast = BODY.replace(b'"entities": [{"card_id": "c1"}]', b'"entities": {"card_id": ["c1"]}')
    whole = head + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    chunked = head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    as_feast = head.replace(b"/v1/features", b"/get-online-features")
    as_feast += b"content-length: %d\r\n\r\n" % len(feast) + feast
    with connected(one) as connection:
        for sent in (whole, chunked, as_feast, whole, WHOLE):
            for cut in (0, 30, len(HEAD) + 15, len(sent) - 9):
                connection.sendall(sent[:cut])
                connection.sendall(sent[cut:])
                status, headers, body = answer(connection)
                assert status == 200
                assert b"2.5" in body
                assert "upgrade" not in headers
        hidden = b"GET /health HTTP/1.1\r\nhost: evil\r\n\r\n"
        connection.sendall(head + b"content-length: %d\r\n\r\n" % len(hidden) + hidden + WHOLE)
        assert answer_of_many(connection).startswith(b'{"error":"RequestError"')
        assert answer(connection)[0] == 200
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n" + wish + b"\r\n" + WHOLE)
        assert answer_of_many(connection) == b""
        assert answer(connection)[0] == 200
    status, headers, _ = ask(one, b"CONNECT elsewhere:443 HTTP/1.1\r\nhost: elsewhere\r\n\r\n")
    assert (status, headers["connection"]) == (405, "close")


def test_a_head_that_was_seen_before_is_answered_like_the_first(one: Running) -> None:
    other = BODY.replace(b"c1", b"c2")
    with connected(one) as connection:

        def values(*parts: bytes) -> Any:
            for part in parts:
                connection.sendall(part)
            status, _, body = answer(connection)
            return json.loads(body)["values"]["amount"] if status == 200 else status

        head = WHOLE[: -len(BODY)]
        for _ in range(3):
            assert values(WHOLE) == [2.5]
            assert values(head + other) == ["Infinity"]
            assert values(head + b"x" * len(BODY)) == 422
            assert values(WHOLE[:20], WHOLE[20:]) == [2.5]
            assert values(head, BODY) == [2.5]
            assert values(head + BODY[:9], BODY[9:]) == [2.5]
            connection.sendall(WHOLE + head + other)
            both = [json.loads(answer_of_many(connection))["values"]["amount"] for _ in range(2)]
            assert both == [[2.5], ["Infinity"]]
        asked = head.replace(b"host: x", b"host: x\r\nconnection: close") + BODY
        connection.sendall(asked)
        assert answer(connection)[1]["connection"] == "close"
        assert connection.recv(1) == b""


def answer_of_many(connection: socket.socket) -> bytes:
    """The body of the next answer; nothing of those after it is taken."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return body


def test_what_is_no_http_is_refused_in_json(one: Running) -> None:
    status, _, body = ask(one, b"\x16\x03\x01 nonsense\r\n\r\n")
    assert (status, json.loads(body)["error"]) == (400, "RequestError")


def test_a_head_without_end_is_refused(one: Running) -> None:
    line = b"x-filler: " + b"y" * 1_000 + b"\r\n"
    with connected(one) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(HEAD)
            for _ in range(200):
                connection.sendall(line)
        assert answer(connection)[0] == 431


def test_a_hundred_megabytes_are_refused_without_being_read(one: Running) -> None:
    with connected(one) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (100 << 20))
        status, _, body = answer(connection)
    assert (status, json.loads(body)["error"]) == (413, "TooLarge")
    with connected(one) as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20)))
        with contextlib.suppress(OSError):
            assert answer(connection)[0] == 413
    assert ask(one)[0] == 200


# ------------------------------------------------------------------------------- slow clients


def test_slow_clients_hold_nobody_up_and_are_given_up(one: Running) -> None:
    with contextlib.ExitStack() as stack:

        def slow() -> list[socket.socket]:
            found = [stack.enter_context(connected(one)) for _ in range(3)]
            found[1].sendall(HEAD)
            found[2].sendall(WHOLE[:-5])
            return found

        silent, in_head, in_body = slow()

        def answered_meanwhile() -> bool:
            nonlocal silent, in_head, in_body
            assert ask(one)[0] == 200
            if not select.select([silent, in_head, in_body], [], [], 0)[0]:
                return True
            silent, in_head, in_body = slow()  # a busy machine: they were given up already
            return False

        wait_for(answered_meanwhile, "others to be answered while slow ones are waited for")
        for connection in (in_head, in_body):
            status, headers, body = answer(connection)
            assert (status, headers["connection"]) == (408, "close")
            assert json.loads(body)["error"] == "RequestError"
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""


def test_a_client_that_takes_no_answer_is_given_up(one: Running, repo: Path) -> None:
    entities = {"card_id": [f"c{n}" for n in range(9_000)]}
    body = json.dumps({"features": ["Newest"], "entities": entities}).encode()
    sent = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(one.address)
        for _ in range(8):
            connection.sendall(sent)
            assert ask(one)[0] == 200

        def hung_up() -> bool:
            try:
                connection.sendall(b"x")
            except OSError:
                return True
            return False

        wait_for(hung_up, "the server to give up")
    assert ask(one)[0] == 200


def test_connections_beyond_the_limit_of_files_are_told_so(repo: Path, tmp_path: Path) -> None:
    with serving(repo, tmp_path, "--slow-client", "600", files=320) as server:
        with contextlib.ExitStack() as stack:
            first, *others = [stack.enter_context(connected(server)) for _ in range(100)]
            status, headers, body = answer(others[-1])
            assert (status, headers["connection"]) == (503, "close")
            assert json.loads(body)["what"] == "too many connections are open"
            first.sendall(WHOLE)
            assert answer(first)[0] == 200
        wait_for(lambda: ask(server)[0] == 200, "the others to have gone")


# ----------------------------------------------------------------------------------- shutdown


@pytest.mark.parametrize(
    ("options", "at_once", "ending"),
    [([], True, signal.SIGTERM), ([], False, signal.SIGHUP), (TWO, False, signal.SIGHUP)],
)
def test_requests_under_way_are_finished_at_the_end(
    repo: Path, tmp_path: Path, options: list[str], at_once: bool, ending: signal.Signals
) -> None:
    if signal.getsignal(ending) is signal.SIG_IGN:  # under nohup, which the server inherits
        pytest.skip(f"{ending.name} is ignored here")
    workers, patience = 2 if options else 1, ("--slow-client", "600", "--drain", "600")
    with serving(repo, tmp_path, *options, *patience) as server:
        wait_for(lambda: said(server, "ready") == (4 if options else 1), "all processes")
        with connected(server) as connection:
            if at_once:
                connection.sendall(WHOLE[:-5])
                assert ask(server)[0] == 200  # of one that came later
            else:
                head = HEAD + b"expect: 100-continue\r\n"
                connection.sendall(head + b"content-length: %d\r\n\r\n" % len(BODY))
                assert connection.recv(100).startswith(b"HTTP/1.1 100")
                connection.sendall(BODY[:-5])
            server.process.send_signal(ending)
            wait_for(lambda: said(server, "stopping") == workers, "the workers to know")
            wait_for(lambda: not listens(server), "the doors to shut")
            connection.sendall(WHOLE[-5:])
            status, headers, _ = answer(connection)
        # A machine so busy that the server is a second behind may refuse it: by an answer too.
        assert (status in {200, 503}, headers["connection"]) == (True, "close")
        server.process.wait(PATIENCE)
        assert server.process.returncode == 0
        assert said(server, "stopped")  # perhaps not the last: another process may still have told


def listens(server: Running) -> bool:
    try:
        connected(server).close()
    except OSError:
        return False
    return True


def said(server: Running, name: str) -> int:
    """How many processes have logged an event of that name."""
    return [event["event"] for event in server.events()].count(name)


# ------------------------------------------------------------------------------------ workers

ANSWERED = 'skewless_http_requests_total{route="/v1/features",status="200"}'


def test_a_killed_worker_is_started_anew_and_counters_do_not_fall(two: Running) -> None:
    wait_for(lambda: len(two.children()) == 4, "all four processes")
    shown = [0.0]

    def counted() -> float:
        shown.append(samples(get(two, "/metrics")[2]).get(ANSWERED, 0))
        return shown[-1]

    for _ in range(50):
        assert ask(two)[0] == 200
    wait_for(lambda: counted() == 50, "the workers to write down what they counted")
    victims = [pid for pid in two.children() if two.role_of(pid) == "worker"]
    with sl.Client(two.url, timeout=PATIENCE, retries=50) as client:
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
            for _ in range(20):
                found = client.get_online_features(["Newest:amount"], [{"card_id": "c1"}])
                assert found.values == [[2.5]]
            counted()
    wait_for(
        lambda: len(two.children()) == 4 and not set(victims) & set(two.children()), "new workers"
    )
    before = shown[-1]
    for _ in range(30):
        assert ask(two)[0] == 200
    wait_for(lambda: counted() >= before + 30, "the new workers to count on")
    assert shown == sorted(shown)
    ends = [event for event in two.events() if event["event"] == "process ended"]
    assert [event["code"] for event in ends] == [-9, -9]


def test_a_killed_writer_is_started_anew_and_loses_nothing(two: Running) -> None:
    wait_for(lambda: len(two.children()) == 4, "all four processes")
    now = datetime.now(UTC).isoformat()

    def push(number: int) -> dict[str, Any]:
        row = {
            "payment_id": f"w{number}",
            "card_id": f"w{number}",
            "amount": float(number),
            "paid_at": now,
        }
        body = json.dumps({"source": "payments", "rows": [row]}).encode()
        head = HEAD.replace(b"/v1/features", b"/v1/push")
        status, headers, text = ask(two, head + b"content-length: %d\r\n\r\n" % len(body) + body)
        return {"status": status, "retry": headers.get("retry-after")} | json.loads(text)

    assert push(1)["accepted"] == 1
    (writer,) = [pid for pid in two.children() if two.role_of(pid) == "writer"]
    os.kill(writer, signal.SIGKILL)
    wait_for(lambda: not alive(writer) or writer not in two.children(), "the writer to die")
    wait_for(lambda: push(2)["status"] == 200, "a new writer")
    with sl.Client(two.url) as client:
        entities = [{"card_id": "w1"}, {"card_id": "w2"}]
        found = client.get_online_features(["Newest:amount"], entities)
    assert found.values == [[1.0], [2.0]]


def test_all_workers_see_a_push_and_know_a_job(two: Running) -> None:
    row = {"driver": 1, "code": b"\x01", "km": 4.0, "at": datetime.now(UTC)}
    with sl.Client(two.url, connections=1, timeout=30) as client:
        client.push("trips", [row])
        job = client.materialize(["Trip"])
    for _ in range(20):  # a new connection each time: any worker may take it
        with sl.Client(two.url) as client:
            keys = [{"driver": 1, "code": b"\x01"}]
            assert client.get_online_features(["Trip:km"], keys).values == [[4.0]]
            assert client.job(job["job"])["status"] == "done"


def test_an_apply_is_served_within_seconds(two: Running, repo: Path) -> None:
    text = (repo / "features.py").read_text()
    (repo / "features.py").write_text(text + '\nlater = sl.FeatureService("later", [Trip])\n')
    with sl.FeatureStore(repo) as store:
        store.apply(store.plan())
    with sl.Client(two.url) as client:
        wait_for(lambda: {"later"} <= {s["name"] for s in client.listed("services")}, "the service")


# ----------------------------------------------------------------------------------- overload


def test_too_many_requests_at_once_are_refused(repo: Path, tmp_path: Path) -> None:
    with serving(repo, tmp_path, "--max-requests", "5") as server, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connected(server)) for _ in range(5)]
        push = HEAD.replace(b"/v1/features", b"/v1/push") + b"content-length: 10\r\n\r\n12345"
        for connection in waiting:
            connection.sendall(push)

        def refused() -> bool:
            status, headers, body = get(server, "/v1/views")
            if status != 503:
                return False
            assert headers["retry-after"] == "1"
            assert json.loads(body)["error"] == "Overloaded"
            return True

        wait_for(refused, "a refusal")
        assert get(server, "/health")[0] == 200
        for connection in waiting:
            connection.sendall(b"67890")
            assert answer(connection)[0] == 422
        assert get(server, "/v1/views")[0] == 200


def test_a_flood_is_answered_or_refused_and_leaves_no_trace(two: Running) -> None:
    statuses: list[int] = []

    def work() -> None:
        with connected(two) as connection:
            for _ in range(50):
                connection.sendall(WHOLE)
                statuses.append(answer(connection)[0])

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 2_000
    assert set(statuses) <= {200, 503}
    assert ask(two)[0] == 200


# -------------------------------------------------------------------------- stores far away


@pytest.fixture
def far(tmp_path: Path, filled_shop: Path) -> Iterator[tuple[Running, Callable[[int], None]]]:
    """A server whose online store is Redis, and a way to send the Redis server a signal."""
    folder = tmp_path / "far"
    folder.mkdir()
    (folder / "features.py").write_text((filled_shop / "features.py").read_text())
    with running_server("redis") as redis:
        settings = f'[online]\nkind = "redis"\nurl = "{redis.url}"\ntimeout = 1.0\n'
        (folder / "skewless.toml").write_text(settings)
        with sl.FeatureStore(folder) as store:
            store.apply(store.plan())
            row = {
                "payment_id": "r",
                "card_id": "c1",
                "amount": 2.5,
                "paid_at": "2026-01-01T00:00:00Z",
            }
            store.push("payments", [row], backdate=True)
        with serving(folder, tmp_path, "--timeout", "1") as server:
            yield server, lambda number: redis.processes[0].send_signal(number)


@pytest.mark.server("redis")
def test_a_store_that_hangs_is_503_with_a_reason_and_recovers(
    far: tuple[Running, Callable[[int], None]],
) -> None:
    server, signal_redis = far
    assert ask(server)[0] == 200
    signal_redis(signal.SIGSTOP)
    try:
        status, headers, body = ask(server)
        assert (status, headers["retry-after"]) == (503, "1"), body
        assert json.loads(body)["error"] == "StoreUnavailable"
        waited = []
        for _ in range(20):
            began = time.monotonic()
            assert ask(server)[0] == 503
            waited.append(time.monotonic() - began)
        assert min(waited) < 1.0, "nobody waits again for a store known to be away"
        status, _, body = get(server, "/ready")
        assert status == 503
        assert json.loads(body)["reasons"]
        assert get(server, "/health")[0] == 200
        row = {"payment_id": "p9", "card_id": "c1", "paid_at": datetime.now(UTC).isoformat()}
        pushed = json.dumps({"source": "payments", "rows": [row]}).encode()
        head = HEAD.replace(b"/v1/features", b"/v1/push") + b"content-length: %d\r\n\r\n"
        status, _, body = ask(server, head % len(pushed) + pushed)
        told = json.loads(body)
        # By the store's own patience, not the 30 s that a push may take.
        assert (status, told["error"]) == (503, "StoreUnavailable"), told
        assert "took too long" not in told["what"]
    finally:
        signal_redis(signal.SIGCONT)
    wait_for(lambda: ask(server)[0] == 200, "the store to be back")
    assert json.loads(ask(server)[2])["values"] == {"amount": [2.5]}
    assert get(server, "/ready")[0] == 200
    assert [e["up"] for e in server.events() if e["event"] == "store"][-1] is True


@pytest.mark.server("redis")
def test_a_store_that_dies_is_503_and_never_a_vector_of_nulls(
    far: tuple[Running, Callable[[int], None]],
) -> None:
    server, signal_redis = far
    statuses: set[int] = set()
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            status, _, body = ask(server)
            statuses.add(status)
            if status == 200:
                assert json.loads(body)["values"] == {"amount": [2.5]}

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    signal_redis(signal.SIGKILL)
    wait_for(lambda: 503 in statuses, "an error")
    done.set()
    for thread in threads:
        thread.join()
    assert statuses <= {200, 503}


# ------------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--host", "0.0.0.0"], "other machines"),
        (["--host", "no.such.host.invalid", "--anonymous"], "cannot listen"),
        (["--tls-cert", "features.py"], "TLS needs both"),
        (["--tls-cert", "features.py", "--tls-key", "features.py"], "cannot be used"),
        (["--max-body", "much"], "not a number of bytes"),
        (["--workers", "0"], "workers"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_served(
    repo: Path, options: list[str], part: str
) -> None:
    from click.testing import CliRunner

    from skewless.cli.main import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repo)
        result = CliRunner().invoke(main, ["serve", "--port", "0", *options])
    assert result.exit_code == 2
    assert part in result.output + result.stderr


def test_traces_logs_of_requests_and_the_served_log_can_be_switched_on(
    repo: Path, tmp_path: Path
) -> None:
    options = ["--traces", "--log", "requests", "--served-log", "1", "--workers", "2"]
    with serving(repo, tmp_path, *options) as server:
        assert ask(server)[0] == 200
        assert get(server, "/health")[0] == 200
    told = [(e["path"], e["status"]) for e in server.events() if e["event"] == "request"]
    assert {("/v1/features", 200), ("/health", 200)} <= set(told)
    logged = list(served_log.read(repo / ".skewless" / "served"))
    assert [line["entity"] for line in logged] == [{"card_id": "c1"}]


def test_a_port_that_is_taken_is_said_so(repo: Path) -> None:
    from click.testing import CliRunner

    from skewless.cli.main import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(main, ["serve", "--repo", str(repo), "--port", port])
    assert result.exit_code == 2
    assert "cannot listen" in result.stderr
