"""Seals: damage of any kind is noticed, whichever implementation made the seal."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.errors import CorruptData
from skewless.stores.online.base import OnlineStore
from skewless.stores.online.lmdb.store import LMDBStore
from skewless.stores.online.sealed import SealedStore, sealed
from skewless.stores.online.sealing import ALL_THERE, SOME_MISSING, ByZlib, seed_of
from skewless.stores.online.sqlite.store import SQLiteStore
from skewless.testing.memory import MemoryStore
from skewless.testing.online_store import OnlineStoreSuite

compiled = pytest.importorskip("skewless.stores.online._sealing")
values = st.binary(max_size=80) | st.integers(0, 2_000).flatmap(
    lambda size: st.integers(0, 255).map(lambda byte: bytes([byte]) * size)
)
BOTH = pytest.mark.parametrize("made", [ByZlib, compiled])


@given(st.binary(max_size=1_000), st.integers(0, 2**32 - 1))
def test_the_compiled_checksum_is_that_of_zlib(data: bytes, start: int) -> None:
    assert compiled.crc32(start, data) == zlib.crc32(data, start)


@pytest.mark.parametrize("size", [*range(300), 511, 512, 513, 4_095, 40_001])
def test_the_compiled_checksum_is_that_of_zlib_at_every_length(size: int) -> None:
    data = bytes((7 * at + at // 256) % 256 for at in range(size))
    assert compiled.crc32(3, data) == zlib.crc32(data, 3)


@given(st.text(min_size=1, max_size=20), st.binary(max_size=600), values)
def test_both_make_the_same_seal_and_take_it_off(table: str, key: bytes, value: bytes) -> None:
    seed = seed_of(table)
    whole = ByZlib.seal(seed, key, value)
    assert compiled.seal(seed, key, value) == whole
    assert ByZlib.open_one(seed, key, whole) == compiled.open_one(seed, key, whole) == value


@BOTH
@given(value=values, data=st.data())
def test_one_flipped_bit_anywhere_is_damage(
    made: type[ByZlib], value: bytes, data: st.DataObject
) -> None:
    seed, key = seed_of("rows"), b"key"
    whole = bytearray(made.seal(seed, key, value))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    assert made.open_one(seed, key, bytes(whole)) is None


@BOTH
@given(value=values, data=st.data())
def test_a_value_that_was_cut_or_grew_is_damage(
    made: type[ByZlib], value: bytes, data: st.DataObject
) -> None:
    whole = made.seal(1, b"key", value)
    kept = data.draw(st.integers(0, len(whole) - 1))
    cut = made.open_one(1, b"key", whole[:kept])
    assert cut is None or ByZlib.seal(1, b"key", cut) == whole[:kept]
    assert made.open_one(1, b"key", whole + b"more") is None


@BOTH
def test_a_value_of_another_key_or_table_is_damage(made: type[ByZlib]) -> None:
    whole = made.seal(seed_of("rows"), b"a", b"value")
    assert made.open_one(seed_of("rows"), b"b", whole) is None
    assert made.open_one(seed_of("other"), b"a", whole) is None
    assert made.open_one(seed_of("row"), b"sa", whole) is None


@BOTH
def test_all_of_a_list_lose_their_seals_and_the_first_damaged_is_named(made: type[ByZlib]) -> None:
    keys = [b"a", b"b", b"c"]
    whole = [made.seal(1, key, key * 5) for key in keys]
    given = [whole[0], None, whole[2]]
    assert made.open_all(1, keys, given) == SOME_MISSING
    assert given == [b"aaaaa", None, b"ccccc"]
    given = list(whole)
    assert made.open_all(1, keys, given) == ALL_THERE
    assert given == [b"aaaaa", b"bbbbb", b"ccccc"]
    given = [whole[0], whole[2], whole[1]]
    assert made.open_all(1, keys, given) == 1
    assert given == [b"aaaaa", whole[2], whole[1]]  # to be looked at: it may be a head


@BOTH
def test_bytes_that_somebody_else_holds_stay_as_they_are(made: type[ByZlib]) -> None:
    whole = made.seal(1, b"a", b"value")
    before = bytes(bytearray(whole))
    twice = [whole, whole]
    assert made.open_all(1, [b"a", b"a"], twice) == ALL_THERE
    assert (twice, whole) == ([b"value", b"value"], before)


@BOTH
def test_a_value_whose_seal_was_taken_off_is_equal_and_hashes_like_another(
    made: type[ByZlib],
) -> None:
    given = [made.seal(1, b"a", b"some value")]
    hash(given[0])
    assert made.open_all(1, [b"a"], given) == ALL_THERE
    assert {given[0]: 1}[b"some value"] == 1
    assert (len(given[0]), given[0] + b"!") == (10, b"some value!")


def test_what_is_not_bytes_is_refused() -> None:
    with pytest.raises(TypeError, match="expected bytes, got str"):
        compiled.seal(1, "key", b"value")
    with pytest.raises(TypeError, match="expected bytes, got int"):
        compiled.open_all(1, [b"a"], [1])
    with pytest.raises(ValueError, match="keys: expected 2"):
        compiled.open_all(1, [b"a"], [b"", b""])


def test_a_damaged_value_is_never_handed_out() -> None:
    inner = MemoryStore()
    store = sealed(inner)
    store.write("rows", [(b"a", b"1"), (b"b", b"2")])
    inner.write("rows", [(b"b", b"2 and no seal")])
    given: list[bytes] = []
    with pytest.raises(CorruptData, match="key b'b' of table 'rows'"):
        store.read_each("rows", [b"a", b"b"], lambda _, value: given.append(value))
    assert given == [b"1"]


class TestSealedMemoryStore(OnlineStoreSuite):
    @pytest.fixture
    def open_store(self) -> Callable[[], OnlineStore]:
        return lambda: sealed(MemoryStore())


class TestSealedLMDBStore(OnlineStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], OnlineStore]:
        return functools.partial(_open, LMDBStore, tmp_path / "online")


def _open(kind: type[LMDBStore] | type[SQLiteStore], path: Path) -> OnlineStore:
    return sealed(kind(path))


StoreView = tuple[OnlineStore, SealedStore]


@pytest.fixture(params=[LMDBStore, SQLiteStore])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreView]:
    """Give a store and the sealed one over it."""
    with request.param(tmp_path / "online") as inner:
        yield inner, sealed(inner)


def flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 0x10]) + value[1:]


def test_a_damaged_value_is_an_error_in_every_way_of_reading(both: StoreView) -> None:
    inner, store = both
    store.write("rows", [(b"a", b"1"), (b"b", b"2")])
    inner.write("rows", [(b"b", flipped(inner.read_one("rows", b"b") or b""))])
    assert store.read_one("rows", b"a") == b"1"
    reads: list[Callable[[], object]] = [
        lambda: store.read("rows", [b"a", b"b"]),
        lambda: store.read_one("rows", b"b"),
        lambda: list(store.scan("rows")),
        lambda: store.read("rows", [b"b0"]),
    ]
    for read in reads:
        with pytest.raises(CorruptData, match=r"damaged.* key b'b' of table 'rows'.*online"):
            read()
    with pytest.raises(CorruptData, match="key b'b'"), store.transaction() as rows:
        rows.read("rows", [b"b"])
    assert [str(damage) for damage in store.damages()] == [
        f"the row of key b'b' in table 'rows' ({store.where})"
    ]


def test_a_row_whose_key_was_damaged_is_not_said_to_be_missing(both: StoreView) -> None:
    inner, store = both
    store.write("rows", [(key, key * 3) for key in (b"a", b"c", b"e")])
    moved = inner.read_one("rows", b"c") or b""
    inner.delete("rows", [b"c"])
    inner.write("rows", [(b"d", moved)])
    with pytest.raises(CorruptData, match="key b'd'"):
        store.read_one("rows", b"c")
    with pytest.raises(CorruptData, match="key b'd'"), store.transaction() as rows:
        rows.read("rows", [b"c"])


def test_damage_at_the_edge_of_another_table_holds_up_nothing(both: StoreView) -> None:
    inner, store = both
    for table in ("a", "b", "c"):
        store.write(table, [(b"k", b"1")])
    for table in ("a", "c"):
        inner.write(table, [(b"k", flipped(inner.read_one(table, b"k") or b""))])
    assert store.read("b", [b"a", b"k", b"z"]) == [None, b"1", None]


def test_a_row_that_was_moved_to_another_table_is_not_said_to_be_missing(both: StoreView) -> None:
    inner, store = both
    for table in ("a", "b"):
        store.write(table, [(b"k", b"1")])
    moved = inner.read_one("a", b"k") or b""
    inner.delete("a", [b"k"])
    inner.write("b", [(b"k", moved)])
    with pytest.raises(CorruptData, match="key b'k' of table 'b'"):
        store.read_one("a", b"k")


def test_rows_that_are_missing_are_missing_beside_other_tables(both: StoreView) -> None:
    _, store = both
    store.write("b", [(b"k", b"1")])
    assert store.read_one("b", b"a") is store.read_one("b", b"z") is None
    for table in ("a", "c"):
        store.write(table, [(b"k", b"1"), (b"x" * 600, b"2")])
    assert store.read("b", [b"a", b"k", b"z", b"x" * 600]) == [None, b"1", None, None]
    store.drop("a")
    assert store.read("b", [b"a", b"z"]) == [None, None]
    assert list(store.damages()) == []


def test_compare_and_set_compares_values_and_not_seals(both: StoreView) -> None:
    _, store = both
    store.write("rows", [(b"a", b"1")])
    changes = [(b"a", b"1", b"2"), (b"a", b"1", b"3"), (b"b", None, b"4")]
    assert store.compare_and_set("rows", changes) == [True, False, True]
    assert store.read("rows", [b"a", b"b"]) == [b"2", b"4"]


def test_a_store_is_sealed_once(both: StoreView) -> None:
    inner, store = both
    assert sealed(store) is store
    assert store.inner is inner
