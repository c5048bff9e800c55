"""Laws of scans: every row once, in the order of keys, from wherever one starts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skewless.stores.online.base import OnlineStore
from skewless.testing._store_rows import LONG_KEYS, few_examples

KEYS = st.binary(max_size=3) | st.builds(lambda ending: b"k" * 510 + ending, st.binary(max_size=2))


class ScanLaws:
    """Order, prefixes and paging."""

    @few_examples
    @given(
        keys=st.sets(KEYS, max_size=12),
        prefix=st.binary(max_size=1) | st.just(b"k" * 509),
        after=st.none() | KEYS,
        limit=st.none() | st.integers(0, 5),
    )
    def test_a_scan_is_a_slice_of_the_sorted_rows(
        self,
        store: OnlineStore,
        keys: set[bytes],
        prefix: bytes,
        after: bytes | None,
        limit: int | None,
    ) -> None:
        store.drop("rows")
        store.write("rows", [(key, key + b"!") for key in keys])
        wanted = [
            (key, key + b"!")
            for key in sorted(keys)
            if key.startswith(prefix) and (after is None or key > after)
        ]
        found = list(store.scan("rows", prefix=prefix, after=after, limit=limit))
        assert found == wanted[:limit]

    def test_pages_put_together_are_the_whole(self, store: OnlineStore) -> None:
        rows = [(b"key %05d" % number, b"%d" % number) for number in range(2_500)]
        store.write("rows", reversed(rows))
        assert list(store.scan("rows")) == rows
        pages, after = [], None
        while page := list(store.scan("rows", prefix=b"key 0", after=after, limit=700)):
            pages.append(len(page))
            assert page == rows[sum(pages[:-1]) :][: len(page)]
            after = page[-1][0]
        assert pages == [700, 700, 700, 400]

    def test_long_keys_come_in_their_order(self, store: OnlineStore) -> None:
        store.write("rows", [(key, b"") for key in LONG_KEYS])
        assert [key for key, _ in store.scan("rows")] == sorted(LONG_KEYS)
        assert [key for key, _ in store.scan("rows", after=b"k" * 510)] == [
            key for key in sorted(LONG_KEYS) if key > b"k" * 510
        ]

    def test_a_prefix_is_taken_literally(self, store: OnlineStore) -> None:
        keys = [
            b"*",
            b"*a",
            b"?",
            b"[a]",
            b"[a]b",
            b"\\",
            b"\\*",
            b"a",
            b"\xff",
            b"\xff\xff",
            b"{}",
        ]
        store.write("rows", [(key, b"") for key in keys])
        for prefix in [*keys, b"["]:
            found = [key for key, _ in store.scan("rows", prefix=prefix)]
            assert found == sorted(key for key in keys if key.startswith(prefix))

    def test_rows_may_change_under_a_scan(self, store: OnlineStore) -> None:
        store.write("rows", [(b"%05d" % number, b"x") for number in range(2_500)])
        scanned = store.scan("rows")
        seen = [next(scanned)[0]]
        store.delete("rows", [b"%05d" % number for number in range(1, 2_500, 2)])
        store.write("rows", [(b"a late one", b"x")])
        seen += [key for key, _ in scanned]
        assert seen == sorted(set(seen))
        assert {b"%05d" % number for number in range(0, 2_500, 2)} <= set(seen)
