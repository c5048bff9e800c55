"""What is special about the LMDB store: its files, its map, its disk."""

import contextlib
import functools
import multiprocessing
import os
import resource
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.errors import CorruptData, StoreError, StoreUnavailable
from skewless.stores.online.lmdb import environment
from skewless.stores.online.lmdb import store as store_module
from skewless.stores.online.lmdb.opening import STAMP
from skewless.stores.online.lmdb.sharing import _environments
from skewless.stores.online.lmdb.store import LMDBStore
from skewless.stores.online.lmdb.tree import HEADER_KEY

SPAWN = multiprocessing.get_context("spawn")
MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "online"


def write_megabytes(path: Path, megabytes: int, report: Connection) -> None:
    with LMDBStore(path, map_size=MIB) as store:
        store.write("rows", [(b"%d" % n, b"x" * MIB) for n in range(megabytes)])
    report.send("written")


def drop_rows(path: Path, report: Connection) -> None:
    with LMDBStore(path) as store:
        store.drop("rows")
    report.send("dropped")


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = None


def run_in_a_process(work: functools.partial) -> object:
    ours, theirs = SPAWN.Pipe(duplex=False)
    child = SPAWN.Process(target=work, args=(theirs,))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        child.join()


def test_a_write_larger_than_the_map_makes_the_map_grow(path: Path) -> None:
    with LMDBStore(path, map_size=MIB) as store:
        rows = [(b"%d" % n, b"x" * MIB) for n in range(9)]
        store.write("rows", rows)
        assert list(store.scan("rows")) == rows


def test_a_transaction_larger_than_the_map_fits_when_run_again(path: Path) -> None:
    with LMDBStore(path, map_size=MIB) as store:
        store.write("rows", [(b"a", b"1")])

        def fill() -> None:
            with store.transaction() as rows:
                rows.write("rows", [(b"large", b"x" * MIB)])

        with pytest.raises(StoreError, match="run the transaction again"):
            fill()
        assert store.read("rows", [b"a", b"large"]) == [b"1", None]
        fill()
        assert store.read("rows", [b"a", b"large"]) == [b"1", b"x" * MIB]


@given(st.lists(st.binary(max_size=3) | st.sampled_from([b"k" * 508, b"k" * 509, b"missing"])))
def test_the_compiled_read_gives_what_python_gives(keys: list[bytes]) -> None:
    with TemporaryDirectory() as folder, LMDBStore(folder) as store:
        store.write("rows", [(key, key[::-1] * 400) for key in keys if key != b"missing"])
        store.write("others", [(b"missing", b"of another table")])
        quick = [store.read(table, keys) for table in ("rows", "others", "no table")]
        with patch.object(store_module, "_in_c", None):
            assert quick == [store.read(table, keys) for table in ("rows", "others", "no table")]
            assert quick[0] == [store.read_one("rows", key) for key in keys]


def test_the_compiled_read_leaves_to_python_what_it_cannot_tell(path: Path) -> None:
    compiled = pytest.importorskip("skewless.stores.online.lmdb._rows")
    with LMDBStore(path) as store:
        store.write("rows", [(b"a", b"1")])
        catalog, begin = store._environment.catalog, store._environment.env.begin
        table = catalog.prefixes["rows"]
        read = compiled.read_rows
        assert read(begin, HEADER_KEY, catalog.header, table, (b"a", b"b"), 508, None) == [
            b"1",
            None,
        ]
        assert read(begin, HEADER_KEY, b"another", table, [b"a"], 508, None) is None
        assert read(begin, HEADER_KEY, catalog.header, table, [b"a", b"too long"], 3, None) is None
        assert read(begin, HEADER_KEY, catalog.header, table, ["text"], 508, None) is None
        with pytest.raises(TypeError, match="expected 7 arguments, got 1"):
            read(begin)
        with pytest.raises(TypeError, match="expected bytes"):
            read(begin, HEADER_KEY, catalog.header, "rows", [b"a"], 508, None)
        with pytest.raises(ZeroDivisionError):
            read(begin, HEADER_KEY, Incomparable(), table, [b"a"], 508, None)
        store.write("rows", [(b"b", b"2")])  # no read transaction was left open
        assert store.read("rows", [b"b"]) == [b"2"]


def test_a_read_sees_a_table_that_another_process_dropped(path: Path) -> None:
    with LMDBStore(path) as store:
        store.write("rows", [(b"0", b"old")])
        assert store.read("rows", [b"0"]) == [b"old"]
        assert run_in_a_process(functools.partial(drop_rows, path)) == "dropped"
        assert store.read("rows", [b"0"]) == [None]


