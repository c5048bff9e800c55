"""Rows held in memory for aggregations over windows: sorted by key and row order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS, NEVER
from skewless.definitions import Expression
from skewless.engines.local.scan import Scan
from skewless.engines.local.spine import Ints, KeyIndex, order_by
from skewless.plan.layout import expression_key

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class HeldRows:
    """Rows sorted by key and row order; all arrays are of one length.

    Attributes:
        start: rows of the key with code c are ``start[c]`` up to ``start[c + 1]``.
        event, known: microseconds; ``known`` is `ALWAYS` where known time does not count.
        superseded: when each row was replaced; `NEVER` for most, None where none was.
        columns: evaluated expressions, by `expression_key`.
    """

    start: Ints
    event: Ints
    known: Ints
    superseded: Ints | None
    columns: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.event)


def hold(
    scan: Scan, keys: KeyIndex, expressions: list[Expression], only: Ints | None = None
) -> HeldRows:
    """Read and sort the rows of the indexed keys.

    Args:
        scan: reads the source.
        keys: whose rows are wanted.
        expressions: evaluated for every row.
        only: codes of the keys that are wanted; None for all.
    """
    wanted = np.ones(keys.size + 1, bool)
    wanted[-1] = False
    if only is not None:
        wanted[:] = False
        wanted[only] = True
    times: list[list[Ints]] = [[], [], [], [], [], []]
    distinct = {expression_key(expression): expression for expression in expressions}
    columns: dict[str, list[pa.Array]] = {key: [] for key in distinct}
    for rows in scan.rows(keys, None, list(distinct.values())):
        at = np.flatnonzero(wanted[rows.codes])
        replaced = scan.superseded.of(rows.numbers[at]) if len(scan.superseded) else None
        if replaced is not None:
            alive = replaced > (ALWAYS if scan.as_known else NEVER - 1)
            at, replaced = at[alive], replaced[alive]
        whole = len(at) == len(rows.codes)
        found = (rows.codes, rows.event, rows.known, rows.tiebreak, rows.numbers)
        for store, values in zip(times, found, strict=False):
            store.append(values if whole else values[at])
        times[5].append(np.full(len(at), NEVER) if replaced is None else replaced)
        for key, column in rows.columns.items():
            columns[key].append(column if whole else column.take(pa.array(at)))
    codes, event, known, tiebreak, numbers, superseded = (
        np.concatenate(part) if part else np.zeros(0, np.int64) for part in times
    )
    order = _row_order(scan, codes, (event, known, tiebreak), numbers)
    start = np.searchsorted(codes[order], np.arange(keys.size + 1)).astype(np.int64)
    joined = {
        key: _concat(parts, distinct[key]).take(pa.array(order)) for key, parts in columns.items()
    }
    return HeldRows(
        start,
        event[order],
        known[order] if scan.as_known else np.full(len(order), ALWAYS),
        superseded[order] if (superseded != NEVER).any() else None,
        joined,
    )


def _concat(parts: list[pa.Array], expression: Expression) -> pa.Array:
    if not parts:
        return pa.array([], type=expression.dtype.arrow())
    return pa.concat_arrays(parts)


def _row_order(scan: Scan, codes: Ints, times: tuple[Ints, Ints, Ints], numbers: Ints) -> Ints:
    """Return the order by key, event time, known time, sequence and, at last, content hash."""
    event, known, tiebreak = times
    order = order_by(codes, event)
    tied = _tied(codes[order], event[order])
    if not tied.any():
        return order
    at = np.flatnonzero(tied)
    rows = order[at]
    hashes = np.zeros(len(rows), np.uint64)
    run = np.cumsum(np.r_[True, (np.diff(codes[rows]) != 0) | (np.diff(event[rows]) != 0)])
    inner = np.lexsort((tiebreak[rows], known[rows], run))
    still = np.zeros(len(rows), bool)
    still[inner] = _tied(run[inner], known[rows][inner], tiebreak[rows][inner])
    if still.any():
        asked = np.unique(numbers[rows[still]])
        found = scan.content_hash(asked)
        hashes[still] = found[np.searchsorted(asked, numbers[rows[still]])]
    order[at] = rows[np.lexsort((hashes, tiebreak[rows], known[rows], run))]
    return order


def _tied(*columns: Ints) -> Bools:
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
