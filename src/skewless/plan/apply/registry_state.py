"""What a registry holds at one revision, as a frozen value: definitions, versions, pins.

The registry (`skewless.registry`) reads it, `skewless.plan.apply.diff` compares it with what is
wanted, and every read and job looks names up in it. Definitions are rebuilt from plain data when
they are first asked for.

>>> state = RegistryState()
>>> state.revision, list(state.views)
(0, [])
>>> state.feature("Spend:mean")
Traceback (most recent call last):
    ...
skewless.errors.UnknownName: the registry has no view 'Spend'. Views: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar

from skewless.clock import iso
from skewless.definitions import (
    Entity,
    FeatureRef,
    FeatureService,
    FeatureView,
    Grant,
    OnDemandView,
)
from skewless.definitions.fingerprint import fingerprint, value_part
from skewless.definitions.loading import restored_function
from skewless.definitions.references import split_reference
from skewless.definitions.source import Source
from skewless.errors import RegistryError, UnknownName
from skewless.forks import cached_property

Kind = Literal[
    "entity", "source", "feature view", "on-demand view", "feature service", "grant"
]  # fmt: skip
ViewVersion = tuple[str, int]
"""The name of a view and the number of its version."""
View = FeatureView | OnDemandView

KINDS: tuple[Kind, ...] = (
    "entity",
    "source",
    "feature view",
    "on-demand view",
    "feature service",
    "grant",
)
VIEW_KINDS: tuple[Kind, ...] = ("feature view", "on-demand view")
SOURCE_STORAGE = (
    "table",
    "stream",
    "future",
    "extra",
    "function",
    "description",
    "owner",
    "words",
    "checks",
    "was",
    "stored",
    "stored_columns",
)
"""What a source may change without changing a value: every version of a view follows it."""


@dataclass(frozen=True)
class Record:
    """One definition (of a view: one version) as plain data, the way a registry keeps it.

    Attributes:
        kind: of the definition.
        name: of the definition.
        version: 1, 2, ... of views and on-demand views; 0 of all others.
        fingerprint: hash of what changes values.
        body: what ``to_dict`` of the definition wrote; a feature view's with source and entity.
        pins: of services and on-demand views: the references with their versions, in order.
        pending: of services: the pins it moves to once all of these versions are complete online;
            empty where it has moved.
        current: whether it is what the bare name stands for.
        applied_at: when it first came in, microseconds; 0 while it is only planned.
        retired_at: since when it no longer serves, microseconds; None while it does.
    """

    kind: Kind
    name: str
    version: int
    fingerprint: str
    body: dict[str, Any]
    pins: tuple[str, ...] = ()
    current: bool = True
    applied_at: int = 0
    retired_at: int | None = None
    pending: tuple[str, ...] = ()

    @property
    def wanted_pins(self) -> tuple[str, ...]:
        """The pins it was applied with, whether it has moved to them yet or not."""
        return self.pending or self.pins

    @property
    def key(self) -> ViewVersion:
        """Name and version."""
        return self.name, self.version

    @property
    def label(self) -> str:
        """The name people read: ``Spend@v2``, or the bare name of what has no versions."""
        return f"{self.name}@v{self.version}" if self.version else self.name


@dataclass(frozen=True)
class Deprecation:
    """A notice that something should no longer be used.

    Attributes:
        target: a view (``Spend``), a version (``Spend@v1``), a feature (``Spend:mean``) or a
            feature service.
        reason: for people.
        sunset: the last day it is promised to work, or None.
        who: who said so; empty when the definition itself does.
        at: when, microseconds; 0 when the definition itself does.
    """

    target: str
    reason: str
    sunset: date | None = None
    who: str = ""
    at: int = 0

    @property
    def name(self) -> str:
        """The name of the view or service, without version and feature."""
        return self.target.partition(":")[0].partition("@v")[0]

    def is_past(self, now: int) -> bool:
        """Return whether the sunset lies before the (UTC) day of ``now``, microseconds."""
        return self.sunset is not None and self.sunset.isoformat() < iso(now)[:10]


@dataclass(frozen=True)
class RegistryState:
    """Everything a registry holds at one revision.

    Attributes:
        revision: counts the changes to the registry; 0 when nothing was ever applied.
        records: the definitions as plain data, retired versions among them.
        notices: the deprecations that were given to the registry.
        folder: the repo's folder, where the functions of on-demand views are looked for.
        restoring: whether these functions are looked for at all.
        project: whose definitions these are.
        others: projects in the same place, of a project to which nothing was applied.
    """

    revision: int = 0
    records: tuple[Record, ...] = field(default=(), repr=False)
    notices: tuple[Deprecation, ...] = field(default=(), repr=False)
    folder: Path | None = None
    restoring: bool = True
    project: str = ""
    others: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """How errors name the registry; where only other projects have anything, that too."""
        if self.revision or not self.others:
            return "the registry"
        return f"project {self.project!r} of the registry (it has: {', '.join(self.others)})"

    @cached_property
    def entities(self) -> Mapping[str, Entity]:
        """Entities by name."""
        found = {record.name: record for record in self._of("entity")}
        return Lazy(found, lambda name: Entity.from_dict(found[name].body))

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Sources by name; derived ones with their functions, which are looked for when called."""
        found = {record.name: record for record in self._of("source")}
        return Lazy(found, lambda name: self._source(found[name]))

    @cached_property
    def _stored(self) -> Mapping[str, str]:
        """The names that rows and states of renamed sources are kept under, to their names."""
        return {r.body["stored"]: r.name for r in self._of("source") if "stored" in r.body}

    def name_of_stored(self, source: Source) -> str:
        """Return the name that a source has now, however it was called when it was looked up."""
        return self._stored.get(source.stored, source.stored)

    def keeps(self, stored: str) -> bool:
        """Return whether there is a source that keeps its rows under this name."""
        return any(r.body.get("stored", r.name) == stored for r in self._of("source"))

    def stored_name(self, source: str) -> str:
        """Return the name that rows and states of a source are kept under."""
        record = self.record("source", source)
        return source if record is None else str(record.body.get("stored", source))

    @cached_property
    def derived(self) -> Mapping[str, tuple[Source, ...]]:
        """The sources that are derived of a source, by its name."""
        found: dict[str, tuple[Source, ...]] = {}
        for record in self._of("source"):
            if "derived" in record.body:
                base = record.body["derived"]["source"]
                found[base] = (*found.get(base, ()), self.sources[record.name])
        return found

    def made_of(self, source: Source) -> tuple[Source, ...]:
        """Return the sources whose rows one is derived of, at first hand and further; often none.

        One that is not there ends them. Names are those of now, whatever ``source`` calls its own.
        """
        now = self.sources.get(self.name_of_stored(source), source)
        by, found = now.derivation, list[Source]()
        while by is not None and by.source in self.sources:
            found.append(self.sources[by.source])
            by = found[-1].derivation
        return tuple(found)

    @cached_property
    def views(self) -> Mapping[ViewVersion, FeatureView]:
        """Feature views by name and version, all that serve: current and older ones."""
        found = {r.key: r for r in self._of("feature view") if r.retired_at is None}
        return Lazy(found, lambda key: self._feature_view(found[key]))

    @cached_property
    def on_demand(self) -> Mapping[ViewVersion, OnDemandView]:
        """On-demand views by name and version; what they take is pinned to versions."""
        found = {r.key: r for r in self._of("on-demand view") if r.retired_at is None}
        return Lazy(found, lambda key: self._on_demand_view(found[key]))

    @cached_property
    def services(self) -> Mapping[str, FeatureService]:
        """Feature services by name, as they were written."""
        found = {record.name: record for record in self._of("feature service")}
        return Lazy(found, lambda name: FeatureService.from_dict(found[name].body))

    @cached_property
    def grants(self) -> Mapping[str, Grant]:
        """Grants by name."""
        return {record.name: Grant.from_dict(record.body) for record in self._of("grant")}

    @cached_property
    def pins(self) -> Mapping[str, tuple[str, ...]]:
        """Service name to its references, each with the version it serves, in order."""
        return {record.name: record.pins for record in self._of("feature service")}

    @cached_property
    def wanted_pins(self) -> Mapping[str, tuple[str, ...]]:
        """Service name to the pins it was applied with: those it has, or is to move to."""
        return {record.name: record.wanted_pins for record in self._of("feature service")}

    @cached_property
    def current(self) -> Mapping[str, int]:
        """Name of each feature view and on-demand view to its current version."""
        return {r.name: r.version for r in self._of(*VIEW_KINDS) if r.current}

    @cached_property
    def retired(self) -> Mapping[ViewVersion, int]:
        """Versions that no longer serve, to the moment they were retired, microseconds."""
        return {r.key: r.retired_at for r in self._of(*VIEW_KINDS) if r.retired_at is not None}

    @cached_property
    def fingerprints(self) -> Mapping[ViewVersion, str]:
        """Name and version of each view that serves to its fingerprint."""
        return {r.key: r.fingerprint for r in self._of(*VIEW_KINDS) if r.retired_at is None}

    @cached_property
    def deprecations(self) -> tuple[Deprecation, ...]:
        """What should no longer be used: by the registry's notices and by the definitions."""
        labelled = (notice_of(record) for record in self.records if record.current)
        return (*self.notices, *(n for n in labelled if n.reason or n.sunset is not None))

    def view(self, name: str, version: int | None = None) -> View:
        """Return a feature view or on-demand view, the current version unless one is named.

        Raises:
            UnknownName: there is none of the name, or no such version.
            RegistryError: the version was retired.
        """
        if name not in self.current and not any(key[0] == name for key in self.retired):
            self.refuse_former(name)
            raise UnknownName.of("view", name, self.current, where=self.place)
        wanted = self.current.get(name, 0) if version is None else version
        key = (name, wanted)
        if key in self.views:
            return self.views[key]
        if key in self.on_demand:
            return self.on_demand[key]
        raise self._no_version(name, version)

    def feature(self, reference: str) -> FeatureRef:
        """Return ``View:feature`` or ``View@v2:feature`` with its version and type.

        Raises:
            DefinitionError: the text is no reference.
            UnknownName: there is no such view, version or feature.
            RegistryError: the version was retired.
        """
        name, version, feature = split_reference(reference)
        found = self.view(name, version)[feature]
        actual = self.current[name] if version is None else version
        return FeatureRef(name, feature, found.dtype, actual)

    def refuse_former(self, name: str) -> None:
        """Raise `UnknownName` with the new name of a view or service that was renamed."""
        for record in self._of(*VIEW_KINDS, "feature service"):
            labels = record.body.get("view", record.body)
            if record.current and labels.get("was") == name:
                hint = f"It is {record.name} now."
                raise UnknownName(f"{record.kind} {name!r} was renamed", got=name, hint=hint)

    def service(self, name: str) -> tuple[str, ...]:
        """Return the pinned references of a feature service, in order.

        Raises:
            UnknownName: there is none of the name.
        """
        if name not in self.pins:
            self.refuse_former(name)
            raise UnknownName.of("feature service", name, self.pins, where=self.place)
        return self.pins[name]

    def record(self, kind: Kind, name: str, version: int | None = None) -> Record | None:
        """Return the plain data of a definition, the current version unless one is named."""
        for found in self._by_name.get((kind, name), ()):
            if found.current if version is None else found.version == version:
                return found
        return None

    @cached_property
    def _by_name(self) -> Mapping[tuple[Kind, str], list[Record]]:
        """The records of each kind and name, in order."""
        found: dict[tuple[Kind, str], list[Record]] = {}
        for record in self.records:
            found.setdefault((record.kind, record.name), []).append(record)
        return found

    def numbers(self, name: str) -> list[int]:
        """Return the numbers that versions of a view ever had, retired ones among them."""
        kinds = (self._by_name.get((kind, name), ()) for kind in VIEW_KINDS)
        return [record.version for records in kinds for record in records]

    def _of(self, *kinds: Kind) -> Iterator[Record]:
        return (record for record in self.records if record.kind in kinds)

    def _source(self, record: Record) -> Source:
        source = Source.from_dict(record.body)
        if source.derivation is not None and source.derivation.view is not None:
            base = self.sources.get(source.derivation.source)
            source.derivation = replace(source.derivation, base=base)
        elif source.derivation is not None and self.restoring:
            what, code = f"derived source {source.name!r}", source.derivation.code

            def function(rows: Mapping[str, Any]) -> Mapping[str, Any] | None:
                made: Mapping[str, Any] | None = restored_function(what, code, self.folder)(rows)
                return made

            source.derivation = replace(source.derivation, function=function)
        return source

    def _feature_view(self, record: Record) -> FeatureView:
        body = record.body
        now = self.sources[body["source"]["name"]]
        storage = {key: value for key, value in now.to_dict().items() if key in SOURCE_STORAGE}
        then = body["source"] | storage
        source = now if then == now.to_dict() else Source.from_dict(then)
        entity = Entity.from_dict(body["entity"])
        known = self.entities.get(entity.name)
        if known is not None:
            entity.stored = known.stored
        if known is not None and known.join_keys == entity.join_keys:
            entity = known  # with the words of now
        return FeatureView.from_dict(body["view"], entity, source)

    def _on_demand_view(self, record: Record) -> OnDemandView:
        body = pinned(OnDemandView.from_dict(record.body), record.pins)
        code = body["code"]
        function = None
        if code and self.restoring:
            function = restored_function(f"on-demand view {record.name!r}", code, self.folder)
        return OnDemandView.from_dict(body, function)

    def _no_version(self, name: str, version: int | None) -> Exception:
        since = self.retired.get((name, version or 0))
        live = sorted(number for known, number in self.fingerprints if known == name)
        shown = ", ".join(f"v{number}" for number in live) or "none"
        if since is not None or not live:
            when = since if since is not None else max(self.retired[k] for k in self.retired)
            label = name if version is None else f"{name}@v{version}"
            return RegistryError(
                f"{label} was retired on {iso(when)}", hint=f"Versions that serve: {shown}."
            )
        return UnknownName.of(
            "version", f"v{version}", [f"v{number}" for number in live], where=f"view {name!r}"
        )