def test_growth_by_another_process_is_followed(path: Path) -> None:
    with LMDBStore(path, map_size=MIB) as store:
        store.write("rows", [(b"0", b"old")])
        written = run_in_a_process(functools.partial(write_megabytes, path, 20))
        assert written == "written"
        assert store.read("rows", [b"0", b"19"]) == [b"x" * MIB] * 2
        store.write("rows", [(b"0", b"new")])
        assert store.read_one("rows", b"0") == b"new"


def test_reads_go_on_while_the_map_grows_and_the_process_forks(path: Path) -> None:
    finished = threading.Event()
    with LMDBStore(path, map_size=MIB, sync=False) as store:
        store.write("rows", [(b"a", b"1"), (b"b", b"1")])

        def read_on() -> int:
            count = 0
            while not finished.is_set():
                assert store.read_one("rows", b"a") == b"1"
                assert store.read("rows", [b"a", b"b", b"c"]) == [b"1", b"1", None]
                count += 1
            return count

        with ThreadPoolExecutor(3) as threads:
            readers = [threads.submit(read_on) for _ in range(2)]
            try:
                for number in range(30):
                    store.write("large", [(b"%d" % number, b"x" * MIB)])
                    if number % 3 == 0:
                        child = os.fork()
                        if child == 0:
                            os._exit(0 if store.read_one("rows", b"a") == b"1" else 1)
                        assert os.waitpid(child, 0)[1] == 0
            finally:
                finished.set()
            assert min(reader.result() for reader in readers) > 0


def test_readers_are_not_held_up_by_a_waiting_writer(path: Path) -> None:
    with LMDBStore(path) as store, ThreadPoolExecutor(2) as threads:
        store.write("rows", [(b"a", b"1")])
        with store.transaction() as rows:
            waiting = threads.submit(store.write, "rows", [(b"a", b"3")])
            rows.write("rows", [(b"a", b"2")])
            assert threads.submit(store.read_one, "rows", b"a").result() == b"1"
        waiting.result()
        assert store.read_one("rows", b"a") == b"3"


def fill_the_disk(path: Path, report: Connection) -> None:
    with LMDBStore(path) as store:
        store.write("rows", [(b"a", b"1")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))
        try:
            store.write("rows", [(b"%d" % n, b"x" * MIB) for n in range(3)] + [(b"a", b"2")])
        except StoreError as error:
            report.send(str(error))
        report.send(store.read("rows", [b"a", b"0", b"2"]))
        store.write("rows", [(b"small", b"fits")])
        report.send(store.read("rows", [b"a", b"small"]))


def test_a_full_disk_is_an_error_and_the_old_rows_stay(path: Path) -> None:
    ours, theirs = SPAWN.Pipe(duplex=False)
    child = SPAWN.Process(target=fill_the_disk, args=(path, theirs))
    child.start()
    message = ours.recv()
    assert "could not write to its disk" in message
    assert "bytes are free there" in message
    assert ours.recv() == [b"1", None, None]
    assert ours.recv() == [b"1", b"fits"]
    child.join()
    with LMDBStore(path) as store:
        assert store.read("rows", [b"a", b"small", b"0"]) == [b"1", b"fits", None]


@pytest.mark.parametrize("content", [b"not a store" * 1000, b"short"])
def test_a_file_that_is_not_lmdb_is_refused(path: Path, content: bytes) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(content)
    with pytest.raises(CorruptData, match="not an LMDB file"):
        LMDBStore(path)
    assert (path / "data.mdb").read_bytes() == content


def test_another_programs_lmdb_file_is_refused(path: Path) -> None:
    with lmdb.open(str(path)) as foreign, foreign.begin(write=True) as txn:
        txn.put(b"somebody", b"else")
    with pytest.raises(StoreError, match="not written by skewless"):
        LMDBStore(path)


@pytest.mark.parametrize(("version", "who"), [(1, "an older"), (3, "a newer")])
def test_a_store_of_another_skewless_is_refused(path: Path, version: int, who: str) -> None:
    with lmdb.open(str(path)) as other, other.begin(write=True) as txn:
        txn.put(b"\0\0h", struct.pack(">8sHQ", b"skewless", version, 1))
    with pytest.raises(StoreError, match=f"{who} skewless"):
        LMDBStore(path)


