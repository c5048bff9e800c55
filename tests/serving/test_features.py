"""Reads over HTTP give what reads in process give, in every form."""

import base64
import io
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import skewless as sl
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import call
from tests.serving.conftest import NOW, payment

CARDS = [{"card_id": f"c{n}"} for n in (1, 2, 3, 4, 9)]
OURS, FEAST = "/v1/features", "/get-online-features"
ARROW = "application/vnd.apache.arrow.stream"


def read(app: App, **body: Any) -> Any:
    answer = call(app, "POST", "/v1/features", {"entities": CARDS, **body})
    assert answer.status == 200, answer.body
    return answer.data


def test_values_and_statuses_are_those_of_a_read_in_process(
    app: App, store: sl.FeatureStore
) -> None:
    found = read(app, service="fraud")
    expected = store.get_online_features("fraud", CARDS)
    columns = expected.to_dict()
    del columns["card_id"]
    columns["total"][1] = columns["mean"][1] = "Infinity"
    assert found["values"] == columns
    assert found["statuses"] == expected.to_statuses()
    assert found["at"] == "2026-01-01T10:00:00.000000Z"


def test_entities_come_as_rows_or_as_columns(app: App) -> None:
    columns = {"card_id": [card["card_id"] for card in CARDS]}
    assert read(app, service="fraud", entities=columns) == read(app, service="fraud")


def test_event_times_ages_versions_and_types_come_on_request(app: App) -> None:
    found = read(
        app,
        features=["Spend:total"],
        include=["event_times", "ages", "versions", "types"],
        statuses=False,
    )
    assert found["event_times"]["total"][0] == "2026-01-01T09:40:00Z"
    assert found["ages"]["total"] == [1200.0, 300.0, 300.0, 18000.0, None]
    assert found["versions"] == {"total": "Spend@v1:total"}
    assert found["types"] == {"total": "float64"}
    assert "statuses" not in found


def test_a_moment_in_the_past_can_be_asked_about(app: App) -> None:
    then = read(app, features=["Newest:amount"], at="2026-01-01T09:55:00Z")
    assert then["values"]["amount"][:2] == [2.5, "Infinity"]
    assert then["at"] == "2026-01-01T09:55:00.000000Z"
    body = {"features": ["Newest:amount"], "at": NOW - 86_400 * 1_000_000, "entities": CARDS}
    beyond = call(app, "POST", "/v1/features", body)
    assert beyond.status == 422
    # Five minutes before the newest row: states are kept for no later moment than rows show.
    assert beyond.data["expected"].endswith(" or later")


def test_on_demand_features_take_request_fields(app: App) -> None:
    entities = [{"card_id": "c1", "asked": 8.5}, {"card_id": "c9", "asked": 1.0}]
    found = read(app, features=["Payment:ratio"], entities=entities)
    assert found["values"]["ratio"] == [2.0, None]


def test_every_type_has_a_form_in_json(app: App) -> None:
    found = read(app, features=["Newest"], entities=CARDS[:3])["values"]
    assert found["seen"][0] == "2026-01-01T09:40:00Z"
    assert base64.b64decode(found["picture"][0]) == b"\x00\xff"
    assert found["ok"] == [True, True, True]
    assert found["country"] == ["DE", "null", None]
    assert found["amount"][1] == "Infinity"


def test_bytes_in_a_key_are_base64(app: App) -> None:
    code = base64.b64encode(b"\x01").decode()
    found = read(app, features=["Trip:km"], entities=[{"driver": 7, "code": code}])
    assert found["values"]["km"] == [3.5]


def test_a_null_key_names_no_entity_and_the_others_are_answered(app: App) -> None:
    code = base64.b64encode(b"\x01").decode()
    trips = [
        {"driver": 7, "code": code},
        {"driver": None, "code": code},
        {"driver": 7, "code": None},
    ]
    found = read(app, features=["Trip:km"], entities=trips)
    assert found["values"]["km"] == [3.5, None, None]
    assert found["statuses"]["km"] == ["present", "unknown", "unknown"]
    columns = {"card_id": [None, "c1", "c9"]}
    found = read(app, features=["Spend:total", "Spend:count"], entities=columns)
    assert found["values"]["count"][0] == found["values"]["count"][2] == 0
    assert found["statuses"]["total"] == ["unknown", "present", "unknown"]
    body = {"features": ["Spend:total"], "entities": columns}
    feast = call(app, "POST", FEAST, body).data["results"][1]
    assert feast["statuses"] == ["NOT_FOUND", "PRESENT", "NOT_FOUND"]


def test_an_expired_value_says_so(app: App, clock: SettableClock) -> None:
    clock.time = NOW + 3_600_000_000
    code = base64.b64encode(b"\x01").decode()
    found = read(app, features=["Trip:km"], entities=[{"driver": 7, "code": code}])
    assert (found["values"]["km"], found["statuses"]["km"]) == ([None], ["expired"])


def test_full_names_keep_columns_of_two_views_apart(app: App) -> None:
    found = read(app, features=["Spend:count", "Newest:amount"], full_names=True)
    assert list(found["values"]) == ["Spend__count", "Newest__amount"]


