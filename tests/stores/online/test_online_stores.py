"""Every embedded online store passes the suite that ships; `--stores` chooses some of them."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from skewless.stores.online.base import OnlineStore
from skewless.stores.online.lmdb.store import LMDBStore
from skewless.stores.online.sqlite.store import SQLiteStore
from skewless.testing.memory import MemoryStore
from skewless.testing.online_store import OnlineStoreSuite


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
