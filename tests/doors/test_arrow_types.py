"""Columns of every Arrow type under every declared type: refused, or what was given."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import from_micros, to_micros
from skewless.errors import InputError, SkewlessError
from skewless.stores.offline.cast import cast_column
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.types import DType, python_values
from tests.doors.odd import DTYPES, says, told

INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9) | st.sampled_from([2**53 + 1, 2**31])
TEXT = st.sampled_from(
    ["", "a", "1", "1.5", "true", "2026-01-02", "2026-01-02T03:04:05Z", "{}", "[1]"]
)
WIDE = Context(prec=100)
_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}


def ints(arrow: pa.DataType) -> st.SearchStrategy[Any]:
    bounds = np.iinfo(arrow.to_pandas_dtype())
    return st.integers(int(bounds.min), int(bounds.max)) | st.integers(0, 9)


def moments(
    unit: str, zone: str | None
) -> tuple[st.SearchStrategy[Any], Callable[[list], pa.Array]]:
    """Times of every size, also far beyond Python's years."""
    near = st.integers(-(10**9), 10**9).map(lambda n: n * {"s": 1}.get(unit, 1_000))
    return INT64 | near, lambda v: pa.array(v, pa.int64()).cast(pa.timestamp(unit, zone))


def of(arrow: pa.DataType) -> Callable[[list], pa.Array]:
    return lambda values: pa.array(values, arrow)


def decimals(arrow: pa.DataType) -> tuple[st.SearchStrategy[Any], Callable[[list], pa.Array]]:
    most = 10**arrow.precision - 1
    numbers = st.integers(-most, most).map(lambda n: Decimal(n).scaleb(-arrow.scale, WIDE))
    return numbers, of(arrow)


FLOATS = st.floats() | st.sampled_from([1.0, 2.5, -0.0, 1e300])
COLUMNS: dict[str, tuple[st.SearchStrategy[Any], Callable[[list], pa.Array]]] = {
    **{str(t): (ints(t), of(t)) for t in (pa.int8(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64())},
    "float": (st.floats(width=32), of(pa.float32())),
    "halffloat": (st.floats(width=16), lambda v: pa.array(v, pa.float32()).cast(pa.float16())),
    "double": (FLOATS, of(pa.float64())),
    "bool": (st.booleans(), of(pa.bool_())),
    "null": (st.none(), of(pa.null())),
    **{str(t): (TEXT, of(t)) for t in (pa.string(), pa.large_string(), pa.string_view())},
    **{str(t): (st.binary(max_size=3), of(t)) for t in (pa.binary(), pa.large_binary(), pa.binary_view())},
    "fixed": (st.binary(min_size=2, max_size=2), of(pa.binary(2))),
    "date32": (ints(pa.int32()), lambda v: pa.array(v, pa.int32()).cast(pa.date32())),
    "date64": (st.integers(-3000000, 3000000), lambda v: pa.array(v, pa.int32()).cast(pa.date32()).cast(pa.date64())),
    **{f"{u} {z}": moments(u, z) for u in ("s", "ms", "us", "ns") for z in (None, "UTC", "Asia/Kolkata")},
    "time": (st.integers(0, 86399), lambda v: pa.array(v, pa.int32()).cast(pa.time32("s"))),
    "duration": (INT64, lambda v: pa.array(v, pa.int64()).cast(pa.duration("us"))),
    **{str(t): decimals(t) for t in (pa.decimal32(5, 2), pa.decimal64(18, 0), pa.decimal128(38, 9),
                                     pa.decimal128(5, -2), pa.decimal256(60, 3))},
    **{str(t): (st.lists(st.integers(-9, 9) | st.none(), max_size=3), of(t))
       for t in (pa.list_(pa.int64()), pa.large_list(pa.int8()), pa.list_view(pa.int64()),
                 pa.large_list_view(pa.int32()))},
    "vectors": (st.lists(st.floats(width=32), min_size=2, max_size=2), of(pa.list_(pa.float32(), 2))),
    "texts": (st.lists(TEXT, max_size=2), of(pa.list_(pa.string_view()))),
    "map": (st.dictionaries(TEXT, st.integers(0, 9) | st.none(), max_size=2), of(pa.map_(pa.string(), pa.int32()))),
    "struct": (st.fixed_dictionaries({"a": st.integers(0, 9), "b": TEXT | st.none()}),
               of(pa.struct([("a", pa.int64()), ("b", pa.string_view())]))),
    "maps": (st.lists(st.dictionaries(TEXT, st.integers(0, 9), max_size=2), max_size=2),
             of(pa.list_(pa.map_(pa.string_view(), pa.int64())))),
    "dictionary": (TEXT, lambda v: pa.array(v, pa.string()).dictionary_encode()),
    "numbers": (st.integers(0, 3), lambda v: pa.array(v, pa.int64()).dictionary_encode()),
    "runs": (st.integers(0, 1), lambda v: pc.run_end_encode(pa.array(v, pa.int64()))),
    "uuid": (st.integers(0, 3).map(lambda n: uuid.UUID(int=n).bytes), of(pa.uuid())),
    "bool8": (st.integers(0, 1), lambda v: pa.ExtensionArray.from_storage(pa.bool8(), pa.array(v, pa.int8()))),
    "json": (st.sampled_from(["1", '{"a":1}']), lambda v: pa.ExtensionArray.from_storage(pa.json_(), pa.array(v, pa.string()))),
    "opaque": (TEXT, lambda v: pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "x", "y"), pa.array(v, pa.string()))),
}  # fmt: skip


