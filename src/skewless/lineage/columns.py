"""Where a feature comes from, column by column: read off its definition, so it is exact. Pure.

>>> import skewless as sl
>>> card = sl.Entity("card", card_id=str)
>>> pays = sl.Source("pays", schema={"card_id": str, "amount": float, "ok": bool}, event_time="at")
>>> view = sl.FeatureView(
...     "Spend", entity=card, source=pays,
...     features={"total": pays.where(pays.ok).amount.sum("1h")},
... )
>>> for edge in feature_edges(view, 1):
...     print(edge)
pays.amount -> Spend@v1:total  DIRECT AGGREGATION: sum over sliding 1h
pays.ok -> Spend@v1:total  INDIRECT FILTER: pays.ok
pays.at -> Spend@v1:total  INDIRECT WINDOW: sliding 1h
pays.card_id -> Spend@v1:total  INDIRECT JOIN: card

The kinds are those of OpenLineage's column lineage: **direct** where a value of the output is made
of values of the input; **indirect** where the input decides which rows count or which branch is
taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from skewless.aggregations.ordering import Latest
from skewless.definitions import Aggregate, FeatureRef, FeatureView, OnDemandView, Request, Source
from skewless.definitions.derivation import Derivation
from skewless.definitions.expressions import Column, Expression, Operation
from skewless.definitions.valued_view import view_of

Kind = Literal["column", "request", "feature", "service", "training set", "model"]
Type = Literal["DIRECT", "INDIRECT"]
Subtype = Literal[
    "IDENTITY", "TRANSFORMATION", "AGGREGATION", "JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW",
    "CONDITIONAL",
]  # fmt: skip
NOW = "now()"
"""The moment that is asked about, as an input of on-demand features."""


@dataclass(frozen=True, order=True)
class Node:
    """Something that has a place in the lineage.

    Attributes:
        kind: column, request, feature, service, training set or model.
        name: ``pays.amount``, ``Spend@v1:total``, ``fraud_model``, ``ts_5d41...``.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, order=True)
class How:
    """In which way an output depends on an input.

    Attributes:
        type: ``DIRECT`` or ``INDIRECT``.
        subtype: as OpenLineage calls it.
        description: for people.
    """

    type: Type
    subtype: Subtype
    description: str = ""

    def __str__(self) -> str:
        said = f": {self.description}" if self.description else ""
        return f"{self.type} {self.subtype}{said}"


@dataclass(frozen=True, order=True)
class Edge:
    """An output depends on an input.

    Attributes:
        source: the input.
        target: the output.
        how: it does.
    """

    source: Node
    target: Node
    how: How

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}  {self.how}"


CORRECTED = How("INDIRECT", "FILTER", "row id: corrections")
"""How a feature depends on the row id of its source."""


def column_node(source: str, column: str) -> Node:
    """Return the node of a column of a source."""
    return Node("column", f"{source}.{column}")


def feature_node(view: str, version: int, feature: str) -> Node:
    """Return the node of a feature in a version."""
    return Node("feature", f"{view}@v{version}:{feature}")


def view_edges(view: FeatureView | OnDemandView, version: int) -> Iterator[Edge]:
    """Yield what every feature of a view depends on, each dependence once."""
    if isinstance(view, FeatureView):
        return feature_edges(view, version)
    return on_demand_edges(view, version)


def feature_edges(view: FeatureView, version: int) -> Iterator[Edge]:
    """Yield what the features of a feature view depend on."""
    for name, expression in view.expressions.items():
        target = feature_node(view.name, version, name)
        found = dict.fromkeys(
            (source, _within(how, role))
            for leaf, role in _roles(expression)
            if isinstance(leaf, Aggregate)
            for source, how in _aggregate_inputs(view, leaf)
        )
        for source, how in found:
            yield Edge(source, target, how)


def on_demand_edges(view: OnDemandView, version: int) -> Iterator[Edge]:
    """Yield what on-demand features depend on: a function, on all that it is given."""
    if view.code:
        for name in view.features:
            target = feature_node(view.name, version, name)
            how = How("DIRECT", "TRANSFORMATION", f"function {view.name}")
            for source in dict.fromkeys(map(_given, view.leaves)):
                yield Edge(source, target, how)
        return
    for name, expression in view.expressions.items():
        target = feature_node(view.name, version, name)
        for leaf, how in _roles(expression):
            yield Edge(_given(leaf), target, how)


