"""Finding features by what people call them: names, words, units, owners, tags, windows.

    search(state, "spend last month owner:risk", 10, fresh=fs.freshness)[0]["feature"]

The windows of one feature are one answer, headed by the window that was asked for. The index is
built once for a revision of the registry; `skewless.monitoring.search_index` ranks.
"""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skewless.definitions import Aggregate, Expression, FeatureView
from skewless.durations import format_duration, parse_duration
from skewless.lineage.personal import Personal, personal
from skewless.monitoring.catalog import words_of_feature
from skewless.monitoring.freshness import FreshnessReport
from skewless.monitoring.search_index import Hit, Index, lexicon, words_of
from skewless.plan.apply.registry_state import Deprecation, RegistryState, View

WEIGHTS = {
    "name": 3.0, "description": 2.5, "column": 2.0, "aggregation": 2.0, "filter": 1.5,
    "unit": 1.0, "view": 1.0, "entity": 1.0, "tags": 0.7, "owner": 0.7, "source": 0.5,
    "about": 0.4, "services": 0.5,
}  # fmt: skip
_MINUTE = 60_000_000
_DAY = 24 * 60 * _MINUTE
_UNITS = {
    "min": (_MINUTE, _MINUTE), "h": (60 * _MINUTE, 60 * _MINUTE), "d": (_DAY, _DAY),
    "w": (7 * _DAY, 7 * _DAY), "mo": (28 * _DAY, 31 * _DAY), "q": (90 * _DAY, 92 * _DAY),
    "y": (365 * _DAY, 366 * _DAY),
}  # fmt: skip
_SPELLED = {
    "m": "min", "mins": "min", "minute": "min", "minutes": "min", "hr": "h", "hrs": "h",
    "hour": "h", "hours": "h", "hourly": "h", "day": "d", "days": "d", "daily": "d", "today": "d",
    "week": "w", "weeks": "w", "weekly": "w", "month": "mo", "months": "mo", "monthly": "mo",
    "quarter": "q", "quarters": "q", "quarterly": "q", "year": "y", "years": "y", "yearly": "y",
    "annual": "y",
}  # fmt: skip
_ALONE = (
    "minute|hour|day|week|month|quarter|year|today|"
    "hourly|daily|weekly|monthly|quarterly|yearly|annual"
)
_WINDOW = re.compile(
    r"(?:\b(?:over|in|within|during|for)\s+)?(?:\bthe\s+)?"
    r"(?:\b(?:last|past|previous|a|an|per|every)\s+)?"
    rf"(?:(?<![^\W_])(\d+)[\s-]?({'|'.join(sorted({*_UNITS, *_SPELLED}, key=len, reverse=True))})\b"
    rf"|\b({_ALONE})\b)",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"(?<!\S)(-?)(?:(deprecated|fresh)|(owner|entity|tag|view|source|service|type|unit|pii|phi|mnpi|status)"
    r":(\"[^\"]*\"|\S+))(?!\S)",
    re.IGNORECASE,
)
_Member = tuple[str, int, dict[str, Any]]
"""The name of a feature, its window in microseconds (0: none) and what is answered."""
_DURATION = re.compile(r"\d+(ms|s|m|h|d|w)")
_INDEXES: dict[int, _Catalogue] = {}
"""By the identity of a registry's state; gone with it."""


@dataclass(frozen=True)
class _Family:
    """A feature in all its windows.

    Attributes:
        members: one for each window.
        words: the texts by which it is found.
        views: the versions of feature views that it is computed of.
    """

    members: list[_Member]
    words: dict[str, str]
    views: frozenset[str]


@dataclass(frozen=True)
class _Catalogue:
    """All families of a revision, which have a name (in each of its forms), and their index."""

    families: list[_Family]
    names: dict[str, list[int]]
    index: Index


@dataclass(frozen=True)
class _Query:
    words: list[str]
    windows: list[tuple[int, int, str]]
    filters: list[tuple[bool, str, str]]
    fresh: bool | None


