"""The DynamoDB store on DynamoDB Local and the Bigtable store on its emulator pass the suite."""

import functools
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import pytest
from google.cloud.bigtable_v2 import types as bigtable_types

from skewless.errors import StoreError, StoreUnavailable
from skewless.stores.online.base import OnlineStore
from skewless.stores.online.bigtable import rows as bigtable_rows
from skewless.stores.online.bigtable.store import BigtableStore
from skewless.stores.online.concurrency import map_concurrent
from skewless.stores.online.dynamodb import items as dynamodb_items
from skewless.stores.online.dynamodb.store import DynamoDBStore
from skewless.stores.online.stored_keys import end_of, in_key_order, stored_key
from skewless.testing.online_store import OnlineStoreSuite
from skewless.testing.servers import Server, free_port, running
from tests.stores.online.verbs import assert_unavailable

SECRET = "the-secret-of-the-tests"


@pytest.fixture(scope="module", autouse=True)
def credentials() -> Iterator[None]:
    """What boto3 finds in the environment, also in the processes of the suite."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            environment.delenv(name, raising=False)
        environment.setenv("AWS_ACCESS_KEY_ID", "tests")
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield


@pytest.fixture(scope="module")
def dynamodb(credentials: None) -> Iterator[Server]:
    with running("dynamodb") as server:
        yield server


@pytest.fixture(scope="module")
def bigtable() -> Iterator[Server]:
    with running("bigtable") as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("BIGTABLE_EMULATOR_HOST", server.url)
        yield server


def new_dynamodb_store(server: Server, **options: object) -> DynamoDBStore:
    return DynamoDBStore(f"tests_{uuid.uuid4().hex}", endpoint=server.url, **options)


@pytest.mark.server("dynamodb")
class TestDynamoDBStore(OnlineStoreSuite):
    @pytest.fixture
    def open_store(self, dynamodb: Server) -> Callable[[], OnlineStore]:
        return functools.partial(DynamoDBStore, f"tests_{uuid.uuid4().hex}", endpoint=dynamodb.url)

    def test_values_of_megabytes_come_back(self, store: OnlineStore) -> None:
        """Of the longest value instead: an item of DynamoDB holds 400 KB."""
        longest = store.capabilities.max_value_bytes
        assert longest is not None
        value = os.urandom(longest)
        store.write("rows", [(b"%d" % number, value) for number in range(50)])
        assert store.read("rows", [b"%d" % number for number in range(50)]) == [value] * 50

    def test_a_row_over_the_limit_is_refused_and_nothing_is_written(
        self, store: OnlineStore
    ) -> None:
        rows = [(b"small", b"x"), (b"large", b"x" * (400 << 10))]
        limit = r"too large for DynamoDB.*409,617 bytes.*409,600 bytes.*resolution="
        with pytest.raises(StoreError, match=limit):
            store.write("rows", rows)
        with pytest.raises(StoreError, match="too large for DynamoDB"):
            store.compare_and_set("rows", [(key, None, value) for key, value in rows])
        assert store.read("rows", [b"small", b"large"]) == [None, None]
        assert store.tables() == []


@pytest.mark.server("bigtable")
class TestBigtableStore(OnlineStoreSuite):
    @pytest.fixture
    def open_store(self, bigtable: Server) -> Callable[[], OnlineStore]:
        return functools.partial(BigtableStore, "tests", "tests", f"tests_{uuid.uuid4().hex}")


@pytest.mark.server("dynamodb")
def test_a_table_that_another_process_dropped_counts_again_once_it_has_rows(
    dynamodb: Server,
) -> None:
    with (
        new_dynamodb_store(dynamodb) as store,
        DynamoDBStore(store._table, endpoint=dynamodb.url) as other,
    ):
        store.write("rows", [(b"a", b"1")])
        other.drop("rows")
        assert store.tables() == []
        store.write("rows", [(b"a", b"2")])
        assert other.tables() == ["rows"]


@pytest.mark.server("dynamodb")
def test_a_dynamodb_table_of_somebody_else_is_refused(dynamodb: Server) -> None:
    with new_dynamodb_store(dynamodb) as store:
        store._calls.create_table(
            TableName="foreign",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
    with pytest.raises(StoreError, match=r"not made for skewless.*'id'.*table of its own"):
        DynamoDBStore("foreign", endpoint=dynamodb.url)


@pytest.mark.server("dynamodb")
def test_a_removed_dynamodb_table_is_no_missing_row(dynamodb: Server) -> None:
    with new_dynamodb_store(dynamodb) as store:
        store.write("rows", [(b"a", b"1")])
        store._calls.delete_table(TableName=store._table)
        for call in (
            lambda: store.read("rows", [b"a", b"b"]),
            lambda: store.read_one("rows", b"a"),
            lambda: store.write("rows", [(b"a", b"2")]),
        ):
            with pytest.raises(StoreError, match="the DynamoDB table is missing"):
                call()


@pytest.mark.server("dynamodb")
def test_threads_that_open_a_dynamodb_store_at_once_make_its_table_once(dynamodb: Server) -> None:
    name = f"tests_{uuid.uuid4().hex}"
    with ThreadPoolExecutor(4) as threads:
        opening = [threads.submit(DynamoDBStore, name, endpoint=dynamodb.url) for _ in range(4)]
        stores = [each.result() for each in opening]
    stores[0].write("rows", [(b"a", b"1")])
    assert [store.read_one("rows", b"a") for store in stores] == [b"1"] * 4
    for store in stores:
        store.close()


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(StoreError, match=r"no AWS credentials.*AWS_PROFILE"):
        DynamoDBStore(endpoint=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreError, match=r"no AWS credentials.*\(nobody\)"):
        DynamoDBStore(profile="nobody")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(StoreError, match="no AWS region"):
        DynamoDBStore()


def test_a_dynamodb_that_is_not_there_is_told_without_credentials() -> None:
    port = free_port()
    with pytest.raises(StoreUnavailable, match=f"cannot be reached.*127.0.0.1:{port}") as caught:
        DynamoDBStore(endpoint=f"http://127.0.0.1:{port}", timeout=0.5)
    assert SECRET not in str(caught.value)
    with pytest.raises(StoreError, match="without user and password") as caught:
        DynamoDBStore(endpoint=f"http://user:{SECRET}@127.0.0.1:{port}", timeout=0.5)
    assert SECRET not in str(caught.value)


def test_a_bigtable_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable, match=r"Bigtable cannot be reached.*bigtable://p/i/t"):
        BigtableStore("p", "i", "t", timeout=0.5)


@pytest.mark.server("bigtable")
def test_an_outage_of_bigtable_is_an_error() -> None:
    with running("bigtable") as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("BIGTABLE_EMULATOR_HOST", server.url)
        with BigtableStore("p", "i", timeout=1) as store:
            store.write("rows", [(b"a", b"1")])
            server.processes[0].kill()
            server.processes[0].wait()
            assert_unavailable(store, SECRET)


def test_missing_google_credentials_are_told(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIGTABLE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", f"{tmp_path}/secret.json")
    with pytest.raises(StoreError, match=r"no Google credentials.*gcloud auth") as caught:
        BigtableStore("p", "i", timeout=0.5)
    assert "secret" not in str(caught.value)


def test_a_bigtable_row_in_pieces_is_put_together() -> None:
    chunk = bigtable_types.ReadRowsResponse.CellChunk
    answers = [
        [chunk(row_key=b"a", family_name="f", qualifier=b"v", value=b"never", commit_row=False)],
        [chunk(reset_row=True)],
        [chunk(row_key=b"a", family_name="f", qualifier=b"h", value=b"hash")],
        [chunk(qualifier=b"v", value=b"one ", value_size=7), chunk(value=b"two", commit_row=True)],
        [chunk(row_key=b"b", family_name="f", qualifier=b"v", value=b"", commit_row=True)],
    ]
    found = bigtable_rows.rows_of(
        bigtable_types.ReadRowsResponse(chunks=chunks) for chunks in answers
    )
    assert list(found) == [(b"a", {b"h": b"hash", b"v": b"one two"}), (b"b", {b"v": b""})]


def test_a_dynamodb_key_never_exceeds_what_dynamodb_takes() -> None:
    table = "ä" * 127
    for length in (0, 1, 959, 960, 961, 100_000):
        place = dynamodb_items.place_of(table, b"\xff" * length)
        assert 0 < len(place["s"]["B"]) <= 1024
        assert len(place["p"]["S"].encode()) <= 2048


def test_a_bigtable_row_key_never_exceeds_what_bigtable_takes() -> None:
    for length in (0, 1, 3_000, 100_000):
        assert 0 < len(bigtable_rows.row_key("ä" * 127, b"\xff" * length)) <= 4096


def test_long_keys_with_one_head_are_sorted_whatever_their_hashes() -> None:
    keys = [b"head" + ending for ending in (b"", b"a", b"b", b"c\0", b"c\xff")] + [b"heae"]
    stored = sorted((stored_key(key, 4), (key, b"")) for key in keys)
    assert [key for key, _ in in_key_order(stored, 4)] == keys


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"a", b"b"), (b"a\xff\xff", b"b"), (b"\xff", None), (b"", None)]
)
def test_a_prefix_ends_before_the_next_key_without_it(prefix: bytes, end: bytes | None) -> None:
    assert end_of(prefix) == end


def test_calls_at_once_stop_at_the_first_that_fails() -> None:
    done: list[int] = []
    futures: list[Future[None]] = []
    all_submitted = threading.Event()

    class Noting(ThreadPoolExecutor):
        def submit(self, *work: Any, **options: Any) -> Any:
            futures.append(super().submit(*work, **options))
            if len(futures) == 50:
                all_submitted.set()
            return futures[-1]

    def work(number: int) -> None:
        if number == 0:
            raise StoreUnavailable("lost")
        assert all_submitted.wait(60)
        with pytest.raises(CancelledError):  # what has begun ends once nothing else will begin
            futures[-1].result(60)
        done.append(number)

    with Noting(2) as threads:
        with pytest.raises(StoreUnavailable):
            map_concurrent(threads, work, range(50))
        still = len(done)
    assert len(done) == still <= 2


@pytest.mark.parametrize(
    ("driver", "module", "extra"),
    [
        ("boto3", "dynamodb", "dynamodb"),
        ("google.cloud.bigtable_v2", "bigtable", "bigtable"),
        ("cassandra", "cassandra", "cassandra"),
        ("pymongo", "mongodb", "mongodb"),
    ],
)
def test_a_missing_driver_says_how_to_install_it(driver: str, module: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{driver!r}] = None\nimport skewless.stores.online.{module}.store"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"pip install 'skewless[{extra}]'" in ran.stderr
