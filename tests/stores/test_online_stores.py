"""Every embedded online store passes the suite that ships; `--stores` chooses some of them."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.register_assert_rewrite("skewless.testing")

from skewless.stores.online.base import OnlineStore  # noqa: E402
from skewless.stores.online.lmdb import LMDBStore  # noqa: E402
from skewless.stores.online.sqlite import SQLiteStore  # noqa: E402
from skewless.testing.memory import MemoryStore  # noqa: E402
from skewless.testing.online_store import OnlineStoreSuite  # noqa: E402


class TestMemoryStore(OnlineStoreSuite):
    @pytest.fixture
    def open_store(self) -> Callable[[], OnlineStore]:
        return MemoryStore


class TestLMDBStore(OnlineStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], OnlineStore]:
        return functools.partial(LMDBStore, tmp_path / "online")


class TestSQLiteStore(OnlineStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], OnlineStore]:
        return functools.partial(SQLiteStore, tmp_path / "online.sqlite")