def notice_of(record: Record) -> Deprecation:
    """Return what a definition says itself by ``deprecated`` and ``sunset``; mostly nothing."""
    labels = record.body["view"] if record.kind == "feature view" else record.body
    sunset = labels.get("sunset")
    day = None if sunset is None else date.fromisoformat(sunset)
    return Deprecation(record.name, labels.get("deprecated") or "", day)


def pinned(view: OnDemandView, pins: Iterable[str]) -> dict[str, Any]:
    """Return an on-demand view's plain data with its references pinned.

    Args:
        view: as it was written.
        pins: its references with their versions, in the order of ``view.refs``.
    """
    versions = dict(zip((ref.reference for ref in view.refs), pins, strict=True))

    def walk(data: Any) -> Any:
        if isinstance(data, dict):
            if set(data) == {"feature", "type"}:
                return data | {"feature": versions[data["feature"]]}
            return {key: walk(value) for key, value in data.items()}
        return [walk(item) for item in data] if isinstance(data, list) else data

    body = view.to_dict()
    return body | {part: walk(body[part]) for part in ("features", "inputs")}


def on_demand_fingerprint(view: OnDemandView, pins: tuple[str, ...]) -> str:
    """Return the hash of what changes an on-demand view's values, what it takes included."""
    body = value_part(pinned(view, pins))
    code = {key: value for key, value in body["code"].items() if key != "path"}
    return fingerprint(body | {"code": code})


def plain_fingerprint(kind: Kind, body: dict[str, Any]) -> str:
    """Return the hash of what changes the values of an entity or a source, as plain data."""
    values = {key: value for key, value in body.items() if key not in SOURCE_STORAGE}
    if kind == "entity":
        values = {"join_keys": list(body["join_keys"].items())}  # their order counts
    return fingerprint(values)


K = TypeVar("K")
V = TypeVar("V")


class Lazy(Mapping[K, V]):
    """A read-only mapping whose values are built when they are first asked for."""

    def __init__(self, keys: Iterable[K], build: Callable[[K], V]) -> None:
        self._keys = dict.fromkeys(keys)
        self._build = build
        self._built: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        if key not in self._built:
            if key not in self._keys:
                raise KeyError(key)
            self._built[key] = self._build(key)
        return self._built[key]

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"{{{', '.join(map(repr, self._keys))}}}"
