"""Raising the marks of queries by rows in any order, in NumPy; see ``kernels.latest``."""

from __future__ import annotations

import numpy as np

from skewless.aggregations.kernels.spans import Ints, search_groups

Batch = tuple[Ints, Ints, Ints, Ints, Ints | None]
Spine = tuple[Ints, Ints, Ints]


def latest_add(
    spine: Spine, batch: Batch, at: tuple[int, int, int], tie: Ints, /
) -> tuple[int, int]:
    """Raise the marks by the rows from ``begin`` on, as many as ``tie`` surely has room for."""
    codes, enter, event, known, sequence = batch
    row_base, begin, ties = at
    start, time, mark = spine
    stop = min(begin + len(tie) - ties, len(codes))
    if (codes[begin:stop] >= len(start) - 1).any():
        raise ValueError("a code lies outside [0, n_codes)")
    rows = begin + np.flatnonzero(codes[begin:stop] >= 0)
    first, end = start[codes[rows]], start[codes[rows] + 1]
    slot = search_groups(time, first, end, enter[rows], "left")
    hit = slot < end
    rows, slot = rows[hit], slot[hit]
    order = np.zeros(len(rows), dtype=np.int64) if sequence is None else sequence[rows]
    new = np.column_stack((event[rows], known[rows], order, rows + row_base))
    held = np.unique(slot)
    held = held[mark[held, 3] >= 0]
    slot, new = np.concatenate((slot, held)), np.concatenate((new, mark[held]))
    by_mark = np.lexsort((-new[:, 3], new[:, 2], new[:, 1], new[:, 0], slot))
    slot, new = slot[by_mark], new[by_mark]
    last = np.flatnonzero(np.concatenate((slot[1:] != slot[:-1], [True]))[: len(slot)])
    mark[slot[last]] = new[last]
    winner = last[np.searchsorted(last, np.arange(len(slot)))]
    equal = (new[:, :3] == new[winner, :3]).all(axis=1) & (winner != np.arange(len(slot)))
    stop_tie = ties + int(equal.sum())
    tie[ties:stop_tie, 0] = slot[equal]
    tie[ties:stop_tie, 1:] = new[equal]
    return stop, stop_tie


def latest_finish(spine: Spine, origin: Ints, row: Ints, /) -> None:
    """The running greatest mark of each key's queries: where it was set, its smallest row."""
    start, _, mark = spine
    count = len(mark)
    if count == 0:
        return
    key = np.repeat(np.arange(len(start) - 1), np.diff(start))
    some = mark[:, 3] >= 0
    by_mark = np.lexsort((mark[:, 2], mark[:, 1], mark[:, 0], some))
    ordered = mark[by_mark, :3]
    differs = (ordered[1:] != ordered[:-1]).any(axis=1) | (some[by_mark][1:] != some[by_mark][:-1])
    rank = np.empty(count, dtype=np.int64)
    rank[by_mark] = 1 + np.concatenate(([0], np.cumsum(differs)))
    rank[~some] = 0
    offset = key * (count + 2)
    best = np.maximum.accumulate(rank + offset)
    new = np.concatenate(([True], best[1:] != best[:-1]))
    run = np.cumsum(new)
    origin[:] = np.where(best > offset, np.flatnonzero(new)[run - 1], -1)
    rows, row_rank = np.unique(mark[:, 3], return_inverse=True)
    own = np.where(some & (rank + offset == best), row_rank, len(rows))
    smallest = np.minimum.accumulate(own - run * (len(rows) + 1)) + run * (len(rows) + 1)
    row[:] = np.where(origin >= 0, rows[np.minimum(smallest, len(rows) - 1)], -1)
