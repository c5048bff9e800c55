"""A lineage as a drawing: layers from left to right, without a library and without a script.

Kinds have fixed layers: column, request, feature, service, training set, model. Within a layer
nodes are ordered by where their neighbours lie (the barycentre heuristic of Sugiyama, Tagawa and
Toda, "Methods for visual understanding of hierarchical system structures", 1981).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from skewless.lineage.columns import Edge, Node

_WIDTH, _HEIGHT, _GAP, _ROW = 220, 26, 110, 38
_MARGIN, _TEXT = 16, 30
_SWEEPS = 6
_COLOURS = {
    "column": "#4c6ef5", "request": "#868e96", "feature": "#0ca678", "service": "#f08c00",
    "training set": "#ae3ec9", "model": "#e03131",
}  # fmt: skip


def drawn(
    of: str,
    nodes: Mapping[Node, int],
    edges: Sequence[Edge],
    links: Mapping[Node, str] | None = None,
) -> str:
    """Return a lineage as SVG: nodes with titles, direct edges drawn, indirect ones dashed.

    Args:
        of: what it is the lineage of.
        nodes: with their distances; those of distance 0 stand out.
        edges: between these.
        links: where a click on a node leads.
    """
    role, links = ("group" if links else "img"), links or {}
    layers = _layers(list(nodes), edges)
    place = {
        node: (_MARGIN + x * (_WIDTH + _GAP), _MARGIN + y * _ROW)
        for x, layer in enumerate(layers)
        for y, node in enumerate(layer)
    }
    width = 2 * _MARGIN + len(layers) * (_WIDTH + _GAP) - _GAP
    height = 2 * _MARGIN + max((len(layer) for layer in layers), default=1) * _ROW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="{role}" font-family="sans-serif" font-size="12">',
        f"<title>Lineage of {escape(of)}</title>",
    ]
    lines += [_edge(edge, place) for edge in edges]
    lines += [_linked(_node(n, place[n], nodes[n] == 0), links.get(n)) for n in place]
    return "\n".join([*lines, "</svg>"])


def _layers(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[list[Node]]:
    """Return the nodes by layer, ordered so that edges cross little."""
    depth = _depths(nodes, edges)
    layers: list[list[Node]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for node in nodes:
        layers[depth[node]].append(node)
    layers = [layer for layer in layers if layer]
    near: dict[Node, list[Node]] = {node: [] for node in nodes}
    for edge in edges:
        near[edge.source].append(edge.target)
        near[edge.target].append(edge.source)
    for _ in range(_SWEEPS):
        at = {node: number for layer in layers for number, node in enumerate(layer)}
        for layer in layers:
            layer.sort(key=lambda node: (_mean([at[n] for n in near[node]], at[node]), node))
            at.update({node: number for number, node in enumerate(layer)})
    return layers


def _depths(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[Node, int]:
    """Return the layer of each node: behind all that it comes from."""
    order = list(_COLOURS)
    depth = {node: order.index(node.kind) for node in nodes}
    for _ in nodes:
        moved = False
        for edge in edges:
            if depth[edge.target] <= depth[edge.source]:
                depth[edge.target] = depth[edge.source] + 1
                moved = True
        if not moved:
            break
    return depth


def _mean(numbers: list[int], default: int) -> float:
    return sum(numbers) / len(numbers) if numbers else default


def _edge(edge: Edge, place: Mapping[Node, tuple[int, int]]) -> str:
    (x1, y1), (x2, y2) = place[edge.source], place[edge.target]
    x1, y1, y2 = x1 + _WIDTH, y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
    bend = (x2 - x1) // 2
    dashes = ' stroke-dasharray="4 3"' if edge.how.type == "INDIRECT" else ""
    return (
        f'<path d="M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}" fill="none"'
        f' stroke="#adb5bd"{dashes}><title>{escape(str(edge))}</title></path>'
    )


def _linked(drawing: str, link: str | None) -> str:
    return drawing if link is None else f"<a href={quoteattr(link)}>{drawing}</a>"


def _node(node: Node, at: tuple[int, int], asked: bool) -> str:
    x, y = at
    name = node.name
    if len(name) > _TEXT:  # of a feature the end tells it from others of its view
        kept = _TEXT - 1
        name = f"\u2026{name[-kept:]}" if node.kind == "feature" else f"{name[:kept]}\u2026"
    thick = 3 if asked else 1
    return (
        f'<g><title>{node.kind} {escape(node.name)}</title><rect x="{x}" y="{y}" width="{_WIDTH}"'
        f' height="{_HEIGHT}" rx="4" fill="#ffffff" stroke="{_COLOURS[node.kind]}"'
        f' stroke-width="{thick}"/><text x="{x + 10}" y="{y + 17}" fill="#212529">'
        f"{escape(name)}</text></g>"
    )
