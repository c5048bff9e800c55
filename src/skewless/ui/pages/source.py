"""A source: its columns and their words, where rows come from, what is made of them."""

from __future__ import annotations

from typing import Any

from skewless.clock import iso
from skewless.definitions import Aggregate, FeatureView
from skewless.explain.describe import columns_used
from skewless.ingest.quarantine import size_of
from skewless.monitoring.catalog import source_entry
from skewless.ui.page import Page
from skewless.ui.site import Site, label_of

_QUARANTINED = 10


def all_sources(site: Site, given: dict[str, str]) -> Page:
    """Return every source, a line each."""
    del given
    lines = []
    for name, source in sorted(site.state.sources.items()):
        entry = source_entry(source)
        lines.append(
            {
                **{key: entry[key] for key in ("name", "table", "stream", "owner", "description")},
                "columns": len(source.columns),
                "views": len(_users(site, name)),
                "set_aside": size_of(site.runtime, name).kept,
            }
        )
    return Page("sources.html", "Sources", {"sources": lines}, {}, "sources")


def page(site: Site, given: dict[str, str]) -> Page:
    """Return a source."""
    name, sources = given["name"], site.state.sources
    if name not in sources:
        raise site.unknown("source", name, sources)
    source = sources[name]
    used = _features_by_column(site, name)
    log = site.runtime.log(source)
    newest = log.newest_event()
    data: dict[str, Any] = {
        **source_entry(source),
        "columns": [
            {
                "name": column,
                "type": repr(dtype),
                "role": _role(source, column),
                "words": source.words[column].to_dict() if column in source.words else {},
                "features": used.get(column, []),
            }
            for column, dtype in source.columns.items()
        ],
        "views": [label_of(view, version) for view, version in _users(site, name)],
        "pushed_rows": log.last_sequence(),
        "newest_pushed": None if newest is None else iso(newest),
        "set_aside": size_of(site.runtime, name).kept,
        "quarantine": [
            {"at": iso(row.at), "reason": row.reason, "values": row.values}
            for row in site.store.quarantine(name, _QUARANTINED)
        ],
    }
    data.pop("words", None)
    return Page("source.html", name, data, {}, "sources")


def _role(source: Any, column: str) -> str:
    """Return what a column is to its source; empty where it is a value like others."""
    roles = {source.event_time: "event time", source.known_time: "known time"}
    return roles.get(column, "row id" if column in source.row_id else "")


def _users(site: Site, source: str) -> list[tuple[FeatureView, int]]:
    """Return the current views of a source."""
    found = []
    for name, version in sorted(site.state.current.items()):
        view = site.state.view(name)
        if isinstance(view, FeatureView) and view.source.name == source:
            found.append((view, version))
    return found


def _features_by_column(site: Site, source: str) -> dict[str, list[str]]:
    """Return the features that each column of a source has a part in."""
    found: dict[str, dict[str, None]] = {}
    for view, version in _users(site, source):
        for feature, expression in view.expressions.items():
            reference = f"{label_of(view, version)}:{feature}"
            for leaf in expression.leaves():
                for column in columns_used(leaf, view) if isinstance(leaf, Aggregate) else ():
                    found.setdefault(column, {})[reference] = None
        for key in view.row_entity.key_names:
            found.setdefault(key, {})
    return {column: list(references) for column, references in found.items()}
