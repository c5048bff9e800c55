"""Rows of any accepted kind as an Arrow table: dicts, frames, the path of a Parquet file.

as_table([{"card_id": "c1", "amount": 9.5}])
as_table(polars_frame)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from skewless.clock import to_micros
from skewless.errors import InputError
from skewless.stores.offline.files.paths import translated


def as_table(data: Any) -> pa.Table:
    """Return rows of any accepted kind as an Arrow table.

    Raises:
        InputError: it is no table, or rows that do not fit each other.
        StoreError: the file cannot be read.
    """
    if isinstance(data, (str, Path)):
        import pyarrow.parquet as pq

        with translated(str(data)):
            return pq.read_table(data)
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, (list, tuple)):
        return _from_rows(data)
    try:
        if type(data).__module__.startswith("pandas"):
            return pa.Table.from_pandas(data, preserve_index=False)
        if hasattr(data, "__arrow_c_stream__"):
            return pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        raise InputError("a frame Arrow cannot hold", got=str(problem)) from None
    raise InputError(
        "not a table",
        got=type(data).__name__,
        expected="dicts, or an Arrow, Polars or pandas table",
    )


def _from_rows(rows: Sequence[Any]) -> pa.Table:
    """Return dicts as a table; times with different zones become UTC."""
    for row in rows:
        if not isinstance(row, Mapping):
            raise InputError(
                "not a table: a row is a mapping of columns", got=f"{row!r} ({type(row).__name__})"
            )
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, Any] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if any(hasattr(value, "tzinfo") for value in values):
            where = f"column {name!r}"
            micros = [None if v is None else to_micros(v, where=where) for v in values]
            columns[name] = pa.array(micros, pa.timestamp("us", "UTC"))
            continue
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
            raise InputError(f"column {name!r} mixes types", got=str(problem)) from None
    return pa.table(columns)
