"""Spans of the same rows against each other: of some rows, in the order of rows, what is left over.

And the rows that count at each moment, gathered: for what no kernel sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skewless.aggregations.kernels import (
    Queries,
    Spans,
    gather_active,
    last_n_spans,
    sweep_counts,
)

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]
_ROWS = 4_000_000


@dataclass(frozen=True, eq=False)
class ActiveRows:
    """The rows that count for a run of queries.

    Attributes:
        first: number of the first query.
        offsets: rows of query ``first + q`` are ``rows[offsets[q]:offsets[q + 1]]``.
        rows: their positions, in row order.
    """

    first: int
    offsets: Ints
    rows: Ints

    @property
    def last(self) -> int:
        """The number after that of the last query."""
        return self.first + len(self.offsets) - 1


def gather(spans: Spans, queries: Queries, valid: Flags | None) -> Iterator[ActiveRows]:
    """Yield the rows that count, for one run of queries after the other.

    Such rows take memory for every query again, so a few queries are gathered at a time.

    Args:
        spans: when each row counts.
        queries: when to ask.
        valid: which rows take part at all; None for all.
    """
    total = np.cumsum(np.asarray(sweep_counts(spans, queries, valid)))
    first, before = 0, 0
    while first < len(total):
        last = max(int(np.searchsorted(total, before + _ROWS, "right")), first + 1)
        start = np.clip(queries.start, first, last) - first
        offsets, rows = gather_active(spans, Queries(queries.time[first:last], start), valid)
        yield ActiveRows(first, offsets, rows)
        first, before = last, int(total[last - 1])


def spans_of_valid(spans: Spans, valid: Flags) -> Spans:
    """Return the spans of the rows that are valid, in the order of rows within groups."""
    row = np.arange(len(spans.enter)) if spans.row is None else spans.row
    kept = valid[row] != 0
    start = np.r_[0, np.cumsum(kept)][spans.start]
    return Spans.build(spans.enter[kept], spans.exit[kept], start, row[kept])


def by_row(spans: Spans) -> Spans:
    """Return the spans of each group in the order of their rows."""
    if spans.row is None or (np.diff(spans.row) >= 0).all():
        return spans
    group = np.repeat(np.arange(len(spans.start) - 1), np.diff(spans.start))
    first, last = int(spans.start[0]), int(spans.start[-1])
    at = first + np.lexsort((spans.enter[first:last], spans.row[first:last], group))
    return Spans.build(spans.enter[at], spans.exit[at], spans.start - first, spans.row[at])


def in_rows_of(spans: Spans, outer: Spans) -> Spans:
    """Return spans whose rows are positions of other spans as spans of these others' rows."""
    row = np.arange(len(spans.enter)) if spans.row is None else spans.row
    row = row if outer.row is None else outer.row[row]
    return Spans(row, spans.enter, spans.exit, spans.start, spans.enter_order, spans.exit_order)


def union(one: Spans, other: Spans) -> Spans:
    """Return the spans of both, of the same groups and rows; none of one row may overlap."""
    sets = [(each, np.flatnonzero(each.enter < each.exit)) for each in (one, other)]
    row = np.concatenate([
        some if each.row is None else each.row[some] for each, some in sets
    ])  # fmt: skip
    group = np.concatenate([np.searchsorted(each.start, some, "right") for each, some in sets])
    enter = np.concatenate([each.enter[some] for each, some in sets])
    leave = np.concatenate([each.exit[some] for each, some in sets])
    order = np.lexsort((enter, row, group))
    start = np.searchsorted(group[order], np.arange(1, len(one.start) + 1)).astype(np.int64)
    return Spans.build(enter[order], leave[order], start, row[order])


def newest_of(spans: Spans, n: int) -> Spans:
    """Return when each span, which come in row order, is one of the ``n`` last of its group.

    Rows of the result are positions of the spans; None where span i is of position i.
    """
    if not _leave_in_order(spans):
        return last_n_spans(spans.enter, spans.exit, spans.start, n)
    # A row that enters after another, and leaves after it, can only be pushed out by newer.
    pushed = last_n_spans(spans.enter, None, spans.start, n).exit
    return Spans.build(spans.enter, np.minimum(pushed, spans.exit), spans.start)


def oldest_of(spans: Spans, n: int) -> Spans:
    """Return when each span, which come in row order, is one of the ``n`` first of its group.

    Rows of the result are positions of the spans; None where span i is of position i.
    """
    own, place = np.repeat(spans.start[:-1], np.diff(spans.start)), np.arange(len(spans.enter))
    if not _leave_in_order(spans):
        end = np.repeat(spans.start[1:], np.diff(spans.start))
        back = own + end - 1 - place
        found = last_n_spans(spans.enter[back], spans.exit[back], spans.start, n)
        row = back if found.row is None else back[found.row]
        return Spans.build(found.enter, found.exit, found.start, row)
    # The oldest leave first, so a row waits for the one that is n places before it to leave.
    enter, late = spans.enter.copy(), np.flatnonzero(place - n >= own)
    enter[late] = np.maximum(enter[late], spans.exit[late - n])
    return Spans.build(enter, spans.exit, spans.start)


def _leave_in_order(spans: Spans) -> bool:
    return spans.enter_order is None and spans.exit_order is None


def difference(outer: Spans, inner: Spans) -> Spans:
    """Return the parts of spans that lie in no inner one; rows of the inner ones are positions."""
    size = len(outer.enter)
    place = np.arange(len(inner.enter)) if inner.row is None else inner.row
    where = np.concatenate([np.arange(size), np.arange(size), place, place])
    time = np.concatenate([outer.enter, outer.exit, inner.enter, inner.exit])
    one, other = np.ones(size, np.int64), np.full(len(place), 2, np.int64)
    change = np.concatenate([one, -one, other, -other])
    order = np.lexsort((time, where))
    where, time, state = where[order], time[order], np.cumsum(change[order])
    # 1: within the outer span alone. Every span's changes add up to nothing.
    part = np.flatnonzero((state[:-1] == 1) & (time[:-1] < time[1:]))
    start = np.searchsorted(where[part], outer.start).astype(np.int64)
    return Spans.build(time[part], time[part + 1], start, where[part])
