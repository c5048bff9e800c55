"""Writes of several threads in one transaction: each is durable when it returns, all pay one flush.

A flush of the disk takes milliseconds, what a push computes a fraction of one. So while a thread is
in a transaction, the others queue up; the next one to get its turn does the work of all of them in
one transaction, and all return when that is kept. Nobody waits for company: a thread that is alone
begins at once.

Work that fails fails alone: the transaction is given up, and then each has one of its own.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from skewless.errors import StoreError
from skewless.forks import Lock
from skewless.stores.online.base import Transaction

T = TypeVar("T")
Work = Callable[[Transaction, bool], T]
"""What is done in a transaction; told whether others have written in it before, which nobody sees
who looks at what is kept."""
Begin = Callable[[], AbstractContextManager[Transaction]]
MOST = 64
"""Pieces of work in one transaction: what a reader of it waits for, and one that fails repeats."""


class _Request:
    """Work that a thread waits for.

    Attributes:
        turn: free when the work is done, or when it is for this thread to lead.
        leads: whether it is for this thread to lead.
    """

    def __init__(self, work: Work[Any]) -> None:
        self.work = work
        self.turn = threading.Lock()
        self.turn.acquire()
        self.leads = False
        self.done = False
        self.result: Any = None
        self.problem: BaseException | None = None

    def end(self, problem: BaseException | None = None) -> None:
        self.problem, self.done = problem, True

    def alone(self, begin: Begin) -> None:
        """Do it in a transaction of its own."""
        try:
            with begin() as transaction:
                self.result = self.work(transaction, False)
        except Exception as problem:  # noqa: BLE001 - raised where it belongs
            self.end(problem)
        else:
            self.end()


class GroupCommit:
    """Joins the transactions of threads that write to one store at the same time.

    Args:
        begin: begins a transaction of the store.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._lock = Lock()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        self._waiting: deque[_Request] = deque()
        self._led = False

    def run(self, work: Work[T]) -> T:
        """Return what ``work`` returns, when the transaction it was called with is kept.

        Args:
            work: may be called twice, by any thread, the first time in a transaction that is then
                given up: where it raised, or that of another thread.

        Raises:
            Exception: what ``work`` raised, or why the transaction was not kept.
            KeyboardInterrupt: a thread that waits was interrupted; its work may yet be done.
        """
        request = _Request(work)
        with self._lock:
            if self._process != os.getpid():  # whoever waits or leads does so in the parent
                self._begin_anew()
            self._waiting.append(request)
            request.leads, self._led = not self._led, True
        if not request.leads:
            try:
                request.turn.acquire()
            except BaseException:
                self._leave(request)
                raise
        if not request.done:
            self._lead()
        if request.problem is not None:
            raise request.problem
        return cast("T", request.result)

    def _lead(self) -> None:
        """Do the work of all who wait, wake them, and have the next one lead."""
        with self._lock:
            count = min(len(self._waiting), MOST)
            group = [self._waiting.popleft() for _ in range(count)]
        try:
            if count == 1 or not self._together(group):
                for request in group:
                    request.alone(self._begin)
        finally:
            with self._lock:
                self._pass_on()
            for request in group:
                if not request.done:  # after an interrupt: what was done is not done again
                    request.end(_interrupted())
                request.turn.release()

    def _pass_on(self) -> None:
        """Have the next one that waits lead; the lock is held."""
        self._led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.release()

    def _leave(self, request: _Request) -> None:
        """Wait no longer: its work is not done unless somebody is at it, and others lead."""
        with self._lock:
            if request in self._waiting:
                self._waiting.remove(request)
                if request.leads:
                    self._pass_on()

    def _together(self, group: list[_Request]) -> bool:
        """Do the work of a group in one transaction; return False if a part of it fails."""
        worked = False
        try:
            with self._begin() as transaction:
                for number, request in enumerate(group):
                    request.result = request.work(transaction, number > 0)
                worked = True
        except Exception as problem:  # noqa: BLE001 - raised where it belongs
            if not worked:
                return False
            for request in group:  # whether it was kept after all, the error has to say
                request.end(problem)
        else:
            for request in group:
                request.end()
        return True


def _interrupted() -> StoreError:
    return StoreError(
        "the transaction that a write shared with others was interrupted",
        hint="Whether it was kept is not known: write again; a row id makes that safe.",
    )
