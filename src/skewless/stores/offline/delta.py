"""Delta Lake tables: their newest version, or the one that is named.

    DeltaReader(Delta("lake/wafer_tests"))
    DeltaReader(Delta("s3://bucket/wafer_tests", version=12))

The transaction log tells which files make up a version; they are read as Parquet.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from skewless.errors import CorruptData, MissingDependency, StoreError
from skewless.stores.offline._files import DataFile, Listing, locate, translated
from skewless.stores.offline._parquet_files import ParquetFiles
from skewless.stores.offline.parquet import ParquetReader


class DeltaReader(ParquetReader):
    """Reads `skewless.Delta`; columns that older files lack are null in their rows."""

    def _look(self) -> ParquetFiles:
        import pyarrow as pa

        path = self.table.options["path"]
        filesystem, root, remote = locate(path, self.base)
        table = self._open(path if remote else root)
        with translated(root, remote=remote):
            schema = pa.schema(table.schema().to_arrow())
            actions = pa.table(table.get_add_actions(flatten=False)).to_pylist()
        files = [_file(root, action) for action in actions]
        partitions = list(table.metadata().partition_columns)
        types = {column: schema.field(column).type for column in partitions}
        files.sort(key=lambda file: file.name)
        listing = Listing(filesystem, tuple(files), types, remote)
        return ParquetFiles(listing, self.where, schema=schema, cached=self._footers)

    def _open(self, path: str) -> Any:
        try:
            import deltalake
        except ImportError:
            raise MissingDependency.of("deltalake", "delta", needed_for="a Delta table") from None
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            table = deltalake.DeltaTable(path, version=self.table.options.get("version"))
        except TableNotFoundError as error:
            raise StoreError(
                "there is no Delta table", where=path, hint="Is it a folder with a _delta_log?"
            ) from error
        except (DeltaError, OSError) as error:
            raise CorruptData(
                "a Delta table cannot be opened",
                got=str(error)[:300],
                where=path,
                hint="Is the version one that the table has?",
            ) from error
        if feature := _unread_feature(table):
            raise StoreError(
                f"a Delta table with {feature}, which skewless does not read",
                where=path,
                hint="REORG TABLE ... APPLY (PURGE), or write the table without the feature.",
            )
        return table


def _file(root: str, action: dict[str, Any]) -> DataFile:
    name = unquote(action["path"])
    path = name if "://" in name or name.startswith("/") else f"{root}/{name}"
    # No version: a file of a Delta table never changes.
    return DataFile(path, name, "", action.get("partition") or {})


def _unread_feature(table: Any) -> str | None:
    import pyarrow as pa

    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        return "column mapping"
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return None
    vectors = getattr(table, "deletion_vectors", None)
    return None if vectors and not pa.table(vectors()).num_rows else "deletion vectors"
