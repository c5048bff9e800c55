"""Parquet: a file, a folder with all below it, or a pattern; local, or on an object store.

    ParquetReader(Parquet("data/wafer_tests/"), base=Path("repo"))
    ParquetReader(Parquet("s3://bucket/tests/fab_id=*/*.parquet"))

Folders named ``column=value`` give columns. Row groups whose statistics exclude a time are skipped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.forks import Lock
from skewless.stores.offline.base import Chunk, Part, Support, TableReader
from skewless.stores.offline.files.paths import Declared, list_files
from skewless.stores.offline.tables.footers import Footer
from skewless.stores.offline.tables.parquet_files import ParquetFiles
from skewless.types import DType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.config import TableSettings
    from skewless.definitions.tables import Located

SUFFIXES = (".parquet", ".parq", ".pq")


class ParquetReader(TableReader):
    """Reads `skewless.Parquet`, with Arrow's threads, one chunk ahead."""

    opens_anywhere = True

    support = Support(
        "a file, a folder or a pattern",
        ("columns", "row groups by time"),
        "local disks, moto's S3, Azurite, gcp-storage-emulator",
    )

    def __init__(
        self,
        table: Located,
        base: Path | None = None,
        settings: TableSettings | None = None,
    ) -> None:
        super().__init__(table, base, settings)
        self._footers: dict[tuple[str, str], Footer] = {}
        self._said = Declared()
        self._snapshot: ParquetFiles | None = None
        self._lock = Lock()

    def arrow_schema(self) -> pa.Schema:
        return self._files().schema

    def typed(self, columns: Mapping[str, DType], needed: Collection[str] = ()) -> None:
        declared = Declared(dict(columns), self.timezone, frozenset(needed))
        with self._lock:
            if declared != self._said:
                self._said, self._snapshot = declared, None

    def notes(self) -> list[str]:
        return self._files().notes()

    def chunks(
        self,
        columns: Sequence[str],
        *,
        time_column: str | None = None,
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
    ) -> Iterator[Chunk]:
        files = self._files()
        self.unknown_parts(parts, [file.name for file in files.files])
        return files.chunks(columns, time_column=time_column, start=start, end=end, parts=parts)

    def pieces(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> Iterator[pa.Table]:
        return self._files().pieces(rows, columns)

    def parts(self) -> list[Part]:
        files = self._files()
        _ = files.row_bases  # footers that must be read are read together
        return [
            Part(file.name, files.live_rows(at), file.version)
            for at, file in enumerate(files.files)
        ]

    def row_count(self) -> int:
        return self._files().row_count

    def refresh(self) -> None:
        with self._lock:
            self._snapshot = None

    def _files(self) -> ParquetFiles:
        with self._lock:
            if self._snapshot is None:
                self._snapshot = self._look()
            return self._snapshot

    def _look(self) -> ParquetFiles:
        path = self.table.options["path"]
        declared = self._said
        listing = list_files(path, self.base, SUFFIXES, "Parquet", self.settings, declared=declared)
        return ParquetFiles(listing, self.where, cached=self._footers, declared=declared)