def search(
    state: RegistryState,
    text: str,
    limit: int,
    *,
    fresh: Callable[[], FreshnessReport],
    used: Callable[[], Mapping[str, int]] = dict,
) -> list[dict[str, Any]]:
    """Return the features that fit a text best, the best first; nothing where nothing fits.

    Args:
        state: of the registry.
        text: some words; an empty one fits every feature. Windows are understood as people write
            them (``24h``, ``1 day``, ``last week``). ``owner:``, ``entity:``, ``tag:`` (a name, a
            value or ``name=value``), ``view:``, ``source:``, ``service:``, ``type:``, ``unit:``,
            ``pii:``, ``phi:yes``, ``mnpi:yes`` and ``status:deprecated`` filter; a ``-`` before one
            excludes, and ``-deprecated`` is short for ``-status:deprecated``. ``fresh`` keeps what
            serves events that are no older than promised (``-fresh`` the rest).
        limit: at most so many.
        fresh: says how fresh views are; called only if the text asks.
        used: says in how many training sets each feature is: what is used comes a little earlier.

    Returns:
        For each: ``feature`` (its full reference), ``name``, ``view``, ``version``, ``type``,
        ``kind``, ``entity``, ``source``, ``owner``, ``description`` (its own, else its view's),
        ``unit``, ``tags``, ``pii``, ``classes`` (all of its data), ``computes``, ``services``,
        ``freshness`` (what is promised, or None), ``deprecated`` (the reason; empty: it is not),
        ``sunset``, ``windows`` (window = reference, of the same feature over others and this),
        ``training_sets``, ``why`` and ``score``. What is deprecated is below what its reason names.
    """
    catalogue = _catalogue_of(state)
    query = _parsed(text)
    if query.words:
        hits = {hit.document: hit for hit in catalogue.index.find(query.words)}
    else:
        hits = {number: Hit(number, 1.0, []) for number in range(len(catalogue.families))}
    for number in catalogue.names.get(text.strip(), ()):
        hits.setdefault(number, Hit(number, 0.0, []))
    kept = set() if query.fresh is None else _fresh_views(fresh())
    found, trained = [], used()
    for hit in hits.values():
        family = catalogue.families[hit.document]
        if query.fresh is not None and (family.views <= kept) is not query.fresh:
            continue
        members = [
            member
            for member in family.members
            if all(_passes(member[2], *given) for given in query.filters)
        ]
        ranked = _ranked(members, hit, query, text.strip(), trained) if members else None
        if ranked is not None:
            found.append(ranked)
    best: dict[str, float] = {}
    for score, answer in found:
        if not answer["deprecated"]:
            best[answer["view"]] = max(score, best.get(answer["view"], 0.0))
    answers = [
        answer | {"score": round(_capped(score, answer, best), 3)} for score, answer in found
    ]
    return sorted(answers, key=lambda a: (-a["score"], bool(a["deprecated"]), a["feature"]))[:limit]


def _fresh_views(report: FreshnessReport) -> set[str]:
    return {f"{view.view}@v{view.version}" for view in report.views if view.status == "ok"}


def _parsed(text: str) -> _Query:
    filters, fresh = [], None
    for minus, bare, key, value in _FILTER.findall(text):
        if bare.lower() == "fresh":
            fresh = not minus
        elif not bare:
            filters.append((bool(minus), key.lower(), value.strip('"').lower()))
        elif minus:
            filters.append((True, "status", "deprecated"))
    # without a minus, "deprecated" is a word as any other
    text = _FILTER.sub(lambda m: m[0] if m[0].lower() == "deprecated" else " ", text)
    windows = []
    for number, unit, alone in _WINDOW.findall(text):
        short = (unit or alone).lower()
        least, most = _UNITS[_SPELLED.get(short, short)]
        times = int(number[:6] or 1)
        windows.append((least * times, most * times, f"{number}{' ' if number else ''}{short}"))
    text = re.sub(r"\bhow many\b", "count", _WINDOW.sub(" ", text), flags=re.IGNORECASE)
    text = re.sub(r"@v\d+\b", " ", text)
    asked = words_of(text)
    said = [word for word in asked if word not in lexicon().stop]
    return _Query(said or asked, windows, filters, fresh)


def _passes(answer: dict[str, Any], excludes: bool, key: str, value: str) -> bool:
    match key:
        case "tag":
            tags = {f"{name}={said}".lower() for name, said in answer["tags"].items()}
            has = any(value in (tag, *tag.split("=", 1)) for tag in tags)
        case "status":
            has = value == ("deprecated" if answer["deprecated"] else "current")
        case "service":
            has = value in (service.lower() for service in answer["services"])
        case "pii":
            has = value in answer["classes"] or (value == "none" and answer["pii"] is None)
        case "phi" | "mnpi":
            has = value == ("yes" if key in answer["classes"] else "no")
        case "entity" | "source":
            has = value in answer[key].lower().split(", ")
        case _:
            has = value == str(answer[key] or "none").lower()
    return has is not excludes