def source_edges(source: Source) -> Iterator[Edge]:
    """Yield what the columns of a derived source depend on: none of others do on another one."""
    by = source.derivation
    if by is None:
        return
    if by.view is not None:
        yield from _value_edges(source, by)
        return
    made = How("DIRECT", "TRANSFORMATION", f"the function of {source.name}")
    grouped = How("INDIRECT", "GROUP_BY", f"{by.rows:,} to {by.most:,} rows of a group")
    newest = How("DIRECT", "AGGREGATION", "the newest of a group")
    ordered = How("INDIRECT", "SORT", "the rows of a group in order of event time")
    corrected = How("INDIRECT", "FILTER", "row id: corrections")
    for column in source.columns:
        node = column_node(source.name, column)
        if column in by.hidden:
            continue
        if column in by.by:
            yield Edge(column_node(by.source, column), node, How("DIRECT", "IDENTITY"))
            continue
        for given in (by.event_time,) if column == source.event_time else by.columns:
            how = newest if column == source.event_time else made
            yield Edge(column_node(by.source, given), node, how)
        if column != source.event_time:
            yield Edge(column_node(by.source, by.event_time), node, ordered)
        for keys, how in ((by.by, grouped), (by.row_id, corrected)):
            for key in keys:
                yield Edge(column_node(by.source, key), node, how)


def _value_edges(source: Source, by: Derivation) -> Iterator[Edge]:
    """Yield what the columns of a source of a view's values depend on."""
    if by.base is None or by.view is None:
        return
    view, base = view_of(by, by.base), by.source
    names = dict(zip(view.entity.key_names, by.by, strict=True)) | {by.event_time: by.event_time}
    for name, own in names.items():
        node = column_node(source.name, name)
        yield Edge(column_node(base, own), node, How("DIRECT", "IDENTITY"))
    for edge in feature_edges(view, 1):
        node = column_node(source.name, edge.target.name.rpartition(":")[2])
        yield Edge(edge.source, node, edge.how)


def _within(how: How, role: How) -> How:
    """Return how a feature depends on an input of one of its aggregates, which has a role in it."""
    if how.type == "DIRECT" and role.type == "INDIRECT":
        return role
    if how.subtype == "IDENTITY" and role.subtype != "IDENTITY":
        return role
    return how


def _aggregate_inputs(view: FeatureView, aggregate: Aggregate) -> Iterator[tuple[Node, How]]:
    """Yield the columns behind one aggregation, and what each is for."""
    source = view.source
    name, over = aggregate.aggregation.name, repr(aggregate.window)
    if aggregate.column is not None:
        plain = isinstance(aggregate.aggregation, Latest) and isinstance(aggregate.column, Column)
        for leaf, how in _roles(aggregate.column):
            node = column_node(source.name, _column(leaf))
            if how.type == "INDIRECT":
                yield node, how
            elif plain and aggregate.by is None:
                yield node, How("DIRECT", "IDENTITY", f"{name} over {over}")
            else:
                yield node, How("DIRECT", "AGGREGATION", f"{name} over {over}")
    for condition in (view.where, aggregate.where):
        if condition is not None:
            yield from _indirect(source, condition, "FILTER")
    if aggregate.by is not None:
        yield from _indirect(source, aggregate.by, "GROUP_BY")
    for time in (source.event_time, source.known_time):
        if time is not None:
            yield column_node(source.name, time), How("INDIRECT", "WINDOW", over)
    for key in view.row_entity.key_names:
        yield column_node(source.name, key), How("INDIRECT", "JOIN", view.entity.name)
    for column in source.row_id:
        yield column_node(source.name, column), CORRECTED


def _indirect(source: Source, expression: Expression, kind: Subtype) -> Iterator[tuple[Node, How]]:
    said = repr(expression).removesuffix(f": {expression.dtype!r}")
    for leaf in expression.leaves():
        if isinstance(leaf, Column):
            yield column_node(source.name, leaf.name), How("INDIRECT", kind, said)


def _roles(expression: Expression) -> list[tuple[Expression, How]]:
    """Return the leaves of an expression, each with how the value depends on it, each once."""
    found: dict[tuple[str, How], tuple[Expression, How]] = {}
    todo: list[tuple[Expression, bool]] = [(expression, True)]
    while todo:
        part, direct = todo.pop()
        children: Iterable[tuple[Expression, bool]] = ((child, direct) for child in part.children)
        if isinstance(part, Operation) and part.name == "if_else":
            children = ((c, direct and number > 0) for number, c in enumerate(part.children))
        todo += reversed(list(children))
        if part.children or part.constant:
            continue
        if not direct:
            how = How("INDIRECT", "CONDITIONAL", "decides which value is taken")
        elif part is expression:
            how = How("DIRECT", "IDENTITY")
        else:
            how = How("DIRECT", "TRANSFORMATION", f"{expression!r:.200}")
        found.setdefault((repr(part), how), (part, how))
    return list(found.values())


def _column(leaf: Expression) -> str:
    return leaf.name if isinstance(leaf, Column) else ""


def _given(leaf: Expression) -> Node:
    """Return the node of something that on-demand features are computed from."""
    if isinstance(leaf, FeatureRef):
        return feature_node(leaf.view, leaf.version or 0, leaf.feature)
    return Node("request", leaf.name if isinstance(leaf, Request) else NOW)
