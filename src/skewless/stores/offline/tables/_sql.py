"""Tables and queries of databases that answer in Arrow: what they all share.

    reader = PostgresReader(Postgres("shop.payments", connection="warehouse"), settings=settings)
    reader.narrow("at", start=start, end=end, keys={"card_id": ["c1"]})
    for chunk in reader.chunks(["card_id", "amount"]): ...

A database has no order of rows that lasts, and a source is read several times over (keys and times
first, then the columns of rows that count). So a reader asks **one query**, streams its answer into
a Parquet file in the temporary folder (that of ``TMPDIR``), and reads that: a snapshot, whatever
happens in the database, in bounded memory. The query has the columns that the source declares, and
the rows of the times and keys that `narrow` was given. It is written by sqlglot in the
database's dialect.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from skewless.clock import from_micros
from skewless.config import TableSettings
from skewless.errors import ConfigError, InputError, MissingColumn, MissingDependency
from skewless.stores.offline.base import Part, Support
from skewless.stores.offline.files.paths import DataFile, Listing
from skewless.stores.offline.tables.footers import DAY
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.stores.offline.tables.parquet_files import ParquetFiles
from skewless.types import DType
from skewless.variables import expand

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.tables import Located

MOST_KEYS = 1_000
"""Beyond as many values of a key all rows are asked for."""
GROUP_ROWS = 1 << 18
_NARROWED = (str, int)


def database(verified: str, extra: str) -> Support:
    """Return what every database can do."""
    return Support("a table or query", ("columns", "times", "keys"), verified, extra)


class Session(Protocol):
    """A connection that is open."""

    def schema(self, statement: str) -> pa.Schema:
        """Return the columns of a query, without running it where that is possible."""

    def batches(self, statement: str) -> Iterable[pa.RecordBatch]:
        """Run a query and yield its rows."""


@dataclass(frozen=True)
class Narrowing:
    """The rows that matter: a range of times, and values of key columns."""

    column: str = ""
    start: int | None = None
    end: int | None = None
    keys: Mapping[str, Sequence[Any]] | None = None


class SQLReader(ParquetReader):
    """Reads a table or query of a database. Subclasses: one small file each; see the module.

    Raises:
        ConfigError: its connection is not configured, or the query cannot be understood.
        StoreError: there is no such table, or it may not be read.
        StoreUnavailable: the database cannot be reached.
    """

    opens_anywhere = False  # it would ask the database again, which may answer otherwise

    dialect: ClassVar[str]
    """As sqlglot calls it."""

    def __init__(
        self,
        table: Located,
        base: Path | None = None,
        settings: TableSettings | None = None,
    ) -> None:
        super().__init__(table, base, settings)
        self.where = f"{table.kind} {table.options.get('table') or 'query'}"
        self._declared: dict[str, DType] = {}
        self._narrowing = Narrowing()
        self._described: pa.Schema | None = None
        self._version: str | None = None

    # ------------------------------------------------------------------------------ per database

    @abstractmethod
    def _connected(self) -> AbstractContextManager[Session]:
        """Return a connection; what goes wrong inside the block is an error of this package."""

    def _connection(self) -> dict[str, Any]:
        """Return the options of the table's connection."""
        name = self.table.options["connection"]
        if "://" in name:
            where = f"the connection of {self.where}"
            return {"uri": expand(name, where)}
        return self.settings.connection(name)

    # ------------------------------------------------------------------------------------ verbs

    def typed(self, columns: Mapping[str, DType], needed: Collection[str] = ()) -> None:
        del needed  # a query gives every column of every row
        with self._lock:
            if dict(columns) != self._declared:
                self._declared = dict(columns)
                self._snapshot = None

    def narrow(
        self,
        time_column: str,
        *,
        start: int | None = None,
        end: int | None = None,
        keys: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        with self._lock:
            if self._snapshot is None:
                self._narrowing = Narrowing(time_column, start, end, keys)

    def refresh(self) -> None:
        with self._lock:
            self._snapshot = self._described = self._version = None

    def arrow_schema(self) -> pa.Schema:
        import pyarrow as pa

        described = self._describe()
        types = {name: dtype.arrow() for name, dtype in self._declared.items()}
        return pa.schema(
            [(name, self._type_of(field, types.get(name))) for name, field in described.items()]
        )

    def parts(self) -> list[Part]:
        """Return the table as one part.

        Its version is the number of rows and the greatest of each time, which the database tells
        without sending rows: a row that is changed in place, times and all else equal, is not
        noticed.
        """
        with self._lock:
            if self._version is None:
                self._version = self._ask_version()
            return [Part(self.where, None, self._version)]

    # --------------------------------------------------------------------------------- the query

    def _describe(self) -> dict[str, pa.Field]:
        """Return the fields of the table by the names that the source declares."""
        if self._described is None:
            with self._connected() as session:
                statement = self._select_all().limit(0)
                self._described = session.schema(statement.sql(dialect=self.dialect))
        fields = {field.name: field for field in self._described}
        folded: dict[str, list[str]] = {}
        for name in fields:
            folded.setdefault(name.casefold(), []).append(name)
        wanted = self._declared or dict.fromkeys(fields)
        found = {}
        for name in wanted:
            alike = folded.get(name.casefold(), [])
            if name in fields:
                found[name] = fields[name]
            elif len(alike) == 1:
                found[name] = fields[alike[0]]
        if not self._declared and len(folded) == len(fields):
            return {name.lower() if name.isupper() else name: f for name, f in found.items()}
        return found

    def _select_all(self) -> Any:
        sqlglot = self._sqlglot()
        return sqlglot.exp.select("*").from_(self._relation())

    def _relation(self) -> Any:
        sqlglot = self._sqlglot()
        name, query = self.table.options.get("table"), self.table.options.get("query")
        try:
            if query is None:
                return sqlglot.exp.to_table(name, dialect=self.dialect)
            parsed = sqlglot.parse_one(query, dialect=self.dialect)
        except sqlglot.errors.SqlglotError as error:
            raise ConfigError(
                "a table or query that cannot be understood",
                got=str(error).splitlines()[0][:200],
                expected=f"a name or one SELECT in the dialect {self.dialect!r}",
                where=self.where,
            ) from error
        if not isinstance(parsed, sqlglot.exp.Query):
            raise ConfigError(
                "not a query",
                got=type(parsed).__name__.upper(),
                expected="SELECT",
                where=self.where,
            )
        return parsed.subquery("rows_of_source")

    def statement(self) -> str:
        """Return the query that the reader asks, in the database's dialect."""
        exp = self._sqlglot().exp
        described = self._describe()
        columns = {name: self._column(field) for name, field in described.items()}
        select = exp.select(
            *(exp.alias_(column, name, quoted=True) for name, column in columns.items())
        ).from_(self._relation())
        for condition in self._conditions(described):
            select = select.where(condition)
        return str(select.sql(dialect=self.dialect))

    def _column(self, field: pa.Field) -> Any:
        """Return the expression of a column: as text where Arrow has no type of its own for it."""
        exp = self._sqlglot().exp
        column = exp.column(field.name, quoted=True)
        return exp.cast(column, "text") if _is_foreign(field.type) else column

    def _conditions(self, described: Mapping[str, pa.Field]) -> Iterator[Any]:
        exp, narrowing = self._sqlglot().exp, self._narrowing
        field = described.get(narrowing.column)
        if field is not None:
            for bound, compared in ((narrowing.start, exp.GTE), (narrowing.end, exp.LT)):
                moment = None if bound is None else self._moment(field, bound, compared is exp.LT)
                if moment is not None:
                    yield compared(this=self._column(field), expression=moment)
        for name, values in (narrowing.keys or {}).items():
            if name not in described or not 0 < len(values) <= MOST_KEYS:
                continue
            if all(type(value) in _NARROWED for value in values):
                literals = [exp.convert(value) for value in values]
                yield exp.In(this=self._column(described[name]), expressions=literals)

    def _moment(self, field: pa.Field, micros: int, is_end: bool) -> Any:
        """Return a time as a literal to compare with; for times without a zone, a day further."""
        import pyarrow as pa

        exp = self._sqlglot().exp
        zoned = pa.types.is_timestamp(field.type) and field.type.tz is not None
        if not zoned and not (pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)):
            return None
        try:
            moment = from_micros(micros if zoned else micros + (DAY if is_end else -DAY))
        except OverflowError:
            return None
        text = moment.strftime("%Y-%m-%d %H:%M:%S.%f")
        if zoned:
            return exp.cast(exp.Literal.string(f"{text}+00:00"), "timestamptz")
        return exp.cast(exp.Literal.string(text), "timestamp")

    def _ask_version(self) -> str:
        import pyarrow as pa

        exp = self._sqlglot().exp
        times = [f for f in self._describe().values() if pa.types.is_timestamp(f.type)]
        asked = [exp.alias_(exp.Count(this=exp.Star()), "n")]
        asked += [exp.alias_(exp.Max(this=self._column(f)), f"t{n}") for n, f in enumerate(times)]
        statement = exp.select(*asked).from_(self._relation()).sql(dialect=self.dialect)
        with self._connected() as session:
            rows = [row for batch in session.batches(statement) for row in batch.to_pylist()]
        return "-".join(
            value.isoformat() if hasattr(value, "isoformat") else str(value)
            for value in rows[0].values()
        )

    def _sqlglot(self) -> Any:
        try:
            import sqlglot
        except ImportError:
            raise MissingDependency.of(
                "sqlglot", self.support.extra, needed_for=self.where
            ) from None
        return sqlglot

    # --------------------------------------------------------------------------------- the answer

    def _look(self) -> ParquetFiles:
        import pyarrow.fs as pafs

        described = self._describe()
        types = {
            name: self._type_of(
                field, dtype.arrow() if (dtype := self._declared.get(name)) else None
            )
            for name, field in described.items()
        }
        folder = Path(tempfile.mkdtemp(prefix="skewless-table-"))
        path = folder / "rows.parquet"
        try:
            with self._connected() as session:
                self._write(session.batches(self.statement()), path, types)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        files = (DataFile(str(path), self.where, ""),)
        listing = Listing(pafs.LocalFileSystem(), files, {}, remote=False)
        return _Answer(listing, self.where, folder, list(described))

    def _write(
        self, batches: Iterable[pa.RecordBatch], path: Path, types: Mapping[str, pa.DataType]
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema(list(types.items()))
        pending: list[pa.Table] = []
        with pq.ParquetWriter(path, schema) as writer:

            def flush() -> None:
                if pending:
                    writer.write_table(pa.concat_tables(pending))
                    pending.clear()

            for batch in batches:
                pending.append(self._converted(batch, schema))
                if sum(table.num_rows for table in pending) >= GROUP_ROWS:
                    flush()
            flush()

    def _converted(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
        import pyarrow as pa

        columns = []
        for field, column in zip(schema, batch.columns, strict=True):
            found = column.storage if isinstance(column, pa.ExtensionArray) else column
            try:
                columns.append(found if found.type == field.type else found.cast(field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InputError(
                    "values that are not what the source declares",
                    got=f"{found.type}: {str(error).splitlines()[0][:200]}",
                    expected=str(field.type),
                    where=f"column {field.name!r} of {self.where}",
                    hint="Change the type in the schema, or cast it in a query.",
                ) from error
        return pa.Table.from_arrays(columns, schema=schema)

    def _type_of(self, field: pa.Field, declared: pa.DataType | None) -> pa.DataType:
        """Return the type that a column is kept as until it is read."""
        import pyarrow as pa

        if _is_text(field.type):
            return pa.string()
        if not _is_foreign(field.type):
            return field.type
        if getattr(field.type, "type_name", "") != "numeric":
            return pa.string()
        if declared is None:
            raise InputError(
                f"column {field.name!r} has any number of digits",
                expected="a schema that says its type",
                where=self.where,
                hint="Give the source a schema: sl.Decimal(18, 2), float or int.",
            )
        return declared


class _Answer(ParquetFiles):
    """The rows that a query gave; its folder goes when nobody reads them any more."""

    def __init__(self, listing: Listing, where: str, folder: Path, columns: list[str]) -> None:
        super().__init__(listing, where)
        self._columns = columns
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def selected(self, columns: Sequence[str]) -> pa.Schema:
        for column in columns:
            if column not in self._columns:
                raise MissingColumn.of(column, self._columns, where=f"table {self._where!r}")
        return super().selected(columns)


def _is_text(arrow: pa.DataType) -> bool:
    """Return whether a type is text under a name of its own: JSON."""
    return getattr(arrow, "extension_name", "") == "arrow.json"


def _is_foreign(arrow: pa.DataType) -> bool:
    """Return whether Arrow only wraps a type of the database: numbers of any length, UUIDs."""
    import pyarrow as pa

    return isinstance(arrow, pa.BaseExtensionType) and not _is_text(arrow)
