"""One entity: its features now and at a moment, and the rows behind a value, drawn in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from skewless.clock import from_micros, iso, to_micros
from skewless.codec import from_text, to_json
from skewless.definitions import FeatureView
from skewless.definitions.references import split_reference, split_view
from skewless.errors import InputError, UnknownName
from skewless.explain.report import Explanation
from skewless.formatting import same_bits
from skewless.monitoring.catalog import words_of_feature
from skewless.monitoring.snippets import snippets
from skewless.plan.selection import Selection, select
from skewless.training.training_set import training_set
from skewless.types import DType, Misfit
from skewless.ui.page import Page
from skewless.ui.pages.explained import explained
from skewless.ui.render import address, key_parameters
from skewless.ui.site import Site

_KEY = "key."
_TIME = "asked_about_at"
"""The spine's time column: not a name that a join key is likely to have."""


def page(site: Site, given: dict[str, str]) -> Page:
    """Return the features of an entity.

    Args:
        site: what is looked at.
        given: ``of`` (an entity, a view or a feature service), ``key.NAME`` for its join keys and
            request fields, ``at`` (a moment; none: now), ``feature`` (whose rows are shown) and
            ``rows=all`` and ``zoom`` (the stretch of time that a timeline shows).
    """
    state = site.state
    if not state.records:
        return Page("welcome.html", "Nothing is defined yet", {}, {}, "explore")
    of = given.get("of") or _first(site, given.get("feature", ""))
    references = _references(site, of)
    asked = select(state, references, full_names=True)
    types = asked.join_keys | {field.name: field.dtype for field in asked.requests}
    texts = {name: given.get(_KEY + name, "").strip() for name in types}
    data: dict[str, Any] = {
        "of": of,
        "entities": sorted(state.entities),
        "services": sorted(state.services),
        "fields": [_field(name, dtype, texts[name], asked) for name, dtype in types.items()],
        "at": given.get("at", "").strip(),
        "feature": given.get("feature", ""),
        "examples": _examples(site, asked),
        "problem": None,
        "values": [],
        "left_out": [],
        "explained": None,
        "snippets": [],
    }
    shown: dict[str, Any] = {"sections_": [], "texts": {_KEY + k: v for k, v in texts.items() if v}}
    try:
        entity = _typed(texts, types, of)
        at = to_micros(data["at"], where="the time") if data["at"] else None
    except InputError as problem:
        data["problem"] = problem.to_dict()
        return Page("explore.html", f"Explore {of}", data, shown, "explore")
    answered = [name for name in references if _asks(site, name) <= set(entity)]
    data["left_out"] = [name for name in references if name not in answered]
    if entity and answered:
        data["values"] = _values(site, answered, entity, at)
        folder = str(site.store.config.folder.absolute())
        moment = iso(site.now() if at is None else at)
        data["snippets"] = snippets(answered, entity, folder, moment)
        if data["feature"]:
            found = site.store.explain(data["feature"], entity, at=at)
            _explain(site, found, given, data, shown)
    return Page("explore.html", f"Explore {of}", data, shown, "explore")


def _explain(
    site: Site, found: Explanation, given: Mapping[str, str], data: dict[str, Any],
    shown: dict[str, Any],
) -> None:  # fmt: skip
    """Add the rows behind a value to what the page shows."""
    rows = "all" if given.get("rows") == "all" else ""

    def link(zoom: str) -> str:
        return address(
            "explore", of=data["of"], at=data["at"], feature=data["feature"], rows=rows, zoom=zoom,
            **shown["texts"],
        )  # fmt: skip

    data["explained"] = found.to_dict()
    shown["found"], shown["unit"] = found, _unit(site, found.feature)
    try:
        shown["sections_"] = explained(
            site, found, whole=bool(rows), zoom=given.get("zoom", ""), link=link
        )
    except InputError as problem:
        data["problem"] = problem.to_dict()


