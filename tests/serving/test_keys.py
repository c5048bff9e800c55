"""Keys: who may come in, and what for."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import skewless as sl
from skewless.cli.main import main
from skewless.clock import SECOND
from skewless.errors import ConfigError, InputError, UnknownName
from skewless.registry.sqlite import SQLiteRegistry
from skewless.serving.app import App
from skewless.serving.operate import keys
from skewless.serving.operate.keys import Keyring
from skewless.serving.server import check_access
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import Answer, call
from tests.serving.conftest import NOW
from tests.serving.test_writes import ROW

READ = ("POST", "/v1/features", {"service": "fraud", "entities": [{"card_id": "c1"}]})
PUSH = ("POST", "/v1/push", {"source": "payments", "rows": [ROW]})
MATERIALIZE = ("POST", "/v1/materialize", {"views": ["Spend"]})
FEAST_READ = (
    "POST", "/get-online-features",
    {"feature_service": "fraud", "entities": {"card_id": ["c1"]}},
)  # fmt: skip


def keyed(app: App, key: str, request: tuple) -> Answer:
    method, path, body = request
    return call(app, method, path, body, headers={"authorization": f"Bearer {key}"})


def made(app: App, store: sl.FeatureStore, **options: object) -> str:
    key = keys.create(store.runtime.registry, **{"scope": "read", **options})  # type: ignore[arg-type]
    app.upkeep.work()
    return key


def test_without_any_key_everybody_on_this_machine_may_come_in(app: App) -> None:
    assert call(app, *READ).status == 200


def test_from_the_first_key_on_nobody_comes_in_without_one(
    app: App, store: sl.FeatureStore
) -> None:
    key = made(app, store)
    assert keyed(app, key, READ).status == 200
    refused = call(app, *READ)
    assert (refused.status, refused.data["error"]) == (401, "AccessDenied")
    assert refused.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path",
    ["/v1/services", "/v1/views", "/v1/features", "/v1/entities", "/v1/sources", "/metrics",
     "/v1/jobs", "/v1/explain?feature=Spend:total&card_id=c1"],
)  # fmt: skip
def test_strangers_learn_nothing_of_what_there_is(
    app: App, store: sl.FeatureStore, path: str
) -> None:
    made(app, store)
    answer = call(app, "GET", path)
    assert answer.status == 401
    assert "Spend" not in answer.body.decode()


def test_strangers_do_not_even_learn_the_nearest_name(app: App, store: sl.FeatureStore) -> None:
    made(app, store)
    body = {"features": ["Spent:total"], "entities": [{"card_id": "c1"}]}
    for path in ("/v1/features", "/get-online-features"):
        assert "Spend" not in call(app, "POST", path, body).body.decode()


def test_health_and_readiness_need_no_key(app: App, store: sl.FeatureStore) -> None:
    made(app, store)
    assert [call(app, "GET", path).status for path in ("/health", "/ready", "/openapi.json")] == [
        200, 200, 200,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [("read", [200, 403, 403]), ("write", [200, 200, 403]), ("admin", [200, 200, 202])],
)
def test_a_scope_holds_those_before_it(
    app: App, store: sl.FeatureStore, scope: str, statuses: list[int]
) -> None:
    key = made(app, store, scope=scope)
    assert [keyed(app, key, r).status for r in (READ, PUSH, MATERIALIZE)] == statuses
    app.writer.jobs.wait(30)


def test_a_key_for_a_service_reads_nothing_else(app: App, store: sl.FeatureStore) -> None:
    key = made(app, store, services=["fraud"])
    cards = [{"card_id": "c1"}]
    assert keyed(app, key, READ).status == 200
    assert keyed(app, key, FEAST_READ).status == 200
    by_name = ("POST", "/v1/features", {"features": ["fraud"], "entities": cards})
    assert keyed(app, key, by_name).status == 200
    for body in ({"service": "newest"}, {"features": ["Spend:total"]}, {"features": ["Spend"]}):
        assert keyed(app, key, ("POST", "/v1/features", body | {"entities": cards})).status == 403
    assert keyed(app, key, ("GET", "/v1/views", None)).status == 403
    assert keyed(app, key, ("GET", "/metrics", None)).status == 403
    listed = keyed(app, key, ("GET", "/v1/services", None)).data["services"]
    assert [service["name"] for service in listed] == ["fraud"]


def test_a_key_used_too_often_has_to_wait(app: App, store: sl.FeatureStore) -> None:
    key = made(app, store, rate=2.0)
    statuses = [keyed(app, key, READ) for _ in range(4)]
    assert [answer.status for answer in statuses] == [200, 200, 429, 429]
    assert statuses[-1].headers["retry-after"] == "1"
    app.upkeep.work()
    assert keyed(app, key, READ).status == 429, "reading the keys again is no new allowance"


@pytest.mark.parametrize(
    ("path", "body", "permits"),
    [
        ("/v1/features", {"service": "fraud", "entities": {"card_id": ["c"] * 333}}, 1),
        ("/v1/features", {"service": "fraud", "entities": {"card_id": ["c"] * 900}}, 3),
        ("/v1/features", {"service": "fraud", "entities": {"card_id": ["c"] * 9_000}}, 1 + 27 + 2),
        ("/get-online-features", {"feature_service": "fraud",
                                  "entities": {"card_id": ["c"] * 9_000}}, 1 + 27 + 2),
        ("/v1/push", {"source": "payments", "rows": [ROW | {"country": "x" * 40_000}]}, 3),
    ],
)  # fmt: skip
def test_a_request_costs_what_it_asks_for(
    app: App, store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch, *,
    path: str, body: dict[str, Any], permits: int,
) -> None:  # fmt: skip
    key = made(app, store, scope="write", rate=1_000.0)
    assert app.upkeep.keyring is not None
    (bucket,) = app.upkeep.keyring._buckets.values()
    monkeypatch.setattr(keys, "time", SimpleNamespace(monotonic=lambda: bucket._at))
    sent = json.dumps(body, separators=(",", ":")).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    given = {name.encode(): value.encode() for name, value in headers.items()}
    before = bucket._permits
    if path in map(bytes.decode, app.quick) and app.at_once(path.encode(), given, sent):
        assert before - bucket._permits == permits
        before = bucket._permits
    assert bucket._permits == before, "what is asked again the long way is paid for there"
    assert call(app, "POST", path, body=sent, headers=headers).status == 200
    assert before - bucket._permits == permits


def test_a_revoked_key_is_worthless_and_the_door_stays_shut(
    app: App, store: sl.FeatureStore
) -> None:
    key = made(app, store)
    keys.revoke(store.runtime.registry, key.split("_")[1])
    app.upkeep.work()
    assert keyed(app, key, READ).status == 401
    assert call(app, *READ).status == 401


@pytest.mark.parametrize("change", ["last", "id", "scheme", "empty", "huge"])
def test_a_wrong_key_does_not_count(app: App, store: sl.FeatureStore, change: str) -> None:
    key = made(app, store)
    wrong = {
        "last": key[:-1] + ("A" if key[-1] != "A" else "B"),
        "id": "sk_" + "0" * 12 + key[15:],
        "scheme": key,
        "empty": "",
        "huge": key * 1000,
    }[change]
    header = f"Basic {wrong}" if change == "scheme" else f"Bearer {wrong}"
    answer = call(app, *READ, headers={"authorization": header})
    assert answer.status == 401


def test_no_key_is_kept_as_it_is(store: sl.FeatureStore, repo: Path) -> None:
    key = keys.create(store.runtime.registry, scope="read")
    secret = key.split("_", 2)[2].encode()
    kept = b"".join(p.read_bytes() for p in repo.rglob("*") if p.is_file())
    assert key.split("_")[1].encode() in kept
    assert secret not in kept


def test_feasts_clients_are_refused_in_their_way(app: App, store: sl.FeatureStore) -> None:
    key = made(app, store)
    assert call(app, *FEAST_READ).data["detail"].startswith("a key is needed")
    denied = keyed(app, key, ("POST", "/push", {"push_source_name": "trips", "df": {"km": [1]}}))
    assert (denied.status, json.loads(denied.data)["class"]) == (403, "FeastPermissionError")


def test_the_short_cut_asks_for_the_key_too(app: App, store: sl.FeatureStore) -> None:
    key = made(app, store)
    body = json.dumps(READ[2]).encode()
    answers = [
        app.at_once(b"/v1/features", headers, body)
        for headers in ({}, {b"authorization": f"Bearer {key}".encode()})
    ]
    assert [answer[0].status for answer in answers if answer] == [401, 200]


def test_a_server_told_so_asks_nobody(store: sl.FeatureStore) -> None:
    keys.create(store.runtime.registry, scope="read")
    app = App(store, Settings(anonymous=True))
    app.start()
    assert call(app, *READ).status == 200


def test_other_machines_are_not_let_in_by_accident(store: sl.FeatureStore) -> None:
    check_access(store, Settings())
    check_access(store, Settings(host="0.0.0.0", anonymous=True))
    with pytest.raises(ConfigError, match="other machines"):
        check_access(store, Settings(host="0.0.0.0"))
    keys.create(store.runtime.registry, scope="read")
    check_access(store, Settings(host="0.0.0.0"))


def test_wrong_wishes_for_keys_are_refused(store: sl.FeatureStore) -> None:
    registry = store.runtime.registry
    with pytest.raises(InputError, match="no such scope"):
        keys.create(registry, scope="root")
    with pytest.raises(InputError, match="some services"):
        keys.create(registry, scope="write", services=["fraud"])
    with pytest.raises(InputError, match="below zero"):
        keys.create(registry, scope="read", rate=-1)
    with pytest.raises(UnknownName, match="no key 'nothing'"):
        keys.revoke(registry, "nothing")
    assert Keyring.load(registry).required is False


def test_commands_make_list_and_revoke_keys(repo: Path) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(main, ["keys", *words, "--repo", str(repo)])
        assert result.exit_code == 0, result.output
        return result.stdout

    key = run("create", "--service", "fraud", "--note", "checkout").strip()
    assert key.startswith("sk_")
    assert "checkout" in run("list")
    assert json.loads(run("list", "--json"))[0]["services"] == ["fraud"]
    run("revoke", key.split("_")[1])
    assert "no keys" in run("list")


@pytest.mark.parametrize(
    "words", [["create", "x"], ["revoke"], ["create", "--service", "nothing"], ["revoke", "x"]]
)
def test_wrong_commands_are_refused(repo: Path, words: list[str]) -> None:
    assert CliRunner().invoke(main, ["keys", *words, "--repo", str(repo)]).exit_code == 2


def test_a_key_of_one_project_opens_no_other(tmp_path: Path) -> None:
    place = tmp_path / "registry.db"
    with SQLiteRegistry(place, project="a") as a, SQLiteRegistry(place, project="b") as b:
        keys.create(a, scope="read")
        assert Keyring.load(a).required
        assert not Keyring.load(b).required
        assert keys.listed(b) == []


# ---------------------------------------------------------------- registries that forget their keys


def forget_keys(store: sl.FeatureStore) -> None:
    """Make the registry what it was before the first key, as a restored copy would be."""
    registry = store.runtime.registry
    for name in registry.progress("serving.key"):
        registry.set_progress(name, None)


def test_a_registry_from_before_the_first_key_opens_no_door(
    app: App, store: sl.FeatureStore
) -> None:
    key = made(app, store)
    forget_keys(store)
    app.upkeep.work()
    assert call(app, *READ).status == 401
    assert keyed(app, key, READ).status == 200  # it is the one that was let in all the time
    ready = call(app, "GET", "/ready")
    assert (ready.status, len(ready.data["reasons"])) == (503, 1)
    assert "knows of no keys" in ready.data["reasons"][0]


def test_nor_does_it_to_a_server_that_starts_then(app: App, store: sl.FeatureStore) -> None:
    key = made(app, store)
    forget_keys(store)
    started = App(store, Settings(port=0))
    started.upkeep.first_time()
    assert call(started, *READ).status == 401
    assert keyed(started, key, READ).status == 401
    assert call(started, "GET", "/ready").status == 503
    check_access(store, Settings(host="0.0.0.0"))
    new = made(started, store)
    assert keyed(started, new, READ).status == 200
    assert call(started, "GET", "/ready").status == 200


def restored(store: sl.FeatureStore, rows: dict[str, Any]) -> None:
    """Make the keys in the registry what they were, as a restored copy would."""
    registry = store.runtime.registry
    for name in registry.progress("serving."):
        registry.set_progress(name, None)
    for name, value in rows.items():
        registry.set_progress(name, value)


def test_a_key_revoked_after_a_backup_does_not_count_when_that_is_restored(
    app: App, store: sl.FeatureStore
) -> None:
    registry = store.runtime.registry
    key, other = made(app, store), made(app, store)
    backup = registry.progress("serving.")
    keys.revoke(registry, key)
    app.upkeep.work()
    assert keyed(app, key, READ).status == 401
    restored(store, backup)
    app.upkeep.work()
    started = App(store, Settings(port=0))
    started.upkeep.first_time()
    for each in (app, started):
        assert keyed(each, key, READ).status == 401
        assert keyed(each, other, READ).status == 200
    found = CliRunner().invoke(main, ["keys", "list", "--json", "--repo", str(store.config.folder)])
    assert [listed["id"] for listed in json.loads(found.stdout)] == [other.split("_")[1]]


def test_a_revocation_that_a_command_made_is_noted_before_any_server_runs(
    app: App, store: sl.FeatureStore
) -> None:
    key = made(app, store)
    backup = store.runtime.registry.progress("serving.")
    words = ["keys", "revoke", key.split("_")[1], "--repo", str(store.config.folder)]
    assert CliRunner().invoke(main, words).exit_code == 0
    restored(store, backup)
    started = App(store, Settings(port=0))
    started.upkeep.first_time()
    assert keyed(started, key, READ).status == 401


def test_a_key_revoked_in_a_registry_that_was_then_lost_does_not_go_on_counting(
    app: App, store: sl.FeatureStore
) -> None:
    key, other = made(app, store), made(app, store)
    keys.revoke(store.runtime.registry, key)
    app.upkeep.work()
    restored(store, {})
    app.upkeep.work()
    assert keyed(app, key, READ).status == 401
    assert keyed(app, other, READ).status == 200


def test_revocations_of_a_project_are_its_own(app: App, store: sl.FeatureStore) -> None:
    key = made(app, store)
    store.runtime.journal.write("skewless.keys", [(b"another\0" + key.split("_")[1].encode(), b"")])
    app.upkeep.work()
    assert keyed(app, key, READ).status == 200


def test_keys_that_are_all_revoked_are_not_forgotten(app: App, store: sl.FeatureStore) -> None:
    key = made(app, store)
    keys.revoke(store.runtime.registry, key)
    app.upkeep.work()
    assert call(app, *READ).status == 401
    assert call(app, "GET", "/ready").status == 200


def test_a_key_ends_when_it_was_said_to(
    app: App, store: sl.FeatureStore, clock: SettableClock
) -> None:
    key = made(app, store, expires=NOW + 10 * SECOND, now=NOW)
    clock.time = NOW + 10 * SECOND - 1
    assert keyed(app, key, READ).status == 200
    clock.time = NOW + 10 * SECOND
    refused = keyed(app, key, READ)
    assert (refused.status, refused.data["what"]) == (401, "this key has expired")


@pytest.mark.parametrize("seen", ["by a request", "by upkeep"])
def test_a_clock_that_is_set_back_revives_no_key(
    app: App, store: sl.FeatureStore, clock: SettableClock, seen: str
) -> None:
    key = made(app, store, expires=NOW + 10 * SECOND, now=NOW)
    other = made(app, store, expires=NOW + 60 * SECOND, now=NOW)
    clock.time = NOW + 10 * SECOND
    if seen == "by a request":
        assert keyed(app, key, READ).status == 401
    else:
        app.upkeep.work()
    clock.time = NOW
    assert keyed(app, key, READ).data["what"] == "this key has expired"
    app.upkeep.work()
    started = App(store, Settings(port=0))
    started.upkeep.first_time()
    for each in (app, started):
        assert keyed(each, key, READ).status == 401
        assert keyed(each, other, READ).status == 200


def test_the_end_of_a_key_is_told_to_nobody_who_does_not_have_it(
    app: App, store: sl.FeatureStore, clock: SettableClock
) -> None:
    key = made(app, store, expires=NOW + 1, now=NOW)
    clock.time = NOW + SECOND
    guessed = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert keyed(app, guessed, READ).data["what"] == "not a key that counts here"


def test_a_rotated_key_counts_for_the_overlap_beside_the_new_one(
    app: App, store: sl.FeatureStore, clock: SettableClock
) -> None:
    old = made(app, store, services=["fraud"], actor="service:checkout")
    registry = store.runtime.registry
    new = keys.rotate(registry, old.split("_")[1], overlap=60 * SECOND, now=NOW)
    app.upkeep.work()
    assert [keyed(app, key, READ).status for key in (old, new)] == [200, 200]
    assert keyed(app, new, ("GET", "/v1/views", None)).status == 403, "it may not do more"
    assert {key.actor for key in keys.listed(registry)} == {"service:checkout"}
    clock.time = NOW + 60 * SECOND
    assert [keyed(app, key, READ).status for key in (old, new)] == [401, 200]
    with pytest.raises(InputError, match="has ended"):
        keys.rotate(registry, old, overlap=0, now=clock.now())


def test_a_rotated_key_lasts_as_long_as_the_one_before(store: sl.FeatureStore) -> None:
    registry = store.runtime.registry
    old = keys.create(registry, scope="read", expires=NOW + 100, now=NOW)
    keys.rotate(registry, old, overlap=1_000, now=NOW + 90)
    assert sorted(key.expires - NOW for key in keys.listed(registry)) == [100, 190]
    ring = keys.keyring_of(store.runtime, None)
    assert ring.keys[old.split("_")[1]].expires == NOW + 100, "rotating makes none last longer"


def test_a_key_that_was_rotated_out_does_not_come_back_with_an_older_registry(
    app: App, store: sl.FeatureStore, clock: SettableClock
) -> None:
    old = made(app, store)
    registry, number = store.runtime.registry, old.split("_")[1]
    keys.rotate(registry, number, overlap=60 * SECOND, now=NOW)
    app.upkeep.work()
    registry.set_progress(f"serving.revoked/{number}", None)
    app.upkeep.work()
    assert keyed(app, old, READ).status == 200
    clock.time = NOW + 61 * SECOND
    assert keyed(app, old, READ).status == 401


def test_a_key_that_ends_later_can_be_revoked_now(app: App, store: sl.FeatureStore) -> None:
    old = made(app, store)
    number = old.split("_")[1]
    keys.rotate(store.runtime.registry, number, overlap=60 * SECOND, now=NOW)
    app.upkeep.work()
    keys.revoke(store.runtime.registry, number)
    app.upkeep.work()
    assert keyed(app, old, READ).status == 401
    revived = {"digest": keys._digest(old[16:]), "scope": "read", "services": []}
    store.runtime.registry.set_progress(f"serving.key/{number}", revived)
    store.runtime.registry.set_progress(f"serving.revoked/{number}", None)
    app.upkeep.work()
    assert keyed(app, old, READ).status == 401, "an older registry does not bring it back"


def test_the_last_use_of_a_key_is_noted_now_and_then(
    app: App, store: sl.FeatureStore, clock: SettableClock
) -> None:
    key, unused = made(app, store), made(app, store)
    number, registry = key.split("_")[1], store.runtime.registry
    keyed(app, key, READ)
    app.upkeep.work()
    assert keys.last_uses(registry) == {number: NOW}
    clock.time = NOW + keys.USED_EVERY - 1
    keyed(app, key, READ)
    app.upkeep.work()
    assert keys.last_uses(registry) == {number: NOW}, "the registry is not asked at every read"
    clock.time = NOW + keys.USED_EVERY
    keyed(app, key, READ)
    keyed(app, unused[:-1] + "!", READ)
    app.upkeep.work()
    assert keys.last_uses(registry) == {number: clock.time}


def test_the_record_says_who_had_something_materialized(app: App, store: sl.FeatureStore) -> None:
    key = made(app, store, scope="admin", actor="service:nightly")
    answer = keyed(app, key, MATERIALIZE)
    app.writer.jobs.wait(60)
    assert answer.data["who"] == "service:nightly"
    assert store.runs("materialize")[0].who.startswith("service:nightly (")


def test_a_command_makes_keys_that_end_and_rotates_them(repo: Path) -> None:
    def run(*words: str) -> Any:
        result = CliRunner().invoke(main, ["keys", *words, "--repo", str(repo), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    old = run("create", "--for", "service:checkout", "--expires", "90d")["id"]
    new = run("rotate", old, "--overlap", "1h")["id"]
    listed = {key["id"]: key for key in run("list")}
    assert listed.keys() == {old, new}
    assert {key["actor"] for key in listed.values()} == {"service:checkout"}
    assert listed[old]["expires"] < listed[new]["expires"]
    assert listed[new]["last_used"] is None


@pytest.mark.parametrize(
    "words",
    [["create", "--for", "checkout"], ["create", "--expires", "2001-01-01T00:00:00Z"],
     ["create", "--expires", "soon"], ["rotate", "nothing"], ["rotate"]],
)  # fmt: skip
def test_wrong_wishes_make_no_key(repo: Path, words: list[str]) -> None:
    assert CliRunner().invoke(main, ["keys", *words, "--repo", str(repo)]).exit_code == 2
    with SQLiteRegistry(repo / ".skewless" / "registry.db") as registry:
        assert keys.listed(registry) == []
