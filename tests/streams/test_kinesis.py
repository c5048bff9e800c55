"""Kinesis: shards that are split, merged and gone; limits, iterators that expire, outages."""

import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.errors import CorruptData, InputError, StoreUnavailable
from skewless.ingest.stream.positions import StreamPositions
from skewless.ingest.stream.status import stream_status
from skewless.ingest.stream.worker import StreamWorker
from skewless.streams.base import StreamReader
from skewless.testing.servers import running
from skewless.types import Int64, String
from tests.ingest.stream.events import (
    event,
    line,
    run,
    served_and_computed,
    source,
    store,
    taken_in,
)
from tests.streams.kinesis_streams import KEYS, create, kinesis, kinesis_client, merge, split

pytest.importorskip("boto3")
KinesisReader = pytest.importorskip("skewless.streams.kinesis").KinesisReader
pytestmark = pytest.mark.server("kinesis")
HOUR = 3600 * 10**6


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    with running("kinesis") as server:
        yield kinesis_client(server.url)


@pytest.fixture
def stream(aws: Any) -> str:
    name = f"s-{uuid.uuid4().hex}"
    create(aws, name, 2)
    return name


@pytest.fixture
def reader(aws: Any, stream: str) -> StreamReader:
    made = KinesisReader(kinesis(stream, aws))
    made.typed({"id": Int64, "fab": String})
    return made


def send(aws: Any, stream: str, *numbers: int) -> None:
    """Write the rows of numbers, spread over all keys."""
    for number in numbers:
        at = str(random.Random(number).randrange(KEYS))
        data = line(event(number)).encode()
        aws.put_record(StreamName=stream, Data=data, PartitionKey="k", ExplicitHashKey=at)


def read_all(reader: StreamReader) -> tuple[list[int], bytes]:
    """Read until nothing is left; the ids, and the position behind them."""
    found: list[int] = []
    while True:
        batch = reader.read(100, 0.5)
        if not len(batch.rows) and reader.lag() == 0:
            return found, batch.position
        rows = batch.rows if isinstance(batch.rows, list) else batch.rows.to_pylist()
        found += [row["id"] for row in rows]


def failing(reader: Any, monkeypatch: pytest.MonkeyPatch, verb: str, code: str, status: int) -> Any:
    """Have the next call of a verb fail; tells how often it was called."""
    from botocore.exceptions import ClientError

    calls, real = [], getattr(reader._client, verb)

    def call(**arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            told = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(told, verb)
        return real(**arguments)

    monkeypatch.setattr(reader._client, verb, call)
    return calls


def test_splits_and_merges_lose_and_double_nothing(aws: Any, stream: str, tmp_path: Path) -> None:
    """Without a row id, with a worker that is stopped and started between them."""
    with store(tmp_path, source(kinesis(stream, aws))) as fs:
        written = 0
        for change in (None, split, merge, split, None):
            if change is not None:
                change(aws, stream)
            send(aws, stream, *range(written, written + 30))
            written += 30
            if change is not split:
                run(fs, max_rows=7)
        run(fs)
        assert taken_in(fs) == list(range(written))
        assert run(fs).rows == 0
        served, computed = served_and_computed(fs)
        assert served == computed
        (status,) = stream_status(fs.runtime, ["tests"])
        assert sum((status.position or {}).values()) == written


def test_each_shard_has_a_position_of_its_own_in_the_journal(
    aws: Any, stream: str, tmp_path: Path
) -> None:
    send(aws, stream, *range(10))
    with store(tmp_path, source(kinesis(stream, aws))) as fs:
        run(fs)
        worker = StreamWorker(fs.runtime, "tests")
        places = StreamPositions(fs.runtime.journal, fs.runtime.source("tests"), worker.reader)
        assert sorted(places.read()) == ["shardId-000000000000", "shardId-000000000001"]


def test_rows_of_a_key_keep_their_order_over_a_split(
    aws: Any, stream: str, reader: StreamReader
) -> None:
    """A child is not read before its parent is read to the end."""

    def put(*numbers: int) -> None:
        for number in numbers:
            aws.put_record(
                StreamName=stream,
                Data=line(event(number)).encode(),
                PartitionKey="k",
                ExplicitHashKey="1",
            )

    put(*range(20))
    split(aws, stream)
    put(*range(20, 40))
    reader.open(None)
    assert read_all(reader)[0] == list(range(40))


def test_a_shard_that_was_not_read_to_its_end_and_is_gone_is_an_error(
    aws: Any, stream: str, reader: StreamReader
) -> None:
    send(aws, stream, *range(5))
    reader.open(None)
    _, position = read_all(reader)
    parts = reader.split(position)
    parts["shardId-000000000077"] = parts.popitem()[1].replace(b"000000000001", b"000000000077")
    with pytest.raises(CorruptData, match="gone that were not read yet.*000000000077"):
        reader.open(reader.join(parts))


@pytest.mark.parametrize("at_work", [False, True])
def test_a_reader_that_was_away_for_longer_than_records_are_kept_is_an_error(
    aws: Any, stream: str, reader: StreamReader, monkeypatch: pytest.MonkeyPatch, at_work: bool
) -> None:
    """Kinesis would go on behind what it let go of, without a word."""
    from skewless.streams import kinesis as module

    send(aws, stream, *range(5))
    reader.open(None)
    _, position = read_all(reader)
    began = module._now()
    monkeypatch.setattr(module, "_now", lambda: began + 23 * HOUR)
    if not at_work:
        reader.open(position)
    reader.read(10, 0)
    monkeypatch.setattr(module, "_now", lambda: began + 48 * HOUR)
    if not at_work:
        reader.open(position)
    with pytest.raises(CorruptData, match="not read for longer than records are kept"):
        read_all(reader)


@pytest.mark.parametrize(
    "code", ["ExpiredIteratorException", "ProvisionedThroughputExceededException"]
)
def test_iterators_that_expired_and_limits_are_waited_out(
    aws: Any, stream: str, reader: StreamReader, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    reader.open(None)
    reader.read(10, 0)
    send(aws, stream, *range(20))
    calls = failing(reader, monkeypatch, "get_records", code, 400)
    assert sorted(read_all(reader)[0]) == list(range(20))
    assert len(calls) > 1


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("InternalFailure", 500, StoreUnavailable),
        ("LimitExceededException", 400, StoreUnavailable),
        ("AccessDeniedException", 400, InputError),
    ],
)
def test_what_else_is_refused_is_an_error_that_says_whether_to_try_again(
    reader: StreamReader, monkeypatch: pytest.MonkeyPatch, code: str, status: int, error: Any
) -> None:
    failing(reader, monkeypatch, "list_shards", code, status)
    with pytest.raises(error, match=code):
        reader.open(None)


