"""What the online store keeps of a source for an entity: which columns, which rows, how long.

A layout is made from the views over one source and one entity. Its slots are the distinct row
expressions and filters that their aggregates use, evaluated when a row is written; so a read
touches nothing but numbers. Its rules say which rows can still count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.aggregations.base import Tile
from skewless.aggregations.windows import Window, window_from_dict
from skewless.definitions import Aggregate, Entity, Expression, FeatureView, Source
from skewless.definitions.expressions import Column, expression_from_dict
from skewless.definitions.fingerprint import fingerprint
from skewless.definitions.source import exclusive_of
from skewless.forks import cached_property
from skewless.state.header import TILE_FORMAT
from skewless.state.rules import ROWS, Rule, Use
from skewless.state.slots import Slot

if TYPE_CHECKING:
    import numpy as np


KeyedUse = tuple[str, str | None, bool]
"""A `Use` with the key of its slot instead of the index."""


def expression_key(expression: Expression) -> str:
    """Return the canonical text of an expression: equal texts, equal values."""
    return json.dumps(expression.to_dict(), sort_keys=True, separators=(",", ":"), default=str)


def stored_key(expression: Expression, source: Source) -> str:
    """Return the key of an expression over the columns of a source by the names they are kept."""
    if not source.stored_columns:
        return expression_key(expression)
    return expression_key(_with_columns(expression, source.name, source.stored_columns))


def _expression(key: str, source: Source) -> Expression:
    """Return the expression of a key over the columns of a source as they are called now."""
    found = expression_from_dict(json.loads(key), source.name)
    if not source.stored_columns:
        return found
    now = {stored: name for name, stored in source.stored_columns.items()}
    return _with_columns(found, source.name, now)


def _with_columns(expression: Expression, source: str, names: Mapping[str, str]) -> Expression:
    return expression.replace_leaves(
        lambda leaf: (
            Column(source, names.get(leaf.name, leaf.name), leaf.dtype)
            if isinstance(leaf, Column)
            else leaf
        )
    )


def filter_of(view: FeatureView, aggregate: Aggregate) -> Expression | None:
    """Return the condition a row must meet to count: that of the view and of the aggregate."""
    if view.where is None or aggregate.where is None:
        return aggregate.where if view.where is None else view.where
    return view.where & aggregate.where


@dataclass(frozen=True)
class AggregateRead:
    """How one aggregate finds its rows.

    Attributes:
        aggregate: what is computed.
        slot: index of the slot of its values; None for whole rows.
        filter: index of the slot of its filter; None where all rows pass.
        rule: index of the rule whose tiles hold its sums; None where rows alone give its value.
        by: index of the slot of the text that groups its rows; None where they are not grouped.
    """

    aggregate: Aggregate
    slot: int | None
    filter: int | None
    rule: int | None = None
    by: int | None = None


class StateLayout:
    """What is kept online of one source for one entity, for a set of views.

    Attributes:
        entity: whose state it is.
        source: whose rows are kept.
        slots: the columns of a kept row.
        expressions: what each slot holds, as a row expression.
        rules: which rows are kept.
        generation: how often a table of this layout was begun; it is part of the table's name, so
            that nothing noted of an earlier one is ever taken for this one's. Not part of the
            fingerprint: states are packed alike.
    """

    def __init__(
        self,
        entity: Entity,
        source: Source,
        expressions: Mapping[str, Expression],
        rules: Iterable[tuple[str | None, Window, tuple[KeyedUse, ...]]],
        generation: int = 1,
    ) -> None:
        self.entity = entity
        self.generation = generation
        self.source = source
        ordered = sorted(expressions.items())
        self.slots = tuple(Slot(key, expression.dtype) for key, expression in ordered)
        self.expressions = tuple(expression for _, expression in ordered)
        self._index = {slot.key: at for at, slot in enumerate(self.slots)}
        found = [
            Rule(self._at(key), window, tuple(sorted(self._use(*use) for use in uses)))
            for key, window, uses in rules
        ]
        self.rules = tuple(sorted(found, key=_canonical))

    @classmethod
    def of(cls, entity: Entity, source: Source, views: Iterable[FeatureView]) -> StateLayout:
        """Return the layout that answers for all aggregates of some views."""
        expressions: dict[str, Expression] = {}
        wanted: dict[tuple[str | None, Window], list[Aggregate]] = {}
        for view in views:
            for aggregate in view.aggregates:
                where = filter_of(view, aggregate)
                for expression in (aggregate.column, aggregate.by, where):
                    if expression is not None:
                        expressions.setdefault(stored_key(expression, source), expression)
                key = None if where is None else stored_key(where, source)
                wanted.setdefault((key, aggregate.window), []).append(aggregate)
        rules = [
            (key, window, uses_of(window, found, source)) for (key, window), found in wanted.items()
        ]
        return cls(entity, source, expressions, rules)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StateLayout:
        """Return the layout that `to_dict` wrote."""
        source = Source.from_dict(data["source"])
        keys = data["slots"]
        expressions = {key: _expression(key, source) for key in keys}
        rules = [
            (
                None if at is None else keys[at],
                window_from_dict(window),
                tuple(
                    (kind, None if slot == ROWS else keys[slot], skips)
                    for kind, slot, skips in uses
                ),
            )
            for at, window, uses in data["rules"]
        ]
        entity = Entity.from_dict(data["entity"])
        return cls(entity, source, expressions, rules, data.get("generation", 1))

    def over(self, source: Source) -> StateLayout:
        """Return the same layout over a source that has the same rows."""
        made = copy(self)
        made.source = source
        if source.stored_columns != self.source.stored_columns:
            made.expressions = tuple(_expression(slot.key, source) for slot in self.slots)
        return made

    def of_generation(self, generation: int) -> StateLayout:
        """Return the same layout for another table."""
        made = copy(self)
        made.__dict__.pop("table", None)
        made.generation = generation
        return made

    def _at(self, key: str | None) -> int | None:
        return None if key is None else self._index[key]

    def _use(self, kind: str, key: str | None, skips_nulls: bool) -> Use:
        return Use(kind, ROWS if key is None else self._index[key], skips_nulls)

    def _slot_of(self, expression: Expression | None) -> int | None:
        return None if expression is None else self._index[stored_key(expression, self.source)]

    def read_of(self, view: FeatureView, aggregate: Aggregate) -> AggregateRead:
        """Return where the aggregate of a view finds its rows."""
        where = filter_of(view, aggregate)
        slot, passes = self._slot_of(aggregate.column), self._slot_of(where)
        rule = None
        if _tile_of(aggregate) == "sums":
            for number, each in enumerate(self.rules):
                if each.uses and (each.filter, each.window) == (passes, aggregate.window):
                    rule = number
        return AggregateRead(aggregate, slot, passes, rule, self._slot_of(aggregate.by))

    @cached_property
    def exclusive(self) -> int:
        """1 where the moment asked about does not count itself, else 0."""
        return exclusive_of(self.source)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that changes what is kept."""
        rules = [
            [self._key_at(rule.filter), rule.window.to_dict(), *map(list, self._keyed_uses(rule))]
            for rule in self.rules
        ]
        slots = [[slot.key, slot.dtype.to_dict()] for slot in self.slots]
        tiles = [TILE_FORMAT] if self.tiled else []
        return fingerprint([self.rows_of, slots, rules, *tiles])

    @cached_property
    def rows_of(self) -> list[Any]:
        """What says which rows there are, known when, and whose: of the source and the entity."""
        source = self.source
        times = [source.event_time, source.known_time, source.delay, source.lateness]
        entity = self.entity.renamed(source.stored_columns)
        keys, ids = entity.to_dict()["join_keys"], list(map(source.stored_name_of, source.row_id))
        rows = [source.stored, source.closed, *times, ids, self.entity.stored, keys]
        return [*rows, source.epochs] if source.epochs else rows

    @cached_property
    def record(self) -> np.dtype[Any]:
        """The form of a packed row."""
        from skewless.state.packed_rows import record_dtype

        return record_dtype(self.slots)

    @cached_property
    def table(self) -> str:
        """The table of the online store that holds the state."""
        again = "" if self.generation == 1 else f".{self.generation}"
        return f"{self.source.stored}.{self.entity.stored}.{self.fingerprint[:8]}{again}"

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as plain data; `from_dict` reads it back."""
        again = {} if self.generation == 1 else {"generation": self.generation}
        return {
            "entity": self.entity.to_dict(),
            "source": self.source.to_dict(),
            "slots": [slot.key for slot in self.slots],
            "rules": [
                [
                    rule.filter,
                    rule.window.to_dict(),
                    [[use.kind, use.slot, use.skips_nulls] for use in rule.uses],
                ]
                for rule in self.rules
            ],
        } | again

    def covers(self, other: StateLayout) -> bool:
        """Return whether state of this layout can answer everything that of ``other`` can."""
        mine = {(self._key_at(rule.filter), rule.window): rule for rule in self.rules}
        if self.rows_of != other.rows_of:
            return False
        for theirs in other.rules:
            rule = mine.get((other._key_at(theirs.filter), theirs.window))
            if rule is None:
                return False
            asked, had = set(other._keyed_uses(theirs)), set(self._keyed_uses(rule))
            if rule.uses and not (theirs.uses and asked <= had):
                return False
        return {s.key for s in other.slots} <= {s.key for s in self.slots}

    def _keyed_uses(self, rule: Rule) -> list[KeyedUse]:
        return [
            (use.kind, None if use.slot == ROWS else self.slots[use.slot].key, use.skips_nulls)
            for use in rule.uses
        ]

    @cached_property
    def tiled(self) -> bool:
        """Whether states have tiles."""
        return any(rule.uses for rule in self.rules)

    def _key_at(self, slot: int | None) -> str | None:
        return None if slot is None else self.slots[slot].key

    @property
    def span(self) -> int | None:
        """How far back kept rows may lie, microseconds; None where time sets no bound."""
        spans = [rule.window.span for rule in self.rules]
        return None if None in spans else max((s for s in spans if s is not None), default=0)

    @property
    def needs_older_rows(self) -> bool:
        """Whether a correction or a very late row can bring back rows already dropped."""
        return self.tiled or any(rule.window.displaces for rule in self.rules)

    def __repr__(self) -> str:
        return f"StateLayout({self.table}: {len(self.slots)} slots)"


def uses_of(
    window: Window, aggregates: Iterable[Aggregate], source: Source
) -> tuple[KeyedUse, ...]:
    """Return what tiles of a window must give for some aggregates; empty where they cannot."""
    if not window.tiled:
        return ()
    found: dict[KeyedUse, None] = {}
    for aggregate in aggregates:
        kind, column = aggregate.aggregation, aggregate.column
        if _tile_of(aggregate) is None:
            return ()
        key = None if column is None else stored_key(column, source)
        found[kind.name, key, not kind.keeps_nulls] = None
    return tuple(found)


def _tile_of(aggregate: Aggregate) -> Tile | None:
    """Return what tiles can stand for the rows of an aggregate, if any."""
    if aggregate.by is not None:
        return None
    column = aggregate.column
    return aggregate.aggregation.tile(None if column is None else column.dtype)


def _canonical(rule: Rule) -> str:
    """Return a text by which rules are ordered: equal for equal rules, and for them alone."""
    uses = [[use.kind, use.slot, use.skips_nulls] for use in rule.uses]
    return json.dumps([rule.filter, rule.window.to_dict(), uses], sort_keys=True)
