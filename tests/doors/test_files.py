"""Odd texts in files: tables of CSV, files of rows that commands read, spines, folders."""

import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.cli.inputs import row_batches, table_of
from skewless.codec import from_text
from skewless.errors import SkewlessError
from skewless.ingest.validation import validate
from skewless.stores.offline.as_table import as_table
from skewless.stores.offline.history import History
from skewless.stores.offline.tables.csv import CSVReader
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.types import DType, Misfit, python_values
from tests.doors.odd import AT, DTYPES, VALUES, bits, says, told

NOW = int((AT + timedelta(minutes=1)).timestamp()) * 1_000_000
TEXTS = [
    "", "NA", "NaN", "nan", "null", "None", "inf", "-Infinity", "0", "-0", "1", "01", "+1", " 1", "1 ",
    "1.0", "1.5", "1,5", "1e3", "1_000", "0x10", "99999999999999999999", "9223372036854775808",
    "-9223372036854775809", "2147483648", "9007199254740993", "0.1", "1e400", "true", "True", "TRUE",
    "false", "yes", "t", "2026-01-02", "20260102", "2026-1-2", "02/01/2026", "2026-02-30",
    "2026-01-02T03:04:05Z", "2026-01-02 03:04:05+02:00", "2026-01-02T03:04:05", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z", "10000-01-01T00:00:00Z", "1.005", "0.123456789012345678901234567890",
    "12345678901234567890123456789", "a", "é", "a,b", 'a"b', "a\nb", "[1]", "[1, 2.5]", "[1.0, 2.0]",
    '{"a": 1}', '{"a": 1, "a": 2}', "{", "YQ==", "x" * 3000,
]  # fmt: skip
SCALARS = [name for name, t in DTYPES.items() if t.kind not in ("list", "vector", "map", "struct")]


def source_of(dtype: DType) -> sl.Source:
    return sl.Source("s", schema={"k": int, "x": dtype}, event_time="at")


def written(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([["k", "x", "at"], ["1", text, "2026-01-02T03:04:05Z"]])
    return path


@pytest.mark.parametrize("name", SCALARS)
def test_a_cell_of_csv_says_the_same_in_a_table_and_in_a_file_of_rows(tmp_path, name):
    """Where both take it; what one of them takes is what the text says."""
    dtype = DTYPES[name]
    for text in TEXTS:
        if text == "0x10" and dtype.is_integer:
            continue  # the reader of tables takes it for 16, that of rows for a mistake
        path = written(tmp_path, text)
        found = [
            value
            for value in (of_table(path, dtype), of_rows(path, "csv", dtype))
            if value is not ...
        ]
        assert len({repr(bits(value)) for value in found}) <= 1, (text, found)
        for value in found:
            assert value == meant(text, dtype), (text, value)


def of_table(path: Path, dtype: DType) -> Any:
    """Return what a cell is in a table of CSV, `...` where it is refused."""
    try:
        (chunk,) = History(source_of(dtype), CSVReader(sl.CSV(str(path)))).chunks(["x"])
    except SkewlessError as problem:
        assert "rows.csv" in str(problem)
        return ...
    return python_values(chunk.table["x"])[0]


def of_rows(path: Path, format: str, dtype: DType) -> Any:
    """Return what a value is in a file of rows that is pushed, `...` where it is refused."""
    source = source_of(dtype)
    try:
        (rows,) = row_batches(str(path), format, source.columns)
        admitted = validate(source, rows, now=NOW, backdate=False)
    except SkewlessError as problem:
        told(problem)
        return ...
    if admitted.rejected:
        assert "x" in admitted.rejected[0].reason
        return ...
    return python_values(admitted.batch["x"])[0]


def meant(text: str, dtype: DType) -> Any:
    """Return what a text means as a value of a type; null is an empty cell, or NA."""
    if text in ("", "NA"):
        return None
    return from_text(text.strip() if dtype.is_numeric else text, dtype)


@pytest.mark.parametrize("name", DTYPES)
def test_a_value_in_a_file_of_json_or_parquet_is_refused_or_taken_as_it_is(tmp_path, name):
    dtype = DTYPES[name]
    for value in VALUES:
        row = {"k": 1, "x": value, "at": AT}
        try:
            text = json.dumps([row | {"at": AT.isoformat()}])
        except (TypeError, ValueError):
            text = None
        if text is not None:
            (tmp_path / "rows.json").write_text(text)
            found = of_rows(tmp_path / "rows.json", "json", dtype)
            plain = json.loads(text)[0]["x"]
            assert found is ... or says_json(dtype, found, plain), (value, found)
        try:
            pq.write_table(as_table([row]), tmp_path / "rows.parquet")
        except Exception:  # noqa: BLE001 - whatever Parquet cannot hold
            continue
        path = tmp_path / "rows.parquet"
        found = of_rows(path, "parquet", dtype)
        assert found is ... or says(dtype, found, value), (value, found)
        reader = ParquetReader(sl.Parquet(str(path)))
        try:
            (chunk,) = History(source_of(dtype), reader).chunks(["x"])
        except SkewlessError as problem:
            assert "rows.parquet" in str(problem)
            continue
        assert bits(python_values(chunk.table["x"])[0]) == bits(found), value


def says_json(dtype: DType, found: Any, plain: Any) -> bool:
    """Return whether a value is what stands in JSON, where numbers, bytes may be text."""
    if says(dtype, found, plain):
        return True
    again = sl_from_json(dtype, plain)
    return again is not ... and bits(again) == bits(found)


def sl_from_json(dtype: DType, plain: Any) -> Any:
    from skewless.codec import from_json

    try:
        return from_json(plain, dtype)
    except Misfit:
        return ...


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_an_odd_spine_of_a_command_is_an_error_of_ours_or_a_table(tmp_path, format, text):
    path = tmp_path / f"spine.{format}"
    for body in (text, f"k,t\n{text},x\n", json.dumps([{"k": text}]), json.dumps({"k": text})):
        path.write_text(body)
        try:
            assert table_of(str(path)).num_rows >= 0
        except SkewlessError as problem:
            told(problem)
