"""Rows of a source on their way between processes: what counts of them, and no more.

Keys, columns in use, times, tiebreak and 64 bits of the content: a row is found, ordered and
corrected by these alone wherever it is. Columns go by number, since names clash from side to side:

| column | what |
|---|---|
| ``r0``, ``r1``, ... | the source's columns in use, see `RowForm.columns` |
| ``_event``, ``_known``, ``_tiebreak``, ``_hash`` | what orders it, see `HistoryRows` |
| ``_until`` | when it is replaced, `clock.NEVER` for most |
| ``_deleted`` | whether it takes the row of its id away |
| ``_bucket``, ``_side`` | rows of equal buckets meet; the side is 1 for rows, 0 for the spine |
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS, NEVER
from skewless.definitions import Source
from skewless.engines.base import Ints
from skewless.engines.shipping import recast, shippable
from skewless.forks import cached_property
from skewless.stores.offline.hashing import column_hash, content_hash
from skewless.stores.offline.history import HistoryChunk
from skewless.stores.offline.superseded import Superseded, find_superseded

BUCKET, SIDE = "_bucket", "_side"
EVENT, KNOWN, TIEBREAK, HASH, UNTIL = "_event", "_known", "_tiebreak", "_hash", "_until"
DELETED = "_deleted"
SPINE_SIDE, ROWS_SIDE = 0, 1
ROWS_A_BATCH = 65_536

_NUMBERS = (EVENT, KNOWN, TIEBREAK, HASH, UNTIL, BUCKET)


@dataclass(frozen=True)
class RowForm:
    """Which columns of a source travel.

    Attributes:
        source: whose rows.
        columns: names of its columns, join keys and row id among them.
    """

    source: Source
    columns: tuple[str, ...]

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The types of the columns, by name."""
        known = self.source.columns
        return {name: known[name].arrow() for name in self.columns}

    @property
    def schema(self) -> pa.Schema:
        """The columns as they travel."""
        own = [(f"r{at}", shippable(dtype)) for at, dtype in enumerate(self.types.values())]
        numbers = [(name, pa.int64()) for name in _NUMBERS]
        return pa.schema([*own, *numbers, (DELETED, pa.bool_()), (SIDE, pa.int8())])

    def batch(
        self, table: pa.Table, numbers: Mapping[str, Ints], deleted: npt.NDArray[np.bool_] | None
    ) -> pa.RecordBatch:
        """Return rows as they travel.

        Args:
            table: the columns, of the source's types.
            numbers: the others, by name.
            deleted: which rows take others away; None: none does.
        """
        rows = table.num_rows
        columns = [recast(_one(table[n]), shippable(t)) for n, t in self.types.items()]
        columns += [pa.array(numbers[name], pa.int64()) for name in _NUMBERS]
        columns.append(pa.array(np.zeros(rows, bool) if deleted is None else deleted))
        columns.append(pa.array(np.full(rows, ROWS_SIDE, np.int8)))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def buckets_of(columns: Sequence[pa.ChunkedArray], rows: int) -> Ints:
    """Return for each of so many rows the bucket of its key, 0 where the key is null in part.

    Equal keys have equal buckets, whatever the width of their numbers; without keys there is one.
    """
    if not columns:
        return np.ones(rows, np.int64)
    total = np.zeros(rows, np.uint64)
    null = np.zeros(rows, bool)
    for place, column in enumerate(columns):
        hashed = column_hash(column)
        null |= hashed == 0
        total += hashed * np.uint64(2 * place + 1)
    total[null] = 0
    return total.view(np.int64)


