"""Types of Avro and Protobuf messages, columns that take them, and messages that nothing can read."""

import io
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, time
from decimal import Decimal as Exact
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.definitions.decoded_values import Seconds, Symbol
from skewless.errors import InputError, StoreUnavailable
from skewless.ingest.validation import validate
from skewless.streams._payloads import Keys, RecordPayload, payload
from skewless.streams.keys import row_id_of
from skewless.types import (
    Bytes,
    Decimal,
    DType,
    Float64,
    Int64,
    Json,
    List,
    Map,
    String,
    Struct,
    Timestamp,
    Vector,
)
from tests.streams.registry import SchemaRegistry, schema_registry
from tests.test_codec import TYPES

fastavro = pytest.importorskip("fastavro")
pytest.importorskip("confluent_kafka.schema_registry.avro")
pytest.importorskip("confluent_kafka.schema_registry.protobuf")

KEY = UUID("12345678-1234-5678-1234-567812345678")


@pytest.fixture(scope="module")
def registry() -> Iterator[SchemaRegistry]:
    with schema_registry() as started:
        yield started


def record(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "Test", "fields": list(fields)}


def logical(name: str, kind: str) -> dict[str, Any]:
    return {"name": "x", "type": {"type": kind, "logicalType": name}}


def bare(schema: Any, row: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), row)
    return out.getvalue()


def of_schema(schema: Any, value: bytes, dtype: DType) -> Any:
    """What a column gets of a value of one schema, or the reason why it is poison."""
    made = payload("avro", "t", {"avro.schema": json.dumps(schema)}).decode([value], {"x": dtype})
    if made.poison:
        return made.poison[0][1]
    return dtype.coerce(made.rows[0]["x"])


@pytest.mark.parametrize(
    ("field", "given", "dtype", "value"),
    [
        (logical("uuid", "string"), KEY, String, str(KEY)),
        (logical("uuid", "string"), KEY, Bytes, KEY.bytes),
        (logical("time-millis", "int"), time(10, 0, 0, 250_000), String, "10:00:00.250000"),
        (logical("time-micros", "long"), time(10, 0, 1), String, "10:00:01"),
        (logical("local-timestamp-micros", "long"), datetime(2026, 1, 31, 10), String,
         "2026-01-31T10:00:00"),
        (logical("timestamp-millis", "long"), datetime(2026, 1, 31, tzinfo=UTC), Timestamp,
         datetime(2026, 1, 31, tzinfo=UTC)),
        ({"name": "x", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}}, "B", String,
         "B"),
        ({"name": "x", "type": {"type": "array", "items": logical("uuid", "string")["type"]}},
         [KEY], List(String), [str(KEY)]),
        ({"name": "x", "type": {"type": "map", "values": "bytes"}}, {"k": b"\xff"}, Map(Bytes),
         {"k": b"\xff"}),
        ({"name": "x", "type": {"type": "map", "values": "bytes"}}, {"k": b"\xff"}, Json,
         '{"k":"/w=="}'),
        ({"name": "x", "type": {"type": "array", "items": "float"}}, [0.5, 1.0], Vector(2),
         [0.5, 1.0]),
        ({"name": "x", "type": record(logical("uuid", "string") | {"name": "id"}) | {"name": "In"}},
         {"id": KEY}, Struct({"id": String}), {"id": str(KEY)}),
        ({"name": "x", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38,
                                "scale": 2}}, Exact("123456789012345678901234567890.12"),
         Decimal(38, 2), Exact("123456789012345678901234567890.12")),
    ],
    ids=lambda value: repr(value)[:50],
)  # fmt: skip
def test_an_avro_type_and_the_column_that_takes_it(
    field: dict[str, Any], given: Any, dtype: DType, value: Any
) -> None:
    schema = record(field)
    assert of_schema(schema, bare(schema, {"x": given}), dtype) == value


def test_a_local_time_is_no_moment(registry: SchemaRegistry) -> None:
    schema = record(logical("local-timestamp-micros", "long"))
    value = bare(schema, {"x": datetime(2026, 1, 31, 10)})
    with pytest.raises(ValueError, match="without a time zone"):
        of_schema(schema, value, Timestamp)


