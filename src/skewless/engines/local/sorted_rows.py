"""Rows held in memory for aggregations over windows: sorted by key and row order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from skewless.aggregations.kernels import group_rows
from skewless.clock import ALWAYS, NEVER
from skewless.definitions import Expression
from skewless.engines.local.buffers import Block, Joined
from skewless.engines.local.scan import Scan
from skewless.engines.local.spine import Ints, distinct, tied


@dataclass(frozen=True, eq=False)
class SortedRows:
    """Rows sorted by key and row order; all arrays are of one length.

    Attributes:
        start: rows of the key with code ``first + c`` are ``start[c]`` up to ``start[c + 1]``.
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
    scan: Scan, keys: tuple[int, int], blocks: list[Block], expressions: Sequence[Expression]
) -> SortedRows:
    """Sort the rows of some keys.

    Args:
        scan: they were read by.
        keys: the first code, and that after the last.
        blocks: the rows; the list is emptied, so that memory is freed early.
        expressions: that were evaluated for them.
    """
    rows = Joined(blocks, expressions)
    known = rows.integers("known")
    superseded, tiebreak = rows.integers("superseded", NEVER), rows.integers("tiebreak", 0)
    event, codes = rows.integers("event"), rows.integers("code")
    if keys[0]:
        codes -= keys[0]
    order, start = group_rows(codes, event, keys[1] - keys[0])
    times = event, event if known is None else known, tiebreak
    _settle_ties(scan, order, codes, times, rows.integers("number"))
    del codes, times, tiebreak  # most of the memory of a hot key is that of its columns
    event = event[order]
    if not scan.as_known:
        known = np.full(len(order), ALWAYS)
    else:
        known = event if known is None else known[order]
    superseded = None if superseded is None else superseded[order]
    taken = pa.array(order)
    columns = {key: rows.column(key).take(taken) for key in rows.types}
    return SortedRows(start, event, known, superseded, columns)


def _settle_ties(
    scan: Scan, order: Ints, codes: Ints, times: tuple[Ints, Ints, Ints | None], numbers: Ints
) -> None:
    """Order rows of one key and event time by known time, sequence and, at last, content hash."""
    event, known, tiebreak = times
    alike = tied(codes[order], event[order])
    if not alike.any():
        return
    at = np.flatnonzero(alike)
    rows = order[at]
    last = np.zeros(len(rows), np.int64) if tiebreak is None else tiebreak[rows]
    run = np.cumsum(np.r_[True, (np.diff(codes[rows]) != 0) | (np.diff(event[rows]) != 0)])
    inner = np.lexsort((last, known[rows], run))
    still = np.zeros(len(rows), bool)
    still[inner] = tied(run[inner], known[rows][inner], last[inner])
    hashes = np.zeros(len(rows), np.uint64)
    if still.any():
        given = numbers[rows[still]]
        asked = distinct(given)
        hashes[still] = scan.content_hash(asked)[np.searchsorted(asked, given)]
    order[at] = rows[np.lexsort((hashes, last, known[rows], run))]
