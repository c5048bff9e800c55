"""How a value builds up: what it would be of the first row that counted, of the first two, ...

    found = fs.explain("Spend:total_1h", {"card_id": "c1"})
    build_up(view, aggregate, found.aggregates[0], found.at)[-1] == found.value

The last of them is the value itself, computed by the same definition of the aggregation.
"""

from __future__ import annotations

from typing import Any

from skewless.definitions import Aggregate, FeatureView
from skewless.explain.report import ExplainedAggregate
from skewless.expressions.scalar import evaluate_scalar, leaf_key

MOST = 200
"""Rows that a build-up is made of: its cost is their square."""


def aggregates_of(view: FeatureView, feature: str) -> list[Aggregate]:
    """Return the distinct aggregates of a feature, in the order in which they are explained."""
    leaves = view.expressions[feature].leaves()
    return list({leaf_key(leaf): leaf for leaf in leaves if isinstance(leaf, Aggregate)}.values())


def build_up(aggregate: Aggregate, explained: ExplainedAggregate, t: int) -> list[Any]:
    """Return the value of the first row that counted, of the first two, and so on to all.

    Args:
        aggregate: the definition.
        explained: the same, explained.
        t: the moment that was asked about, UTC microseconds.

    Returns:
        One value for each row that counted, in row order; none where more than `MOST` did.
    """
    rows = [row for row in explained.rows if row.verdict == "counted"]
    if len(rows) > MOST:
        return []
    values, events = [row.value for row in rows], [row.event for row in rows]
    groups = None
    if aggregate.by is not None:
        groups = [evaluate_scalar(aggregate.by, row.values) for row in rows]
    found = []
    for end in range(1, len(rows) + 1):
        some = None if groups is None else groups[:end]
        value = aggregate.compute(values[:end], events[:end], t, some)
        found.append(aggregate.default if value is None else value)
    return found
