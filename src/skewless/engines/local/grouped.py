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
from skewless.aggregations.span_sets import gather
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
        pairs = []
        for part in gather(spans, queries, (codes >= 0).view(np.uint8)):
            asked = np.repeat(np.arange(part.first, part.last), np.diff(part.offsets))
            pairs.append(distinct(asked * size + codes[part.rows]))
        found = np.concatenate(pairs) if pairs else np.zeros(0, np.int64)
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
