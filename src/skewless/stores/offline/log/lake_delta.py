"""An event log settled into a Delta table; see `lake`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skewless.config import TableSettings, absolute
from skewless.stores.offline.files.filesystems import delta_options, locate
from skewless.stores.offline.files.paths import translated
from skewless.stores.offline.log.journal import SEQUENCE
from skewless.stores.offline.log.lake import (
    DATE,
    LakeFiles,
    LakeTable,
    as_log_file,
    belongs_to_another,
    overtaken,
    to_join,
    unfit,
)
from skewless.stores.offline.tables.delta import delta_files, open_delta, translated_errors

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.source import Source

OWNER = "skewless.log"
"""Property of the table that names the log it belongs to; also the application of its commits."""

_WIDER = {("integer", "long"), ("float", "double"), ("integer", "double")}
"""Delta's types of a column in the log and in the table that differ and still fit."""


class DeltaLog(LakeTable):
    """The Delta table of one source's log.

    Args:
        path: of the table, absolute or an address.
        source: whose rows.
        settings: how object stores are reached.
    """

    def __init__(self, path: str, source: Source, settings: TableSettings) -> None:
        self.where = f"delta {path}"
        self._source = source
        self._filesystem, self._root, self._remote = locate(path, None, settings)
        self._path = path if self._remote else self._root
        self._options = delta_options(path, settings)
        self._table: Any = None
        self._app = ""

    @classmethod
    def of(
        cls,
        options: Mapping[str, str],
        source: Source,
        folder: Path,
        settings: TableSettings,
        name: str,
    ) -> DeltaLog:
        root = absolute(options["path"], folder).rstrip("/")
        return cls(f"{root}/{name}", source, settings)

    def claim(self, log: str, schema: pa.Schema) -> int:
        import deltalake
        from deltalake.exceptions import DeltaError

        self._app = f"{OWNER}.{log}"
        if not self._exists():
            # The configuration takes only names that Delta knows or that begin with a namespace.
            try:
                with translated(self._path, remote=self._remote):
                    deltalake.DeltaTable.create(
                        self._path,
                        schema=schema,
                        mode="ignore",
                        partition_by=[DATE],
                        name=f"event log of {self._source.name}",
                        description=self._app,
                        storage_options=self._options or None,
                    )
            except DeltaError as error:
                if not self._exists():
                    raise unfit(str(error)[:300], self.where) from error
        return self._opened(log)

    def reached(self, log: str) -> int:
        self._app = f"{OWNER}.{log}"
        return self._opened(log) if self._exists() else 0

    def _opened(self, log: str) -> int:
        self._table = open_delta(self._path, self._options)
        owner = self._table.metadata().description
        if owner != self._app:
            raise belongs_to_another(self.where, owner, log)
        return int(self._table.transaction_version(self._app) or 0)

    def append(self, rows: pa.Table, last: int) -> None:
        import deltalake
        from deltalake.exceptions import CommitFailedError, DeltaError

        rows = self._fitting(rows)
        properties = deltalake.CommitProperties(
            custom_metadata={"userMetadata": f"rows up to {last}"},
            app_transactions=[deltalake.Transaction(self._app, last)],
        )
        try:
            with translated(self._path, remote=self._remote):
                deltalake.write_deltalake(
                    self._table,
                    rows,
                    mode="append",
                    schema_mode="merge",
                    commit_properties=properties,
                )
        except CommitFailedError as error:
            raise overtaken(self.where) from error
        except DeltaError as error:
            raise unfit(str(error)[:300], self.where) from error

    def look(self) -> LakeFiles:
        table = open_delta(self._path, self._options)
        with translated_errors(self._path):
            _, files = delta_files(table, self._root, exact=(SEQUENCE,))
        event_time = self._source.event_time
        found = {file.name: (as_log_file(file, event_time), file) for file in files}
        return LakeFiles(self._filesystem, self._remote, found)

    def compact(self, small: int, enough: int) -> tuple[int, int]:
        from deltalake.exceptions import DeltaError

        table = open_delta(self._path, self._options)
        files = [known for known, _ in self.look().files.values()]
        joined = written = 0
        for day in to_join(files, small, enough):
            date = str(np.datetime64(day, "D"))
            try:
                with translated(self._path, remote=self._remote):
                    done = table.optimize.compact(partition_filters=[(DATE, "=", date)])
            except DeltaError:  # somebody else changed these files meanwhile
                continue
            joined, written = joined + done["numFilesRemoved"], written + done["numFilesAdded"]
        return joined, written

    def _exists(self) -> bool:
        import deltalake

        with translated_errors(self._path):
            return bool(deltalake.DeltaTable.is_deltatable(self._path, self._options or None))

    def _fitting(self, rows: pa.Table) -> pa.Table:
        """Return rows in the types of the table, which deltalake would force them into.

        Raises:
            StoreError: a column has another type now, whose values the table cannot hold.
        """
        import deltalake
        import pyarrow as pa

        given = {field.name: field for field in deltalake.Schema.from_arrow(rows.schema).fields}
        for stored in self._table.schema().fields:
            field = given.get(stored.name)
            if field is None or field.type == stored.type:
                continue
            kinds = (str(field.type.type), str(stored.type.type))
            if kinds not in _WIDER:
                change = f"column {stored.name!r}: {kinds[1]} in the table, {kinds[0]} in the log"
                raise unfit(change, self.where)
            at = rows.column_names.index(stored.name)
            wide = pa.int64() if kinds[1] == "long" else pa.float64()
            rows = rows.set_column(at, stored.name, rows.column(at).cast(wide))
        return rows
