"""Connections that break, servers that are slow, restart or fail over: errors, never made-up nulls.

A proxy stands between the store and a real server. Whatever happens on the way, a read returns the
value that was written or raises `StoreUnavailable`, and works again by itself when the server does.
"""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import pytest

from skewless.errors import StoreUnavailable
from skewless.stores.online import remote
from skewless.stores.online.base import OnlineStore
from skewless.stores.online.dynamodb.store import DynamoDBStore
from skewless.stores.online.postgres.store import PostgresStore
from skewless.stores.online.redis.store import RedisStore
from skewless.testing.proxy import Proxy
from skewless.testing.servers import Server, redis_command, running
from tests.stores.online.verbs import every_verb

T = TypeVar("T")

TIMEOUT_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
LARGE = bytes(range(256)) * 1024
ROWS = [(b"a", b"of a"), (b"b", b"of b"), (b"large", LARGE)]
KEYS = [key for key, _ in ROWS]
VALUES = [value for _, value in ROWS]
Open = Callable[[str, float], OnlineStore]
STORES: dict[str, tuple[float, Open]] = {
    "redis": (1.0, lambda url, timeout: RedisStore(url, timeout=timeout)),
    "postgres": (1.0, lambda url, timeout: PostgresStore(url, timeout=timeout)),
    "dynamodb": (2.0, lambda url, timeout: DynamoDBStore("faults", endpoint=url, timeout=timeout)),
}
"""How each is opened, and how many seconds it waits for an answer."""


@dataclass
class Faulty:
    """A store, the proxy between it and its server, and how long it waits for an answer."""

    store: OnlineStore
    proxy: Proxy
    server: Server
    timeout: float


@pytest.fixture(scope="module", autouse=True)
def credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("AWS_PROFILE", raising=False)
        environment.setenv("AWS_ACCESS_KEY_ID", "tests")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.server(name)) for name in STORES]
)
def server(request: pytest.FixtureRequest, credentials: None) -> Iterator[Server]:
    _, open_store = STORES[request.param]
    with running(request.param) as server:
        with open_store(server.url, PATIENCE_SECONDS) as patient:  # first calls may be slow
            patient.write("rows", ROWS)
            assert patient.read("rows", KEYS) == VALUES
        yield server


