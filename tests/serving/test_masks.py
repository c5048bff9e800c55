"""What a grant masks is masked at every address that shows values, whichever way it is read."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pytest

import skewless as sl
from skewless.serving.app import App
from skewless.serving.http.http import ARROW
from skewless.serving.operate import keys
from skewless.serving.read.served_log import ServedLog, read
from tests.serving.calling import Answer, call

MARK = b"98765"
CARD = sl.Entity("card", card_id=str)
VISITS = sl.Source(
    "visits",
    schema={"card_id": str, "cost": sl.Column(float, phi=True), "ward": sl.Column(str, phi=True)},
    event_time="at",
)
CARE = sl.FeatureView(
    "Care",
    entity=CARD,
    source=VISITS,
    features={
        "cost": VISITS.cost.sum("1h"),
        "ward": VISITS.ward.latest(),
        "visits": VISITS.count("1h").declassify("a count"),
    },
)


@sl.on_demand
class Bill:
    double = CARE.cost * 2


CLINIC = sl.FeatureService("clinic", [CARE, Bill.double])
ROWS = [{"card_id": "c8", "cost": 98765.25, "ward": "98765 West", "at": "2026-01-01T09:59:00Z"}]
ENTITIES = [{"card_id": "c8"}]


@pytest.fixture
def made(app: App, store: sl.FeatureStore) -> dict[str, str]:
    """Keys of who may see it, and of who sees it masked in each way."""
    masks = {"seer": "", "nulls": "null", "hashes": "hash", "buckets": "bucket:1000"}
    registry = store.runtime.registry
    granted = [
        sl.Grant(name, to=f"service:{name}", read="*", personal=["phi"], mask=mask)
        for name, mask in masks.items()
    ]
    store.apply([CARE, Bill, CLINIC, *granted])
    store.push("visits", ROWS, backdate=True)
    store.apply([sl.FeatureService("other", ["Care:cost"])])
    store.experiment("trial", control="clinic", treatment="other", by=CARD)
    found = {name: keys.create(registry, scope="read", actor=f"service:{name}") for name in masks}
    app.upkeep.work()
    return found


def ask(app: App, target: str, key: str, body: dict[str, Any], **more: str) -> Answer:
    headers = {"authorization": f"Bearer {key}", **more}
    answer = call(app, "POST", target, body, headers=headers)
    assert answer.status == 200, answer.body[:300]
    return answer


WAYS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "json": ("/v1/features", {"service": "clinic", "entities": ENTITIES}, {}),
    "extras": ("/v1/features", {"service": "clinic", "entities": ENTITIES, "statuses": False,
                                "include": ["ages", "event_times"]}, {}),
    "large": ("/v1/features", {"service": "clinic", "entities": ENTITIES * 3000}, {}),
    "arrow": ("/v1/features", {"service": "clinic", "entities": ENTITIES}, {"accept": ARROW.decode()}),
    "large arrow": (
        "/v1/features", {"service": "clinic", "entities": ENTITIES * 3000}, {"accept": ARROW.decode()}),
    "feast": ("/get-online-features", {"feature_service": "clinic",
                                       "entities": {"card_id": ["c8"]}}, {}),
    "large feast": ("/get-online-features", {"feature_service": "clinic",
                                             "entities": {"card_id": ["c8"] * 3000}}, {}),
    "experiment": ("/v1/experiments/trial", {"entities": ENTITIES}, {}),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_reading_shows_what_is_masked(app: App, made: dict[str, str], way: str) -> None:
    target, body, headers = WAYS[way]
    for name in ("seer", "nulls", "hashes", "buckets", "seer"):  # in turn: plans are shared
        answer = ask(app, target, made[name], body, **headers)
        told = answer.body
        if headers:
            table = pa.ipc.open_stream(io.BytesIO(told)).read_all()
            told = json.dumps(table.to_pydict(), default=str).encode()
        assert (MARK in told) == (name == "seer"), name
        assert (b"197530" in told) == (name == "seer" and b"double" in told), name
        if "statuses" not in body and name != "seer":
            assert (b"INVALID" in told) if "feast" in way else (b"masked" in told), name


def test_what_is_masked_is_never_present(app: App, made: dict[str, str]) -> None:
    for name in ("nulls", "hashes", "buckets"):
        answer = ask(app, "/v1/features", made[name], WAYS["extras"][1] | {"statuses": True}).data
        statuses, values = answer["statuses"], answer["values"]
        assert statuses["visits"] == ["present"]
        assert values["visits"] == [1]
        assert answer["ages"]["visits"] != [None]
        for feature in ("cost", "ward", "double"):
            assert statuses[feature] == ["masked"], (name, feature)
            assert answer["ages"][feature] == [None]
            assert answer["event_times"][feature] == [None]
        shown = {"nulls": None, "hashes": None, "buckets": 98000.0}[name]
        assert values["cost"] == [shown]
        assert (values["ward"] == [None]) == (name != "hashes")


def test_the_short_way_masks_too(app: App, made: dict[str, str]) -> None:
    for way, path in (("json", b"/v1/features"), ("feast", b"/get-online-features")):
        for name in ("buckets", "seer", "nulls"):
            headers = {b"authorization": f"Bearer {made[name]}".encode()}
            answer = app.at_once(path, headers, json.dumps(WAYS[way][1]).encode())
            assert answer is not None
            assert (MARK in answer[0].body) == (name == "seer"), (way, name)


def test_the_served_log_has_what_was_shown(
    app: App, store: sl.FeatureStore, made: dict[str, str], tmp_path: Any
) -> None:
    log = app._features.log = ServedLog(tmp_path / "served", 1.0, app.metrics)
    ask(app, "/v1/features", made["buckets"], WAYS["json"][1])
    log.write()
    (line,) = read(tmp_path / "served")
    told = dict(zip(line["features"], line["values"], strict=True))
    assert told["Care@v1:cost"] == 98000.0
    assert "98765" not in json.dumps(line)
    report = store.verify(served=tmp_path / "served")
    assert report.ok
    assert report.skipped["values that are masked"] == 3
