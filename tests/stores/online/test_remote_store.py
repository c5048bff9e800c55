"""What `RemoteStore` does for every store behind a network driver, over a driver of a few lines."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from skewless.errors import InputError, StoreError, StoreUnavailable
from skewless.stores.online import remote
from skewless.stores.online.base import Capabilities, Change, Item
from skewless.stores.online.bigtable.store import BigtableStore
from skewless.stores.online.cassandra.store import CassandraStore
from skewless.stores.online.dynamodb.store import DynamoDBStore
from skewless.stores.online.mongodb.store import MongoDBStore
from skewless.stores.online.remote import ATTEMPTS, Driver, RemoteStore, too_large

LONGEST = 10


class DriverError(Exception):
    """What the driver raises; its text says what it means."""


def store_error(error: DriverError, where: str, *, wrote: bool) -> StoreError:
    return StoreUnavailable("lost", got=str(error), where=where, hint=f"wrote={wrote}")


def check_size(table: str, key: bytes, value: bytes, where: str) -> None:
    if len(value) > LONGEST:
        raise too_large("Memory", (table, key), got="more", most="10 bytes", where=where)


class Client:
    """A server in memory, whose calls fail with the errors of a list before they do anything."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.noted: dict[str, bool] = {}
        self.errors: list[str] = []
        self.calls = 0
        self.closed = False
        self.threads = ThreadPoolExecutor(2)

    def call(self) -> Client:
        self.calls += 1
        if self.errors:
            raise DriverError(self.errors.pop(0))
        return self

    def close(self) -> None:
        self.threads.shutdown()
        self.closed = True


