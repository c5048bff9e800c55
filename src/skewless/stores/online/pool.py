"""Connections lent to one caller at a time; never carried over a fork."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from skewless.errors import SkewlessError, StoreError

_forks = 0
_left_to_parent: list[object] = []
"""Connections inherited in a fork. Letting them go would close what the parent still uses."""


class Connection(Protocol):
    """What a pool asks of a connection."""

    def close(self) -> None:
        """Release it."""


C = TypeVar("C", bound=Connection)


class Pool(Generic[C]):
    """As many connections as were ever in use at once.

    Args:
        connect: makes one.
        usable: whether one that comes back can be lent again.
        closed: makes the error for lending after `close`.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        *,
        usable: Callable[[C], bool] = lambda _: True,
        closed: Callable[[], SkewlessError],
    ) -> None:
        self._connect = connect
        self._usable = usable
        self._closed_error = closed
        self._idle: list[C] = []
        self._forks = _forks
        self._is_closed = threading.Event()
        self._writers: set[int] = set()

    @contextlib.contextmanager
    def connection(self) -> Iterator[C]:
        """Lend a connection."""
        if self._is_closed.is_set():
            raise self._closed_error()
        if self._forks != _forks:
            _left_to_parent.extend(self._idle)
            self._idle, self._forks, self._writers = [], _forks, set()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        forks = _forks
        try:
            yield connection
        finally:
            if forks != _forks:
                _left_to_parent.append(connection)
            elif self._is_closed.is_set() or not self._usable(connection):
                connection.close()
            else:
                self._idle.append(connection)

    @contextlib.contextmanager
    def one_writer_a_thread(self, where: str) -> Iterator[None]:
        """Refuse a second transaction of a thread that is in one: it would wait for itself."""
        thread = threading.get_ident()
        if thread in self._writers:
            raise StoreError(
                "a write inside a transaction of the same thread would wait for itself",
                where=where,
                hint="Inside transaction() use the verbs of the transaction.",
            )
        self._writers.add(thread)
        try:
            yield
        finally:
            self._writers.discard(thread)

    def discard_idle(self) -> None:
        """Close the connections that are not lent: their server is gone."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close the idle connections now, lent ones when they come back."""
        self._is_closed.set()
        idle, self._idle = self._idle, []
        if self._forks == _forks:
            for connection in idle:
                connection.close()
        else:
            _left_to_parent.extend(idle)


def _after_fork_in_child() -> None:
    global _forks  # noqa: PLW0603 - counts forks of the process, so it belongs to the process
    _forks += 1


os.register_at_fork(after_in_child=_after_fork_in_child)
