"""The stores on Cassandra and on MongoDB's protocol pass the suite on real servers."""

import functools
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymongo
import pytest

from skewless.errors import StoreError, StoreUnavailable
from skewless.stores.online.base import OnlineStore
from skewless.stores.online.cassandra.store import CassandraStore
from skewless.stores.online.mongodb.store import MongoDBStore
from skewless.testing.online_store import OnlineStoreSuite
from skewless.testing.servers import Server, running

KEYSPACE = (
    "CREATE KEYSPACE IF NOT EXISTS {} WITH replication ="
    " {{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}}"
)


def execute(url: str, *statements: str) -> list[Any]:
    """Say something to Cassandra; the rows of the last answer."""
    from cassandra.cluster import Cluster

    host, port = url.split(":")
    cluster = Cluster([host], port=int(port), connect_timeout=60)
    try:
        session = cluster.connect()
        return [list(session.execute(each, timeout=120)) for each in statements][-1]
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def cassandra() -> Iterator[Server]:
    with running("cassandra") as server:
        execute(server.url, KEYSPACE.format("tests"))
        yield server


@pytest.fixture(scope="module")
def ferretdb() -> Iterator[Server]:
    with running("ferretdb") as server:
        yield server


@pytest.mark.server("cassandra")
class TestCassandraStore(OnlineStoreSuite):
    @pytest.fixture
    def open_store(self, cassandra: Server) -> Callable[[], OnlineStore]:
        return functools.partial(
            CassandraStore,
            cassandra.url,
            "tests",
            name=f"s_{uuid.uuid4().hex[:12]}",
            datacenter="datacenter1",
            timeout=60,
        )


class OnFerretDB(MongoDBStore):
    """The store without its refusal."""

    def _prepare(self) -> object:
        return self._rows.database.command("ping")


@pytest.mark.server("ferretdb")
class TestMongoDBStoreOnFerretDB(OnlineStoreSuite):
    """All of the suite but for writers at once, of whom FerretDB loses some."""

    many = 2_000  # it writes some hundred a second
    test_threads_that_count_at_once_lose_nothing = None
    test_processes_that_count_at_once_lose_nothing = None

    @pytest.fixture
    def open_store(self, ferretdb: Server) -> Callable[[], OnlineStore]:
        name = f"s_{uuid.uuid4().hex[:12]}"
        return functools.partial(OnFerretDB, ferretdb.url, collection=name, timeout=300)


@pytest.mark.server("ferretdb")
def test_ferretdb_is_refused_because_it_loses_writes(ferretdb: Server) -> None:
    with pytest.raises(StoreError, match="does not change a document as one.*FerretDB v1"):
        MongoDBStore(ferretdb.url)


@pytest.mark.server("ferretdb")
def test_writers_at_once_on_ferretdb_lose_writes(ferretdb: Server) -> None:
    """Why it is refused; should this fail one day, it need not be."""
    client = pymongo.MongoClient(ferretdb.url)
    rows = client["tests"]["counts"]
    rows.insert_one({"_id": "n", "v": 0})

    def count(_: int) -> int:
        done = 0
        for _ in range(100):
            was = rows.find_one({"_id": "n"})["v"]
            done += rows.update_one({"_id": "n", "v": was}, {"$set": {"v": was + 1}}).matched_count
        return done

    with ThreadPoolExecutor(8) as threads:
        claimed = sum(threads.map(count, range(8)))
    assert rows.find_one({"_id": "n"})["v"] < claimed
    client.close()


@pytest.mark.server("cassandra")
def test_a_keyspace_that_is_not_there_is_an_error(cassandra: Server) -> None:
    with pytest.raises(StoreError, match="keyspace must be there already"):
        CassandraStore(cassandra.url, "nowhere", timeout=60)


@pytest.mark.server("cassandra")
def test_an_outage_of_cassandra_is_an_error_and_what_was_written_is_there_afterwards() -> None:
    """After an orderly stop: a node that is killed loses what its log has not flushed yet."""
    with running("cassandra") as server:
        execute(server.url, KEYSPACE.format("tests"))
        with CassandraStore(server.url, "tests", timeout=60) as store:
            store.write("rows", [(b"a", b"1")])
            server.processes[0].terminate()
            server.processes[0].wait(60)
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                store.write("rows", [(b"b", b"2")])
        server.processes[0] = server.starts[0]()
        deadline = time.monotonic() + 120
        while True:
            try:
                again = CassandraStore(server.url, "tests", timeout=60)
                break
            except StoreUnavailable:
                assert time.monotonic() < deadline
        with again:
            assert again.read("rows", [b"a"]) == [b"1"]
