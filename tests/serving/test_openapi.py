"""The description of the interface is right, and fuzzing from it finds no 500."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import skewless as sl
from skewless.serving.app import App
from skewless.serving.openapi import document
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import call
from tests.serving.conftest import NOW

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_app: App | None = None


async def served(scope: Any, receive: Any, send: Any) -> None:
    """The application of the test that runs."""
    assert _app is not None
    if scope["type"] == "lifespan":  # around every call: the application goes on living
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    await _app(scope, receive, send)


@pytest.fixture(scope="module", autouse=True)
def _running(filled_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global _app  # noqa: PLW0603
    repo = shutil.copytree(filled_shop, tmp_path_factory.mktemp("fuzzed") / "shop")
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as store:
        _app = App(store, Settings())
        _app.start()
        yield
        _app.writer.jobs.wait(60)
        _app = None


def with_names_of_the_shop() -> dict[str, Any]:
    """The description with names that exist, so that fuzzing gets beyond looking them up."""
    found = document()
    schemas = found["components"]["schemas"]
    anything = {name: {} for name in ("card_id", "asked", "driver", "code", "amount", "km")}
    at = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}, {}]}
    row = {"type": "object", "properties": anything | {"paid_at": at, "at": at, "payment_id": {}}}
    lists = {name: {"type": "array", "items": {}} for name in row["properties"]}
    rows = {"anyOf": [{"type": "array", "items": row}, {"type": "object", "properties": lists}]}
    features = ["Spend:total", "Newest", "Payment:ratio", "Trip:km", "Spend@v1:mean", "fraud"]
    names = {"type": "array", "items": {"enum": features}, "minItems": 1}
    changes: dict[str, dict[str, Any]] = {
        "FeaturesRequest": {
            "entities": rows, "features": names, "service": {"enum": ["fraud", "newest", None]},
        },
        "PushRequest": {"source": {"enum": ["payments", "trips"]}, "rows": rows},
        "MaterializeRequest": {"views": {"anyOf": [names, {"type": "null"}]}},
        "FeastRead": {"entities": {"type": "object", "properties": lists}, "features": names},
        "FeastPush": {
            "push_source_name": {"enum": ["payments", "trips"]},
            "df": {"type": "object", "properties": lists},
        },
        "FeastWrite": {
            "feature_view_name": {"enum": ["Spend", "Newest", "Trip", "Payment"]},
            "df": {"type": "object", "properties": lists},
        },
        "FeastMaterialize": {"feature_views": {"anyOf": [names, {"type": "null"}]}},
    }  # fmt: skip
    for schema_name, properties in changes.items():
        schemas[schema_name]["properties"] |= properties
    return found


schema = schemathesis.openapi.from_dict(with_names_of_the_shop())
schema.app = served


def test_the_description_is_openapi() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_every_address_is_described(app: App) -> None:
    described = set(document()["paths"])
    served_paths = {route.path for methods in app._routes.values() for route in methods.values()}
    assert described == served_paths
    answered = call(app, "GET", "/openapi.json").data
    vectors = {n for n in answered["components"]["schemas"] if n.startswith("Vector_")}
    assert vectors == {f"Vector_{name}" for name in app.store.services}
    for name in vectors:
        del answered["components"]["schemas"][name]
    assert answered == document()


def test_vectors_of_services_are_described_with_the_words_of_their_features(
    tmp_path: Path,
) -> None:
    tests = sl.Source("tests", schema={"fab": str, "vdd": float}, event_time="at")
    view = sl.FeatureView(
        "Fab",
        entity=sl.Entity("fab", fab=str),
        source=tests,
        features={"vdd": tests.vdd.mean("1h").describe("supply voltage", unit="V", tags={"a": 1})},
        owner="te",
    )
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply([view, sl.FeatureService("model", [view], description="yield")])
        app = App(store, Settings())
        app.start()
        found = call(app, "GET", "/openapi.json").data
    OpenAPIV31SpecValidator(found).validate()
    vector = found["components"]["schemas"]["Vector_model"]
    assert vector["description"] == "yield"
    assert vector["properties"]["vdd"] == {
        "anyOf": [{"anyOf": [{"type": "number"}, {"type": "string"}]}, {"type": "null"}],
        "description": "supply voltage",
        "x-unit": "V",
        "x-owner": "te",
        "x-tags": {"a": 1},
        "x-feature": "Fab@v1:vdd",
    }


def test_whoever_has_no_key_sees_no_services_in_the_description(tmp_path: Path) -> None:
    from skewless.serving.operate.keys import create

    tests = sl.Source("tests", schema={"fab": str, "vdd": float}, event_time="at")
    features = {"n": tests.count("1h")}
    view = sl.FeatureView("F", entity=sl.Entity("fab", fab=str), source=tests, features=features)
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply([view, sl.FeatureService("one", [view]), sl.FeatureService("two", [view])])
        token = create(store.runtime.registry, scope="read", services=["two"])
        app = App(store, Settings())
        app.start()
        assert call(app, "GET", "/openapi.json").data == document()
        headers = {"authorization": f"Bearer {token}"}
        schemas = call(app, "GET", "/openapi.json", headers=headers).data["components"]["schemas"]
    assert [name for name in schemas if name.startswith("Vector_")] == ["Vector_two"]


@schema.parametrize()
@settings(
    max_examples=100 if os.environ.get("CI") else 25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_nothing_that_fits_the_description_is_answered_with_500(case: schemathesis.Case) -> None:
    response = case.call()
    if response.status_code == 503:
        pytest.fail(response.text)
    case.validate_response(response, checks=CHECKS)
