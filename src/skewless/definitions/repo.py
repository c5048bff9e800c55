"""All definitions of a repo, by name: collected from objects, modules or a folder, and checked.

>>> from skewless.definitions.entity import Entity
>>> from skewless.definitions.source import Source
>>> from skewless.definitions.feature_view import feature_view
>>> card = Entity("card", card_id=str)
>>> payments = Source("payments", schema={"card_id": str, "amount": float}, event_time="at")
>>> @feature_view(entity=card, source=payments)
... class Spend:
...     mean = payments.amount.mean("7d")
>>> Definitions.of(Spend)
Definitions(entities: card; sources: payments; views: Spend)
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from skewless.definitions.entity import Entity
from skewless.definitions.feature_service import FeatureService
from skewless.definitions.feature_view import FeatureView
from skewless.definitions.grant import Grant
from skewless.definitions.loading import import_files, remember
from skewless.definitions.on_demand import Function, OnDemandView
from skewless.definitions.references import FeatureRef, split_reference
from skewless.definitions.source import Source, as_defined
from skewless.definitions.words import check_former
from skewless.errors import DefinitionError, UnknownName
from skewless.plugins import repo_folder
from skewless.types import DType

View = FeatureView | OnDemandView
Definition = Entity | Source | FeatureView | OnDemandView | FeatureService | Grant
_KINDS: dict[type, tuple[str, str]] = {
    Entity: ("entities", "entity"),
    Source: ("sources", "source"),
    FeatureView: ("views", "feature view"),
    OnDemandView: ("on_demand", "on-demand view"),
    FeatureService: ("services", "feature service"),
    Grant: ("grants", "grant"),
}


@dataclass(frozen=True, repr=False, eq=False)
class Definitions:
    """Definitions by name. Feature views and on-demand views share their names.

    Attributes:
        entities: by name.
        sources: by name.
        views: by name.
        on_demand: by name; each after those it takes features of.
        services: by name.
        grants: by name.
    """

    entities: Mapping[str, Entity] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    views: Mapping[str, FeatureView] = field(default_factory=dict)
    on_demand: Mapping[str, OnDemandView] = field(default_factory=dict)
    services: Mapping[str, FeatureService] = field(default_factory=dict)
    grants: Mapping[str, Grant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.on_demand:
            if name in self.views:
                raise DefinitionError(f"{name!r} is both a feature view and an on-demand view")
        object.__setattr__(self, "on_demand", in_order(self.on_demand))
        for part, _ in _KINDS.values():
            object.__setattr__(self, part, MappingProxyType(dict(getattr(self, part))))
        check_references(self)
        for part, kind in _KINDS.values():
            things = getattr(self, part)
            check_former({n: was for n, t in things.items() if (was := was_of(t))}, things, kind)

    @classmethod
    def of(cls, *things: Any) -> Definitions:
        """Collect definitions.

        Args:
            things: definitions (a view brings its source and its entity), modules, names of
                modules (``"shop.features"``), other `Definitions`, or iterables of these.

        Raises:
            DefinitionError: something is no definition, two differ under one name, or one refers
                to a feature by a wrong type.
            UnknownName: one refers to a feature that a view here does not have.
        """
        found: dict[str, dict[str, Any]] = {part: {} for part, _ in _KINDS.values()}
        origin: dict[int, str] = {}
        for thing, where in _flat(things, ""):
            _add(found, origin, thing, where)
        return cls(**found)

    def check_complete(self) -> None:
        """Raise `UnknownName` when an on-demand view or a service refers to a view not here.

        References to a named version (``View@v1:feature``) are left to the plan, which knows the
        registry's versions.
        """
        known = [*self.views, *self.on_demand]
        for where, reference in self.references():
            name, version, _ = split_reference(reference)
            if version is None and name not in known:
                raise UnknownName.of("view", name, known, where=f"the repo, which {where} uses,")

    def references(self) -> Iterator[tuple[str, str]]:
        """Yield who refers (``feature service 'fraud'``) and the reference it makes."""
        for view in self.on_demand.values():
            for ref in view.refs:
                yield f"on-demand view {view.name!r}", ref.reference
        for service in self.services.values():
            for reference in service.references:
                yield f"feature service {service.name!r}", reference

    def to_dict(self) -> dict[str, Any]:
        """Return all definitions as plain data."""
        return {
            part: {name: thing.to_dict() for name, thing in getattr(self, part).items()}
            for part, _ in _KINDS.values()
        }

    @classmethod
    def from_dict(
        cls, data: dict[str, Any], functions: Mapping[str, Function] | None = None
    ) -> Definitions:
        """Return the definitions that `to_dict` wrote.

        Args:
            data: what `to_dict` wrote.
            functions: of on-demand views, by the name of the view.
        """
        functions = functions or {}
        entities = {name: Entity.from_dict(body) for name, body in data["entities"].items()}
        sources = {name: Source.from_dict(body) for name, body in data["sources"].items()}
        views = {
            name: FeatureView.from_dict(body, entities[body["entity"]], sources[body["source"]])
            for name, body in data["views"].items()
        }
        on_demand = {
            name: OnDemandView.from_dict(body, functions.get(name))
            for name, body in data["on_demand"].items()
        }
        services = {n: FeatureService.from_dict(body) for n, body in data["services"].items()}
        grants = {name: Grant.from_dict(body) for name, body in data.get("grants", {}).items()}
        return cls(entities, sources, views, on_demand, services, grants)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Definitions) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(tuple(thing.name for thing in self))

    def __iter__(self) -> Iterator[Definition]:
        for part, _ in _KINDS.values():
            yield from getattr(self, part).values()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        parts = {part: getattr(self, part) for part, _ in _KINDS.values()}
        shown = [f"{part}: {', '.join(found)}" for part, found in parts.items() if found]
        return f"Definitions({'; '.join(shown) or 'none'})"


def load_folder(folder: str | Path, files: Iterable[str] | None = None) -> Definitions:
    """Import the Python files of a repo and return all definitions in them, complete and checked.

    Schemas that are read from tables are read now, with paths relative to the folder.

    Args:
        folder: the repo's.
        files: names or patterns in it; None or none: every ``*.py`` directly in it that is
            neither hidden nor a test.

    Raises:
        DefinitionError: a file fails (the error names file and line) or a definition is wrong.
        UnknownName: something refers to what is not defined.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise DefinitionError("there is no such folder", got=str(folder))
    definitions = Definitions.of(import_files(folder, files))
    token = repo_folder.set(folder)
    try:
        for source in definitions.sources.values():
            _ = source.schema
    finally:
        repo_folder.reset(token)
    definitions.check_complete()
    return definitions


