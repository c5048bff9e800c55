"""Finding features by words, and browsing them by entity, owner, source and tag."""

from __future__ import annotations

from collections import Counter
from typing import Any

from skewless.ui.page import Page
from skewless.ui.site import Site

SHOWN = 50
_MOST = 100_000
_FACETS = ("entity", "owner", "source", "status")
_VALUES = 8


def page(site: Site, given: dict[str, str]) -> Page:
    """Return what fits the words ``q``; without any every feature, the windows of one together."""
    query = given.get("q", "").strip()
    if not site.state.records:
        return Page("welcome.html", "Nothing is defined yet", {}, {}, "search")
    found = site.store.search(query, _MOST)
    if not query:
        found.sort(key=lambda hit: (hit["view"], hit["name"]))
    shown = found if given.get("all") else found[:SHOWN]
    data = {
        "query": query,
        "count": len(found),
        "results": shown,
        "facets": _facets(found),
        "examples": _examples(found),
    }
    title = f"Features: {query}" if query else "Features"
    return Page("search.html", title, data, {}, "search")


def _facets(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return for each filter the values that the results have, the most frequent first."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*_FACETS, "tag")}
    for hit in found:
        for name in ("entity", "source"):
            counts[name].update(each for each in hit[name].split(", ") if each)
        counts["owner"][hit["owner"]] += 1
        counts["status"]["deprecated" if hit["deprecated"] else "current"] += 1
        counts["tag"].update(f"{key}={value}" for key, value in hit["tags"].items())
    return {
        name: [
            {"filter": f"{name}:{_quoted(value)}", "value": value, "count": many}
            for value, many in count.most_common(_VALUES)
            if value
        ]
        for name, count in counts.items()
        if len(count) > 1
    }


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value


def _examples(found: list[dict[str, Any]]) -> list[str]:
    """Return queries that this registry can answer, to learn from."""
    if not found:
        return []
    first = found[0]
    owner = f" owner:{_quoted(first['owner'])}" if first["owner"] else ""
    words = first["name"].replace("_", " ")
    windowed = next((hit for hit in found if hit["windows"]), None)
    last = [] if windowed is None else [f"{windowed['name'].split('_')[0]} last day"]
    return [words, *last, f"entity:{first['entity'].split(', ')[0]}{owner}", "fresh -deprecated"]
