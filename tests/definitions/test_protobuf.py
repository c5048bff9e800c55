"""Schemas from Protobuf files: columns, types and words."""

import sys
from pathlib import Path

import pytest

import skewless as sl

PAYMENT = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
import "place.proto";

message Payment {
  // number of the card,
  // as printed
  string card_id = 1;
  optional float amount = 2;  // in euro
  int32 count = 3;
  uint32 small = 4;
  fixed64 large = 5;
  google.protobuf.Timestamp at = 6;
  google.protobuf.Duration took = 7;
  google.protobuf.BoolValue known = 8;
  google.protobuf.Struct more = 9;
  repeated string tags = 10;
  map<int32, double> shares = 11;
  enum Kind { A = 0; B = 1; }
  Kind kind = 12;
  geo.Place place = 13;
  message Line { bytes raw = 1; Line next = 2; }
  oneof how { bool cash = 14; string wire = 15; }
}
message Tree { repeated Tree children = 1; }
"""
PLACE = 'syntax = "proto3";\npackage geo;\nmessage Place { double lat = 1; }\n'


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "place.proto").write_text(PLACE)
    path = tmp_path / "payment.proto"
    path.write_text(PAYMENT)
    return str(path)


@pytest.mark.parametrize("name", ["Payment", "shop.Payment"])
def test_fields_become_columns_with_their_comments(file: str, name: str) -> None:
    source = sl.Source("pays", schema=sl.Protobuf(file, name), event_time="at")
    assert source.schema == {
        "card_id": sl.String, "amount": sl.Float32, "count": sl.Int32, "small": sl.Int64,
        "large": sl.Decimal(20, 0), "took": sl.Float64, "known": sl.Bool, "more": sl.Json,
        "tags": sl.List(str), "shares": sl.Map(float), "kind": sl.String,
        "place": sl.Struct({"lat": float}), "cash": sl.Bool, "wire": sl.String,
    }  # fmt: skip
    assert source.words["card_id"].description == "number of the card, as printed"
    assert source.words["amount"].description == "in euro"
    assert source.words["count"].nulls is False
    assert "known" not in source.words
    assert "wire" not in source.words


def test_a_path_is_relative_to_the_repo_while_it_is_read(file: str) -> None:
    repo = Path(file).parent
    (repo / "features.py").write_text(
        "import skewless as sl\n"
        'schema = sl.Protobuf("payment.proto", "Payment")\n'
        'pays = sl.Source("pays", schema=schema, event_time="at")\n'
    )
    with sl.FeatureStore(repo) as store:
        store.apply(store.plan())
        assert store.sources["pays"].schema["count"] == sl.Int32


def test_what_is_wrong_is_told(file: str, tmp_path: Path) -> None:
    with pytest.raises(sl.UnknownName, match=r"no message 'Pament'.*Did you mean 'Payment'"):
        sl.Protobuf(file, "Pament")
    with pytest.raises(sl.DefinitionError, match=r"field 'children'.*"):
        sl.Protobuf(file, "Tree")
    with pytest.raises(sl.DefinitionError, match="field 'next'"):
        sl.Protobuf(file, "Payment.Line")
    with pytest.raises(sl.DefinitionError, match="no file"):
        sl.Protobuf(str(tmp_path / "nowhere.proto"), "X")
    (tmp_path / "bad.proto").write_text("message {")
    with pytest.raises(sl.DefinitionError, match=r"not Protobuf.*bad.proto:1"):
        sl.Protobuf(str(tmp_path / "bad.proto"), "X")


def test_without_the_compiler_it_says_how_to_install_it(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grpc_tools", None)
    with pytest.raises(sl.MissingDependency, match=r"skewless\[protobuf\]"):
        sl.Protobuf(file, "Payment")
