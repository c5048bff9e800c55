"""The newest row for each query, from rows in any order.

Point-in-time "latest" as a scatter of maxima: every row raises the mark of the first query of its
key that it counts for, and a running maximum spreads the marks. Memory follows the queries and the
real ties, never the rows; the order of batches and rows does not matter.

    >>> import numpy as np
    >>> join = LatestJoin(np.array([0, 3]), np.array([10, 20, 30]))
    >>> event = np.array([18, 5])
    >>> join.add(np.array([0, 0]), enter=event, event=event, known=event, sequence=None)
    >>> join.finish().row.tolist()
    [1, 0, 0]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skewless.aggregations.kernels import dispatch
from skewless.aggregations.kernels.spans import Ints, check_starts, checked

_FEWEST_TIES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class LatestRows:
    """What each query found.

    Attributes:
        row: number of the newest row, -1 for none; among rows tied on (event, known, sequence) the
            smallest number.
        event: its event time, 0 for none.
        tie_query, tie_row: all further rows tied with the winner of a query, by (query, row).
    """

    row: Ints
    event: Ints
    tie_query: Ints
    tie_row: Ints


class LatestJoin:
    """Finds for each query the row with the greatest (event, known, sequence) of its key.

    Args:
        query_start: queries of key c are ``query_start[c]`` up to ``query_start[c + 1]``.
        query_time: int64 microseconds of UTC, never stepping back within a key.
    """

    def __init__(self, query_start: Ints, query_time: Ints) -> None:
        self._kernels = dispatch.chosen
        self._time = checked(query_time, np.int64, None, "query_time")
        self._start = checked(query_start, np.int64, None, "query_start")
        check_starts(self._start, len(self._time), "query_start", whole=True)
        back = np.flatnonzero(self._time[1:] < self._time[:-1]) + 1
        if not np.isin(back, self._start).all():
            raise ValueError("query times of a key step back")
        self._mark = np.zeros((len(self._time), 4), dtype=np.int64)  # event, known, sequence, row
        self._mark[:, 3] = -1
        self._tie = np.empty((_FEWEST_TIES, 5), dtype=np.int64)  # slot, then as a mark
        self._ties = 0

    def add(
        self,
        codes: Ints,
        *,
        enter: Ints,
        event: Ints,
        known: Ints,
        sequence: Ints | None,
        row_base: int = 0,
    ) -> None:
        """Add a batch of rows, numbered from ``row_base`` on.

        Args:
            codes: each row's key, -1 for a key that has no query.
            enter: the row counts for queries with ``t >= enter``.
            event, known, sequence: what makes a row newer; a sequence of None is all zeros.
            row_base: number of the batch's first row; numbers must differ between batches.

        Raises:
            ValueError: if lengths or types differ or a code is not a key.
        """
        codes = checked(codes, np.int64, None, "codes")
        columns = [
            checked(column, np.int64, len(codes), name)
            for name, column in (("enter", enter), ("event", event), ("known", known))
        ]
        if sequence is not None:
            sequence = checked(sequence, np.int64, len(codes), "sequence")
        if row_base < 0:
            raise ValueError(f"row_base: expected 0 or more, got {row_base}")
        batch = (codes, columns[0], columns[1], columns[2], sequence)
        spine, begin = (self._start, self._time, self._mark), 0
        while begin < len(codes):
            begin, self._ties = self._kernels.latest_add(
                spine, batch, (row_base, begin, self._ties), self._tie
            )
            if begin < len(codes):
                self._make_room()

    def finish(self) -> LatestRows:
        """Return the newest row of each query; more batches may be added afterwards."""
        origin, row = np.empty_like(self._time), np.empty_like(self._time)
        self._kernels.latest_finish((self._start, self._time, self._mark), origin, row)
        found = origin >= 0
        event = np.zeros_like(self._time)
        event[found] = self._mark[origin[found], 0]
        tie_query, tie_row = self._winning_ties(origin, row)
        return LatestRows(row, event, tie_query, tie_row)

    def _live_ties(self) -> Ints:
        """The ties whose mark has not been surpassed since."""
        tie = self._tie[: self._ties]
        live: Ints = tie[(tie[:, 1:4] == self._mark[tie[:, 0], :3]).all(axis=1)]
        return live

    def _make_room(self) -> None:
        live = self._live_ties()
        if 2 * len(live) > len(self._tie):
            self._tie = np.empty((2 * len(self._tie), 5), dtype=np.int64)
        self._tie[: len(live)] = live
        self._ties = len(live)

    def _winning_ties(self, origin: Ints, row: Ints) -> tuple[Ints, Ints]:
        """Every row of a run's winning mark, from its own query to the end of the run."""
        mark, live = self._mark, self._live_ties()
        wins = (mark[:, :3] == mark[origin, :3]).all(axis=1) & (origin >= 0) & (mark[:, 3] >= 0)
        live = live[wins[live[:, 0]]]
        slots = np.flatnonzero(wins)
        slot = np.concatenate((slots, live[:, 0]))
        member = np.concatenate((mark[slots, 3], live[:, 4]))
        run, size = np.unique(origin[slot], return_counts=True)
        shared = np.isin(origin[slot], run[size > 1])
        slot, member = slot[shared], member[shared]
        ends = np.append(np.flatnonzero(origin[1:] != origin[:-1]) + 1, len(origin))
        length = ends[np.searchsorted(ends, slot, "right")] - slot
        query = np.repeat(slot - np.cumsum(length) + length, length) + np.arange(length.sum())
        member = np.repeat(member, length)
        tied = member != row[query]
        query, member = query[tied], member[tied]
        order = np.lexsort((member, query))
        return query[order], member[order]
