"""Online stores on real servers pass the suite; an outage is never a missing row."""

import functools
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from skewless.errors import Conflict, InputError, StoreError, StoreUnavailable
from skewless.stores.online.base import OnlineStore
from skewless.stores.online.postgres.store import PostgresStore
from skewless.stores.online.redis.store import RedisStore
from skewless.testing.online_store import OnlineStoreSuite
from skewless.testing.servers import PASSWORD, Server, free_port, running
from tests.stores.online.verbs import assert_unavailable


@pytest.fixture(scope="class")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.cls.server_name) as server:
        yield server


@pytest.mark.server("postgres")
class TestPostgresStore(OnlineStoreSuite):
    server_name = "postgres"

    @pytest.fixture
    def open_store(self, server: Server) -> Callable[[], OnlineStore]:
        return functools.partial(PostgresStore, server.url, name=f"s_{uuid.uuid4().hex}")

    def test_it_declares_what_this_server_can_do(self, store: OnlineStore) -> None:
        assert store.capabilities.durable

    def test_long_keys_of_any_bytes_are_told_apart(self, store: OnlineStore) -> None:
        keys = [random.Random(length).randbytes(length) for length in range(990, 9_000, 501)]
        keys += [key[:1000] + ending for key in keys[1:] for ending in (b"", b"\0", b"\xff")]
        store.write("rows", [(key, key[-3:]) for key in keys])
        assert store.read("rows", keys) == [key[-3:] for key in keys]
        assert [key for key, _ in store.scan("rows")] == sorted(keys)
        store.delete("rows", keys[1:])
        assert list(store.scan("rows")) == [(keys[0], keys[0][-3:])]

    def test_writes_that_cross_do_not_fail(self, store: OnlineStore) -> None:
        rows = [(b"%d" % number, b"x") for number in range(200)]

        def write_and_delete(seed: int) -> None:
            shuffled = random.Random(seed).sample(rows, len(rows))
            for _ in range(10):
                store.write("rows", shuffled)
                store.delete("rows", [key for key, _ in shuffled[::2]])

        with ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(write_and_delete, seed) for seed in range(4)]:
                done.result()
        assert len(store.read("rows", [b"1"])) == 1

    def test_another_programs_table_is_refused(self, server: Server) -> None:
        with psycopg.connect(server.url, autocommit=True) as foreign:
            foreign.execute("CREATE TABLE foreign_rows (key bytea)")
        with pytest.raises(StoreError, match="not written by this version of skewless"):
            PostgresStore(server.url, name="foreign")

    def test_a_name_that_is_no_name_is_refused(self, server: Server) -> None:
        with pytest.raises(InputError, match="cannot have this name"):
            PostgresStore(server.url, name="rows; DROP TABLE rows")


@pytest.mark.server("postgres")
def test_an_outage_of_postgres_is_an_error_and_it_comes_back() -> None:
    with running("postgres") as server, PostgresStore(server.url, timeout=5) as store:
        store.write("rows", [(b"a", b"1")])
        with psycopg.connect(server.url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'skewless'"
            )
        assert store.read("rows", [b"a"]) == [b"1"]
        with psycopg.connect(server.url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'skewless'"
            )
        store.write("rows", [(b"a", b"2")])
        server.processes[0].send_signal(signal.SIGINT)
        server.processes[0].wait()
        assert_unavailable(store, PASSWORD)


@pytest.mark.server("postgres")
def test_a_writer_that_waits_too_long_is_told_of_the_other() -> None:
    with running("postgres") as server, PostgresStore(server.url, timeout=2) as store:
        with PostgresStore(server.url) as other, other.transaction() as rows:
            rows.write("rows", [(b"a", b"1")])
            with pytest.raises(Conflict, match="another writer"):
                store.write("rows", [(b"a", b"2")])
        assert store.read_one("rows", b"a") == b"1"
        with pytest.raises(StoreError, match="refuses this user"):
            PostgresStore(server.url.replace(":of", ":not"))


def test_an_address_that_is_none_is_not_repeated() -> None:
    for address in ("postgresql://user:secret@[host", "secret", "host=x password"):
        with pytest.raises(StoreError, match="is not one") as caught:
            PostgresStore(address)
        assert "secret" not in str(caught.value)
    with pytest.raises(StoreError, match="is not one"):
        RedisStore("http://user:secret@host")


@pytest.mark.parametrize(
    ("driver", "module", "extra"),
    [("redis", "redis", "redis"), ("psycopg", "postgres", "postgres")],
)
def test_a_missing_driver_says_how_to_install_it(driver: str, module: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{driver!r}] = None\nimport skewless.stores.online.{module}.store"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"pip install 'skewless[{extra}]'" in ran.stderr


class RedisSuite(OnlineStoreSuite):
    server_name: str

    @pytest.fixture
    def open_store(self, server: Server) -> Callable[[], OnlineStore]:
        return functools.partial(RedisStore, server.url, namespace=uuid.uuid4().hex)


@pytest.mark.server("redis")
class TestRedisStore(RedisSuite):
    server_name = "redis"

    def test_it_declares_what_this_server_can_do(self, store: OnlineStore) -> None:
        assert store.capabilities.atomic_batch
        assert not store.capabilities.durable

    def test_namespaces_keep_stores_apart(self, server: Server, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1")])
        with RedisStore(server.url, namespace="another") as other:
            assert other.read_one("rows", b"a") is None
            assert other.tables() == []


@pytest.mark.server("valkey")
class TestRedisStoreOnValkey(RedisSuite):
    server_name = "valkey"

    def test_an_append_only_file_that_is_always_flushed_makes_it_durable(
        self, store: OnlineStore
    ) -> None:
        assert store.capabilities.durable


@pytest.mark.server("redis-sentinel")
class TestRedisStoreBehindSentinel(RedisSuite):
    server_name = "redis-sentinel"


@pytest.mark.server("redis-cluster")
class TestRedisStoreOnACluster(RedisSuite):
    server_name = "redis-cluster"

    def test_it_does_not_declare_what_a_cluster_cannot_do(self, store: OnlineStore) -> None:
        assert not store.capabilities.atomic_batch
        assert not store.capabilities.together
        with pytest.raises(StoreError, match="nodes of a cluster"):
            store.change_together([])


@pytest.mark.server("redis")
def test_an_outage_of_redis_is_an_error_and_ends() -> None:
    with running("redis") as server, RedisStore(server.url, timeout=1) as store:
        store.write("rows", [(b"a", b"1")])
        server.processes[0].kill()
        server.processes[0].wait()
        assert_unavailable(store, PASSWORD)


def test_a_redis_that_is_not_there_is_named_without_its_password() -> None:
    port = free_port()
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}") as caught:
        RedisStore(f"redis://user:secret@127.0.0.1:{port}/3?password=secret", timeout=0.5)
    assert "secret" not in str(caught.value)


@pytest.mark.server("redis")
def test_a_wrong_password_is_an_error_that_does_not_repeat_it() -> None:
    with running("redis") as server:
        url = server.url.replace(":of", ":not")
        with pytest.raises(StoreError, match="refuses this user") as caught:
            RedisStore(url)
        assert "not" not in str(caught.value.where)
