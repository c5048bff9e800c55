"""Feast's contract on the application itself; `test_feast_client` has Feast's own client."""

import base64
import json
from typing import Any

import pytest

import skewless as sl
from skewless.serving.app import App
from skewless.testing.clock import SettableClock
from tests.serving.calling import Answer, call
from tests.serving.conftest import NOW

EPOCH = "1970-01-01T00:00:00Z"


def read(app: App, **body: Any) -> Any:
    answer = call(app, "POST", "/get-online-features", body)
    assert answer.status == 200, answer.body
    names = answer.data["metadata"]["feature_names"]
    return dict(zip(names, answer.data["results"], strict=True))


def named_error(answer: Answer, status: int) -> dict[str, str]:
    """The error inside the text inside the JSON."""
    assert answer.status == status, answer.body
    found: dict[str, str] = json.loads(answer.data)
    assert found["module"] == "feast.errors"
    return found


def test_entity_columns_come_first_then_a_result_for_each_feature(app: App) -> None:
    found = read(app, features=["Spend:count", "Spend:mean"], entities={"card_id": ["c1", "c9"]})
    assert list(found) == ["card_id", "count", "mean"]
    assert found["card_id"] == {
        "values": ["c1", "c9"],
        "statuses": ["PRESENT", "PRESENT"],
        "event_timestamps": [EPOCH, EPOCH],
    }
    assert found["mean"] == {
        "values": [4.25, None],
        "statuses": ["PRESENT", "NOT_FOUND"],
        "event_timestamps": ["2026-01-01T09:40:00Z", EPOCH],
    }


def test_values_are_encoded_as_feast_does(app: App, store: sl.FeatureStore) -> None:
    found = read(app, features=["Newest:" + name for name in ("amount", "country", "seen", "picture")],
                 entities={"card_id": ["c1", "c2", "c3"]})  # fmt: skip
    assert found["amount"]["values"] == [2.5, "Infinity", 7.0]
    assert found["country"]["values"] == ["DE", "null", None]
    assert found["country"]["statuses"] == ["PRESENT", "PRESENT", "NULL_VALUE"]
    assert found["seen"]["values"][0] == NOW // 1_000_000 - 1200
    assert found["picture"]["values"][0] == base64.b64encode(b"\x00\xff").decode()


def test_an_expired_value_is_outside_its_max_age(app: App, clock: SettableClock) -> None:
    clock.time = NOW + 3_600_000_000
    found = read(app, features=["Trip:km"], entities={"driver": ["7"], "code": ["AQ=="]})
    assert found["km"]["statuses"] == ["OUTSIDE_MAX_AGE"]


def test_keys_are_coerced_and_others_ignored(app: App) -> None:
    entities = {"driver": ["7", 7, 7.0], "code": ["AQ=="] * 3, "unknown": [1, 2, 3]}
    found = read(app, features=["Trip:km"], entities=entities)
    assert found["km"]["values"] == [3.5, 3.5, 3.5]
    assert list(found) == ["driver", "code", "km"]


def test_one_of_several_keys_missing_is_not_found(app: App) -> None:
    found = read(app, features=["Trip:km"], entities={"driver": [7]})
    assert (found["km"]["values"], found["km"]["statuses"]) == ([None], ["NOT_FOUND"])


def test_full_names_services_and_versions(app: App) -> None:
    body = {
        "feature_service": "fraud",
        "features": ["ignored:x"],
        "entities": {"card_id": ["c1"]},
        "full_feature_names": True,
        "include_feature_view_version_metadata": True,
    }
    metadata = call(app, "POST", "/get-online-features", body).data["metadata"]
    assert metadata["feature_names"] == ["card_id", "Spend__total", "Spend__count", "Spend__mean"]
    assert metadata["feature_view_metadata"] == [{"name": "Spend", "version": 1}]


def test_request_fields_stand_among_the_entities(app: App) -> None:
    found = read(app, features=["Payment:ratio"], entities={"card_id": ["c1"], "asked": [8.5]})
    assert found["ratio"]["values"] == [2.0]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"features": ["No:x"], "entities": {"card_id": ["c1"]}}, 404, "FeatureViewNotFoundException"),
        ({"feature_service": "no", "entities": {"card_id": ["c1"]}}, 404, "FeatureServiceNotFoundException"),
        ({"features": ["Spend:no"], "entities": {"card_id": ["c1"]}}, 404, "FeatureViewNotFoundException"),
        ({"features": ["Spend:count"], "entities": {"x": ["c1"]}}, 422, "FeastError"),
        ({"features": ["Spend:count"], "entities": {}}, 422, "FeastError"),
        ({"features": ["Spend:count"], "entities": {"card_id": []}}, 422, "FeastError"),
        ({"features": ["Trip:km"], "entities": {"driver": ["x"], "code": ["AQ=="]}}, 422, "FeastError"),
        ({"features": ["Trip:km"], "entities": {"driver": [10**30], "code": ["AQ=="]}}, 422, "FeastError"),
        ({"features": ["Trip:km"], "entities": {"driver": [1, 2], "code": ["AQ=="]}}, 422, "FeastError"),
        ({"features": [], "entities": {"card_id": ["c1"]}}, 422, "FeastError"),
        ({"entities": {"card_id": ["c1"]}}, 422, "FeastError"),
        ({"features": ["Spend:count"]}, 422, "FeastError"),
        ({"features": ["Spend:count", "Spend:count"], "entities": {"card_id": ["c1"]}}, 422, "FeastError"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)  # fmt: skip
