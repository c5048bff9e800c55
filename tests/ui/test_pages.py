"""Pages: every link leads somewhere, all is data too, and what they say is what the store says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import skewless as sl
from skewless.ui.app import PAGES, make_app
from skewless.ui.check_days import DAY, results
from tests.ui.repo import MINUTE, NOON, Document, crawl

NAMES = {
    "/views/{name}": "Spend@v1",
    "/views/{name}/statistics": "Spend@v1",
    "/features/{name}": "Spend@v1:total_1h",
    "/features/{name}/distribution": "Spend@v1:total_1h",
    "/services/{name}": "fraud_model",
    "/entities/{name}": "card",
    "/sources/{name}": "pays",
}


@pytest.fixture(scope="module")
def path_of(store: sl.FeatureStore) -> Callable[[str], str]:
    """An address of every kind of page."""
    made = store.training_sets()[-1].id
    return lambda path: path.replace("{name}", NAMES.get(path, made)).replace("{act}", "silence")


def data(client: TestClient, address: str, **parameters: str) -> Any:
    answer = client.get(address, params={**parameters, "format": "json"})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def site(client: TestClient) -> dict[str, Any]:
    return crawl(client)


def test_every_link_of_every_page_leads_somewhere(site: dict[str, Any]) -> None:
    assert len(site) > 30
    assert {address: found.status_code for address, found in site.items()} == dict.fromkeys(
        site, 200
    )


def test_every_kind_of_page_is_found_by_following_links(
    site: dict[str, Any], path_of: Callable[[str], str]
) -> None:
    wanted = set(map(path_of, PAGES))
    assert wanted - {address.partition("?")[0] for address in site} == set()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_data_too(
    client: TestClient, path: str, path_of: Callable[[str], str]
) -> None:
    found = data(client, path_of(path))
    assert found["title"]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_one_heading_of_the_first_order(
    client: TestClient, path: str, path_of: Callable[[str], str]
) -> None:
    page = Document(client.get(path_of(path)).text)
    assert [tag for tag, _ in page.elements].count("h1") == 1


def test_a_fragment_is_the_page_without_its_frame(client: TestClient) -> None:
    whole = client.get("/views/Spend@v1/statistics").text
    part = client.get("/views/Spend@v1/statistics", params={"fragment": "1"}).text
    assert "<html" in whole
    assert "<html" not in part
    assert "<h1" not in part
    assert "total_1h" in part


def test_what_is_not_there_says_what_is(client: TestClient) -> None:
    answer = client.get("/views/Spnd")
    assert answer.status_code == 404
    assert "Spend" in Document(answer.text).text
    assert client.get("/nothing").status_code == 404
    assert client.get("/sources/nope").status_code == 404
    assert client.get("/entities/nope").status_code == 404
    assert client.get("/explore", params={"of": "nope"}).status_code == 404


def test_names_with_strange_characters_are_not_found_and_no_failure(client: TestClient) -> None:
    for name in (
        "%00",
        "..%2f..%2fetc%2fpasswd",
        "Spend@v999999999999",
        "a" * 3000,
        "%F0%9F%98%80",
    ):
        assert client.get(f"/views/{name}").status_code in {400, 404}


def test_the_statistics_are_those_of_the_store(client: TestClient, store: sl.FeatureStore) -> None:
    expected = store.statistics("Spend@v1").to_dict()
    found = data(client, "/views/Spend@v1/statistics")["statistics"]
    assert {**found, "at": ""} == {**expected, "at": ""}


def test_on_demand_features_have_no_distribution_and_say_why(client: TestClient) -> None:
    found = data(client, "/features/Asked@v1:ratio/distribution")
    assert found["distribution"] is None
    assert "asked_amount" in found["why_not"]


def test_a_feature_names_its_columns_its_users_and_what_it_goes_into(client: TestClient) -> None:
    found = data(client, "/features/Spend:big")
    assert [(c["name"], c["role"]) for c in found["columns"]] == [("amount", "filter or group")]
    assert found["services"] == ["fraud_model"]
    assert found["words"]["unit"] == "1"
    assert data(client, "/features/Spend:total_24h")["used_by"] == ["Asked@v1:ratio"]
    assert data(client, "/features/Spend:total_24h")["windows"].keys() == {"1h", "24h"}
    assert data(client, "/features/Asked:ratio")["inputs"] == ["Spend@v1:total_24h"]


def test_a_source_says_which_features_each_column_goes_into(client: TestClient) -> None:
    columns = {c["name"]: c for c in data(client, "/sources/pays")["columns"]}
    assert columns["city"]["features"] == ["Spend@v1:city"]
    assert columns["amount"]["words"]["unit"] == "EUR"
    assert columns["paid_at"]["role"] == "event time"
    assert "Quiet@v1:biggest" in columns["amount"]["features"]


def test_search_finds_and_offers_filters(client: TestClient) -> None:
    found = data(client, "/search", q="spend owner:fraud")
    assert {hit["view"] for hit in found["results"]} == {"Spend"}
    everything = data(client, "/search")
    assert {facet["value"] for facet in everything["facets"]["owner"]} == {"fraud"}
    assert data(client, "/search", q="zebra crossings")["results"] == []
    assert "Nothing fits" in client.get("/search", params={"q": "zebra crossings"}).text


def test_changes_name_what_was_done(client: TestClient) -> None:
    (change,) = data(client, "/changes")["changes"]
    assert "added 2 feature views" in change["headline"]
    assert {step["name"] for step in change["steps"]} >= {"Spend", "card", "pays", "fraud_model"}


def test_an_empty_repo_teaches_how_to_begin(tmp_path: Any) -> None:
    with sl.FeatureStore(tmp_path) as fs:
        fs.runtime.registry.state()
        client = TestClient(make_app(fs), base_url="http://localhost")
        for path in PAGES:
            assert client.get(path.replace("{name}", "x")).status_code in {200, 400, 404}, path
        assert "skewless apply" in client.get("/").text


def test_lineage_leads_from_columns_to_the_model(client: TestClient) -> None:
    found = data(client, "/lineage", of="Spend:big", up="1", down="3")["lineage"]
    names = {node["name"] for node in found["nodes"]}
    assert {"pays.amount", "Spend@v1:big", "fraud_model", "fraud_net"} <= names
    assert "pays.card_id" not in names
    whole = data(client, "/lineage", of="Spend:big", up="1", down="3", all="1")["lineage"]
    assert "pays.card_id" in {node["name"] for node in whole["nodes"]}


def test_a_lineage_is_drawn_with_a_link_for_each_thing(client: TestClient) -> None:
    page = Document(client.get("/lineage", params={"of": "fraud_model"}).text)
    links = [str(given["href"]) for tag, given in page.elements if tag == "a"]
    assert "/lineage?of=pays.city&up=2&down=2" in links
    assert client.get("/lineage", params={"of": "nope"}).status_code == 404
    assert client.get("/lineage", params={"of": "pays", "up": "many"}).status_code == 400


def test_runs_and_training_sets_are_those_of_the_ledger(
    client: TestClient, store: sl.FeatureStore
) -> None:
    found = data(client, "/runs")
    assert [run["id"] for run in found["runs"]] == [run.id for run in store.runs()]
    assert {run["job"] for run in data(client, "/runs", job="apply")["runs"]} == {"apply"}
    made = store.training_sets()[-1]
    shown = data(client, f"/training-sets/{made.id}")
    assert shown["models"] == ["fraud_net"]
    assert shown["columns"] == dict(made.columns)
    assert client.get("/training-sets/ts_nope").status_code == 404


def test_quality_shows_what_each_check_found_last_and_day_by_day(
    client: TestClient, store: sl.FeatureStore
) -> None:
    checks = data(client, "/quality")["checks"]
    *pushes, last = [record.data for record in store.runtime.ledger.records(kinds=["check"])]
    assert ({each["point"] for each in pushes}, last["point"]) == ({"push"}, "history")
    first, *others = [each for each in checks if each["point"] == "history"]
    assert (first["check"], first["ok"]) == ("amount between 0.0 and 50.0", False)
    assert first["failing"] == last["results"][0]["failing"] > pushes[-1]["results"][0]["failing"]
    today = (NOON + MINUTE) // DAY
    assert first["days"] == {str(today): False}
    assert {each["ok"] for each in others} == {True}
    pushed = [each for each in checks if each["point"] == "push"]
    assert {each["check"] for each in pushed} == {each["check"] for each in (first, *others)}
    others += pushed
    assert not any(each["never"] for each in others)


def test_a_push_that_holds_does_not_hide_that_history_does_not(tmp_path: Path) -> None:
    check = {"check": "amount > 0", "action": "warn", "failing": 1, "rows": 9}
    with sl.FeatureStore(tmp_path) as fs:
        for point, ok in (("history", False), ("push", True)):
            result = {"of": "pays", "point": point, "rows": 9, "results": [check | {"ok": ok}]}
            fs.runtime.ledger.record("check", result)
        found = results(fs.runtime.ledger, 0)
    assert {key: each["ok"] for key, each in found.items()} == {
        ("pays", "history", "amount > 0"): False,
        ("pays", "push", "amount > 0"): True,
    }
