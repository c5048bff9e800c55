"""PyTorch: batches of tensors from a training set, in memory or larger than it.

    data = to_torch(training, "fraud", batch_size=1024, seed=7)
    for epoch in range(3):
        data.set_epoch(epoch)                       # another order, the same every time it is run
        for x, y in DataLoader(data, batch_size=None, num_workers=2):
            ...

A training set that does not fit in memory is a Parquet file or a folder of them (`to_parquet` of
one that an engine computes writes such a folder): one row group at a time is read, and rows are
shuffled in a buffer. Numbers, flags and times (microseconds) become ``dtype`` with NaN for null;
float32 holds 7 digits, ``torch.float64`` every value but whole numbers beyond 2**53. A vector is a
column for each place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import IterableDataset, get_worker_info

from skewless.errors import InputError, MissingColumn
from skewless.plan.results import TrainingSet
from skewless.training.frame_training_set import FrameTrainingSet
from skewless.training.models import Floats, encoded, numbers_of

BUFFER = 65_536
"""Rows among which those of a batch are drawn."""


def to_torch(
    training: TrainingSet | str | Path,
    label: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    batch_size: int = 1024,
    seed: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> TrainingBatches:
    """Return the batches of a training set: ``(x, y)``, or ``x`` where there is no label.

    ``x`` has a row for each row and a column for each feature; ``y`` a value for each row.

    Args:
        training: of `FeatureStore.get_historical_features`, or the path of a Parquet file or of a
            folder of them, on this machine.
        label: a column of its spine.
        columns: which columns, in this order; by default the features. Of a path they are needed.
        batch_size: rows of a batch; the last one of each worker may be smaller.
        seed: of a random order; None: the order of the rows.
        dtype: of both tensors.

    Raises:
        MissingColumn: there is no such column.
        InputError: a column that is no number, flag, time or vector; a label that is null; no file.
    """
    if batch_size < 1:
        raise InputError("batches have rows", got=f"batch_size={batch_size}")
    if isinstance(training, FrameTrainingSet):
        raise InputError(
            "a training set that an engine computes has no rows here",
            hint="to_torch(training.to_parquet(folder), columns=...) streams them.",
        )
    if isinstance(training, TrainingSet):
        table = training.to_arrow()
        names = list(training.features if columns is None else columns)
        pieces: list[_Piece] = [
            _Piece(table=table.slice(at, BUFFER)) for at in range(0, table.num_rows, BUFFER)
        ]
        schema = table.schema
    else:
        if columns is None:
            raise InputError("a file does not say which columns are features", got=str(training),
                             expected="columns=[...]")  # fmt: skip
        names = list(columns)
        pieces, schema = _pieces_of(Path(training))
    wanted = [*names, *([] if label is None else [label])]
    for name in wanted:
        if name not in schema.names:
            raise MissingColumn.of(name, schema.names, where="the training set")
        if encoded(pa.array([], schema.field(name).type)) not in ("number", "vector"):
            raise InputError(
                "a column that tensors cannot hold",
                got=f"{name!r} of type {schema.field(name).type}",
                hint="Choose columns=, or make numbers of it in an on-demand view.",
            )
    return TrainingBatches(pieces, names, label, batch_size=batch_size, seed=seed, dtype=dtype)


@dataclass(frozen=True)
class _Piece:
    """Some rows: in memory, or a row group of a file."""

    table: pa.Table | None = None
    path: str = ""
    group: int = 0

    def read(self, names: list[str]) -> pa.Table:
        if self.table is not None:
            return self.table.select(names)
        with pq.ParquetFile(self.path) as file:
            # Without threads: a worker is a fork, in which Arrow's may not run.
            return file.read_row_group(self.group, names, use_threads=False).select(names)


def _pieces_of(path: Path) -> tuple[list[_Piece], pa.Schema]:
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    pieces, schema = [], None
    for each in files:
        try:
            with pq.ParquetFile(each) as file:
                count, found = file.num_row_groups, file.schema_arrow
        except (OSError, pa.ArrowInvalid) as problem:
            raise InputError("no training set", got=f"{each}: {problem}") from problem
        if schema is not None and not found.equals(schema):
            raise InputError("files with other columns than the first", got=str(each),
                             expected=", ".join(schema.names))  # fmt: skip
        schema = found
        pieces += [_Piece(path=str(each), group=group) for group in range(count)]
    if schema is None:
        raise InputError("no training set", got=str(path), expected="a folder with *.parquet")
    return pieces, schema


class TrainingBatches(IterableDataset):  # type: ignore[misc]
    """Batches of a training set; see `to_torch`.

    Each worker of a ``DataLoader(..., batch_size=None)``, and each process of a distributed
    training, gets its share of the row groups: every row comes once.
    """

    def __init__(
        self,
        pieces: list[_Piece],
        columns: list[str],
        label: str | None,
        *,
        batch_size: int,
        seed: int | None,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.columns, self.label = columns, label
        self._pieces, self._rows = pieces, batch_size
        self._seed, self._dtype = seed, dtype
        self._epoch, self._share = 0, (0, 1)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, before it begins; without a seed it changes nothing."""
        self._epoch = epoch

    def of_process(self, rank: int, processes: int) -> TrainingBatches:
        """Return the share of one of several processes that train together.

        Shares differ by up to a row group; ``torch``'s ``Join`` lets processes end apart.
        """
        if not 0 <= rank < processes:
            raise InputError("no such process", got=str(rank), expected=f"0 up to {processes - 1}")
        made = TrainingBatches(
            self._pieces, self.columns, self.label,
            batch_size=self._rows, seed=self._seed, dtype=self._dtype,
        )  # fmt: skip
        made._epoch, made._share = self._epoch, (rank, processes)
        return made

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of this worker."""
        chance = None if self._seed is None else np.random.default_rng((self._seed, self._epoch))
        pieces = self._pieces
        if chance is not None:  # before the shares are taken: the same in every worker
            pieces = [pieces[place] for place in chance.permutation(len(pieces))]
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rank, processes = self._share
        mine = pieces[rank * workers + number :: processes * workers]
        yield from self._batches(mine, chance)

    def _batches(self, pieces: list[_Piece], chance: np.random.Generator | None) -> Iterator[Any]:
        names = list(dict.fromkeys([*self.columns, *([self.label] if self.label else [])]))
        most = self._rows if chance is None else max(BUFFER, self._rows)
        kept: list[pa.Table] = []
        count = 0
        for piece in pieces:
            kept.append(piece.read(names))
            count += kept[-1].num_rows
            if count >= most:
                whole = count - count % self._rows
                table = pa.concat_tables(kept)
                yield from self._tensors(table.slice(0, whole), chance)
                kept, count = [table.slice(whole)], count - whole
        if count:
            yield from self._tensors(pa.concat_tables(kept), chance)

    def _tensors(self, table: pa.Table, chance: np.random.Generator | None) -> Iterator[Any]:
        x = torch.from_numpy(_matrix(table, self.columns)).to(self._dtype)
        y = None
        if self.label is not None:
            if nulls := table[self.label].null_count:
                raise InputError(f"{nulls:,} rows have no label", got=f"null in {self.label!r}",
                                 hint="Leave them out of the spine.")  # fmt: skip
            y = torch.from_numpy(_matrix(table, [self.label])[:, 0].copy()).to(self._dtype)
        if chance is not None:
            order = torch.from_numpy(chance.permutation(table.num_rows))
            x, y = x[order], None if y is None else y[order]
        for at in range(0, table.num_rows, self._rows):
            part = slice(at, at + self._rows)
            yield x[part] if y is None else (x[part], y[part])


def _matrix(table: pa.Table, names: list[str]) -> Floats:
    """Return columns as numbers, NaN for null; a vector is a column for each place."""
    parts: list[Floats] = []
    for name in names:
        column = table[name].combine_chunks()
        if encoded(column) == "vector":
            size = column.type.list_size
            filled = np.full((len(column), size), np.nan)
            known = np.asarray(column.is_valid())
            filled[known] = numbers_of(column.drop_null().flatten()).reshape(-1, size)
            parts.append(filled)
        else:
            parts.append(numbers_of(column).reshape(-1, 1))
    return np.hstack(parts) if parts else np.empty((table.num_rows, 0))
