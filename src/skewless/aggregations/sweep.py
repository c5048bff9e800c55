"""The rows of a window at all moments of a spine, as `Aggregation.sweep` takes them.

>>> import numpy as np
>>> from skewless.aggregations import aggregation
>>> from skewless.aggregations.spans import RowTimes
>>> from skewless.aggregations.windows import Sliding
>>> rows = RowTimes(event=np.array([0, 60]), known=None, start=np.array([0, 2]))
>>> asked = Queries(np.array([60, 120]), np.array([0, 2]))
>>> swept = WindowSweep(Sliding(width=100), Sliding(width=100).spans(rows), asked, rows.event)
>>> column = swept.column("x", pa.array([1.0, 2.0]))
>>> aggregation("sum").sweep(column).to_pylist()
[3.0, 2.0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.aggregations.columns import Coded, as_numbers, is_number, order_of, valid_of
from skewless.aggregations.kernels import (
    Queries,
    Spans,
    Want,
    sweep_codes,
    sweep_counts,
    sweep_distinct,
    sweep_extremes,
    sweep_frequent,
    sweep_moments,
    sweep_positions,
    sweep_quantile,
    sweep_sums,
    sweep_sums_int,
    sweep_unique,
)
from skewless.aggregations.runs import Runs, runs
from skewless.aggregations.span_sets import (
    ActiveRows,
    by_row,
    difference,
    gather,
    in_rows_of,
    newest_of,
    oldest_of,
    spans_of_valid,
)
from skewless.aggregations.windows import Window

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]
_SUMS = ("sum", "mean", "var", "var_sample")
_FEW = 24
_MOST_FREQUENT = 16  # numbers a moment that a sweep writes; longer lists are gathered


class Encoder(Protocol):
    """Turns values into what a number is taken of; hashable, equal where it encodes alike."""

    def encode(self, values: Any, /) -> Any:
        """Return what stands for an array of values."""


Key = tuple[str, Encoder | None]
"""A column, and what encodes it (None: its values as they are)."""


class WindowSweep:
    """The rows of one window and filter over some keys, asked about at many moments.

    Args:
        window: of which they are.
        spans: when each row counts.
        queries: the moments asked about.
        event: event times of the rows the spans speak of.
        coded: codes of the columns' values; shared by the windows over the same rows.
    """

    def __init__(
        self,
        window: Window,
        spans: Spans,
        queries: Queries,
        event: Ints,
        coded: Coded | None = None,
    ) -> None:
        self.window = window
        self.spans = spans
        self.queries = queries
        self.event = event
        self.coded = coded or Coded()
        self.wanted: dict[Key, Want] = {}
        self.found: dict[Key, dict[str, Any]] = {}

    def expect(self, number: str | None, key: str, encoder: Encoder | None) -> None:
        """Say that a number of a column is coming: one sweep then gives all its sums."""
        if number in _SUMS:
            place = (key, encoder)
            self.wanted[place] = self.wanted.get(place, Want(0)) | Want[number.upper()]

    def column(self, key: str, column: pa.Array | None) -> ColumnSweep:
        """Return a column of the rows; None for whole rows."""
        return ColumnSweep(self, key, column)


class ColumnSweep:
    """A column of the rows of a window, asked about at many moments.

    Attributes:
        window: of which they are.
        spans: when each row counts.
        queries: the moments asked about.
        event: event times of the rows.
        has_values: whether it is a column, not whole rows.
        valid: which values are not null, as bytes; None where all are.
    """

    def __init__(self, swept: WindowSweep, key: str, column: pa.Array | None) -> None:
        self._swept = swept
        self._key = key
        self._column = column
        self.window = swept.window
        self.spans = swept.spans
        self.queries = swept.queries
        self.event = swept.event
        self.has_values = column is not None
        self.valid = valid_of(column)

    @property
    def column(self) -> pa.Array:
        """The values as Arrow has them."""
        if self._column is None:
            raise ValueError("whole rows have no values")
        return self._column

    @property
    def is_float(self) -> bool:
        """Whether values are floating point."""
        return self._column is not None and bool(pa.types.is_floating(self._column.type))

    @property
    def values(self) -> Any:
        """The values as float64 or int64; nulls are 0."""
        return as_numbers(self.column)

    @staticmethod
    def array(values: Any, null: Any = None) -> pa.Array:
        """Return values as Arrow has them, null under a mask."""
        return pa.array(values, mask=null)

    def numbers(
        self, number: str, encoder: Encoder | None, finish: Callable[[Any], Any] | None
    ) -> pa.Array:
        """Return one of the kernels' numbers at each moment, or what is made of it.

        Args:
            number: of `NUMBERS`.
            encoder: what the number is taken of; None for the values.
            finish: makes the result of an array of numbers, NaN for null; None: they are it.
        """
        values, none = self._number(number, encoder)
        if finish is not None:
            with np.errstate(all="ignore"):
                values = finish(values)
        if values.dtype.kind == "f":
            none = np.isnan(values) | (False if none is None else none)
        return self.array(values, none)

    def _number(self, number: str, encoder: Encoder | None) -> tuple[Any, Any]:
        if number == "count":
            return sweep_counts(self.spans, self.queries, self.valid), None
        place, found = (self._key, encoder), self._swept.found
        if number in _SUMS:
            self._swept.expect(number, *place)
            if place not in found or number not in found[place]:
                found[place] = self._sums(self.spans, self._swept.wanted[place], encoder)
            overflow = found[place].get("overflow") if number == "sum" else None
            return found[place][number], None if overflow is None else overflow != 0
        extremes = found.setdefault((f"extremes of {self._key}", encoder), {})
        if not extremes:
            values = np.asarray(self._encoded(encoder), np.float64)
            low, high, some = sweep_extremes(self.spans, self.queries, values, self.valid)
            extremes.update(min=low, max=high, none=np.asarray(some) == 0)
        return extremes[number], extremes["none"]

    def _encoded(self, encoder: Encoder | None) -> Any:
        if encoder is None:
            return self.values
        with np.errstate(all="ignore"):
            return encoder.encode(self.values)

    def _sums(self, spans: Spans, want: Want, encoder: Encoder | None) -> dict[str, Any]:
        values = self._encoded(encoder)
        sweep = sweep_sums_int if values.dtype.kind == "i" else sweep_sums
        return sweep(spans, self.queries, values, self.valid, want)

    def newest(self, nulls: bool) -> Ints:
        """Return the newest row at each moment (-1: none), of all or of those with a value."""
        valid = None if nulls else self.valid
        return sweep_positions(self.spans, self.queries, None, valid, Want.MAX)[1]

    def oldest(self, nulls: bool) -> Ints:
        """Return the oldest row at each moment (-1: none), of all or of those with a value."""
        valid = None if nulls else self.valid
        return sweep_positions(self.spans, self.queries, None, valid, Want.MIN)[0]

    def least(self) -> Ints:
        """Return the row of the least value at each moment; -1 for none."""
        return sweep_positions(self.spans, self.queries, self._rank(), self.valid, Want.MIN)[0]

    def greatest(self) -> Ints:
        """Return the row of the greatest value at each moment; -1 for none."""
        return sweep_positions(self.spans, self.queries, self._rank(), self.valid, Want.MAX)[1]

    def _rank(self) -> Ints:
        ranks = pc.rank(self.column, sort_keys="ascending", tiebreaker="dense")
        return np.asarray(ranks).astype(np.int64)

    def taken(self, rows: Ints) -> pa.Array:
        """Return the values of rows, null at -1."""
        return self.column.take(pa.array(np.maximum(rows, 0), mask=rows < 0))

    def event_of(self, rows: Ints) -> Ints:
        """Return the event times of rows, 0 at -1."""
        events = np.zeros(len(rows), np.int64)
        some = rows >= 0
        events[some] = self.event[rows[some]]
        return events

    @property
    def codes(self) -> Ints:
        """The number of each value among the distinct ones; of nulls, 0."""
        return self._swept.coded.of(self._key, self.column)[0]

    def unique(self) -> Ints:
        """Return how many distinct values there are at each moment."""
        codes, size = self._swept.coded.of(self._key, self.column)
        return sweep_unique(self.spans, self.queries, codes, self.valid, n_codes=size)

    def distinct(self) -> pa.Array:
        """Return lists of the distinct values at each moment, ascending."""
        codes, values = self._swept.coded.ranked(self._key, self.column)
        size = max(len(values), 1)
        offsets, listed = sweep_codes(self.spans, self.queries, codes, self.valid, n_codes=size)
        chosen = values.take(pa.array(listed))
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), chosen)

    def ranked_distinct(self, keys: Ints, nth: int) -> tuple[Ints, Ints]:
        """Return a row of the distinct key that ``nth`` are less than (-1: none), and how many."""
        return sweep_distinct(self.spans, self.queries, keys, self.valid, nth=nth)

    def gathered(self, *, nulls: bool = False) -> Iterator[ActiveRows]:
        """Yield the rows that take part, for one run of moments after the other."""
        return gather(self.spans, self.queries, None if nulls else self.valid)

    def runs(self, *, nulls: bool = False) -> Iterator[Runs]:
        """Yield the windows that have a row, as runs of one sequence where they can be."""
        return runs(self.spans, self.queries, None if nulls else self.valid)

    def lists(self, part: slice) -> pa.Array:
        """Return lists of the values of some of the rows at each moment: the first, or the last.

        Only these rows are gathered.

        Args:
            part: which, as of a list: ``slice(0, n)`` or ``slice(-n, None)``.
        """
        spans = self._in_row_order()
        few = oldest_of(spans, part.stop) if part.stop else newest_of(spans, -part.start)
        found = []
        for gathered in gather(in_rows_of(few, spans), self.queries, self.valid):
            values = self.column.take(pa.array(gathered.rows))
            offsets = pa.array(gathered.offsets.astype(np.int32))
            found.append(pa.ListArray.from_arrays(offsets, values))
        if not found:
            return pa.array([], pa.list_(self.column.type))
        return pa.concat_arrays(found)

    def _in_row_order(self) -> Spans:
        """Return the spans of the rows that have a value, in the order of rows."""
        return by_row(self.spans if self.valid is None else spans_of_valid(self.spans, self.valid))

    def frequent(self, k: int) -> pa.Array:
        """Return lists of the ``k`` most frequent values, the smaller first among equals."""
        if k <= _MOST_FREQUENT and is_number(self.column.type):
            values = self.values + 0  # -0.0 and 0.0 are one value
            keys = order_of(values) if values.dtype.kind == "f" else values
            return self._frequent_by_key(k, keys, pa.array(values).cast(self.column.type))
        codes, values = self._swept.coded.ranked(self._key, self.column)
        if min(k, len(values)) > _MOST_FREQUENT:
            return self._frequent(k, codes, values)
        return self._frequent_by_key(min(k, max(len(values), 1)), codes, self.column)

    def _frequent_by_key(self, k: int, keys: Ints, column: pa.Array) -> pa.Array:
        found = sweep_frequent(self.spans, self.queries, keys, self.valid, k=k)
        some = found >= 0
        offsets = np.r_[0, np.cumsum(some.sum(axis=1))].astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), column.take(pa.array(found[some])))

    def _frequent(self, k: int, codes: Ints, values: pa.Array) -> pa.Array:
        """Return the same where lists are long: from the rows of every moment."""
        size = max(len(values), 1)
        found = []
        for part in self.gathered():
            queries = len(part.offsets) - 1
            asked = np.repeat(np.arange(queries), np.diff(part.offsets))
            pairs, counts = np.unique(asked * size + codes[part.rows], return_counts=True)
            query, code = np.divmod(pairs, size)
            order = np.lexsort((code, -counts, query))
            first = np.searchsorted(query, np.arange(queries + 1))
            place = np.arange(len(pairs)) - first[query]  # among those of the query, once ordered
            kept = place < k
            offsets = np.searchsorted(query[kept], np.arange(queries + 1)).astype(np.int32)
            chosen = values.take(pa.array(code[order][kept]))
            found.append(pa.ListArray.from_arrays(pa.array(offsets), chosen))
        if not found:
            return pa.array([], pa.list_(self.column.type))
        return pa.concat_arrays(found)

    def tallies(self, codes: Ints, size: int) -> tuple[Ints, Ints]:
        """Return how many rows of each code there are at each moment, and how many of all.

        Args:
            codes: of rows, from 0 on.
            size: how many codes there are.
        """
        if size <= _FEW:
            columns = []
            for code in range(size):
                flags = (codes == code).view(np.uint8)
                own = flags if self.valid is None else flags & self.valid
                columns.append(sweep_counts(self.spans, self.queries, own))
            counts = np.stack(columns, axis=1)
            return counts, counts.sum(axis=1)
        found = [np.zeros((0, size), np.int64)]
        for part in self.gathered():
            asked = np.repeat(np.arange(len(part.offsets) - 1), np.diff(part.offsets))
            counts = np.bincount(
                asked * size + codes[part.rows], minlength=(len(part.offsets) - 1) * size
            )
            found.append(counts.reshape(-1, size))
        counts = np.concatenate(found)
        return counts, counts.sum(axis=1)

    def around(self, keys: Ints, q: float) -> tuple[Ints, Ints, Ints]:
        """Return the rows around a quantile by keys, -1 for none, and how many rows there are."""
        return sweep_quantile(self.spans, self.queries, keys, self.valid, q=q)

    def means(self, spans: Spans) -> tuple[Floats, Ints]:
        """Return mean and count over other spans of the same rows."""
        found = self._sums(spans, Want.MEAN | Want.COUNT, None)
        return found["mean"], found["count"]

    def moments(self, *want: str) -> list[Floats]:
        """Return central moments, or the slope, at each moment; see `kernels.sweep_moments`."""
        event = self.event if "slope" in want else None
        found = sweep_moments(
            self.spans, self.queries, self.values, self.valid, want=want, events=event
        )
        return [found[name] for name in want]

    def parted(self, n: int) -> tuple[Spans, Spans]:
        """Return the spans in which rows with a value are the newest ``n``, and are not."""
        spans = self._in_row_order()
        newest = newest_of(spans, n)
        if newest.row is None:
            others = Spans.build(newest.exit, spans.exit, spans.start, spans.row)
            return in_rows_of(newest, spans), others
        return in_rows_of(newest, spans), in_rows_of(difference(spans, newest), spans)
