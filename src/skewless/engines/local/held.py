"""Rows held in memory for aggregations over windows: sorted by key and row order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS, NEVER
from skewless.definitions import Expression
from skewless.engines.local.scan import Scan
from skewless.engines.local.spine import Ints, KeyIndex, distinct, order_by
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
    codes: list[Ints] = []
    event: list[Ints] = []
    numbers: list[Ints] = []
    superseded: list[Ints] = []
    known, tiebreak = _Sparse(), _Sparse()
    wanted_columns = {expression_key(expression): expression for expression in expressions}
    columns: dict[str, list[pa.Array]] = {key: [] for key in wanted_columns}
    for chunk in scan.rows(keys, None, list(wanted_columns.values())):
        at = np.flatnonzero(wanted[chunk.codes])
        if len(scan.superseded):
            replaced = scan.superseded.of(chunk.numbers[at])
            alive = replaced > (ALWAYS if scan.as_known else NEVER - 1)
            at = at[alive]
            superseded.append(replaced[alive])
        rows = chunk if len(at) == len(chunk.codes) else chunk.take(at)
        codes.append(rows.codes)
        event.append(rows.event)
        numbers.append(rows.numbers)
        known.add(rows.known, bool((rows.known != rows.event).any()))
        tiebreak.add(rows.tiebreak, bool(rows.tiebreak.any()))
        for key, column in rows.columns.items():
            columns[key].append(column)
    all_events = _joined(event)
    all_codes, all_known = _joined(codes), known.whole(all_events)
    times = (all_events, all_known, tiebreak.whole(None))
    order = _row_order(scan, all_codes, times, numbers)
    start = np.searchsorted(all_codes[order], np.arange(keys.size + 1)).astype(np.int64)
    joined = {}
    for key, expression in wanted_columns.items():
        joined[key] = _concat(columns.pop(key), expression).take(pa.array(order))
    return HeldRows(
        start,
        all_events[order],
        all_known[order] if scan.as_known else np.full(len(order), ALWAYS),
        _joined(superseded)[order] if superseded else None,
        joined,
    )


class _Sparse:
    """A column of integers that most histories leave trivial; kept only where it is not."""

    def __init__(self) -> None:
        self._parts: list[Ints] = []
        self._needed = False

    def add(self, values: Ints, needed: bool) -> None:
        self._parts.append(values)
        self._needed |= needed

    def whole(self, trivial: Ints | None) -> Any:
        """Return the column, or what stands for it where it is trivial."""
        return _joined(self._parts) if self._needed else trivial


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _concat(parts: list[pa.Array], expression: Expression) -> pa.Array:
    if not parts:
        return pa.array([], type=expression.dtype.arrow())
    return pa.concat_arrays(parts)


def _row_order(
    scan: Scan, codes: Ints, times: tuple[Ints, Ints, Ints | None], numbers: list[Ints]
) -> Ints:
    """Return the order by key, event time, known time, sequence and, at last, content hash."""
    event, known, tiebreak = times
    order = order_by(codes, event)
    tied = _tied(codes[order], event[order])
    if not tied.any():
        return order
    at = np.flatnonzero(tied)
    rows = order[at]
    last = np.zeros(len(rows), np.int64) if tiebreak is None else tiebreak[rows]
    run = np.cumsum(np.r_[True, (np.diff(codes[rows]) != 0) | (np.diff(event[rows]) != 0)])
    inner = np.lexsort((last, known[rows], run))
    still = np.zeros(len(rows), bool)
    still[inner] = _tied(run[inner], known[rows][inner], last[inner])
    hashes = np.zeros(len(rows), np.uint64)
    if still.any():
        given = _joined(numbers)[rows[still]]
        asked = distinct(given)
        hashes[still] = scan.content_hash(asked)[np.searchsorted(asked, given)]
    order[at] = rows[np.lexsort((hashes, last, known[rows], run))]
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
