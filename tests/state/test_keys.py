"""Join keys as bytes: what goes in comes out, rows and columns agree, no two keys are one."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skewless as sl
from skewless.errors import InputError, MissingColumn
from skewless.state.keys import KeyCodec

WHOLE = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    str: st.text(st.characters(exclude_categories=["Cs"])),
    int: WHOLE,
    sl.Int32: st.integers(-(2**31), 2**31 - 1),
    bytes: st.binary(),
    bool: st.booleans(),
    date: st.dates(),
    datetime: st.datetimes(timezones=st.just(UTC)),
}
ENTITIES = [
    *(sl.Entity("one", key=kind) for kind in VALUES),
    sl.Entity("two", first=str, second=str),
    sl.Entity("three", number=int, name=bytes, day=date),
]


def keys_of(entity):
    return st.fixed_dictionaries({name: values_of(dtype) for name, dtype in entity.join_keys})


def values_of(dtype):
    kinds = {"str": str, "int64": int, "int32": sl.Int32, "bytes": bytes, "bool": bool,
             "date": date, "timestamp": datetime}  # fmt: skip
    return VALUES[kinds[dtype.kind]]


CASES = st.sampled_from(ENTITIES).flatmap(
    lambda entity: st.tuples(st.just(entity), st.lists(keys_of(entity), min_size=1, max_size=8))
)


@given(CASES)
def test_what_goes_in_comes_out(case):
    entity, rows = case
    codec = KeyCodec(entity)
    assert [codec.decode(codec.encode(row)) for row in rows] == rows


@given(CASES)
def test_two_keys_are_the_same_bytes_only_if_they_are_the_same_key(case):
    entity, rows = case
    codec = KeyCodec(entity)
    distinct = {tuple(sorted(row.items())) for row in rows}
    assert len({codec.encode(row) for row in rows}) == len(distinct)


@given(CASES)
def test_columns_give_the_bytes_that_rows_give(case):
    entity, rows = case
    codec = KeyCodec(entity)
    columns = [
        pa.array([row[name] for row in rows], dtype.arrow()) for name, dtype in entity.join_keys
    ]
    assert codec.encode_columns(columns, len(rows)) == [codec.encode(row) for row in rows]


@given(st.lists(WHOLE, min_size=2, max_size=9))
def test_whole_numbers_sort_as_numbers(numbers):
    codec = KeyCodec(sl.Entity("one", key=int))
    found = sorted(codec.encode({"key": number}) for number in numbers)
    assert [codec.decode(key)["key"] for key in found] == sorted(numbers)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
def test_a_number_beyond_64_bits_is_refused(number):
    with pytest.raises(InputError, match=r"join key 'key'"):
        KeyCodec(sl.Entity("one", key=int)).encode({"key": number})


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("value", [None, object(), float("nan"), []])
def test_what_is_no_key_is_refused_by_name(kind, value):
    with pytest.raises(InputError, match=r"join key 'key'"):
        KeyCodec(sl.Entity("one", key=kind)).encode({"key": value})


def test_a_missing_key_is_named():
    with pytest.raises(MissingColumn, match="second"):
        KeyCodec(ENTITIES[-2]).encode({"first": "a"})


@given(st.lists(st.sampled_from(["a", "b", "é", "", None, 1, b"x"]), max_size=12))
def test_keys_of_many_rows_are_those_of_each(values):
    codec = KeyCodec(sl.Entity("card", card_id=str))
    rows = [{"card_id": value} for value in values]

    def each():
        return [codec.encode(row) for row in rows]

    def told(call):
        try:
            return call()
        except InputError as problem:
            return type(problem), str(problem)

    assert told(lambda: codec.encode_all(rows)) == told(each)
