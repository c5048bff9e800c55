"""Windows and formulas in words, for `skewless.explain.explain`."""

from __future__ import annotations

from collections.abc import Mapping

from skewless.clock import iso
from skewless.definitions import Aggregate, Expression, FeatureView
from skewless.definitions.expressions import Column, Operation, Request
from skewless.definitions.references import FeatureRef
from skewless.definitions.source import exclusive_of
from skewless.durations import format_duration
from skewless.engines.reference import moment_on_event_axis
from skewless.expressions.scalar import leaf_key
from skewless.types import DType


def columns_used(aggregate: Aggregate, view: FeatureView) -> tuple[str, ...]:
    """Return the columns that an aggregate and the filters before it read, values first."""
    used = (aggregate.column, aggregate.by, aggregate.where, view.where)
    read = [expression for expression in used if expression is not None]
    leaves = (leaf for expression in read for leaf in expression.leaves())
    return tuple({leaf.name: None for leaf in leaves if isinstance(leaf, Column)})


def bounds_of(aggregate: Aggregate, view: FeatureView, t: int) -> tuple[int | None, int]:
    """Return the event times around the window: after the first, up to the second."""
    window = aggregate.window
    return window.bounds(moment_on_event_axis(view, t) - window.offset)


def window_text(
    aggregate: Aggregate, view: FeatureView, after: int | None, until: int, t: int
) -> str:
    """Return in words which rows the window takes."""
    exclusive = exclusive_of(view.source) or aggregate.window.ends_before
    end = f"event time < {iso(until + 1)}" if exclusive else f"event time <= {iso(until)}"
    if after is None:
        text = aggregate.window.describe(end)
    elif exclusive:
        text = f"{iso(after + 1)} <= {end}"
    else:
        text = f"{iso(after)} < {end}"
    if aggregate.ttl is not None:
        text += f", expired after {format_duration(aggregate.ttl)}"
    return f"{text}, known by {iso(t)}"


def letter_of(number: int) -> str:
    """Return what the operand of this number is called in a formula: a, b, c, ..."""
    return "abcdefghijklmnopqrstuvwxyz"[number] if number < 26 else f"a{number}"


class _Named(Expression):
    """A leaf that prints as a text."""

    def __init__(self, text: str, dtype: DType) -> None:
        self.text = text
        self.dtype = dtype

    def __repr__(self) -> str:
        return self.text


def formula_of(expression: Expression, texts: Mapping[str, str]) -> str:
    """Return an expression with texts in place of its leaves, by `leaf_key`."""

    def named(leaf: Expression) -> Expression:
        if not isinstance(leaf, (Aggregate, FeatureRef, Request)):
            return leaf
        return _Named(texts[leaf_key(leaf)], leaf.dtype)

    text = repr(expression.replace_leaves(named))
    if isinstance(expression, Operation):
        text = text.rpartition(": ")[0]
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text
