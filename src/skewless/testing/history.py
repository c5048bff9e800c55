"""A source's history held in memory, made of plain rows: for tests of engines.

>>> from skewless.definitions import Source
>>> from skewless.engines.reference import HistoryRow
>>> tests = Source("tests", schema={"fab": str}, event_time="at")
>>> history = MemoryHistory(tests, [HistoryRow({"fab": "f1"}, 5, 5, 1)])
>>> next(history.chunks(["fab"])).table.to_pylist()
[{'fab': 'f1'}]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS, NEVER
from skewless.definitions import Source
from skewless.engines.reference import HistoryRow, versions
from skewless.stores.offline.history import HistoryChunk

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MemoryReplaced:
    """The rows that corrections replaced, and when."""

    rows: Ints
    times: Ints

    def of(self, rows: Ints) -> Ints:
        """Return for each row number when it was replaced; `NEVER` for most."""
        until = dict(zip(self.rows.tolist(), self.times.tolist(), strict=True))
        return np.array([until.get(number, NEVER) for number in rows.tolist()], np.int64)

    def __len__(self) -> int:
        return len(self.rows)


class MemoryHistory:
    """The history of a source as plain rows; has what `stores.offline.history.History` has.

    Args:
        source: whose rows.
        rows: in any order; a negative tiebreak stands for a content hash.
        chunk_rows: how many a chunk has at most.
    """

    def __init__(self, source: Source, rows: Sequence[HistoryRow], chunk_rows: int = 7) -> None:
        self.source = source
        self._rows = list(rows)
        self._chunk_rows = chunk_rows

    def _table(self, rows: Sequence[HistoryRow], columns: Sequence[str]) -> pa.Table:
        types = self.source.columns
        return pa.table(
            {
                name: pa.array([row.values.get(name) for row in rows], type=types[name].arrow())
                for name in columns
            }
        )

    def chunks(
        self, columns: Sequence[str], *, start: int | None = None, end: int | None = None
    ) -> Iterator[HistoryChunk]:
        """Yield all rows but those that delete others and those without event time."""
        del start, end  # a hint that this history has no use for
        live = [n for n, r in enumerate(self._rows) if r.event is not None and not r.deleted]
        yield from self._chunks(live, columns)

    def versions(self, columns: Sequence[str]) -> Iterator[HistoryChunk]:
        """Yield every row, also those that delete others and those without event time."""
        yield from self._chunks(list(range(len(self._rows))), columns)

    def _chunks(self, chosen: Sequence[int], columns: Sequence[str]) -> Iterator[HistoryChunk]:
        for low in range(0, len(chosen), self._chunk_rows):
            numbers = chosen[low : low + self._chunk_rows]
            rows = [self._rows[n] for n in numbers]
            yield HistoryChunk(
                self._table(rows, columns),
                np.array([ALWAYS if row.event is None else row.event for row in rows], np.int64),
                np.array([row.known for row in rows], np.int64),
                np.array([max(row.tiebreak, 0) for row in rows], np.int64),
                np.array([row.late for row in rows], bool),
                np.array(numbers, np.int64),
                deleted=np.array([row.deleted for row in rows], bool),
            )

    def take(self, rows: Ints, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these numbers."""
        return self._table([self._rows[n] for n in rows.tolist()], columns)

    def content_hash(self, rows: Ints) -> npt.NDArray[np.uint64]:
        """Return the content hashes that the tiebreaks stand for."""
        hashes = [(self._rows[n].tiebreak - ALWAYS) * 2 for n in rows.tolist()]
        return np.array(hashes, np.uint64)

    def superseded(self, *, late: bool = False) -> MemoryReplaced:
        """Return the rows that corrections replaced."""
        number = {id(row): n for n, row in enumerate(self._rows)}
        counted = [row for row in self._rows if late or not row.late]
        found = sorted(
            (number[id(v.row)], ALWAYS if v.duplicate else v.until)
            for v in versions(counted)
            if v.duplicate or v.until != NEVER
        )
        numbers = np.array([n for n, _ in found], np.int64)
        return MemoryReplaced(numbers, np.array([t for _, t in found], np.int64))
