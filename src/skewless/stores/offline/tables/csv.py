"""CSV with a header line: plain, gzip or zip; a file, a folder or a pattern.

    reader = CSVReader(CSV("data/flights.csv.zip"))
    reader.typed({"flight": Int64, "origin": String})       # else types are found by reading it all

Times may carry an offset (``2013-01-01T10:00:00Z``) or take the ``timezone`` of the definition.
"""

from __future__ import annotations

import contextlib
import functools
import io
import zipfile
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.errors import CorruptData, InputError, MissingColumn, StoreError
from skewless.forks import Lock
from skewless.stores.offline.base import Chunk, Part, Support, TableReader
from skewless.stores.offline.files.paths import (
    DataFile,
    Declared,
    Listing,
    damaged,
    list_files,
    logger,
    missing_column_note,
    translated,
    version_of,
)
from skewless.stores.offline.files.read_ahead import one_ahead
from skewless.stores.offline.tables import _text_types, csv_lines
from skewless.types import DType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.config import TableSettings
    from skewless.definitions.tables import Located

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zip", ".tsv.zip")
NULLS = ["", "NA"]
BLOCK_BYTES = 8 << 20


class CSVReader(TableReader):
    """Reads `skewless.CSV`, block by block.

    A row is found again by reading its file from the start, so `take` costs what `chunks` does.
    """

    opens_anywhere = True

    support = Support("the same, also gzip and zip", ("columns",))

    def __init__(
        self,
        table: Located,
        base: Path | None = None,
        settings: TableSettings | None = None,
    ) -> None:
        super().__init__(table, base, settings)
        self._declared: dict[str, DType] = {}
        self._said = Declared()
        self._lock = Lock()
        self.refresh()

    def typed(self, columns: Mapping[str, DType], needed: Collection[str] = ()) -> None:
        with self._lock:
            said = Declared(dict(columns), self.timezone, frozenset(needed))
            if said != self._said:
                self._said, self._declared = said, dict(columns)
                self._files: Listing | None = None
                self._schema: pa.Schema | None = None

    def arrow_schema(self) -> pa.Schema:
        import pyarrow as pa

        with self._lock:
            if self._schema is None:
                header = self._columns()
                unknown = [column for column in header if column not in self._declared]
                found = self._infer(unknown) if not self._declared else {}
                types = {name: _text_types.arrow_of(t) for name, t in self._declared.items()}
                types |= found
                self._schema = pa.schema(
                    [(name, types.get(name, pa.string())) for name in header]
                    + list(self._listing().partition_types.items())
                )
            return self._schema

    def chunks(
        self,
        columns: Sequence[str],
        *,
        time_column: str | None = None,
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
    ) -> Iterator[Chunk]:
        files = self._listing().files
        self.unknown_parts(parts, [file.name for file in files])
        schema = self._selected(columns)
        wanted = {file.name for file in files} if parts is None else set(parts)
        return one_ahead(self._decoded(wanted, schema))

    def pieces(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> Iterator[pa.Table]:
        import numpy as np

        wanted = {
            file.name
            for file, base in zip(self._listing().files, self._bases(), strict=True)
            if np.searchsorted(rows, base) < np.searchsorted(rows, base + self._count(file))
        }
        for chunk in one_ahead(self._decoded(wanted, self._selected(columns))):
            first, last = chunk.row_base, chunk.row_base + chunk.table.num_rows
            here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)]
            if len(here):
                yield chunk.table.take(here - first)

    def parts(self) -> list[Part]:
        counts = self._counts
        files = self._listing().files
        return [Part(file.name, counts.get(file.name), file.version) for file in files]

    def row_count(self) -> int:
        return sum(self._count(file) for file in self._listing().files)

    def refresh(self) -> None:
        with self._lock:
            self._files = None
            self._schema = None
            self._headers: dict[str, list[str]] = {}
            self._missing: dict[str, dict[str, None]] = {}
            self._counts: dict[str, int] = {}

    # ---------------------------------------------------------------------------------- the files

    def _listing(self) -> Listing:
        with self._lock:
            if self._files is None:
                path = self.table.options["path"]
                self._files = list_files(
                    path, self.base, SUFFIXES, "CSV", self.settings, declared=self._said
                )
            return self._files

    def _columns(self) -> list[str]:
        """Return the columns of the table; of files without a source, those of the first."""
        files = self._listing().files
        headers = [self._header(file) for file in (files if self._declared else files[:1])]
        return list(dict.fromkeys(column for header in headers for column in header))

    def _header(self, file: DataFile) -> list[str]:
        """Return the columns that the first line of a file names; none of an empty file.

        Raises:
            InputError: it names a column twice.
        """
        with self._lock:
            if file.name not in self._headers:
                with self._stream(file) as stream:
                    text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
                    read = csv_lines.rows(
                        csv_lines.lines(text, file.path), self._delimiter(file), file.path
                    )
                    header = next(read, [])
                if twice := [name for name in header if header.count(name) > 1]:
                    raise InputError(
                        f"a header that names column {twice[0]!r} twice",
                        got=", ".join(header),
                        where=file.path,
                        hint="Give each column a name of its own.",
                    )
                self._headers[file.name] = header
            return self._headers[file.name]

    def _delimiter(self, file: DataFile) -> str:
        tabs = ".tsv" in file.name.lower()
        return str(self.table.options.get("delimiter", "\t" if tabs else ","))

    def _count(self, file: DataFile) -> int:
        if file.name not in self._counts:
            import pyarrow as pa

            first = self._header(file)[:1]
            if not first:
                return self._counts.setdefault(file.name, 0)
            with self._open(file, dict.fromkeys(first, pa.string()), first) as reader:
                self._counts[file.name] = sum(batch.num_rows for batch in reader)
        return self._counts[file.name]

    def _bases(self) -> Iterator[int]:
        base = 0
        for file in self._listing().files:
            yield base
            base += self._count(file)

    def _selected(self, columns: Sequence[str]) -> pa.Schema:
        import pyarrow as pa

        schema = self.arrow_schema()
        for column in columns:
            if column not in schema.names:
                raise MissingColumn.of(column, schema.names, where=f"table {self.where!r}")
        return pa.schema([schema.field(column) for column in columns])

    def _infer(self, columns: list[str]) -> dict[str, pa.DataType]:
        import pyarrow as pa

        guesses = {column: _text_types.Guess() for column in columns}
        for file in self._listing().files:
            with self._open(file, dict.fromkeys(columns, pa.string()), columns) as reader:
                for batch in reader:
                    for column, guess in guesses.items():
                        guess.see(batch.column(column))
        return {column: guess.type() for column, guess in guesses.items()}

    # ------------------------------------------------------------------------------------ reading

    def _decoded(self, wanted: set[str], schema: pa.Schema) -> Generator[Chunk, None, None]:
        last = max((i for i, f in enumerate(self._listing().files) if f.name in wanted), default=-1)
        base = 0
        for file in self._listing().files[: last + 1]:
            if file.name not in wanted:
                base += self._count(file)
                continue
            start = base
            for table in self._tables(file, schema):
                yield Chunk(base, table)
                base += table.num_rows
            self._counts[file.name] = base - start

    def _tables(self, file: DataFile, schema: pa.Schema) -> Iterator[pa.Table]:
        import pyarrow as pa

        folders = self._listing().partition_types
        types = {field.name: field.type for field in schema if field.name not in folders}
        # Where all columns are those of folders, one of the file is read to count its rows.
        header = self._header(file)
        missing = [name for name in types if name not in header]
        read = [name for name in types if name in header] or header[:1]
        if not header:
            return
        constants = dict.fromkeys(missing) | dict(file.partition)
        texts = [name for name in types if _text_types.is_parsed(self._declared.get(name))]
        types |= dict.fromkeys(texts, pa.string())
        with self._open(file, {n: t for n, t in types.items() if n in header}, read) as reader:
            for batch in reader:
                if batch.num_rows:
                    self._note(file, missing)
                columns = [
                    self._column(file, batch, field.name)
                    if field.name in types and field.name in header
                    else pa.repeat(pa.scalar(constants.get(field.name), field.type), batch.num_rows)
                    for field in schema
                ]
                yield pa.Table.from_arrays(columns, schema=schema)

    def _column(self, file: DataFile, batch: pa.RecordBatch, name: str) -> pa.Array:
        column, dtype = batch.column(name), self._declared.get(name)
        if dtype is None or not _text_types.is_parsed(dtype):
            return column
        return _text_types.parsed(column, dtype, f"column {name!r} of file {file.path!r}")

    def notes(self) -> list[str]:
        return [missing_column_note(c, list(n), self.where) for c, n in self._missing.items()]

    def _note(self, file: DataFile, missing: list[str]) -> None:
        """Note the columns that a file lacks, where its rows may have null."""
        for column in missing:
            if not self._said.may_lack(column):
                raise MissingColumn.of(column, self._header(file), where=f"file {file.path!r}")
            files = self._missing.setdefault(column, {})
            if file.name not in files:
                logger.warning(missing_column_note(column, [file.name], self.where))
            files[file.name] = None

    @contextlib.contextmanager
    def _open(
        self, file: DataFile, types: Mapping[str, pa.DataType], columns: list[str] | None
    ) -> Iterator[Any]:
        from pyarrow import csv as arrow_csv

        options = self.table.options
        convert = arrow_csv.ConvertOptions(
            column_types=dict(types),
            include_columns=columns,
            null_values=options.get("nulls", NULLS),
            strings_can_be_null=True,
        )
        parse = arrow_csv.ParseOptions(delimiter=self._delimiter(file), newlines_in_values=True)
        read = arrow_csv.ReadOptions(block_size=BLOCK_BYTES)
        with self._stream(file) as stream, self._explained(file, columns):
            yield arrow_csv.open_csv(stream, read, parse, convert)

    @contextlib.contextmanager
    def _explained(self, file: DataFile, columns: list[str] | None) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except KeyError:  # Arrow's error for a column that the header lacks
            present = self._header(file)
            missing = next(column for column in columns or () if column not in present)
            raise MissingColumn.of(missing, present, where=f"file {file.path!r}") from None
        except pa.ArrowInvalid as error:
            raise CorruptData(
                "a CSV file that cannot be read as declared",
                got=str(error).splitlines()[0][:300],
                where=file.path,
                hint="Correct the type in the schema, or name texts that mean null in nulls=.",
            ) from error

    @contextlib.contextmanager
    def _stream(self, file: DataFile) -> Iterator[Any]:
        """Open a file's text, whatever it is compressed with."""
        listing = self._listing()
        with translated(file.path, remote=listing.remote), contextlib.ExitStack() as stack:
            version = version_of(listing.filesystem.get_file_info(file.path))
            if version != file.version:
                raise StoreError(
                    "a file changed while the table was being read",
                    got=f"size and time {version}",
                    expected=file.version,
                    where=file.path,
                    hint="Run the call again. Write new files under new names.",
                )
            name = file.name.lower()
            if not name.endswith(".zip"):
                compression = "gzip" if name.endswith(".gz") else None
                open_stream = functools.partial(
                    listing.filesystem.open_input_stream, compression=compression
                )
                yield stack.enter_context(open_stream(file.path))
                return
            try:
                raw = stack.enter_context(listing.filesystem.open_input_file(file.path))
                archive = stack.enter_context(zipfile.ZipFile(raw))
                members = [m for m in archive.namelist() if m.lower().endswith((".csv", ".tsv"))]
                if len(members) != 1:
                    raise damaged(file.path, f"{len(members)} CSV files in a zip file, not one")
                yield stack.enter_context(archive.open(members[0]))
            except zipfile.BadZipFile as error:
                raise damaged(file.path, error) from error
