"""Pushes of several threads share a transaction, and fail alone."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

import skewless as sl
from skewless.errors import StoreError
from skewless.online import group_commit
from skewless.online.group_commit import GroupCommit, Work
from skewless.stores.online.base import Transaction
from skewless.testing.memory import MemoryStore

WAIT = 30


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.001)


class Commits:
    """A group commit over a store in memory, with its transactions counted."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.begun = 0
        self.refuses = False
        self.group = GroupCommit(self._transaction)
        self._inside, self._go_on = threading.Event(), threading.Event()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        self.begun += 1
        with self.store.transaction() as rows:
            yield rows
            if self.refuses:
                raise StoreError("the disk is full")

    def hold(self, rows: Transaction, shared: bool) -> None:
        """Stay in a transaction until `together` has queued up."""
        self._inside.set()
        assert self._go_on.wait(WAIT)

    def together(self, works: list[Work[object]]) -> list[object]:
        """Run works that all come while another transaction is held; return results or errors."""
        with ThreadPoolExecutor(len(works) + 1) as pool:
            first = pool.submit(self.group.run, self.hold)
            assert self._inside.wait(WAIT)
            rest = [pool.submit(self.group.run, work) for work in works]
            wait_until(lambda: len(self.group._waiting) == len(works))
            self._go_on.set()
            first.result(WAIT)
            return [each.exception(WAIT) or each.result(WAIT) for each in rest]


def keeps(name: bytes) -> Work[bytes]:
    def work(rows: Transaction, shared: bool) -> bytes:
        rows.write("rows", [(name, b"kept")])
        return name

    return work


def fails(rows: Transaction, shared: bool) -> None:
    rows.write("rows", [(b"bad", b"must not be kept")])
    raise ValueError("not this one")


def test_those_who_wait_share_one_transaction() -> None:
    commits = Commits()
    names = [b"%d" % n for n in range(10)]
    assert names == commits.together([keeps(name) for name in names])
    assert commits.begun == 2
    assert names == [key for key, _ in commits.store.scan("rows")]


def test_work_that_fails_fails_alone() -> None:
    commits = Commits()
    found = commits.together([keeps(b"a"), fails, keeps(b"b")])
    assert [found[0], found[2]] == [b"a", b"b"]
    assert isinstance(found[1], ValueError)
    assert [key for key, _ in commits.store.scan("rows")] == [b"a", b"b"]


def test_a_transaction_that_is_not_kept_is_an_error_of_all_and_done_once() -> None:
    commits = Commits()
    commits.refuses = True

    def kept_once(rows: Transaction, shared: bool) -> None:
        counted.append(1)

    counted: list[int] = []
    with pytest.raises(StoreError, match="disk is full"):
        commits.group.run(kept_once)
    assert counted == [1]


