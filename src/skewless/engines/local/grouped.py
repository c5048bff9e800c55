"""Secondary keys: the rows of a window grouped by a text, each group swept like an entity.

The window itself is the entity's, so its spans stand; a group only takes its rows' part of them.
A query of an entity becomes one query for each group that has a row in its window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.aggregations.kernels import Queries, Spans
from skewless.aggregations.kernels.spans import search_groups
from skewless.engines.local.spine import Ints, distinct

_AFTER = 2**63 - 1  # beyond every key


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups in the windows of some queries.

    Attributes:
        spans: when each row counts, by entity and group.
        queries: one for every group of every query, by entity and group.
        texts: the distinct texts, ascending.
        text: of every group of every query, in the order of the queries, its place in ``texts``.
        start: groups of query q are ``start[q]`` up to ``start[q + 1]``.
        place: where among ``queries`` each of them is.
    """

    spans: Spans
    queries: Queries
    texts: pa.Array
    text: Ints
    start: Ints
    place: Ints

    @classmethod
    def of(cls, spans: Spans, queries: Queries, codes: Ints, texts: pa.Array) -> Groups:
        """Return the groups of a window.

        Args:
            spans: when each row counts, by entity.
            queries: the moments, by entity.
            codes: place in ``texts`` of each row's text; -1 for null, which is in no group.
            texts: the distinct texts, ascending.
        """
        size = max(len(texts), 1)
        found = _pairs(spans, queries, codes, size)
        query, text = np.divmod(found, size)
        entity = np.repeat(np.arange(len(queries.start) - 1), np.diff(queries.start))
        keys = entity[query] * size + text
        known = distinct(keys)
        # Queries of an entity come in the order of time, so those of each group do too.
        order = np.argsort(keys, kind="stable")
        start: Ints = np.searchsorted(keys[order], np.append(known, _AFTER)).astype(np.int64)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return cls(
            _by_group(spans, codes, size, known),
            Queries(queries.time[query[order]], start),
            texts,
            text,
            np.searchsorted(query, np.arange(len(queries.time) + 1)).astype(np.int64),
            place,
        )


def _pairs(spans: Spans, queries: Queries, codes: Ints, size: int) -> Ints:
    """Return query times size plus code of every group of every query, ascending.

    A group is there from when a row of it enters until the last of them has left: one run of
    queries for each such time, however many rows it has.
    """
    first, last = int(spans.start[0]), int(spans.start[-1])
    row = np.arange(first, last) if spans.row is None else spans.row[first:last]
    entity = np.repeat(np.arange(len(spans.start) - 1), np.diff(spans.start))
    enter, leave = spans.enter[first:last], spans.exit[first:last]
    kept = np.flatnonzero((codes[row] >= 0) & (enter < leave))
    keys = entity[kept] * size + codes[row[kept]]
    order = np.lexsort((enter[kept], keys))
    keys, enter, leave = keys[order], enter[kept][order], leave[kept][order]
    begins = np.r_[True, keys[1:] != keys[:-1]][: len(keys)]
    latest = _running_latest(leave, begins)
    begins[1:] |= enter[1:] > latest[:-1]
    begin = np.flatnonzero(begins)
    own = keys[begin] // size
    bounds = queries.start[own], queries.start[own + 1]
    until = latest[np.r_[begin[1:], len(keys)] - 1] if len(begin) else latest
    low = search_groups(queries.time, *bounds, enter[begin], "left")
    sizes = search_groups(queries.time, *bounds, until, "left") - low
    asked = np.arange(sizes.sum()) + np.repeat(low - (np.cumsum(sizes) - sizes), sizes)
    return np.sort(asked * size + np.repeat(keys[begin] % size, sizes))


def _running_latest(times: Ints, begins: np.ndarray) -> Ints:
    """Return the greatest time so far of each run that begins where it is said."""
    if (begins[1:] | (times[1:] >= times[:-1])).all():
        return times
    distinct_times, rank = np.unique(times, return_inverse=True)
    offset = np.cumsum(begins) * len(distinct_times)
    place: Ints = np.maximum.accumulate(rank + offset) - offset
    return distinct_times.take(place)


def _by_group(spans: Spans, codes: Ints, size: int, known: Ints) -> Spans:
    """Return the spans of the groups (entity times size plus code) that are known."""
    first, last = int(spans.start[0]), int(spans.start[-1])
    row = np.arange(first, last) if spans.row is None else spans.row[first:last]
    entity = np.repeat(np.arange(len(spans.start) - 1), np.diff(spans.start))
    code = codes[row]
    keys = np.where(code < 0, -1, entity * size + code)
    place = np.minimum(np.searchsorted(known, keys), max(len(known) - 1, 0))
    kept = np.flatnonzero(known[place] == keys) if len(known) else np.zeros(0, np.int64)
    at = kept[np.argsort(keys[kept], kind="stable")]
    start: Ints = np.searchsorted(keys[at], np.append(known, _AFTER)).astype(np.int64)
    enter, leave = spans.enter[first:last][at], spans.exit[first:last][at]
    return Spans.build(enter, leave, start, row[at])


def number_texts(column: pa.Array) -> tuple[Ints, pa.Array]:
    """Return the place of each text among the distinct ones (-1 for null), and those, ascending."""
    encoded = column.dictionary_encode()
    order = np.asarray(pc.array_sort_indices(encoded.dictionary))
    rank = np.empty(len(order) + 1, np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = -1
    codes = np.asarray(pc.fill_null(encoded.indices, len(order)))
    return rank[codes], encoded.dictionary.take(pa.array(order))


def maps_of(groups: Groups, values: pa.Array, some: np.ndarray | None) -> pa.Array:
    """Return for each query the map from text to value.

    Args:
        groups: of the queries.
        values: one for each of `Groups.queries`.
        some: whether any row of it takes part; None where one does in all. Others are left out.
    """
    place, text, start = groups.place, groups.text, groups.start
    if some is not None:
        kept = some[place]
        start = np.r_[0, np.cumsum(kept)][start]
        place, text = place[kept], text[kept]
    keys = groups.texts.take(pa.array(text))
    offsets = pa.array(start.astype(np.int32))
    return pa.MapArray.from_arrays(offsets, keys, values.take(pa.array(place)))
