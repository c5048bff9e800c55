"""Pages of other origins may call where the server was told so, and else not."""

import pytest

import skewless as sl
from skewless.errors import InputError
from skewless.serving.app import App
from skewless.serving.settings import Settings
from tests.serving.calling import Answer, call

TOOL = "https://tool.example"
BODY = {"features": ["Newest:amount"], "entities": {"card_id": ["c1"]}}


def started(store: sl.FeatureStore, *origins: str) -> App:
    app = App(store, Settings(cors_origins=origins))
    app.start()
    return app


def asked(app: App, origin: str = TOOL, path: str = "/v1/features") -> Answer:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    return call(app, "OPTIONS", path, headers=headers)


def test_nobody_may_call_from_elsewhere_unless_the_server_was_told_so(app: App) -> None:
    assert asked(app).status == 405
    found = call(app, "POST", "/v1/features", BODY, headers={"origin": TOOL})
    assert not [name for name in found.headers if "access-control" in name]


@pytest.mark.parametrize(("given", "allowed"), [(TOOL, TOOL), ("*", "*")])
def test_a_page_of_an_allowed_origin_asks_and_then_calls(
    store: sl.FeatureStore, given: str, allowed: str
) -> None:
    app = started(store, "http://localhost:8888", given)
    answer = asked(app)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == allowed
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert {"authorization", "content-type"} <= {
        name.strip() for name in answer.headers["access-control-allow-headers"].split(",")
    }
    for body, status in ((BODY, 200), ({}, 422)):
        found = call(app, "POST", "/v1/features", body, headers={"origin": TOOL})
        assert (found.status, found.headers["access-control-allow-origin"]) == (status, allowed)


def test_a_page_of_another_origin_is_told_nothing(store: sl.FeatureStore) -> None:
    app = started(store, TOOL)
    for origin in ("https://evil.example", "https://tool.example.evil", "http://tool.example"):
        answer = asked(app, origin)
        assert answer.status == 405
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["tool.example", "https://tool.example/", "https://a b", ""])
def test_what_is_no_origin_is_refused_at_the_start(store: sl.FeatureStore, origin: str) -> None:
    with pytest.raises(InputError, match="not an origin"):
        started(store, origin)
