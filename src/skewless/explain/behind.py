"""The rows that a row of a derived source is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from skewless.clock import ALWAYS
from skewless.definitions import Entity, Source
from skewless.engines.reference import HistoryRow, visible
from skewless.explain.entity_rows import rows_of_entities
from skewless.explain.store_view import StoreView


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
    types: dict[str, Any] = {name: by.types[name] for name in by.by}
    group = Entity("group", **types)
    groups = list(dict.fromkeys(_group(row, by.by) for row in rows))
    columns = zip(*groups, strict=True)
    keys = {
        name: pa.array(list(values), dtype.arrow())
        for (name, dtype), values in zip(group.join_keys, columns, strict=True)
    }
    history = runtime.history(runtime.source(by.source))
    found = dict(zip(groups, rows_of_entities(history, group, keys), strict=True))
    return [_standing(found[_group(row, by.by)], row.known) for row in rows]


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