def test_a_file_that_was_cut_short_is_refused(path: Path) -> None:
    with LMDBStore(path) as store:
        store.write("rows", [(b"%d" % n, b"x" * MIB) for n in range(8)])
    os.truncate(path / "data.mdb", 2 * MIB)
    with pytest.raises(CorruptData, match="cut short"):
        LMDBStore(path)


def test_a_file_that_lacks_a_page_of_a_value_at_its_end_is_refused(path: Path) -> None:
    with LMDBStore(path) as store:
        store.write("rows", [(b"a", b"1")])
        store.write("rows", [(b"b", b"x" * 20_000)])
    os.truncate(path / "data.mdb", os.path.getsize(path / "data.mdb") - 4096)
    with pytest.raises(CorruptData, match="cut short"):
        LMDBStore(path)


def test_a_file_that_lacks_a_free_page_at_its_end_is_made_longer(path: Path) -> None:
    with LMDBStore(path) as store:
        store.write("rows", [(b"a", b"1")])
        store.write("rows", [(b"b", b"x" * 20_000)])
        store.delete("rows", [b"b"])
        for n in range(10):  # in pages that became free, so that those at the end are free too
            store.write("rows", [(b"a", b"%d" % n)])
    size = os.path.getsize(path / "data.mdb")
    os.truncate(path / "data.mdb", size - 4096)
    with LMDBStore(path) as store:
        assert store.read("rows", [b"a", b"b"]) == [b"9", None]
        assert os.path.getsize(path / "data.mdb") == size


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be made"):
        LMDBStore(tmp_path / "file" / "online")


def test_an_interrupted_drop_is_finished_by_the_next_and_its_rows_never_come_back(
    path: Path,
) -> None:
    with LMDBStore(path) as store:
        store.write("rows", [(b"%d" % n, b"old") for n in range(100)])
        with store.transaction() as interrupted:
            interrupted.forget("rows")
        assert store.tables() == []
        store.write("other", [(b"new", b"1")])
        store.write("rows", [(b"new", b"2")])
        assert list(store.scan("other")) == [(b"new", b"1")]
        assert list(store.scan("rows")) == [(b"new", b"2")]
        store.drop("something else")
    with lmdb.open(str(path)) as environment:
        # The header, two tables, two rows.
        assert environment.stat()["entries"] == 5


def test_an_environment_is_closed_with_its_last_store(path: Path) -> None:
    one, other = LMDBStore(path), LMDBStore(path.parent / "." / path.name)
    one.close()
    other.write("rows", [(b"a", b"1")])
    assert str(path) in _environments
    other.close()
    assert str(path) not in _environments


def test_a_store_that_does_not_sync_declares_it_and_keeps_rows(path: Path) -> None:
    with LMDBStore(path, sync=False) as fast, LMDBStore(path) as safe:
        assert (fast.capabilities.durable, safe.capabilities.durable) == (False, True)
        fast.write("rows", [(b"a", b"1")])
        fast.flush()
        safe.write("rows", [(b"b", b"1")])
        assert fast.read("rows", [b"a", b"b"]) == [b"1", b"1"]


def test_a_child_forked_inside_a_transaction_is_told_so(path: Path) -> None:
    with LMDBStore(path) as store, store.transaction() as rows:
        rows.write("rows", [(b"a", b"1")])
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                store.read_one("rows", b"a")
            except StoreError as error:
                os.write(writing, str(error).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert b"while the process forked" in os.read(reading, 1000)
        os.close(reading)
        os.close(writing)
        rows.write("rows", [(b"b", b"1")])
    with LMDBStore(path) as store:
        assert store.read("rows", [b"a", b"b"]) == [b"1", b"1"]


@pytest.fixture
def read_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LMDBStore]:
    """Give a store whose folder must not be written, as on a read-only mount."""
    with LMDBStore(path) as store:
        store.write("rows", [(b"a", b"1")])
    (path / "lock.mdb").unlink()
    monkeypatch.setattr(environment, "may_write", lambda *_: False)
    with LMDBStore(path) as store:
        yield store
    assert {file.name for file in path.iterdir()} == {"data.mdb", STAMP}


def test_a_store_in_a_folder_that_cannot_be_written_is_read(read_only: LMDBStore) -> None:
    assert read_only.read("rows", [b"a", b"b"]) == [b"1", None]
    assert list(read_only.scan("rows")) == [(b"a", b"1")]
    with pytest.raises(StoreError, match="can only be read"):
        read_only.write("rows", [(b"b", b"2")])
    with pytest.raises(StoreError, match="can only be read"), read_only.transaction():
        pytest.fail("there is no transaction")


