"""Windows as runs of neighbours in one sequence of rows: for what depends on the row before.

Where rows come and leave in order, the rows of a window are neighbours among all rows of their
group, so that one look at the rows serves every moment. Moments at which some row in between does
not count, as it was late or is corrected by then, have their rows gathered.

    >>> spans = Spans.build(np.array([0, 5, 9]), np.array([10, 15, 19]), np.array([0, 3]))
    >>> (found,) = runs(spans, Queries(np.array([0, 9, 12]), np.array([0, 3])), None)
    >>> found.low.tolist(), found.high.tolist()
    ([0, 0, 1], [1, 3, 3])
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skewless.aggregations.kernels import Queries, Spans, Want, sweep_counts, sweep_positions
from skewless.aggregations.span_sets import by_row, gather, spans_of_valid

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Runs:
    """Windows, of one row or more each, as runs of a sequence.

    Attributes:
        queries: the numbers of the queries they are of, ascending.
        rows: positions of the rows of the sequence.
        start: where its groups begin, and the last ends; a window lies within one.
        low, high: the window of ``queries[i]`` is ``rows[low[i]:high[i]]``; neither steps back.
    """

    queries: Ints
    rows: Ints
    start: Ints
    low: Ints
    high: Ints


def runs(spans: Spans, queries: Queries, valid: Flags | None) -> Iterator[Runs]:
    """Yield the windows of all queries at which a row counts.

    Args:
        spans: when each row counts.
        queries: when to ask.
        valid: which rows take part at all; None for all.
    """
    counts = np.asarray(sweep_counts(spans, queries, valid))
    oldest, newest = sweep_positions(spans, queries, None, valid, Want.EXTREMES)
    some = np.flatnonzero(counts)
    rows, start = _in_order(spans, valid)
    place = np.zeros(int(rows.max(initial=-1)) + 1, np.int64)
    place[rows] = np.arange(len(rows))
    low, high = place[oldest[some]], place[newest[some]] + 1
    near = high - low == counts[some]
    near &= low == np.maximum.accumulate(np.where(near, low, 0))
    near &= high == np.maximum.accumulate(np.where(near, high, 0))
    if near.any():
        yield Runs(some[near], rows, start, low[near], high[near])
    left = np.zeros(len(counts), bool)
    left[some[~near]] = True
    yield from _gathered(spans, queries, valid, left)


def _in_order(spans: Spans, valid: Flags | None) -> tuple[Ints, Ints]:
    """Return the rows that ever count, in row order group by group, and where groups begin."""
    ever = spans.enter < spans.exit
    if valid is not None or not ever.all():
        row = np.arange(len(ever)) if spans.row is None else spans.row
        flags = np.zeros(int(row.max(initial=-1)) + 1, np.uint8)
        flags[row[ever]] = 1
        spans = spans_of_valid(spans, flags if valid is None else flags & valid[: len(flags)])
    spans = by_row(spans)
    if spans.row is None:
        return np.arange(spans.start[0], spans.start[-1]), spans.start - spans.start[0]
    own = spans.row[spans.start[0] : spans.start[-1]]
    new = np.r_[True, own[1:] != own[:-1]][: len(own)]  # a row may count more than once
    return own[new], np.r_[0, np.cumsum(new)][spans.start - spans.start[0]]


def _gathered(
    spans: Spans, queries: Queries, valid: Flags | None, left: npt.NDArray[np.bool_]
) -> Iterator[Runs]:
    if not left.any():
        return
    of_some = np.flatnonzero(left)
    start = np.r_[0, np.cumsum(left)][queries.start]
    for part in gather(spans, Queries(queries.time[left], start), valid):
        numbers = of_some[part.first : part.last]
        yield Runs(numbers, part.rows, part.offsets, part.offsets[:-1], part.offsets[1:])