def _ranked(
    members: list[_Member], hit: Hit, query: _Query, text: str, trained: Mapping[str, int]
) -> tuple[float, dict[str, Any]] | None:
    """Return how well a feature fits and what is answered: its member of the window asked for."""
    score, why = hit.score, list(hit.why)
    pinned = [member for member in members if member[2]["services"]]
    kept = [member for member in members if not member[2]["deprecated"]]
    answer = (pinned or kept or members)[0][2]
    for least, most, said in query.windows:
        fitting = [member for member in members if least <= member[1] <= most]
        score *= 1.15 if fitting else 0.8
        if fitting:
            answer = fitting[0][2]
            why.append(f"{said} in window")
    if query.windows and not query.words and len(why) < len(query.windows):
        return None
    for member, _, theirs in members:
        if text in _names(member, theirs):
            score, answer, why = score + 100.0, theirs, ["its name"]
    score *= 1 + 0.05 * bool(pinned) + 0.02 * bool(answer["description"])
    most = max(trained.get(member[2]["feature"], 0) for member in members) if trained else 0
    score *= 1 + 0.02 * bool(answer["owner"]) + min(0.06, 0.02 * math.log2(1 + most))
    answer = answer | {"why": why, "training_sets": trained.get(answer["feature"], 0)}
    return score * (0.5 if answer["deprecated"] else 1.0), answer


def _capped(score: float, answer: dict[str, Any], best: dict[str, float]) -> float:
    """Return a score that is, of what is deprecated, at most the best of what its reason names."""
    named = set(re.findall(r"\w+", answer["deprecated"]))
    return min(score, max((best[view] for view in named if view in best), default=score))


# ----------------------------------------------------------------------------- the index


def _catalogue_of(state: RegistryState) -> _Catalogue:
    known = _INDEXES.get(id(state))
    if known is None:
        families = list(_families(state))
        names: dict[str, list[int]] = {}
        for number, family in enumerate(families):
            for member, _, answer in family.members:
                for name in _names(member, answer):
                    names.setdefault(name, []).append(number)
        index = Index([family.words for family in families], WEIGHTS)
        known = _INDEXES[id(state)] = _Catalogue(families, names, index)
        weakref.finalize(state, _INDEXES.pop, id(state), None)
    return known


def _names(feature: str, answer: dict[str, Any]) -> tuple[str, str, str]:
    return feature, f"{answer['view']}:{feature}", answer["feature"]


def _families(state: RegistryState) -> Iterator[_Family]:
    services: dict[str, list[str]] = {}
    for service, references in state.pins.items():
        for reference in references:
            services.setdefault(reference, []).append(service)
    notices = {notice.target: notice for notice in state.deprecations}
    marked = personal(state)
    for name, version in state.current.items():
        view = state.view(name)
        places = _places(state, view)
        families: dict[str, list[_Member]] = {}
        for feature in view.features:
            base, _, length = _window(feature, view.expressions.get(feature))
            reference = f"{name}@v{version}:{feature}"
            answer = _answer(view, feature, reference, services.get(reference, []), places)
            classes = marked.get(reference, Personal())
            answer["pii"], answer["classes"] = classes.pii, sorted(classes.classes)
            families.setdefault(base, []).append((feature, length, answer))
        for base, members in families.items():
            for feature, _, answer in members:
                of = ("", f"@v{version}", f":{feature}", f"@v{version}:{feature}")
                notice = next((notices[name + end] for end in of if name + end in notices), None)
                answer.update(_deprecated(notice))
            yield _family(view, base, members, places)


def _family(
    view: View,
    base: str,
    members: list[_Member],
    places: _Places,
) -> _Family:
    feature, _, answer = members[0]
    windows = {
        _window(name, view.expressions.get(name))[1]: theirs["feature"]
        for name, length, theirs in members
        if length
    }
    said = view.words.get(feature)
    expression = view.expressions.get(feature)
    parts = _parts({} if expression is None else expression.to_dict())
    columns = [c for c in parts["column"] if c not in parts["filter"]]
    words = {
        "name": base,
        "description": "" if said is None else said.description,
        "column": " ".join(f"{name} {places.columns.get(name, '')}" for name in columns),
        "aggregation": " ".join(lexicon().aggregations.get(n, n) for n in parts["aggregation"]),
        "filter": " ".join(parts["filter"]),
        "unit": answer["unit"],
        "view": f"{view.name} {view.labels['description']}",
        "entity": places.entity_words,
        "tags": " ".join(f"{key} {value}" for key, value in answer["tags"].items()),
        "owner": answer["owner"],
        "source": answer["source"],
        "about": places.about,
        "services": " ".join(s for _, _, theirs in members for s in theirs["services"]),
    }
    shown = [(n, length, a | {"windows": windows}) for n, length, a in members]
    version = f"{view.name}@v{answer['version']}"
    own = {version} if isinstance(view, FeatureView) else places.views
    return _Family(shown, words, frozenset(own))


