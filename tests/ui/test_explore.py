"""The explorer: values now and then, what changed since, and the rows behind one."""

from typing import Any

import pytest
from starlette.testclient import TestClient

import skewless as sl
from skewless.clock import from_micros, iso
from tests.ui.repo import HOUR, NOON, Document

THEN = iso(NOON - HOUR)


def explored(client: TestClient, **given: str) -> Any:
    names = {"card_id": "key.card_id", "asked_amount": "key.asked_amount"}
    asked = {names.get(name, name): value for name, value in given.items()}
    answer = client.get("/explore", params={"of": "card", **asked, "format": "json"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_values_now_are_those_of_the_online_store(
    client: TestClient, store: sl.FeatureStore
) -> None:
    found = {line["name"]: line for line in explored(client, card_id="c1")["values"]}
    expected = store.get_online_features("Spend", [{"card_id": "c1"}])
    values, statuses = expected.to_rows()[0], expected.to_statuses()
    assert {name: found[name]["now"] for name in values} == values
    assert {name: found[name]["status"] for name in values} == {
        n: s[0] for n, s in statuses.items()
    }


def test_values_of_a_moment_are_those_of_a_training_set(
    client: TestClient, store: sl.FeatureStore
) -> None:
    found = {line["name"]: line for line in explored(client, card_id="c1", at=THEN)["values"]}
    spine = [{"card_id": "c1", "at": from_micros(NOON - HOUR)}]
    for column, as_of in (("then", "known"), ("later", "event_time")):
        expected = store.get_historical_features(spine, "Spend", timestamp="at", as_of=as_of)
        values = {name: values[0] for name, values in expected.to_dict().items()}
        assert {name: found[name][column] for name in found if name in values} == {
            name: values[name] for name in found if name in values
        }


def test_what_late_rows_and_corrections_changed_is_marked(client: TestClient) -> None:
    changed = {v["name"]: v["changed"] for v in explored(client, card_id="c1", at=THEN)["values"]}
    assert changed["total_24h"]  # a payment of 4 hours ago came an hour later
    assert not changed["big"]
    assert not changed["city"]


def test_every_fate_of_a_row_is_told_and_drawn(client: TestClient) -> None:
    found = explored(client, card_id="c1", at=THEN, feature="Spend:big")
    verdicts = found["explained"]["aggregates"][0]["verdicts"]
    assert verdicts == {
        "filtered": 3, "superseded by a correction": 1, "counted": 1, "not yet known": 1,
    }  # fmt: skip
    asked = {"of": "card", "key.card_id": "c1", "at": THEN, "feature": "Spend:big"}
    page = Document(client.get("/explore", params=asked).text)
    classes = {name for _, given in page.elements for name in (given.get("class") or "").split()}
    assert {"v-counted", "v-filtered", "v-superseded", "v-not"} <= classes


def test_marks_lead_to_the_lines_of_their_rows(client: TestClient) -> None:
    asked = {"of": "card", "key.card_id": "c1", "feature": "Spend:total_24h"}
    page = Document(client.get("/explore", params=asked).text)
    lines = {given["id"] for tag, given in page.elements if tag == "tr" and "id" in given}
    marks = {
        str(given["href"])[1:]
        for tag, given in page.elements
        if tag == "a" and str(given.get("href", "")).startswith("#r")
    }
    assert marks
    assert marks <= lines


def test_a_zoom_shows_the_rows_of_its_stretch(client: TestClient) -> None:
    asked = {"of": "card", "key.card_id": "c1", "feature": "Spend:total_24h"}
    whole = Document(client.get("/explore", params=asked).text)
    closer = [
        str(given["href"]) for tag, given in whole.elements
        if tag == "a" and "zoom=" in str(given.get("href"))
    ]  # fmt: skip
    assert closer
    for address in closer:
        page = Document(client.get(address).text)
        lines = [given["id"] for tag, given in page.elements if tag == "tr" and "id" in given]
        assert len(lines) < len(
            [given for tag, given in whole.elements if tag == "tr" and "id" in given]
        )


def test_a_zoom_that_is_none_is_said(client: TestClient) -> None:
    asked = {"of": "card", "key.card_id": "c1", "feature": "Spend:total_24h", "zoom": "r0~x"}
    answer = client.get("/explore", params=asked)
    assert answer.status_code == 200
    assert "no stretch of time" in answer.text


def test_the_value_builds_up_to_the_value(client: TestClient) -> None:
    asked = {"of": "card", "key.card_id": "c1", "feature": "Spend:total_24h"}
    page = client.get("/explore", params=asked).text
    found = explored(client, card_id="c1", feature="Spend:total_24h")["explained"]
    assert found["value"] == 85.0
    assert found["online"]["same"] is True
    rows = page.partition('class="rows"')[2]
    assert [word in rows for word in (">85<", ">80<", ">76<", ">10<")] == [True] * 4


def test_a_service_is_explored_with_its_request_fields(client: TestClient) -> None:
    found = explored(client, of="fraud_model", card_id="c1")
    assert found["left_out"] == ["Asked@v1:ratio"]
    found = explored(client, of="fraud_model", card_id="c1", asked_amount="17")
    assert found["left_out"] == []
    assert {line["name"]: line["now"] for line in found["values"]}["ratio"] == 0.2
    page = client.get(
        "/explore",
        params={
            "of": "fraud_model", "key.card_id": "c1", "key.asked_amount": "17",
            "feature": "Asked@v1:ratio",
        },
    )  # fmt: skip
    assert "17.0 / 85.0" in Document(page.text).text


def test_nobody_has_to_know_a_key_to_begin(client: TestClient) -> None:
    assert explored(client)["examples"] == [{"key.card_id": "c1"}, {"key.card_id": "c2"}]


@pytest.mark.parametrize(
    "given", [{"at": "yesterday"}, {"at": "2026-01-01"}, {"asked_amount": "x"}]
)
def test_a_form_filled_in_wrongly_says_what_is_wrong(client: TestClient, given: dict) -> None:
    found = explored(client, of="fraud_model", card_id="c1", **given)
    assert found["problem"]["what"]
    assert found["values"] == []


def test_an_entity_that_was_never_seen_is_unknown(client: TestClient) -> None:
    found = explored(client, card_id="nobody", feature="Spend:city")
    assert {line["status"] for line in found["values"]} == {"unknown"}
    assert found["explained"]["aggregates"][0]["rows"] == []
