"""Every read of a server is on record, whichever way it is read; strict mode answers 503 else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.audit.events import subjects_named
from skewless.audit.search import Found, Search
from skewless.serving.app import App
from skewless.serving.http.http import ARROW
from skewless.serving.operate import keys
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import call
from tests.serving.conftest import payment

ENTITIES = [{"card_id": "c1"}, {"card_id": "c-secret"}]
READ = {"service": "fraud", "entities": ENTITIES}
FEAST = {"feature_service": "fraud", "entities": {"card_id": ["c1", "c-secret", None]}}
SPEND = ("Spend@v1:total", "Spend@v1:count", "Spend@v1:mean")
WAYS: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "json": ("POST", "/v1/features", READ, {}),
    "large": ("POST", "/v1/features", {**READ, "entities": ENTITIES * 2_000}, {}),
    "arrow": ("POST", "/v1/features", READ, {"accept": ARROW.decode()}),
    "feast": ("POST", "/get-online-features", FEAST, {}),
    "large feast": (
        "POST",
        "/get-online-features",
        {**FEAST, "entities": {"card_id": ["c1", "c-secret"] * 2_000}},
        {},
    ),
    "experiment": ("POST", "/v1/experiments/trial", {"entities": ENTITIES}, {}),
    "explain": ("GET", "/v1/explain?feature=Spend:total&card_id=c-secret", None, {}),
}
PUSH = {"source": "trips", "rows": [{"driver": 7, "code": "AQ==", "km": 1.0,
                                     "at": "2026-01-01T09:00:00Z"}]}  # fmt: skip


@pytest.fixture
def mode() -> str:
    return "on"


@pytest.fixture
def store(repo: Path, clock: SettableClock, mode: str) -> sl.FeatureStore:
    (repo / "skewless.toml").write_text(f'[audit]\nmode = "{mode}"\n')
    with sl.FeatureStore(repo, clock=clock) as fs:
        yield fs


def found(store: sl.FeatureStore, card: str) -> list[Found]:
    entities = store.runtime.state(fresh=True).entities.values()
    subjects = subjects_named(entities, {"card_id": card}, store.audit.keyed)
    return Search(store.audit).who_read(list(subjects.values()))


@pytest.fixture
def key(app: App, store: sl.FeatureStore) -> dict[str, str]:
    card = store.runtime.state(fresh=True).entities["card"]
    store.apply([sl.FeatureService("other", ["Spend:total"])])
    store.experiment("trial", control="fraud", treatment="other", by=card)
    made = keys.create(store.runtime.registry, scope="admin", actor="service:checkout")
    app.upkeep.work()
    return {"authorization": f"Bearer {made}"}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_reading_is_found_by_entity(
    app: App, store: sl.FeatureStore, key: dict[str, str], way: str
) -> None:
    method, target, body, more = WAYS[way]
    headers = {**key, **more, "x-purpose": "checkout"}
    answer = call(app, method, target, body, headers=headers)
    assert answer.status == 200, answer.body[:300]
    of = found(store, "c-secret")
    assert of
    assert {each.actor for each in of} == {"service:checkout"}
    assert all(set(each.features) <= set(SPEND) for each in of)
    assert all(each.outcome == "ok" for each in of)
    if way != "explain":
        assert {each.purpose for each in of} == {"checkout"}
        assert {each.about["request"] for each in of} == {answer.headers["x-request-id"]}
        assert sum(each.count for each in of) == len(body.get("entities", ())) or way in (
            "feast", "large feast", "experiment")  # fmt: skip
        assert bool(found(store, "c1"))
    folder = store.audit.ledger.folder
    assert not [f for f in folder.rglob("*") if f.is_file() and b"secret" in f.read_bytes()]


def test_the_short_way_is_on_record_too(
    app: App, store: sl.FeatureStore, key: dict[str, str]
) -> None:
    headers = {b"authorization": key["authorization"].encode(), b"x-purpose": b"caf\xc3\xa9"}
    for path, body in ((b"/v1/features", READ), (b"/get-online-features", FEAST)):
        answer = app.at_once(path, headers, json.dumps(body).encode())
        assert answer is not None
        assert answer[0].status == 200
    assert [(each.actor, each.purpose) for each in found(store, "c-secret")] == [
        ("service:checkout", "café")] * 2  # fmt: skip


def test_refusals_and_pushes_are_on_record(
    app: App, store: sl.FeatureStore, key: dict[str, str]
) -> None:
    store.apply([sl.Grant("risk", to="group:risk", read="Spend:count")])
    app.upkeep.work()
    for _ in range(2):
        assert call(app, "POST", "/v1/features", READ, headers=key).status == 403
        assert call(app, "POST", "/get-online-features", FEAST, headers=key).status == 403
    assert call(app, "POST", "/v1/push", PUSH, headers=key).status == 200
    did = Search(store.audit).what_did("service:checkout")
    assert [each.action for each in did] == ["push", *["read online"] * 4]
    assert did[0].about["source"] == "trips"
    assert {each.outcome.partition(":")[0] for each in did[1:]} == {"refused"}
    assert {each.features for each in did[1:]} == {SPEND}


def test_readiness_tells_what_is_not_on_record(
    app: App, store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warnings() -> list[str]:
        app.upkeep.work()
        found: list[str] = call(app, "GET", "/ready").data["warnings"]
        return [each for each in found if "audit" in each]

    assert warnings() == []
    with monkeypatch.context() as disk:
        disk.setattr("skewless.ledger.chain._write_whole", full_disk)
        assert call(app, "POST", "/v1/features", READ).status == 200
        store.audit.write()
        assert warnings() == ["the audit: 1 accesses could not be written"]
    assert call(app, "POST", "/v1/features", READ).status == 200
    store.audit.write()
    assert warnings() == []


def full_disk(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_who_has_no_key_is_anybody(app: App, store: sl.FeatureStore) -> None:
    assert call(app, "POST", "/v1/features", READ).status == 200
    assert len(Search(store.audit).what_did("anybody")) == 1


@pytest.mark.parametrize("mode", ["strict"])
@pytest.mark.parametrize("way", WAYS)
def test_strict_answers_503_rather_than_read_unrecorded(
    app: App, store: sl.FeatureStore, key: dict[str, str], way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    method, target, body, more = WAYS[way]
    headers = {**key, **more}
    path = target.encode()
    if path in app.quick:
        short = {name.encode(): value.encode() for name, value in headers.items()}
        assert app.at_once(path, short, json.dumps(body).encode()) is None
    assert call(app, method, target, body, headers=headers).status == 200
    before = sum(each.count for each in found(store, "c-secret"))
    assert before > 0
    with monkeypatch.context() as disk:
        disk.setattr("skewless.ledger.chain._write_whole", full_disk)
        answer = call(app, method, target, body, headers=headers)
        assert answer.status == 503
        assert b"audit cannot be written" in answer.body
        assert call(app, "GET", "/v1/views", headers=headers).status == 200, "no value is shown"
        assert call(app, "POST", "/v1/push", PUSH, headers=headers).status == 503
    assert call(app, method, target, body, headers=headers).status == 200
    assert sum(each.count for each in found(store, "c-secret")) == 2 * before


@pytest.fixture
def app(store: sl.FeatureStore) -> App:
    made = App(store, Settings())
    made.start()
    store.push("payments", [payment(77, "c-secret", 3.0, 1)], backdate=True)
    store.audit.write()
    return made
