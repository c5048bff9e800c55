"""Frames in memory: Arrow, Polars, pandas, or anything that hands out an Arrow stream.

    FrameReader(Frame(pl.DataFrame({"fab_id": ["f1"], "vdd": [0.7]})))

Nothing is copied where the frame's own memory is Arrow's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.errors import MissingColumn, StoreError
from skewless.forks import Lock
from skewless.stores.offline.as_table import as_table
from skewless.stores.offline.base import CHUNK_ROWS, Chunk, Part, Support, TableReader
from skewless.stores.offline.plain import plain_table

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
                table = as_table(self._data(), where=f"frame {self.where!r}")
                self._snapshot = plain_table(table)
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
