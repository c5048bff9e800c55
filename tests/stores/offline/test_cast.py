"""From how tables store columns to the types that sources declare."""

from datetime import UTC, date, datetime
from decimal import Decimal as D

import numpy as np
import pyarrow as pa
import pytest

from skewless.clock import ALWAYS
from skewless.definitions import Source
from skewless.errors import InputError, MissingColumn, NaiveTime
from skewless.stores.offline.cast import (
    cast_column,
    common_type,
    to_micros_array,
    to_source_columns,
)
from skewless.types import (
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    List,
    Map,
    String,
    Struct,
    Timestamp,
    Vector,
)


def cast(values: object, arrow: pa.DataType | None, dtype: DType, zone: str | None = None) -> list:
    column = cast_column(pa.array(values, arrow), dtype, where="column 'x'", timezone=zone)
    assert column.type == dtype.arrow()
    return column.to_pylist()


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NAIVE = datetime(2026, 1, 31, 12)


@pytest.mark.parametrize(
    ("values", "arrow", "dtype", "expected"),
    [
        ([1, None, 3], pa.int8(), Int64, [1, None, 3]),
        ([1.0, float("nan"), None], pa.float64(), Int64, [1, None, None]),
        ([D("7.00")], pa.decimal128(9, 2), Int32, [7]),
        ([1, None], pa.int32(), Float64, [1.0, None]),
        ([0.1, float("nan")], pa.float64(), Float64, [0.1, None]),
        ([0.1], pa.float64(), Float32, [0.10000000149011612]),
        ([float("inf")], pa.float64(), Float32, [float("inf")]),
        ([D("0.1"), None], pa.decimal128(38, 20), Float64, [0.1, None]),
        ([True, None], pa.bool_(), Bool, [True, None]),
        (["a", None], pa.large_string(), String, ["a", None]),
        (["a", "b", "a"], pa.dictionary(pa.int8(), pa.string()), String, ["a", "b", "a"]),
        ([b"ab"], pa.binary(2), Bytes, [b"ab"]),
        ([date(2026, 1, 31)], pa.date64(), Date, [date(2026, 1, 31)]),
        (["2026-01-31"], pa.string(), Date, [date(2026, 1, 31)]),
        ([5, None], pa.int64(), Decimal(20, 2), [D("5.00"), None]),
        ([None, None], pa.null(), Float64, [None, None]),
        ([[1, 2], None, []], pa.large_list(pa.int32()), List(Int64), [[1, 2], None, []]),
        ([[1.0, float("nan")]], pa.list_(pa.float64()), List(Float64), [[1.0, None]]),
        ([[1, 2], None], pa.list_(pa.float64()), Vector(2), [[1.0, 2.0], None]),
        ([[1, float("nan")], [3, 4]], pa.list_(pa.float64(), 2), Vector(2), [None, [3.0, 4.0]]),
        ([{"a": 1}, None], None, Struct({"a": float, "b": str}), [{"a": 1.0, "b": None}, None]),
        (
            [[("k", 1)], None, []],
            pa.map_(pa.string(), pa.int32()),
            Map(Int64),
            [[("k", 1)], None, []],
        ),
        (['{"b": 1, "a": [ ]}', None], pa.string(), Json, ['{"a":[],"b":1}', None]),
        ([{"b": 1, "a": None}], None, Json, ['{"a":null,"b":1}']),
    ],
)
def test_values_keep_what_they_are(
    values: list, arrow: pa.DataType | None, dtype: DType, expected: list
) -> None:
    assert cast(values, arrow, dtype) == expected


def test_slices_of_nested_columns_are_cast_as_they_are() -> None:
    lists = pa.array([[9], [1, 2], None, [3]], pa.list_(pa.int32())).slice(1)
    vectors = pa.array([[9, 9], [1, 2], None], pa.list_(pa.float32(), 2)).slice(1)
    maps = pa.array([[("z", 1)], [("k", 1)], None], pa.map_(pa.string(), pa.int32())).slice(1)
    assert cast_column(lists, List(Int64), where="x").to_pylist() == [[1, 2], None, [3]]
    assert cast_column(vectors, Vector(2), where="x").to_pylist() == [[1.0, 2.0], None]
    assert cast_column(maps, Map(Int64), where="x").to_pylist() == [[("k", 1)], None]