def test_reads_of_such_a_store_see_what_others_write(
    read_only: LMDBStore, path: Path, tmp_path: Path
) -> None:
    writer = subprocess.run(
        [sys.executable, "-c", WRITES_MORE, str(path)], capture_output=True, text=True, check=False
    )
    assert writer.stderr == ""
    assert read_only.read("rows", [b"a", b"b"]) == [b"1", b"2"]
    (path / "lock.mdb").unlink()


WRITES_MORE = """
import sys
from skewless.stores.online.lmdb.store import LMDBStore
with LMDBStore(sys.argv[1]) as store:
    store.write("rows", [(b"b", b"2")])
"""


def test_a_read_that_a_writer_may_have_disturbed_is_done_again(
    read_only: LMDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = iter([False, False, True])
    monkeypatch.setattr(environment.Environment, "is_newest", lambda *_: next(newest))
    assert read_only.read_one("rows", b"a") == b"1"
    assert list(newest) == []


def test_a_file_that_was_replaced_under_a_store_is_not_written_to(tmp_path):
    """What is written to the file of before is lost, while others read the new one."""
    store = LMDBStore(str(tmp_path / "online"))
    file = tmp_path / "online" / "data.mdb"
    try:
        store.write("t", [(b"a", b"1")])
        copy = tmp_path / "copy"
        copy.write_bytes(file.read_bytes())
        copy.replace(file)
        with pytest.raises(StoreUnavailable, match="was replaced while it was open"):
            store.write("t", [(b"b", b"2")])
        file.unlink()
        with pytest.raises(StoreUnavailable, match="is gone"):
            store.write("t", [(b"b", b"2")])
    finally:
        store.close()


@pytest.fixture
def beside(path: Path) -> Iterator[Callable[[int], None]]:
    """Start a process that has the store open, writes so many rows and stays."""
    code = """if True:
        import sys
        from skewless.stores.online.lmdb.store import LMDBStore
        with LMDBStore(sys.argv[1], sync=False) as store:
            for number in range(int(sys.argv[2])):
                store.write("t", [(b"a", b"later")])
            print("written", flush=True)
            sys.stdin.read()
    """
    with contextlib.ExitStack() as started:

        def start(writes: int) -> None:
            words = [sys.executable, "-c", code, str(path), str(writes)]
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            started.callback(process.communicate)
            assert process.stdout is not None
            assert process.stdout.readline() == b"written\n"

        yield start


@pytest.mark.parametrize("writes", [1, 2])
def test_a_copy_beside_the_locks_of_another_file_is_not_opened(
    path: Path, beside: Callable[[int], None], writes: int
) -> None:
    """LMDB would choose between its two last transactions by a number of the file of before."""
    with LMDBStore(path, sync=False) as store:
        store.write("t", [(b"a", b"1")])
        store.write("t", [(b"a", b"2")])
    copy = shutil.copy(path / "data.mdb", path.with_name("copy"))
    beside(writes)
    os.replace(copy, path / "data.mdb")
    with pytest.raises(StoreUnavailable, match="that was the online store before"):
        LMDBStore(path, sync=False)


def test_a_copy_is_opened_when_the_last_has_let_the_file_of_before_go(path: Path) -> None:
    with LMDBStore(path, sync=False) as store:
        store.write("t", [(b"a", b"1")])
        copy = shutil.copy(path / "data.mdb", path.with_name("copy"))
        store.write("t", [(b"a", b"2")])
        assert not store.follow()
        os.replace(copy, path / "data.mdb")
        assert store.follow()
        assert not store.follow()
        assert store.read_one("t", b"a") == b"1"
        store.write("t", [(b"b", b"3")])
        assert store.read("t", [b"a", b"b"]) == [b"1", b"3"]


def test_a_copy_written_over_the_open_file_is_looked_at_and_opened_anew(path: Path) -> None:
    with LMDBStore(path, sync=False) as store:
        store.write("t", [(b"a", b"1")])
        before = (path / "data.mdb").read_bytes()
        store.write("t", [(b"a", b"2")])
        (path / "data.mdb").write_bytes(before)
        assert store.follow()
        assert store.read_one("t", b"a") == b"1"


def test_a_file_that_is_gone_is_not_made_anew_and_one_that_is_damaged_not_read(path: Path) -> None:
    with LMDBStore(path, sync=False) as store:
        store.write("t", [(bytes([number]), bytes(2_000)) for number in range(50)])
        whole = shutil.copy(path / "data.mdb", path.with_name("copy"))
        (path / "data.mdb").unlink()
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="is gone"):
                store.follow()
            with pytest.raises(StoreUnavailable, match="is gone"):
                store.read_one("t", b"\x00")
        assert not (path / "data.mdb").exists()
        content = Path(whole).read_bytes()
        damaged = content[:8192] + content[8192:20_480][::-1] + content[20_480:]
        (path / "data.mdb").write_bytes(damaged)
        for _ in range(2):
            with pytest.raises(CorruptData):
                store.follow()
            with pytest.raises(CorruptData):
                store.read_one("t", b"\x00")
        os.replace(whole, path / "data.mdb")
        assert store.follow()
        assert store.read_one("t", b"\x00") == bytes(2_000)


