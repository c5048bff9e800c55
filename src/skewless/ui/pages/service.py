"""A feature service: the features a model is served, each pinned to a version."""

from __future__ import annotations

from typing import Any

from skewless.clock import iso
from skewless.definitions import FeatureView
from skewless.monitoring.catalog import words_of_feature
from skewless.monitoring.snippets import example_of, snippets
from skewless.plan.selection import select
from skewless.ui.page import Page
from skewless.ui.site import Site, label_of


def all_services(site: Site, given: dict[str, str]) -> Page:
    """Return every feature service, a line each."""
    del given
    lines = [
        {
            "name": name,
            "features": len(site.state.pins[name]),
            "owner": service.labels["owner"],
            "description": service.labels["description"],
        }
        for name, service in sorted(site.state.services.items())
    ]
    return Page("services.html", "Services", {"services": lines}, {}, "services")


def page(site: Site, given: dict[str, str]) -> Page:
    """Return a feature service: its contract, what its features are, and code that reads it."""
    name, state = given["name"], site.state
    pins = state.service(name)
    labels = state.services[name].labels
    fresh = {(each.view, each.version): each for each in site.freshness().views}
    rows: list[dict[str, Any]] = []
    example: dict[str, Any] = {}
    for reference in pins:
        ref = state.feature(reference)
        view, version = state.view(ref.view, ref.version), ref.version or 0
        words = words_of_feature(view, ref.feature)
        notice = site.deprecation_of(ref.view, version, ref.feature)
        now = fresh.get((ref.view, version))
        if isinstance(view, FeatureView) and not set(view.asked_entity.key_names) <= set(example):
            example |= next(iter(site.examples(view, version, 1)), {})
        rows.append(
            {
                "reference": ref.reference,
                "name": ref.feature,
                "view": label_of(view, version),
                "type": repr(ref.dtype),
                "unit": words.unit,
                "description": words.description,
                "newer": None if state.current.get(ref.view) == version
                else f"v{state.current.get(ref.view)}",
                "status": "" if now is None else now.status,
                "deprecated": "" if notice is None else notice.reason or "deprecated",
            }
        )  # fmt: skip
    asked = select(state, name)
    at = iso(site.now())[:19] + "Z"
    types = asked.join_keys | {field.name: field.dtype for field in asked.requests}
    keys = example_of(types, example, at)
    notice = next((n for n in state.deprecations if n.target == name), None)
    waits = state.wanted_pins[name] if state.wanted_pins[name] != pins else ()
    folder = str(site.store.config.folder.absolute())
    data = {
        "name": name,
        "description": labels["description"],
        "owner": labels["owner"],
        "tags": labels["tags"],
        "deprecated": "" if notice is None else notice.reason or "deprecated",
        "asks": {key: repr(dtype) for key, dtype in asked.join_keys.items()},
        "requests": {field.name: repr(field.dtype) for field in asked.requests},
        "features": rows,
        "waits_for": sorted(set(waits) - set(pins)),
        "snippets": snippets(name, keys, folder, at),
    }
    return Page("service.html", name, data, {}, "services")
