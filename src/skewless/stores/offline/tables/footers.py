"""What a Parquet file says of itself: rows and sizes of its row groups, and their times."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from skewless.clock import ALWAYS, NEVER
from skewless.errors import StoreError
from skewless.parquet import open_parquet
from skewless.stores.offline.files.paths import DataFile, translated, version_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.fs as pafs
    import pyarrow.parquet as pq

    Int64s = npt.NDArray[np.int64]

DAY = 86_400_000_000
STREAM_BUFFER_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class Footer:
    """The footer of one file.

    Attributes:
        metadata: as pyarrow has it.
        schema: columns, without those that folders give.
        group_rows: rows of each row group.
        leaves: positions of the physical columns of each column.
        stored: what the file calls columns that its table has renamed since.
    """

    metadata: pq.FileMetaData
    schema: pa.Schema
    group_rows: tuple[int, ...]
    leaves: dict[str, list[int]]
    stored: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return sum(self.group_rows)

    def by_ids(self, names: Mapping[int, str]) -> Footer:
        """Return the footer with columns named by their ids, those of other ids left out.

        A file without ids is what it is.

        Raises:
            StoreError: a field within a column has another name in the table by now.
        """
        import pyarrow as pa

        for field in self.schema:
            _check_fields(field, names)
        ids = [field_id(field) for field in self.schema]
        if all(found is None for found in ids):
            return self
        known = [
            (names[found], field)
            for found, field in zip(ids, self.schema, strict=True)
            if found is not None and found in names
        ]
        stored = {name: field.name for name, field in known if name != field.name}
        schema = pa.schema([field.with_name(name) for name, field in known])
        leaves = {name: self.leaves.get(field.name, []) for name, field in known}
        return Footer(self.metadata, schema, self.group_rows, leaves, stored)

    def group_bytes(self, group: int, columns: list[str]) -> int:
        """Return how many bytes some columns of a row group take, without compression."""
        info = self.metadata.row_group(group)
        leaves = (leaf for column in columns for leaf in self.leaves.get(column, ()))
        return sum(info.column(leaf).total_uncompressed_size for leaf in leaves)

    def time_bounds(self, column: str) -> list[tuple[int, int]]:
        """Return bounds of a time column for each row group, in UTC microseconds.

        No value lies outside of them; they are `ALWAYS` and `NEVER` where nothing is known.
        """
        unknown = [(ALWAYS, NEVER)] * len(self.group_rows)
        leaves = self.leaves.get(column, [])
        if len(leaves) != 1:
            return unknown
        kind = json.loads(self.metadata.schema.column(leaves[0]).logical_type.to_json())
        if kind["Type"] == "Date":
            scale, slack = (DAY, 1), DAY
        elif kind["Type"] == "Timestamp" and kind.get("timeUnit") in _UNITS:
            scale, slack = _UNITS[kind["timeUnit"]], 0 if kind["isAdjustedToUTC"] else DAY
        else:
            return unknown
        return [
            _bounds(self.metadata.row_group(group).column(leaves[0]).statistics, scale, slack)
            for group in range(len(self.group_rows))
        ]


def _check_fields(field: pa.Field, names: Mapping[int, str]) -> None:
    """Raise `StoreError` if a field within a column was renamed: it would be read as null."""
    import pyarrow as pa

    arrow = field.type
    if pa.types.is_struct(arrow):
        for inner in arrow:
            name = names.get(field_id(inner) or -1, inner.name)
            if name.rpartition(".")[2] != inner.name:
                raise StoreError(
                    "a field within a column was renamed, and older files have its old name",
                    got=inner.name,
                    expected=name,
                    hint="Rewrite the older files, or rename it back.",
                )
            _check_fields(inner, names)
    elif pa.types.is_list(arrow):
        _check_fields(arrow.value_field, names)
    elif pa.types.is_map(arrow):
        _check_fields(arrow.item_field, names)


def field_id(field: pa.Field) -> int | None:
    """Return the id that a writer of Parquet gave to a column, None if it gave none."""
    found = (field.metadata or {}).get(b"PARQUET:field_id")
    return None if found is None else int(found)


_UNITS = {"milliseconds": (1000, 1), "microseconds": (1, 1), "nanoseconds": (1, 1000)}


def _bounds(statistics: Any, scale: tuple[int, int], slack: int) -> tuple[int, int]:
    if statistics is None or not statistics.has_min_max:
        return ALWAYS, NEVER
    low, high = (raw * scale[0] // scale[1] for raw in (statistics.min_raw, statistics.max_raw))
    return max(low - slack, ALWAYS), min(high + slack, NEVER)


def read_footer(filesystem: pafs.FileSystem, file: DataFile, *, remote: bool) -> Footer:
    """Read the footer of ``file``.

    Raises:
        CorruptData: it is damaged or no Parquet file.
        StoreError: it cannot be read.
    """
    with opened(filesystem, file, remote=remote) as parquet:
        metadata = parquet.metadata
        leaves: dict[str, list[int]] = {}
        for leaf in range(metadata.num_columns):
            name = metadata.schema.column(leaf).path
            for column in (name, name.partition(".")[0]):
                if not leaves.get(column) or leaves[column][-1] != leaf:
                    leaves.setdefault(column, []).append(leaf)
        groups = range(metadata.num_row_groups)
        rows = tuple(metadata.row_group(group).num_rows for group in groups)
        return Footer(metadata, parquet.schema_arrow, rows, leaves)


@contextlib.contextmanager
def opened(
    filesystem: pafs.FileSystem,
    file: DataFile,
    *,
    footer: Footer | None = None,
    remote: bool = False,
    streaming: bool = False,
) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; what goes wrong inside the block is an error that names the file.

    Args:
        filesystem: that holds it.
        file: which.
        footer: as read before, if it was; the file must not have changed since.
        remote: whether the file comes over a network: small reads are then joined.
        streaming: whether columns are to be read a little at a time: slower, for row groups that
            are too long for memory.
    """
    with translated(file.path, remote=remote):
        if footer is not None and file.version:
            version = version_of(filesystem.get_file_info(file.path))
            if version != file.version:
                raise StoreError(
                    "a file changed while the table was being read",
                    got=f"size and time {version}",
                    expected=file.version,
                    where=file.path,
                    hint="Run the call again. Write new files under new names.",
                )
        with filesystem.open_input_file(file.path) as handle:
            yield open_parquet(
                handle,
                metadata=None if footer is None else footer.metadata,
                pre_buffer=remote and not streaming,
                buffer_size=STREAM_BUFFER_BYTES if streaming else 0,
                page_checksum_verification=True,
            )
