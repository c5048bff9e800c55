"""The lineage of a whole repo: from columns to features, services, training sets and models.

    lineage = fs.lineage("Spend:total", up=2, down=3)
    print(lineage)

Definitions give everything up to feature services, exactly; the ledger gives what was made of them:
training sets, and the models that somebody said were trained on these (`FeatureStore.log_model`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from skewless.definitions.references import split_reference, split_view
from skewless.errors import UnknownName
from skewless.ledger.ledger import Ledger
from skewless.lineage.columns import (
    CORRECTED,
    Edge,
    How,
    Node,
    column_node,
    feature_node,
    source_edges,
    view_edges,
)
from skewless.lineage.svg import drawn
from skewless.plan.apply.registry_state import RegistryState

MODEL = "model"
"""Kind of the records that say what a model was trained on."""
_PART = How("DIRECT", "IDENTITY")


@dataclass(frozen=True)
class Lineage:
    """A part of the lineage, around some nodes.

    Attributes:
        of: what was asked for.
        nodes: each with its distance: below 0 what it comes from, above 0 what is made of it.
        edges: between these.
    """

    of: str
    nodes: Mapping[Node, int] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()

    def of_kind(self, kind: str) -> list[str]:
        """Return the names of the nodes of a kind."""
        return [node.name for node in self.nodes if node.kind == kind]

    def to_dict(self) -> dict[str, Any]:
        """Return nodes and edges as plain data."""
        return {
            "of": self.of,
            "nodes": [
                {"kind": node.kind, "name": node.name, "distance": distance}
                for node, distance in self.nodes.items()
            ],
            "edges": [
                {"from": edge.source.name, "to": edge.target.name, **vars(edge.how)}
                for edge in self.edges
            ],
        }

    def to_svg(self, links: Mapping[Node, str] | None = None) -> str:
        """Return a drawing, in layers from left to right.

        Args:
            links: where a click on a node leads.
        """
        return drawn(self.of, self.nodes, self.edges, links)

    def without_keys(self) -> Lineage:
        """Return the part without join keys, row ids and times, which nearly every feature has."""
        edges = tuple(
            edge
            for edge in self.edges
            if edge.how.subtype not in ("WINDOW", "JOIN") and edge.how != CORRECTED
        )
        ends = {node for edge in edges for node in (edge.source, edge.target)}
        nodes = {n: far for n, far in self.nodes.items() if not far or n in ends}
        return Lineage(self.of, nodes, edges)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def __str__(self) -> str:
        above = [edge for edge in self.edges if self.nodes[edge.target] <= 0]
        below = [edge for edge in self.edges if self.nodes[edge.target] > 0]
        lines = [self.of]
        if above:
            lines += ["  comes from", *(f"    {line}" for line in _lines(above, up=True))]
        if below:
            lines += ["  goes into", *(f"    {line}" for line in _lines(below, up=False))]
        return "\n".join(lines if len(lines) > 1 else [f"{self.of}: nothing is known of it"])


class Graph:
    """All nodes and edges of a repo at one revision.

    Args:
        edges: of it.
    """

    def __init__(self, edges: Iterable[Edge]) -> None:
        self.edges = tuple(dict.fromkeys(edges))
        self._inputs: dict[Node, list[Edge]] = {}
        self._outputs: dict[Node, list[Edge]] = {}
        for edge in self.edges:
            self._inputs.setdefault(edge.target, []).append(edge)
            self._outputs.setdefault(edge.source, []).append(edge)
        self.nodes = dict.fromkeys((*self._outputs, *self._inputs))

    def around(self, of: str, nodes: Iterable[Node], *, up: int, down: int) -> Lineage:
        """Return what is at most so many steps above and below some nodes."""
        start = list(nodes)
        found: dict[Node, int] = dict.fromkeys(start, 0)
        edges: dict[Edge, None] = {}
        for step, ends, limit in ((-1, self._inputs, up), (1, self._outputs, down)):
            reached = start
            for distance in range(1, limit + 1):
                further = [edge for node in reached for edge in ends.get(node, ())]
                edges.update(dict.fromkeys(further))
                others = [edge.source if step < 0 else edge.target for edge in further]
                reached = [node for node in dict.fromkeys(others) if node not in found]
                found.update(dict.fromkeys(reached, step * distance))
        return Lineage(of, found, tuple(edges))


class LineageReader:
    """Reads the lineage of a repo; that of the definitions is kept while these are the same.

    Args:
        ledger: of the repo.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: tuple[RegistryState, tuple[Edge, ...]] | None = None

    def graph(self, state: RegistryState) -> Graph:
        """Return the lineage of everything that is applied, and of what was made of it."""
        known = self._known
        if known is None or known[0] is not state:
            self._known = known = state, tuple(defined_edges(state))
        return Graph((*known[1], *_made(self._ledger)))

    def around(self, state: RegistryState, name: str, *, up: int, down: int) -> Lineage:
        """Return what is at most so many steps above and below what a name stands for."""
        graph = self.graph(state)
        return graph.around(name, nodes_of(state, graph, name), up=up, down=down)


