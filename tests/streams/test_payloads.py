"""Avro and Protobuf messages, written and read by confluent-kafka's own (de)serializers."""

import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal as Exact
from typing import Any

import pytest

import skewless as sl
from skewless.errors import InputError, StoreUnavailable
from skewless.streams._payloads import Payload, payload
from skewless.types import Decimal, Float64, Int64, Json, List, String, Timestamp
from tests.streams.registry import SchemaRegistry, schema_registry

fastavro = pytest.importorskip("fastavro")
pytest.importorskip("confluent_kafka.schema_registry.avro")
protobuf = pytest.importorskip("confluent_kafka.schema_registry.protobuf")

AT = datetime(2026, 1, 31, 10, 0, 0, 123456, tzinfo=UTC)
COLUMNS = {"id": Int64, "fab": String, "vdd": Float64, "at": Timestamp, "missing": String}
SCHEMA = """{"type": "record", "name": "Test", "fields": [
    {"name": "id", "type": "long"},
    {"name": "fab", "type": ["null", "string"]},
    {"name": "vdd", "type": "double"},
    {"name": "cost", "type":
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}"""
ROW = {"id": 7, "fab": "f1", "vdd": 0.75, "cost": Exact("1.10"), "at": AT}


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    with schema_registry() as started:
        yield started


def avro_bytes(registry: SchemaRegistry, row: Any) -> bytes:
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    serialize = AvroSerializer(SchemaRegistryClient({"url": registry.url}), SCHEMA)
    made = serialize(row, SerializationContext("tests", MessageField.VALUE))
    assert isinstance(made, bytes)
    return made


def avro(registry: SchemaRegistry) -> Payload:
    return payload("avro", "tests", {"schema.registry.url": registry.url})


