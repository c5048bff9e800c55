"""Columns that lie deep in a message, in its key, its headers or its time."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import skewless as sl
from skewless.definitions.source import Source
from skewless.errors import DefinitionError, UnknownName
from skewless.ingest.stream.worker import StreamWorker
from skewless.streams._payloads import RecordPayload
from skewless.streams.decoding import Decoded, JsonRows
from skewless.streams.envelopes import EnvelopeRows
from skewless.testing.kafka_servers import KafkaServer, kafka
from skewless.types import Decimal, Float64, Int64, Json, List, Map, String, Timestamp

COLUMNS = {
    "n": Int64, "x": Float64, "s": String, "d": Decimal(20, 10), "at": Timestamp,
    "many": List(Float64), "by": Map(Int64), "any": Json,
}  # fmt: skip
PATHS = {name: ("payload", "after", name) for name in COLUMNS}
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.floats()),
    st.dictionaries(st.text(), st.integers()), st.just("2026-01-01T00:00:00Z"),
)  # fmt: skip
SCHEMA = {"pay_id": str, "card_id": str, "amount": float, "region": str}


def outcome(made: Decoded) -> Any:
    rows = made.rows if isinstance(made.rows, list) else made.rows.to_pylist()
    return repr(rows), list(made.taken), made.poison


@given(st.lists(st.dictionaries(st.sampled_from(list(COLUMNS)), VALUES), max_size=4))
def test_a_value_means_the_same_at_the_top_and_deep_in_an_envelope(
    rows: list[dict[str, Any]],
) -> None:
    flat = [json.dumps(row).encode() for row in rows]
    deep = [json.dumps({"op": "c", "payload": {"after": row, "n": 1}}).encode() for row in rows]
    expected = outcome(JsonRows(COLUMNS).decode(flat))
    assert outcome(EnvelopeRows(COLUMNS, PATHS).decode(deep)) == expected
    # Where msgspec does not read a message, Python does: its other fields are nobody's business.
    odd = [text[:-1] + b', "odd": NaN}' for text in deep]
    assert outcome(EnvelopeRows(COLUMNS, PATHS).decode(odd)) == expected


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("{}", {"x": None, "y": None}),
        ('{"a": null}', {"x": None, "y": None}),
        ('{"a": {"b": null}}', {"x": None, "y": None}),
        ('{"a": {"b": {"x": 0.1}, "x": 2}, "y": 3}', {"x": 0.1, "y": 3.0}),
        ('{"a": {"b": {"x": 0.1}}, "odd": Infinity}', {"x": 0.1, "y": None}),
    ],
)
def test_a_place_that_is_not_there_is_null(text: str, row: dict[str, Any]) -> None:
    made = EnvelopeRows({"x": Float64, "y": Float64}, {"x": ("a", "b", "x")}).decode(
        [text.encode()]
    )
    assert outcome(made) == (repr([row]), [0], [])


def test_a_column_may_lie_inside_of_another() -> None:
    columns = {"after": Json, "x": Float64, "again": Float64}
    paths = {"x": ("after", "x"), "again": ("after", "x")}
    made = EnvelopeRows(columns, paths).decode([b'{"after": {"x": 1.50, "y": [1]}}'])
    assert made.rows == [{"after": '{"x":1.5,"y":[1]}', "x": 1.5, "again": 1.5}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 7}', "a is no object but int"),
        ('{"a": {"b": [1]}}', "a.b is no object but list"),
        ("[]", "not a JSON object but list"),
        ("oops", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_something_else_where_an_object_should_be_is_poison(text: str, reason: str) -> None:
    rows = EnvelopeRows({"x": Float64}, {"x": ("a", "b", "x")})
    made = rows.decode([b'{"a": {"b": {"x": 1}}}', text.encode(), b"{}"])
    assert outcome(made) == (repr([{"x": 1.0}, {"x": None}]), [0, 2], [(1, reason)])


def test_columns_lie_deep_in_records_of_avro_and_protobuf() -> None:
    messages = [{"op": "c", "after": {"x": 0.5}}, {"after": None}, {"after": 7}]
    payload = RecordPayload(lambda value, _: messages[int(value)], {"x": ("after", "x")})
    made = payload.decode([b"0", b"1", b"2"], {"x": Float64, "op": String})
    assert made.rows == [{"x": 0.5, "op": "c"}, {"x": None, "op": None}]
    assert made.poison == [(2, "after is no object but int")]


def test_columns_lie_deep_in_lines_of_a_file(tmp_path: Path) -> None:
    source = pays(sl.Files("landing", columns={"amount": "after.amount", "card_id": "after.card"}))
    row = {"pay_id": "p1", "at": AGO.isoformat(), "after": {"amount": 2.5, "card": "c1"}}
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert spent(tmp_path, source) == {"n": 1, "total": 2.5}


# -------------------------------------------------------------------------------------- messages


AGO = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
ROW = {"pay_id": "W1", "card_id": "c1", "amount": 3.0, "at": AGO.isoformat(), "region": "eu"}


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    with kafka("noida") as started:
        yield started


def pays(stream: sl.Kafka | sl.Files, **changes: Any) -> Source:
    options = {"schema": SCHEMA, "event_time": "at", "row_id": "pay_id"} | changes
    return Source("pays", stream=stream, **options)


def spent(folder: Path, source: Source) -> dict[str, Any]:
    """Run the stream to its end; return what the card has then."""
    card = sl.Entity("card", card_id=str)
    features = {"n": source.count("1h"), "total": source.amount.sum("1h")}
    with sl.FeatureStore(folder) as fs:
        fs.apply(fs.plan(sl.FeatureView("Spend", entity=card, source=source, features=features)))
        StreamWorker(fs.runtime, "pays").run(once=True)
        assert [bad.reason for bad in fs.quarantine("pays")] == []
        (row,) = fs.get_online_features("Spend", [{"card_id": "c1"}]).to_rows()
        return row


def without(*names: str) -> bytes:
    return json.dumps({name: value for name, value in ROW.items() if name not in names}).encode()


MESSAGES: dict[str, tuple[dict[str, Any], bytes, bytes, dict[str, Any]]] = {
    "envelope of changes": (
        {name: f"after.{name}" for name in ROW},
        b'{"pay_id":"W1"}',
        json.dumps({"op": "c", "before": None, "after": ROW}).encode(),
        {},
    ),
    "schema and payload": (
        {name: f"payload.{name}" for name in ROW},
        b"W1",
        json.dumps({"schema": {}, "payload": ROW}).encode(),
        {},
    ),
    "row id in the key": ({"pay_id": sl.key()}, b"W1", without("pay_id"), {}),
    "entity in the key": (
        {"card_id": sl.key("card")},
        b'{"card": "c1", "x": 1}',
        without("card_id"),
        {},
    ),
    "time of the message": ({"at": sl.message_time()}, b"W1", without("at"), {}),
    "a header": (
        {"card_id": sl.header("who")},
        b"W1",
        without("card_id"),
        {"headers": [("who", b"c0"), ("who", b"c1")]},
    ),
    "a number in a header": (
        {"amount": sl.header("amount")},
        b"W1",
        without("amount"),
        {"headers": [("amount", b"3.0")]},
    ),
}


@pytest.mark.server("kafka")
@pytest.mark.parametrize("case", MESSAGES)
def test_a_message_says_where_its_columns_lie(
    broker: KafkaServer, tmp_path: Path, case: str
) -> None:
    columns, key, value, options = MESSAGES[case]
    topic = case.replace(" ", "-")
    broker.create(topic)
    broker.produce(topic, [(key, value)], at=int(AGO.timestamp() * 1000), **options)
    found = spent(tmp_path, pays(sl.Kafka(topic, broker.address, columns=columns)))
    assert found == {"n": 1, "total": 3.0}


@pytest.mark.server("kafka")
def test_a_key_and_a_header_of_another_type_are_poison_with_their_reason(
    broker: KafkaServer, tmp_path: Path
) -> None:
    from skewless.streams.kafka import KafkaReader

    broker.create("odd-keys")
    broker.produce("odd-keys", [(b"\xff", b"{}"), (b"x7", b"{}"), (b"7", b"{}"), (None, b"{}")])
    broker.produce("odd-keys", [(b"1", b"{}")], headers=[("h", b"no number")])
    places = {"n": sl.key(), "h": sl.header("h")}
    with KafkaReader(sl.Kafka("odd-keys", broker.address, columns=places)) as reader:
        reader.typed({"n": Int64, "h": Float64})
        reader.open(None)
        rows: list[Any] = []
        poison: list[Any] = []
        while len(rows) + len(poison) < 5:
            batch = reader.read(100, 1.0)
            rows += batch.rows if isinstance(batch.rows, list) else batch.rows.to_pylist()
            poison += batch.poison
    assert sorted(rows, key=repr) == [{"n": 7, "h": None}, {"n": None, "h": None}]
    reasons = [(each.origin, each.reason.split(":")[0]) for each in poison]
    assert sorted(reasons) == [
        ("odd-keys[0]@0", "its key"),
        ("odd-keys[0]@1", "its key"),
        ("odd-keys[0]@4", "its header"),
    ]


# ------------------------------------------------------------------------------------ definition


def test_a_source_comes_back_from_a_registry_with_its_places() -> None:
    columns = {"amount": "a.b", "card_id": sl.key(), "at": sl.message_time()}
    source = pays(sl.Kafka("t", "localhost:9092", columns=columns))
    again = Source.from_dict(json.loads(json.dumps(source.to_dict())))
    assert again.to_dict() == source.to_dict()
    assert again.stream == source.stream


@pytest.mark.parametrize("place", ["", "a..b", ".a", 7, None, sl.header(""), ("a", "b")])
def test_what_is_no_place_is_an_error_of_the_definition(place: Any) -> None:
    with pytest.raises(DefinitionError, match="no place of column 'amount'"):
        sl.Kafka("t", "localhost:9092", columns={"amount": place})


@pytest.mark.parametrize("place", [sl.key(), sl.header("h"), sl.message_time()])
def test_files_have_no_keys_headers_and_times(place: Any) -> None:
    with pytest.raises(DefinitionError, match="no place of column 'amount'"):
        sl.Files("landing", columns={"amount": place})


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_places_in_files_are_those_of_json(format: str) -> None:
    with pytest.raises(DefinitionError, match="columns= is for JSON"):
        sl.Files("landing", format, columns={"amount": "a.b"})


def test_places_of_columns_that_a_source_does_not_have_are_refused() -> None:
    with pytest.raises(UnknownName, match="'amont'"):
        pays(sl.Kafka("t", "localhost:9092", columns={"amont": "a.b"}))


@pytest.mark.parametrize("time", ["amount", "epoch"])
def test_the_time_of_a_message_is_no_number(time: str) -> None:
    event_time = sl.Epoch("at", "ms") if time == "epoch" else "at"
    columns = {"at" if time == "epoch" else "amount": sl.message_time()}
    with pytest.raises(DefinitionError, match="the time of a message is no"):
        pays(sl.Kafka("t", "localhost:9092", columns=columns), event_time=event_time)