def test_errors_name_what_feasts_client_raises(
    app: App, body: dict[str, Any], status: int, kind: str
) -> None:
    found = named_error(call(app, "POST", "/get-online-features", body), status)
    assert found["class"] == kind
    assert found["message"]


def test_rows_go_in_by_push_source(app: App) -> None:
    df = {
        "payment_id": ["q1"], "card_id": ["c9"], "amount": [3.0],
        "event_timestamp": ["2026-01-01T09:59:30"],
    }  # fmt: skip
    answer = call(app, "POST", "/push", {"push_source_name": "payments", "df": df, "to": "online"})
    assert (answer.status, answer.body) == (200, b"")
    found = read(app, features=["Newest:amount"], entities={"card_id": ["c9"]})
    assert found["amount"]["values"] == [3.0]
    assert found["amount"]["event_timestamps"] == ["2026-01-01T09:59:30Z"]


def test_rows_go_in_by_view_under_the_names_of_its_features(app: App) -> None:
    df = {
        "driver": [8], "code": ["Ag=="], "km": [1.25],
        "event_timestamp": ["2026-01-01T09:59:30.250000"], "created": [None],
    }  # fmt: skip
    answer = call(app, "POST", "/write-to-online-store", {"feature_view_name": "Trip", "df": df})
    assert (answer.status, answer.body) == (200, b"null"), answer.body
    found = read(app, features=["Trip:km"], entities={"driver": [8], "code": ["Ag=="]})
    assert found["km"]["values"] == [1.25]
    assert found["km"]["event_timestamps"] == ["2026-01-01T09:59:30.250Z"]


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/push", {"push_source_name": "no", "df": {"a": [1]}}, 422, "PushSourceNotFoundException"),
        ("/push", {"push_source_name": "trips", "df": {}}, 422, "FeastError"),
        ("/push", {"push_source_name": "trips", "df": {"km": []}}, 422, "FeastError"),
        ("/push", {"push_source_name": "trips", "df": {"km": [1.0]}}, 422, "FeastError"),
        ("/push", {"push_source_name": "trips", "df": {"km": [1.0], "at": [1, 2]}}, 422, "FeastError"),
        ("/push", {"push_source_name": "trips", "df": {"no": [1], "at": ["x"]}}, 422, "FeastError"),
        ("/push", {"push_source_name": "trips", "df": {"km": [1.0], "at": ["x"]}}, 422, "FeastError"),
        ("/push", {"push_source_name": "trips", "df": {"km": [1.0]}, "to": "moon"}, 422, "FeastError"),
        ("/write-to-online-store", {"feature_view_name": "no", "df": {"a": [1]}}, 404, "FeatureViewNotFoundException"),
        ("/write-to-online-store", {"feature_view_name": "Payment", "df": {"a": [1]}}, 422, "FeastError"),
        ("/write-to-online-store", {"feature_view_name": "Trip", "df": {"km": [1.0], "at": ["2026-01-01"]}}, 422, "FeastError"),
        ("/materialize", {"end_ts": "soon"}, 422, "FeastError"),
        ("/materialize", {"end_ts": "2026-01-01T00:00:00", "feature_views": ["no"]}, 404, "FeatureViewNotFoundException"),
        ("/materialize-incremental", {"end_ts": 5}, 422, "FeastError"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)  # fmt: skip
def test_wrong_writes_are_refused_in_feasts_way(
    app: App, path: str, body: dict[str, Any], status: int, kind: str
) -> None:
    assert named_error(call(app, "POST", path, body), status)["class"] == kind


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/materialize", {"start_ts": "2020-01-01T00:00:00", "end_ts": "2026-01-01T10:00:00"}),
        ("/materialize-incremental", {"end_ts": "2026-01-01T10:00:00+00:00", "feature_views": None}),
        ("/materialize", {"end_ts": "2026-01-01T10:00:00", "feature_views": ["Spend"], "version": "v1"}),
    ],
)  # fmt: skip
def test_a_materialization_is_waited_for(app: App, path: str, body: dict[str, Any]) -> None:
    answer = call(app, "POST", path, body)
    assert (answer.status, answer.body) == (200, b"null"), answer.body
    assert call(app, "GET", "/v1/jobs").data["jobs"][0]["status"] == "done"


def test_a_materialization_can_go_on_unseen(app: App) -> None:
    answer = call(app, "POST", "/materialize?async=true", {"end_ts": "2026-01-01T10:00:00"})
    assert (answer.status, answer.data["status"]) == (202, "accepted")
    app.writer.jobs.wait(30)


def test_health_is_empty(app: App) -> None:
    answer = call(app, "GET", "/health")
    assert (answer.status, answer.body) == (200, b"")