def defined_edges(state: RegistryState) -> Iterator[Edge]:
    """Yield what follows from definitions: every version of every view that serves."""
    for source in state.sources.values():
        yield from source_edges(source)
    for key in state.fingerprints:
        yield from view_edges(state.view(*key), key[1])
    for service, pins in state.pins.items():
        for pin in pins:
            view_name, version, feature = split_reference(pin)
            node = feature_node(view_name, version or 0, feature)
            yield Edge(node, Node("service", service), _PART)


def _made(ledger: Ledger) -> Iterator[Edge]:
    """Yield what the ledger knows of training sets and models."""
    for record in ledger.records(kinds=["training_set", MODEL]):
        data = record.data
        if record.kind == MODEL:
            for name in data["training_sets"]:
                yield Edge(Node("training set", name), Node("model", data["model"]), _PART)
            continue
        made = Node("training set", data["id"])
        if data["service"]:
            yield Edge(Node("service", data["service"]), made, _PART)
        for column, reference in data["features"].items():
            view, version, feature = split_reference(reference)
            how = How("DIRECT", "IDENTITY", f"column {column}")
            yield Edge(feature_node(view, version or 0, feature), made, how)


def nodes_of(state: RegistryState, graph: Graph, name: str) -> list[Node]:
    """Return the nodes that a name stands for.

    Args:
        state: of the registry.
        graph: of the repo.
        name: ``pays.amount``, a source (all its columns), ``Spend:total``, ``Spend@v1:total``, a
            view or version (all its features), a feature service, the id of a training set, a
            model.

    Raises:
        UnknownName: there is nothing of the name.
    """
    if ":" in name:
        view, version, feature = split_reference(name)
        found = state.view(view, version)
        found[feature]
        return [feature_node(view, version or state.current[view], feature)]
    bare, version = split_view(name)
    if bare in state.current:
        number = state.current[bare] if version is None else version
        return [feature_node(bare, number, each) for each in state.view(bare, version).features]
    if name in state.sources:
        return [column_node(name, column) for column in state.sources[name].columns]
    source, _, column = name.partition(".")
    if column and source in state.sources:
        if column not in state.sources[source].columns:
            known = state.sources[source].columns
            raise UnknownName.of("column", column, known, where=f"source {source!r}")
        return [column_node(source, column)]
    matching = [node for node in graph.nodes if node.name == name]
    if not matching and name not in state.services:
        names = {node.name for node in graph.nodes} | {*state.current, *state.sources}
        raise UnknownName.of("name", name, names, where="the lineage")
    return matching or [Node("service", name)]


def _lines(edges: Iterable[Edge], *, up: bool) -> Iterator[str]:
    """Yield a line for each pair of nodes, with all ways in which they depend."""
    pairs: dict[tuple[Node, Node], list[How]] = {}
    for edge in edges:
        pairs.setdefault((edge.source, edge.target), []).append(edge.how)
    several = len({target if up else source for source, target in pairs}) > 1
    for (source, target), hows in pairs.items():
        name = f"{source} -> {target}" if several else str(source if up else target)
        kind = (source if up else target).kind
        said = "; ".join(_short(how) for how in hows if how != _PART)
        yield f"{kind:<12} {name}" + (f"  {said}" if said else "")


def _short(how: How) -> str:
    return f"{how.subtype.lower()} ({how.description})" if how.description else how.subtype.lower()
