"""A child of a fork works, whatever the threads of its parent were in the middle of."""

from __future__ import annotations

import ast
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

import skewless as sl
from skewless.forks import Lock, cached_property, opened_property

SOURCES = Path(sl.__file__).parent
CHILD_SECONDS = 20
EXPECTED_LOCKS = {
    "forks.py",  # the lock that the others use
    "online/group_commit.py",  # of one waiting thread, which a child does not have
    "registry/postgres.py",  # made again together with its connection, by process
    "registry/sqlite.py",  # likewise
    "stores/online/lmdb/environment.py",  # taken before a fork, made again after it
    "stores/online/lmdb/sharing.py",  # likewise
    "testing/proxy.py",  # a server of tests
}


def test_modules_are_looked_through_in_a_copy() -> None:
    """Another thread may import one meanwhile: a fork failed so before it held SQLite back."""
    alive = re.compile(r"sys\.modules\.(items|values|keys)\(|for \w+ in sys\.modules(?!\.copy)")
    found = [path for path in SOURCES.rglob("*.py") if alive.search(path.read_text("utf-8"))]
    assert found == []


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked child; return its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(CHILD_SECONDS)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[None]:
    """Do something over and over in another thread."""
    stop = threading.Event()

    def over_and_over() -> None:
        while not stop.is_set():
            work()

    thread = threading.Thread(target=over_and_over)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def parsed() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(SOURCES.rglob("*.py")):
        name = path.relative_to(SOURCES).as_posix()
        yield from ((name, node) for node in ast.walk(ast.parse(path.read_text())))


def test_no_module_uses_the_cached_property_that_locks() -> None:
    found = {
        name
        for name, node in parsed()
        if (isinstance(node, ast.Attribute) and node.attr == "cached_property")
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "functools"
            and any(alias.name == "cached_property" for alias in node.names)
        )
    }
    assert found == set()


def test_locks_are_those_that_survive_a_fork() -> None:
    found = {
        name
        for name, node in parsed()
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"threading.Lock", "threading.RLock", "RLock"}
    }
    assert found <= EXPECTED_LOCKS


class Counted:
    """Counts how often its property is computed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.computed = 0

    @cached_property
    def value(self) -> int:
        """The count."""
        self.computed += 1
        return self.computed

    @opened_property
    def opened(self) -> object:
        """Something that must be there once."""
        self.computed += 1
        return object()


def test_a_property_is_computed_once_and_anew_when_deleted() -> None:
    counted = Counted()
    assert [counted.value, counted.value] == [1, 1]
    del counted.value
    assert counted.value == 2
    assert Counted.value.__doc__ == "The count."


def test_a_property_that_fails_is_computed_again() -> None:
    class Failing:
        tries = 0

        @cached_property
        def value(self) -> int:
            self.tries += 1
            if self.tries == 1:
                raise LookupError("the first time")
            return self.tries

    failing = Failing()
    with pytest.raises(LookupError):
        _ = failing.value
    assert failing.value == 2


def test_threads_open_what_is_opened_once() -> None:
    counted, found = Counted(), []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        found.append(counted.opened)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(set(map(id, found))), counted.computed) == (1, 1)


def test_a_lock_that_another_thread_holds_is_free_in_a_child() -> None:
    lock, taken, done = Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        assert in_child(lambda: lock.__enter__()) == 0
    finally:
        done.set()
        thread.join()


def test_a_lock_that_the_forking_thread_holds_stays_its_own() -> None:
    lock = Lock()

    def in_the_child() -> None:
        lock.__exit__()
        with lock, lock:
            pass

    with lock:
        assert in_child(in_the_child) == 0


def test_a_property_under_computation_in_another_thread_does_not_hang_a_child() -> None:
    computing, done = threading.Event(), threading.Event()

    class Slow:
        def __init__(self, wait: bool) -> None:
            self.wait = wait

        @cached_property
        def value(self) -> int:
            if self.wait:
                computing.set()
                done.wait()
            return 1

    thread = threading.Thread(target=lambda: Slow(wait=True).value)
    thread.start()
    computing.wait()
    try:
        assert in_child(lambda: Slow(wait=False).value) == 0
    finally:
        done.set()
        thread.join()


def test_a_module_that_another_thread_imports_is_whole_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go = threading.Event(), threading.Event()
    (tmp_path / "slowly_imported.py").write_text(
        "import test_gate\ntest_gate.started.set()\ntest_gate.go.wait()\nvalue = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "test_gate", SimpleNamespace(started=started, go=go))

    def work() -> int:
        value: int = importlib.import_module("slowly_imported").value
        return value

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    timer = threading.Timer(0.2, go.set)  # while the fork waits
    timer.start()
    assert in_child(work) == 0
    thread.join()
    del sys.modules["slowly_imported"]


@pytest.mark.parametrize("kind", ["lmdb", "sqlite"])
def test_children_read_and_push_while_threads_of_the_parent_do(tmp_path: Path, kind: str) -> None:
    (tmp_path / "skewless.toml").write_text(
        f'[online]\nkind = "{kind}"\npath = "{tmp_path / "online"}"\n'
    )
    now = datetime.now(UTC)
    card = sl.Entity("card", card_id=str)
    payments = sl.Source(
        "payments",
        schema={"pid": str, "card_id": str, "amount": float},
        event_time="at",
        row_id="pid",
    )
    spend = sl.feature_view(entity=card, source=payments)(
        type("Spend", (), {"n": payments.count("30d")})
    )
    numbers = iter(range(1_000_000))
    with sl.FeatureStore(tmp_path) as store:
        store.apply([spend])

        def push(card_id: str) -> None:
            number = f"{os.getpid()}.{next(numbers)}"
            store.push("payments", [{"pid": number, "card_id": card_id, "amount": 1.0, "at": now}])

        def read() -> int:
            found = store.get_online_features("Spend", [{"card_id": "c1"}]).to_dict()["n"][0]
            assert found == 1
            return found

        def both() -> None:
            read()
            push("c3")

        push("c1")
        with in_thread(read), in_thread(lambda: push("c2")):
            codes = [in_child(both) for _ in range(8)]
        assert codes == [0] * 8
        assert store.get_online_features("Spend", [{"card_id": "c3"}]).to_dict()["n"] == [8]