def was_of(thing: Definition) -> str:
    """Return the name that a definition says it had before, or ""."""
    if isinstance(thing, (Entity, Source)):
        return thing.was
    return str(thing.labels.get("was", ""))


def in_order(views: Mapping[str, OnDemandView]) -> dict[str, OnDemandView]:
    """Return on-demand views, each after those it takes features of.

    Raises:
        DefinitionError: they depend on one another in a circle.
    """
    done: dict[str, OnDemandView] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise DefinitionError("on-demand views depend on one another in a circle", got=circle)
        if name in views and name not in done:
            for ref in views[name].refs:
                visit(ref.view, (*path, name))
            done[name] = views[name]

    for name in views:
        visit(name, ())
    return done


def check_references(definitions: Definitions) -> None:
    """Raise unless every reference to a view that is here names a feature and its type.

    References to a named version and to views that are not here pass.
    """
    views: dict[str, View] = {**definitions.views, **definitions.on_demand}
    for service in definitions.services.values():
        for reference in service.references:
            name, version, feature = split_reference(reference)
            if version is None and name in views:
                check_feature(views[name], feature, None, f"feature service {service.name!r}")
    for view in definitions.on_demand.values():
        for ref in view.refs:
            if ref.version is None and ref.view in views:
                where = f"on-demand view {view.name!r}"
                check_feature(views[ref.view], ref.feature, ref.dtype, where)


def check_feature(view: View, feature: str, dtype: DType | None, who: str) -> FeatureRef:
    """Return a view's feature, or raise when there is none of the name, or of another type.

    Args:
        view: that should have it.
        feature: its name.
        dtype: the type it was used with; None where no type was said.
        who: uses it, for the error.
    """
    if feature not in view.dtypes:
        where = f"view {view.name!r}, which {who} uses,"
        raise UnknownName.of("feature", feature, view.features, where=where)
    found = view[feature]
    if dtype is not None and found.dtype != dtype:
        raise DefinitionError(
            f"{who} uses {view.name}:{feature} with another type than it has",
            got=repr(dtype),
            expected=repr(found.dtype),
        )
    return found


def _flat(things: Iterable[Any], where: str) -> Iterator[tuple[Definition, str]]:
    for thing in things:
        if isinstance(thing, Definition):
            yield thing, where
        elif isinstance(thing, ModuleType):
            yield from _flat(filter(_defines, vars(thing).values()), thing.__name__)
        elif isinstance(thing, str):
            yield from _flat([_module(thing)], where)
        elif isinstance(thing, Mapping):
            yield from _flat(thing.values(), where)
        elif isinstance(thing, Iterable) and not isinstance(thing, type):
            yield from _flat(thing, where)
        else:
            raise DefinitionError(
                "not a definition",
                got=f"{thing!r} ({type(thing).__name__})",
                expected="an entity, source, view, feature service or grant, a module, or its name",
            )


def _defines(value: Any) -> bool:
    """Return whether a name of a module holds definitions: one, or a list or dict of them."""
    if isinstance(value, (list, tuple, dict)):
        members = value.values() if isinstance(value, dict) else value
        return bool(members) and all(isinstance(each, tuple(_KINDS)) for each in members)
    return isinstance(value, (*_KINDS, Definitions))


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not f"{name}.".startswith(f"{problem.name}."):
            raise
        raise DefinitionError(
            f"there is no module {name!r}",
            hint="Give an importable name such as 'shop.features', or the module itself.",
        ) from None


def _add(
    found: dict[str, dict[str, Any]], origin: dict[int, str], thing: Definition, where: str
) -> None:
    if isinstance(thing, FeatureView):
        _add(found, origin, thing.entity, where)
        _add(found, origin, as_defined(thing.source), where)
    if isinstance(thing, FeatureService):
        for view in thing.views:
            _add(found, origin, view, where)
    if isinstance(thing, OnDemandView):
        remember(thing)
    if isinstance(thing, Source) and thing.derivation is not None:
        remember(thing.derivation)
        if thing.derivation.base is not None:
            _add(found, origin, thing.derivation.base, where)
    part, kind = next(names for known, names in _KINDS.items() if isinstance(thing, known))
    first = found[part].setdefault(thing.name, thing)
    origin.setdefault(id(thing), where)
    if first is not thing and first.to_dict() != thing.to_dict():
        places = sorted({origin[id(first)], where} - {""})
        raise DefinitionError(
            f"two definitions of {kind} {thing.name!r} that differ",
            where=" and ".join(places) or None,
            hint="Give one of them another name.",
        )