def held(array: pa.Array) -> list[Any]:
    """Return what a column says, as Python has it; times that it cannot have as their number."""
    if pa.types.is_timestamp(array.type):
        unit, zone = array.type.unit, array.type.tz
        numbers = array.cast(pa.int64()).to_pylist()
        micros = [
            None if n is None else (n // 1000 if unit == "ns" else n * _PER[unit]) for n in numbers
        ]
        return [None if m is None else _moment(m, zone) for m in micros]
    if pa.types.is_date(array.type):
        days = array.cast(pa.date32()).cast(pa.int32()).to_pylist()
        return [None if d is None else _moment(d * 86_400_000_000, "date") for d in days]
    return python_values(array)


def _moment(micros: int, zone: str | None) -> Any:
    try:
        moment = from_micros(micros)
    except OverflowError:
        return ...  # no year of ours: nothing may say this
    if zone == "date":
        return moment.date()
    return moment if zone else moment.replace(tzinfo=None)


@st.composite
def columns(draw: st.DrawFn, name: str) -> pa.Array:
    values, make = COLUMNS[name]
    array = make(draw(st.lists(values | st.none(), max_size=5)))
    return array.slice(draw(st.integers(0, 2)))


@pytest.mark.parametrize("name", COLUMNS)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
def test_a_column_is_refused_or_says_what_it_held(name: str, data: st.DataObject) -> None:
    array = data.draw(columns(name))
    expected = held(array)
    for dtype in DTYPES.values():
        try:
            found = cast_column(array, dtype, where="column 'x'")
        except InputError as problem:
            assert "column 'x'" in str(problem)
            continue
        assert found.type == dtype.arrow()
        check(dtype, python_values(found), expected)


def check(dtype: DType, taken: list[Any], given: list[Any]) -> None:
    assert len(taken) == len(given)
    wrong = [(g, t) for t, g in zip(taken, given, strict=True) if not says(dtype, t, g)]
    assert wrong == [], dtype


@pytest.mark.parametrize("name", COLUMNS)
def test_a_file_of_every_type_is_refused_or_says_what_it_held(tmp_path: Path, name: str) -> None:
    array = COLUMNS[name][1](sample(name))
    path = tmp_path / "x.parquet"
    try:
        pq.write_table(pa.table({"x": array}), path)
        stored = pq.read_table(path, coerce_int96_timestamp_unit="us")["x"].combine_chunks()
    except (pa.ArrowException, ValueError, TypeError, OSError):
        pytest.skip("Parquet has no such type")
    expected = held(pa.concat_arrays(stored.chunks) if hasattr(stored, "chunks") else stored)
    for dtype in DTYPES.values():
        reader = ParquetReader(sl.Parquet(str(path)))
        reader.typed({"x": dtype})
        try:
            table = reader.take(np.arange(len(array)), ["x"])
            found = cast_column(table["x"], dtype, where="x")
        except SkewlessError as problem:
            told(problem)
            continue
        check(dtype, python_values(found), expected)


def sample(name: str) -> list[Any]:
    """Return a few values of a column, the same in every run."""
    found: list[Any] = []

    @given(value=COLUMNS[name][0])
    @settings(max_examples=4, database=None, derandomize=True, deadline=None)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return [*found, None]


def test_times_between_microseconds_are_cut_downward_before_1970_too() -> None:
    nanos = pa.array([-1, 1, 999, -1001], pa.timestamp("ns", "UTC"))
    found = cast_column(nanos, sl.Timestamp, where="x").to_pylist()
    assert [to_micros(moment) for moment in found] == [-1, 0, 0, -2]
    assert found[0] == from_micros(0) - timedelta(microseconds=1)
