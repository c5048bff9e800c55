"""The catalogue of a filled repo, asked without a network."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

import skewless as sl
from skewless.ui.app import make_app
from tests.ui.repo import filled


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sl.FeatureStore]:
    fs, _ = filled(tmp_path_factory.mktemp("ui"))
    with fs:
        yield fs


@pytest.fixture(scope="package")
def client(store: sl.FeatureStore) -> TestClient:
    return TestClient(make_app(store), base_url="http://localhost")
