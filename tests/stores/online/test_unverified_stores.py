"""What the stores on Cassandra and MongoDB do without a server.

Nothing here stands for a server: keys, statements and errors are checked with the drivers' own
classes, and outages with real sockets that refuse, or say nothing.
"""

import contextlib
import socket
import traceback
from collections.abc import Iterator

import bson
import cassandra
import pytest
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from hypothesis import given
from hypothesis import strategies as st
from pymongo import errors as mongo

from skewless.errors import InputError, StoreError, StoreUnavailable
from skewless.stores.online.base import OnlineStore
from skewless.stores.online.cassandra import client as cql
from skewless.stores.online.cassandra.store import CassandraStore
from skewless.stores.online.mongodb import client as mongodb
from skewless.stores.online.mongodb.store import MongoDBStore
from skewless.testing.servers import free_port

SECRET = "the-secret-of-the-tests"
KEYS = st.binary(max_size=6)


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def open_mongodb(port: int) -> OnlineStore:
    return MongoDBStore(f"mongodb://user:{SECRET}@127.0.0.1:{port}/?tls=false", timeout=0.3)


def open_cassandra(port: int) -> OnlineStore:
    return CassandraStore(
        f"127.0.0.1:{port}", "features", username="user", password=SECRET, timeout=0.3
    )


@pytest.mark.parametrize("open_store", [open_mongodb, open_cassandra])
def test_a_server_that_is_not_there_is_unavailable(open_store: object) -> None:
    port = free_port()
    with pytest.raises(StoreUnavailable, match=f"cannot be reached.*127.0.0.1:{port}") as caught:
        open_store(port)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("open_store", [open_mongodb, open_cassandra])
def test_a_server_that_says_nothing_is_unavailable(open_store: object) -> None:
    with (
        silent_server() as port,
        pytest.raises(StoreUnavailable, match=f"cannot be reached.*127.0.0.1:{port}"),
    ):
        open_store(port)


def test_what_no_server_has_verified_is_declared() -> None:
    assert not MongoDBStore.capabilities.verified
    assert not MongoDBStore.capabilities.atomic_batch
    assert not CassandraStore.capabilities.atomic_batch


# ------------------------------------------------------------------------------------- MongoDB


@given(keys=st.lists(KEYS, min_size=2))
def test_ids_of_mongodb_sort_as_keys_do_and_lead_back_to_them(keys: list[bytes]) -> None:
    ids = [mongodb.id_of("a:b", key) for key in keys]
    assert [mongodb.key_of("a:b", identity) for identity in ids] == keys
    # MongoDB compares texts by the bytes of their UTF-8.
    by_id = sorted(ids, key=lambda identity: identity.encode())
    assert [mongodb.key_of("a:b", identity) for identity in by_id] == sorted(keys)


def test_ids_of_mongodb_tell_tables_apart() -> None:
    names = ["a", "a:b", "a%3Ab", "ä", "$", "system.x"]
    assert len({mongodb.id_of(name, b":b") for name in names}) == len(names)


@given(start=KEYS, end=KEYS, key=KEYS)
def test_a_range_of_mongodb_holds_the_keys_between(start: bytes, end: bytes, key: bytes) -> None:
    bounds = mongodb.between(start, end, inclusive=True)["_id"]
    identity = key.decode("latin-1")
    inside = bounds["$gte"].encode() <= identity.encode() < bounds["$lt"].encode()
    assert inside == (start <= key < end)


def test_every_byte_of_key_and_value_survives_bson() -> None:
    every = bytes(range(256))
    (change,) = mongodb.replacements("rows", [(every, every)])
    row = bson.decode(bson.encode(change._doc))
    assert (mongodb.key_of("rows", row["_id"]), row["v"]) == (every, every)
    assert change._upsert


def test_the_longest_row_of_mongodb_is_a_document_and_a_longer_one_is_refused() -> None:
    longest = MongoDBStore.capabilities.max_value_bytes
    assert longest is not None
    mongodb.check_size("rows", b"\xff" * 100, b"x" * longest, "here")
    (change,) = mongodb.replacements("rows", [(b"\xff" * 100, b"x" * longest)])
    assert len(bson.encode(change._doc)) <= mongodb.MAX_DOCUMENT_BYTES
    with pytest.raises(StoreError, match=r"too large for MongoDB.*16,777,216"):
        mongodb.check_size("rows", b"", b"x" * (16 << 20), "here")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (mongo.AutoReconnect("gone"), StoreUnavailable, "cannot be reached"),
        (mongo.NetworkTimeout("slow"), StoreUnavailable, "may or may not have happened"),
        (mongo.NotPrimaryError("stepped down"), StoreUnavailable, "cannot be reached"),
        (mongo.WaitQueueTimeoutError("busy"), StoreUnavailable, "cannot be reached"),
        (mongo.ExecutionTimeout("slow", 50), StoreUnavailable, "cannot be reached"),
        (mongo.WTimeoutError("alone", 64), StoreUnavailable, "may or may not have happened"),
        (mongo.BulkWriteError({"writeConcernErrors": [{}]}), StoreUnavailable, "cannot be reached"),
        (mongo.OperationFailure("no", 18), StoreError, "refuses this user"),
        (mongo.OperationFailure("no", 13), StoreError, "refuses this user"),
        (mongo.ConfigurationError("too old"), StoreError, "server's version"),
        (mongo.OperationFailure("no such command", 59), StoreError, "refused a command"),
    ],
)
def test_errors_of_mongodb_say_what_they_mean(
    error: Exception, kind: type[StoreError], says: str
) -> None:
    told = mongodb.store_error(error, "mongodb://host", wrote=True)
    assert type(told) is kind
    assert says in str(told)


