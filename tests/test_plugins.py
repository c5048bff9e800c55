import importlib.metadata
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from skewless.definitions.tables import CSV, Parquet
from skewless.errors import (
    ConfigError,
    InputError,
    MissingDependency,
    StoreError,
    UnknownName,
)
from skewless.plugins import BUILT_IN, EXTRAS, create, find, repo_folder, table_reader
from skewless.stores.online.sqlite.store import SQLiteStore


class Reader:
    def __init__(self, table: object, base: Path, settings: object) -> None:
        self.table, self.base, self.settings = table, base, settings


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that plugs in an online store of kind 'rocks'."""
    module = ModuleType("rocks_store")
    module.RocksStore = Reader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rocks_store", module)
    point = EntryPoint("rocks", "rocks_store:RocksStore", "skewless.online_store")

    def points(group: str) -> list[EntryPoint]:
        return [point] if group == point.group else []

    monkeypatch.setattr(importlib.metadata, "entry_points", points)


def test_a_built_in_is_found_by_its_kind() -> None:
    assert find("online_store", "sqlite") is SQLiteStore


@pytest.mark.usefixtures("installed")
def test_an_entry_point_is_found_by_its_name() -> None:
    assert find("online_store", "rocks") is Reader


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("problem", [RuntimeError("odd"), KeyError("odd"), MemoryError("odd")])
def test_what_a_plugged_in_store_raises_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def fail(*_: object) -> None:
        raise problem

    def pages(*_: object) -> Iterator[int]:
        yield 1
        raise problem

    class Store:
        read, page = fail, pages

        def write(self) -> None:
            raise InputError("ours")

    Store.__module__ = "rocks_store"
    monkeypatch.setattr(sys.modules["rocks_store"], "RocksStore", Store)
    made = find("online_store", "rocks")
    assert find("online_store", "rocks") is made is Store
    for call in (made().read, lambda: list(made().page())):
        with pytest.raises(StoreError, match="online store 'rocks' failed.*odd.*Where: ") as told:
            call()
        assert told.value.__cause__ is problem
    with pytest.raises(InputError, match="ours"):
        made().write()


@pytest.mark.parametrize("options", [{"url": 5}, {"url": ["a"]}])
def test_options_of_another_type_are_an_error_of_the_config(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"'redis' cannot take these options.*Where: \[online\]"):
        create("online_store", "redis", options, where="[online]")


@pytest.mark.usefixtures("installed")
def test_an_unknown_kind_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no online store 'rock'.*Did you mean 'rocks'"):
        find("online_store", "rock")


@pytest.mark.parametrize(
    ("group", "kind"), [(group, kind) for group in BUILT_IN for kind in BUILT_IN[group]]
)
def test_every_built_in_is_a_class(group: str, kind: str) -> None:
    if group == "traffic":
        assert callable(find(group, kind))
    else:
        assert isinstance(find(group, kind), type)


def test_every_extra_is_one_that_the_package_has() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert [extra for extra in EXTRAS.values() if f"\n{extra} = [" not in text] == []


def test_a_missing_library_is_told_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_redis.py").write_text("import redis\n")
    (tmp_path / "needs_other.py").write_text("import nowhere_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "redis", None)
    online = BUILT_IN["online_store"] | {
        "r": "needs_redis:Store",
        "o": "needs_other:Store",
    }
    monkeypatch.setitem(BUILT_IN, "online_store", online)
    with pytest.raises(MissingDependency, match=r"'r' needs redis.*'skewless\[redis\]'"):
        find("online_store", "r")
    with pytest.raises(MissingDependency, match=r"'o' needs nowhere_at_all.*install nowhere_at"):
        find("online_store", "o")


def test_an_unknown_kind_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    with pytest.raises(UnknownName):
        find("engine", "sprak")
    assert imported == []


# ------------------------------------------------------------------------------------- creating


def test_a_store_is_made_with_the_options_of_its_section(tmp_path: Path) -> None:
    options = {"path": str(tmp_path / "online.sqlite"), "sync": False}
    with create("online_store", "sqlite", options, where="[online]") as store:
        assert isinstance(store, SQLiteStore)


def test_an_unknown_option_is_told_with_the_nearest(tmp_path: Path) -> None:
    options = {"path": str(tmp_path / "online.sqlite"), "synk": False}
    with pytest.raises(ConfigError, match=r"'synk'.*Did you mean 'sync'.*\[online\] of x.toml"):
        create("online_store", "sqlite", options, where="[online] of x.toml")


def test_a_missing_option_is_named() -> None:
    with pytest.raises(ConfigError, match=r"online store 'sqlite' needs the option 'path'"):
        create("online_store", "sqlite", {}, where="[online]")


# ---------------------------------------------------------------------------------------- tables


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("some_reader")
    module.Reader = Reader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_reader", module)
    readers = dict.fromkeys(("parquet", "csv"), "some_reader:Reader")
    monkeypatch.setitem(BUILT_IN, "table", readers)


@pytest.mark.usefixtures("reader")
def test_a_table_is_read_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = table_reader(Parquet("a/"))
    assert (made.table, made.base) == (Parquet("a/"), tmp_path)


@pytest.mark.usefixtures("reader")
def test_a_table_is_read_from_the_repos_folder(tmp_path: Path) -> None:
    token = repo_folder.set(tmp_path)
    try:
        assert table_reader(CSV("a.csv")).base == tmp_path
        assert table_reader(CSV("a.csv"), tmp_path / "b").base == tmp_path / "b"
    finally:
        repo_folder.reset(token)
