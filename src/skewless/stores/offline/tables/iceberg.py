"""Iceberg tables of a catalog: their newest snapshot, one that is named, or the one of a moment.

    IcebergReader(Iceberg("shop.payments", catalog="lake"))
    IcebergReader(Iceberg("shop.payments", catalog="lake", as_of="2026-01-31T00:00:00Z"))

The manifests of a snapshot tell its files, how many rows they have and between which times they
lie; those that can matter are read as Parquet. Columns are found by their ids, so that a renamed
one is found in older files. Rows that position deletes take out are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skewless.clock import to_micros
from skewless.config import TableSettings
from skewless.errors import (
    ConfigError,
    CorruptData,
    MissingDependency,
    StoreError,
    StoreUnavailable,
)
from skewless.stores.offline.base import Support
from skewless.stores.offline.files.filesystems import iceberg_options
from skewless.stores.offline.files.paths import DataFile, Listing, translated
from skewless.stores.offline.tables import _iceberg_deletes
from skewless.stores.offline.tables.footers import DAY
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.stores.offline.tables.parquet_files import ParquetFiles

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.fs as pafs


CATALOG_TABLES = 8
"""More tables than an SQL catalog of pyiceberg consists of: it has three at most."""


class IcebergReader(ParquetReader):
    """Reads `skewless.Iceberg`; columns that older files lack are null in their rows."""

    support = Support(
        "an Iceberg table of a catalog",
        ("columns", "files and row groups by time"),
        "an SQL catalog; local disks, moto's S3",
        "iceberg",
    )

    travels = ("snapshot", "as_of")
    _snapshot_id: int | None = None

    def pinned(self) -> dict[str, Any]:
        self._files()
        return {"snapshot": self._snapshot_id, "as_of": None}

    def _look(self) -> ParquetFiles:
        options = self.table.options
        table = open_iceberg(options["name"], options["catalog"], self.settings)
        with translated_errors(options["name"]):
            snapshot = _snapshot_of(table, options.get("snapshot"), options.get("as_of"))
            self._snapshot_id = None if snapshot is None else snapshot.snapshot_id
            return iceberg_files(table, self._snapshot_id, self.where, self._footers)


def open_iceberg(name: str, catalog: str, settings: TableSettings) -> Any:
    """Return a table of a catalog.

    Raises:
        StoreError: there is no such table.
        ConfigError: there is no such catalog.
        StoreUnavailable: the catalog cannot be reached.
    """
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    found = open_catalog(catalog, settings)
    with translated_errors(name):
        try:
            return found.load_table(name)
        except (NoSuchTableError, NoSuchNamespaceError) as error:
            raise StoreError(
                "there is no such Iceberg table", got=name, where=f"catalog {catalog!r}"
            ) from error


def open_catalog(name: str, settings: TableSettings) -> Any:
    """Return a catalog by its section ``[connections.<name>]``, else by pyiceberg's settings.

    Raises:
        ConfigError: there is no such catalog, or its settings are wrong.
        StoreUnavailable: it cannot be reached.
    """
    try:
        from pyiceberg.catalog import load_catalog
    except ImportError:
        raise MissingDependency.of("pyiceberg", "iceberg", needed_for="an Iceberg table") from None
    from pyiceberg.exceptions import NotInstalledError

    given = settings.connection(name) if name in settings.connections else {}
    properties = iceberg_options(settings) | {key: str(value) for key, value in given.items()}
    with translated_errors(f"catalog {name!r}"):
        try:
            return _opened(lambda: load_catalog(name, **properties))
        except NotInstalledError as error:
            raise MissingDependency(str(error)) from error
        except ValueError as error:
            raise ConfigError(
                f"there is no Iceberg catalog {name!r}, or its settings are wrong",
                got=str(error).splitlines()[0][:200],
                hint=f"Add a section [connections.{name}] with type and uri to skewless.toml.",
            ) from error


def _opened(load: Callable[[], Any]) -> Any:
    """Return the catalog that ``load`` opens, also where others open it for the first time now.

    A new SQL catalog makes its tables, one after the other, when it is first opened. Whoever
    finds one made by another since it looked fails, and fails again at the next one: at most
    once for each table that was made meanwhile.
    """
    for _ in range(CATALOG_TABLES):
        try:
            return load()
        except database_errors() as error:
            if "already exists" not in str(error):
                raise
    return load()


@contextmanager
def translated_errors(where: str) -> Iterator[None]:
    """Turn pyiceberg's errors, and those of what a catalog is kept in, into this package's."""
    from pyiceberg import exceptions as known

    every = tuple(
        each
        for each in vars(known).values()
        if isinstance(each, type) and issubclass(each, Exception)
    )
    try:
        with translated(where, remote=True):
            yield
    except (known.UnauthorizedError, known.ForbiddenError) as error:
        raise StoreError(
            "an Iceberg catalog refuses these credentials",
            where=where,
            hint="Look at its [connections] section and the environment.",
        ) from error
    except (known.ServiceUnavailableError, known.ServerError) as error:
        raise StoreUnavailable("an Iceberg catalog does not answer", where=where) from error
    except every as error:
        raise CorruptData(
            "an Iceberg table cannot be read", got=str(error)[:300], where=where
        ) from error
    except database_errors() as error:
        raise StoreUnavailable(
            "an Iceberg catalog cannot be reached", got=type(error).__name__, where=where
        ) from error


def database_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the database that an SQL catalog is kept in."""
    try:
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return ()
    return (SQLAlchemyError,)


