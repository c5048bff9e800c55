"""What every table of history promises: columns in chunks, with row numbers that stay true.

    reader = ParquetReader(Parquet("data/wafer_tests/"), base=Path("repo"))
    for chunk in reader.chunks(["fab_id", "vdd"]):
        chunk.rows, chunk.table
    reader.take(np.array([3, 17]), ["vdd"])           # two rows, whatever file holds them

**Every reader guarantees**

- A reader is one snapshot: it looks at its files once, when it is first asked for anything, and its
  row numbers hold until `refresh`. Files that appear later are not seen; a file that is replaced
  or removed meanwhile is an error, never other rows.
- Row numbers are those of the whole table in one fixed order (sorted paths, then as stored),
  whatever columns, times or parts a call asks for.
- Memory is bounded: a chunk has at most `CHUNK_ROWS` rows, and a few chunks are in flight.
- A reader may be shared by threads.

**No reader guarantees** that rows outside ``start`` and ``end`` are left out: whole row groups are
skipped where the file proves that none of theirs falls between; the caller masks the rest.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from skewless.config import TableSettings
from skewless.errors import UnknownName
from skewless.types import DType, dtype_from_arrow

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.definitions.tables import Located

    Int64s = npt.NDArray[np.int64]

CHUNK_ROWS = 1 << 20
"""The most rows a chunk has."""


@dataclasses.dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows of a table.

    Attributes:
        row_base: number of the first row.
        table: the columns asked for, in the order asked for.
        numbers: the row numbers where they do not count from ``row_base`` (event logs), else
            None.
    """

    row_base: int
    table: pa.Table
    numbers: Int64s | None = None

    @property
    def rows(self) -> Int64s:
        """The row numbers, ascending: int64, as long as the table."""
        import numpy as np

        if self.numbers is not None:
            return self.numbers
        return np.arange(self.row_base, self.row_base + self.table.num_rows, dtype=np.int64)

    def rows_at(self, positions: Int64s) -> Int64s:
        """Return the row numbers at some positions."""
        return positions + self.row_base if self.numbers is None else self.numbers[positions]

    def positions_of(self, rows: Int64s) -> Int64s:
        """Return where those of some rows are that the chunk spans; ascending, as they are."""
        import numpy as np

        if self.numbers is None:
            ends = (self.row_base, self.row_base + self.table.num_rows)
            return rows[slice(*np.searchsorted(rows, ends))] - self.row_base
        ends = (self.numbers[0], self.numbers[-1] + 1) if len(self.numbers) else (0, 0)
        here = rows[slice(*np.searchsorted(rows, ends))]
        return np.searchsorted(self.numbers, here).astype(np.int64, copy=False)


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of a table that is replaced as a whole: a file.

    Attributes:
        name: of the part, unique in its table.
        rows: how many; None where only reading it would tell.
        version: changes whenever the content may have.
    """

    name: str
    rows: int | None
    version: str


@dataclasses.dataclass(frozen=True)
class Support:
    """What a kind of table is and can do, as data: the docs' table is made of it.

    Attributes:
        reads: what, in a few words.
        pushes_down: what of a request is answered without reading the rest.
        verified: what the conformance suite has passed against; "" if no server could be had.
        extra: of skewless, that brings what it needs.
    """

    reads: str
    pushes_down: tuple[str, ...] = ()
    verified: str = "local disks"
    extra: str = ""


class LocalZone(str):
    """A time zone, with what is meant by a local time that is two moments there, or none.

    Attributes:
        ambiguous: ``earliest``, ``latest``, ``null`` or ``raise``.
    """

    __slots__ = ("ambiguous",)
    ambiguous: str

    def __new__(cls, zone: str, ambiguous: str) -> LocalZone:
        """Return the zone, which is its name."""
        made = super().__new__(cls, zone)
        made.ambiguous = ambiguous
        return made


class TableReader(ABC):
    """Reads one table. Subclasses: one file each, see the module.

    Args:
        table: what and where.
        base: the folder that relative paths are relative to; None: the working directory.
        settings: how object stores and databases are reached; None: by their usual means.

    Raises:
        StoreError: nothing is there, or it cannot be read (raised by the first verb that looks).
        CorruptData: a file is damaged; the error names it.
        MissingColumn: a file lacks a column asked for; the error names it.
    """

    where: str
    """How errors name this table."""

    support: ClassVar[Support] = Support("another kind of table")

    opens_anywhere: ClassVar[bool] = False
    """Whether another process opens the same table from its options and the settings."""

    travels: ClassVar[tuple[str, ...]] = ()
    """Options that say which state of the table is read; none for tables that cannot go back."""

    def __init__(
        self,
        table: Located,
        base: Path | None = None,
        settings: TableSettings | None = None,
    ) -> None:
        self.table = table
        self.base = base
        self.settings = settings or TableSettings()
        self.where = str(table.options.get("path", table.options.get("name", table.kind)))

    @property
    def timezone(self) -> str | None:
        """The zone that times without one are in, if the definition says so."""
        zone: str | None = self.table.options.get("timezone")
        ambiguous: str | None = self.table.options.get("ambiguous")
        if zone is not None and ambiguous is not None:
            return LocalZone(zone, ambiguous)
        return zone

    @abstractmethod
    def arrow_schema(self) -> pa.Schema:
        """Return the columns as stored, partition columns among them."""

    def schema(self) -> dict[str, DType]:
        """Return the columns and the types nearest to how they are stored."""
        return {field.name: dtype_from_arrow(field.type) for field in self.arrow_schema()}

    def typed(self, columns: Mapping[str, DType], needed: Collection[str] = ()) -> None:
        """Tell the reader what a source declares of its columns.

        Args:
            columns: names and types: what is text, or differs from file to file, is read so.
            needed: those that every row has: a file without one is an error.
        """
        del columns, needed

    def notes(self) -> list[str]:
        """Return what should be known of the rows that were read: columns some files lack."""
        return []

    @abstractmethod
    def chunks(
        self,
        columns: Sequence[str],
        *,
        time_column: str | None = None,
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
    ) -> Iterator[Chunk]:
        """Yield the rows in chunks, in order, with only ``columns``.

        Args:
            columns: names, at least one.
            time_column: the column that ``start`` and ``end`` speak of; it need not be in
                ``columns``.
            start: rows before it may be left out: UTC microseconds, inclusive.
            end: rows from it on may be left out: UTC microseconds, exclusive.
            parts: only those of these names.
        """

    @abstractmethod
    def pieces(self, rows: Int64s, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of `take` piece by piece, in order: for more than memory should hold.

        Args:
            rows: row numbers, ascending, each once.
            columns: names.
        """

    def take(self, rows: Int64s, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these numbers, in their order, reading only what holds them.

        Args:
            rows: row numbers, ascending, each once.
            columns: names.
        """
        import pyarrow as pa

        pieces = list(self.pieces(rows, columns))
        if pieces:
            return pa.concat_tables(pieces)
        return self.arrow_schema().empty_table().select(list(columns))

    @abstractmethod
    def parts(self) -> list[Part]:
        """Return the parts, in the order of their rows."""

    @abstractmethod
    def row_count(self) -> int:
        """Return the number of rows."""

    def pinned(self) -> dict[str, Any]:
        """Return the values of `travels` with which the table is read again as it is now read."""
        return {}

    def narrow(
        self,
        time_column: str,
        *,
        start: int | None = None,
        end: int | None = None,
        keys: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Tell the reader, before it looks, which rows will matter; databases send no others.

        Args:
            time_column: the column that ``start`` and ``end`` speak of.
            start: rows before it do not matter: UTC microseconds.
            end: rows from it on do not matter: UTC microseconds.
            keys: column to the values that matter; None: all do.
        """
        del time_column, start, end, keys

    @abstractmethod
    def refresh(self) -> None:
        """Forget the snapshot: the next call looks at the table again."""

    def unknown_parts(self, wanted: Sequence[str] | None, known: Sequence[Any]) -> None:
        """Raise `UnknownName` if ``wanted`` names a part that is not ``known``."""
        for name in set(wanted or ()) - set(known):
            raise UnknownName.of("part", name, known, where=f"table {self.where!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r})"
