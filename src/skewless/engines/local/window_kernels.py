"""One window over one chunk of keys: every aggregation of it, by the kernel that fits.

The common aggregations have a compiled sweep. All others gather the rows that count for each
query and call `Aggregation.compute`, which defines them. Those that are grouped by a text sweep
each group as if it were an entity of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.aggregations.approximate import ApproxQuantile, ApproxUnique
from skewless.aggregations.counting import rate
from skewless.aggregations.kernels import (
    Queries,
    Spans,
    Want,
    last_n_spans,
    sweep_counts,
    sweep_extremes,
    sweep_positions,
    sweep_sums,
    sweep_sums_int,
    sweep_unique,
)
from skewless.aggregations.moments import Var
from skewless.aggregations.ordering import Trend
from skewless.clock import SECOND
from skewless.definitions import Aggregate
from skewless.engines.local.approximate import sweep_approx_quantile, sweep_approx_unique
from skewless.engines.local.columns import Coded, as_numbers, taken, valid_of
from skewless.engines.local.grouped import Groups, maps_of, number_texts
from skewless.engines.local.spine import Ints
from skewless.engines.local.window_rows import computed
from skewless.state.layout import expression_key

_WANT = {"sum": Want.SUM, "mean": Want.MEAN, "var": Want.VAR, "std": Want.VAR}


class SweptWindow:
    """The aggregations of one window and filter over some keys.

    Args:
        spans: when each row counts.
        queries: the moments asked about.
        event: event times of the rows the spans speak of.
        columns: their evaluated expressions, and codes of their distinct values (shared by the
            windows over the same rows).
        left: 1 where the moment itself does not count.
    """

    def __init__(
        self,
        spans: Spans,
        queries: Queries,
        event: Ints,
        columns: tuple[dict[str, pa.Array], Coded],
        left: int,
    ) -> None:
        self.spans = spans
        self.queries = queries
        self.event = event
        self.columns, self.coded = columns
        self.left = left
        self._sums: dict[str, dict[str, Any]] = {}
        self._extremes: dict[str, tuple[Any, Any, Any]] = {}
        self._groups: dict[str, tuple[Groups, SweptWindow]] = {}

    def run(self, aggregates: Sequence[Aggregate]) -> list[pa.Array]:
        """Return one Arrow array per aggregate, an element per query."""
        self._sweep_sums([aggregate for aggregate in aggregates if aggregate.by is None])
        return [self._finished(aggregate, aggregates) for aggregate in aggregates]

    def _finished(self, aggregate: Aggregate, aggregates: Sequence[Aggregate]) -> pa.Array:
        if aggregate.by is None:
            values = self._values(aggregate)
        else:
            values = self._grouped(aggregate, aggregates)
        expired = self._expired(aggregate)
        if expired is not None:
            values = pc.if_else(pa.array(expired), pa.scalar(None, values.type), values)
        return values

    def _expired(self, aggregate: Aggregate) -> npt.NDArray[np.bool_] | None:
        """Return for which queries the ttl or the session's gap has passed."""
        window, limit = aggregate.window, aggregate.expiry
        if limit is None:
            return None
        _, newest = sweep_positions(self.spans, self.queries, None, None, Want.MAX)
        age = self.queries.time - self.left - window.offset - self._event_of(newest)
        return (newest >= 0) & (age >= limit)

    def _event_of(self, rows: Ints) -> Ints:
        """Return the event times of rows, 0 at -1."""
        events = np.zeros(len(rows), np.int64)
        some = rows >= 0
        events[some] = self.event[rows[some]]
        return events

    def _values(self, aggregate: Aggregate) -> pa.Array:
        kind = aggregate.aggregation
        column = None if aggregate.column is None else self._column(aggregate)
        sweep = _SWEEPS.get(kind.name)
        if sweep is not None:
            swept = sweep(self, aggregate, column)
            if swept is not None:
                return swept.cast(aggregate.dtype.arrow())
        skip = column is not None and not kind.keeps_nulls and column.null_count
        valid = valid_of(column) if skip else None
        return computed(aggregate, (self.spans, self.event), self.queries, column, valid)

    def _grouped(self, aggregate: Aggregate, aggregates: Sequence[Aggregate]) -> pa.Array:
        """Return the maps of an aggregate; groups are found, and summed, once for all."""
        if aggregate.by is None:
            raise ValueError(f"{aggregate!r} is not grouped")
        key = expression_key(aggregate.by)
        if key not in self._groups:
            texts = number_texts(self.columns[key])
            groups = Groups.of(self.spans, self.queries, *texts)
            swept = SweptWindow(
                groups.spans, groups.queries, self.event, (self.columns, self.coded), self.left
            )
            same = [a for a in aggregates if a.by is not None and expression_key(a.by) == key]
            swept._sweep_sums([a.without_by() for a in same])
            self._groups[key] = groups, swept
        groups, swept = self._groups[key]
        plain = aggregate.without_by()
        skip = aggregate.column is not None and not aggregate.aggregation.keeps_nulls
        valid = valid_of(self._column(aggregate)) if skip else None
        some = None if valid is None else sweep_counts(swept.spans, swept.queries, valid) > 0
        return maps_of(groups, swept._values(plain), some).cast(aggregate.dtype.arrow())

    def _column(self, aggregate: Aggregate) -> pa.Array:
        if aggregate.column is None:
            raise ValueError(f"{aggregate!r} has no column")
        return self.columns[expression_key(aggregate.column)]

    def _sweep_sums(self, aggregates: Sequence[Aggregate]) -> None:
        """Compute everything that sums give, one sweep a column."""
        wanted: dict[str, Want] = {}
        for aggregate in aggregates:
            kind = aggregate.aggregation
            if kind.name in _WANT and aggregate.column is not None:
                key = expression_key(aggregate.column)
                sample = isinstance(kind, Var) and kind.ddof == 1
                want = Want.VAR_SAMPLE if sample else _WANT[kind.name]
                wanted[key] = wanted.get(key, Want(0)) | want
        for key, want in wanted.items():
            column = self.columns[key]
            if pa.types.is_decimal(column.type):
                continue
            sweep = sweep_sums_int if pa.types.is_integer(column.type) else sweep_sums
            values = as_numbers(column)
            self._sums[key] = sweep(self.spans, self.queries, values, valid_of(column), want)

    def _from_sums(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array | None:
        found = None
        if aggregate.column is not None:
            found = self._sums.get(expression_key(aggregate.column))
        if found is None:
            return None
        kind = aggregate.aggregation
        if kind.name == "sum" and "overflow" in found:
            return pa.array(found["sum"], mask=found["overflow"] != 0)
        name = "var" if isinstance(kind, Var) else kind.name
        values = found["var_sample" if isinstance(kind, Var) and kind.ddof else name]
        if kind.name == "std":
            values = np.sqrt(values)
        return pa.array(values, mask=np.isnan(values))

    def _count(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array:
        return pa.array(sweep_counts(self.spans, self.queries, valid_of(column)))

    def _rate(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array:
        counts = sweep_counts(self.spans, self.queries, valid_of(column))
        return pa.array(rate(counts, aggregate.window))

    def _extreme(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array:
        if column is None:
            raise ValueError("an extreme needs a column")
        least = aggregate.aggregation.name == "min"
        if pa.types.is_floating(column.type) and aggregate.column is not None:
            key = expression_key(aggregate.column)
            if key not in self._extremes:
                values, valid = as_numbers(column), valid_of(column)
                self._extremes[key] = sweep_extremes(self.spans, self.queries, values, valid)
            low, high, some = self._extremes[key]
            return pa.array(low if least else high, mask=np.asarray(some) == 0)
        ranks = pc.rank(column, sort_keys="ascending", tiebreaker="dense")
        rank = np.asarray(ranks).astype(np.int64)
        want = Want.MIN if least else Want.MAX
        found = sweep_positions(self.spans, self.queries, rank, valid_of(column), want)
        return taken(column, found[0 if least else 1])

    def _end(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array:
        if column is None:
            raise ValueError("first and latest need a column")
        valid = None if aggregate.aggregation.keeps_nulls else valid_of(column)
        oldest = aggregate.aggregation.name == "first"
        want = Want.MIN if oldest else Want.MAX
        found = sweep_positions(self.spans, self.queries, None, valid, want)
        return taken(column, found[0 if oldest else 1])

    def _since(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array:
        valid = valid_of(column)
        _, newest = sweep_positions(self.spans, self.queries, None, valid, Want.MAX)
        seconds = (self.queries.time - self._event_of(newest)) / SECOND
        return pa.array(seconds, mask=newest < 0)

    def _unique(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array | None:
        if column is None or aggregate.column is None:
            return None
        codes, size = self.coded.of(expression_key(aggregate.column), column)
        valid = valid_of(column)
        return pa.array(sweep_unique(self.spans, self.queries, codes, valid, n_codes=size))

    def _approx_unique(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array | None:
        kind = aggregate.aggregation
        if column is None or aggregate.column is None or not isinstance(kind, ApproxUnique):
            return None
        coded = self.coded.of(expression_key(aggregate.column), column)
        when = self.spans, self.queries
        return sweep_approx_unique(kind, when, column, coded, valid_of(column))

    def _approx_quantile(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array | None:
        kind = aggregate.aggregation
        if (
            column is None
            or not isinstance(kind, ApproxQuantile)
            or pa.types.is_decimal(column.type)
        ):
            return None
        numbers = as_numbers(column).astype(np.float64)
        return sweep_approx_quantile(kind, (self.spans, self.queries), numbers, valid_of(column))

    def _trend(self, aggregate: Aggregate, column: pa.Array | None) -> pa.Array | None:
        """Means of the newest and of the older rows: a sweep each, where rows come in order."""
        kind, window, spans = aggregate.aggregation, aggregate.window, self.spans
        plain = spans.row is None and spans.enter_order is None
        if (
            column is None or not isinstance(kind, Trend) or window.most_rows is None
            or column.null_count or not plain or not pa.types.is_float64(column.type)
        ):  # fmt: skip
            return None
        recent = last_n_spans(spans.enter, None, spans.start, kind.recent)
        if recent.row is not None:
            return None
        values = as_numbers(column)
        older = Spans.build(recent.exit, np.maximum(recent.exit, spans.exit), spans.start)
        new = sweep_sums(recent, self.queries, values, None, Want.MEAN | Want.COUNT)
        old = sweep_sums(older, self.queries, values, None, Want.MEAN | Want.COUNT)
        with np.errstate(all="ignore"):
            change = (new["mean"] - old["mean"]) / old["mean"] * 100.0
        change = np.where((old["count"] == 0) | (old["mean"] == 0), 0.0, change)
        return pa.array(change, mask=(new["count"] < kind.recent) | ~np.isfinite(change))


Sweep = Callable[[SweptWindow, Aggregate, "pa.Array | None"], "pa.Array | None"]
_SWEEPS: dict[str, Sweep] = {
    "count": SweptWindow._count, "rate": SweptWindow._rate,
    "sum": SweptWindow._from_sums, "mean": SweptWindow._from_sums,
    "var": SweptWindow._from_sums, "std": SweptWindow._from_sums,
    "min": SweptWindow._extreme, "max": SweptWindow._extreme,
    "first": SweptWindow._end, "latest": SweptWindow._end,
    "since_last": SweptWindow._since, "n_unique": SweptWindow._unique,
    "trend": SweptWindow._trend,
    "approx_unique": SweptWindow._approx_unique,
    "approx_quantile": SweptWindow._approx_quantile,
}  # fmt: skip
