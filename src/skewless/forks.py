"""What must go on working in a child of `os.fork` while threads of the parent were at work.

A child has one thread, the one that forked. A lock that another thread held at that moment stays
locked in the child for ever, for whoever held it is not there. Here is what the package uses
instead: a `cached_property` without a lock (that of Python 3.11 has one for all instances of a
class), a `Lock` that is free in the child, and a `Gate` for libraries whose locks are their own. A
fork also waits for imports that are under way.

>>> class Circle:
...     def __init__(self, radius: float) -> None:
...         self.radius = radius
...     @cached_property
...     def area(self) -> float:
...         return 3 * self.radius**2
>>> circle = Circle(2.0)
>>> circle.area, "area" in vars(circle)
(12.0, True)
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):
    """A property computed at its first use and kept in the instance's ``__dict__``.

    Two threads that use it first at one moment may both compute it; both then get the value of the
    first that was done. Deleting the attribute lets it be recomputed.

    Args:
        compute: the method it stands for.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__
        self.__module__ = compute.__module__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...
    def __get__(self, instance: object | None, owner: type | None = None) -> Self | T:
        if instance is None:
            return self
        # Not a data descriptor: from the second use on, Python finds the value in __dict__.
        value: T = vars(instance).setdefault(self._name, self._compute(instance))
        return value


class opened_property(cached_property[T]):
    """A `cached_property` of something that is to be opened once: a store, a connection.

    Threads that use it first at one moment wait for each other, with the `Lock` that the instance
    has as ``_lock``.
    """

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...
    def __get__(self, instance: object | None, owner: type | None = None) -> Self | T:
        if instance is None:
            return self
        found = vars(instance)
        with found["_lock"]:
            if self._name not in found:
                found[self._name] = self._compute(instance)
            value: T = found[self._name]
            return value


class Lock:
    """A lock that its thread may take again; in the child of a fork nobody else holds it.

    What it guards may be found in a child as another thread left it half-way: guard caches and
    counts, which can bear that, and make connections again (`stores.online.pool`).
    """

    __slots__ = ("__weakref__", "_depth", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._depth = 0
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        self._owner = threading.get_ident()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
        self._lock.release()

    def renew(self) -> None:
        """Release it for a thread that is not in this process."""
        if self._owner != threading.get_ident():
            self._lock, self._owner, self._depth = threading.RLock(), None, 0


class Gate:
    """Keeps a fork waiting while other threads are inside a library that a fork would break.

    SQLite has locks and counts of locks of its own in the memory of the process. A child that is
    forked while another thread is in a transaction finds the file locked by a thread it has not.
    A thread that is inside may come in again.
    """

    def __init__(self) -> None:
        self._inside: dict[int, int] = {}
        self._closed = False
        self._moved = threading.Condition()

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._moved:
            if me not in self._inside:
                self._moved.wait_for(lambda: not self._closed)
            self._inside[me] = self._inside.get(me, 0) + 1

    def __exit__(self, *_: object) -> None:
        me = threading.get_ident()
        with self._moved:
            self._inside[me] -= 1
            if not self._inside[me]:
                del self._inside[me]
                self._moved.notify_all()

    def close(self) -> None:
        """Let nobody in, and wait until others are out, at most `FORK_PATIENCE_SECONDS`."""
        me = {threading.get_ident()}
        with self._moved:
            self._closed = True
            self._moved.wait_for(lambda: self._inside.keys() <= me, FORK_PATIENCE_SECONDS)

    def open(self) -> None:
        """Let others in again."""
        with self._moved:
            self._closed = False
            self._moved.notify_all()

    def renew(self) -> None:
        """Begin in a child, with nobody inside but the thread that forked."""
        me = threading.get_ident()
        self._inside = {me: self._inside[me]} if me in self._inside else {}
        self._closed, self._moved = False, threading.Condition()


FORK_PATIENCE_SECONDS = 5.0
sqlite_gate = Gate()
"""Taken around every use of SQLite."""
_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    sqlite_gate.renew()
    for lock in list(_locks):
        lock.renew()


def _finish_imports() -> None:
    """Wait for modules that other threads are importing: their locks are not free in a child."""
    for name, module in sys.modules.copy().items():  # a copy takes no turn for another thread
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def _before_fork() -> None:
    _finish_imports()
    sqlite_gate.close()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=sqlite_gate.open,
    after_in_child=_after_fork_in_child,
)
