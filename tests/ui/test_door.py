"""A catalogue that other machines reach: TLS and a key, of everything, and admin for what changes."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import skewless as sl
from skewless.definitions.grant import CLASSES
from skewless.errors import ConfigError
from skewless.serving.operate.keys import create, keyring_of, last_uses, revoke
from skewless.ui.app import make_app
from skewless.ui.server import _keys_of, serve
from tests.ui.repo import filled


@pytest.fixture
def store(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    fs, _ = filled(tmp_path)
    with fs:
        yield fs


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def made(store: sl.FeatureStore, scope: str, services: tuple[str, ...] = ()) -> str:
    now = store.runtime.clock.now()
    return create(store.runtime.registry, scope=scope, services=services, now=now)


def opened(store: sl.FeatureStore) -> TestClient:
    app = make_app(store, keys=lambda before: keyring_of(store.runtime, before))
    return TestClient(app, base_url="https://catalogue.example")


def test_nobody_comes_in_without_a_key_of_everything(store: sl.FeatureStore) -> None:
    client = opened(store)
    closed = client.get("/")
    assert (closed.status_code, "Spend" in closed.text) == (401, False)
    key = made(store, "read")
    client = opened(store)
    refused = client.get("/views/Spend")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic")
    assert "content-security-policy" in refused.headers
    for wrong in ("Basic ???", "Basic " + base64.b64encode(b"ada:sk_no").decode(), "Bearer x"):
        assert client.get("/", headers={"authorization": wrong}).status_code == 401
    assert client.get("/static/skewless.css").status_code == 401
    assert client.get("/views/Spend", headers=bearer(key)).status_code == 200
    assert client.get("/", auth=("anybody", key)).status_code == 200
    one = made(store, "read", ("fraud_model",))
    assert opened(store).get("/", headers=bearer(one)).status_code == 403


def test_what_changes_something_takes_an_admin_and_is_recorded_by_name(
    store: sl.FeatureStore,
) -> None:
    reader, admin = made(store, "read"), made(store, "admin")
    client = opened(store)
    page = client.get("/acts/silence?of=pays/check", headers=bearer(admin)).text
    token = page.partition('name="token" value="')[2].partition('"')[0]
    fields = {"token": token, "of": "pays/check", "lasts": "1h", "note": "known"}
    assert client.post("/acts/silence", data=fields, headers=bearer(reader)).status_code == 403
    done = client.post("/acts/silence", data=fields, headers=bearer(admin), follow_redirects=False)
    assert done.status_code == 303
    (record,) = store.runtime.ledger.records(kinds=["silence"])
    assert record.data["who"].startswith("key:")


def test_a_key_that_is_revoked_is_out(
    store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made(store, "read")
    monkeypatch.setattr("skewless.ui.door._LOOK_AGAIN", 0.0)
    client = opened(store)
    assert client.get("/", headers=bearer(key)).status_code == 200
    revoke(store.runtime.registry, key.split("_")[1])
    assert client.get("/", headers=bearer(key)).status_code == 401


def test_a_key_that_is_used_in_the_catalogue_alone_does_not_look_unused(
    store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made(store, "read")
    monkeypatch.setattr("skewless.ui.door._LOOK_AGAIN", 0.0)
    client = TestClient(make_app(store, keys=_keys_of(store)), base_url="https://catalogue.example")
    for _ in range(2):
        assert client.get("/", headers=bearer(key)).status_code == 200
    assert last_uses(store.runtime.registry) == {key.split("_")[1]: store.runtime.clock.now()}


def test_a_key_that_has_expired_is_out(store: sl.FeatureStore) -> None:
    now = store.runtime.clock.now()
    key = create(store.runtime.registry, scope="read", expires=now + 1, now=now)
    client = opened(store)
    assert client.get("/", headers=bearer(key)).status_code == 200
    store.runtime.clock.time = now + 1
    assert client.get("/", headers=bearer(key)).status_code == 401


def test_other_machines_need_tls_and_keys(tmp_path: Path) -> None:
    fs, _ = filled(tmp_path)
    fs.close()
    with pytest.raises(ConfigError, match="plain HTTP"):
        serve(str(tmp_path), host="0.0.0.0", port=0, at=None)
    with pytest.raises(ConfigError, match="no key was made"):
        serve(str(tmp_path), host="0.0.0.0", port=0, at=None, tls=("chain.pem", "key.pem"))


def test_where_there_are_grants_pages_are_for_those_who_may_read_everything(
    store: sl.FeatureStore,
) -> None:
    registry = store.runtime.registry
    ada = create(registry, scope="admin", actor="user:ada")
    eve = create(registry, scope="admin", actor="user:eve")
    store.apply([sl.Grant("all", to="user:ada", read="*", personal=CLASSES)])
    client = opened(store)
    for page in ("/", "/explore", "/views/Spend?format=json"):
        assert client.get(page, headers=bearer(ada)).status_code == 200
        refused = client.get(page, headers=bearer(eve))
        assert (refused.status_code, "Spend" in refused.text) == (403, False)
    store.apply([sl.Grant("no", to="*", read="Spend", forbid=True)])
    assert client.get("/explore", headers=bearer(ada)).status_code == 403
