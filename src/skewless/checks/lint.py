"""Rules of names and words, ``[lint]`` in ``skewless.toml``, held against definitions.

>>> from skewless.definitions import Entity, FeatureView, Source
>>> from skewless.definitions.repo import Definitions
>>> pays = Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
>>> card = Entity("card", card_id=str)
>>> spend = FeatureView("spend", entity=card, source=pays, features={"Sum": pays.amount.sum("1h")})
>>> rules = LintRules(features="[a-z][a-z0-9_]*", owners=True)
>>> for finding in rules.findings(Definitions.of(spend)):
...     print(finding)
feature view spend: has no owner
feature view spend: the feature 'Sum' is not named like [a-z][a-z0-9_]*
source pays: has no owner

`plan` shows what does not keep to them. It is no error unless ``enforce`` is set or asked for: then
an apply refuses what it would add or change. Values and versions are not concerned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skewless.definitions import FeatureView, OnDemandView, Source
from skewless.definitions.repo import Definitions
from skewless.errors import ConfigError

DESCRIBED = ("view", "feature", "source", "column", "entity", "service")
_PATTERNS = ("features", "views", "sources")


@dataclass(frozen=True)
class LintFinding:
    """One definition that does not keep to a rule.

    Attributes:
        kind: of the definition, as steps of a plan call it.
        name: of the definition.
        rule: the key of ``[lint]``.
        what: is wrong with it.
    """

    kind: str
    name: str
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.what}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return {"kind": self.kind, "name": self.name, "rule": self.rule, "what": self.what}


@dataclass(frozen=True)
class LintRules:
    """How definitions are to be named and described.

    Attributes:
        features: a regular expression that the whole of a feature's name fits; empty: any name.
        views: likewise, of feature views and on-demand views.
        sources: likewise, of sources.
        owners: whether views, sources and services have an owner, or the owners there are.
        descriptions: of which kinds (`DESCRIBED`) each has a description.
        freshness: whether feature views promise one.
        enforce: whether an apply refuses what does not keep to the rules.
    """

    features: str = ""
    views: str = ""
    sources: str = ""
    owners: bool | tuple[str, ...] = False
    descriptions: tuple[str, ...] = ()
    freshness: bool = False
    enforce: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str = "[lint]") -> LintRules:
        """Return the rules that a section of settings asks for.

        Raises:
            ConfigError: a value is of another type, or no regular expression.
        """
        values = dict(given)
        for key in _PATTERNS:
            try:
                re.compile(values.get(key, ""))
            except (re.error, TypeError) as problem:
                raise _wrong(key, values[key], f"a regular expression: {problem}", where) from None
        for key in ("freshness", "enforce"):
            if not isinstance(values.get(key, False), bool):
                raise _wrong(key, values[key], "true or false", where)
        owners = values.get("owners", False)
        if not isinstance(owners, bool):
            values["owners"] = _texts("owners", owners, "true, false or a list of names", where)
        described = _texts("descriptions", values.get("descriptions", []), "a list", where)
        for kind in described:
            if kind not in DESCRIBED:
                raise _wrong("descriptions", kind, f"of {', '.join(DESCRIBED)}", where)
        return cls(**{**values, "descriptions": described})

    def findings(self, definitions: Definitions) -> tuple[LintFinding, ...]:
        """Return what does not keep to the rules, views first; roles of views are their view's."""
        return tuple(self._findings(definitions))

    def _findings(self, definitions: Definitions) -> Iterator[LintFinding]:
        for view in definitions.views.values():
            if not view.is_role:
                yield from self._of_view("feature view", view)
                if self.freshness and view.labels["freshness"] is None:
                    yield LintFinding(
                        "feature view", view.name, "freshness", "promises no freshness"
                    )
        for on_demand in definitions.on_demand.values():
            yield from self._of_view("on-demand view", on_demand)
        for source in definitions.sources.values():
            yield from self._of_source(source)
        for service in definitions.services.values():
            yield from self._owned("feature service", service.name, service.labels["owner"])
            yield from self._described("service", "feature service", service)
        for entity in definitions.entities.values():
            yield from self._described("entity", "entity", entity)

    def _of_view(self, kind: str, view: FeatureView | OnDemandView) -> Iterator[LintFinding]:
        yield from self._named("views", kind, view.name, view.name, "it")
        yield from self._owned(kind, view.name, view.labels["owner"])
        yield from self._described("view", kind, view)
        for name in view.features:
            yield from self._named("features", kind, view.name, name, f"the feature {name!r}")
            if "feature" in self.descriptions and not _says(view.words.get(name)):
                what = f"the feature {name!r} has no description"
                yield LintFinding(kind, view.name, "descriptions", what)

    def _of_source(self, source: Source) -> Iterator[LintFinding]:
        yield from self._named("sources", "source", source.name, source.name, "it")
        yield from self._owned("source", source.name, source.owner)
        yield from self._described("source", "source", source)
        if "column" in self.descriptions:
            times = (source.event_time, source.known_time)
            for column in source.columns:
                if column not in times and not _says(source.words.get(column)):
                    what = f"the column {column!r} has no description"
                    yield LintFinding("source", source.name, "descriptions", what)

    def _named(self, rule: str, kind: str, of: str, name: str, what: str) -> Iterator[LintFinding]:
        pattern = getattr(self, rule)
        if pattern and not re.fullmatch(pattern, name):
            yield LintFinding(kind, of, rule, f"{what} is not named like {pattern}")

    def _owned(self, kind: str, name: str, owner: str) -> Iterator[LintFinding]:
        if self.owners and not owner:
            yield LintFinding(kind, name, "owners", "has no owner")
        elif isinstance(self.owners, tuple) and owner not in self.owners:
            what = f"its owner {owner!r} is none of {', '.join(self.owners)}"
            yield LintFinding(kind, name, "owners", what)

    def _described(self, rule: str, kind: str, thing: Any) -> Iterator[LintFinding]:
        text = thing.labels["description"] if hasattr(thing, "labels") else thing.description
        if rule in self.descriptions and not text:
            yield LintFinding(kind, thing.name, "descriptions", "has no description")


def _says(words: Any) -> bool:
    return words is not None and bool(words.description)


def _texts(key: str, given: Any, expected: str, where: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise _wrong(key, given, expected, where)
    return tuple(given)


def _wrong(key: str, given: object, expected: str, where: str) -> ConfigError:
    return ConfigError(
        f"{key!r} has a wrong value", got=repr(given), expected=expected, where=where
    )