@pytest.mark.parametrize(
    ("values", "arrow", "dtype", "message"),
    [
        ([1.5], pa.float64(), Int64, "truncated"),
        ([2**40], pa.int64(), Int32, "not in range"),
        ([2**63], pa.uint64(), Int64, "not in range"),
        ([2**60 + 1], pa.int64(), Float64, "not in range"),
        ([1e300], pa.float64(), Float32, "outside the range"),
        ([0.1], pa.float64(), Decimal(9, 2), "no exact decimal"),
        ([D("0.125")], pa.decimal128(9, 3), Decimal(9, 2), "data loss"),
        (["1"], pa.string(), Int64, "no Int64"),
        ([1], pa.int64(), String, "no String"),
        ([1], pa.int64(), Bool, "no Bool"),
        ([1], pa.int64(), Timestamp, "Say its unit"),
        (["soon"], pa.string(), Timestamp, "soon"),
        ([[1, 2, 3]], pa.list_(pa.float32()), Vector(2), "another length"),
        (["{"], pa.string(), Json, "no JSON"),
        ([[1]], pa.list_(pa.int64()), Int64, "no Int64"),
    ],
)
def test_values_that_do_not_fit_are_refused_and_named(
    values: list, arrow: pa.DataType, dtype: DType, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        cast(values, arrow, dtype)
    assert "column 'x'" in str(caught.value)


def test_nan_becomes_null_in_every_chunk_and_slice() -> None:
    nan = float("nan")
    chunked = pa.chunked_array([pa.array([nan, 1.0, 2.0]).slice(1), pa.array([3.0, nan, None])])
    assert cast_column(chunked, Float64, where="x").to_pylist() == [1.0, 2.0, 3.0, None, None]


def test_infinities_are_no_nan() -> None:
    assert cast([float("inf"), float("-inf")], None, Float64) == [float("inf"), float("-inf")]


# ------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_and_zone_become_utc_microseconds(unit: str) -> None:
    assert cast([NOON], pa.timestamp(unit, "Asia/Tokyo"), Timestamp) == [NOON]


def test_nanoseconds_are_cut_downward() -> None:
    column = pa.array([1999, -1, None, 0], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    found = cast_column(column, Timestamp, where="x").cast(pa.int64())
    assert found.to_pylist() == [1, -1, None, 0]


@pytest.mark.parametrize(
    ("value", "arrow"),
    [(NAIVE, pa.timestamp("us")), ("2026-01-31T12:00:00", pa.string()), (date(2026, 1, 31), None)],
)
def test_times_without_a_zone_are_refused_with_the_remedy(
    value: object, arrow: pa.DataType
) -> None:
    with pytest.raises(NaiveTime, match="timezone='UTC'"):
        cast([value], arrow, Timestamp)


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 12), ("Europe/Berlin", 11)])
def test_times_without_a_zone_take_the_declared_one(zone: str, hour: int) -> None:
    expected = [datetime(2026, 1, 31, hour, tzinfo=UTC), None]
    assert cast([NAIVE, None], pa.timestamp("ns"), Timestamp, zone) == expected
    assert cast(["2026-01-31 12:00:00", None], pa.string(), Timestamp, zone) == expected


def test_an_hour_that_occurs_twice_is_not_guessed() -> None:
    with pytest.raises(InputError, match="ambiguous"):
        cast([datetime(2026, 10, 25, 2, 30)], pa.timestamp("us"), Timestamp, "Europe/Berlin")


def test_text_with_offsets_is_a_time() -> None:
    texts = ["2026-01-31T12:00:00Z", "2026-01-31 13:00:00.000000+01:00", None]
    assert cast(texts, pa.string(), Timestamp) == [NOON, NOON, None]


def test_times_come_as_microseconds_with_nulls_before_all_others() -> None:
    column = pa.chunked_array([pa.array([NOON, None]), pa.array([NOON]).slice(0, 0)])
    assert to_micros_array(column).tolist() == [1_769_860_800_000_000, ALWAYS]


def test_times_without_nulls_are_not_copied() -> None:
    column = pa.array(np.arange(5)).cast(pa.timestamp("us", "UTC"))
    found = to_micros_array(column)
    assert found.__array_interface__["data"][0] == column.buffers()[1].address


# ------------------------------------------------------------------------------------------ tables

SOURCE = Source("tests", schema={"fab": str, "vdd": float}, event_time="at")


def test_columns_come_in_the_order_asked_for() -> None:
    table = pa.table({"at": [NOON], "vdd": [1], "fab": ["f1"], "other": [0]})
    found = to_source_columns(table, SOURCE, ["fab", "vdd"])
    assert found.to_pylist() == [{"fab": "f1", "vdd": 1.0}]


def test_a_column_that_the_table_lacks_is_named() -> None:
    with pytest.raises(MissingColumn, match="source 'tests' lacks the column 'vdd'"):
        to_source_columns(pa.table({"vd": [1.0]}), SOURCE, ["vdd"])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (pa.int8(), pa.int32(), pa.int64()),
        (pa.int64(), pa.float32(), pa.float64()),
        (pa.string(), pa.dictionary(pa.int8(), pa.string()), pa.string()),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.timestamp("ms", "UTC"), pa.timestamp("us", "Asia/Tokyo"), pa.timestamp("us", "UTC")),
        (pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("ns")),
        (pa.timestamp("ms"), pa.timestamp("ms", "UTC"), None),
        (pa.decimal128(5, 2), pa.decimal128(5, 4), pa.decimal128(7, 4)),
        (pa.decimal128(38, 0), pa.decimal128(38, 38), None),
        (pa.list_(pa.int32()), pa.large_list(pa.int64()), pa.list_(pa.int64())),
        (pa.null(), pa.string(), pa.string()),
        (pa.string(), pa.int64(), None),
        (pa.bool_(), pa.int64(), None),
    ],
)
def test_types_of_two_files_have_a_common_one_or_none(
    one: pa.DataType, other: pa.DataType, expected: pa.DataType | None
) -> None:
    assert common_type(one, other) == expected
    assert common_type(other, one) == expected
