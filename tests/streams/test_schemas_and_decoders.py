"""A column of a schema file has the type that the decoder of its messages fills, for every type."""

import io
import itertools
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as Exact
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.formatting import same_bits
from skewless.streams._payloads import payload

fastavro = pytest.importorskip("fastavro")

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
IN_FIXTURE: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}


class Kind(NamedTuple):
    """A type as it stands in a schema, values of it, and what a column gets of one."""

    avro: Any
    values: st.SearchStrategy[Any]
    column: Callable[[Any], Any] = lambda value: value


def logical(base: str, logical_type: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": logical_type, **more}


def to_millis(value: Any) -> Any:
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def local() -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))


def iso(value: Any) -> str:
    return str(value.isoformat())


moments = local().map(lambda value: value.replace(tzinfo=UTC))
times = st.times()
PLAIN = [
    Kind("boolean", st.booleans()),
    Kind("int", st.integers(-(2**31), 2**31 - 1)),
    Kind("long", st.integers(-(2**63), 2**63 - 1)),
    Kind("float", st.floats(width=32, allow_nan=False)),
    Kind("double", st.floats(allow_nan=False)),
    Kind("string", TEXT),
    Kind("bytes", st.binary(max_size=5)),
    Kind(logical("long", "timestamp-millis"), moments.map(to_millis)),
    Kind(logical("long", "timestamp-micros"), moments),
    Kind(logical("long", "local-timestamp-millis"), local().map(to_millis), iso),
    Kind(logical("long", "local-timestamp-micros"), local(), iso),
    Kind(logical("int", "time-millis"), times.map(to_millis), iso),
    Kind(logical("long", "time-micros"), times, iso),
    Kind(logical("int", "date"), st.dates(date(1900, 1, 1), date(2200, 1, 1))),
    Kind(logical("string", "uuid"), st.uuids(), str),
    Kind(logical("bytes", "decimal", precision=9, scale=2), st.decimals(-9999, 9999, places=2)),
    Kind(
        logical("bytes", "decimal", precision=38), st.integers(-(10**38) + 1, 10**38 - 1).map(Exact)
    ),
    Kind(logical("long", "timestamp-nanos"), st.integers(0, 2**62)),  # no decoder knows it
    Kind(logical("string", "timestamp-millis"), TEXT),  # nor this, on text
]
_numbers = itertools.count()


@st.composite
def kinds(draw: st.DrawFn, depth: int = 2) -> Kind:
    names = next(_numbers)
    made = ["plain", "enum", "fixed", "fixed decimal", "fixed uuid"]
    made += ["nullable", "array", "map", "record"] if depth else []
    which = draw(st.sampled_from(made))
    inner = draw(kinds(depth - 1)) if which in ("nullable", "array", "map") else None
    match which:
        case "enum":
            symbols = ["A", "B", "c_1"]
            return Kind(
                {"type": "enum", "name": f"E{names}", "symbols": symbols}, st.sampled_from(symbols)
            )
        case "fixed":
            return Kind(
                {"type": "fixed", "name": f"F{names}", "size": 3}, st.binary(min_size=3, max_size=3)
            )
        case "fixed decimal":
            avro = logical("fixed", "decimal", name=f"D{names}", size=8, precision=12, scale=3)
            return Kind(avro, st.decimals(-99999, 99999, places=3))
        case "fixed uuid":
            avro = logical("fixed", "uuid", name=f"U{names}", size=16)
            return Kind(avro, st.binary(min_size=16, max_size=16))
        case "nullable" if inner is not None and not isinstance(inner.avro, list):
            union = draw(st.permutations(["null", inner.avro]))
            column = inner.column
            return Kind(union, st.none() | inner.values, lambda v: None if v is None else column(v))
        case "array" if inner is not None:
            column = inner.column
            many = st.lists(inner.values, max_size=3)
            return Kind({"type": "array", "items": inner.avro}, many, lambda v: [*map(column, v)])
        case "map" if inner is not None:
            column = inner.column
            return Kind(
                {"type": "map", "values": inner.avro},
                st.dictionaries(TEXT, inner.values, max_size=3),
                lambda v: {key: column(item) for key, item in sorted(v.items())},
            )
        case "record":
            return record(draw(st.lists(kinds(depth - 1), min_size=1, max_size=3)), f"R{names}")
    return draw(st.sampled_from(PLAIN))


