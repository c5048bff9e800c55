"""Threads for calls that wait: a bounded number may wait in the queue, and nobody waits at the end.

The standard library's pool would keep a process alive until its last call has come back, be it from
a store that does not answer or a materialization of an hour; whatever is killed here is carried on
by whoever does it next.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from skewless.errors import StoreUnavailable
from skewless.request_errors import Overloaded

T = TypeVar("T")
Work = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Threads:
    """Threads, started when they are first needed.

    Args:
        count: of threads.
        waiting: calls that may wait in the queue.
        name: of the threads, and of what they do in errors.

    Attributes:
        active: calls that run or wait in the queue.
    """

    def __init__(self, count: int, waiting: int, name: str) -> None:
        self._count = count
        self._most = count + waiting
        self._name = name
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.active = 0

    async def run(self, timeout: float | None, call: Callable[..., T], *arguments: Any) -> T:
        """Return what a call returns.

        Raises:
            Overloaded: too many wait in the queue.
            StoreUnavailable: it took longer than ``timeout`` seconds; it goes on unseen.
        """
        if self.active >= self._most:
            raise Overloaded(
                f"too many requests wait for the {self._name}",
                got=self.active,
                hint="Nothing was done. Try again later.",
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        future.add_done_callback(self._done)
        self.active += 1
        self._queue.put((loop, future, call, arguments))
        if len(self._threads) < min(self._count, self.active):
            self._start()
        try:
            return await asyncio.wait_for(asyncio.shield(future), timeout)
        except TimeoutError:
            raise StoreUnavailable(
                f"the {self._name} took too long", expected=f"{timeout:g} seconds at most"
            ) from None

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            loop, future, call, arguments = work
            try:
                result = call(*arguments)
            except BaseException as problem:  # noqa: BLE001 - it is raised where it is waited for
                _tell(loop, future, None, problem)
            else:
                _tell(loop, future, result, None)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self.active -= 1
        if not future.cancelled():
            future.exception()  # somebody has looked: no complaint when nobody waits any more

    def close(self) -> None:
        """Let the threads end after what they are at."""
        for _ in self._threads:
            self._queue.put(None)


def _tell(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[Any],
    result: Any,
    problem: BaseException | None,
) -> None:
    def tell() -> None:
        if future.done():
            return
        if problem is None:
            future.set_result(result)
        else:
            future.set_exception(problem)

    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)
