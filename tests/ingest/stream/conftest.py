"""A folder that rows land in, and a store that streams from it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import skewless as sl
from tests.ingest.stream.events import LANDING, source, store


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    return tmp_path / "landing"


@pytest.fixture
def fs(landing: Path) -> Iterator[sl.FeatureStore]:
    with store(landing.parent, source(LANDING, row_id="id")) as opened:
        yield opened
