"""One window over one chunk of keys: every aggregation of it, in its fastest form.

Which that is the aggregation says itself (`Aggregation.sweeps`). Those that are grouped by a text
sweep each group as if it were an entity of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.aggregations.base import Aggregation
from skewless.aggregations.columns import Coded, is_number, valid_of
from skewless.aggregations.kernels import Queries, Spans, Want, sweep_counts, sweep_positions
from skewless.aggregations.plugged_in import blaming, fitted
from skewless.aggregations.sweep import ColumnSweep, WindowSweep
from skewless.aggregations.windows import Window
from skewless.definitions import Aggregate
from skewless.engines.local.grouped import Groups, maps_of, number_texts
from skewless.engines.local.spine import Ints
from skewless.state.layout import expression_key
from skewless.types import DType, python_values


class WindowKernels:
    """The aggregates of one window and filter over some keys.

    Args:
        window: of all of them.
        spans: when each row counts.
        queries: the moments asked about.
        event: event times of the rows the spans speak of.
        columns: their evaluated expressions, and codes of their distinct values (shared by the
            windows over the same rows).
        exclusive: 1 where the moment itself does not count.
    """

    def __init__(
        self,
        window: Window,
        spans: Spans,
        queries: Queries,
        event: Ints,
        columns: tuple[dict[str, pa.Array], Coded],
        *,
        exclusive: int,
    ) -> None:
        self.columns, coded = columns
        self.swept = WindowSweep(window, spans, queries, event, coded)
        self.exclusive = exclusive
        self._groups: dict[str, tuple[Groups, WindowSweep]] = {}

    def run(self, aggregates: Sequence[Aggregate]) -> list[pa.Array]:
        """Return one Arrow array per aggregate, an element per query."""
        _expect(self.swept, [aggregate for aggregate in aggregates if aggregate.by is None])
        return [self._finished(aggregate, aggregates) for aggregate in aggregates]

    def _finished(self, aggregate: Aggregate, aggregates: Sequence[Aggregate]) -> pa.Array:
        if aggregate.by is None:
            values = self._values(self.swept, aggregate)
        else:
            values = self._grouped(aggregate, aggregates)
        expired = self._expired(aggregate)
        if expired is not None:
            values = pc.if_else(pa.array(expired), pa.scalar(None, values.type), values)
        return values

    def _expired(self, aggregate: Aggregate) -> npt.NDArray[np.bool_] | None:
        """Return for which queries the ttl or the session's gap has passed."""
        if aggregate.expiry is None:
            return None
        swept = self.swept
        _, newest = sweep_positions(swept.spans, swept.queries, None, None, Want.MAX)
        shift = self.exclusive + aggregate.window.offset
        age = swept.queries.time - shift - swept.column("", None).event_of(newest)
        return (newest >= 0) & (age >= aggregate.expiry)

    def _values(self, swept: WindowSweep, aggregate: Aggregate) -> pa.Array:
        kind, column = aggregate.aggregation, aggregate.column
        if column is None:
            rows = swept.column("", None)
        else:
            key = expression_key(column)
            rows = swept.column(key, self.columns[key])
        if kind.sweeps(None if column is None else column.dtype):
            if kind.plugged_in:
                return _swept_by(kind, rows, aggregate.dtype)
            return kind.sweep(rows).cast(aggregate.dtype.arrow())
        return _computed(rows, kind, aggregate.dtype)

    def _grouped(self, aggregate: Aggregate, aggregates: Sequence[Aggregate]) -> pa.Array:
        """Return the maps of an aggregate; groups are found, and summed, once for all."""
        if aggregate.by is None:
            raise ValueError(f"{aggregate!r} is not grouped")
        key = expression_key(aggregate.by)
        if key not in self._groups:
            swept = self.swept
            texts = number_texts(self.columns[key])
            groups = Groups.of(swept.spans, swept.queries, *texts)
            by_group = WindowSweep(
                swept.window, groups.spans, groups.queries, swept.event, swept.coded
            )
            same = [a for a in aggregates if a.by is not None and expression_key(a.by) == key]
            _expect(by_group, same)
            self._groups[key] = groups, by_group
        groups, by_group = self._groups[key]
        valid = None
        if aggregate.column is not None and not aggregate.aggregation.keeps_nulls:
            valid = valid_of(self.columns[expression_key(aggregate.column)])
        some = None if valid is None else sweep_counts(by_group.spans, by_group.queries, valid) > 0
        values = self._values(by_group, aggregate.without_by())
        return maps_of(groups, values, some).cast(aggregate.dtype.arrow())


def _expect(swept: WindowSweep, aggregates: Sequence[Aggregate]) -> None:
    for aggregate in aggregates:
        kind, column = aggregate.aggregation, aggregate.column
        if column is not None and kind.sweeps(column.dtype):
            swept.expect(kind.number, expression_key(column), kind if kind.encodes else None)


def _swept_by(kind: Aggregation, rows: ColumnSweep, dtype: DType) -> pa.Array:
    """Return what the `sweep` of an aggregation that is plugged in gives: a value a moment."""
    with blaming(kind, "sweep"):
        values = kind.sweep(rows).cast(dtype.arrow())
        if len(values) != len(rows.queries.time):
            raise TypeError(f"it gave {len(values)} values for {len(rows.queries.time)} moments")
        if pa.types.is_floating(values.type):  # NaN is null, as it is in `DType.coerce`
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        return values


def _computed(rows: ColumnSweep, kind: Aggregation, dtype: DType) -> pa.Array:
    """Return what `summary`, or else `compute`, gives of the rows of each moment."""
    numbers = None
    if kind.summarises and rows.has_values and is_number(rows.column.type):
        numbers = rows.values
    found: list[Any] = []
    for part in rows.gathered(nulls=kind.keeps_nulls):
        asked = rows.queries.time[part.first : part.last].tolist()
        for t, (low, high) in zip(asked, pairwise(part.offsets.tolist()), strict=True):
            found.append(_computed_at(rows, kind, numbers, part.rows[low:high], t))
    if kind.plugged_in:
        return pa.array([fitted(kind, dtype, value) for value in found], type=dtype.arrow())
    return pa.array([dtype.coerce(value) for value in found], type=dtype.arrow())


def _computed_at(rows: ColumnSweep, kind: Aggregation, numbers: Any, at: Ints, t: int) -> Any:
    if len(at) == 0:
        return list(kind.empty) if isinstance(kind.empty, tuple) else kind.empty
    if kind.needs is not None:
        at = at[kind.needs]
    if kind.summarises:
        values = None if numbers is None else numbers[at]
        value = kind.summary(values, rows.event[at], t, rows.window)
        if value is not NotImplemented:
            return value
    events = rows.event[at].tolist()
    values = python_values(rows.column.take(pa.array(at))) if rows.has_values else [None] * len(at)
    return kind.compute(values, events, t, rows.window)
