"""The pages of alerts and of cost say what `fs.alerts` and `fs.cost` say, and teach where empty."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import skewless as sl
from skewless.alerts.alerts import Runner
from skewless.testing.clock import SettableClock
from skewless.ui.app import make_app
from tests.ui.repo import HOUR, Document, filled

Opened = tuple[TestClient, sl.FeatureStore, SettableClock]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    fs, clock = filled(tmp_path)
    with fs:
        yield TestClient(make_app(fs), base_url="http://localhost"), fs, clock


def data(client: TestClient, address: str) -> Any:
    answer = client.get(address, params={"format": "json"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_alerts_stand_with_owner_models_and_who_looks_after_them(opened: Opened) -> None:
    client, fs, clock = opened
    clock.time += 5 * HOUR
    Runner(fs.runtime).run()
    found = {each["short"]: each for each in data(client, "/alerts")["waiting"]}
    assert found.keys() == {each.key.partition("/")[2] for each in fs.alerts()}
    stale = found["Spend@v1/freshness"]
    assert (stale["owner"], stale["models"], stale["level"]) == ("fraud", ["fraud_net"], "page")
    assert stale["link"] == "/views/Spend@v1"
    assert found["pays/check"]["models"] == ["fraud_net"]  # of what the source feeds
    fs.acknowledge("Spend@v1/freshness", who="ada")
    fs.silence("pays/check", "1h", who="bob", why="planned")
    page = data(client, "/alerts")
    assert [(e["short"], e["who"]) for e in page["acknowledged"]] == [("Spend@v1/freshness", "ada")]
    assert [each["short"] for each in page["silenced"]] == ["pays/check"]
    assert [(s["of"], s["who"], s["why"]) for s in page["silences"]] == [
        ("pays/check", "bob", "planned")
    ]
    text = Document(client.get("/alerts").text).text
    assert "Somebody looks after" in text
    assert "planned" in text


def test_without_alerts_and_receivers_the_page_says_how_to_have_some(opened: Opened) -> None:
    client, _, _ = opened
    page = data(client, "/alerts")
    assert page["waiting"] == page["silences"] == page["receivers"] == []
    text = Document(client.get("/alerts").text).text
    assert "No alert is open." in text
    assert "skewless alert test" in text


def test_cost_is_that_of_the_store(opened: Opened) -> None:
    client, fs, _ = opened
    expected = fs.cost().to_dict()
    page = data(client, "/cost")
    assert page["features"] == expected["features"]
    assert page["bytes"] == expected["bytes"] > 0
    assert page["price"] is None
    text = Document(client.get("/cost").text).text
    assert "[prices]" in text
    assert "No server has counted reads yet" in text or page["notes"] == expected["notes"]


def test_a_price_and_what_nobody_uses_and_what_is_twice_are_told(tmp_path: Path) -> None:
    (tmp_path / "skewless.toml").write_text('[prices]\nmillion_rows = 5.0\ncurrency = "EUR"\n')
    fs, clock = filled(tmp_path)
    with fs:
        pays = fs.sources["pays"]
        fs.apply(
            [
                sl.FeatureView(
                    "Again", entity=fs.entities["card"], source=pays,
                    features={"most": pays.amount.max("7d")}, owner="fraud",
                )
            ]
        )  # fmt: skip
        clock.time += 61 * 24 * HOUR
        client = TestClient(make_app(fs), base_url="http://localhost")
        page = data(client, "/cost")
        assert page["duplicates"] == [["Quiet@v1:biggest", "Again@v1:most"]]
        assert {"Again@v1:most", "Quiet@v1:biggest"} <= set(page["unused"])
        assert "Spend@v1:big" not in page["unused"]
        assert page["price"] == pytest.approx(sum(each["price"] for each in page["features"]))
        text = Document(client.get("/cost").text).text
        assert "EUR a month" in text
        assert "is computed as" in text
        assert "in 60 days" in text


def test_nothing_costs_nothing_and_says_how_to_begin(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path) as fs:
        client = TestClient(make_app(fs), base_url="http://localhost")
        assert data(client, "/cost")["features"] == []
        assert "nothing to pay for" in client.get("/cost").text