@pytest.mark.parametrize("micros", [253402300800000000, -62135596800000001, 2**62])
def test_a_time_beyond_the_calendar_is_poison_and_the_others_go_in(
    registry: SchemaRegistry, micros: int
) -> None:
    schema = record(logical("timestamp-micros", "long"))
    good = framed(registry, schema, {"x": datetime(2026, 1, 31, tzinfo=UTC)})
    far = good[:5] + bare(record({"name": "x", "type": "long"}), {"x": micros})
    decoder = payload("avro", "t", {"schema.registry.url": registry.url})
    made = decoder.decode([good, far, good], {"x": Timestamp})
    assert (list(made.taken), [number for number, _ in made.poison]) == ([0, 2], [1])


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=40), prefix=st.sampled_from([b"", b"\0\0\0\0\1", b"\1" + bytes(16)]))
def test_bytes_of_any_kind_are_rows_or_poison(
    registry: SchemaRegistry, body: bytes, prefix: bytes
) -> None:
    schema = json.dumps(
        record(logical("timestamp-micros", "long"), {"name": "y", "type": "string"})
    )
    if 1 not in registry.numbers():
        framed(registry, json.loads(schema), {"x": datetime(2026, 1, 31, tzinfo=UTC), "y": "a"})
    for decoder in (
        payload("json", "t", {}),
        payload("avro", "t", {"avro.schema": schema}),
        payload("avro", "t", {"schema.registry.url": registry.url}),
        payload("protobuf", "t", {"protobuf.message": "tests.streams.test_record_types:Pay"}),
    ):
        made = decoder.decode([prefix + body], {"x": Timestamp, "y": String})
        assert len(made.rows) + len(made.poison) == 1


def framed(
    registry: SchemaRegistry, schema: Any, row: Any, key: bool = False, headers: Any = None
) -> bytes:
    """A value (or a key) as confluent-kafka's own serializer writes it."""
    from confluent_kafka.schema_registry import (
        SchemaRegistryClient,
        header_schema_id_serializer,
    )
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    conf = None if headers is None else {"schema.id.serializer": header_schema_id_serializer}
    serialize = AvroSerializer(
        SchemaRegistryClient({"url": registry.url}), json.dumps(schema), conf=conf
    )
    field = MessageField.KEY if key else MessageField.VALUE
    return serialize(row, SerializationContext("t", field, headers))


def test_a_schema_named_in_a_header_is_found(registry: SchemaRegistry) -> None:
    schema = record({"name": "x", "type": "long"}, {"name": "y", "type": "string"})
    headers: list[tuple[str, bytes]] = []
    named = framed(registry, schema, {"x": 7, "y": "a longer text"}, headers=headers)
    plain = framed(registry, schema, {"x": 8, "y": "another text"})
    assert [name for name, _ in headers] == ["__value_schema_id"]
    decoder = payload("avro", "t", {"schema.registry.url": registry.url})
    made = decoder.decode([named, plain], {"x": Int64}, [headers, None])
    assert made.rows == [{"x": 7}, {"x": 8}]


def test_json_of_a_schema_registry_is_read_without_its_first_bytes() -> None:
    text = b'{"x": 7}'
    values = [struct.pack(">bI", 0, 3) + text, b"\1" + bytes(16) + text, text, b"\0", b"\0\0\0\0\1"]
    made = payload("json", "t", {}).decode(values, {"x": Int64})
    assert made.rows.to_pylist() == [{"x": 7}] * 3
    assert [number for number, _ in made.poison] == [3, 4]


def test_avro_without_a_registry_is_read_by_the_schema_of_the_definition(tmp_path: Path) -> None:
    schema = record({"name": "x", "type": "long"}, {"name": "y", "type": "string"})
    (tmp_path / "pay.avsc").write_text(json.dumps(schema))
    good = bare(schema, {"x": 7, "y": "a"})
    for said in ("pay.avsc", json.dumps(schema)):
        decoder = payload("avro", "t", {"avro.schema": said}, tmp_path)
        made = decoder.decode([good, good + b"\0", good[:-1], b""], {"x": Int64, "z": Int64})
        assert made.rows == [{"x": 7, "z": None}]
        assert [number for number, _ in made.poison] == [1, 2, 3]
        assert "1 bytes follow the record" in made.poison[0][1]


@pytest.mark.parametrize(
    ("format", "options", "said"),
    [
        ("avro", {"avro.schema": "nowhere.avsc"}, "no Avro schema.*nowhere.avsc"),
        ("avro", {"avro.schema": "{}"}, "no Avro schema"),
        ("avro", {"avro.schema": '{"type": "record"}'}, "no Avro schema"),
        ("avro", {"avro.schema": '"long"', "schema.registry.url": "http://x"}, "one of them"),
        ("json", {"avro.schema": '"long"'}, "'avro.schema' is for avro messages"),
        ("avro", {"avro.schema": '"long"', "protobuf.message": "a:B"}, "for protobuf messages"),
    ],
)
def test_a_schema_that_cannot_be_is_an_error(
    tmp_path: Path, format: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=f"(?s){said}"):
        payload(format, "t", dict(options), tmp_path)


