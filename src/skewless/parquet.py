"""Parquet files are opened here, and nowhere else.

Spark and Hive write times as INT96, which Arrow reads as nanoseconds unless it is told otherwise:
times outside of the years 1677 to 2262 would wrap around into others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_INT96_UNIT = "us"


def open_parquet(source: Any, **options: Any) -> pq.ParquetFile:
    """Open a Parquet file: its path, or an open file; ``options`` are those of pyarrow."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(source, coerce_int96_timestamp_unit=_INT96_UNIT, **options)


def read_parquet(source: Any, **options: Any) -> pa.Table:
    """Read a whole Parquet file, or a folder of them; ``options`` are those of pyarrow."""
    import pyarrow.parquet as pq

    return pq.read_table(source, coerce_int96_timestamp_unit=_INT96_UNIT, **options)
