"""Every address has a rule about grants, and none shows a value to whom no grant allows it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.definitions.grant import CLASSES
from skewless.serving.app import App
from skewless.serving.operate import keys
from skewless.serving.operate.tokens import Tokens
from tests.serving.calling import Answer, call
from tests.serving.conftest import payment

MARK = b"98765"
ROW = payment(99, "c8", 98765.25, 1)
READ = {"service": "fraud", "entities": [{"card_id": "c8"}]}
FEAST = {"feature_service": "fraud", "entities": {"card_id": ["c8"]}}
PUSHED = {
    name: value
    for name, value in payment(100, "c9", 1.0, 1).items()
    if name not in ("seen", "picture", "paid_at")
} | {"seen": "2026-01-01T09:00:00Z", "picture": "AA==", "paid_at": "2026-01-01T09:00:00Z"}
FRAME = {name: [value] for name, value in PUSHED.items()}
GRANTED = sl.Grant("granted", to="service:granted", read=["Spend"])
WHOLE = sl.Grant("whole", to="service:whole", read="*", personal=CLASSES)


@dataclass(frozen=True)
class Rule:
    """Who an address answers: ``named``: who may read the features of the request; ``all``: who may
    read everything; ``no values``: whoever has a key, since it shows none.
    """

    shows: str
    target: str
    body: Any = None


RULES: dict[tuple[str, str], Rule] = {
    ("POST", "/v1/features"): Rule("named", "/v1/features", READ),
    ("POST", "/get-online-features"): Rule("named", "/get-online-features", FEAST),
    ("POST", "/v1/experiments/"): Rule(
        "named", "/v1/experiments/trial", {"entities": READ["entities"]}),
    ("GET", "/v1/explain"): Rule("all", "/v1/explain?feature=Spend:total&card_id=c8"),
    ("GET", "/health"): Rule("no values", "/health"),
    ("GET", "/ready"): Rule("no values", "/ready"),
    ("GET", "/openapi.json"): Rule("no values", "/openapi.json"),
    ("GET", "/metrics"): Rule("no values", "/metrics"),
    ("GET", "/v1/services"): Rule("no values", "/v1/services"),
    ("GET", "/v1/views"): Rule("no values", "/v1/views"),
    ("GET", "/v1/features"): Rule("no values", "/v1/features?q=spend"),
    ("GET", "/v1/entities"): Rule("no values", "/v1/entities"),
    ("GET", "/v1/sources"): Rule("no values", "/v1/sources"),
    ("POST", "/v1/push"): Rule(
        "no values", "/v1/push", {"source": "payments", "rows": [PUSHED]}),
    ("POST", "/push"): Rule("no values", "/push", {"push_source_name": "payments", "df": FRAME}),
    ("POST", "/write-to-online-store"): Rule(
        "no values", "/write-to-online-store", {"feature_view_name": "Newest", "df": FRAME}),
    ("POST", "/v1/materialize"): Rule("no values", "/v1/materialize", {"views": ["Spend"]}),
    ("POST", "/materialize"): Rule("no values", "/materialize", {"feature_views": ["Spend"]}),
    ("POST", "/materialize-incremental"): Rule(
        "no values", "/materialize-incremental", {"feature_views": ["Spend"]}),
    ("GET", "/v1/jobs"): Rule("no values", "/v1/jobs"),
    ("GET", "/v1/jobs/"): Rule("no values", "/v1/jobs/0123"),
}  # fmt: skip
EACH = pytest.mark.parametrize("address", RULES, ids=lambda address: " ".join(address))
SHOWING = pytest.mark.parametrize(
    "address", [a for a in RULES if RULES[a].shows != "no values"], ids=lambda a: " ".join(a)
)


@pytest.fixture
def made(app: App, store: sl.FeatureStore) -> dict[str, str]:
    """Keys of everything that keys can do, by the actor; there are no grants yet."""
    store.push("payments", [ROW], backdate=True)
    store.apply([sl.FeatureService("other", ["Spend:total"])])
    card = store.runtime.state(fresh=True).entities["card"]
    store.experiment("trial", control="fraud", treatment="other", by=card)
    registry = store.runtime.registry
    found = {
        name: keys.create(registry, scope="admin", actor=f"service:{name}")
        for name in ("granted", "whole", "stranger")
    }
    found["nameless"] = keys.create(registry, scope="admin")
    app.upkeep.work()
    return found


def ask(app: App, address: tuple[str, str], key: str) -> Answer:
    rule = RULES[address]
    answer = call(
        app, address[0], rule.target, rule.body, headers={"authorization": f"Bearer {key}"}
    )
    app.writer.jobs.wait(60)
    return answer


def granting(app: App, store: sl.FeatureStore, *grants: sl.Grant) -> None:
    store.apply(list(grants))
    app.upkeep.work()


def test_every_address_has_a_rule_about_grants(app: App) -> None:
    served = {(method, path) for path, methods in app._routes.items() for method in methods}
    assert served == set(RULES), "a new address needs a rule about grants in this table"


def test_reads_are_compiled_where_grants_are_looked_at_alone() -> None:
    folder = Path(sl.__file__).parent / "serving"
    found = [f.name for f in folder.rglob("*.py") if " ReadPlan(" in f.read_text()]
    assert found == ["reader.py"]
    assert (folder / "read" / "reader.py").read_text().count(" ReadPlan(") == 2  # with masks, too


@EACH
def test_nobody_sees_a_value_that_no_grant_allows(
    app: App, store: sl.FeatureStore, made: dict[str, str], address: tuple[str, str]
) -> None:
    shows = RULES[address].shows
    before = ask(app, address, made["stranger"])
    assert (MARK in before.body) == (shows != "no values")
    granting(app, store, GRANTED, WHOLE)
    for name, key in made.items():
        answer = ask(app, address, key)
        sees = shows != "no values" and (
            name == "whole" or (name == "granted" and shows == "named")
        )
        assert (MARK in answer.body) == sees, name
        assert (answer.status == 403) == (shows != "no values" and not sees), name


@SHOWING
def test_what_is_forbidden_is_refused_in_running_servers(
    app: App, store: sl.FeatureStore, made: dict[str, str], address: tuple[str, str]
) -> None:
    granting(app, store, GRANTED, WHOLE)
    assert MARK in ask(app, address, made["whole"]).body
    granting(app, store, sl.Grant("no", to="*", read="Spend:total", forbid=True))
    for name, key in made.items():
        answer = ask(app, address, key)
        assert (answer.status, MARK in answer.body) == (403, False), name


def test_the_short_way_of_small_reads_is_no_way_round(
    app: App, store: sl.FeatureStore, made: dict[str, str]
) -> None:
    granting(app, store, GRANTED)
    bodies = {b"/v1/features": READ, b"/get-online-features": FEAST}
    assert set(bodies) == set(app.quick)
    for path, body in bodies.items():
        for name, status in (("granted", 200), ("stranger", 403), ("granted", 200)):
            headers = {b"authorization": f"Bearer {made[name]}".encode()}
            answer = app.at_once(path, headers, json.dumps(body).encode())
            assert answer is not None
            assert answer[0].status == status, (path, name)


@pytest.mark.parametrize(
    "asked",
    [
        {"features": ["Spend:count", "Newest:amount"]},
        {"features": "Newest:amount"},
        {"features": ["fraud", "Newest:amount"]},
        {"features": "newest"},
        {"service": "newest"},
        {"features": ["Newest@v1:amount"], "full_names": True},
        {"features": ["Payment:ratio"]},
    ],
)
def test_one_feature_without_a_grant_refuses_the_read_however_it_is_named(
    app: App, store: sl.FeatureStore, made: dict[str, str], asked: dict[str, Any]
) -> None:
    granting(app, store, GRANTED)
    headers = {"authorization": f"Bearer {made['granted']}"}
    entity = {"card_id": "c8"}
    for number in (1, 5_000):
        body = {**asked, "entities": [entity] * number}
        answer = call(app, "POST", "/v1/features", body, headers=headers)
        assert answer.status == 403, answer.body[:300]


def test_where_no_key_was_made_only_what_everybody_may_read_is_read(
    app: App, store: sl.FeatureStore
) -> None:
    granting(app, store, sl.Grant("open", to="*", read="Spend:count"))
    entities = READ["entities"]
    for feature, status in (("Spend:count", 200), ("Spend:total", 403)):
        body = {"features": [feature], "entities": entities}
        assert call(app, "POST", "/v1/features", body).status == status


def test_groups_of_a_token_are_those_that_grants_name(
    app: App, store: sl.FeatureStore, made: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    granting(app, store, sl.Grant("risk", to="group:risk", read=["Spend"]))
    caller = keys.Caller("read", actor="user:ada", groups=frozenset({"risk"}))
    other = keys.Caller("read", actor="user:ada", groups=frozenset({"sales"}))
    for who, status in ((caller, 200), (other, 403), (caller, 200)):
        monkeypatch.setattr(app, "_caller", lambda _, who=who: who)
        assert call(app, "POST", "/v1/features", READ).status == status


def test_a_token_hands_on_its_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    from skewless.serving.operate.issuer import OidcSettings

    settings = OidcSettings.of(
        {"issuer": "https://issuer.example", "audience": "a", "read": ["staff"]}, "tests"
    )
    held = Tokens(settings, lambda: 0)._holder({"sub": "ada", "groups": ["staff", "risk"]})
    assert held.asker == ("user:ada", frozenset({"staff", "risk"}))
