"""Which rows tell a served value from the value that history gives.

The reference engine is asked for the value without the rows that arrived last, and without one
row after the other: the rows without which it is what was served are those responsible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from skewless.clock import ALWAYS
from skewless.definitions import Aggregate, FeatureView
from skewless.engines.reference import HistoryRow, explain_rows, feature_value
from skewless.explain.report import ExplainedRow
from skewless.expressions.scalar import evaluate_scalar
from skewless.formatting import same_bits

_LAST = 16
_MOST_TRIED = 300
LACKS_NEWEST = "Online lacks what arrived last: these rows of the log."
LACKS_ONE = "Online lacks this row."
COUNTS_UNKNOWN = "Online counts rows that were not known yet."
NO_SUCH = "No row left out gives what was served; these rows count."


@dataclass(frozen=True)
class Verdict:
    """What the reference engine says of a served value.

    Attributes:
        value: what it gives, and the status.
        why: what tells the two apart.
        rows: the rows responsible.
        in_flight: whether they had only just become known.
    """

    value: tuple[Any, str]
    why: str
    rows: tuple[ExplainedRow, ...]
    in_flight: bool


def judge_value(
    view: FeatureView,
    feature: str,
    rows: Sequence[HistoryRow],
    t: int,
    served: Any,
    *,
    grace: int,
) -> Verdict:
    """Return which rows of an entity tell a served value from that of the reference engine.

    Args:
        view: that defines the feature.
        feature: its name.
        rows: of the entity, every version.
        t: the moment that was read at, microseconds.
        served: the value.
        grace: for how long after it became known a row may still be on its way, microseconds.
    """
    value, status = feature_value(view, feature, rows, t, t)
    given = (value, status.value)
    if same_bits(value, served):
        why = "The reference engine agrees with what was served."
        return Verdict(given, why, counted(view, feature, rows, t), False)
    for without in newest_left_out(rows, t):
        if same_bits(feature_value(view, feature, without, t, t)[0], served):
            kept = set(map(id, without))
            left = [row for row in rows if id(row) not in kept]
            in_flight = all(row.known > t - grace for row in left)
            shown = _fates(view, feature, rows, left, t)
            return Verdict(given, LACKS_NEWEST, shown, in_flight)
    for row in _by_age(rows, t):
        without = [other for other in rows if other is not row]
        if same_bits(feature_value(view, feature, without, t, t)[0], served):
            shown = _fates(view, feature, rows, [row], t)
            return Verdict(given, LACKS_ONE, shown, False)
    if same_bits(feature_value(view, feature, rows, t, None)[0], served):
        early = [row for row in rows if row.known > t]
        return Verdict(given, COUNTS_UNKNOWN, _fates(view, feature, rows, early, t), False)
    return Verdict(given, NO_SUCH, counted(view, feature, rows, t), False)


def counted(
    view: FeatureView, feature: str, rows: Sequence[HistoryRow], t: int
) -> tuple[ExplainedRow, ...]:
    """Return the rows that count for any aggregate of a feature."""
    found: dict[int, ExplainedRow] = {}
    for aggregate in _aggregates(view, feature):
        for row, verdict in explain_rows(aggregate, view, rows, t, t):
            if verdict == "counted":
                found.setdefault(id(row), explained(aggregate, row, verdict))
    return tuple(found.values())


def explained(aggregate: Aggregate, row: HistoryRow, verdict: str) -> ExplainedRow:
    """Return a row with what became of it, as reports show it."""
    value = None if aggregate.column is None else evaluate_scalar(aggregate.column, row.values)
    event = row.known if row.event is None else row.event
    return ExplainedRow(event, row.known, verdict, value, row.values)


def _fates(
    view: FeatureView,
    feature: str,
    rows: Sequence[HistoryRow],
    some: Sequence[HistoryRow],
    t: int,
) -> tuple[ExplainedRow, ...]:
    """Return some of the rows with what becomes of them, for the first aggregate of a feature."""
    wanted = set(map(id, some))
    aggregate = next(_aggregates(view, feature))
    return tuple(
        explained(aggregate, row, verdict)
        for row, verdict in explain_rows(aggregate, view, rows, t, t)
        if id(row) in wanted
    )


def _aggregates(view: FeatureView, feature: str) -> Iterator[Aggregate]:
    for leaf in view.expressions[feature].leaves():
        if isinstance(leaf, Aggregate):
            yield leaf


def newest_left_out(
    rows: Sequence[HistoryRow], t: int, *, since: int = ALWAYS
) -> Iterator[list[HistoryRow]]:
    """Yield the rows without the last of the log that are known, without the last two, ...

    Args:
        rows: of an entity, every version.
        t: the moment that was read at, microseconds.
        since: rows that became known until then stay.
    """
    last = sorted({row.tiebreak for row in rows if row.tiebreak > 0 and since < row.known <= t})
    for first in reversed(last[-_LAST:]):
        yield [row for row in rows if row.tiebreak < first or row.known > t or row.known <= since]


def _by_age(rows: Sequence[HistoryRow], t: int) -> list[HistoryRow]:
    """Return the rows that are known, those that happened last first."""
    known = [row for row in rows if row.known <= t]
    return sorted(known, key=lambda row: row.order, reverse=True)[:_MOST_TRIED]
