"""The door for rows in memory: what comes in stays what it is, or is refused with its row."""

import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skewless.errors import InputError, NaiveTime, SkewlessError
from skewless.stores.offline.as_table import as_table

AWARE = datetime(2026, 1, 2, 3, tzinfo=UTC)
NAIVE = datetime(2026, 1, 2, 3)
BERLIN = datetime(2026, 1, 2, 4, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize("times", [[NAIVE, AWARE], [AWARE, NAIVE], [None, AWARE, NAIVE]])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["dicts", "columns", "pandas", "category"])
def test_naive_times_beside_aware_ones_are_refused_with_the_row(times, nested, kind):
    values = [[t] if nested else t for t in times]
    if kind == "category" and (nested or None in times):
        pytest.skip("categories are neither lists nor null")
    series = pd.Series(values, dtype=object)
    rows: object = {"t": values}
    if kind == "dicts":
        rows = [{"t": value} for value in values]
    elif kind == "pandas":
        rows = pd.DataFrame({"t": series})
    elif kind == "category":
        rows = pd.DataFrame({"t": pd.Categorical(series, categories=series)})
    with pytest.raises(NaiveTime, match="'t'") as caught:
        as_table(rows, where="the spine")
    if kind != "category":
        assert f"row {times.index(NAIVE) if times[0] != NAIVE else 0}" in str(caught.value)


def test_times_of_several_zones_are_the_same_moments_in_utc():
    (column,) = as_table([{"t": AWARE}, {"t": BERLIN}, {"t": None}]).columns
    assert column.to_pylist() == [AWARE, AWARE, None]
    assert column.type == pa.timestamp("us", "UTC")


def test_nanoseconds_of_pandas_are_cut_and_its_missing_values_are_null():
    stamps = [pd.Timestamp("2026-01-02T03:00:00.123456789Z"), pd.NaT]
    (column,) = as_table({"t": stamps}).columns
    assert column.to_pylist() == [AWARE.replace(microsecond=123456), None]
    frame = pd.DataFrame({"n": pd.array([1, None], "Int64"), "x": [float("nan"), 1.0]})
    assert as_table(frame).to_pydict() == {"n": [1, None], "x": [None, 1.0]}
    assert as_table({"s": ["a", float("nan"), pd.NA]}).to_pydict() == {"s": ["a", None, None]}


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([date(2026, 1, 1), AWARE], 1),
        ([AWARE, date(2026, 1, 1)], 1),
        ([date(2026, 1, 1), NAIVE], 1),
        ([1.0, True], 1),
        ([None, "a", b"a"], 2),
        ([1, "a"], 1),
        ([1, [1]], 1),
        ([[1.0], None, [2.0, True]], 2),
        ([{"a": 1}, {"a": "x"}], 1),
        ([np.datetime64("2026-01-01"), AWARE], 1),
        ([{"a": [{"b": NAIVE}]}, {"a": [{"b": AWARE}]}], 0),
    ],
)
def test_a_column_of_several_kinds_is_refused_with_the_row(values, row):
    for rows in ({"x": values}, pd.DataFrame({"x": pd.Series(values, dtype=object)})):
        with pytest.raises(InputError, match=f"'x' of the rows, row {row}"):
            as_table(rows)


@pytest.mark.parametrize(
    "value",
    [object(), 1 + 2j, 2**70, "\ud800", Decimal("1E+80"), {1: 2}, range(3)],
)
def test_what_arrow_has_no_type_for_is_refused_and_the_column_named(value):
    for rows in (
        [{"x": value}],
        {"x": [value]},
        pd.DataFrame({"x": pd.Series([value], dtype=object)}),
    ):
        with pytest.raises(InputError, match="column 'x'"):
            as_table(rows)


def test_a_list_that_holds_itself_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(InputError, match="column 'x'"):
        as_table({"x": [loop]})


def test_objects_of_polars_are_refused_and_not_taken_for_addresses():
    with pytest.raises(InputError, match="Python objects"):
        as_table(pl.DataFrame({"x": [object()]}))


def test_lazy_frames_are_collected_and_those_that_fail_say_so():
    assert as_table(pl.LazyFrame({"x": [1]})).to_pydict() == {"x": [1]}
    with pytest.raises(InputError, match="a lazy frame"):
        as_table(pl.LazyFrame({"x": [1]}).select("y"))


@pytest.mark.parametrize("kind", [pa.Table, pd.DataFrame])
def test_a_column_that_is_there_twice_is_refused(kind):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    rows = table if kind is pa.Table else pd.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(InputError, match="'x' is there twice"):
        as_table(rows)


def test_categories_of_anything_are_their_values():
    frame = pd.DataFrame({"x": pd.Categorical(["b", None, "a"]), "n": pd.Categorical([2, 1, 2])})
    assert as_table(frame).to_pydict() == {"x": ["b", None, "a"], "n": [2, 1, 2]}


def test_numbers_beyond_int64_are_kept_as_unsigned_ones():
    assert as_table({"hash": [2**64 - 1, 0]}).schema.field("hash").type == pa.uint64()


def test_sparse_uuid_and_numpy_columns_come_in():
    frame = pd.DataFrame({"x": pd.arrays.SparseArray([0.0, 1.5])})
    assert as_table(frame).to_pydict() == {"x": [0.0, 1.5]}
    assert as_table({"id": [uuid.UUID(int=1)]}).num_rows == 1
    assert as_table({"x": np.array([1, 2], np.uint64)}).to_pydict() == {"x": [1, 2]}


@pytest.mark.parametrize(
    "rows", [5, None, b"x", [5], [[1]], {"x": 1}, {"x": [1], "y": [1, 2]}, {1: [2]}, pd.Series([1])]
)
def test_what_is_no_table_is_refused(rows):
    with pytest.raises(SkewlessError):
        as_table(rows)


def test_mappings_with_different_keys_are_refused_as_one_would_get_those_of_the_others():
    for rows in ({"x": [{"a": 1}, {"b": 2}]}, [{"x": [{}]}, {"x": [{"a": None}]}]):
        with pytest.raises(InputError, match="'x' of the rows, row 1"):
            as_table(rows)


def test_floats_of_numpy_beside_whole_numbers_stay_floats():
    assert as_table({"x": [0, np.float16(1.5), np.int8(2)]}).to_pydict() == {"x": [0.0, 1.5, 2.0]}


@pytest.mark.parametrize("value", [{1, 2}, frozenset("ab")])
def test_a_set_is_refused_as_it_has_no_order(value):
    with pytest.raises(InputError, match="a set has no order"):
        as_table({"x": [value]})
