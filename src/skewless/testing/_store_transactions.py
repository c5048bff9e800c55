"""Laws of transactions and of compare-and-set: all or nothing, and nothing lost between writers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from skewless.errors import StoreError
from skewless.stores.online.base import OnlineStore
from skewless.testing._store_workers import BATCH_KEYS, count_up, needs

COUNTS, THREADS = 40, 4


class _Interrupted(Exception):
    """Raised inside a transaction by the suite."""


class TransactionLaws:
    """What happens together."""

    @needs("transactions")
    def test_a_transaction_is_kept_when_it_ends(self, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1"), (b"b", b"1")])
        with store.transaction() as rows:
            rows.write("rows", [(b"a", b"2"), (b"c", b"2")])
            rows.delete("rows", [b"b"])
            rows.write("more", [(b"a", b"3")])
        assert store.read("rows", [b"a", b"b", b"c"]) == [b"2", None, b"2"]
        assert store.tables() == ["more", "rows"]

    @needs("transactions")
    def test_a_transaction_that_raises_leaves_nothing(self, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1"), (b"b", b"1")])

        def interrupted() -> None:
            with store.transaction() as rows:
                rows.write("rows", [(b"a", b"2")])
                rows.delete("rows", [b"b"])
                rows.write("more", [(b"a", b"3")])
                raise _Interrupted

        with pytest.raises(_Interrupted):
            interrupted()
        assert store.read("rows", [b"a", b"b"]) == [b"1", b"1"]
        assert store.read("more", [b"a"]) == [None]
        assert store.tables() == ["rows"]
        store.write("more", [(b"a", b"4")])
        assert store.read("more", [b"a"]) == [b"4"]

    @needs("transactions")
    def test_a_transaction_reads_its_own_writes(self, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1"), (b"b", b"1")])
        with store.transaction() as rows:
            rows.write("rows", [(b"a", b"2"), (b"c", b"2")])
            rows.delete("rows", [b"b"])
            rows.write("new", [(b"x", b"9")])
            assert rows.read("rows", [b"c", b"b", b"a", b"c"]) == [b"2", None, b"2", b"2"]
            assert rows.read_one("new", b"x") == b"9"
            assert rows.read_one("none", b"x") is None
            assert list(rows.scan("rows")) == [(b"a", b"2"), (b"c", b"2")]
            assert list(rows.scan("rows", after=b"a", limit=1)) == [(b"c", b"2")]
            rows.delete("rows", [b"a", b"c"])
            assert list(rows.scan("rows")) == []

    @needs("transactions")
    def test_nobody_sees_a_transaction_before_it_ends(self, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1")])
        with ThreadPoolExecutor(1) as other, store.transaction() as rows:
            rows.write("rows", [(b"a", b"2"), (b"b", b"2")])
            rows.write("new", [(b"a", b"2")])
            seen = other.submit(lambda: (store.read("rows", [b"a", b"b"]), store.tables()))
            assert seen.result() == ([b"1", None], ["rows"])
        assert store.read("rows", [b"a", b"b"]) == [b"2", b"2"]

    @needs("transactions")
    def test_a_write_that_would_wait_for_itself_is_refused(self, store: OnlineStore) -> None:
        with store.transaction() as rows:
            with pytest.raises(StoreError, match="wait for itself"):
                store.write("rows", [(b"a", b"1")])
            rows.write("rows", [(b"a", b"2")])
        assert store.read_one("rows", b"a") == b"2"

    @needs("compare_and_set")
    def test_compare_and_set_changes_what_is_as_expected(self, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1"), (b"b", b"1"), (b"gone", b"1"), (b"e", b"")])
        changes = [
            (b"a", b"1", b"2"),
            (b"b", b"0", b"2"),
            (b"new", None, b"2"),
            (b"a", None, b"3"),
            (b"gone", b"1", None),
            (b"e", None, b"2"),
            (b"never", b"1", b"2"),
            (b"e", b"", b""),
            (b"absent", None, None),
        ]
        expected = [True, False, True, False, True, False, False, True, True]
        assert store.compare_and_set("rows", changes) == expected
        left = [(b"a", b"2"), (b"b", b"1"), (b"e", b""), (b"new", b"2")]
        assert list(store.scan("rows")) == left
        assert store.compare_and_set("rows", []) == []

    @needs("compare_and_set")
    def test_compare_and_set_makes_a_table(self, store: OnlineStore) -> None:
        assert store.compare_and_set("new", [(b"a", None, b"1")]) == [True]
        assert store.tables() == ["new"]
        assert store.read_one("new", b"a") == b"1"

    def test_rows_of_several_tables_change_together_or_not_at_all(self, store: OnlineStore) -> None:
        if not (store.capabilities.together or store.capabilities.transactions):
            pytest.skip(f"{type(store).__name__} has neither 'together' nor 'transactions'")
        store.write("rows", [(b"a", b"1"), (b"b", b"1"), (b"gone", b"1")])
        changes = [
            ("rows", b"a", b"1", b"2"),
            ("rows", b"b", b"1", b"1"),
            ("rows", b"gone", b"1", None),
            ("more", b"a", None, b"2"),
            ("more", b"none", None, None),
        ]
        assert not store.change_together([*changes, ("more", b"new", b"1", b"2")])
        assert store.read("rows", [b"a", b"gone"]) == [b"1", b"1"]
        assert store.read("more", [b"a", b"new"]) == [None, None]
        assert store.change_together(changes)
        assert list(store.scan("rows")) == [(b"a", b"2"), (b"b", b"1")]
        assert list(store.scan("more")) == [(b"a", b"2")]
        assert not store.change_together(changes)
        assert store.change_together([])

    @needs("compare_and_set")
    def test_threads_that_count_at_once_lose_nothing(self, store: OnlineStore) -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            for done in [threads.submit(count_up, store, COUNTS) for _ in range(THREADS)]:
                done.result()
        assert store.read_one("counts", b"n") == b"%d" % (COUNTS * THREADS)

    @needs("atomic_batch")
    def test_a_reader_never_sees_half_a_batch(self, store: OnlineStore) -> None:
        seen: list[set[bytes | None]] = []
        finished = threading.Event()

        def read_on() -> None:
            while not finished.is_set():
                seen.append(set(store.read("rows", BATCH_KEYS)))

        with ThreadPoolExecutor(2) as readers:
            reading = [readers.submit(read_on) for _ in range(2)]
            try:
                for number in range(60):
                    store.write("rows", [(key, b"%d" % number) for key in BATCH_KEYS])
            finally:
                finished.set()
            for each in reading:
                each.result()
        assert [values for values in seen if len(values) != 1] == []