def _snapshot_of(table: Any, snapshot: int | None, as_of: str | None) -> Any:
    """Return the snapshot that is asked for; None for a table without any."""
    if snapshot is None and as_of is None:
        return table.current_snapshot()
    if snapshot is not None:
        found = table.snapshot_by_id(snapshot)
    else:
        found = table.snapshot_as_of_timestamp(to_micros(as_of or "") // 1000)
    if found is None:
        raise StoreError(
            "an Iceberg table does not have this snapshot, or no longer",
            got=as_of if snapshot is None else snapshot,
            where=".".join(table.name()),
            hint="Snapshots go when they are expired; the table's history lists those there are.",
        )
    return found


def iceberg_files(
    table: Any, snapshot: int | None, where: str, cached: dict[tuple[str, str], Any]
) -> ParquetFiles:
    """Return the files of a snapshot as one table."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    schema, listing = listed(table, snapshot, where)
    arrow = _plain(schema_to_pyarrow(schema, include_field_ids=False))
    ids = {number: schema.find_column_name(number) or "" for number in schema.field_ids}
    return ParquetFiles(listing, where, schema=arrow, cached=cached, ids=ids)


def listed(
    table: Any, snapshot: int | None, where: str, exact: Sequence[str] = ()
) -> tuple[Any, Listing]:
    """Return the schema of a snapshot and its files, sorted by name.

    Args:
        table: of pyiceberg.
        snapshot: its id; None: the table has none yet.
        where: how errors name the table.
        exact: columns of integers whose bounds are wanted besides those of times.
    """
    scan = table.scan(snapshot_id=snapshot)
    newest = table.current_snapshot()
    is_newest = newest is None or newest.snapshot_id == snapshot
    schema = table.schema() if is_newest else scan.projection()
    _check_defaults(schema, where)
    tasks = [] if snapshot is None else list(scan.plan_files())
    places = _Places(table)
    bounded = {
        field.field_id: (field.name, unit)
        for field in schema.fields
        if (unit := (1, 1, 0) if field.name in exact else _time_unit(field)) is not None
    }
    deletes = _iceberg_deletes.positions(tasks, places.open)
    files = []
    for task in tasks:
        data = task.file
        if str(data.file_format).rpartition(".")[2].upper() != "PARQUET":
            raise StoreError("a file that is not Parquet", where=data.file_path)
        files.append(
            DataFile(
                path=places.path(data.file_path),
                name=data.file_path.removeprefix(table.location()).lstrip("/"),
                version="",
                partition=_constants(table, data, schema),
                rows=data.record_count,
                bounds=_bounds(data, bounded),
                deleted=deletes.get(data.file_path),
            )
        )
    files.sort(key=lambda file: file.name)
    filesystem = places.filesystem(table.location())
    return schema, Listing(filesystem, tuple(files), {}, places.remote)


class _Places:
    """The file system of a table, as its catalog's settings have it."""

    def __init__(self, table: Any) -> None:
        from pyiceberg.io.pyarrow import PyArrowFileIO

        self._io = PyArrowFileIO(table.io.properties)
        self._scheme: str | None = None
        self.remote = False

    def filesystem(self, location: str) -> pafs.FileSystem:
        import pyarrow.fs as pafs

        scheme, netloc, _ = self._io.parse_location(location, self._io.properties)
        found: pafs.FileSystem = self._io.fs_by_scheme(scheme, netloc)
        self.remote = not isinstance(found, pafs.LocalFileSystem)
        return found

    def path(self, location: str) -> str:
        """Return the path of a location in the table's file system.

        Raises:
            StoreError: it lies in another one than the files before it.
        """
        scheme, _, path = self._io.parse_location(location, self._io.properties)
        self._scheme = self._scheme or scheme
        if scheme != self._scheme:
            raise StoreError(
                "an Iceberg table whose files lie in several file systems",
                got=f"{scheme}:// and {self._scheme}://",
                where=location,
            )
        return str(path)

    def open(self, location: str) -> Any:
        return self.filesystem(location).open_input_file(self.path(location))


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema with text and bytes of the usual width, as files store them."""
    import pyarrow as pa

    def plain(arrow: pa.DataType) -> pa.DataType:
        if pa.types.is_large_string(arrow):
            return pa.string()
        if pa.types.is_large_binary(arrow):
            return pa.binary()
        if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
            return pa.list_(plain(arrow.value_type))
        if pa.types.is_map(arrow):
            return pa.map_(plain(arrow.key_type), plain(arrow.item_type))
        if pa.types.is_struct(arrow):
            return pa.struct([pa.field(each.name, plain(each.type)) for each in arrow])
        return arrow

    return pa.schema([pa.field(field.name, plain(field.type)) for field in schema])


def _check_defaults(schema: Any, where: str) -> None:
    for field in schema.fields:
        if field.initial_default is not None:
            raise StoreError(
                f"an Iceberg table whose column {field.name!r} has a default for older rows",
                where=where,
                hint="skewless does not fill it in; rewrite the older files.",
            )


def _time_unit(field: Any) -> tuple[int, int, int] | None:
    """Return how bounds of a column become microseconds: factor, divisor and slack."""
    return {
        "timestamptz": (1, 1, 0),
        "timestamp": (1, 1, DAY),
        "timestamptz_ns": (1, 1000, 1),
        "timestamp_ns": (1, 1000, DAY),
        "date": (DAY, 1, 2 * DAY),
    }.get(str(field.field_type))


def _bounds(
    data: Any, columns: Mapping[int, tuple[str, tuple[int, int, int]]]
) -> dict[str, tuple[int, int]]:
    """Return the bounds of some columns that a manifest has for a file."""
    found = {}
    lower, upper = data.lower_bounds or {}, data.upper_bounds or {}
    for number, (name, (factor, divisor, slack)) in columns.items():
        if not lower.get(number) or not upper.get(number):
            continue
        low, high = (
            struct.unpack("<q" if len(raw) == 8 else "<i", raw)[0] * factor // divisor
            for raw in (lower[number], upper[number])
        )
        found[name] = (low - slack, high + slack)
    return found


def _constants(table: Any, data: Any, schema: Any) -> dict[str, Any]:
    """Return the columns that the partition of a file gives, for files that lack them."""
    found: dict[str, Any] = {}
    for at, field in enumerate(table.specs()[data.spec_id].fields):
        if str(field.transform) == "identity":
            name = schema.find_column_name(field.source_id)
            if name is not None:
                found[name] = data.partition[at]
    return found
