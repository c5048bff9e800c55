"""Reading one chunk ahead, so that decoding the next and using this one go on together."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def one_ahead(source: Generator[T, None, None]) -> Iterator[T]:
    """Yield what ``source`` yields, computed in one thread that stays one item ahead.

    The thread ends with the iteration, however it ends; ``source`` runs in it alone.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="skewless-read")
    try:
        upcoming: Future[list[T]] = pool.submit(_next, source)
        while items := upcoming.result():
            upcoming = pool.submit(_next, source)
            # Taken out of the list, which the finished future still holds.
            yield items.pop()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        source.close()


def _next(source: Generator[T, None, None]) -> list[T]:
    for item in source:
        return [item]
    return []
