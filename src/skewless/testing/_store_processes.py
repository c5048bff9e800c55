"""Laws across processes: what is written is seen, kept, and never torn, even by a kill."""

from __future__ import annotations

import contextlib
import os
import signal

from skewless.stores.online.base import OnlineStore
from skewless.testing._store_workers import (
    BATCH_KEYS,
    FORK,
    SPAWN,
    OpenStore,
    answer,
    needs,
    open_and_count_up,
    open_and_read,
    open_and_write_batches,
    process,
    read_and_write,
)

COUNTS = 60


class ProcessLaws:
    """What others see and what remains."""

    @needs("shared_by_processes")
    def test_rows_are_there_when_the_store_is_opened_again(
        self, store: OnlineStore, open_store: OpenStore
    ) -> None:
        store.write("rows", [(b"a", b"1"), (b"k" * 600, b"2")])
        store.close()
        with open_store() as again:
            assert again.read("rows", [b"a", b"k" * 600]) == [b"1", b"2"]
            assert again.tables() == ["rows"]

    @needs("shared_by_processes")
    def test_two_stores_of_one_process_share_rows(
        self, store: OnlineStore, open_store: OpenStore
    ) -> None:
        with open_store() as other:
            other.write("rows", [(b"a", b"1")])
            assert store.read_one("rows", b"a") == b"1"
            store.drop("rows")
            assert other.read_one("rows", b"a") is None
        store.write("rows", [(b"a", b"2")])
        assert store.read_one("rows", b"a") == b"2"

    @needs("shared_by_processes")
    def test_another_process_sees_a_write_that_returned(
        self, store: OnlineStore, open_store: OpenStore
    ) -> None:
        store.write("rows", [(b"a", b"1")])
        with process(SPAWN, open_and_read, open_store, [b"a", b"b"]) as (_, reports):
            assert answer(reports) == [b"1", None]

    @needs("shared_by_processes", "compare_and_set")
    def test_processes_that_count_at_once_lose_nothing(
        self, store: OnlineStore, open_store: OpenStore
    ) -> None:
        counting = (SPAWN, open_and_count_up, open_store, COUNTS)
        with process(*counting) as (_, one), process(*counting) as (_, two):
            assert [answer(one), answer(two)] == ["done", "done"]
        assert store.read_one("counts", b"n") == b"%d" % (2 * COUNTS)

    @needs("shared_by_processes")
    def test_a_store_may_be_used_on_both_sides_of_a_fork(self, store: OnlineStore) -> None:
        store.write("rows", [(b"parent", b"1")])
        with process(FORK, read_and_write, store) as (child, reports):
            assert store.read_one("rows", b"parent") == b"1"
            assert answer(reports) == b"1"
            store.write("rows", [(b"parent", b"2")])
            assert answer(reports) == "written"
            child.join()
            assert child.exitcode == 0
        expected = [b"2", b"written by the child"]
        assert store.read("rows", [b"parent", b"child"]) == expected

    @needs("shared_by_processes", "atomic_batch")
    def test_a_killed_writer_leaves_whole_batches_and_every_acknowledged_one(
        self, store: OnlineStore, open_store: OpenStore
    ) -> None:
        for batches in (1, 7, 20):
            with process(SPAWN, open_and_write_batches, open_store) as (child, reports):
                acknowledged = 0
                while acknowledged < batches:
                    acknowledged = answer(reports)
                assert child.pid is not None
                os.kill(child.pid, signal.SIGKILL)
                child.join()
                with contextlib.suppress(EOFError):
                    while True:
                        acknowledged = reports.recv()
            values = set(store.read("batches", BATCH_KEYS))
            assert len(values) == 1
            (value,) = values
            assert value is not None
            assert int(value.split()[0]) >= acknowledged
            with open_store() as again:
                again.write("batches", [(b"after", b"the kill")])
                assert again.read_one("batches", b"after") == b"the kill"