def test_a_stream_that_is_not_there_is_an_error(aws: Any) -> None:
    with pytest.raises(InputError, match="ResourceNotFound"):
        KinesisReader(kinesis("nowhere", aws)).open(None)


def test_kinesis_that_cannot_be_reached_is_an_outage(aws: Any) -> None:
    place = kinesis("rows", aws, endpoint_url="http://127.0.0.1:1")
    reader = KinesisReader(place)
    with pytest.raises(StoreUnavailable, match="Kinesis cannot be reached"):
        reader.open(None)


def test_a_start_older_than_what_is_kept_is_refused(reader: StreamReader) -> None:
    with pytest.raises(InputError, match="too old.*24 hours"):
        reader.open(None, start=1)


def test_a_stream_may_start_at_a_time_and_remembers_it(
    aws: Any, stream: str, reader: StreamReader
) -> None:
    """Also a child of a shard that nothing was read of."""
    from skewless.streams import kinesis as module

    reader.open(None, start=module._now() - HOUR)
    _, position = read_all(reader)
    send(aws, stream, *range(5))
    split(aws, stream)
    send(aws, stream, *range(5, 15))
    reader.open(position)
    assert sorted(read_all(reader)[0]) == list(range(15))


def test_the_key_and_the_time_of_a_record_may_be_columns(
    aws: Any, stream: str, tmp_path: Path
) -> None:
    options = kinesis(stream, aws).options
    place = sl.Kinesis(
        stream,
        region="eu-west-1",
        options=options["options"],
        columns={"fab": sl.key(), "at": sl.message_time()},
    )
    aws.put_record(StreamName=stream, Data=b'{"id": 1, "vdd": 0.5}', PartitionKey="f7")
    with store(tmp_path, source(place)) as fs:
        assert run(fs).rows == 1
        found = fs.get_online_features(["Rolling:newest_id"], [{"fab": "f7"}]).to_dict()
        assert found["newest_id"] == [1]


def test_secrets_are_not_shown(aws: Any, stream: str, tmp_path: Path) -> None:
    place = kinesis(stream, aws, aws_secret_access_key="hush-hush")
    with store(tmp_path, source(place)) as fs:
        (status,) = stream_status(fs.runtime)
        assert "hush-hush" not in str(status)
