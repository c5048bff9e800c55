"""Approximate aggregations of a window: the values of `aggregations.approximate`, in bulk.

>>> buckets_of(np.array([20.0, 20.2, -20.0, 0.0]), 6).tolist()
[70737, 70737, -70737, 0]
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.aggregations.approximate import BEYOND, ApproxQuantile, ApproxUnique, middle_of
from skewless.aggregations.kernels import Queries, Spans, sweep_unique
from skewless.engines.local.spine import Ints
from skewless.engines.local.window_rows import Flags, gather


def sweep_approx_unique(
    kind: ApproxUnique,
    when: tuple[Spans, Queries],
    column: pa.Array,
    coded: tuple[Ints, int],
    valid: Flags | None,
) -> pa.Array:
    """Return the number of distinct values: counted, and estimated where there are many.

    Args:
        kind: with its precision.
        when: each row counts, and is asked for.
        column: the values.
        coded: the code of each value, and how many there are.
        valid: which rows take part; None for all.
    """
    (spans, queries), (codes, size) = when, coded
    counts = np.array(sweep_unique(spans, queries, codes, valid, n_codes=size))
    many = counts > 1 << kind.precision
    if not many.any():
        return pa.array(counts)
    start = np.append(0, np.cumsum(many))[queries.start]
    estimates = []
    for part in gather(spans, Queries(queries.time[many], start), valid):
        for low, high in pairwise(part.offsets.tolist()):
            rows = part.rows[low:high]
            _, first = np.unique(codes[rows], return_index=True)
            values = column.take(pa.array(rows[first])).to_pylist()
            estimates.append(kind.compute(values, (), 0, None))
    counts[many] = estimates
    return pa.array(counts)


def sweep_approx_quantile(
    kind: ApproxQuantile,
    when: tuple[Spans, Queries],
    values: npt.NDArray[np.float64],
    valid: Flags | None,
) -> pa.Array:
    """Return the quantile of each query: the middle of the bucket at its rank.

    Args:
        kind: with its quantile and accuracy.
        when: each row counts, and is asked for.
        values: of the rows.
        valid: which rows take part; None for all.
    """
    spans, queries = when
    buckets, codes = np.unique(buckets_of(values, kind.bits), return_inverse=True)
    middles = np.array([middle_of(bucket, kind.bits) for bucket in buckets.tolist()])
    found = np.zeros(len(queries.time))
    none = np.ones(len(queries.time), bool)
    for part in gather(spans, queries, valid):
        counts = np.diff(part.offsets)
        asked = np.repeat(np.arange(len(counts)), counts)
        ranked = np.sort(asked * len(buckets) + codes[part.rows])
        some = np.flatnonzero(counts)
        rank = np.floor(kind.q * (counts[some] - 1)).astype(np.int64)
        found[part.first + some] = middles[ranked[part.offsets[some] + rank] % len(buckets)]
        none[part.first + some] = False
    return pa.array(found, mask=none)


def buckets_of(values: npt.NDArray[np.float64], bits: int) -> Ints:
    """Return the bucket of each value: what `aggregations.approximate.bucket_of` gives."""
    part, power = np.frexp(np.abs(values))
    infinite = np.isinf(values)
    part = np.where(infinite, 0.5, part)
    power = np.where(infinite, BEYOND, power).astype(np.int64)
    bucket = (power + BEYOND << bits) + ((2 * part - 1) * (1 << bits)).astype(np.int64) + 1
    return np.where(values == 0, 0, np.where(values > 0, bucket, -bucket))
