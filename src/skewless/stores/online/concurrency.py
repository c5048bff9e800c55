"""Clients of network drivers and many calls at once: what every remote store needs around a call.

Drivers keep sockets and threads that a fork must not carry over, so every process makes its own
client at its first call; `PerProcess` says which is whose.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, wait
from typing import Generic, Protocol, TypeVar

from skewless.errors import StoreError
from skewless.stores.online.base import Change

A = TypeVar("A")
T = TypeVar("T")

THREADS = 8
"""How many calls of one store and process run at the same time."""


class Client(Protocol):
    """What `PerProcess` and `RemoteStore` ask of a client."""

    @property
    def threads(self) -> Executor:
        """What makes several of its calls at the same time."""

    def close(self) -> None:
        """Release its connections and threads."""


C = TypeVar("C", bound=Client)


class PerProcess(Generic[C]):
    """A client that each process makes for itself.

    Args:
        make: makes one.
        closed: makes the error for using it after `close`.
    """

    def __init__(self, make: Callable[[], C], *, closed: Callable[[], StoreError]) -> None:
        self._make = make
        self._closed_error = closed
        # By process: one inherited in a fork stays here unused, lest letting it go close it.
        self._clients: dict[int, C] = {}
        self._is_closed = False

    def get(self) -> C:
        """Return this process's client."""
        if self._is_closed:
            raise self._closed_error()
        process = os.getpid()
        found = self._clients.get(process)
        if found is None:
            made = self._make()
            # Without a lock, which another thread might hold at the moment of a fork.
            found = self._clients.setdefault(process, made)
            if found is not made:
                made.close()
        return found

    def close(self) -> None:
        """Close this process's client; `get` then fails."""
        self._is_closed = True
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()


def map_concurrent(executor: Executor, call: Callable[[A], T], arguments: Sequence[A]) -> list[T]:
    """Return what ``call`` makes of each argument; nothing runs on when one of them fails."""
    if len(arguments) < 2:
        return [call(argument) for argument in arguments]
    futures = [executor.submit(call, argument) for argument in arguments]
    done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
    if waiting:
        for future in waiting:
            future.cancel()
        wait(waiting)
        next(future for future in done if future.exception()).result()
    return [future.result() for future in futures]


def set_each(
    executor: Executor, set_one: Callable[[Change], bool], changes: Sequence[Change]
) -> list[bool]:
    """Do the changes of many keys concurrently and those of one key in their order."""
    by_key: dict[bytes, list[int]] = {}
    for place, (key, _, _) in enumerate(changes):
        by_key.setdefault(key, []).append(place)

    def set_key(places: list[int]) -> list[tuple[int, bool]]:
        return [(place, set_one(changes[place])) for place in places]

    answers = map_concurrent(executor, set_key, list(by_key.values()))
    done = dict(itertools.chain.from_iterable(answers))
    return [done[place] for place in range(len(changes))]


def batches(
    values: Iterable[T], size_of: Callable[[T], int], *, most: int, most_bytes: int
) -> Iterator[list[T]]:
    """Split values so that one request holds at most ``most``, of ``most_bytes`` together.

    A value that is larger is a batch of its own.
    """
    batch: list[T] = []
    total = 0
    for value in values:
        size = size_of(value)
        if batch and (len(batch) == most or total + size > most_bytes):
            yield batch
            batch, total = [], 0
        batch.append(value)
        total += size
    if batch:
        yield batch


def chunks(values: Sequence[T], size: int) -> list[Sequence[T]]:
    """Split a sequence into chunks of ``size``; the last may be shorter."""
    return [values[start : start + size] for start in range(0, len(values), size)]
