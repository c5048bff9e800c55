"""Frames in memory: Arrow, Polars, pandas, or anything that hands out an Arrow stream.

    FrameReader(Frame(pl.DataFrame({"fab_id": ["f1"], "vdd": [0.7]})))

Nothing is copied where the frame's own memory is Arrow's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.errors import InputError, MissingColumn, StoreError
from skewless.forks import Lock
from skewless.stores.offline.base import CHUNK_ROWS, Chunk, Part, Support, TableReader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.config import TableSettings
    from skewless.definitions.tables import Located


class FrameReader(TableReader):
    """Reads `skewless.Frame`; it has one part, and every row is always at hand."""

    support = Support("Arrow, Polars or pandas in memory", ("columns",), "memory")

    def __init__(
        self,
        table: Located,
        base: Path | None = None,
        settings: TableSettings | None = None,
    ) -> None:
        super().__init__(table, base, settings)
        self._snapshot: pa.Table | None = None
        self._lock = Lock()

    def arrow_schema(self) -> pa.Schema:
        return self._rows().schema.remove_metadata()

    def chunks(
        self,
        columns: Sequence[str],
        *,
        time_column: str | None = None,
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
    ) -> Iterator[Chunk]:
        self.unknown_parts(parts, [part.name for part in self.parts()])
        rows = self._selected(columns)
        if parts is not None and not parts:
            return
        for base in range(0, rows.num_rows, CHUNK_ROWS):
            yield Chunk(base, rows.slice(base, CHUNK_ROWS))

    def pieces(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> Iterator[pa.Table]:
        selected = self._selected(columns)
        for base in range(0, len(rows), CHUNK_ROWS):
            yield selected.take(rows[base : base + CHUNK_ROWS])

    def parts(self) -> list[Part]:
        rows = self._rows().num_rows
        return [Part(self.where, rows, f"{id(self._data()):x}-{rows}")]

    def row_count(self) -> int:
        return int(self._rows().num_rows)

    def refresh(self) -> None:
        self._snapshot = None

    def _selected(self, columns: Sequence[str]) -> pa.Table:
        rows = self._rows()
        for column in columns:
            if column not in rows.column_names:
                raise MissingColumn.of(column, rows.column_names, where=f"frame {self.where!r}")
        return rows.select(list(columns))

    def _rows(self) -> pa.Table:
        with self._lock:
            if self._snapshot is None:
                table = to_arrow(self._data(), where=f"frame {self.where!r}")
                self._snapshot = table.replace_schema_metadata(None)
            return self._snapshot

    def _data(self) -> Any:
        data = getattr(self.table, "data", None)
        if data is None:
            raise StoreError(
                f"the frame {self.where!r} is not in the memory of this process",
                where=repr(self.table),
                hint="Define the source again with its frame, or use a table of files.",
            )
        return data


def _without_views(table: pa.Table) -> pa.Table:
    """Return text that is stored as views as plain text: much of Arrow cannot compute with them."""
    import pyarrow as pa

    plain = {"string_view": pa.large_string(), "binary_view": pa.large_binary()}
    fields = [field.with_type(plain.get(str(field.type), field.type)) for field in table.schema]
    schema = pa.schema(fields)
    return table if schema.types == table.schema.types else table.cast(schema)


def to_arrow(data: Any, *, where: str) -> pa.Table:
    """Return rows in any usual form as an Arrow table, without a copy where that is possible.

    Args:
        data: an Arrow table or batch, a frame of Polars or pandas, anything with an Arrow stream,
            a dict of columns or a list of dicts.
        where: how errors name it.

    Raises:
        InputError: it is none of these, or its columns cannot be Arrow's.
    """
    import pyarrow as pa

    try:
        if isinstance(data, pa.Table):
            return data
        if isinstance(data, pa.RecordBatch):
            return pa.Table.from_batches([data])
        if type(data).__module__.partition(".")[0] == "pandas":
            # Not by its Arrow stream: that hands out NaN where it means null, and the index.
            return pa.Table.from_pandas(data, preserve_index=False)
        if hasattr(data, "collect") and hasattr(data, "collect_schema"):
            data = data.collect()
        if hasattr(data, "__arrow_c_stream__"):
            return _without_views(pa.table(data))
        if isinstance(data, Mapping):
            return pa.table(dict(data))
        if isinstance(data, list) and all(isinstance(row, Mapping) for row in data):
            return pa.Table.from_pylist(data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(
            "rows that cannot be Arrow columns",
            got=str(error).splitlines()[0][:300],
            where=where,
            hint="Give every column one type.",
        ) from error
    raise InputError(
        "not a frame of rows",
        got=type(data).__name__,
        expected="an Arrow, Polars or pandas frame, a dict of columns or a list of dicts",
        where=where,
    )
