"""The drift page: what drifted, drawn over its reference; accepting another one is on record."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

import skewless as sl
from skewless.ui.app import make_app
from skewless.ui.charts.ecdf import draw_ecdf
from tests.shop import DAY, NOON, open_store, pay, payments, spend_of
from tests.ui.repo import Document

PAYS = payments()
SPEND = spend_of(PAYS, newest=PAYS.amount.latest())


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sl.FeatureStore]:
    with open_store(tmp_path_factory.mktemp("drift"), SPEND) as fs:
        for day, shift in ((0, 0.0), (1, 0.0), (2, 80.0)):
            fs.runtime.clock.time = NOON + day * DAY
            fs.push(
                "pays",
                [
                    pay(f"p{day}.{n}", NOON + day * DAY, (n * 37) % 100 + shift, card=f"c{n}")
                    for n in range(300)
                ],
            )
            fs.profile()
            fs.drift()
        yield fs


def test_what_drifted_is_listed_and_drawn_over_its_reference(drifted: sl.FeatureStore) -> None:
    client = TestClient(make_app(drifted), "http://localhost")
    data = client.get("/drift?format=json").json()
    assert [alert["of"] for alert in data["alerts"]] == ["Spend@v1:newest"]
    assert data["of"] == "Spend@v1:newest"
    assert data["compared"]["median"][1] - data["compared"]["median"][0] > 50
    page = Document(client.get("/drift").text)
    curves = [given for tag, given in page.elements if tag == "path"
              and str(given.get("class", "")).startswith("ecdf")]  # fmt: skip
    assert {given["class"] for given in curves} == {"ecdf was", "ecdf is"}
    needs = client.get("/?format=json").json()["needs"]
    assert "Spend@v1:newest" in {need["what"] for need in needs if need["kind"] == "drift"}


def test_a_reference_is_accepted_by_a_form_and_its_name_is_checked(
    drifted: sl.FeatureStore,
) -> None:
    client = TestClient(make_app(drifted), "http://localhost", follow_redirects=False)
    page = Document(client.get("/acts/accept?of=Spend").text)
    fields = {
        str(given["name"]): str(given.get("value") or "")
        for tag, given in page.elements
        if tag == "input" and given.get("name") not in (None, "q")
    }
    wrong = client.post("/acts/accept", data=fields | {"reference": "yesterday"})
    assert wrong.status_code == 400
    assert client.post("/acts/accept", data=fields | {"note": "new prices"}).status_code == 303
    (accepted,) = client.get("/drift?format=json").json()["accepted"]
    assert (accepted["of"], accepted["reference"], accepted["why"]) == (
        "Spend", "trailing", "new prices",
    )  # fmt: skip


def test_a_picture_has_both_lines_and_bears_one_value_and_none() -> None:
    values = [float(each) for each in range(1001)]
    assert draw_ecdf(values, [each * 2 for each in values], "x").count("<path") == 2
    assert "nan" not in draw_ecdf([5.0], [5.0], "x")
    assert draw_ecdf([], values, "x") == ""
