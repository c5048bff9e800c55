"""Many Parquet files as one table: what Parquet folders, Delta tables and event logs share."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from skewless.clock import ALWAYS, NEVER, to_micros
from skewless.errors import CorruptData, MissingColumn, StoreError
from skewless.forks import Lock, cached_property
from skewless.stores.offline.base import CHUNK_ROWS, Chunk
from skewless.stores.offline.cast import cast_column, common_type
from skewless.stores.offline.files.paths import (
    DataFile,
    Declared,
    Listing,
    logger,
    missing_column_note,
)
from skewless.stores.offline.files.read_ahead import one_ahead
from skewless.stores.offline.plain import plain, plain_type
from skewless.stores.offline.tables.footers import DAY, Footer, opened, read_footer
from skewless.stores.offline.tables.short_chunks import joined

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

    Int64s = npt.NDArray[np.int64]

CHUNK_BYTES = 256 << 20
"""The most bytes a chunk is meant to have, as the file tells them before decoding."""
FOOTERS_AT_ONCE = 16

# How far zones are ahead of UTC and behind it, at most.
_EAST, _WEST = 14 * 3_600_000_000, 12 * 3_600_000_000


@dataclasses.dataclass(frozen=True)
class RowGroups:
    """Row groups that are read at once.

    Attributes:
        file: position of the file.
        groups: row groups, consecutive.
        row_base: number of their first row in the table.
        rows: of all of them.
        batch: None, or how many rows to read at a time where the group is too long for a chunk.
    """

    file: int
    groups: tuple[int, ...]
    row_base: int
    rows: int
    batch: int | None = None


@dataclasses.dataclass(frozen=True)
class _Between:
    """A range of time that is asked for: ``[start, end)`` of a column, UTC microseconds."""

    column: str | None
    start: int | None
    end: int | None

    @property
    def every(self) -> bool:
        """Whether no time is left out."""
        return self.start is None and self.end is None

    def meets(self, bounds: tuple[int, int]) -> bool:
        """Return whether a time within these bounds may be one that is asked for."""
        low = ALWAYS if self.start is None else self.start
        high = NEVER if self.end is None else self.end
        return bounds[0] < high and bounds[1] >= low

    def may_hold(self, bounds: Mapping[str, tuple[int, int]]) -> bool:
        """Return whether a file with these bounds of its columns may have such rows."""
        if self.column is None or self.every or self.column not in bounds:
            return True
        return self.meets(bounds[self.column])


class ParquetFiles:
    """Reads a fixed list of Parquet files.

    Args:
        listing: the files.
        where: how errors name the table.
        schema: what the table's columns are where a manifest says so: a file may then lack some
            (they are null). None: what the files say, and each must have all that is asked for.
        cached: footers read before, by name and version of the file.
        ids: name of each column by its id, for tables whose columns may be renamed.
        declared: what the source says of the columns: each file is held to that, not to the other
            files, and a column that some files lack is null in their rows.
    """

    def __init__(
        self,
        listing: Listing,
        where: str,
        schema: pa.Schema | None = None,
        cached: dict[tuple[str, str], Footer] | None = None,
        ids: Mapping[int, str] | None = None,
        *,
        declared: Declared = Declared(),  # noqa: B008 - frozen
    ) -> None:
        self.files = listing.files
        self._listing = listing
        self._where = where
        self._manifest = schema
        self._declared = declared
        self._ids = ids
        self._cached = {} if cached is None else cached
        for key in set(self._cached) - {(file.path, file.version) for file in self.files}:
            del self._cached[key]
        self._lock = Lock()
        self._checked: set[str] = set()
        self._missing: dict[str, list[str]] = {}

    # ------------------------------------------------------------------------------ what there is

    @cached_property
    def footers(self) -> list[Footer]:
        """The footers of all files."""
        return self._footers(range(len(self.files)))

    def _footers(self, positions: Sequence[int]) -> list[Footer]:
        """Return the footers of some files, read together where they come over a network."""
        with self._lock:
            files = [self.files[at] for at in positions]
            missing = [file for file in files if (file.path, file.version) not in self._cached]
            if len(missing) > 1 and self._listing.remote:
                with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
                    read = list(pool.map(self._read_footer, missing))
            else:
                read = [self._read_footer(file) for file in missing]
            for file, footer in zip(missing, read, strict=True):
                self._cached[file.path, file.version] = footer
            return [self._cached[file.path, file.version] for file in files]

    def _footer(self, position: int) -> Footer:
        return self._footers([position])[0]

    def _read_footer(self, file: DataFile) -> Footer:
        footer = read_footer(self._listing.filesystem, file, remote=self._listing.remote)
        if file.rows is not None and footer.rows != file.rows:
            raise CorruptData(
                "a file has another number of rows than its table says",
                got=footer.rows,
                expected=file.rows,
                where=file.path,
            )
        return footer if self._ids is None else footer.by_ids(self._ids)

    @property
    def row_count(self) -> int:
        """How many rows there are, without those that a manifest takes out."""
        return sum(map(self.live_rows, range(len(self.files))))

    def live_rows(self, position: int) -> int:
        """Return how many rows of a file are of the table."""
        deleted = self.files[position].deleted
        return self.rows_of(position) - (0 if deleted is None else len(deleted))

    def rows_of(self, position: int) -> int:
        """Return how many rows a file has; the footer is read where no manifest says it."""
        rows = self.files[position].rows
        return self._footer(position).rows if rows is None else rows

    @cached_property
    def row_bases(self) -> list[int]:
        """The number of each file's first row, and at the end that of all rows."""
        if any(file.rows is None for file in self.files):
            _ = self.footers
        return [0, *itertools.accumulate(map(self.rows_of, range(len(self.files))))]

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns of all files; one whose type changes between files has the first one's."""
        import pyarrow as pa

        if self._manifest is not None:
            return pa.schema([f.with_type(plain_type(f.type)) for f in self._manifest])
        types: dict[str, pa.DataType] = {}
        # A file without rows has whatever types its writer thought of.
        with_rows = [footer for footer in self.footers if footer.rows]
        for footer in with_rows or self.footers:
            for field in footer.schema:
                known = types.setdefault(field.name, plain_type(field.type))
                types[field.name] = common_type(known, field.type) or known
        for name, dtype in self._declared.types.items():
            if name in types or not with_rows:
                types[name] = dtype.arrow()
        return pa.schema(list((types | dict(self._listing.partition_types)).items()))

    def notes(self) -> list[str]:
        """Return which columns that were asked for some files lack."""
        return [missing_column_note(column, f, self._where) for column, f in self._missing.items()]

    def selected(self, columns: Sequence[str]) -> pa.Schema:
        """Return the part of the schema that ``columns`` name.

        Raises:
            MissingColumn: the table, or one of its files, lacks a column.
            StoreError: two files have it with types that do not fit together.
        """
        import pyarrow as pa

        schema = self.schema
        for column in columns:
            if column not in schema.names:
                raise MissingColumn.of(column, schema.names, where=f"table {self._where!r}")
            if column not in self._checked and self._manifest is None:
                self._check_everywhere(column, schema.field(column).type)
                self._checked.add(column)
        return pa.schema([pa.field(column, schema.field(column).type) for column in columns])

    def _check_everywhere(self, column: str, expected: pa.DataType) -> None:
        if column in self._listing.partition_types:
            return
        is_declared, missing = column in self._declared.types, list[str]()
        for file, footer in zip(self.files, self.footers, strict=True):
            found = footer.schema.get_all_field_indices(column)
            if not footer.rows:
                continue
            if not found and self._declared.may_lack(column):
                missing.append(file.name)
                continue
            if not found:
                raise MissingColumn.of(column, footer.schema.names, where=f"file {file.path!r}")
            if len(found) > 1:
                raise StoreError(f"column {column!r} is there {len(found)} times", where=file.path)
            if is_declared:
                continue
            stored = footer.schema.field(found[0]).type
            if common_type(expected, stored) is None:
                raise StoreError(
                    f"column {column!r} changes its type from file to file",
                    got=str(stored),
                    expected=f"{expected}, as in {self.files[0].name}",
                    where=file.path,
                    hint="Write the file again with the type that the others have.",
                )
        if missing:
            self._missing[column] = missing
            logger.warning(missing_column_note(column, missing, self._where))

    # ------------------------------------------------------------------------------------ reading

    def chunks(
        self,
        columns: Sequence[str],
        *,
        time_column: str | None = None,
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
        ahead: bool = True,
    ) -> Iterator[Chunk]:
        """Yield rows as `TableReader.chunks` says; ``ahead``: decode the next one meanwhile."""
        schema = self.selected(columns)
        if time_column is not None:
            self.selected([time_column])
        wanted = None if parts is None else set(parts)
        between = _Between(time_column, start, end)
        some = [
            at
            for at, data in enumerate(self.files)
            if (wanted is None or data.name in wanted) and between.may_hold(data.bounds)
        ]
        self._footers(some)
        pieces: list[RowGroups] = []
        for file in some:
            groups = self._groups_between(file, between)
            pieces += self._pieces(file, groups, schema.names)
        return self._read(pieces, schema, ahead=ahead)

    def pieces(self, rows: Int64s, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield rows as `TableReader.pieces` says."""
        import numpy as np

        schema = self.selected(columns)
        hit = np.diff(np.searchsorted(rows, self.row_bases))
        some = np.flatnonzero(hit).tolist()
        pieces: list[RowGroups] = []
        for file, footer in zip(some, self._footers(some), strict=True):
            ends = self.row_bases[file] + np.cumsum((0, *footer.group_rows))
            hits = np.diff(np.searchsorted(rows, ends))
            pieces += self._pieces(file, np.flatnonzero(hits).tolist(), schema.names)
        for chunk in self._read(pieces, schema):
            here = chunk.positions_of(rows)
            if len(here) == chunk.table.num_rows:
                yield chunk.table
            elif len(here):
                yield chunk.table.take(here)

    def _groups_between(self, file: int, between: _Between) -> list[int]:
        """Return the row groups of a file that may hold a time that is asked for."""
        footer = self._footer(file)
        groups = range(len(footer.group_rows))
        time_column = between.column
        if time_column is None or between.every:
            return list(groups)
        if time_column in self._listing.partition_types:
            day = self.files[file].partition.get(time_column)
            bounds = [_day_bounds(day)] * len(groups)
        else:
            bounds = footer.time_bounds(time_column)
        return [group for group in groups if between.meets(bounds[group])]

    def _pieces(self, file: int, groups: list[int], columns: list[str]) -> Iterator[RowGroups]:
        """Join consecutive row groups of a file as long as they fit into one chunk."""
        footer = self._footer(file)
        bases = [0, *itertools.accumulate(footer.group_rows, initial=self.row_bases[file])][1:]
        run: list[int] = []
        run_rows = run_bytes = 0

        def piece(batch: int | None = None) -> RowGroups:
            return RowGroups(file, tuple(run), bases[run[0]], run_rows, batch)

        for group in groups:
            rows, size = footer.group_rows[group], footer.group_bytes(group, columns)
            fits = run_rows + rows <= CHUNK_ROWS and run_bytes + size <= CHUNK_BYTES
            if run and not (fits and group == run[-1] + 1):
                yield piece()
                run, run_rows, run_bytes = [], 0, 0
            run, run_rows, run_bytes = [*run, group], run_rows + rows, run_bytes + size
            if rows > CHUNK_ROWS or size > CHUNK_BYTES:
                yield piece(max(1, min(CHUNK_ROWS, CHUNK_BYTES * rows // max(size, 1))))
                run, run_rows, run_bytes = [], 0, 0
        if run:
            yield piece()

    def _read(
        self, pieces: list[RowGroups], schema: pa.Schema, *, ahead: bool = True
    ) -> Iterator[Chunk]:
        """Yield the rows of pieces, those of small files together."""
        decoded = self._decoded(pieces, schema)
        chunks = joined(decoded, schema, rows=CHUNK_ROWS // 8, size=CHUNK_BYTES // 4)
        alone = len(pieces) == 1 and not pieces[0].batch
        return one_ahead(chunks) if ahead and not alone else chunks

    def _decoded(self, pieces: list[RowGroups], schema: pa.Schema) -> Generator[Chunk, None, None]:
        for file, group in itertools.groupby(pieces, key=lambda piece: piece.file):
            of_file = list(group)
            with opened(
                self._listing.filesystem,
                self.files[file],
                footer=self._footer(file),
                remote=self._listing.remote,
                streaming=any(piece.batch for piece in of_file),
            ) as parquet:
                for piece in of_file:
                    base = piece.row_base
                    for table in self._tables(parquet, piece, schema):
                        yield self._live(file, base, table)
                        base += table.num_rows

    def _live(self, file: int, base: int, table: pa.Table) -> Chunk:
        """Return rows of a file without those that a manifest takes out."""
        import numpy as np

        deleted, first = self.files[file].deleted, base - self.row_bases[file]
        if deleted is None:
            return Chunk(base, table)
        here = deleted[slice(*np.searchsorted(deleted, (first, first + table.num_rows)))]
        if not len(here):
            return Chunk(base, table)
        keep = np.ones(table.num_rows, np.bool_)
        keep[here - first] = False
        numbers = base + np.flatnonzero(keep)
        return Chunk(int(numbers[0]) if len(numbers) else base, table.filter(keep), numbers)

    def _tables(
        self, parquet: pq.ParquetFile, piece: RowGroups, schema: pa.Schema
    ) -> Iterator[pa.Table]:
        import pyarrow as pa

        constants, footer = self._listing.partition_types, self._footer(piece.file)
        present = set(footer.schema.names) - set(constants)
        names = [column for column in dict.fromkeys(schema.names) if column in present]
        stored = [footer.stored.get(column, column) for column in names]
        groups = list(piece.groups)
        if piece.batch is None:
            tables = iter([parquet.read_row_groups(groups, columns=stored)])
        else:
            batches = parquet.iter_batches(piece.batch, row_groups=groups, columns=stored)
            tables = (pa.Table.from_batches([batch]) for batch in batches)
        for found in tables:
            table = found if names == stored else found.select(stored).rename_columns(names)
            if table.schema.names == schema.names and table.schema.types == schema.types:
                yield table
            else:
                yield self._complete(table, self.files[piece.file], schema)

    def _complete(self, table: pa.Table, file: DataFile, schema: pa.Schema) -> pa.Table:
        """Bring columns into the order and types of ``schema``, with those that no file holds."""
        import pyarrow as pa

        columns = []
        for field in schema:
            if field.name in self._listing.partition_types:
                value = pa.scalar(file.partition.get(field.name), field.type)
                columns.append(pa.chunked_array([pa.repeat(value, table.num_rows)]))
            elif field.name in table.column_names:
                columns.append(self._as_declared(table.column(field.name), file, field))
            elif field.name in file.partition:
                value = pa.scalar(file.partition[field.name], field.type)
                columns.append(pa.chunked_array([pa.repeat(value, table.num_rows)]))
            else:
                columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        return pa.Table.from_arrays(columns, schema=schema)

    def _as_declared(
        self, column: pa.ChunkedArray, file: DataFile, field: pa.Field
    ) -> pa.ChunkedArray:
        """Return a column of a file in the type that the table's column has."""
        dtype = self._declared.types.get(field.name)
        if dtype is None:
            return plain(column).cast(field.type)
        where = f"column {field.name!r} of file {file.path!r}"
        return cast_column(column, dtype, where=where, timezone=self._declared.timezone)


def _day_bounds(day: object) -> tuple[int, int]:
    """Return bounds of the moments that a folder may stand for, UTC microseconds."""
    if isinstance(day, datetime.datetime):
        if day.tzinfo is not None:
            return to_micros(day), to_micros(day)
        naive = to_micros(day.replace(tzinfo=datetime.UTC))
        return naive - _EAST, naive + _WEST
    if not isinstance(day, datetime.date):
        return ALWAYS, NEVER
    start = (day - datetime.date(1970, 1, 1)).days * DAY
    return start - _EAST, start + DAY + _WEST
