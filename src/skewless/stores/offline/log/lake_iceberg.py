"""An event log settled into an Iceberg table; see `lake`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.config import TableSettings
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
from skewless.stores.offline.tables.iceberg import (
    database_errors,
    listed,
    open_catalog,
    translated_errors,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.source import Source

OWNER, REACHED = "skewless.log", "skewless.sequence"
"""Properties of the table: which log it belongs to, and up to which sequence it has rows."""

ATTEMPTS = 5
RETRIES = "commit.retry.num-retries"
"""None: a commit that was overtaken must fail, because its rows may be in already."""


class IcebergLog(LakeTable):
    """The Iceberg table of one source's log.

    Args:
        name: of the table, with its namespace.
        catalog: as for `skewless.Iceberg`.
        source: whose rows.
        settings: how catalogs and object stores are reached.
    """

    def __init__(self, name: str, catalog: str, source: Source, settings: TableSettings) -> None:
        self.where = f"iceberg {name} of catalog {catalog}"
        self._name = name
        self._catalog_name = catalog
        self._source = source
        self._settings = settings
        self._catalog: Any = None
        self._table: Any = None

    @classmethod
    def of(
        cls,
        options: Mapping[str, str],
        source: Source,
        folder: Path,  # noqa: ARG003 - a catalog has no paths
        settings: TableSettings,
        name: str,
    ) -> IcebergLog:
        return cls(f"{options['namespace']}.{name}", options["catalog"], source, settings)

    def claim(self, log: str, schema: pa.Schema) -> int:
        with translated_errors(self.where):
            self._table = self._found_or_made(schema, log)
        owner = self._table.properties.get(OWNER)
        if owner != log:
            raise belongs_to_another(self.where, owner, log)
        if self._table.properties.get(RETRIES) != "0":
            with translated_errors(self.where), self._table.transaction() as change:
                change.set_properties({RETRIES: "0"})
        return int(self._table.properties.get(REACHED, 0))

    def reached(self, log: str) -> int:
        from pyiceberg.exceptions import NoSuchTableError

        with translated_errors(self.where):
            try:
                table = self._open().load_table(self._name)
            except NoSuchTableError:
                return 0
        owner = table.properties.get(OWNER)
        if owner != log:
            raise belongs_to_another(self.where, owner, log)
        return int(table.properties.get(REACHED, 0))

    def append(self, rows: pa.Table, last: int) -> None:
        from pyiceberg.exceptions import CommitFailedException, ValidationError

        with translated_errors(self.where):
            try:
                with self._table.transaction() as change:
                    with change.update_schema() as columns:
                        columns.union_by_name(rows.schema)
                    change.set_properties({REACHED: str(last)})
                    change.append(rows, snapshot_properties={REACHED: str(last)})
            except CommitFailedException as error:
                raise overtaken(self.where) from error
            except (ValidationError, ValueError, TypeError) as error:
                raise unfit(str(error)[:300], self.where) from error
            self._table.refresh()

    def look(self) -> LakeFiles:
        with translated_errors(self.where):
            table = self._open().load_table(self._name)
            snapshot = table.current_snapshot()
            number = None if snapshot is None else snapshot.snapshot_id
            schema, listing = listed(table, number, self.where, exact=(SEQUENCE,))
        event_time = self._source.event_time
        found = {file.name: (as_log_file(file, event_time), file) for file in listing.files}
        ids = {field.field_id: field.name for field in schema.fields}
        return LakeFiles(listing.filesystem, listing.remote, found, ids)

    def compact(self, small: int, enough: int) -> tuple[int, int]:
        from pyiceberg.exceptions import CommitFailedException

        joined = written = 0
        names = [known for known, _ in self.look().files.values()]
        for _, files in to_join(names, small, enough).items():
            with translated_errors(self.where):
                try:
                    gone, made = self._join({file.name for file in files})
                except CommitFailedException:  # somebody else changed the table meanwhile
                    continue
            joined, written = joined + gone, written + made
        return joined, written

    def _join(self, names: set[str]) -> tuple[int, int]:
        """Replace some files of one date by one with the same rows, in one commit."""
        from uuid import uuid4

        from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files

        table = self._open().load_table(self._name)
        scan = table.scan()
        root = table.location()
        tasks = [
            task
            for task in scan.plan_files()
            if task.file.file_path.removeprefix(root).lstrip("/") in names
        ]
        reader = ArrowScan(table.metadata, table.io, table.schema(), scan.row_filter)
        rows = reader.to_table(tasks).sort_by(SEQUENCE)
        with table.transaction() as change, change.update_snapshot().overwrite() as files:
            for task in tasks:
                files.delete_data_file(task.file)
            made = list(
                _dataframe_to_data_files(
                    table_metadata=table.metadata, df=rows, io=table.io, write_uuid=uuid4()
                )
            )
            for file in made:
                files.append_data_file(file)
        return len(tasks), len(made)

    def _found_or_made(self, schema: pa.Schema, log: str) -> Any:
        """Return the table; of several that make it at once, all but one find it made."""
        from pyiceberg import exceptions as known

        catalog = self._open()
        made_meanwhile: tuple[type[Exception], ...] = (
            known.NamespaceAlreadyExistsError,
            known.TableAlreadyExistsError,
            known.CommitFailedException,
            *database_errors(),
        )
        for attempt in range(ATTEMPTS):
            try:
                return catalog.load_table(self._name)
            except known.NoSuchTableError:
                try:
                    catalog.create_namespace_if_not_exists(self._name.rpartition(".")[0])
                    self._create(schema, log)
                except made_meanwhile:
                    if attempt == ATTEMPTS - 1:
                        raise
        return catalog.load_table(self._name)

    def _create(self, schema: pa.Schema, log: str) -> None:
        properties = {OWNER: log, RETRIES: "0"}
        table = self._open().create_table_transaction(
            self._name, schema=schema, properties=properties
        )
        with table, table.update_spec() as spec:
            spec.add_identity(DATE)

    def _open(self) -> Any:
        if self._catalog is None:
            self._catalog = open_catalog(self._catalog_name, self._settings)
        return self._catalog
