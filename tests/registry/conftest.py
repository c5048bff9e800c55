from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless.registry.base import Registry
from skewless.registry.sqlite import SQLiteRegistry
from skewless.testing.servers import running


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a PostgreSQL started for the tests."""
    with running("postgres") as server:
        yield server.url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server("postgres"))])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """An empty registry, of each kind."""
    if request.param == "sqlite":
        with SQLiteRegistry(tmp_path / "registry.db") as made:
            yield made
        return
    from skewless.registry.postgres import PostgresRegistry

    url = request.getfixturevalue("postgres_url")
    with PostgresRegistry(url, schema=f"t{abs(hash(request.node.name))}") as made:
        yield made
