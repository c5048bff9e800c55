"""A table that calls columns otherwise than its source does: ``columns={"paid": "amount_eur"}``.

    reader = named(ParquetReader(Parquet("pays/", columns={"paid": "amount_eur"})))
    reader.take(rows, ["paid"])            # the table's column amount_eur, by the source's name

Whoever reads asks by the source's names, and knows of no others. Row numbers, parts and versions
are those of the table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skewless.stores.offline.base import Chunk, Part, TableReader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.types import DType

    Int64s = npt.NDArray[np.int64]


def named(reader: TableReader) -> TableReader:
    """Return a reader of a table by the names that its definition gives columns, if it does."""
    names = reader.table.options.get("columns")
    return NamedColumns(reader, names) if names else reader


class NamedColumns(TableReader):
    """Reads a table by the names that its source has for columns.

    Args:
        reader: of the table, by its own names.
        names: those of the source, to the table's; columns that are not among them have one name.
    """

    def __init__(self, reader: TableReader, names: Mapping[str, str]) -> None:
        super().__init__(reader.table, reader.base, reader.settings)
        self.where = reader.where
        self.opens_anywhere = reader.opens_anywhere  # type: ignore[misc]
        self._reader, self._names = reader, dict(names)

    def arrow_schema(self) -> pa.Schema:
        """Return the columns as stored, by the source's names."""
        import pyarrow as pa

        own = self._reader.arrow_schema()
        taken = {*self._names, *self._names.values()}
        fields = [own.field(theirs).with_name(name) for name, theirs in self._names.items()
                  if theirs in own.names]  # fmt: skip
        return pa.schema([*fields, *(field for field in own if field.name not in taken)])

    def typed(self, columns: Mapping[str, DType], needed: Collection[str] = ()) -> None:
        """Tell the reader what a source declares of its columns."""
        types = {self._own(name): dtype for name, dtype in columns.items()}
        self._reader.typed(types, [self._own(name) for name in needed])

    def notes(self) -> list[str]:
        """Return what should be known of the rows that were read, by the table's names."""
        return self._reader.notes()

    def chunks(
        self,
        columns: Sequence[str],
        *,
        time_column: str | None = None,
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
    ) -> Iterator[Chunk]:
        """Yield the rows in chunks, by the source's names."""
        at = None if time_column is None else self._own(time_column)
        own = self._owns(columns)
        for chunk in self._reader.chunks(own, time_column=at, start=start, end=end, parts=parts):
            yield Chunk(chunk.row_base, self._as_asked(chunk.table, columns), chunk.numbers)

    def pieces(self, rows: Int64s, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of these numbers, by the source's names."""
        for table in self._reader.pieces(rows, self._owns(columns)):
            yield self._as_asked(table, columns)

    def take(self, rows: Int64s, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these numbers, by the source's names."""
        return self._as_asked(self._reader.take(rows, self._owns(columns)), columns)

    def parts(self) -> list[Part]:
        """Return the parts of the table."""
        return self._reader.parts()

    def row_count(self) -> int:
        """Return the number of rows."""
        return self._reader.row_count()

    def pinned(self) -> dict[str, Any]:
        """Return the options with which the table is read again as it is now read."""
        return self._reader.pinned()

    def narrow(
        self,
        time_column: str,
        *,
        start: int | None = None,
        end: int | None = None,
        keys: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Tell the reader which rows will matter."""
        own = None if keys is None else {self._own(name): its for name, its in keys.items()}
        self._reader.narrow(self._own(time_column), start=start, end=end, keys=own)

    def refresh(self) -> None:
        """Forget the snapshot."""
        self._reader.refresh()

    def _own(self, name: str) -> str:
        return self._names.get(name, name)

    def _owns(self, columns: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(map(self._own, columns)))

    def _as_asked(self, table: pa.Table, columns: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        arrays = [table.column(self._own(name)) for name in columns]
        return pa.Table.from_arrays(arrays, names=list(columns))
