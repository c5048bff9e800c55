"""Whatever is defined and whatever came: every page is shown, every value of every entity is explained.

Definitions and rows are those of generated traffic: every aggregation over every window, columns of every
type, extreme values, rows that are late, corrected, deleted and refused.
"""

import random
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import skewless as sl
from skewless.config import Config
from skewless.formatting import same_bits
from skewless.testing.traffic.definitions import Rotation, random_definitions
from skewless.testing.traffic.events import Writer
from skewless.testing.traffic.repo import ScenarioRepo
from skewless.ui.app import make_app
from skewless.ui.pages.explained import explained
from skewless.ui.site import Site
from tests.ui.repo import crawl

STEPS = 24


def repo_of(folder: Path, seed: int) -> sl.FeatureStore:
    """A repo of random definitions through which random rows have gone."""
    chance = random.Random(seed)
    definitions = random_definitions(chance, Rotation(seed, start=seed % 100), "R", 6)
    repo = ScenarioRepo(folder, definitions, "sqlite", 0)
    steps = Writer(chance, definitions).steps(STEPS)
    repo.set_up(steps[0].at - 1)
    for step in steps:
        repo.do(step)
    repo.close()
    settings = {"online": {"kind": "sqlite", "sync": False}}
    return sl.FeatureStore(Config.of(folder, settings), clock=repo.clock)


@pytest.mark.parametrize("seed", range(3))
def test_every_page_of_anything_is_shown(tmp_path: Path, seed: int) -> None:
    with repo_of(tmp_path, seed) as fs:
        client = TestClient(make_app(fs), base_url="http://localhost")
        found = crawl(client, most=90)
        assert {at: page.status_code for at, page in found.items()} == dict.fromkeys(found, 200)


@pytest.mark.parametrize("seed", range(3))
def test_every_value_of_anything_builds_up(tmp_path: Path, seed: int) -> None:
    with repo_of(tmp_path, seed) as fs:
        site = Site(fs)
        compared = 0
        for name, version in fs.runtime.state().current.items():
            view = fs.views[name]
            for key in site.examples(view, version, 2):
                for feature in view.features:
                    found = fs.explain(f"{name}:{feature}", key)
                    for section in explained(site, found, whole=True, zoom="", link=str):
                        steps = [
                            row["so_far"] for row in section.rows if row["verdict"] == "counted"
                        ]
                        if steps and section.timeline is not None and section.timeline.built:
                            assert same_bits(steps[0], section.part.value), found.feature
                            compared += 1
        assert compared >= 5
