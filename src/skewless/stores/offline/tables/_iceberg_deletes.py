"""Rows that an Iceberg table has deleted without writing their files again: by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from skewless.errors import StoreError
from skewless.parquet import read_parquet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Open = Callable[[str], Any]


def positions(tasks: Sequence[Any], open: Open) -> dict[str, npt.NDArray[np.int64]]:
    """Return the positions of deleted rows of each data file, ascending, by its location.

    Args:
        tasks: as pyiceberg plans them.
        open: opens a file by its location.

    Raises:
        StoreError: rows are deleted by their values; that form is not read here.
    """
    import numpy as np

    wanted = {task.file.file_path for task in tasks if task.delete_files}
    files = {each.file_path: each for task in tasks for each in task.delete_files}
    gone: dict[str, list[npt.NDArray[np.int64]]] = {}
    for location, file in files.items():
        form = str(file.file_format).rpartition(".")[2].upper()
        if file.content.name != "POSITION_DELETES" or form not in ("PARQUET", "PUFFIN"):
            raise StoreError(
                "an Iceberg table with rows deleted by their values (equality deletes)",
                where=location,
                hint="Compact the table: the engine that wrote it rewrites such files.",
            )
        read = _in_parquet if form == "PARQUET" else _in_puffin
        for path, found in read(location, open).items():
            if path in wanted:
                gone.setdefault(path, []).append(found)
    return {path: np.unique(np.concatenate(found)) for path, found in gone.items()}


def _in_parquet(location: str, open: Open) -> dict[str, npt.NDArray[np.int64]]:
    import numpy as np
    import pyarrow.compute as pc

    with open(location) as file:
        table = read_parquet(file, columns=["file_path", "pos"])
    return {
        path: np.asarray(table.filter(pc.equal(table["file_path"], path))["pos"], np.int64)
        for path in pc.unique(table["file_path"]).to_pylist()
    }


def _in_puffin(location: str, open: Open) -> dict[str, npt.NDArray[np.int64]]:
    import numpy as np
    from pyiceberg.table.deletion_vector import deletion_vectors_from_puffin_file
    from pyiceberg.table.puffin import PuffinFile

    with open(location) as file:
        found = deletion_vectors_from_puffin_file(PuffinFile(file.read()))
    return {each.referenced_data_file: np.asarray(each.to_vector(), np.int64) for each in found}
