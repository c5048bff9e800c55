"""A view: its features, distributions, versions, what it keeps online, and how it is defined."""

from __future__ import annotations

from typing import Any

from skewless.clock import iso
from skewless.definitions import FeatureView
from skewless.definitions.references import split_reference, split_view
from skewless.durations import format_duration
from skewless.errors import InputError
from skewless.monitoring.catalog import entry_of
from skewless.monitoring.state_sizes import stored_sizes
from skewless.plan.apply.registry_state import VIEW_KINDS
from skewless.ui.page import Page
from skewless.ui.site import Site, label_of


def all_views(site: Site, given: dict[str, str]) -> Page:
    """Return every current view, a line each."""
    del given
    state = site.state
    fresh = {(each.view, each.version): each.status for each in site.freshness().views}
    lines = []
    for name, version in sorted(state.current.items()):
        view = state.view(name)
        computed = isinstance(view, FeatureView)
        pinned = {s for s, pins in state.pins.items() for ref in pins if _is_of(ref, name)}
        freshness = view.labels["freshness"]
        notice = site.deprecation_of(name, version)
        lines.append(
            {
                "name": label_of(view, version),
                "kind": "feature view" if computed else "on-demand view",
                "entity": view.entity.name if isinstance(view, FeatureView) else "",
                "source": view.source.name if isinstance(view, FeatureView) else "",
                "features": len(view.features),
                "owner": view.labels["owner"],
                "description": view.labels["description"],
                "promised": None if freshness is None else format_duration(freshness),
                "status": fresh.get((name, version), ""),
                "services": len(pinned),
                "deprecated": "" if notice is None else notice.reason or "deprecated",
            }
        )
    return Page("views.html", "Views", {"views": lines}, {}, "views")


def _is_of(reference: str, view: str) -> bool:
    return reference.partition("@v")[0] == view


def page(site: Site, given: dict[str, str]) -> Page:
    """Return a version of a view, the current one unless the name says which."""
    name, asked = split_view(given["name"])
    state = site.state
    view = state.view(name, asked)
    version = state.current[name] if asked is None else asked
    label = label_of(view, version)
    entry = entry_of(state, label).to_dict()
    notice = site.deprecation_of(name, version)
    data: dict[str, Any] = {
        **entry,
        "name": name,
        "label": label,
        "tags": view.labels["tags"],
        "owner": view.labels["owner"],
        "description": view.labels["description"],
        "deprecated": "" if notice is None else notice.reason or "deprecated",
        "notice_of": "" if notice is None else notice.target,
        "sunset": None if notice is None or notice.sunset is None else notice.sunset.isoformat(),
        "versions": _versions(site, name),
        "services": {feature: site.users_of(f"{label}:{feature}") for feature in view.features},
        "freshness_now": None,
        "where": "",
        "examples": [],
        "intervals": [],
        "code": "",
    }
    if isinstance(view, FeatureView):
        now = site.freshness_of(name, version)
        data["freshness_now"] = None if now is None else now.to_dict()
        data["where"] = "" if view.where is None else repr(view.where)
        data["examples"] = site.examples(view, version, 6)
        intervals = site.runtime.registry.intervals(name, version)
        data["intervals"] = [[iso(start), iso(end)] for start, end in intervals]
    else:
        data["code"] = view.code.get("path", "")
    data["state"] = [size.to_dict() for size in stored_sizes(site.runtime) if label in size.views]
    shown = {"statistics": site.kept_statistics(label)}
    return Page("view.html", label, data, shown, "views")


def statistics(site: Site, given: dict[str, str]) -> Page:
    """Return the distributions of all features of a view, now and over all entities."""
    name, asked = split_view(given["name"])
    view = site.state.view(name, asked)
    version = site.state.current[name] if asked is None else asked
    label = label_of(view, version)
    data: dict[str, Any] = {"label": label, "why_not": "", "statistics": None}
    shown: dict[str, Any] = {"found": None}
    try:
        found = site.statistics(label)
        data["statistics"], shown["found"] = found.to_dict(), found
    except InputError as problem:  # computed from what history does not have
        data["why_not"] = str(problem)
    return Page("statistics.html", f"Statistics of {label}", data, shown, "views")


def _versions(site: Site, name: str) -> list[dict[str, Any]]:
    """Return each version that a view ever had, and which services are pinned to it."""
    found = []
    for record in site.state.records:
        if record.kind in VIEW_KINDS and record.name == name:
            pinned = {
                service
                for service, pins in site.state.pins.items()
                for view, version, _ in map(split_reference, pins)
                if (view, version) == (name, record.version)
            }
            found.append(
                {
                    "version": record.version,
                    "current": record.current,
                    "applied_at": iso(record.applied_at),
                    "retired_at": None if record.retired_at is None else iso(record.retired_at),
                    "fingerprint": record.fingerprint,
                    "services": sorted(pinned),
                }
            )
    return sorted(found, key=lambda each: -each["version"])
