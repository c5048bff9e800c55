"""An entity: its join keys, the views that describe it, and some entities to look at."""

from __future__ import annotations

from typing import Any

from skewless.monitoring.catalog import entity_entry
from skewless.ui.page import Page
from skewless.ui.site import Site, label_of


def all_entities(site: Site, given: dict[str, str]) -> Page:
    """Return every entity, a line each."""
    del given
    lines = [_line(site, name) for name in sorted(site.state.entities)]
    return Page("entities.html", "Entities", {"entities": lines}, {}, "entities")


def _line(site: Site, name: str) -> dict[str, Any]:
    entity = site.state.entities[name]
    views = [view for view, _ in site.views_of_entity(name)]
    return {
        "name": name,
        "join_keys": {key: repr(dtype) for key, dtype in entity.join_keys},
        "description": entity.description,
        "views": len(views),
        "features": sum(len(view.features) for view in views),
    }


def page(site: Site, given: dict[str, str]) -> Page:
    """Return an entity."""
    name = given["name"]
    entities = site.state.entities
    if name not in entities:
        raise site.unknown("entity", name, entities)
    entity = entities[name]
    data = {
        **entity_entry(entity),
        "words": {key: words.to_dict() for key, words in entity.words.items()},
        "views": [
            {
                "name": label_of(view, version),
                "features": list(view.features),
                "description": view.labels["description"],
                "owner": view.labels["owner"],
            }
            for view, version in site.views_of_entity(name)
        ],
        "examples": site.examples_of_entity(name, 12),
    }
    return Page("entity.html", name, data, {}, "entities")
