"""The columns of the newest row that counts, for every query: scatter, then gather.

One streaming pass over keys and times finds the winning row of every query (see
`aggregations.kernels.latest`); a second pass fetches the winners' columns. Rows may come in any
order and memory follows the spine. Keys with corrected rows are left to the window path, because
there a row can stop counting.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from skewless.aggregations.kernels import LatestJoin
from skewless.engines.local.scan import Scan
from skewless.engines.local.spine import Ints, SpineIndex, distinct
from skewless.plan.retrieval import LatestStep


@dataclass(frozen=True, eq=False)
class LatestAnswer:
    """For every query: the winner's place among ``columns`` (-1 none), and its event time."""

    place: Ints
    event: Ints
    columns: dict[str, pa.Array]


def run_latest(scan: Scan, index: SpineIndex, step: LatestStep, corrected: Ints) -> LatestAnswer:
    """Return the columns a step wants, for the queries of an index in their order.

    Args:
        scan: reads the source.
        index: the spine's keys and times.
        step: what is wanted.
        corrected: codes of keys that have corrected rows; they are passed over.
    """
    join = LatestJoin(index.queries.start, index.queries.time)
    shift = step.offset + scan.left
    skipped = np.zeros(index.keys.size + 1, bool)
    skipped[corrected] = True
    for chunk in scan.rows(index.keys, step.where, ()):
        codes = np.where(skipped[chunk.codes], -1, chunk.codes)
        codes = codes if chunk.passes is None else np.where(chunk.passes, codes, -1)
        enter = chunk.event + shift
        if scan.as_known:
            enter = np.maximum(enter, chunk.known)
        for low, high in runs(chunk.numbers):
            part = slice(low, high)
            join.add(
                codes[part], enter=enter[part], event=chunk.event[part], known=chunk.known[part],
                sequence=chunk.tiebreak[part], row_base=int(chunk.numbers[low]),
            )  # fmt: skip
    found = join.finish()
    winner = _break_ties(scan, found.row, found.tie_query, found.tie_row)
    rows = distinct(winner[winner >= 0])
    expressions = [item.aggregate.column for item in step.wanted]
    columns = scan.fetch(rows, [e for e in expressions if e is not None])
    place = np.searchsorted(rows, winner)
    return LatestAnswer(np.where(winner >= 0, place, -1), found.event, columns)


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