def stream_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_arrow_goes_in_and_comes_out(app: App, store: sl.FeatureStore) -> None:
    body = stream_of(pa.table({"card_id": [card["card_id"] for card in CARDS]}))
    answer = call(
        app,
        "POST",
        "/v1/features?service=newest_only&include=event_times,ages".replace("newest_only", "fraud"),
        body=body,
        headers={"content-type": ARROW, "accept": ARROW},
    )
    assert answer.status == 200, answer.body
    table = pa.ipc.open_stream(answer.body).read_all()
    expected = store.get_online_features("fraud", CARDS)
    assert table.select(["card_id", "total", "count", "mean"]).equals(expected.to_arrow())
    assert table["total__status"].to_pylist() == expected.to_statuses()["total"]
    assert table["total__event_time"].to_pylist() == expected.to_event_times()["total"]
    assert table["count__age"].to_pylist()[0] == 1200.0
    assert table.schema.metadata == {b"at": b"2026-01-01T10:00:00.000000Z"}


def test_json_goes_in_and_arrow_comes_out_with_infinities_as_they_are(app: App) -> None:
    body = {"features": ["Newest:amount"], "entities": CARDS[1:2]}
    answer = call(app, "POST", "/v1/features", body, headers={"accept": ARROW})
    assert pa.ipc.open_stream(answer.body).read_all()["amount"].to_pylist() == [math.inf]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (OURS, b'{"service": "fraud", "entities": [{"card_id": "c1"}, {"card_id": "c9"}]}'),
        (OURS, b'{"features": ["Newest:amount"], "entities": {"card_id": ["c2"]}}'),
        (OURS, b'{"service": "fraud", "entities": {"card_id": ["c1"]}, "include": ["ages"]}'),
        (OURS, b'{"features": ["No:thing"], "entities": [{"card_id": "c1"}]}'),
        (OURS, b'{"features": ["Spend:total"], "entities": [{"card": "c1"}]}'),
        (OURS, b'{"features": ["Spend:total"], "entities": []}'),
        (OURS, b"{"),
        (FEAST, b'{"features": ["Newest:amount"], "entities": {"card_id": ["c2", "c9"]}}'),
        (FEAST, b'{"feature_service": "fraud", "entities": {"card_id": ["c4"]}}'),
        (FEAST, b'{"features": ["Trip:km"], "entities": {"driver": ["7"]}}'),
        (FEAST, b'{"features": ["No:thing"], "entities": {"card_id": ["c1"]}}'),
        (FEAST, b'{"features": ["Newest:amount"], "entities": {"card_id": []}}'),
        (FEAST, b"{"),
    ],
)
def test_the_short_cut_answers_as_the_long_way_does(app: App, path: str, body: bytes) -> None:
    headers = {"content-type": "application/json", "x-request-id": "me"}
    slow = call(app, "POST", path, body=body, headers=headers)
    quick = app.at_once(path.encode(), {k.encode(): v.encode() for k, v in headers.items()}, body)
    assert quick is not None
    response, request_id = quick
    assert (response.status, response.body, request_id) == (slow.status, slow.body, b"me")


def test_a_large_read_takes_the_long_way_in_pieces(app: App, store: sl.FeatureStore) -> None:
    entities = [{"card_id": f"c{n % 7}"} for n in range(5_000)]
    found = read(app, service="fraud", entities=entities)
    expected = store.get_online_features("fraud", entities).to_dict()
    assert found["values"]["count"] == expected["count"]
    body = b'{"service": "fraud", "entities": {"card_id": [%s]}}' % b",".join([b'"c1"'] * 5_000)
    assert app.at_once(b"/v1/features", {b"content-type": b"application/json"}, body) is None


def test_a_change_of_the_registry_is_served_without_a_restart(
    app: App, repo: Path, store: sl.FeatureStore
) -> None:
    text = (repo / "features.py").read_text()
    with sl.FeatureStore(repo, clock=store.runtime.clock) as other:
        (repo / "features.py").write_text(text.replace('sum("1h")', 'sum("2h")'))
        other.apply(other.plan(), allow_breaking=True)
        other.materialize()
    assert read(app, features=["Spend:total"])["values"]["total"][0] == 12.5
    app.upkeep.work()
    assert read(app, features=["Spend:total"])["values"]["total"][0] == 12.75
    assert read(app, service="fraud")["values"]["total"][0] == 12.5, "pinned to the first version"


def test_a_table_that_was_dropped_meanwhile_is_not_read_as_unknown(
    app: App, repo: Path, store: sl.FeatureStore
) -> None:
    before = read(app, service="fraud")
    text = (repo / "features.py").read_text()
    with sl.FeatureStore(repo, clock=store.runtime.clock) as other:
        wider = text.replace("class Newest:", "class Newest:\n    n = payments.amount.max('2h')")
        (repo / "features.py").write_text(wider)
        other.apply(other.plan(), allow_breaking=True)
        other.materialize()
    assert read(app, service="fraud") == before


def test_a_row_just_pushed_is_read(app: App, store: sl.FeatureStore) -> None:
    store.push("payments", [payment(99, "c9", 5.0, 0.5)], backdate=True)
    assert read(app, features=["Newest:amount"])["values"]["amount"][-1] == 5.0


def test_an_empty_registry_is_an_error_and_no_crash(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path) as store:
        app = App(store, Settings())
        app.start()
        answer = call(app, "POST", "/v1/features", {"service": "x", "entities": [{"a": 1}]})
        assert (answer.status, answer.data["error"]) == (503, "StoreUnavailable")
        assert "nothing was applied" in answer.data["what"]
