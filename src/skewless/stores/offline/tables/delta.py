"""Delta Lake tables: their newest version, one that is named, or the one of a moment.

    DeltaReader(Delta("lake/wafer_tests"))
    DeltaReader(Delta("s3://bucket/wafer_tests", version=12))
    DeltaReader(Delta("lake/wafer_tests", as_of="2026-01-31T00:00:00Z"))

The transaction log tells which files make up a version, how many rows they have and between which
times they lie; those that can matter are read as Parquet. Rows that deletion vectors take out are
left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from skewless.clock import to_micros
from skewless.errors import CorruptData, MissingDependency, StoreError
from skewless.stores.offline.base import Support
from skewless.stores.offline.files.filesystems import delta_options, locate
from skewless.stores.offline.files.paths import DataFile, Listing, translated
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.stores.offline.tables.parquet_files import ParquetFiles

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

STATISTICS_SLACK = 1_000
"""Microseconds: times in the statistics of a log are cut to milliseconds."""


class DeltaReader(ParquetReader):
    """Reads `skewless.Delta`; columns that older files lack are null in their rows."""

    support = Support(
        "a Delta Lake table",
        ("columns", "files and row groups by time"),
        "local disks, moto's S3, Azurite",
        "delta",
    )

    travels = ("version", "as_of")
    _version: int | None = None

    def pinned(self) -> dict[str, Any]:
        self._files()
        return {"version": self._version, "as_of": None}

    def _look(self) -> ParquetFiles:
        path = self.table.options["path"]
        filesystem, root, remote = locate(path, self.base, self.settings)
        options = delta_options(path, self.settings) if remote else {}
        version, as_of = self.table.options.get("version"), self.table.options.get("as_of")
        table = open_delta(path if remote else root, options, version=version, as_of=as_of)
        self._version = table.version()
        with translated(root, remote=remote):
            schema, files = delta_files(table, root)
        partitions = list(table.metadata().partition_columns)
        types = {column: schema.field(column).type for column in partitions}
        listing = Listing(filesystem, tuple(files), types, remote)
        return ParquetFiles(listing, self.where, schema=schema, cached=self._footers)


def open_delta(
    path: str, options: Mapping[str, str], *, version: int | None = None, as_of: str | None = None
) -> Any:
    """Return a Delta table at a version, by default its newest.

    Args:
        path: of its folder, absolute.
        options: of its object store, as deltalake calls them.
        version: which.
        as_of: a moment, ISO 8601: the version that was the newest then.

    Raises:
        StoreError: there is no such table or version, or it has a feature that is not known here.
        StoreUnavailable: its object store cannot be reached.
    """
    try:
        import deltalake
    except ImportError:
        raise MissingDependency.of("deltalake", "delta", needed_for="a Delta table") from None
    from deltalake.exceptions import TableNotFoundError

    with translated_errors(path):
        try:
            table = deltalake.DeltaTable(path, storage_options=dict(options) or None)
        except TableNotFoundError as error:
            raise StoreError(
                "there is no Delta table", where=path, hint="Is it a folder with a _delta_log?"
            ) from error
        newest = table.version()
        if version is not None or as_of is not None:
            _go_back(table, path, version, as_of, newest)
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        raise StoreError(
            "a Delta table with column mapping, which skewless does not read",
            where=path,
            hint="Write the table without the feature.",
        )
    return table


def _go_back(table: Any, path: str, version: int | None, as_of: str | None, newest: int) -> None:
    from deltalake.exceptions import DeltaError

    expected: object = f"at most {newest}"
    try:
        if version is not None:
            if not 0 <= version <= newest:
                raise _no_version(path, version, expected)
            table.load_as_version(version)
        elif as_of is not None:
            expected = "a moment since the table was made"
            if table.history()[-1]["timestamp"] * 1000 > to_micros(as_of):
                raise _no_version(path, as_of, expected)
            table.load_as_version(as_of)
    except DeltaError as error:
        raise _no_version(path, version if as_of is None else as_of, expected) from error


def _no_version(path: str, got: object, expected: object) -> StoreError:
    return StoreError(
        "a Delta table does not have this version, or no longer",
        got=got,
        expected=expected,
        where=path,
        hint="Versions go when their log is cleaned up: see delta.logRetentionDuration.",
    )


@contextmanager
def translated_errors(path: str) -> Iterator[None]:
    """Turn deltalake's errors into this package's."""
    from deltalake.exceptions import DeltaError

    try:
        with translated(path, remote="://" in path):
            yield
    except DeltaError as error:
        raise CorruptData(
            "a Delta table cannot be opened", got=str(error)[:300], where=path
        ) from error


def delta_files(
    table: Any, root: str, exact: Sequence[str] = ()
) -> tuple[pa.Schema, list[DataFile]]:
    """Return the columns of a Delta table, and its files sorted by name.

    Args:
        table: at the version that is wanted.
        root: of the table in its file system.
        exact: columns of integers whose bounds are wanted besides those of times.
    """
    import pyarrow as pa

    schema = pa.schema(table.schema().to_arrow())
    actions = pa.table(table.get_add_actions(flatten=False)).to_pylist()
    gone = _deleted(table)
    times = [field.name for field in schema if pa.types.is_timestamp(field.type) and field.type.tz]
    files = [_file(root, action, (times, exact), gone) for action in actions]
    return schema, sorted(files, key=lambda file: file.name)


def _file(
    root: str,
    action: dict[str, Any],
    wanted: tuple[Sequence[str], Sequence[str]],
    gone: Mapping[str, npt.NDArray[np.int64]],
) -> DataFile:
    name = unquote(action["path"])
    path = name if "://" in name or name.startswith("/") else f"{root}/{name}"
    least, most = action.get("min") or {}, action.get("max") or {}
    times, exact = wanted
    bounds = {
        column: (least[column], most[column])
        for column in exact
        if least.get(column) is not None and most.get(column) is not None
    }
    for column in times:
        if least.get(column) is not None and most.get(column) is not None:
            low, high = to_micros(least[column]), to_micros(most[column])
            bounds[column] = (low - STATISTICS_SLACK, high + STATISTICS_SLACK)
    # No version: a file of a Delta table never changes.
    partition, rows = action.get("partition") or {}, action.get("num_records")
    return DataFile(path, name, "", partition, rows, bounds, gone.get(path))


def _deleted(table: Any) -> dict[str, npt.NDArray[np.int64]]:
    """Return the positions that deletion vectors take out of files, by path."""
    import numpy as np
    import pyarrow as pa

    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    found = pa.table(table.deletion_vectors())
    return {
        path.partition("://")[2] or path: np.flatnonzero(~np.asarray(kept, np.bool_))
        for path, kept in zip(*(column.to_pylist() for column in found.columns), strict=True)
    }