@pytest.fixture
def faulty(server: Server) -> Iterator[Faulty]:
    port = port_of(server.url)
    with Proxy(port) as proxy:
        url = server.url.replace(f":{port}", f":{proxy.port}")
        timeout, open_store = STORES[server.name]
        with open_store(url, timeout) as store:
            store.drop("rows")
            store.write("rows", ROWS)
            yield Faulty(store, proxy, server, timeout)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def eventually(call: Callable[[], T]) -> T:
    """Return the first answer of a call that is unavailable for a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise


def test_a_read_after_dropped_connections_finds_every_row(faulty: Faulty) -> None:
    for _ in range(3):
        faulty.proxy.drop()
        assert faulty.store.read("rows", KEYS) == VALUES
        faulty.proxy.drop()
        assert list(faulty.store.scan("rows")) == ROWS


def test_a_write_on_a_dropped_connection_happens_or_says_that_it_may_not_have(
    faulty: Faulty,
) -> None:
    acknowledged = b"of a"
    for number in range(5):
        faulty.proxy.drop()
        new = b"%d" % number
        try:
            faulty.store.write("rows", [(b"a", new)])
        except StoreUnavailable:
            assert faulty.store.read_one("rows", b"a") in {acknowledged, new}
            faulty.store.write("rows", [(b"a", new)])
        acknowledged = new
        assert faulty.store.read_one("rows", b"a") == acknowledged


@pytest.mark.slow
def test_slow_answers_are_an_error_and_none_is_taken_for_that_of_a_later_call(
    faulty: Faulty,
) -> None:
    faulty.proxy.delay = 3 * faulty.timeout
    with pytest.raises(StoreUnavailable):
        faulty.store.read_one("rows", b"a")
    with pytest.raises(StoreUnavailable):
        faulty.store.write("rows", [(b"b", b"of b")])
    faulty.proxy.delay = 0.0
    for key, value in [*ROWS, *ROWS]:
        assert faulty.store.read_one("rows", key) == value


@pytest.mark.parametrize("count", [0, 1, 30, 120, 5_000, 100_000])
def test_an_answer_that_is_cut_short_is_no_answer(faulty: Faulty, count: int) -> None:
    faulty.proxy.cut_answers_after(count)
    with pytest.raises(StoreUnavailable):
        faulty.store.read("rows", KEYS)
    faulty.proxy.cut_answers_after(count)
    with pytest.raises(StoreUnavailable):
        faulty.store.read_one("rows", b"large")
    faulty.proxy.cut_answers_after(None)
    assert faulty.store.read("rows", KEYS) == VALUES


@pytest.mark.parametrize("count", [0, 1])
def test_a_change_whose_answer_is_lost_says_so_and_is_whole_or_not_there(
    faulty: Faulty, count: int
) -> None:
    faulty.proxy.cut_answers_after(count)
    with pytest.raises(StoreUnavailable):
        faulty.store.write("rows", [(b"a", b"new"), (b"b", b"new")])
    faulty.proxy.cut_answers_after(None)
    after = faulty.store.read("rows", [b"a", b"b"])
    assert after in ([b"of a", b"of b"], [b"new", b"new"])
    faulty.store.write("rows", ROWS)
    faulty.proxy.cut_answers_after(count)
    with pytest.raises(StoreUnavailable):
        faulty.store.compare_and_set("rows", [(b"a", b"of a", b"newer")])
    faulty.proxy.cut_answers_after(None)
    assert faulty.store.read_one("rows", b"a") in {b"of a", b"newer"}


def test_every_verb_says_that_the_server_is_gone_and_works_when_it_is_back(faulty: Faulty) -> None:
    faulty.proxy.refuse()
    for verb in every_verb(faulty.store):
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            verb()
    faulty.proxy.forward_to(port_of(faulty.server.url))
    assert faulty.store.read("rows", KEYS) == VALUES
    faulty.store.write("rows", [(b"a", b"again")])
    assert faulty.store.read_one("rows", b"a") == b"again"


@pytest.mark.server("redis")
def test_a_redis_that_comes_back_empty_has_no_rows_and_takes_new_ones() -> None:
    with running("redis") as server, RedisStore(server.url, timeout=TIMEOUT_SECONDS) as store:
        store.write("rows", ROWS)
        server.restart()
        assert eventually(lambda: store.read("rows", KEYS)) == [None, None, None]
        assert store.tables() == []
        store.write("rows", ROWS)
        assert store.read("rows", KEYS) == VALUES


@pytest.mark.server("valkey")
def test_a_durable_valkey_that_is_killed_comes_back_with_every_acknowledged_row() -> None:
    with running("valkey") as server, RedisStore(server.url, timeout=TIMEOUT_SECONDS) as store:
        assert store.capabilities.durable
        assert_nothing_acknowledged_is_lost(server, store, signal.SIGKILL)


@pytest.mark.server("postgres")
def test_a_postgres_that_is_killed_comes_back_with_every_acknowledged_row() -> None:
    with running("postgres") as server, PostgresStore(server.url) as store:
        assert store.capabilities.durable
        # SIGQUIT: every process of PostgreSQL ends at once and it recovers from its log.
        assert_nothing_acknowledged_is_lost(server, store, signal.SIGQUIT)


def assert_nothing_acknowledged_is_lost(
    server: Server, store: OnlineStore, how: signal.Signals
) -> None:
    for round_number in range(2):
        rows = [(b"%d" % number, os.urandom(100)) for number in range(500)]
        for row in rows[:100]:
            store.write("rows", [row])
        store.write("rows", rows[100:])
        server.restart(how=how)
        keys = [key for key, _ in rows]
        found = eventually(functools.partial(store.read, "rows", keys))
        assert found == [value for _, value in rows], f"round {round_number}"


@pytest.mark.slow
@pytest.mark.server("redis-cluster-replica")
def test_a_replica_of_a_redis_cluster_takes_over_from_a_killed_master() -> None:
    rows = [(b"%d" % number, b"value %d" % number) for number in range(300)]
    keys, values = [key for key, _ in rows], [value for _, value in rows]
    with running("redis-cluster-replica") as server:
        store = RedisStore(server.url, timeout=TIMEOUT_SECONDS)
        store.write("rows", rows)
        master, replica = (ports_of(server)[number] for number in (2, 3))
        while offset(master, b"master_repl_offset") != offset(replica, b"slave_repl_offset"):
            pass
        server.processes[2].kill()
        server.processes[2].wait()
        assert eventually(lambda: store.read("rows", keys)) == values
        eventually(lambda: store.write("rows", [(key, b"after") for key in keys]))
        assert eventually(lambda: store.read("rows", keys)) == [b"after"] * len(keys)
        assert [key for key, _ in eventually(lambda: list(store.scan("rows")))] == sorted(keys)
        store.close()


def ports_of(server: Server) -> list[int]:
    arguments = [process.args for process in server.processes]
    return [int(each[each.index("--port") + 1]) for each in arguments if isinstance(each, list)]


def offset(port: int, name: bytes) -> int:
    lines = redis_command(port, "INFO", "replication").splitlines()
    return next(int(line.split(b":")[1]) for line in lines if line.startswith(name + b":"))


@pytest.mark.slow
@pytest.mark.server("dynamodb")
def test_no_cut_makes_an_answer_of_dynamodb_one_that_says_no_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running("dynamodb") as server, Proxy(port_of(server.url)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        store = DynamoDBStore("faults", endpoint=url, timeout=PATIENCE_SECONDS)
        store.write("rows", ROWS)
        monkeypatch.setattr(remote, "ATTEMPTS", 1)
        found: set[bytes | None] = set()
        for count in range(0, 420, 7):
            proxy.cut_answers_after(count)
            with contextlib.suppress(StoreUnavailable):
                found.add(store.read_one("rows", b"a"))
        assert found == {b"of a"}
        store.close()