def record(inner: list[Kind], name: str) -> Kind:
    of = {f"f{number}": kind for number, kind in enumerate(inner)}
    fields = [{"name": field, "type": kind.avro} for field, kind in of.items()]
    values = st.fixed_dictionaries({field: kind.values for field, kind in of.items()})
    return Kind(
        {"type": "record", "name": name, "fields": fields}, values,
        lambda v: {field: kind.column(v[field]) for field, kind in of.items()},
    )  # fmt: skip


def written(avro: Any, row: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(avro), row)
    return out.getvalue()


def columns_of(folder: Path, avro: Any) -> dict[str, Any]:
    path = folder / "rows.avsc"
    path.write_text(json.dumps(avro))
    return {name: column.dtype for name, column in sl.Avro(str(path)).items()}


@settings(**IN_FIXTURE)
@given(made=st.lists(kinds(), min_size=1, max_size=4), data=st.data())
def test_a_message_of_avro_is_a_row_of_its_schemas_columns(
    tmp_path: Path, made: list[Kind], data: st.DataObject
) -> None:
    rows = record(made, "Rows")
    given = data.draw(rows.values)
    columns = columns_of(tmp_path, rows.avro)
    decoder = payload("avro", "t", {"avro.schema": json.dumps(rows.avro)})
    found = decoder.decode([written(rows.avro, given)], columns)
    assert found.poison == []
    for name, value in rows.column(given).items():
        assert same_bits(columns[name].coerce(found.rows[0][name]), columns[name].coerce(value))
        assert columns[name].coerce(value) == value


BASES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(), "int": st.integers(0, 40_000), "long": st.integers(0, 40_000),
    "float": st.floats(width=32), "double": st.floats(), "string": st.uuids().map(str),
    "bytes": st.binary(max_size=3), "fixed": st.binary(max_size=3).map(lambda end: end.rjust(12, b"\0")),
}  # fmt: skip
LOGICAL = ["timestamp-millis", "timestamp-micros", "timestamp-nanos", "local-timestamp-millis",
           "local-timestamp-micros", "local-timestamp-nanos", "time-millis", "time-micros", "date",
           "uuid", "duration", "decimal", "big-decimal", "made-up"]  # fmt: skip


@pytest.mark.parametrize("name", LOGICAL)
@pytest.mark.parametrize("base", BASES)
@settings(max_examples=5, **IN_FIXTURE)
@given(data=st.data())
def test_a_logical_type_on_any_other_is_what_the_decoder_gives(
    tmp_path: Path, base: str, name: str, data: st.DataObject
) -> None:
    plain: dict[str, Any] = {"type": base}
    if base == "fixed":
        plain |= {"name": "F", "size": 12}
    of_decimals = {"precision": 12, "scale": 2} if name == "decimal" else {}
    avro, bare = (
        {"type": "record", "name": "Rows", "fields": [{"name": "x", "type": kind}]}
        for kind in (plain | {"logicalType": name} | of_decimals, plain)
    )
    columns = columns_of(tmp_path, avro)
    value = written(bare, {"x": data.draw(BASES[base])})
    found = payload("avro", "t", {"avro.schema": json.dumps(avro)}).decode([value], columns)
    assert found.poison == []
    columns["x"].coerce(found.rows[0]["x"])


# --------------------------------------------------------------------------------------- Protobuf

SCALARS = ["double", "float", "bool", "string", "bytes", "int32", "sint32", "sfixed32", "int64",
           "sint64", "sfixed64", "uint32", "fixed32", "uint64", "fixed64", "Kind", "Line"]  # fmt: skip
KNOWN = ["Timestamp", "Duration", "Struct", "Value", "ListValue", "DoubleValue", "FloatValue",
         "Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue", "StringValue",
         "BytesValue", "FieldMask"]  # fmt: skip


def proto() -> str:
    """A message with a field of each type, alone, that may be unset, repeated and in a map."""
    types = [*SCALARS, *(f"google.protobuf.{name}" for name in KNOWN)]
    fields = []
    for kind in types:
        name = kind.rpartition(".")[2].lower()
        for form, before in (("one", ""), ("maybe", "optional "), ("many", "repeated ")):
            fields.append(f"{before}{kind} {name}_{form}")
        fields.append(f"map<string, {kind}> {name}_map")
    numbered = "".join(f"  {field} = {n};\n" for n, field in enumerate(fields, 1))
    files = ("timestamp", "duration", "struct", "wrappers", "field_mask")
    imports = "".join(f'import "google/protobuf/{file}.proto";\n' for file in files)
    return (
        f'syntax = "proto3";\npackage every;\n{imports}message Rows {{\n{numbered}}}\n'
        "enum Kind { A = 0; B = 1; }\nmessage Line { float price = 1; Kind kind = 2; }\n"
    )