def pay_type() -> Any:
    """A message of proto3's well-known types, as protoc would make it."""
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        duration_pb2,
        message_factory,
        struct_pb2,
        wrappers_pb2,
    )

    pool = descriptor_pool.DescriptorPool()
    for module in (wrappers_pb2, duration_pb2, struct_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name="pay.proto", package="shop", syntax="proto3")
    file.dependency.extend(f"google/protobuf/{n}.proto" for n in ("wrappers", "duration", "struct"))
    fields = descriptor_pb2.FieldDescriptorProto
    colour = file.enum_type.add(name="Colour")
    colour.value.add(name="NO_COLOUR", number=0)
    colour.value.add(name="RED", number=1)
    message = file.message_type.add(name="Pay")
    line = message.nested_type.add(name="Line")
    line.field.add(name="sku", number=1, type=fields.TYPE_STRING, label=1)
    line.field.add(name="price", number=2, type=fields.TYPE_MESSAGE, label=1,
                   type_name=".google.protobuf.DoubleValue")  # fmt: skip
    known = {"amount": "DoubleValue", "n": "Int64Value", "flag": "BoolValue", "raw": "BytesValue",
             "took": "Duration", "meta": "Struct", "any": "Value"}  # fmt: skip
    for number, (name, kind) in enumerate(known.items(), 1):
        message.field.add(name=name, number=number, type=fields.TYPE_MESSAGE, label=1,
                          type_name=f".google.protobuf.{kind}")  # fmt: skip
    message.field.add(name="colour", number=8, type=fields.TYPE_ENUM, label=1,
                      type_name=".shop.Colour")  # fmt: skip
    message.field.add(name="lines", number=9, type=fields.TYPE_MESSAGE, label=3,
                      type_name=".shop.Pay.Line")  # fmt: skip
    message.field.add(name="counts", number=10, type=fields.TYPE_MESSAGE, label=3,
                      type_name=".shop.Pay.CountsEntry")  # fmt: skip
    entry = message.nested_type.add(name="CountsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=fields.TYPE_INT32, label=1)
    entry.field.add(name="value", number=2, type=fields.TYPE_INT64, label=1)
    message.field.add(name="colours", number=11, type=fields.TYPE_ENUM, label=3,
                      type_name=".shop.Colour")  # fmt: skip
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Pay"))


Pay = pay_type()
LINE = Struct({"sku": str, "price": float})


@pytest.mark.parametrize(
    ("name", "dtype", "value", "unset"),
    [
        ("amount", Float64, 3.5, None),
        ("n", Int64, 0, None),
        ("flag", Json, "false", None),
        ("raw", Bytes, b"\xff", None),
        ("took", Float64, 1.5, None),
        ("took", String, "1.500s", None),
        ("meta", Json, '{"a":[1,{"b":null}]}', None),
        ("any", Json, '"text"', None),
        ("colour", String, "RED", "NO_COLOUR"),
        ("colour", Int64, 1, 0),
        ("colours", List(String), ["RED", "NO_COLOUR"], []),
        ("lines", List(LINE), [{"sku": "a", "price": 2.5}, {"sku": "b", "price": None}], []),
        ("lines", Json, '[{"price":2.5,"sku":"a"},{"price":null,"sku":"b"}]', "[]"),
        ("counts", Map(Int64), {"7": 1}, {}),
    ],
)
def test_a_protobuf_type_and_the_column_that_takes_it(
    name: str, dtype: DType, value: Any, unset: Any
) -> None:
    message = Pay(colour=1, colours=[1, 0])
    message.amount.value, message.n.value, message.flag.value = 3.5, 0, False
    message.raw.value = b"\xff"
    message.took.FromMilliseconds(1500)
    message.meta.update({"a": [1, {"b": None}]})
    message.any.string_value = "text"
    message.lines.add(sku="a").price.value = 2.5
    message.lines.add(sku="b")
    message.counts[7] = 1
    decoder = payload("protobuf", "t", {"protobuf.message": "tests.streams.test_record_types:Pay"})
    values = [b"\0\0\0\0\1\0" + each.SerializeToString() for each in (message, Pay())]
    made = decoder.decode(values, {name: dtype})
    assert made.poison == []
    assert [dtype.coerce(row[name]) for row in made.rows] == [value, unset]


# ------------------------------------------------------------------------------------------- keys

ONE, TWO = {"pay_id": String}, {"lot": String, "wafer": Int64}
KEY_RECORD = {"type": "record", "name": "Key", "fields": [
    {"name": "lot", "type": "string"}, {"name": "wafer", "type": "long"},
    {"name": "pay_id", "type": "string"}]}  # fmt: skip


def named(keys: Keys, key: bytes | None, columns: dict[str, DType], headers: Any = None) -> Any:
    return row_id_of(keys.decode(key, headers), columns)


def test_a_key_names_a_row_in_each_form_that_producers_write(registry: SchemaRegistry) -> None:
    keys = Keys("t", {"url": registry.url})
    whole = {"lot": "L1", "wafer": 3, "pay_id": "W1"}
    as_record = framed(registry, KEY_RECORD, whole, key=True)
    headers: list[tuple[str, bytes]] = []
    in_header = framed(registry, KEY_RECORD, whole, key=True, headers=headers)
    payload_json = json.dumps({"schema": {"type": "struct"}, "payload": whole}).encode()
    of_json_schema = struct.pack(">bI", 0, 5) + json.dumps(whole).encode()
    for key, beside in (
        (as_record, None), (in_header, headers), (payload_json, None), (of_json_schema, None),
        (json.dumps(whole).encode(), None),
    ):  # fmt: skip
        assert named(keys, key, ONE, beside) == "W1"
        assert named(keys, key, TWO, beside) == ("L1", 3)
    assert named(keys, framed(registry, "string", "W1", key=True), ONE) == "W1"
    assert named(keys, framed(registry, "long", 7, key=True), {"id": Int64}) == 7
    assert named(keys, b"W1", ONE) == "W1"
    assert named(keys, b'{"schema": {}, "payload": "W1"}', ONE) == "W1"
    assert named(keys, b'{"schema": {}, "payload": 17}', {"id": Int64}) == 17
    both = {"schema": String, "payload": String}
    assert named(keys, b'{"schema": "a", "payload": "b"}', both) == ("a", "b")
    assert named(keys, None, ONE) is None


def test_a_key_that_cannot_be_read_says_why(registry: SchemaRegistry) -> None:
    key = framed(registry, KEY_RECORD, {"lot": "L1", "wafer": 3, "pay_id": "W1"}, key=True)
    with pytest.raises(ValueError, match="no option 'schema.registry.url'"):
        Keys("t", {}).decode(key, None)
    with pytest.raises(ValueError, match="not in the Schema Registry"):
        Keys("t", {"url": registry.url}).decode(b"\0\0\0\0\x63" + key[5:], None)
    with pytest.raises(ValueError, match="Error"):
        Keys("t", {"url": registry.url}).decode(key[:6], None)
    nowhere = {"url": "http://127.0.0.1:1", "max.retries": 0}
    with pytest.raises(StoreUnavailable):
        Keys("t", nowhere).decode(key, None)


# -------------------------------------------------------------------------------------- admission

ODD_DECODED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.binary(max_size=4) | st.uuids() | st.times() | st.datetimes() | st.timedeltas()
    | st.datetimes(timezones=st.just(UTC)) | st.decimals(allow_nan=True) | st.dates()
    | st.builds(Seconds, st.integers(), st.text(max_size=3))
    | st.builds(Symbol, st.integers(0, 3), st.none() | st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=2) | st.integers() | st.booleans(), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
HEADER = {"event_time": "at", "row_id": "id"}


@settings(max_examples=300, deadline=None)
@given(dtype=TYPES, values=st.lists(ODD_DECODED, min_size=1, max_size=4))
def test_what_a_decoder_gives_is_admitted_or_set_aside_with_the_column(
    dtype: DType, values: list[Any]
) -> None:
    """As the stream's worker admits it: whatever it is, the rows beside it go in."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    of = sl.Source("rows", schema={"id": int, "x": dtype}, **HEADER)

    def one(value: bytes, _: Any) -> Any:
        number = int(value)
        return {"id": number, "at": at, "x": values[number] if number < len(values) else None}

    made = RecordPayload(one).decode([b"%d" % n for n in range(len(values) + 1)], of.columns)
    now = int(at.timestamp() * 1_000_000) + 1
    admitted = validate(of, made.rows, now=now, backdate=False)
    assert len(admitted.event) + len(admitted.rejected) + len(made.poison) == len(values) + 1
    assert len(values) in admitted.batch.column("id").to_pylist()
    assert all("x" in rejected.reason for rejected in admitted.rejected)