def _deprecated(notice: Deprecation | None) -> dict[str, Any]:
    if notice is None:
        return {"deprecated": "", "sunset": None}
    sunset = None if notice.sunset is None else notice.sunset.isoformat()
    return {"deprecated": notice.reason or "deprecated", "sunset": sunset}


@dataclass(frozen=True)
class _Places:
    """What is said of the entities and sources of a view."""

    entities: list[str]
    sources: list[str]
    entity_words: str
    about: str
    columns: dict[str, str]
    views: frozenset[str] = frozenset()
    """Of an on-demand view: the versions of feature views that it reads; else none."""


def _places(state: RegistryState, view: View) -> _Places:
    if isinstance(view, FeatureView):
        source, entity = view.source, view.entity
        columns = {name: f"{said.description} {said.unit}" for name, said in source.words.items()}
        entity_words = f"{entity.name} {entity.description} {' '.join(entity.key_names)}"
        about = f"{source.description} {source.owner}"
        return _Places([entity.name], [source.name], entity_words, about, columns)
    found = [_places(state, state.view(ref.view, ref.version)) for ref in view.refs]
    read = [f"{ref.view}@v{ref.version}" for ref in view.refs]
    views = [place.views or {name} for name, place in zip(read, found, strict=True)]
    return _Places(
        list(dict.fromkeys(name for place in found for name in place.entities)),
        list(dict.fromkeys(name for place in found for name in place.sources)),
        " ".join(dict.fromkeys(place.entity_words for place in found)),
        " ".join(dict.fromkeys(place.about for place in found)),
        {name: said for place in found for name, said in place.columns.items()},
        frozenset().union(*views),
    )


def _answer(
    view: View, feature: str, reference: str, services: list[str], places: _Places
) -> dict[str, Any]:
    expression = view.expressions.get(feature)
    said = words_of_feature(view, feature)
    promised = view.labels.get("freshness")
    return {
        "feature": reference,
        "name": feature,
        "view": view.name,
        "version": int(reference.partition("@v")[2].partition(":")[0]),
        "type": repr(view.dtypes[feature]),
        "kind": "feature" if isinstance(view, FeatureView) else "on-demand feature",
        "entity": ", ".join(places.entities),
        "source": ", ".join(places.sources),
        "owner": said.owner,
        "description": said.description or view.labels["description"],
        "unit": said.unit,
        "tags": {**view.labels["tags"], **said.tags},
        "computes": "" if expression is None else repr(expression),
        "services": services,
        "freshness": None if promised is None else format_duration(promised),
    }


def _window(feature: str, expression: Expression | None) -> tuple[str, str, int]:
    """Return a name without its window, the window as people wrote it, its microseconds (or 0)."""
    for leaf in () if expression is None else expression.leaves():
        length = leaf.window.length if isinstance(leaf, Aggregate) else None
        if length:
            base, _, written = feature.rpartition("_")
            if base and _DURATION.fullmatch(written) and parse_duration(written) == length:
                return base, written, length
            return feature, format_duration(length), length
    return feature, "", 0


def _parts(data: Any, kind: str = "column") -> dict[str, list[str]]:
    """Return what an expression reads, filters by and computes, from its plain data."""
    found: dict[str, list[str]] = {"column": [], "filter": [], "aggregation": []}

    def walk(data: Any, kind: str) -> None:
        items: Iterable[tuple[str, Any]]
        if isinstance(data, dict):
            items = data.items()
        elif isinstance(data, list):
            items = (("", each) for each in data)
        else:
            return
        for key, value in items:
            if isinstance(value, dict | list):
                walk(value, "filter" if key in ("where", "by") else kind)
            elif key in ("column", "feature") or (key == "value" and isinstance(value, str)):
                found[kind].append(value)
            elif key == "aggregation":
                found["aggregation"].append(value)

    walk(data, kind)
    return {name: list(dict.fromkeys(words)) for name, words in found.items()}
