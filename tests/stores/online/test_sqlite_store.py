"""What is special about the SQLite store: its file."""

import multiprocessing
import os
import resource
import shutil
import sqlite3
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from skewless.errors import CorruptData, StoreError, StoreUnavailable
from skewless.stores.online.sqlite.store import SQLiteStore

SPAWN = multiprocessing.get_context("spawn")
MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "online.sqlite"


def test_a_file_that_is_not_sqlite_is_refused(path: Path) -> None:
    path.write_bytes(b"not a store" * 1000)
    with pytest.raises(CorruptData, match="no SQLite file"):
        SQLiteStore(path)
    assert path.read_bytes() == b"not a store" * 1000


def test_another_programs_sqlite_file_is_refused_and_left_alone(path: Path) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE somebody (of)")
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not written by skewless"):
        SQLiteStore(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("version", "who"), [(1, "an older"), (3, "a newer")])
def test_a_store_of_another_skewless_is_refused(path: Path, version: int, who: str) -> None:
    SQLiteStore(path).close()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {version}")
    other.close()
    with pytest.raises(StoreError, match=f"{who} skewless"):
        SQLiteStore(path)


def open_and_write(path: Path, name: bytes, start: Connection) -> None:
    start.recv()
    with SQLiteStore(path) as store:
        store.write("rows", [(name, b"1")])


def test_processes_may_make_the_same_store_at_once(path: Path) -> None:
    names = [b"a", b"b", b"c", b"d"]
    children = []
    for name in names:
        theirs, ours = SPAWN.Pipe(duplex=False)
        child = SPAWN.Process(target=open_and_write, args=(path, name, theirs))
        child.start()
        children.append((child, ours))
    for _, ours in children:
        ours.send("go")
    for child, _ in children:
        child.join()
        assert child.exitcode == 0
    with SQLiteStore(path) as store:
        assert [key for key, _ in store.scan("rows")] == names


def fill_the_disk(path: Path, report: Connection) -> None:
    with SQLiteStore(path) as store:
        store.write("rows", [(b"a", b"1")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))
        try:
            store.write("rows", [(b"%d" % n, b"x" * MIB) for n in range(3)] + [(b"a", b"2")])
        except StoreError as error:
            report.send(str(error))
        report.send(store.read("rows", [b"a", b"0", b"2"]))


def test_a_full_disk_is_an_error_and_the_old_rows_stay(path: Path) -> None:
    ours, theirs = SPAWN.Pipe(duplex=False)
    child = SPAWN.Process(target=fill_the_disk, args=(path, theirs))
    child.start()
    assert "could not write to its disk" in ours.recv()
    assert ours.recv() == [b"1", None, None]
    child.join()


def test_an_interrupted_drop_is_finished_by_the_next(path: Path) -> None:
    with SQLiteStore(path) as store:
        store.write("rows", [(b"%d" % n, b"old") for n in range(100)])
        other = sqlite3.connect(path)
        with other:
            other.execute("UPDATE tables SET name = NULL")
            other.execute("UPDATE catalog SET crc = 0")
        assert store.tables() == []
        store.write("rows", [(b"new", b"1")])
        assert list(store.scan("rows")) == [(b"new", b"1")]
        store.drop("something else")
        assert other.execute("SELECT count(*) FROM rows").fetchone() == (1,)
        other.close()


def test_a_list_of_tables_that_is_not_the_one_written_is_damage(path: Path) -> None:
    with SQLiteStore(path) as store:
        store.write("rows", [(b"a", b"1")])
        other = sqlite3.connect(path)
        with other:
            other.execute("UPDATE tables SET name = 'bows'")
        other.close()
        for work in (
            lambda: store.neighbours("rows", [b"a"]),
            lambda: store.write("rows", [(b"b", b"2")]),
            lambda: store.drop("rows"),
            lambda: list(store.flaws()),
        ):
            with pytest.raises(CorruptData, match="bows"):
                work()


def test_a_store_that_does_not_sync_declares_it(path: Path) -> None:
    with SQLiteStore(path, sync=False) as store:
        assert not store.capabilities.durable
        store.write("rows", [(b"a", b"1")])
        store.flush()
        assert store.read_one("rows", b"a") == b"1"


@pytest.fixture
def copied(path: Path) -> Path:
    """A copy of a store that is closed."""
    with SQLiteStore(path) as store:
        store.write("t", [(b"a", b"1")])
    return Path(shutil.copy(path, path.with_name("copy")))


def test_a_file_that_was_replaced_is_not_written_to_and_the_copy_is_opened(
    path: Path, copied: Path
) -> None:
    with SQLiteStore(path) as store:
        store.write("t", [(b"a", b"2")])
        assert not store.follow()
        os.replace(copied, path)
        with pytest.raises(StoreUnavailable, match="was replaced while it was open"):
            store.write("t", [(b"a", b"3")])
        assert store.follow()
        assert store.read("t", [b"a"]) == [b"1"]
        store.write("t", [(b"a", b"4")])
        path.unlink()
        with pytest.raises(StoreUnavailable, match="is gone"):
            store.follow()
        assert not path.exists()


def test_the_log_of_the_file_of_before_is_not_put_over_the_copy(path: Path, copied: Path) -> None:
    with SQLiteStore(path) as store, SQLiteStore(path) as other:
        for value in (b"2", b"3"):  # the second stays in the log, which is open
            store.write("t", [(b"a", value)])
        assert other.read("t", [b"a"]) == [b"3"]
        os.replace(copied, path)
        assert store.follow()
        assert store.read("t", [b"a"]) == [b"1"]
        store.write("t", [(b"a", b"4"), (b"b", b"5")])
        assert other.follow()
        assert other.read("t", [b"a", b"b"]) == [b"4", b"5"]
