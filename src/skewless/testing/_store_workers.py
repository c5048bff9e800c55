"""What the threads and processes of the conformance suite of online stores do."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from skewless.stores.online.base import OnlineStore

F = TypeVar("F", bound=Callable[..., None])
OpenStore = Callable[[], OnlineStore]

PATIENCE_SECONDS = 60
BATCH_KEYS = [b"row %02d" % number for number in range(40)]


def needs(*capabilities: str) -> Callable[[F], F]:
    """Mark a test of the suite with the capabilities it is about."""

    def mark(test: F) -> F:
        test.needed_capabilities = capabilities  # type: ignore[attr-defined]
        return test

    return mark


@contextlib.contextmanager
def process(
    context: ForkContext | SpawnContext, work: Callable[..., None], *arguments: Any
) -> Iterator[tuple[BaseProcess, Connection]]:
    """Run ``work(*arguments, report)`` in a process; give it and the other end of ``report``."""
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=work, args=(*arguments, theirs))
    child.start()
    theirs.close()
    try:
        yield child, ours
    finally:
        child.kill()
        child.join()
        ours.close()


def answer(reports: Connection) -> Any:
    """Return the next report of a process; fail if it is long in coming."""
    if not reports.poll(PATIENCE_SECONDS):
        raise TimeoutError(f"no answer from a process of the suite in {PATIENCE_SECONDS} s")
    return reports.recv()


SPAWN = multiprocessing.get_context("spawn")
FORK = multiprocessing.get_context("fork")


def count_up(store: OnlineStore, times: int) -> None:
    """Add one to a counter ``times`` times, reading and writing it as one step."""
    for _ in range(times):
        if store.capabilities.transactions:
            with store.transaction() as rows:
                rows.write("counts", [(b"n", _one_more(rows.read_one("counts", b"n")))])
        else:
            done = False
            while not done:
                now = store.read_one("counts", b"n")
                (done,) = store.compare_and_set("counts", [(b"n", now, _one_more(now))])


def _one_more(count: bytes | None) -> bytes:
    return b"%d" % (int(count or b"0") + 1)


def open_and_count_up(open_store: OpenStore, times: int, report: Connection) -> None:
    """Do `count_up` with a store of this process's own."""
    with open_store() as store:
        count_up(store, times)
    report.send("done")


def open_and_write_batches(open_store: OpenStore, report: Connection) -> None:
    """Write the same keys for ever, all with the number of the batch; report each one kept."""
    number = 0
    with open_store() as store:
        while True:
            number += 1
            value = b"%d " % number * 200
            store.write("batches", [(key, value) for key in BATCH_KEYS])
            report.send(number)


def open_and_read(open_store: OpenStore, keys: Sequence[bytes], report: Connection) -> None:
    """Report the values of some rows, read with a store of this process's own."""
    with open_store() as store:
        report.send(store.read("rows", keys))


def read_and_write(store: OnlineStore, report: Connection) -> None:
    """Use a store that came over a fork."""
    report.send(store.read_one("rows", b"parent"))
    store.write("rows", [(b"child", b"written by the child")])
    report.send("written")
    store.close()
