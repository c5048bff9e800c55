from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless.testing.servers import Server, running
from tests.online.moving import sqlite


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


def target_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> dict[str, object]:
    if kind == "sqlite":
        return sqlite(folder)
    server = request.getfixturevalue("redis")
    return {"kind": "redis", "url": server.url, "namespace": folder.parent.name, "timeout": 30.0}


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.server("redis"))])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, dict[str, object]]:
    return {"next": target_of(request.param, tmp_path / "repo", request)}
