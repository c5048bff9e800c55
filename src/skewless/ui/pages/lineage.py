"""Where something comes from, column by column, and what is made of it."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from skewless.definitions.references import split_reference
from skewless.errors import InputError
from skewless.lineage.columns import Node
from skewless.ui.page import Page
from skewless.ui.render import address
from skewless.ui.site import Site

_MOST_STEPS = 6
_MOST_DRAWN = 150
"""Nodes that a picture can hold and still be read."""


def page(site: Site, given: dict[str, str]) -> Page:
    """Return the lineage of ``of``, ``up`` and ``down`` so many steps (``all=1``: keys too).

    Raises:
        UnknownName: there is nothing of the name.
    """
    state = site.state
    if not state.records:
        return Page("welcome.html", "Nothing is defined yet", {}, {}, "lineage")
    of = given.get("of", "").strip()
    names = [*sorted(state.services), *sorted(state.sources)]
    up, down = _steps(given, "up"), _steps(given, "down")
    data: dict[str, Any] = {
        "of": of, "up": up, "down": down, "all": bool(given.get("all")), "names": names,
        "lineage": None,
    }  # fmt: skip
    if not of:
        return Page("lineage.html", "Lineage", data, {"picture": None}, "lineage")
    found = site.store.lineage(of, up=up, down=down)
    if not data["all"]:
        found = found.without_keys()
    data["lineage"] = found.to_dict()
    links = {node: address("lineage", of=_name_of(node), up=up, down=down) for node in found.nodes
             if node.kind != "request"}  # fmt: skip
    fits = len(found.nodes) <= _MOST_DRAWN
    shown = {
        "picture": Markup(found.to_svg(links)) if fits else None,
        "edges": [
            (edge.source, page_of(edge.source), edge.target, page_of(edge.target), edge.how)
            for edge in found.edges
        ],
    }
    return Page("lineage.html", f"Lineage of {of}", data, shown, "lineage")


def _steps(given: dict[str, str], name: str) -> int:
    text = given.get(name, "") or "2"
    if not text.isdecimal() or int(text) > _MOST_STEPS:
        raise InputError(f"{name} is no number of steps", got=text, expected=f"0 to {_MOST_STEPS}")
    return int(text)


def _name_of(node: Node) -> str:
    return node.name


def page_of(node: Node) -> str:
    """Return the address of the page of something in a lineage; empty where it has none."""
    match node.kind:
        case "column":
            return address("sources", node.name.partition(".")[0])
        case "feature":
            view, version, feature = split_reference(node.name)
            return address("features", f"{view}@v{version}:{feature}")
        case "service":
            return address("services", node.name)
        case "training set":
            return address("training-sets", node.name)
    return ""
