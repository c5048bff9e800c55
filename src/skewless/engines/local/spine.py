"""The spine as an engine sees it: keys as dense codes, queries sorted by key and time, columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.aggregations.columns import as_numbers, valid_of
from skewless.aggregations.kernels import Queries, group_rows
from skewless.forks import cached_property

Ints = npt.NDArray[np.int64]
_NUMBERS = (pa.float64(), pa.int64())


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


class SpinePlaces:
    """Where the answers of queries belong.

    Args:
        order: positions of spine rows sorted by (code, time); rows with a null key are left out.
        rows: how many the spine has.
    """

    def __init__(self, order: Ints, rows: int) -> None:
        self.order, self.rows = order, rows

    @cached_property
    def back(self) -> pa.Array:
        """For each spine row its place among the queries, null where it has none."""
        place = np.full(self.rows, -1, np.int64)
        place[self.order] = np.arange(len(self.order))
        return pa.array(np.maximum(place, 0), mask=place < 0)


@dataclass(frozen=True, eq=False)
class SpineIndex:
    """The spine for one entity.

    Attributes:
        keys: codes of its join keys.
        places: of the queries among the rows of the spine.
        queries: the times of its rows, grouped by code.
    """

    keys: KeyIndex
    places: SpinePlaces
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
        return cls(keys, SpinePlaces(order, len(times)), Queries(times[order], start))


class FilledColumn:
    """The column of an aggregate over a spine, filled part by part as runs of keys are computed.

    Null where a spine row has no place among the queries. Numbers go to their places at once, in
    memory of Arrow's pool: many parts that wait to be joined leave holes when they are freed, which
    the system does not get back.

    >>> column = FilledColumn(pa.float64(), SpinePlaces(np.array([2, 0]), 3))
    >>> column.add(pa.array([1.0]))
    >>> column.add(pa.array([3.0]))
    >>> column.array().to_pylist()
    [3.0, None, 1.0]

    Args:
        dtype: of its values.
        places: of the queries in the spine.
    """

    def __init__(self, dtype: pa.DataType, places: SpinePlaces) -> None:
        self._dtype, self._places = dtype, places
        self._parts: list[pa.Array] = []
        self._filled = 0
        self._values = _empty(len(places.order), dtype) if dtype in _NUMBERS else None
        self._null: Any = None

    def add(self, part: pa.Array) -> None:
        """Take the values of the queries that come next."""
        if self._values is None:
            self._parts.append(part)
            return
        at, valid = slice(self._filled, self._filled + len(part)), valid_of(part)
        self._filled = at.stop
        self._values[at] = as_numbers(part)
        if valid is not None:
            if self._null is None:
                self._null = _empty(len(self._values), pa.uint8())
                self._null[:] = 0
            self._null[at] = valid == 0

    def array(self) -> pa.Array:
        """Return a value for each spine row, once those of all queries are there."""
        if self._values is None:
            whole = pa.concat_arrays(self._parts or [pa.array([], type=self._dtype)])
            self._parts.clear()
        else:
            bits = None
            if self._null is not None:
                bits = pa.py_buffer(np.packbits(self._null == 0, bitorder="little"))
            buffers = [bits, pa.py_buffer(self._values)]
            whole = pa.Array.from_buffers(self._dtype, len(self._values), buffers)
        return whole.take(self._places.back)


def _empty(length: int, dtype: pa.DataType) -> Any:
    """Return an array in memory of Arrow's pool."""
    kind = np.dtype(dtype.to_pandas_dtype())
    return np.frombuffer(pa.allocate_buffer(length * kind.itemsize), kind)


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
