"""The first page: what needs a person, what serves, what changed."""

from __future__ import annotations

from typing import Any

from skewless.clock import iso
from skewless.definitions.references import split_reference
from skewless.ui.acts import marked
from skewless.ui.attention import needs
from skewless.ui.page import Page
from skewless.ui.pages.changes import change_of
from skewless.ui.site import Site

_CHANGES = 5


def page(site: Site, given: dict[str, str]) -> Page:
    """Return the first page; of an empty registry one that says how to begin."""
    del given
    state = site.state
    if not state.records:
        return Page("welcome.html", "Nothing is defined yet", {"at": iso(site.now())}, {}, "home")
    wanting = marked(site.runtime, needs(site))
    features = sum(len(state.view(name).features) for name in state.current)
    data: dict[str, Any] = {
        "at": iso(site.now()),
        "needs": [need.to_dict() for need in wanting if not need.silenced_until],
        "silenced": [need.to_dict() for need in wanting if need.silenced_until],
        "counts": {
            "features": features,
            "views": len(state.current),
            "entities": len(state.entities),
            "sources": len(state.sources),
            "services": len(state.services),
        },
        "services": [_card(site, name) for name in sorted(state.services)],
        "changes": [change_of(each) for each in site.runtime.registry.history(_CHANGES)],
    }
    return Page("home.html", "Home", data, {}, "home")


def _card(site: Site, name: str) -> dict[str, Any]:
    """Return what the first page says of a feature service: its least fresh views among it."""
    pins = site.state.pins[name]
    views = {(view, version or 0) for view, version, _ in map(split_reference, pins)}
    found = [site.freshness_of(*view) for view in sorted(views)]
    labels = site.state.services[name].labels
    return {
        "name": name,
        "description": labels["description"],
        "owner": labels["owner"],
        "features": len(pins),
        "views": [
            {"view": f"{each.view}@v{each.version}", "status": each.status}
            for each in found
            if each is not None
        ],
    }
