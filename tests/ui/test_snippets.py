"""Code to copy runs as it stands, and gives what the page shows."""

import json
import shlex
from typing import Any

from starlette.testclient import TestClient

import skewless as sl
from skewless.monitoring.snippets import snippets
from tests.cli.running import data_of, run_in
from tests.ui.test_pages import data


def test_python_to_copy_runs(client: TestClient, store: sl.FeatureStore) -> None:
    codes = {s["title"]: s["code"] for s in data(client, "/features/Spend@v1:city")["snippets"]}
    for title in ("Training set", "Online"):
        *lines, last = codes[title].splitlines()
        space: dict[str, Any] = {}
        exec("\n".join(lines), space)
        found = eval(last, space)
        space["fs"].close()
        assert found["city"] == ["Bonn"], title


def test_a_service_is_read_with_an_example_of_all_that_it_asks_for(
    client: TestClient, store: sl.FeatureStore
) -> None:
    (http,) = [s for s in data(client, "/services/fraud_model")["snippets"] if s["title"] == "HTTP"]
    body = json.loads(shlex.split(http["code"])[-1])
    assert body == {"service": "fraud_model", "entities": [{"card_id": "c1", "asked_amount": 1.0}]}
    assert store.get_online_features(body["service"], body["entities"]).to_dict()["city"] == [
        "Bonn"
    ]


def test_the_shell_command_to_copy_runs(client: TestClient, store: sl.FeatureStore) -> None:
    (shell,) = [
        s for s in data(client, "/features/Spend@v1:big")["snippets"] if s["title"] == "Shell"
    ]
    command, *words = shlex.split(shell["code"])
    assert command == "skewless"
    found = data_of(run_in(store.config.folder, *words, "--json"))
    assert "big" in json.dumps(found)


def test_features_of_one_name_are_read_under_their_full_names(store: sl.FeatureStore) -> None:
    asked = ["Spend@v1:total_1h", "Quiet@v1:biggest"]
    assert "full_names" not in str(snippets(asked, {"card_id": "c1"}, ".", "2026-01-01T00:00:00Z"))
    codes = snippets(["A@v1:x", "B@v1:x"], {"card_id": "c1"}, ".", "2026-01-01T00:00:00Z")
    assert ["full" in each["code"] for each in codes] == [True] * 4
