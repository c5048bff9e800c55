"""The LMDB store beside processes that hang, and in processes whose address space is limited."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skewless.errors import StoreError, StoreUnavailable
from skewless.stores.online.lmdb import write_turn
from skewless.stores.online.lmdb.store import LMDBStore

HANGING = """
import os, signal, sys
from skewless.stores.online.lmdb.store import LMDBStore

with LMDBStore(sys.argv[1]) as store, store.transaction() as transaction:
    transaction.write("rows", [(b"theirs", b"1")])
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def hanging(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is stopped inside a transaction."""
    process = subprocess.Popen([sys.executable, "-c", HANGING, str(path)])
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_process_that_is_stopped_in_a_transaction_is_waited_for_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_turn, "STOPPED_SECONDS", 0.1)
    with LMDBStore(tmp_path) as store:
        store.write("rows", [(b"mine", b"0")])
        with hanging(tmp_path) as process:
            with pytest.raises(StoreUnavailable) as caught:
                store.write("rows", [(b"mine", b"1")])
            assert "and is stopped" in caught.value.what
            assert f"process {process.pid}: " in str(caught.value.got)
            assert f"kill -CONT {process.pid}" in str(caught.value.hint)
            assert store.read("rows", [b"mine", b"theirs"]) == [b"0", None]
            process.send_signal(signal.SIGCONT)
            assert process.wait(60) == 0
            store.write("rows", [(b"mine", b"2")])
        assert store.read("rows", [b"mine", b"theirs"]) == [b"2", b"1"]


def test_one_that_is_killed_there_holds_nobody_up(tmp_path: Path) -> None:
    with LMDBStore(tmp_path) as store:
        store.write("rows", [(b"mine", b"0")])
        with hanging(tmp_path) as process:
            process.kill()
            process.wait()
            store.write("rows", [(b"mine", b"1")])
        assert store.read("rows", [b"mine", b"theirs"]) == [b"1", None]


def test_one_that_runs_is_waited_for_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_turn, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(write_turn, "STOPPED_SECONDS", 0.0)
    with LMDBStore(tmp_path) as store:
        store.write("rows", [(b"mine", b"0")])
        with hanging(tmp_path) as process:
            monkeypatch.setattr(write_turn, "_state", lambda _: "R")
            monkeypatch.setattr(write_turn, "BUSY_SECONDS", 0.3)
            with pytest.raises(StoreUnavailable, match=r"within 0\.3 seconds") as caught:
                store.write("rows", [(b"mine", b"1")])
            assert "stopped" not in caught.value.what
            monkeypatch.setattr(write_turn, "holder", lambda _: None)  # as on other systems
            with pytest.raises(StoreUnavailable, match="does not name.*lsof"):
                store.write("rows", [(b"mine", b"1")])
            assert process.poll() is None


def test_a_child_of_a_writer_does_not_keep_its_turn(tmp_path: Path) -> None:
    with LMDBStore(tmp_path) as store:
        store.write("rows", [(b"a", b"0")])
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            with LMDBStore(tmp_path) as own:
                own.write("rows", [(b"a", b"1")])
            os.write(writing, b"written")
            signal.pause()
        try:
            assert os.read(reading, 10) == b"written"
            store.write("rows", [(b"a", b"2")])
            assert store.read_one("rows", b"a") == b"2"
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            os.close(writing)


# ------------------------------------------------------------------------------ address space

LIMITED = """
import resource, sys
from skewless.errors import StoreError
from skewless.stores.online.lmdb.store import LMDBStore

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (int(sys.argv[2]) << 20),) * 2)
with LMDBStore(sys.argv[1]) as store:
    for number in range(int(sys.argv[3])):
        try:
            store.write("rows", [(b"%d" % number, bytes(1 << 20))])
        except StoreError as problem:
            print(problem.what)
            break
    print(sum(value is not None for value in store.read("rows", [b"%d" % n for n in range(999)])))
"""


def limited(path: Path, megabytes: int, rows: int) -> list[str]:
    """What a process says that may have so much more address space."""
    words = [sys.executable, "-c", LIMITED, str(path), str(megabytes), str(rows)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_store_opens_where_address_space_is_limited(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert limited(tmp_path, 1_500, 30) == ["30"]
    with LMDBStore(tmp_path) as store:  # with the map it has elsewhere
        assert store.read_one("rows", b"7") == bytes(1 << 20)


def test_a_map_that_cannot_grow_is_an_error_and_the_rows_stay(tmp_path: Path) -> None:
    said = limited(tmp_path, 300, 999)
    assert said[0] == ("the online store's map does not fit into the address space of this process")
    with LMDBStore(tmp_path) as store:
        found = store.read("rows", [b"%d" % number for number in range(999)])
    assert sum(value is not None for value in found) == int(said[1]) > 10


def test_a_map_that_nothing_is_left_for_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        limited(tmp_path, 20, 1)
    assert StoreError.__name__ in caught.value.stderr
    assert "Raise its limit: ulimit -v" in caught.value.stderr
