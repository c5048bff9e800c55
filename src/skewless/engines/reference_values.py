"""The values of a view as rows, slowly and obviously: what `Source.of` stands for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from skewless.clock import from_micros
from skewless.definitions import FeatureView
from skewless.definitions.derivation import LAST_ROW, SOURCE_ROW
from skewless.definitions.source import exclusive_of
from skewless.engines.reference import HistoryRow, view_values, visible
from skewless.expressions.evaluate import evaluate_scalar
from skewless.state.layout import StateLayout


def value_rows(view: FeatureView, rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    """Return every version of every row that the values of a view are.

    After each row of the log all rows that count are looked at anew. One whose values are others
    has a new version: known since everything is that came so far within the longest window before
    it, what went again too.

    Args:
        view: whose values.
        rows: of the log of its source, every version.
    """
    log = sorted(rows, key=lambda row: row.tiebreak)
    found: list[HistoryRow] = []
    made: dict[int, tuple[dict[str, Any], HistoryRow]] = {}
    before: list[HistoryRow] = []
    came_or_went: list[tuple[dict[str, Any], int, int]] = []
    span = StateLayout.of(view.row_entity, view.source, [view]).span
    for number, came in enumerate(log, 1):
        seen = [row for row in visible(log[:number], None) if _counts(view, row)]
        changed = [row for row in (*before, *seen) if (row in before) != (row in seen)]
        came_or_went += [(_key(view, row), row.order[0], came.known) for row in changed]
        for row in sorted((*seen, *(each for each in before if each not in seen)), key=_order):
            event, key = row.order[0], _key(view, row)
            known = max(
                known
                for whose, at, known in came_or_went
                if whose == key and at <= event and (span is None or at >= event - span)
            )
            if row not in seen:
                _, old = made.pop(row.tiebreak)
                found.append(replace(old, known=known, tiebreak=len(found) + 1, deleted=True))
                continue
            values = _values(view, seen, key, event)
            if row.tiebreak in made and repr(values) == repr(made[row.tiebreak][0]):
                continue
            at = {
                view.source.event_time: from_micros(event),
                SOURCE_ROW: row.tiebreak,
                LAST_ROW: came.tiebreak,
            }
            new = HistoryRow(
                key | values | at, event, known, len(found) + 1, row_id=(row.tiebreak,)
            )
            made[row.tiebreak] = values, new
            found.append(new)
        before = seen
    return found


def _order(row: HistoryRow) -> tuple[int, int, int]:
    return row.order


def _counts(view: FeatureView, row: HistoryRow) -> bool:
    if None in _key(view, row).values():
        return False
    return view.where is None or evaluate_scalar(view.where, row.values) is True


def _key(view: FeatureView, row: HistoryRow) -> dict[str, Any]:
    names = zip(view.entity.key_names, view.row_entity.key_names, strict=True)
    return {name: row.values[own] for name, own in names}


def _values(
    view: FeatureView, rows: list[HistoryRow], key: dict[str, Any], event: int
) -> dict[str, Any]:
    """Return the values of one entity right after a moment, of rows that all count."""
    answers = view_values(view, rows, key, event + exclusive_of(view.source), None)
    return {name: value for name, (value, _) in answers.items()}
