"""The rows of some keys, found by their key columns before any other column is decoded.

    found = RowsOfKeys(reader, {"card": pa.array(["c1"])}, typed)
    found.chunk(["at", "amount"])          # those rows alone; None: they are too many to hold

Every version of a row is found under the key that it has itself. Which of them a correction took
away is not looked for here: a version that moves a row to another key is not among these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from skewless.forks import cached_property
from skewless.stores.offline.base import CHUNK_ROWS, Chunk, TableReader

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

MOST_ROWS = CHUNK_ROWS // 64
"""Beyond as many rows they are read in chunks, with all others."""


class RowsOfKeys:
    """Holds the rows of some keys, and of those the columns that were asked for so far.

    Args:
        reader: of the table or the log.
        keys: key column to the values that matter, of the source's types. A row is of these keys
            if each of its columns has one of them.
        typed: gives columns as read the source's types.
    """

    def __init__(
        self,
        reader: TableReader,
        keys: Mapping[str, pa.Array],
        typed: Callable[[pa.Table, Sequence[str]], pa.Table],
    ) -> None:
        self._reader, self._keys, self._typed = reader, keys, typed
        self._columns: dict[str, pa.ChunkedArray] = {}

    def chunk(self, columns: Sequence[str]) -> Chunk | None:
        """Return the rows with these columns as read; None: there are more than `MOST_ROWS`."""
        import pyarrow as pa

        rows = self._rows
        if rows is None:
            return None
        if more := [name for name in dict.fromkeys(columns) if name not in self._columns]:
            self._columns |= dict(zip(more, self._reader.take(rows, more).columns, strict=True))
        table = pa.table({name: self._columns[name] for name in columns})
        return Chunk(int(rows[0]) if len(rows) else 0, table, rows)

    @cached_property
    def _rows(self) -> npt.NDArray[np.int64] | None:
        """The row numbers, ascending; None: too many."""
        import pyarrow as pa

        names, count = list(self._keys), 0
        found, keys = [np.empty(0, np.int64)], list[pa.Table]()
        for chunk in self._reader.chunks(names):
            at = np.flatnonzero(self._mask(self._typed(chunk.table, names)))
            found.append(chunk.rows_at(at))
            keys.append(chunk.table.take(at))
            count += len(at)
            if count > MOST_ROWS:
                return None
        rows = np.concatenate(found)
        # The files of a log are in the order of their dates, its rows in that of sequences.
        order = np.argsort(rows, kind="stable")
        if keys:
            held = pa.concat_tables(keys).take(order)
            self._columns = dict(zip(names, held.columns, strict=True))
        return rows[order]

    def _mask(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        import pyarrow.compute as pc

        mask = np.ones(len(table), np.bool_)
        for name, values in self._keys.items():
            one = len(values) == 1
            found = pc.equal(table[name], values[0]) if one else pc.is_in(table[name], values)
            mask &= np.asarray(pc.fill_null(found, False))
        return mask