@pytest.mark.parametrize("kept", [0, 1, 2, 30])
def test_a_file_that_is_cut_short_while_it_is_open_is_not_read_until_one_is_put_back(
    path: Path, kept: int
) -> None:
    """A read of a page that is not there would end the process."""
    with LMDBStore(path, sync=False) as store:
        store.write("t", [(bytes([number]), bytes(2_000)) for number in range(50)])
        whole = shutil.copy(path / "data.mdb", path.with_name("copy"))
        os.truncate(path / "data.mdb", kept * 4096)
        for act in (store.follow, lambda: store.write("t", [(b"a", b"1")])) * 2:
            with pytest.raises(CorruptData, match="was cut short"):
                act()
        os.replace(whole, path / "data.mdb")
        assert store.follow()
        assert store.read_one("t", b"\x00") == bytes(2_000)


def test_free_pages_that_were_never_written_are_no_cut(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked at once, not each time."""
    with LMDBStore(path, sync=False) as store:
        store.write("t", [(b"a", b"1")])
        store.write("t", [(b"b", b"x" * 20_000)])
        store.delete("t", [b"b"])
        for n in range(10):  # in pages that became free, so that those at the end are free too
            store.write("t", [(b"a", b"%d" % n)])
        os.truncate(path / "data.mdb", os.path.getsize(path / "data.mdb") - 4096)
        look, looks = environment.pages.check_end, []

        def check_end(file: str) -> None:
            looks.append(file)
            look(file)

        monkeypatch.setattr(environment.pages, "check_end", check_end)
        assert [store.follow() for _ in range(3)] == [False] * 3
        assert len(looks) == 1
        store.write("t", [(b"c", b"x" * 40_000)])
        assert store.read("t", [b"a", b"b", b"c"]) == [b"9", None, b"x" * 40_000]


def test_a_map_that_cannot_be_made_is_an_error_of_ours_and_the_store_opens_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed `set_mapsize` leaves no map at all: nothing may be read by it."""

    class Unmappable:
        def __init__(self, env: lmdb.Environment) -> None:
            self.env = env

        def __getattr__(self, name: str) -> object:
            return getattr(self.env, name)

        def set_mapsize(self, size: int) -> None:
            raise lmdb.MemoryError

    with LMDBStore(path, sync=False) as store:
        store.write("t", [(b"a", b"1")])
        shared = store._environment
        for cause in (
            lambda: shared.recover(lmdb.MapResizedError(), shared.env, 0),
            lambda: shared.make_room(1 << 40),
        ):
            before = shared.env = Unmappable(shared.env)
            with pytest.raises(StoreError, match="address space"):
                cause()
            assert shared.env is not before
            assert store.read_one("t", b"a") == b"1"


def test_reads_are_refused_and_not_held_up_while_another_file_is_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one takes long; an event loop that waited for it would be killed."""
    with LMDBStore(path, sync=False) as store:
        store.write("t", [(b"a", b"1")])
        copy = shutil.copy(path / "data.mdb", path.with_name("copy"))
        refused = []

        def look(*_: object) -> None:
            with ThreadPoolExecutor(1) as others, pytest.raises(StoreUnavailable) as problem:
                others.submit(store.read_one, "t", b"a").result()
            refused.append(problem.value.what)

        monkeypatch.setattr(environment.Opening, "_look", look)
        os.replace(copy, path / "data.mdb")
        assert store.follow()
        assert refused == ["another file lies where the online store was, and is looked at"]
        assert store.read_one("t", b"a") == b"1"