class SpooledRows:
    """The rows of a partition: in memory, and from some size on in a temporary file.

    It is the history of a source as an engine reads one (`SourceHistory`), and as corrections are
    decided from one (`superseded.Versions`). Use it as a context manager.

    Args:
        form: of the rows.
        memory: bytes from which on they go to a file, in the folder that ``TMPDIR`` names.
    """

    def __init__(self, form: RowForm, memory: int) -> None:
        self.source = form.source
        self._form = form
        self._memory = memory
        self._pieces: list[pa.RecordBatch] = []
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = self._count = 0
        self._writer: Any = None
        self._path = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.clear()
        self._stack.close()

    # --------------------------------------------------------------------------------- filling it

    def add(self, batch: pa.RecordBatch) -> None:
        """Take some rows."""
        self._waiting.append(batch.select(self._form.schema.names))
        self._count += batch.num_rows
        if self._count >= ROWS_A_BATCH:
            self._join()

    def end(self) -> None:
        """Say that all rows are there."""
        self._join()
        if self._writer is not None:
            self._writer.close()
            mapped = self._stack.enter_context(pa.memory_map(self._path))
            self._pieces = pa.ipc.open_file(mapped).read_all().to_batches()

    def _join(self) -> None:
        if not self._waiting:
            return
        (piece,) = pa.Table.from_batches(self._waiting).combine_chunks().to_batches() or [None]
        self._waiting, self._count = [], 0
        if piece is None:
            return
        self._bytes += piece.nbytes
        if self._writer is None and self._bytes > self._memory:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory())
            self._path = f"{folder}/rows.arrow"
            self._writer = pa.ipc.new_file(self._path, piece.schema)
            for earlier in self._pieces:
                self._writer.write_batch(earlier)
            self._pieces.clear()
        if self._writer is None:
            self._pieces.append(piece)
        else:
            self._writer.write_batch(piece)

    # --------------------------------------------------------------------------------- reading it

    @cached_property
    def _starts(self) -> Ints:
        """The number of the first row of each piece, and at the end that of all rows."""
        return np.cumsum([0, *(piece.num_rows for piece in self._pieces)], dtype=np.int64)

    def _column(self, piece: pa.RecordBatch, name: str) -> pa.Array:
        form = self._form
        column = piece.column(f"r{form.columns.index(name)}")
        return recast(column, form.types[name])

    def _table(self, piece: pa.RecordBatch, columns: Sequence[str]) -> pa.Table:
        if not columns:
            return pa.table({"_": pa.nulls(piece.num_rows)}).select([])
        return pa.table({name: self._column(piece, name) for name in columns})

    def _numbers(self, name: str) -> Ints:
        found = [piece.column(name).to_numpy() for piece in self._pieces]
        return np.concatenate([np.empty(0, np.int64), *found])

    def chunks(
        self, columns: Sequence[str], *, start: int | None = None, end: int | None = None
    ) -> Iterator[HistoryChunk]:
        """Yield all rows but those that delete others and those without event time."""
        del start, end
        for chunk in self.versions(columns):
            counts = chunk.event != ALWAYS
            if chunk.deleted is not None:
                counts &= ~chunk.deleted
            if counts.all():
                yield chunk
                continue
            yield HistoryChunk(
                table=chunk.table.filter(pa.array(counts)),
                event=chunk.event[counts],
                known=chunk.known[counts],
                tiebreak=chunk.tiebreak[counts],
                late=chunk.late[counts],
                row=chunk.row[counts],
            )

    def versions(self, columns: Sequence[str]) -> Iterator[HistoryChunk]:
        """Yield every row, also those that delete others and those without event time."""
        for first, piece in zip(self._starts.tolist(), self._pieces, strict=False):
            event, known, tiebreak = (piece[name].to_numpy() for name in (EVENT, KNOWN, TIEBREAK))
            yield HistoryChunk(
                self._table(piece, columns),
                event,
                known,
                tiebreak,
                late=np.zeros(piece.num_rows, bool),
                row=first + np.arange(piece.num_rows),
                deleted=piece[DELETED].to_numpy(zero_copy_only=False),
            )

    def row_ids(self) -> Iterator[pa.Table]:
        """Yield the columns of the row id, of every row."""
        for piece in self._pieces:
            yield self._table(piece, self.source.row_id)

    def last_sequence(self) -> int:
        """Return the greatest sequence of the log that the history sees, as far as is known: 0."""
        return 0

    def row_count(self) -> int:
        """Return how many rows there are."""
        return int(self._starts[-1])

    def pieces(self, rows: Ints, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of these numbers, ascending, piece by piece."""
        for at, piece in enumerate(self._pieces):
            low, high = np.searchsorted(rows, self._starts[at : at + 2])
            if low < high:
                yield self._table(piece, columns).take(pa.array(rows[low:high] - self._starts[at]))

    def take(self, rows: Ints, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these numbers, ascending."""
        types = self._form.types
        empty = pa.schema([(name, types[name]) for name in columns]).empty_table()
        return pa.concat_tables([empty, *self.pieces(rows, columns)])

    def content_hash(self, rows: Ints) -> npt.NDArray[np.uint64]:
        """Return the content hashes of the rows of these numbers."""
        return self._numbers(HASH)[rows].view(np.uint64)

    def superseded(self) -> Superseded:
        """Return the rows that corrections replaced, as they say themselves."""
        until = self._numbers(UNTIL)
        rows = np.flatnonzero(until != NEVER)
        return Superseded(rows, until[rows])

    def decided(self) -> Iterator[tuple[pa.RecordBatch, Ints]]:
        """Yield all rows with when each is replaced, as its versions among them say."""
        found = find_superseded(self, late=False)
        for first, piece in zip(self._starts.tolist(), self._pieces, strict=False):
            yield piece, found.of(first + np.arange(piece.num_rows))


def hashes_of(table: pa.Table, columns: Sequence[str]) -> Ints:
    """Return 64 bits of the content of each row, see `History.content_hash`."""
    return content_hash(table, columns).view(np.int64)


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
