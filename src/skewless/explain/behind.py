"""The rows that a row of a derived source is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from skewless.clock import ALWAYS
from skewless.definitions import Entity, FeatureView, Source
from skewless.definitions.valued_view import view_of
from skewless.engines.reference import HistoryRow, visible
from skewless.explain.entity_rows import rows_of_entities
from skewless.explain.store_view import StoreView
from skewless.expressions.evaluate import evaluate_scalar
from skewless.state.layout import StateLayout


def rows_behind(
    runtime: StoreView, source: Source, rows: Sequence[HistoryRow]
) -> list[list[HistoryRow]]:
    """Return for each row of a derived source the rows that it is made of, in row order.

    Args:
        runtime: the open repo.
        source: the derived one.
        rows: of it.
    """
    by = source.derivation
    if by is None or not rows:
        return [[] for _ in rows]
    base = runtime.source(by.source)
    view = None if by.view is None else view_of(by, base)
    names = by.by if view is None else view.entity.key_names
    types: dict[str, Any] = {name: by.types[name] for name in by.by}
    group = Entity("group", **types)
    groups = list(dict.fromkeys(_group(row, names) for row in rows))
    columns = zip(*groups, strict=True)
    keys = {
        name: pa.array(list(values), dtype.arrow())
        for (name, dtype), values in zip(group.join_keys, columns, strict=True)
    }
    history = runtime.history(base)
    found = dict(zip(groups, rows_of_entities(history, group, keys), strict=True))
    if view is not None:
        return [_counting(view, found[_group(row, names)], row) for row in rows]
    return [_standing(found[_group(row, names)], row.known) for row in rows]


def _counting(
    view: FeatureView, rows: Iterable[HistoryRow], values: HistoryRow
) -> list[HistoryRow]:
    """Return the rows that can count for the values of a view, as they were known then."""
    span, at = StateLayout.of(view.row_entity, view.source, [view]).span, values.order[0]
    first = ALWAYS if span is None else at - span
    return [
        row
        for row in visible(rows, values.known)
        if first < row.order[0] <= at
        and (view.where is None or evaluate_scalar(view.where, row.values) is True)
    ]


def _group(row: HistoryRow, by: Iterable[str]) -> tuple[object, ...]:
    return tuple(row.values[name] for name in by)


def _standing(rows: Iterable[HistoryRow], known: int) -> list[HistoryRow]:
    """Return what a group consists of at a moment: its rows come in the order of the log."""
    reached, came = ALWAYS, []
    for row in sorted(rows, key=lambda row: row.tiebreak):
        reached = reached if row.late else max(reached, row.known)
        if reached <= known:
            came.append(row)
    return visible(came, None)
