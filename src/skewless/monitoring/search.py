"""Finding features by what people call them: names, descriptions, owners, tags, windows.

    search(state, "spend last month", 10)[0]["feature"]      # 'Spend@v1:total_30d'

A word fits another wholly, as its beginning, or by the trigrams they share (a slip of the pen).
Rare words weigh more than common ones. Nothing is indexed: a thousand features take some ten
milliseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from skewless.definitions import Aggregate, Expression, FeatureView
from skewless.monitoring.catalog import words_of_feature
from skewless.plan.apply.registry_state import RegistryState, View

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+[a-z]*")
_COMMON = frozenset(
    ("a", "an", "and", "by", "for", "from", "in", "last", "of", "on", "over", "past", "per", "the")
)
_SAME = 0.45
"""Below this share of trigrams two words have nothing in common."""
_HOUR = 3_600_000_000
_LENGTHS = (
    (_HOUR, _HOUR, "hour hourly"),
    (24 * _HOUR, 24 * _HOUR, "day daily"),
    (7 * 24 * _HOUR, 7 * 24 * _HOUR, "week weekly"),
    (28 * 24 * _HOUR, 31 * 24 * _HOUR, "month monthly"),
    (90 * 24 * _HOUR, 92 * 24 * _HOUR, "quarter quarterly"),
    (365 * 24 * _HOUR, 366 * 24 * _HOUR, "year yearly annual"),
)


@dataclass(frozen=True)
class _Entry:
    """A feature and its words, each with how much it weighs."""

    answer: dict[str, Any]
    words: dict[str, float]


def search(state: RegistryState, text: str, limit: int = 10) -> list[dict[str, Any]]:
    """Return the features that fit a text best, the best first.

    Args:
        state: of the registry.
        text: some words; an empty one fits every feature.
        limit: at most so many.

    Returns:
        For each: ``feature`` (its full reference), ``name``, ``view``, ``version``, ``type``,
        ``kind``, ``entity``, ``source``, ``owner``, ``description`` (its own, else its view's),
        ``unit``, ``tags``, ``computes``, ``services`` and ``score`` (greater is better).
    """
    entries = list(_entries(state))
    asked = list(dict.fromkeys(words_of(text)))
    scores = [0.0] * len(entries)
    for word in asked:
        fits = [_fit(word, entry.words) for entry in entries]
        found = sum(fit > 0 for fit in fits)
        rarity = math.log(1 + len(entries) / found) if found else 0.0
        rarity *= 0.1 if word in _COMMON else 1.0
        scores = [score + fit * rarity for score, fit in zip(scores, fits, strict=True)]
    ranked = sorted(
        zip(scores, entries, strict=True), key=lambda pair: (-pair[0], pair[1].answer["feature"])
    )
    return [
        entry.answer | {"score": round(score, 3)}
        for score, entry in ranked
        if score > 0 or not asked
    ][:limit]


def words_of(text: str) -> list[str]:
    """Return the words of a text or name, in lower case: ``FabRolling:vdd_1h`` has four."""
    return [word.lower() for word in _WORD.findall(text)]


def _entries(state: RegistryState) -> Iterator[_Entry]:
    services: dict[str, list[str]] = {}
    for service, references in state.pins.items():
        for reference in references:
            services.setdefault(reference, []).append(service)
    for name, version in state.current.items():
        view = state.view(name)
        for feature in view.features:
            reference = f"{name}@v{version}:{feature}"
            yield _entry(state, view, feature, reference, services.get(reference, []))


def _entry(
    state: RegistryState, view: View, feature: str, reference: str, services: list[str]
) -> _Entry:
    entities, sources, places = _places(state, view)
    expression = view.expressions.get(feature)
    computes = "" if expression is None else repr(expression)
    said = words_of_feature(view, feature)
    owner, description = said.owner, said.description or view.labels["description"]
    tags: dict[str, Any] = {**view.labels["tags"], **said.tags}
    weighed = (
        (5.0, feature), (3.0, view.name), (3.0, said.description), (1.0, said.unit),
        (2.0, view.labels["description"]), (2.0, " ".join(entities)),
        (2.0, " ".join(sources)), (2.0, " ".join(f"{k} {v}" for k, v in tags.items())),
        (1.5, owner), (1.5, computes), (1.5, _lengths(expression)), (1.0, " ".join(services)),
        (1.0, places),
    )  # fmt: skip
    words: dict[str, float] = {}
    for weight, part in weighed:
        for word in words_of(part):
            words[word] = max(weight, words.get(word, 0.0))
    answer = {
        "feature": reference,
        "name": feature,
        "view": view.name,
        "version": int(reference.partition("@v")[2].partition(":")[0]),
        "type": repr(view.dtypes[feature]),
        "kind": "feature" if isinstance(view, FeatureView) else "on-demand feature",
        "entity": ", ".join(entities),
        "source": ", ".join(sources),
        "owner": owner,
        "description": description,
        "unit": said.unit,
        "tags": tags,
        "computes": computes,
        "services": services,
    }
    return _Entry(answer, words)


def _places(state: RegistryState, view: View) -> tuple[list[str], list[str], str]:
    """Return the names of entities and sources, and what else is said of these."""
    if isinstance(view, FeatureView):
        source, entity = view.source, view.entity
        columns = " ".join(words.description for words in source.words.values())
        about = f"{source.description} {source.owner} {entity.description} {columns}"
        return [entity.name], [source.name], f"{about} {' '.join(entity.key_names)}"
    found = [_places(state, state.view(ref.view, ref.version)) for ref in view.refs]
    entities = dict.fromkeys(name for place in found for name in place[0])
    sources = dict.fromkeys(name for place in found for name in place[1])
    return list(entities), list(sources), " ".join(place[2] for place in found)


def _lengths(expression: Expression | None) -> str:
    """Return the lengths of windows in words: a window of 30 days is a month."""
    words = []
    for leaf in () if expression is None else expression.leaves():
        window = leaf.window if isinstance(leaf, Aggregate) else None
        if window is None:
            continue
        length = window.length or 0
        words += [text for low, high, text in _LENGTHS if low <= length <= high]
        if window.length is None:
            words.append(window.kind)
    return " ".join(words)


def _fit(word: str, words: dict[str, float]) -> float:
    """Return how well a word fits the best of a feature's."""
    if word in words:
        return words[word]
    best = 0.0
    grams = _trigrams(word)
    for other, weight in words.items():
        if len(word) > 1 and other.startswith(word):
            best = max(best, 0.8 * weight)
        elif len(word) > 2 and len(other) > 2:
            theirs = _trigrams(other)
            share = 2 * len(grams & theirs) / (len(grams) + len(theirs))
            if share >= _SAME:
                best = max(best, 0.6 * share * weight)
    return best


def _trigrams(word: str) -> frozenset[str]:
    padded = f"  {word} "
    return frozenset(_windows(padded))


def _windows(text: str) -> Iterable[str]:
    return (text[at : at + 3] for at in range(len(text) - 2))