def test_an_interrupt_leaves_nobody_waiting() -> None:
    commits = Commits()

    def interrupted(rows: Transaction, shared: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commits.group.run(interrupted)
    assert commits.group.run(keeps(b"a")) == b"a"


@pytest.mark.parametrize("chosen", [False, True])
def test_a_thread_that_is_interrupted_while_it_waits_holds_nobody_up(
    chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is already for it to lead."""
    commits = Commits()
    interrupted = keeps(b"interrupted")

    class Turn:
        def __init__(self, request: Request) -> None:
            self.request = request

        def acquire(self) -> None:
            waits.set()
            wait_until(lambda: self.request.leads or not chosen)
            raise KeyboardInterrupt

        def release(self) -> None: ...

    class Request(group_commit._Request):
        def __init__(self, work: Work[object]) -> None:
            super().__init__(work)
            if work is interrupted:
                self.turn = Turn(self)

    monkeypatch.setattr(group_commit, "_Request", Request)
    waits = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(commits.group.run, commits.hold)
        assert commits._inside.wait(WAIT)
        second = pool.submit(commits.group.run, interrupted)
        assert waits.wait(WAIT)
        wait_until(lambda: chosen or second.done())
        third = pool.submit(commits.group.run, keeps(b"third"))
        wait_until(lambda: len(commits.group._waiting) == 1 + chosen)
        commits._go_on.set()
        with pytest.raises(KeyboardInterrupt):
            second.result(WAIT)
        assert third.result(WAIT) == b"third"
        first.result(WAIT)


def test_a_child_of_a_fork_does_not_do_what_threads_of_its_parent_wait_for() -> None:
    commits = Commits()
    done: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(commits.group.run, commits.hold)
        assert commits._inside.wait(WAIT)
        second = pool.submit(commits.group.run, lambda rows, shared: done.append(os.getpid()))
        wait_until(lambda: bool(commits.group._waiting))
        child = os.fork()
        if child == 0:
            commits.group._begin = contextlib.nullcontext  # type: ignore[assignment]
            commits.group.run(lambda rows, shared: done.append(os.getpid()))
            os._exit(0 if done == [os.getpid()] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        commits._go_on.set()
        first.result(WAIT)
        second.result(WAIT)
    assert [os.getpid()] == done


def test_rows_of_many_threads_are_kept_once_each(tmp_path: Path) -> None:
    shop = sl.Entity("shop", shop=int)
    sales = sl.Source("sales", schema={"shop": int, "paid": float}, event_time="at", row_id="paid")
    view = sl.FeatureView(
        "Shop",
        entity=shop,
        source=sales,
        features={"n": sales.count("1h"), "s": sales.paid.sum("1h")},
    )
    with sl.FeatureStore(tmp_path) as fs, ThreadPoolExecutor(8) as pool:
        fs.apply(fs.plan(view))

        def push(number: int) -> int:
            row = {"shop": number % 3, "paid": float(number), "at": datetime.now(UTC)}
            assert fs.push("sales", [row]).accepted == 1
            return fs.push("sales", [row]).duplicates

        assert list(pool.map(push, range(60))) == [1] * 60
        rows = fs.get_online_features("Shop", [{"shop": n} for n in range(3)]).to_rows()
    assert [row["n"] for row in rows] == [20, 20, 20]
    assert sum(range(60)) == sum(row["s"] for row in rows)


def test_a_correction_of_a_row_of_the_same_transaction_replaces_it(tmp_path: Path) -> None:
    shop = sl.Entity("shop", shop=int)
    sales = sl.Source(
        "sales", schema={"shop": int, "no": int, "paid": float}, event_time="at", row_id="no"
    )
    features = {
        "n": sales.count(sl.lifetime()),
        "s": sales.paid.sum("1h"),
        "l": sales.paid.latest(),
    }
    view = sl.FeatureView("Shop", entity=shop, source=sales, features=features)
    at = datetime.now(UTC)
    with sl.FeatureStore(tmp_path) as fs, ThreadPoolExecutor(5) as pool:
        fs.apply(fs.plan(view))
        fs.push("sales", [{"shop": 2, "no": 1, "paid": 1.0, "at": at}])  # it takes the folder
        commits, inside, go_on = fs.runtime.commits, threading.Event(), threading.Event()

        def hold(rows: Transaction, shared: bool) -> None:
            inside.set()
            assert go_on.wait(WAIT)

        waits = [pool.submit(commits.run, hold)]
        assert inside.wait(WAIT)
        for number, paid in enumerate((1.0, 2.0, 3.0)):
            row = {"shop": 1, "no": 7, "paid": paid, "at": at}
            waits.append(pool.submit(fs.push, "sales", [row]))
            wait_until(lambda wanted=number + 1: len(commits._waiting) == wanted)
        go_on.set()
        found = [each.result(WAIT) for each in waits]
        rows = fs.get_online_features("Shop", [{"shop": 1}]).to_rows()
    assert [result.corrections for result in found[1:]] == [0, 1, 1]
    assert [(row["n"], row["s"], row["l"]) for row in rows] == [(1, 3.0, 3.0)]
