"""Both registries pass the shipped suite."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from skewless.registry.base import Registry
from skewless.registry.sqlite import SQLiteRegistry
from skewless.testing.registry import RegistrySuite


class TestSQLiteRegistry(RegistrySuite):
    @pytest.fixture
    def open_registry(self, tmp_path: Path) -> Callable[[], Registry]:
        return partial(SQLiteRegistry, tmp_path / "registry.db")


@pytest.mark.server("postgres")
class TestPostgresRegistry(RegistrySuite):
    @pytest.fixture
    def open_registry(
        self, postgres_url: str, request: pytest.FixtureRequest
    ) -> Callable[[], Registry]:
        from skewless.registry.postgres import PostgresRegistry

        schema = f"t{abs(hash(request.node.name))}"
        return partial(PostgresRegistry, postgres_url, schema=schema)
