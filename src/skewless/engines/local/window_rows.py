"""The rows that count for each query, gathered: for what no kernel sweeps.

Gathered rows take memory for every query anew, so a few queries are gathered at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.aggregations.kernels import Queries, Spans, gather_active, sweep_counts
from skewless.definitions import Aggregate
from skewless.engines.local.spine import Ints
from skewless.types import python_values

_ROWS = 4_000_000
Flags = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Gathered:
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


def gather(spans: Spans, queries: Queries, valid: Flags | None) -> Iterator[Gathered]:
    """Yield the rows that count, for one run of queries after the other.

    Args:
        spans: when each row counts.
        queries: when to ask.
        valid: which rows take part at all; None for all.
    """
    for first, last in _slices(np.asarray(sweep_counts(spans, queries, valid))):
        start = np.clip(queries.start, first, last) - first
        offsets, rows = gather_active(spans, Queries(queries.time[first:last], start), valid)
        yield Gathered(first, offsets, rows)


def _slices(counts: Ints) -> Iterator[tuple[int, int]]:
    """Yield runs of queries that together have few rows."""
    total = np.cumsum(counts)
    first, before = 0, 0
    while first < len(counts):
        last = max(int(np.searchsorted(total, before + _ROWS, "right")), first + 1)
        yield first, last
        first, before = last, int(total[last - 1])


def computed(
    aggregate: Aggregate,
    rows: tuple[Spans, Ints],
    queries: Queries,
    column: pa.Array | None,
    valid: Flags | None,
) -> pa.Array:
    """Call `Aggregation.compute`, which defines every aggregation, for each query.

    Args:
        aggregate: without ``by``.
        rows: when each counts, and their event times.
        queries: when to ask.
        column: the rows' values; None for whole rows.
        valid: which rows take part; None for all.
    """
    kind, (spans, event) = aggregate.aggregation, rows
    found: list[Any] = []
    for part in gather(spans, queries, valid):
        taken = part.rows
        of_rows = None if column is None else column.take(pa.array(taken))
        values = [None] * len(taken) if of_rows is None else python_values(of_rows)
        events = event[taken].tolist()
        asked = queries.time[part.first : part.last].tolist()
        for t, (low, high) in zip(asked, pairwise(part.offsets.tolist()), strict=True):
            if low == high:
                found.append(list(kind.empty) if isinstance(kind.empty, tuple) else kind.empty)
                continue
            found.append(kind.compute(values[low:high], events[low:high], t, aggregate.window))
    coerced = [aggregate.dtype.coerce(value) for value in found]
    return pa.array(coerced, type=aggregate.dtype.arrow())
