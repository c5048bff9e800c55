"""Schemas from Avro files: columns, types and words."""

import json
from pathlib import Path
from typing import Any

import pytest

import skewless as sl

FIELDS: list[dict[str, Any]] = [
    {"name": "card_id", "type": "string", "doc": "number of the card"},
    {"name": "amount", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}]},
    {"name": "count", "type": "int"},
    {"name": "score", "type": ["null", "float"], "default": None},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "born", "type": ["null", {"type": "int", "logicalType": "date"}]},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "shares", "type": {"type": "map", "values": "double"}},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
    {"name": "other", "type": ["null", "Kind"]},
    {"name": "place", "type": {"type": "record", "name": "Place", "fields": [{"name": "lat", "type": "double"}]}},
]  # fmt: skip


TREE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "value", "type": "int"}, {"name": "next", "type": ["null", "Node"]}],
}


def written(folder: Path, fields: Any = FIELDS, kind: str = "record") -> str:
    path = folder / "payment.avsc"
    path.write_text(json.dumps({"type": kind, "name": "Payment", "fields": fields}))
    return str(path)


def test_fields_become_columns_with_their_docs(tmp_path: Path) -> None:
    source = sl.Source("pays", schema=sl.Avro(written(tmp_path)), event_time="at")
    assert source.schema == {
        "card_id": sl.String, "amount": sl.Decimal(12, 2), "count": sl.Int32, "score": sl.Float32,
        "born": sl.Date, "tags": sl.List(str), "shares": sl.Map(float), "kind": sl.String,
        "other": sl.String, "place": sl.Struct({"lat": float}),
    }  # fmt: skip
    assert source.words["card_id"].description == "number of the card"
    assert source.words["count"].nulls is False
    assert "score" not in source.words


def test_a_path_is_relative_to_the_repo_while_it_is_read(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "features.py").write_text(
        'import skewless as sl\npays = sl.Source("pays", schema=sl.Avro("payment.avsc"), event_time="at")\n'
    )
    with sl.FeatureStore(tmp_path) as store:
        store.apply(store.plan())
        assert store.sources["pays"].schema["count"] == sl.Int32


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([{"name": "x", "type": ["string", "int"]}], "field 'x'"),
        ([{"name": "x", "type": "Nowhere"}], "Nowhere"),
        ([{"name": "x", "type": TREE}], "Got: Node. Where: field 'x'"),
        (
            [{"name": "x", "type": {"type": "bytes", "logicalType": "decimal"}}],
            "'precision'.*field 'x'",
        ),
        ([{"name": "x"}], "'type'.*field 'x'"),
        ({"name": "x", "type": "int"}, "no Avro schema"),
    ],
)
def test_what_no_column_can_have_names_the_field(tmp_path: Path, fields: Any, said: str) -> None:
    with pytest.raises(sl.DefinitionError, match=said):
        sl.Avro(written(tmp_path, fields))


def test_names_are_those_of_their_namespaces(tmp_path: Path) -> None:
    fields = [
        {"name": "a", "type": {"type": "enum", "name": "S", "symbols": ["X"]}},
        {"name": "b", "type": {"type": "fixed", "name": "S", "namespace": "other", "size": 2}},
        {"name": "c", "type": {"type": "fixed", "name": "third.T", "size": 2}},
        {"name": "d", "type": "S"},
        {"name": "e", "type": ["null", "com.x.S"]},
        {"name": "f", "type": "other.S"},
        {"name": "g", "type": {"type": "array", "items": "third.T"}},
    ]
    path = tmp_path / "payment.avsc"
    schema = {"type": "record", "name": "Payment", "namespace": "com.x", "fields": fields}
    path.write_text(json.dumps(schema))
    found = {name: column.dtype for name, column in sl.Avro(str(path)).items()}
    assert found == {
        "a": sl.String, "b": sl.Bytes, "c": sl.Bytes, "d": sl.String, "e": sl.String,
        "f": sl.Bytes, "g": sl.List(bytes),
    }  # fmt: skip


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(sl.DefinitionError, match="cannot be read"):
        sl.Avro(str(tmp_path / "nowhere.avsc"))
    with pytest.raises(sl.DefinitionError, match="no record"):
        sl.Avro(written(tmp_path, kind="enum"))
    (tmp_path / "bad.avsc").write_text("{")
    with pytest.raises(sl.DefinitionError, match="not JSON"):
        sl.Avro(str(tmp_path / "bad.avsc"))