def test_an_insert_that_another_won_may_be_repeated() -> None:
    lost = {"writeErrors": [{"code": 11000}]}
    assert mongodb.lost_a_race(mongo.BulkWriteError(lost))
    assert mongodb.lost_a_race(mongo.DuplicateKeyError("twice", 11000))
    failed = {"writeErrors": [{"code": 11000}, {"code": 10334}]}
    assert not mongodb.lost_a_race(mongo.BulkWriteError(failed))
    assert not mongodb.lost_a_race(mongo.AutoReconnect("gone"))


@pytest.mark.parametrize(
    "url", [f"mongodb://user:{SECRET}@host:port/", f"http://user:{SECRET}@host", SECRET]
)
def test_an_address_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        MongoDBStore(url, timeout=0.3)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown


# ----------------------------------------------------------------------------------- Cassandra


def test_every_value_of_a_statement_is_bound_and_no_name_is_free() -> None:
    texts = cql.statements("features", "online")
    row = cql.values_of("rows", b"k", b"v")
    for change in [(b"k", None, b"2"), (b"k", b"1", b"2"), (b"k", b"1", None), (b"k", None, None)]:
        name, values = cql.conditional("rows", change)
        assert texts[name].count("?") == len(values)
    assert texts["write"].count("?") == len(row)
    assert texts["read"].count("?") == texts["delete"].count("?") == 2
    for keyspace, name in [("a; DROP", "online"), ("features", "x.y"), ("Features", "online")]:
        with pytest.raises(InputError, match="cannot have this name"):
            cql.statements(keyspace, name)


@pytest.mark.parametrize("host", ["", "user:pw@host", "host:port", "a/b", "[::1"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="is not one"):
        CassandraStore(["10.0.0.1", host], "features")


@pytest.mark.parametrize(
    ("change", "name", "values"),
    [
        ((b"k", None, b"2"), "insert_if_none", ("rows", b"k", None, b"2")),
        ((b"k", b"1", b"2"), "update_if_same", (b"2", "rows", b"k", b"1")),
        ((b"k", b"1", None), "delete_if_same", ("rows", b"k", b"1")),
        ((b"k", None, None), "read", ("rows", b"k")),
        ((b"k", b"", b""), "update_if_same", (b"", "rows", b"k", b"")),
    ],
)
def test_a_change_becomes_the_conditional_statement_for_it(
    change: tuple[bytes, bytes | None, bytes | None], name: str, values: tuple[object, ...]
) -> None:
    assert cql.conditional("rows", change) == (name, values)


def test_a_key_of_cassandra_never_exceeds_what_a_partition_takes() -> None:
    long = b"\xff" * 100_000
    table, stored = cql.row_of("ä" * 127, long)
    assert len(table.encode()) + len(stored) < 65_535
    assert cql.values_of("rows", long, b"v") == ("rows", stored, long, b"v")
    with pytest.raises(StoreError, match=r"too large for Cassandra.*15,728,640"):
        cql.check_size("rows", b"", b"x" * (16 << 20), "here")


REFUSED = cassandra.AuthenticationFailed("bad credentials")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (NoHostAvailable("none", {"h": ConnectionShutdown("x")}), StoreUnavailable, "be reached"),
        (ConnectionShutdown("gone"), StoreUnavailable, "may or may not have happened"),
        (cassandra.OperationTimedOut(), StoreUnavailable, "may or may not have happened"),
        (
            cassandra.WriteTimeout("slow", write_type=0),
            StoreUnavailable,
            "may or may not have happened",
        ),
        (cassandra.ReadTimeout("slow"), StoreUnavailable, "cannot be reached"),
        (cassandra.Unavailable("alone"), StoreUnavailable, "cannot be reached"),
        (cassandra.WriteFailure("failed", write_type=0), StoreUnavailable, "cannot be reached"),
        (NoHostAvailable("none", {"h": REFUSED}), StoreError, "refuses this user"),
        (cassandra.Unauthorized("no"), StoreError, "refuses this user"),
        (cassandra.InvalidRequest("Keyspace 'f' does not exist"), StoreError, "keyspace must be"),
    ],
)
def test_errors_of_cassandra_say_what_they_mean(
    error: Exception, kind: type[StoreError], says: str
) -> None:
    told = cql.store_error(error, "cassandra://host", wrote=True)
    assert type(told) is kind
    assert says in str(told)


def test_a_read_is_not_repeated_for_a_user_that_is_refused() -> None:
    assert cql.is_passing(cassandra.OperationTimedOut())
    assert not cql.is_passing(NoHostAvailable("none", {"h": REFUSED}))
    assert not cql.is_passing(cassandra.InvalidRequest("no"))
