"""The columns of the newest row that counts, for every query: scatter, then gather.

One streaming pass over keys and times finds the winning row of every query (see
`aggregations.kernels.latest`); a second pass fetches the winners' columns. Rows may come in any
order and memory follows the spine. Keys with corrected rows are left to the window path, because
there a row can stop counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from skewless.aggregations.kernels import LatestJoin
from skewless.clock import NEVER
from skewless.definitions import Expression
from skewless.engines.local.scan import Scan, ScannedRows
from skewless.engines.local.spine import Ints, SpineIndex, distinct
from skewless.plan.retrieval import LatestStep


@dataclass(frozen=True, eq=False)
class LatestAnswer:
    """For every query: the winner's place among ``columns`` (-1 none), and its event time.

    ``hidden`` is how many queries found nothing because what there is was not known yet.
    """

    place: Ints
    event: Ints
    columns: dict[str, pa.Array]
    hidden: int


class LatestReader:
    """Finds the newest row for every query of an index, as rows come in.

    Args:
        scan: reads the source.
        index: the spine's keys and times.
        step: what is wanted.
        corrected: codes of keys that have corrected rows; they are skipped.
    """

    expressions: Sequence[Expression] = ()

    def __init__(self, scan: Scan, index: SpineIndex, step: LatestStep, corrected: Ints) -> None:
        self.entity, self.keys, self.where = step.entity, index.keys, step.where
        self._scan, self._step, self._queries = scan, step, index.queries
        self._join = LatestJoin(index.queries.start, index.queries.time)
        self._shift = step.offset + step.exclusive
        self._skipped = np.zeros(index.keys.size + 1, bool)
        self._skipped[corrected] = True
        # By key, among rows that came to be known later than they count by event time alone.
        self._earliest = np.full(index.keys.size + 1, NEVER)

    def add(self, rows: ScannedRows) -> None:
        """Take a chunk."""
        codes = np.where(self._skipped[rows.codes], -1, rows.codes)
        codes = codes if rows.passes is None else np.where(rows.passes, codes, -1)
        enter = rows.event + self._shift
        if self._scan.as_known:
            lagging = np.flatnonzero(rows.known > enter)
            if len(lagging):
                np.minimum.at(self._earliest, codes[lagging], enter[lagging])
            enter = np.maximum(enter, rows.known)
        for low, high in runs(rows.numbers):
            part = slice(low, high)
            self._join.add(
                codes[part], enter=enter[part], event=rows.event[part], known=rows.known[part],
                sequence=rows.tiebreak[part], row_base=int(rows.numbers[low]),
            )  # fmt: skip

    def answer(self) -> LatestAnswer:
        """Return the columns the step wants, for the queries of the index in their order."""
        found = self._join.finish()
        winner = _break_ties(self._scan, found.row, found.tie_query, found.tie_row)
        rows = distinct(winner[winner >= 0])
        expressions = [item.aggregate.column for item in self._step.wanted]
        columns = self._scan.fetch(rows, [e for e in expressions if e is not None])
        place = np.where(winner >= 0, np.searchsorted(rows, winner), -1)
        return LatestAnswer(place, found.event, columns, self._hidden(place))

    def _hidden(self, place: Ints) -> int:
        start, time = self._queries.start, self._queries.time
        earliest = np.repeat(self._earliest[:-1], np.diff(start))
        return int(np.count_nonzero((place < 0) & (earliest <= time)))


def runs(numbers: Ints) -> list[tuple[int, int]]:
    """Return the parts of ascending numbers that have no gaps, as (low, high) positions."""
    if not len(numbers):
        return []
    if int(numbers[-1]) - int(numbers[0]) == len(numbers) - 1:
        return [(0, len(numbers))]
    edges = np.flatnonzero(np.diff(numbers) != 1) + 1
    bounds = np.r_[0, edges, len(numbers)].tolist()
    return list(pairwise(bounds))


def _break_ties(scan: Scan, winner: Ints, query: Ints, row: Ints) -> Ints:
    """Rows equal in event time, known time and sequence: the greatest content hash wins."""
    if not len(query):
        return winner
    tied = distinct(query)
    query, row = np.r_[tied, query], np.r_[winner[tied], row]
    rows = distinct(row)
    hashes = scan.content_hash(rows)[np.searchsorted(rows, row)]
    order = np.lexsort((row, hashes, query))
    last = np.r_[query[order][1:] != query[order][:-1], True]
    winner = winner.copy()
    winner[query[order][last]] = row[order][last]
    return winner
