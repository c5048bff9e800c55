"""The spine as an engine sees it: keys as dense codes, queries sorted by key and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.aggregations.kernels import Queries, group_rows

Ints = npt.NDArray[np.int64]


class KeyIndex:
    """Gives the keys of a set of rows dense codes, and finds these codes for other rows.

    Args:
        columns: one Arrow array per join key, of canonical type; without any all rows have one
            key, which is empty.
        rows: how many there are.
    """

    def __init__(self, columns: Sequence[pa.Array], rows: int) -> None:
        self._values: list[pa.Array] = []
        self._pairs: list[Ints] = []
        self.size = min(rows, 1)
        codes: Ints | None = None
        for column in columns:
            values = pc.unique(column).drop_null()
            self._values.append(values)
            found = self._place(column, values)
            if codes is None:
                codes, self.size = found, len(values)
                continue
            pairs = np.where((codes < 0) | (found < 0), -1, codes * len(values) + found)
            known = distinct(pairs)
            self._pairs.append(known[known >= 0])
            codes, self.size = self._of_pairs(pairs, self._pairs[-1]), len(self._pairs[-1])
        self.codes: Ints = codes if codes is not None else np.zeros(rows, np.int64)

    def find(self, columns: Sequence[pa.Array], rows: int) -> Ints:
        """Return the code of each row; -1 for a key that is not among those indexed, or null."""
        codes: Ints | None = None
        for number, (column, values) in enumerate(zip(columns, self._values, strict=True)):
            found = self._place(column, values)
            if codes is None:
                codes = found
                continue
            pairs = np.where((codes < 0) | (found < 0), -1, codes * len(values) + found)
            codes = self._of_pairs(pairs, self._pairs[number - 1])
        return codes if codes is not None else np.full(rows, min(self.size, 1) - 1, np.int64)

    @staticmethod
    def _place(column: pa.Array, values: pa.Array) -> Ints:
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        found = pc.index_in(column, value_set=values, skip_nulls=True)
        return np.asarray(pc.fill_null(found, -1)).astype(np.int64)

    @staticmethod
    def _of_pairs(pairs: Ints, known: Ints) -> Ints:
        if not len(known):
            return np.full(len(pairs), -1, np.int64)
        place = np.minimum(np.searchsorted(known, pairs), len(known) - 1)
        return np.where(known[place] == pairs, place, -1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class SpineIndex:
    """The spine for one entity.

    Attributes:
        keys: codes of its join keys.
        order: positions of spine rows sorted by (code, time); rows with a null key are left out.
        queries: their times, grouped by code.
    """

    keys: KeyIndex
    order: Ints
    queries: Queries

    @classmethod
    def build(cls, names: Sequence[str], spine: pa.Table, times: Ints) -> SpineIndex:
        """Return the index of a spine whose join keys have canonical types."""
        keys = KeyIndex([spine[name].combine_chunks() for name in names], len(times))
        asked = np.flatnonzero(keys.codes >= 0)
        if len(asked) == len(times):
            order, start = group_rows(keys.codes, times, keys.size)
        else:
            order, start = group_rows(keys.codes[asked], times[asked], keys.size)
            order = asked[order]
        return cls(keys, order, Queries(times[order], start))


def distinct(values: Ints) -> Ints:
    """Return the values in order, each once: what np.unique gives, without its hash table."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def tied(*columns: Ints) -> npt.NDArray[np.bool_]:
    """Return which of sorted rows equal a neighbour in all columns."""
    tied = np.zeros(len(columns[0]), bool)
    if len(tied) < 2:
        return tied
    same = np.ones(len(tied) - 1, bool)
    for column in columns:
        same &= column[1:] == column[:-1]
    tied[1:] |= same
    tied[:-1] |= same
    return tied
