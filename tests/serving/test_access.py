"""Every address has a rule who may come in, whatever becomes of the registry."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.registry.backup import export, restore
from skewless.serving.app import App
from skewless.serving.operate import keys
from skewless.serving.operate.background import EMPTY
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import call
from tests.serving.conftest import NOW
from tests.serving.test_writes import ROW

READ = {"service": "fraud", "entities": [{"card_id": "c1"}]}
FEAST_READ = {"feature_service": "fraud", "entities": {"card_id": ["c1"]}}
FRAME = {name: [value] for name, value in ROW.items()}
ALL = ("service", "read", "write", "admin")
READERS, WRITERS = ("read", "write", "admin"), ("write", "admin")


@dataclass(frozen=True)
class Rule:
    """Whom an address lets in: ``open`` everybody, else callers with one of these keys."""

    keys: tuple[str, ...]
    body: Any = None
    query: str = ""
    rest: str = ""
    open: bool = False
    without_registry: bool = False


RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/health"): Rule(ALL, open=True),
    ("GET", "/ready"): Rule(ALL, open=True),
    ("GET", "/openapi.json"): Rule(ALL, open=True),
    ("GET", "/metrics"): Rule(READERS, without_registry=True),
    ("GET", "/v1/services"): Rule(ALL),
    ("GET", "/v1/views"): Rule(READERS),
    ("GET", "/v1/features"): Rule(READERS),
    ("GET", "/v1/entities"): Rule(READERS),
    ("GET", "/v1/sources"): Rule(READERS),
    ("GET", "/v1/explain"): Rule(READERS, query="?feature=Spend:total&card_id=c1"),
    ("POST", "/v1/features"): Rule(ALL, READ),
    ("POST", "/v1/experiments/"): Rule(ALL, {"entities": []}, rest="unknown"),
    ("POST", "/get-online-features"): Rule(ALL, FEAST_READ),
    ("POST", "/v1/push"): Rule(WRITERS, {"source": "payments", "rows": [ROW]}),
    ("POST", "/push"): Rule(WRITERS, {"push_source_name": "payments", "df": FRAME}),
    ("POST", "/write-to-online-store"): Rule(
        WRITERS, {"feature_view_name": "Newest", "df": FRAME}
    ),
    ("POST", "/v1/materialize"): Rule(("admin",), {"views": ["Spend"]}),
    ("POST", "/materialize"): Rule(("admin",), {"feature_views": ["Spend"]}),
    ("POST", "/materialize-incremental"): Rule(("admin",), {"feature_views": ["Spend"]}),
    ("GET", "/v1/jobs"): Rule(WRITERS),
    ("GET", "/v1/jobs/"): Rule(WRITERS, rest="0123"),
}  # fmt: skip
EACH = pytest.mark.parametrize("address", RULES, ids=lambda address: " ".join(address))


def ask(app: App, address: tuple[str, str], key: str = "", path: str | None = None) -> int:
    rule = RULES[address]
    headers = {"authorization": f"Bearer {key}"} if key else {}
    target = (address[1] + rule.rest if path is None else path) + rule.query
    answer = call(app, address[0], target, rule.body, headers=headers)
    app.writer.jobs.wait(60)
    return answer.status


def is_let_in(status: int) -> bool:
    """404: there is no such job, which a stranger is not told."""
    return status in (200, 202, 404)


def made_keys(app: App, store: sl.FeatureStore) -> dict[str, str]:
    registry = store.runtime.registry
    found = {scope: keys.create(registry, scope=scope) for scope in keys.SCOPES}
    found["service"] = keys.create(registry, scope="read", services=["fraud"])
    app.upkeep.work()
    return found


def test_every_address_has_a_rule(app: App) -> None:
    served = {(method, path) for path, methods in app._routes.items() for method in methods}
    assert served == set(RULES), "a new address needs a rule in this table"


@EACH
def test_an_address_lets_in_whom_its_rule_names(
    app: App, store: sl.FeatureStore, address: tuple[str, str]
) -> None:
    made, rule = made_keys(app, store), RULES[address]
    for scope in ALL:
        assert is_let_in(ask(app, address, made[scope])) == (scope in rule.keys), scope
    assert ask(app, address) == (200 if rule.open else 401)
    assert ask(app, address, "sk_000000000000_" + "A" * 43) == (200 if rule.open else 401)


@EACH
@pytest.mark.parametrize(
    "spelled", ["{}/", "/{}", "{}%2f", "/x/..{}", "{};x", "/./{}", "{}\x00", "{}//", "//x{}"]
)
def test_no_other_spelling_of_an_address_is_a_way_in(
    app: App, store: sl.FeatureStore, address: tuple[str, str], spelled: str
) -> None:
    made_keys(app, store)
    path = spelled.format(address[1])
    for way in (path, path.upper()):
        for method in (address[0], "HEAD", "OPTIONS", "PUT"):
            answer = call(app, method, way, RULES[address].body)
            assert answer.status in (401, 404, 405), (method, way)
            assert b"Spend" not in answer.body


# --------------------------------------------------------------- what may become of the registry


def emptied(store: sl.FeatureStore, repo: Path) -> None:
    for file in (repo / ".skewless").glob("registry.db*"):
        file.unlink()


def replaced(store: sl.FeatureStore, repo: Path) -> None:
    """The remedy that the error of a lost registry names."""
    emptied(store, repo)
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as other:
        other.apply(other.plan())


def restored(store: sl.FeatureStore, repo: Path) -> None:
    """From an export of before the first key."""
    emptied(store, repo)
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as other:
        restore(other.runtime.registry, repo.parent / "before.json")


def damaged(store: sl.FeatureStore, repo: Path) -> None:
    emptied(store, repo)
    (repo / ".skewless" / "registry.db").write_bytes(b"no registry" * 1000)


def lost_with_all(store: sl.FeatureStore, repo: Path) -> None:
    """With its journal, which remembers that there were keys."""
    emptied(store, repo)
    store.runtime.journal.delete("skewless.keys", [b"default"])


FATES = pytest.mark.parametrize("fate", [emptied, replaced, restored, damaged, lost_with_all])


@pytest.fixture
def before(store: sl.FeatureStore, repo: Path) -> None:
    export(store.runtime.registry, repo.parent / "before.json")


@FATES
@pytest.mark.usefixtures("before")
def test_no_fate_of_the_registry_opens_an_address(
    app: App, store: sl.FeatureStore, repo: Path, fate: Callable[..., None]
) -> None:
    made = made_keys(app, store)
    fate(store, repo)
    for _ in range(2):  # before the server has noticed, and after
        for address, rule in RULES.items():
            expected = {401} if not rule.open else {200, 503}
            assert ask(app, address) in expected, address
        app.upkeep.work()
    assert app.upkeep.keyring is not None
    assert app.upkeep.keyring.required
    assert is_let_in(ask(app, ("GET", "/metrics"), made["read"]))


@FATES
@pytest.mark.usefixtures("before")
def test_nor_does_it_to_workers_that_start_then(
    store: sl.FeatureStore, repo: Path, tmp_path: Path, fate: Callable[..., None]
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    first = App(store, Settings(), folder=folder)
    first.start()
    made_keys(first, store)
    fate(store, repo)
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as anew:
        second = App(anew, Settings(), folder=folder, worker=1)
        try:
            second.start()
        except sl.SkewlessError:
            assert fate is damaged
        for address, rule in RULES.items():
            if not rule.open:
                assert ask(second, address) in ({503} if fate is damaged else {401}), address


@pytest.fixture
def empty(repo: Path) -> Iterator[App]:
    shutil.rmtree(repo / ".skewless")
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as store:
        app = App(store, Settings())
        app.start()
        yield app


@EACH
def test_an_empty_registry_serves_nothing(empty: App, address: tuple[str, str]) -> None:
    rule = RULES[address]
    if address[1] == "/ready":
        answer = call(empty, "GET", "/ready")
        assert (answer.status, answer.data["reasons"]) == (503, [EMPTY])
    else:
        assert ask(empty, address) == (200 if rule.open or rule.without_registry else 503)


def test_a_lost_registry_is_no_missing_name(app: App, store: sl.FeatureStore, repo: Path) -> None:
    """Producers would not send their rows again after a 404."""
    emptied(store, repo)
    store.runtime.state(fresh=True)
    for address in RULES:
        if address not in (("GET", "/metrics"), ("GET", "/health"), ("GET", "/openapi.json")):
            assert ask(app, address) == 503, address
    headers: dict[bytes, bytes] = {}
    quick = app.at_once(b"/v1/features", headers, b'{"service": "fraud", "entities": [{}]}')
    assert quick is not None
    assert quick[0].status == 503
    app.upkeep.work()
    replaced(store, repo)
    store.runtime.state(fresh=True)  # known here a moment before reads know it
    assert ask(app, ("POST", "/v1/features")) == 503
    app.upkeep.work()
    assert call(app, "GET", "/ready").status == 200
    assert ask(app, ("POST", "/v1/features")) == 200


def test_nobody_is_let_in_before_the_keys_were_read(store: sl.FeatureStore) -> None:
    app = App(store, Settings())
    for address, rule in RULES.items():
        if not rule.open:
            assert ask(app, address) == 503, address


def test_a_server_for_other_machines_needs_keys_whatever_can_be_read(repo: Path) -> None:
    """It was not started without; a worker that is restarted must not come up open."""
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as store:
        app = App(store, Settings(host="0.0.0.0"))
        app.start()
        for address, rule in RULES.items():
            if not rule.open:
                assert ask(app, address) == 401, address
