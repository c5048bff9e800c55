"""Pages stay light and few, also where there are a thousand features."""

import gzip
from typing import Any

import pytest
from starlette.testclient import TestClient

import skewless as sl
from benchmarks.search_catalog import definitions
from skewless.ui.app import make_app

FIRST_PAGE, CATALOGUE = 60_000, 60_000
"""Bytes as they are sent."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with sl.FeatureStore(tmp_path_factory.mktemp("large")) as fs:
        fs.apply(definitions())
        wide = sl.Source("wide", schema={"wafer_id": str, "v": float}, event_time="at")
        fs.apply(
            [
                sl.FeatureView(
                    f"Wide{number}",
                    entity=fs.entities["wafer"],
                    source=wide,
                    features={
                        f"v_{each}_{number}": wide.v.mean(last=each + 1) for each in range(75)
                    },
                )
                for number in range(10)
            ]
        )
        yield TestClient(make_app(fs), base_url="http://localhost")


def sent(client: TestClient, address: str) -> int:
    with client.stream("GET", address, headers={"accept-encoding": "gzip"}) as answer:
        assert answer.status_code == 200
        raw = b"".join(answer.iter_raw())
    assert gzip.decompress(raw)
    return len(raw)


def test_the_first_page_and_all_that_it_loads_is_light(client: TestClient, large: Any) -> None:
    for each in (client, large):
        static = ("skewless.css", "skewless.js", "theme.js")
        total = sent(each, "/") + sum(len(each.get(f"/static/{name}").content) for name in static)
        assert total < FIRST_PAGE


def test_a_thousand_features_are_a_page_that_is_light(large: Any) -> None:
    assert large.get("/?format=json").json()["counts"]["features"] > 1000
    assert sent(large, "/search") < CATALOGUE
    assert sent(large, "/search?all=1") < CATALOGUE
    assert sent(large, "/views") < CATALOGUE


def test_a_service_names_no_more_than_it_has(large: Any) -> None:
    assert len(large.get("/search?format=json").json()["results"]) == 50
    everything = large.get("/search?format=json&all=1").json()
    assert len(everything["results"]) == everything["count"]
