"""Every reader of the repo passes the shipped suite, in every format that it decodes."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.plugins import BUILT_IN
from skewless.streams import files
from skewless.streams.base import StreamReader
from skewless.streams.files import FilesReader
from skewless.testing.kafka_servers import KafkaServer, kafka
from skewless.testing.servers import running
from skewless.testing.stream import Row, StreamSuite, Write
from tests.streams.kinesis_streams import create, kinesis, kinesis_client, put
from tests.streams.registry import SchemaRegistry, schema_registry

Encode = Callable[[Row], bytes]


@pytest.fixture(scope="module")
def server() -> Iterator[KafkaServer]:
    """The small one, so that the suite runs everywhere."""
    with kafka("noida") as started:
        yield started


@pytest.fixture(scope="module")
def real_server() -> Iterator[KafkaServer]:
    with kafka("kafka") as started:
        yield started


@pytest.fixture(scope="module")
def schemas() -> Iterator[SchemaRegistry]:
    with schema_registry() as started:
        yield started


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    with running("kinesis") as server:
        yield kinesis_client(server.url)


class FilesSuite(StreamSuite):
    format: str

    @pytest.fixture
    def landing(self, tmp_path: Path) -> Path:
        folder = tmp_path / "landing"
        folder.mkdir()
        return folder

    @pytest.fixture
    def open_reader(self, landing: Path) -> Callable[[], StreamReader]:
        return lambda: FilesReader(sl.Files(landing.name, self.format), landing.parent)


class TestJsonFiles(FilesSuite):
    format = "json"

    @pytest.fixture
    def write(self, landing: Path) -> Write:
        def write(rows: Sequence[Row], part: str) -> None:
            with (landing / f"{part}.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)

        return write

    @pytest.fixture
    def write_poison(self, landing: Path) -> Callable[[], bytes]:
        def write_poison() -> bytes:
            with (landing / "a.jsonl").open("ab") as file:
                file.write(b'{"n": oops\n')
            return b'{"n": oops'

        return write_poison


class TestCsvFiles(FilesSuite):
    format = "csv"
    text = ' "ü", \\ ;'  # a line is a row: texts have no line breaks

    @pytest.fixture
    def write(self, landing: Path) -> Write:
        def write(rows: Sequence[Row], part: str) -> None:
            path = landing / f"{part}.csv"
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, ["n", "s", "extra"], lineterminator="\n")
            if not path.exists():
                writer.writeheader()
            writer.writerows(rows)
            with path.open("a", encoding="utf-8", newline="") as file:
                file.write(text.getvalue())

        return write


class TestParquetFiles(FilesSuite):
    format = "parquet"

    @pytest.fixture
    def write(self, landing: Path) -> Write:
        def write(rows: Sequence[Row], part: str) -> None:
            number = len(list(landing.iterdir()))
            table = pa.Table.from_pylist(list(rows))
            pq.write_table(table, landing / f".{part}", row_group_size=4)
            (landing / f".{part}").rename(landing / f"{part}-{number:03}.parquet")

        return write


@pytest.mark.server("kafka")
class KafkaSuite(StreamSuite):
    patience = 300.0
    format: str
    poison = b"oops"

    @pytest.fixture
    def topic(self, server: KafkaServer, request: pytest.FixtureRequest) -> str:
        name = f"c{abs(hash((type(self).__name__, request.node.name)))}"
        server.create(name, 3)
        return name

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def open_reader(
        self, server: KafkaServer, topic: str, options: dict[str, Any]
    ) -> Callable[[], StreamReader]:
        from skewless.streams.kafka import KafkaReader

        stream = sl.Kafka(topic, server.address, format=self.format, options=options or None)
        return lambda: KafkaReader(stream)

    @pytest.fixture
    def encode(self) -> Encode:
        return lambda row: json.dumps(row).encode()

    @pytest.fixture
    def write(self, server: KafkaServer, topic: str, encode: Encode) -> Write:
        def write(rows: Sequence[Row], part: str) -> None:
            sent = [(str(row["n"]).encode(), encode(row)) for row in rows]
            server.produce(topic, sent, partition="abc".index(part))

        return write

    @pytest.fixture
    def write_poison(self, server: KafkaServer, topic: str) -> Callable[[], bytes]:
        def write_poison() -> bytes:
            server.produce(topic, [(b"k", self.poison)], partition=0)
            return self.poison

        return write_poison


class TestKafkaJson(KafkaSuite):
    format = "json"


class TestRealKafkaJson(KafkaSuite):
    format = "json"

    @pytest.fixture
    def server(self, real_server: KafkaServer) -> KafkaServer:
        return real_server


class TestKafkaAvro(KafkaSuite):
    format = "avro"
    poison = b"\x00\x00"

    @pytest.fixture
    def options(self, schemas: SchemaRegistry) -> dict[str, Any]:
        return {"schema.registry.url": schemas.url}

    @pytest.fixture
    def encode(self, schemas: SchemaRegistry) -> Encode:
        pytest.importorskip("confluent_kafka.schema_registry.avro")
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.avro import AvroSerializer
        from confluent_kafka.serialization import MessageField, SerializationContext

        kinds = {"n": "long", "s": "string", "extra": "long"}
        fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
        schema = json.dumps({"type": "record", "name": "Row", "fields": fields})
        serialize = AvroSerializer(SchemaRegistryClient({"url": schemas.url}), schema)
        context = SerializationContext("rows", MessageField.VALUE)
        return lambda row: serialize(row, context)


@pytest.mark.server("kinesis")
class TestKinesis(StreamSuite):
    @pytest.fixture
    def stream(self, aws: Any, request: pytest.FixtureRequest) -> str:
        name = f"c{abs(hash(request.node.name))}"
        create(aws, name, 3)
        return name

    @pytest.fixture
    def open_reader(self, aws: Any, stream: str) -> Callable[[], StreamReader]:
        from skewless.streams.kinesis import KinesisReader

        place = kinesis(stream, aws)
        return lambda: KinesisReader(place)

    @pytest.fixture
    def write(self, aws: Any, stream: str) -> Write:
        def write(rows: Sequence[Row], part: str) -> None:
            for row in rows:
                put(aws, stream, json.dumps(row).encode(), "abc".index(part), of=3)

        return write

    @pytest.fixture
    def write_poison(self, aws: Any, stream: str) -> Callable[[], bytes]:
        def write_poison() -> bytes:
            put(aws, stream, b"oops", 0, of=3)
            return b"oops"

        return write_poison


def test_every_format_of_every_reader_is_tried() -> None:
    suites = StreamSuite.__subclasses__()
    formats = {
        each.format
        for suite in suites
        for each in suite.__subclasses__()
        if hasattr(each, "format")
    }
    assert formats >= set(files._FORMATS)
    assert BUILT_IN["stream"].keys() >= {"files", "kafka", "kinesis"}
