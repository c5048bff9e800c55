"""The content hash: what a row holds, and nothing of how it is stored."""

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.stores.offline.hashing import column_hash, content_hash


def hashes(values: list[Any], arrow: pa.DataType | None = None) -> list[int]:
    return column_hash(pa.chunked_array([pa.array(values, arrow)])).tolist()


EXAMPLES: list[tuple[list[Any], pa.DataType]] = [
    ([0, 1, -1, 2**40], pa.int64()),
    ([0.0, -0.0, 1.5, float("inf")], pa.float64()),
    (["", "a", "b", "aa", "abcdefgh", "abcdefghi", "abcdefgh\0", "é"], pa.string()),
    ([b"", b"\0", b"\0\0", b"a"], pa.binary()),
    ([True, False], pa.bool_()),
    ([dt.date(2026, 1, 1), dt.date(2026, 1, 2)], pa.date32()),
    ([Decimal("1.5"), Decimal("-1.5"), Decimal("99999999999999999999.5")], pa.decimal128(38, 9)),
    ([[], [0], [1], [0, 0], [1, 0], [0, 1], [None]], pa.list_(pa.int64())),
    ([[1.0, 2.0], [2.0, 1.0]], pa.list_(pa.float32(), 2)),
    ([{"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": 1}], pa.struct({"a": pa.int64(), "b": pa.int64()})),
    ([[("a", 1)], [("a", 2)], [("b", 1)], []], pa.map_(pa.string(), pa.int64())),
]


@pytest.mark.parametrize(("values", "arrow"), EXAMPLES, ids=lambda x: str(x)[:20])
def test_different_values_have_different_hashes_and_null_its_own(
    values: list[Any], arrow: pa.DataType
) -> None:
    found = hashes([*values, None], arrow)
    assert len(set(found)) == len(values) + 1
    assert found[-1] == 0


@pytest.mark.parametrize(("values", "arrow"), EXAMPLES, ids=lambda x: str(x)[:20])
def test_hashes_do_not_depend_on_chunks_or_slices(values: list[Any], arrow: pa.DataType) -> None:
    whole = pa.array([None, *values, None, *values], arrow)
    expected = column_hash(pa.chunked_array([whole])).tolist()
    pieces = pa.chunked_array([whole.slice(0, 2), whole.slice(2, 0), whole.slice(2)])
    assert column_hash(pieces).tolist() == expected
    assert column_hash(pa.chunked_array([whole.slice(1, 2)])).tolist() == expected[1:3]


def test_hashes_do_not_depend_on_encoding_and_width() -> None:
    texts = ["a", None, "bb", "a"]
    plain = hashes(texts, pa.string())
    assert hashes(texts, pa.large_string()) == plain
    assert hashes(texts, pa.dictionary(pa.int8(), pa.string())) == plain
    assert hashes([1, None, -5], pa.int32()) == hashes([1, None, -5], pa.int64())
    assert hashes([1.5, None], pa.float32()) == hashes([1.5, None], pa.float64())


def test_hashes_are_the_same_tomorrow() -> None:
    table = pa.table({"n": [1, None], "s": ["wafer", ""], "f": [0.5, -0.0]})
    assert content_hash(table).tolist() == [1338228595975294716, 6305523907271673123]


def test_a_column_of_nulls_changes_no_hash_nor_does_the_order_of_columns() -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    grown = table.append_column("c", pa.nulls(2, pa.float64())).select(["c", "b", "a"])
    assert content_hash(grown).tolist() == content_hash(table).tolist()


def test_a_value_counts_for_its_column() -> None:
    one, other = pa.table({"a": [1], "b": [2]}), pa.table({"a": [2], "b": [1]})
    assert content_hash(one) != content_hash(other)


def test_an_empty_column_has_no_hashes() -> None:
    assert hashes([], pa.string()) == []
    assert column_hash(pa.chunked_array([], pa.string())).tolist() == []


def test_many_values_have_many_hashes_that_spread() -> None:
    found = column_hash(pa.chunked_array([pa.array(np.arange(200_000))]))
    assert len(np.unique(found)) == 200_000
    high = np.bincount((found >> np.uint64(60)).astype(np.int64), minlength=16)
    assert abs(high / 12_500 - 1).max() < 0.05


@given(st.lists(st.one_of(st.none(), st.text(max_size=40)), max_size=30))
def test_equal_texts_have_equal_hashes_and_others_do_not(texts: list[str | None]) -> None:
    found = hashes(texts, pa.string())
    assert len(set(found)) == len(set(texts))
    for text, number in zip(texts, found, strict=True):
        assert hashes([text], pa.string()) == [number]