class Memory(RemoteStore[Client]):
    capabilities = Capabilities(compare_and_set=True)
    READ_KEYS = 3
    _driver = Driver(
        errors=(DriverError,),
        may_repeat_read=lambda error: str(error) in {"lost", "busy"},
        may_repeat_write=lambda error: str(error) == "busy",
        store_error=store_error,
        check_size=check_size,
    )

    def __init__(self, server: Client) -> None:
        self.server = server
        super().__init__("memory://here", lambda: server)

    def _prepare(self) -> None:
        self._client.call()

    def _read_rows(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        rows = self._read_call(lambda: self._client.call().rows)
        return {key: rows[table, key] for key in keys if (table, key) in rows}

    def _write_rows(self, table: str, rows: Sequence[Item]) -> None:
        new = {(table, key): value for key, value in rows}
        self._write_call(lambda: self._client.call().rows.update(new))

    def delete(self, table: str, keys: object) -> None:
        raise NotImplementedError

    def _drop_rows(self, table: str) -> None:
        for row in [row for row in self._client.rows if row[0] == table]:
            del self._client.rows[row]

    def _set_row(self, table: str, change: Change) -> bool:
        key, expected, new = change
        if same := self._client.rows.get((table, key)) == expected:
            self._client.rows[table, key] = new or b""
        return same

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        keys = [key for name, key in self._client.rows if name == table]
        return self._scan_keys(table, keys, prefix=prefix, after=after, limit=limit)

    def _note(self, table: str, live: bool) -> None:
        self._client.call().noted[table] = live

    def _noted(self) -> list[tuple[str, bool]]:
        return list(self._client.noted.items())


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    monkeypatch.setattr(remote, "pause", made.append)
    return made


@pytest.fixture
def store() -> Iterator[Memory]:
    with Memory(Client()) as store:
        store.write("rows", [(b"a", b"1"), (b"b", b"2")])
        yield store


def test_a_read_is_repeated_until_it_is_answered(store: Memory, pauses: list[int]) -> None:
    store.server.errors = ["lost", "busy", "lost"]
    assert store.read("rows", [b"a"]) == [b"1"]
    assert pauses == [1, 2, 3]


def test_a_read_that_is_never_answered_is_an_error(store: Memory, pauses: list[int]) -> None:
    store.server.errors = ["lost"] * ATTEMPTS
    with pytest.raises(StoreUnavailable, match=r"Got: lost.*memory://here.*wrote=False") as caught:
        store.read("rows", [b"a"])
    assert isinstance(caught.value.__cause__, DriverError)
    assert len(pauses) == ATTEMPTS - 1


@pytest.mark.parametrize(
    "problem", [ValueError("odd"), OSError("odd"), KeyError("odd"), MemoryError("odd")], ids=repr
)
def test_what_no_driver_says_that_it_raises_is_an_error_of_the_store(
    store: Memory, pauses: list[int], monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def fail() -> None:
        raise problem

    monkeypatch.setattr(store.server, "call", fail)
    for call, hint in (
        (lambda: store.read("rows", [b"a"]), "Nothing was changed"),
        (lambda: store.write("rows", [(b"a", b"1")]), "may have been kept"),
    ):
        with pytest.raises(StoreError, match=f"Memory failed.*odd.*memory://here.*{hint}") as told:
            call()
        assert told.value.__cause__ is problem
    assert pauses == []


def test_a_server_that_hangs_is_asked_once(
    store: Memory, monkeypatch: pytest.MonkeyPatch, pauses: list[int]
) -> None:
    store._patience = 2.0
    seconds = iter((0.0, 1.9, 2.0))  # when the call begins, and when each attempt has ended
    monkeypatch.setattr("skewless.stores.online.remote.time.monotonic", lambda: next(seconds))
    store.server.errors, store.server.calls = ["lost"] * ATTEMPTS, 0
    with pytest.raises(StoreUnavailable, match="Got: lost"):
        store.read("rows", [b"a"])
    assert (store.server.calls, pauses) == (2, [1])


@pytest.mark.parametrize(("error", "calls"), [("lost", 1), ("refused", 1), ("busy", ATTEMPTS)])
def test_a_write_is_repeated_only_where_it_did_nothing(
    store: Memory, error: str, calls: int
) -> None:
    store.server.errors, store.server.calls = [error] * ATTEMPTS, 0
    with pytest.raises(StoreUnavailable, match=f"Got: {error}.*wrote=True"):
        store.write("rows", [(b"a", b"3")])
    assert store.server.calls == calls


def test_keys_are_read_a_few_at_a_time_and_each_once(store: Memory) -> None:
    store.server.calls = 0
    keys = [b"b", b"%d" % 1, b"a", b"b", b"%d" % 2, b"%d" % 3]
    assert store.read("rows", keys) == [b"2", None, b"1", b"2", None, None]
    assert store.server.calls == 2
    assert store.read("rows", []) == []


def test_a_row_that_is_too_large_writes_nothing_and_names_no_table(store: Memory) -> None:
    rows = [(b"small", b"x"), (b"large", b"x" * (LONGEST + 1))]
    told = r"row b'large' of the table 'new' is too large for Memory.*at most 10 bytes.*Nothing of"
    with pytest.raises(StoreError, match=told):
        store.write("new", rows)
    with pytest.raises(StoreError, match=told):
        store.compare_and_set("new", [(key, None, value) for key, value in rows])
    assert store.read("new", [b"small"]) == [None]
    assert store.tables() == ["rows"]


@pytest.mark.parametrize(
    "store_class", [BigtableStore, CassandraStore, DynamoDBStore, MongoDBStore]
)
def test_every_remote_store_refuses_a_row_over_its_limit(
    store_class: type[RemoteStore[remote.C]],
) -> None:
    longest = store_class.capabilities.max_value_bytes
    assert longest is not None
    check = store_class._driver.check_size
    check("rows", b"key", b"x" * longest, "here")
    with pytest.raises(StoreError, match=r"too large for .*Where: here.*Nothing of this call"):
        check("rows", b"key", b"x" * (longest + (1 << 20)), "here")


def test_a_table_is_noted_by_the_first_write_alone(store: Memory) -> None:
    store.server.calls = 0
    store.write("rows", [(b"a", b"3")])
    store.write("rows", [])
    assert store.compare_and_set("rows", [(b"a", b"3", b"4"), (b"a", b"3", b"5")]) == [True, False]
    assert store.server.calls == 1
    with pytest.raises(InputError, match="cannot have this name"):
        store.write("", [(b"a", b"3")])


def test_a_dropped_table_counts_again_once_it_has_rows(store: Memory) -> None:
    store.drop("rows")
    assert store.tables() == []
    store.server.rows["rows", b"a"] = b"by a process that had noted the table before"
    assert store.tables() == ["rows"]


def test_keys_in_any_order_are_scanned_in_theirs(store: Memory) -> None:
    keys = [bytes(key) for key in itertools.permutations(b"abc")]
    store.write("more", [(key, b"x") for key in reversed(keys)])
    assert [key for key, _ in store.scan("more")] == keys
    assert [key for key, _ in store.scan("more", prefix=b"b", after=b"bac")] == [b"bca"]
    assert [key for key, _ in store.scan("more", limit=2)] == keys[:2]


def test_a_client_of_a_store_that_does_not_open_is_closed() -> None:
    server = Client()
    server.errors = ["refused"]
    with pytest.raises(StoreUnavailable, match="refused"):
        Memory(server)
    assert server.closed


def test_a_closed_store_says_so(store: Memory) -> None:
    store.close()
    store.close()
    for call in (
        lambda: store.read("rows", []),
        lambda: store.write("rows", [(b"a", b"1")]),
        lambda: store.tables(),
    ):
        with pytest.raises(StoreError, match="this Memory is closed"):
            call()
