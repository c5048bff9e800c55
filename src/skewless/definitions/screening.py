"""Checks that set rows aside or alter values, as expressions: every path evaluates the same ones.

>>> from skewless.definitions.checks import Check
>>> from skewless.definitions.source import Source
>>> pays = Source(
...     "pays", schema={"card": str, "amount": float}, event_time="at",
...     checks=[
...         Check.not_null("card", action="quarantine"),
...         Check.between("amount", 0, 100, action="clip"),
...     ],
... )
>>> screen = screen_of(pays)
>>> screen.condition
not(is_null(pays.card)): Bool
>>> screen.applied(pays.amount.sum("1h"))
sum of if_else((pays.amount < 0.0), 0.0, if_else((pays.amount > 100.0), 100.0, pays.amount)): \
Float64 over sliding 1h

A view over such a source takes them into its filter and its features when it is made. So there is
no second rule for them in pushes, streams, tables, engines or the reference, and none can forget
it. What came in stays in the log: with another check, it counts otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from operator import add, and_
from typing import Any

from skewless.definitions.aggregate import Aggregate
from skewless.definitions.checks import Check
from skewless.definitions.expressions import (
    Cast,
    Column,
    Expression,
    Literal,
    expression_from_dict,
    if_else,
)
from skewless.definitions.source import Source
from skewless.errors import DefinitionError


@dataclass(frozen=True, eq=False)
class Screen:
    """What the checks of a source keep out of features.

    Attributes:
        conditions: of each check that sets rows aside, what holds for the rows that count.
        columns: column to what stands for it, of those that checks alter.
    """

    conditions: Mapping[Check, Expression] = field(default_factory=dict)
    columns: Mapping[str, Expression] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.conditions or self.columns)

    @property
    def condition(self) -> Expression | None:
        """What holds for the rows that count; None: all do."""
        return reduce(and_, self.conditions.values()) if self.conditions else None

    def where(self, given: Expression | None) -> Expression | None:
        """Return the filter of a view, with that of the screen."""
        parts = [self.condition, None if given is None else self.applied(given)]
        found = [part for part in parts if part is not None]
        return reduce(and_, found) if found else None

    def applied(self, expression: Expression) -> Expression:
        """Return an expression over the columns as they are altered, also within aggregates."""
        return expression.replace_leaves(self._leaf) if self.columns else expression

    def check_keys(self, keys: Iterable[str], where: str) -> None:
        """Raise `DefinitionError` where a column that entities are found by is altered."""
        for key in keys:
            if key in self.columns:
                got = f"join key {key!r} of {where}"
                raise DefinitionError("a check alters what rows are told apart by", got=got)

    def _leaf(self, leaf: Expression) -> Expression:
        if isinstance(leaf, Column):
            return self.columns.get(leaf.name, leaf)
        if not isinstance(leaf, Aggregate):
            return leaf
        made = copy(leaf)
        made.__dict__.pop("key", None)
        for part in ("column", "where", "by"):
            if (given := getattr(leaf, part)) is not None:
                setattr(made, part, self.applied(given))
        return made


@lru_cache(maxsize=256)
def screen_of(source: Source) -> Screen:
    """Return what the checks of a source come to.

    Rows are judged as they came; then values are altered, check by check in their order.

    Raises:
        DefinitionError: a check alters what rows are found by, or has a value that no expression
            can hold.
    """
    types = source.columns  # of a source without a schema, its checks are fitted by then
    conditions: dict[Check, Expression] = {}
    columns: dict[str, Expression] = {}
    fixed = {source.event_time, source.known_time, *source.row_id}
    for check in source.checks:
        if check.action == "quarantine":
            conditions[check] = _holds(check, source)
        elif check.is_of_values:
            (name,) = check.columns
            if name in fixed:
                got = f"{name!r} of source {source.name!r}"
                raise DefinitionError("a check alters what rows are told apart by", got=got)
            altered = _altered(check, columns.get(name, source[name]), source)
            same = altered.dtype == types[name]
            columns[name] = altered if same else Cast(altered, types[name])
    return Screen(conditions, columns)


def _holds(check: Check, source: Source, column: Expression | None = None) -> Expression:
    """Return what is true of the rows for which a check holds.

    Args:
        check: of single rows.
        source: whose columns it is about.
        column: what stands for its column; None: the column itself.
    """
    if check.kind == "expr":
        return expression_from_dict(check.options["expression"], source.name).fill_null(True)
    if check.kind == "sums_to":
        *parts, total = (source[name].cast(float) for name in check.columns)
        off: Expression = abs(reduce(add, parts) - total)
        within: float = check.options["within"]
        return (off <= within).fill_null(True)
    value = source[check.columns[0]] if column is None else column
    if check.kind == "not_null":
        return value.is_not_null()
    if check.kind == "in_set":
        return value.is_in([_as(value, each) for each in check.options["values"]]).fill_null(True)
    least, greatest = _as(value, check.options["least"]), _as(value, check.options["greatest"])
    limits = [] if least is None else [value >= least]
    limits += [] if greatest is None else [value <= greatest]
    return reduce(and_, limits).fill_null(True)


def _altered(check: Check, column: Expression, source: Source) -> Expression:
    """Return what stands for a column of a check that alters values."""
    if check.action == "clip":
        least, greatest = (_as(column, check.options[name]) for name in ("least", "greatest"))
        inside = column if greatest is None else if_else(column > greatest, greatest, column)
        return inside if least is None else if_else(column < least, least, inside)
    instead = _as(column, check.options["value"])
    if check.kind == "not_null":
        return column.fill_null(instead)
    return if_else(_holds(check, source, column), column, instead)


def _as(column: Expression, value: Any) -> Literal | None:
    """Return a value in plain form as one of a column's type."""
    return None if value is None else Literal(column.dtype.coerce(value))
