"""Dashboards are of Grafana's own schema, and their links lead to pages of the catalogue."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from skewless.testing.servers import module
from skewless.ui.app import make_app
from tests.serving.test_deploy import DASHBOARDS, grouped, panels
from tests.shop import open_store, payments, spend_of


def lost(given: Any, kept: Any, place: str = "") -> Iterator[str]:
    """Yield where something of a document is not in its copy, or another."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            yield from lost(value, kept.get(key, "nothing"), f"{place}.{key}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(one, other, f"{place}[{number}]")
    elif given != kept:
        yield place


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_of_grafanas_own_schema(name: str) -> None:
    encoder = module("grafana_foundation_sdk.cog.encoder", "grafana-foundation-sdk").JSONEncoder
    made = module("grafana_foundation_sdk.models.dashboard", "grafana-foundation-sdk").Dashboard

    def copied(board: dict[str, Any]) -> Any:
        return json.loads(json.dumps(made.from_json(board), cls=encoder))

    board = DASHBOARDS[name]
    assert list(lost(board, copied(board))) == []
    wrong = board | {"refreshes": "1m", "links": [{"title": "a", "adress": "b"}]}
    assert {".refreshes", ".links[0].adress"} <= set(lost(wrong, copied(wrong)))


def test_links_of_dashboards_lead_to_pages_of_the_catalogue(tmp_path: Path) -> None:
    links = [
        (panel, link["url"])
        for panel in panels()
        for link in panel["fieldConfig"]["defaults"].get("links", ())
    ]
    assert len(links) > 15
    labels = {"view": ("Spend", "Spend@v1"), "source": ("pays",)}
    with open_store(tmp_path, spend_of(payments())) as fs:
        pages = TestClient(make_app(fs), base_url="http://localhost")
        for panel, url in links:
            assert url.startswith("${catalogue}/")
            [*asked] = re.findall(r"\$\{__field\.labels\.(\w+)\}", url)
            for target in panel["targets"]:
                assert set(asked) <= grouped(target["expr"]), panel["title"]
            for value in labels[asked[0]] if asked else ("",):
                path = re.sub(r"\$\{__field[^}]*\}", value, url.removeprefix("${catalogue}"))
                assert pages.get(path).status_code == 200, path
