"""Laws of rows: what goes in comes out, under the right key of the right table."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.errors import InputError, StoreError
from skewless.stores.online.base import OnlineStore

KEYS = st.binary(max_size=4) | st.binary(min_size=505, max_size=515)
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(st.tuples(KEYS, st.binary(max_size=50)), max_size=5)),
        st.tuples(st.just("delete"), st.lists(KEYS, max_size=5)),
    ),
    max_size=8,
)
# A store is emptied at the start of an example, and every store runs the suite.
few_examples = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
ODD_NAMES = ["a", "ab", "a:b", "a b", "ä{b}", "a*", "a%3Ab", "A", "rows", "a" * 255]
LONG_KEYS = [b"k" * length for length in (476, 477, 478, 507, 508, 509, 510, 511, 512, 5000)]
LONG_KEYS += [b"k" * 600 + ending for ending in (b"", b"\0", b"a", b"b")]


class RowLaws:
    """Reading, writing, deleting and dropping.

    Attributes:
        many: rows of a table that is dropped: more than are dropped at a time.
    """

    many: int = 12_000

    @few_examples
    @given(calls=CALLS)
    def test_any_calls_leave_what_a_dict_would_hold(
        self, store: OnlineStore, calls: list[Any]
    ) -> None:
        store.drop("rows")
        expected: dict[bytes, bytes] = {}
        for verb, arguments in calls:
            if verb == "write":
                store.write("rows", arguments)
                expected.update(arguments)
            else:
                store.delete("rows", arguments)
                for key in arguments:
                    expected.pop(key, None)
        assert list(store.scan("rows")) == sorted(expected.items())
        assert store.read("rows", [*expected]) == [*expected.values()]

    def test_values_are_handed_out_one_after_another_with_their_places(
        self, store: OnlineStore
    ) -> None:
        store.write("rows", [(b"a", b"1"), (b"b", b"2"), (b"k" * 600, b"3")])
        keys = [b"b", b"none", b"a", b"k" * 600, b"b"]
        found = store.read_each("rows", keys, lambda at, value: (at, value))
        assert found == [(0, b"2"), None, (2, b"1"), (3, b"3"), (4, b"2")]
        assert store.read_each("no_such_table", [b"a"], lambda _, value: value) == [None]
        assert store.read_each("rows", [], lambda _, value: value) == []

    def test_every_byte_may_be_in_keys_and_values(self, store: OnlineStore) -> None:
        every = bytes(range(256))
        rows = [(bytes([byte]), bytes([byte]) + every) for byte in every] + [(every, every)]
        store.write("rows", rows)
        assert store.read("rows", [key for key, _ in rows]) == [value for _, value in rows]

    def test_the_empty_key_is_a_key(self, store: OnlineStore) -> None:
        store.write("rows", [(b"", b"of the empty key")])
        assert store.read("rows", [b"", b"\0"]) == [b"of the empty key", None]
        assert store.read_one("rows", b"") == b"of the empty key"
        store.delete("rows", [b""])
        assert store.read_one("rows", b"") is None

    def test_an_empty_value_is_not_a_missing_row(self, store: OnlineStore) -> None:
        store.write("rows", [(b"f1", b"")])
        assert store.read("rows", [b"f1", b"f2"]) == [b"", None]

    def test_long_keys_are_told_apart(self, store: OnlineStore) -> None:
        rows = [(key, b"%d" % number) for number, key in enumerate(LONG_KEYS)]
        store.write("rows", rows)
        assert store.read("rows", LONG_KEYS) == [value for _, value in rows]
        assert [store.read_one("rows", key) for key in LONG_KEYS] == [value for _, value in rows]
        store.delete("rows", LONG_KEYS[::2])
        assert store.read("rows", LONG_KEYS[::2]) == [None] * len(LONG_KEYS[::2])
        assert store.read("rows", LONG_KEYS[1::2]) == [value for _, value in rows[1::2]]

    def test_values_of_megabytes_come_back(self, store: OnlineStore) -> None:
        value = bytes(range(256)) * 4 * 8192
        store.write("rows", [(b"large", value), (b"small", b"x")])
        assert store.read("rows", [b"small", b"large"]) == [b"x", value]

    def test_read_answers_in_the_order_of_its_keys_and_repeats(self, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1"), (b"b", b"2")])
        asked = [b"b", b"x", b"a", b"b", b"a", b"x"]
        assert store.read("rows", asked) == [b"2", None, b"1", b"2", b"1", None]

    def test_reads_of_an_event_loop_answer_as_others_do(self, store: OnlineStore) -> None:
        store.write("rows", [(b"%d" % number, b"value %d" % number) for number in range(20)])
        asked = [[b"%d" % number, b"none", b"%d" % (number + 1)] for number in range(20)]

        async def read_all() -> list[list[bytes | None]]:
            return await asyncio.gather(*(store.read_async("rows", keys) for keys in asked))

        assert asyncio.run(read_all()) == [store.read("rows", keys) for keys in asked]

    def test_one_read_may_ask_for_thousands_of_keys(self, store: OnlineStore) -> None:
        keys = [b"%d" % number for number in range(3_000)]
        store.write("rows", [(key, key * 2) for key in keys[::2]])
        expected = [key * 2 if number % 2 == 0 else None for number, key in enumerate(keys)]
        assert store.read("rows", keys) == expected

    def test_a_table_that_does_not_exist_has_no_rows(self, store: OnlineStore) -> None:
        assert store.read("rows", [b"a", b"b"]) == [None, None]
        assert store.read_one("rows", b"a") is None
        assert store.read("rows", []) == []
        store.delete("rows", [b"a"])
        assert store.tables() == []

    def test_of_two_items_with_one_key_the_later_counts(self, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", b"0")])
        assert store.read("rows", [b"a", b"b"]) == [b"2", b"0"]

    def test_items_and_keys_may_come_from_a_generator(self, store: OnlineStore) -> None:
        store.write("rows", ((b"%d" % number, b"x") for number in range(5)))
        store.delete("rows", (b"%d" % number for number in range(3)))
        assert list(store.scan("rows")) == [(b"3", b"x"), (b"4", b"x")]

    def test_writing_nothing_makes_no_table(self, store: OnlineStore) -> None:
        store.write("rows", [])
        assert store.tables() == []

    def test_tables_do_not_see_each_other_whatever_their_names(self, store: OnlineStore) -> None:
        for name in ODD_NAMES:
            store.write(name, [(b"", name.encode()), (b"b", b"x"), (b":b", b"y")])
        assert store.tables() == sorted(ODD_NAMES)
        for name in ODD_NAMES:
            assert list(store.scan(name)) == [(b"", name.encode()), (b":b", b"y"), (b"b", b"x")]
        store.drop("a")
        assert store.tables() == sorted(ODD_NAMES[1:])
        assert store.read_one("a:b", b"") == b"a:b"

    @pytest.mark.parametrize("name", ["", "a" * 256, "ä" * 128, "a\0b"])
    def test_a_name_that_no_table_can_have_is_refused(self, store: OnlineStore, name: str) -> None:
        with pytest.raises(InputError, match="cannot have this name"):
            store.write(name, [(b"a", b"1")])

    def test_a_dropped_table_is_gone_and_may_come_again(self, store: OnlineStore) -> None:
        store.write("rows", [(b"%d" % number, b"old") for number in range(self.many)])
        store.write("kept", [(b"1", b"kept")])
        store.drop("rows")
        assert store.tables() == ["kept"]
        assert list(store.scan("rows")) == []
        store.write("rows", [(b"1", b"new")])
        assert store.read("rows", [b"1", b"2"]) == [b"new", None]
        assert store.read_one("kept", b"1") == b"kept"
        store.drop("never there")

    def test_a_closed_store_says_so(self, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1")])
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.read_one("rows", b"a")
        with pytest.raises(StoreError, match="closed"):
            store.read("rows", [b"a"])
        with pytest.raises(StoreError, match="closed"):
            store.write("rows", [(b"a", b"1")])

    def test_flush_and_warm_change_no_row(self, store: OnlineStore) -> None:
        store.write("rows", [(b"a", b"1")])
        store.flush()
        store.warm()
        assert store.read_one("rows", b"a") == b"1"