def _first(site: Site, feature: str) -> str:
    """Return what is explored where nobody said: of a feature its entity, else one with values."""
    if feature:
        view = site.state.view(*split_reference(feature)[:2])
        return view.entity.name if isinstance(view, FeatureView) else view.name
    names = sorted(site.state.entities)
    return next((name for name in names if site.examples_of_entity(name, 1)), names[0])


def _references(site: Site, of: str) -> list[str]:
    """Return the features of an entity, a view or a feature service, with versions."""
    state = site.state
    if of in state.pins:
        return list(state.pins[of])
    if of in state.entities:
        return [
            f"{view.name}@v{version}:{feature}"
            for view, version in site.views_of_entity(of)
            for feature in view.features
        ]
    name, version = split_view(of)
    if name in state.current:
        number = state.current[name] if version is None else version
        return [f"{name}@v{number}:{each}" for each in state.view(name, number).features]
    known = [*state.entities, *state.pins, *state.current]
    raise UnknownName.of("entity, service or view", of, known, where=state.place)


def _field(name: str, dtype: DType, text: str, asked: Selection) -> dict[str, Any]:
    kind = "key" if name in asked.join_keys else "request"
    return {"name": name, "type": repr(dtype), "kind": kind, "text": text}


def _examples(site: Site, asked: Selection) -> list[dict[str, str]]:
    """Return some entities to look at, as the texts of a form."""
    views = [(need.view, need.version) for need in asked.views]
    names = set(asked.join_keys)
    for view, version in views:
        if names <= set(view.asked_entity.key_names):
            found = site.examples(view, version, 8)
            return [key_parameters(key) for key in found]
    return []


def _typed(texts: Mapping[str, str], types: Mapping[str, DType], of: str) -> dict[str, Any]:
    """Return the fields of the form that hold something, as values of their types."""
    found = {}
    for name, text in texts.items():
        if text:
            try:
                found[name] = from_text(text, types[name])
            except Misfit as problem:
                raise InputError(
                    f"{name!r} is no {types[name]!r}", got=problem.reason, where=of
                ) from None
    return found


def _asks(site: Site, reference: str) -> set[str]:
    """Return the join keys and request fields that a feature needs."""
    asked = select(site.state, [reference])
    return {*asked.join_keys, *(field.name for field in asked.requests)}


def _unit(site: Site, reference: str) -> str:
    view, version, feature = split_reference(reference)
    return words_of_feature(site.state.view(view, version), feature).unit


def _values(
    site: Site, references: list[str], entity: Mapping[str, Any], at: int | None
) -> list[dict[str, Any]]:
    """Return each feature's value online, and at a moment as known then and as known by now."""
    online = site.store.get_online_features(references, [dict(entity)], full_names=True)
    values, statuses, events = online.to_dict(), online.to_statuses(), online.to_event_times()
    then = later = None
    if at is not None:
        then = _at(site, references, entity, at, "known")
        later = _at(site, references, entity, at, "event_time")
    found = []
    for output in online.outputs:
        words = words_of_feature(site.state.view(output.view, output.version), output.feature)
        line: dict[str, Any] = {
            "reference": output.reference,
            "name": output.feature,
            "view": f"{output.view}@v{output.version}",
            "unit": words.unit,
            "description": words.description,
            "now": to_json(values[output.name][0]),
            "status": statuses[output.name][0],
            "newest": to_json(events[output.name][0]),
        }
        if then is not None and later is not None:
            one, other = then[output.name], later[output.name]
            line |= {"then": to_json(one), "later": to_json(other)}
            line["changed"] = not same_bits(one, other)
        found.append(line)
    return found


def _at(
    site: Site, references: Iterable[str], entity: Mapping[str, Any], at: int, as_of: str
) -> dict[str, Any]:
    """Return the values of a training set of one row."""
    spine = [{**entity, _TIME: from_micros(at)}]
    found = training_set(  # and no word of it in the ledger: nobody trains on it
        site.runtime,
        spine,
        list(references),
        timestamp=_TIME,
        as_of=as_of,
        full_names=True,
        progress=None,
    )
    return {name: column[0] for name, column in found.to_dict().items()}