def message_type() -> Any:
    """A message class, as protoc would make it."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name="test.proto", package="fab", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    fields = descriptor_pb2.FieldDescriptorProto
    message = file.message_type.add(name="Test")
    inner = message.nested_type.add(name="Lot")
    inner.field.add(name="name", number=1, type=fields.TYPE_STRING, label=fields.LABEL_OPTIONAL)
    for number, (name, kind) in enumerate(
        [("id", fields.TYPE_INT64), ("fab", fields.TYPE_STRING), ("vdd", fields.TYPE_DOUBLE)], 1
    ):
        message.field.add(name=name, number=number, type=kind, label=fields.LABEL_OPTIONAL)
    message.field[1].proto3_optional = True
    message.field[1].oneof_index = 0
    for number, name, kind in (
        (4, "at", ".google.protobuf.Timestamp"),
        (5, "lot", ".fab.Test.Lot"),
    ):
        message.field.add(
            name=name, number=number, type=fields.TYPE_MESSAGE, type_name=kind,
            label=fields.LABEL_OPTIONAL,
        )  # fmt: skip
    message.field.add(name="tags", number=6, type=fields.TYPE_STRING, label=fields.LABEL_REPEATED)
    message.oneof_decl.add(name="_fab")
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("fab.Test"))


Test = message_type()
Test.__test__ = False  # it is none of pytest's


def test_avro_records_become_rows(registry: SchemaRegistry) -> None:
    value = avro_bytes(registry, ROW | {"fab": None})
    made = avro(registry).decode([value], COLUMNS | {"cost": Decimal(9, 2)})
    assert made.rows == [ROW | {"fab": None, "missing": None}]


def test_what_is_not_avro_is_poison_and_the_others_go_in(registry: SchemaRegistry) -> None:
    good = avro_bytes(registry, ROW)
    unknown = struct.pack(">bI", 0, 99) + good[5:]
    made = avro(registry).decode([good, b"", b"{}", good[:9], unknown, good], COLUMNS)
    assert list(made.taken) == [0, 5]
    assert [number for number, _ in made.poison] == [1, 2, 3, 4]
    assert "not in the Schema Registry" in dict(made.poison)[4]
    assert "give the option 'avro.schema'" in dict(made.poison)[2]


def test_an_outage_of_the_registry_is_waited_for_and_no_poison(registry: SchemaRegistry) -> None:
    value = avro_bytes(registry, ROW)
    options = {"schema.registry.url": registry.url, "schema.registry.max.retries": 0}
    decoder = payload("avro", "tests", options)
    registry.fail(True)
    with pytest.raises(StoreUnavailable, match="Schema Registry cannot be asked"):
        decoder.decode([value], COLUMNS)
    registry.fail(False)
    assert len(decoder.decode([value], COLUMNS).rows) == 1


def test_a_registry_that_is_not_there_is_an_outage(registry: SchemaRegistry) -> None:
    value = avro_bytes(registry, ROW)
    options = {"schema.registry.url": "http://127.0.0.1:1", "schema.registry.max.retries": 0}
    with pytest.raises(StoreUnavailable):
        payload("avro", "tests", options).decode([value], COLUMNS)


def test_protobuf_messages_become_rows(registry: SchemaRegistry) -> None:
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.serialization import MessageField, SerializationContext

    settings = {"use.deprecated.format": False}
    client = SchemaRegistryClient({"url": registry.url})
    serialize = protobuf.ProtobufSerializer(Test, client, settings)
    context = SerializationContext("tests", MessageField.VALUE)
    row = Test(id=7, vdd=0.75, tags=["a", "b"])
    row.at.FromDatetime(AT)
    row.lot.name = "L1"
    values = [serialize(row, context), serialize(Test(fab="f1"), context), b"oops"]
    options = {
        "protobuf.message": "tests.streams.test_payloads:Test",
        "schema.registry.url": registry.url,
    }
    columns = COLUMNS | {"tags": List(str), "lot": Json}
    made = payload("protobuf", "tests", options).decode(values, columns)
    unset = dict.fromkeys(columns)
    assert made.rows == [
        unset | {"id": 7, "vdd": 0.75, "at": AT, "tags": ["a", "b"], "lot": '{"name":"L1"}'},
        unset | {"id": 0, "fab": "f1", "vdd": 0.0, "tags": []},
    ]
    assert [number for number, _ in made.poison] == [2]


def test_options_of_the_format_are_taken_out_of_the_consumers() -> None:
    options = {"schema.registry.url": "http://127.0.0.1:1", "client.id": "me"}
    payload("avro", "tests", options)
    assert options == {"client.id": "me"}


@pytest.mark.parametrize(
    ("format", "options", "said"),
    [
        ("xml", {}, "expected: json, avro, protobuf"),
        ("avro", {}, "'schema.registry.url'"),
        ("protobuf", {}, "'protobuf.message'"),
        ("protobuf", {"protobuf.message": "no.such:Thing"}, "no message class there"),
    ],
)
def test_a_format_that_cannot_be_is_an_error(format: str, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=f"(?i){said}"):
        payload(format, "tests", dict(options))


def test_avro_goes_in_from_a_topic(registry: SchemaRegistry, tmp_path: Any) -> None:
    from skewless.ingest.stream.worker import StreamWorker
    from skewless.testing.kafka_servers import kafka
    from tests.ingest.stream.events import event, served_and_computed, source, store

    rows = []
    for number in range(20):
        given = event(number)
        rows.append(given | {"at": datetime.fromisoformat(given["at"]), "cost": Exact(1)})
    with kafka("noida") as server:
        server.create("tests")
        server.produce("tests", [(None, avro_bytes(registry, row)) for row in rows])
        stream = sl.Kafka(
            "tests", server.address, "avro", options={"schema.registry.url": registry.url}
        )
        with store(tmp_path, source(stream)) as fs:
            assert StreamWorker(fs.runtime, "tests").run(once=True).rows == 20
            served, computed = served_and_computed(fs)
            assert served == computed


def test_missing_libraries_say_how_to_install_them() -> None:
    code = (
        "import sys; sys.modules['fastavro'] = None\n"
        "from skewless.streams._payloads import payload\n"
        "payload('avro', 'tests', {'schema.registry.url': 'http://127.0.0.1:1'})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'confluent-kafka[avro,schemaregistry]'" in ran.stderr