@pytest.fixture(scope="module")
def rows_type(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    """The columns of the message, and its class, where `payload` finds it."""
    pytest.importorskip("grpc_tools")
    pytest.importorskip("confluent_kafka.schema_registry.protobuf")
    from google.protobuf import message_factory

    from skewless.definitions.protobuf import _compiled

    file = tmp_path_factory.mktemp("proto") / "rows.proto"
    file.write_text(proto())
    columns = {name: column.dtype for name, column in sl.Protobuf(str(file), "Rows").items()}
    pool, _ = _compiled(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("every.Rows"))
    globals()["Rows"] = made
    return columns, made


def field_values(field: Any) -> st.SearchStrategy[Any]:
    """What protobuf's own JSON may hold for a field that is no message."""
    if field.enum_type is not None:
        return st.sampled_from(["A", "B"])
    return {
        field.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
        field.CPPTYPE_FLOAT: st.floats(width=32, allow_nan=False, allow_infinity=False),
        field.CPPTYPE_BOOL: st.booleans(),
        field.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
        field.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
        field.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
        field.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
        field.CPPTYPE_STRING: TEXT if field.type == field.TYPE_STRING else st.just("AP8="),
    }[field.cpp_type]


def message_values(kind: Any) -> st.SearchStrategy[Any]:
    """What protobuf's own JSON may hold for a message."""
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    anything = st.none() | st.booleans() | numbers | TEXT
    match kind.full_name.rpartition(".")[2]:
        case "Timestamp":
            return moments.map(lambda at: at.isoformat().replace("+00:00", "Z"))
        case "Duration":
            return st.integers(-(10**9), 10**9).map(lambda millis: f"{millis / 1000:.3f}s")
        case "FieldMask":
            return st.sampled_from(["", "a,b"])
        case "Struct":
            return st.dictionaries(TEXT, anything | st.lists(anything, max_size=2), max_size=2)
        case "Value":
            return st.booleans() | numbers | TEXT | st.lists(anything, max_size=2)
        case "ListValue":
            return st.lists(anything, max_size=2)
        case name if name.endswith("Value"):
            return field_values(kind.fields_by_name["value"])
    return st.fixed_dictionaries({each.name: field_values(each) for each in kind.fields})


@settings(max_examples=60, **IN_FIXTURE)
@given(data=st.data())
def test_a_message_of_protobuf_is_a_row_of_its_schemas_columns(
    rows_type: tuple[dict[str, Any], Any], data: st.DataObject
) -> None:
    from google.protobuf.json_format import ParseDict

    columns, made = rows_type
    field = made.DESCRIPTOR.fields_by_name[data.draw(st.sampled_from(sorted(columns)))]
    kind = field.message_type
    in_map = kind is not None and kind.GetOptions().map_entry
    one = kind.fields_by_name["value"] if in_map else field
    inner = one.message_type
    values = field_values(one) if inner is None else message_values(inner)
    if in_map:
        values = st.dictionaries(TEXT, values, max_size=2)
    elif field.is_repeated:
        values = st.lists(values, max_size=2)
    said = data.draw(st.just({}) | st.fixed_dictionaries({field.name: values}))
    message = ParseDict(said, made())
    decoder = payload("protobuf", "t", {"protobuf.message": f"{__name__}:Rows"})
    found = decoder.decode([b"\0\0\0\0\1\0" + message.SerializeToString()], columns)
    assert found.poison == []
    row = {name: dtype.coerce(found.rows[0][name]) for name, dtype in columns.items()}
    if inner is None and said and one.type != one.TYPE_BYTES:
        wanted = columns[field.name].coerce(said[field.name])
        assert same_bits(row[field.name], wanted)
    if said and not field.is_repeated:
        assert row[field.name] is not None
    if not said:
        assert row[field.name] in (None, 0, 0.0, "", b"", False, "A", [], {})
