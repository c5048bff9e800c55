"""A feature: what it is, of what, how it is distributed, who uses it, and code that reads it."""

from __future__ import annotations

from typing import Any

from skewless.clock import iso
from skewless.definitions import Aggregate, FeatureView
from skewless.definitions.expressions import Column
from skewless.errors import InputError
from skewless.explain.describe import columns_used
from skewless.lineage.personal import personal
from skewless.monitoring.catalog import words_of_feature
from skewless.monitoring.snippets import example_of, snippets
from skewless.plan.apply.registry_state import View
from skewless.plan.selection import select
from skewless.ui.page import Page
from skewless.ui.site import Site, inputs_of, label_of

_EXAMPLES = 4


def page(site: Site, given: dict[str, str]) -> Page:
    """Return all there is to know of a feature, by its reference."""
    state = site.state
    ref = state.feature(given["name"])
    view, version = state.view(ref.view, ref.version), ref.version or 0
    label, reference = label_of(view, version), ref.reference
    words = words_of_feature(view, ref.feature)
    marked = personal(state).get(reference)
    classes = {} if marked is None else {"pii": ", ".join(sorted(marked.classes))}
    expression = view.expressions.get(ref.feature)
    notice = site.deprecation_of(ref.view, version, ref.feature)
    now = site.freshness_of(ref.view, version)
    examples = _examples(site, view, version)
    data: dict[str, Any] = {
        "reference": reference,
        "name": ref.feature,
        "view": label,
        "kind": "feature" if isinstance(view, FeatureView) else "on-demand feature",
        "type": repr(ref.dtype),
        "computes": "" if expression is None else repr(expression),
        "entity": view.entity.name if isinstance(view, FeatureView) else "",
        "source": view.source.name if isinstance(view, FeatureView) else "",
        "words": words.to_dict() | classes,
        "view_description": view.labels["description"],
        "tags": {**view.labels["tags"], **words.tags},
        "deprecated": "" if notice is None else notice.reason or "deprecated",
        "notice_of": "" if notice is None else notice.target,
        "sunset": None if notice is None or notice.sunset is None else notice.sunset.isoformat(),
        "freshness_now": None if now is None else now.to_dict(),
        "services": site.users_of(reference),
        "used_by": site.derived_from(ref.view, version, ref.feature),
        "columns": _columns(view, ref.feature),
        "inputs": [each.reference for each in inputs_of(view, ref.feature)]
        if not isinstance(view, FeatureView)
        else [],
        "windows": _windows(site, reference),
        "examples": examples,
        "snippets": _snippets(site, reference, examples),
    }
    kept = site.kept_statistics(label)
    shown = {"found": None if kept is None else _of(kept, ref.feature), "statistics": kept}
    return Page("feature.html", reference, data, shown, "search")


def distribution(site: Site, given: dict[str, str]) -> Page:
    """Return the distribution of a feature over all entities, now."""
    ref = site.state.feature(given["name"])
    label = f"{ref.view}@v{ref.version}"
    data: dict[str, Any] = {"reference": ref.reference, "why_not": "", "distribution": None}
    shown: dict[str, Any] = {"found": None, "statistics": None}
    try:
        kept = site.statistics(label)
        found = _of(kept, ref.feature)
        data["distribution"], shown = found.to_dict(), {"found": found, "statistics": kept}
    except InputError as problem:  # computed from what history does not have
        data["why_not"] = str(problem)
    return Page("distribution.html", f"Distribution of {ref.reference}", data, shown, "search")


def _of(kept: Any, feature: str) -> Any:
    return next(each for each in kept.features if each.name == feature)


def _columns(view: View, feature: str) -> list[dict[str, str]]:
    """Return the columns of the source that a feature is made of, with what is said of them."""
    if not isinstance(view, FeatureView):
        return []
    leaves = [x for x in view.expressions[feature].leaves() if isinstance(x, Aggregate)]
    values = {
        column.name
        for leaf in leaves
        if leaf.column is not None
        for column in leaf.column.leaves()
        if isinstance(column, Column)
    }
    names = dict.fromkeys(name for leaf in leaves for name in columns_used(leaf, view))
    return [
        {
            "name": name,
            "type": repr(view.source.columns[name]),
            "role": "value" if name in values else "filter or group",
            "description": said.description if (said := view.source.words.get(name)) else "",
            "unit": said.unit if said else "",
        }
        for name in names
    ]


def _windows(site: Site, reference: str) -> dict[str, str]:
    """Return the same feature over its windows, itself among them: window = reference."""
    return next(
        (
            dict(hit["windows"])
            for hit in site.store.search(reference, 3)
            if reference in (hit["feature"], *hit["windows"].values())
        ),
        {},
    )


def _examples(site: Site, view: View, version: int) -> list[dict[str, Any]]:
    if isinstance(view, FeatureView):
        return site.examples(view, version, _EXAMPLES)
    return []


def _snippets(site: Site, reference: str, examples: list[dict[str, Any]]) -> list[dict[str, str]]:
    asked = select(site.state, [reference])
    at = iso(site.now())[:19] + "Z"
    types = asked.join_keys | {field.name: field.dtype for field in asked.requests}
    keys = example_of(types, examples[0] if examples else {}, at)
    folder = str(site.store.config.folder.absolute())
    return snippets([reference], keys, folder, at)
