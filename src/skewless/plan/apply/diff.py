"""What an apply would change: a registry's state against the definitions that are wanted.

>>> from skewless.definitions import Entity
>>> card = Entity("card", card_id=str)
>>> plan = diff(RegistryState(), Definitions.of(card))
>>> print(plan)
Plan: 1 to add, 0 to change, 0 to remove (registry revision 0).
<BLANKLINE>
  + entity card
>>> plan.is_empty, plan.breaking
(False, ())

A view whose fingerprint differs gets a new version, and the old one serves on until it is retired;
one that is again what it once was goes back to that version. On-demand views follow the current
versions of what they take. A service keeps the versions it was applied with while its list of
features is the same; with ``repin`` it moves.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from skewless.definitions import (
    Entity,
    FeatureService,
    FeatureView,
    Grant,
    OnDemandView,
    Source,
)
from skewless.definitions.fingerprint import fingerprint
from skewless.definitions.references import split_reference
from skewless.definitions.repo import Definitions, View, check_feature, in_order
from skewless.errors import DefinitionError, UnknownName
from skewless.forks import cached_property
from skewless.plan.apply.apply_plan import Action, ApplyPlan, Break, Step
from skewless.plan.apply.breaks import breaks_of
from skewless.plan.apply.changes import feature_lines, frame_lines, lines_of
from skewless.plan.apply.derived import check_derived, derived_lines, sources_of
from skewless.plan.apply.grants import check_grants, grant_lines
from skewless.plan.apply.registry_state import (
    SOURCE_STORAGE,
    VIEW_KINDS,
    Deprecation,
    Kind,
    Record,
    RegistryState,
    notice_of,
    on_demand_fingerprint,
    plain_fingerprint,
)
from skewless.plan.apply.renames import check_free, kept_names, renamed, renames_of, said_of_renames

_FOLLOWED = ("source", "code", "entity")
"""What a view's record has of other definitions: how these are described is theirs to show."""

__all__ = ["ApplyPlan", "Break", "Step", "diff"]


def diff(
    current: RegistryState,
    wanted: Definitions,
    *,
    removing: bool = False,
    repin: Collection[str] | bool = (),
    now: int | None = None,
) -> ApplyPlan:
    """Return what an apply of ``wanted`` would change.

    Args:
        current: what the registry holds.
        wanted: the definitions to have.
        removing: whether ``wanted`` is the whole repo, so that what it lacks is removed.
        repin: services to move to the current versions, or True for all.
        now: the moment, microseconds, by which sunsets are past; None: they are not looked at.

    Raises:
        UnknownName: an on-demand view, a service, ``repin`` or ``was`` refers to what is nowhere.
        DefinitionError: a feature is used with another type than it has, or what was renamed is
            there under both names.
        RegistryError: a service refers to a retired version.
    """
    renames = renames_of(current, wanted)
    current = renamed(replace(current, restoring=False), renames)
    planner = _Planner(current, wanted, removing, repin)
    planner.run()
    return ApplyPlan(
        base_revision=current.revision,
        steps=tuple(said_of_renames(planner.steps, renames)),
        breaking=breaks_of(current, planner),
        notes=tuple(planner.notes),
        warnings=() if now is None else _sunsets(planner, now),
        writes=tuple(planner.writes),
        removals=tuple(planner.removals),
        renames=renames,
    )


class _Planner:
    """Works out the steps: from what others build on to what builds on others."""

    def __init__(
        self,
        current: RegistryState,
        wanted: Definitions,
        removing: bool,
        repin: Collection[str] | bool,
    ) -> None:
        self.current = current
        self.wanted = wanted
        self.repin = repin
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.writes: list[Record] = []
        self.removals: list[tuple[Kind, str]] = []
        self.stuck: dict[str, str] = {}
        """On-demand views that cannot follow what they take, and why."""
        self.versions: dict[str, int] = dict(current.current)
        """Name of each view to its current version after the plan."""
        self.new_views: dict[tuple[str, int], View] = {}
        self.pins: dict[str, tuple[str, ...]] = dict(current.wanted_pins)
        """Name of each service to its pins after the plan."""
        self._decide_removals(removing)

    def run(self) -> None:
        self._check_repin()
        for entity in self.wanted.entities.values():
            self._plain("entity", entity)
        check_derived(self.current, self.wanted, self.removals)
        for source in self.wanted.sources.values():
            self._plain("source", source)
        for view in self.wanted.views.values():
            body = _view_body(view)
            self._view("feature view", view, view.fingerprint, body, ())
        self._on_demand_views()
        self._services()
        for grant in self.wanted.grants.values():
            self._grant(grant)
        check_grants(self.current, self)
        for kind, name in self.removals:
            before = self.current.current.get(name) if kind in VIEW_KINDS else None
            felt, what = self.felt(kind, name), self._what_stays(kind, name)
            self.steps.append(Step(kind, name, "removed", before, None, what, felt))

    def _what_stays(self, kind: Kind, name: str) -> tuple[str, ...]:
        """Return what happens to the rows of what is removed, where that is not what is usual."""
        by = self.current.sources[name].derivation if kind == "source" else None
        if by is None:
            return ()
        return (f"they were made of rows of {by.source!r}: it makes them again if it comes back",)

    # ------------------------------------------------------------------------------ what goes

    def _decide_removals(self, removing: bool) -> None:
        if not removing:
            return
        wanted = self.wanted
        views = {*wanted.views, *wanted.on_demand}
        for record in self.current.records:
            if record.kind in VIEW_KINDS and record.current and record.name not in views:
                self._remove(record.kind, record.name)
            if record.kind == "grant" and record.name not in wanted.grants:
                self._remove(record.kind, record.name)
            if record.kind == "feature service" and record.name not in wanted.services:
                self._remove(record.kind, record.name)
        serving = [v for key, v in self.current.views.items() if key[0] in self.versions]
        for kind, names, known in (
            ("source", wanted.sources, sources_of(serving, self.current)),
            ("entity", wanted.entities, {view.entity.name: view.name for view in serving}),
        ):
            have: Mapping[str, Any] = getattr(
                self.current, "sources" if kind == "source" else "entities"
            )
            for name in have:
                if name in names:
                    continue
                if name in known:
                    self.notes.append(
                        f"{kind} {name} is kept: an older version of {known[name]} serves from it"
                    )
                else:
                    self._remove("source" if kind == "source" else "entity", name)

    def _remove(self, kind: Kind, name: str) -> None:
        self.removals.append((kind, name))
        if kind in VIEW_KINDS:
            del self.versions[name]
        if kind == "feature service":
            del self.pins[name]

    # ------------------------------------------------------------------- entities and sources

    def _plain(self, kind: Kind, thing: Entity | Source) -> None:
        old = self.current.record(kind, thing.name)
        body = thing.to_dict()
        check_free(self.current, kind, thing.name)
        if old is not None:
            body |= kept_names(old, body)
        new = Record(kind, thing.name, 0, plain_fingerprint(kind, body), body)
        action: Action = "added"
        changes: list[str] = []
        if old is not None:
            action = _action(old, new, storage=("table", "stream", "future", "extra", "function"))
            changes = lines_of(old.body, body)
        elif isinstance(thing, Source) and thing.derivation is not None:
            changes = derived_lines(thing.derivation)
        self._step(new, action, changes)

    # ------------------------------------------------------------------------------------ views

    def _view(
        self, kind: Kind, view: View, mark: str, body: dict[str, Any], pins: tuple[str, ...]
    ) -> None:
        before = self.current.current.get(view.name)
        version = self._version(view.name, mark)
        new = Record(kind, view.name, version, mark, body, pins)
        self.versions[view.name] = version
        self.new_views[view.name, version] = view
        if before is None:
            self._step(new, "added", feature_lines(None, view))
            return
        old_view = self._as_written(view.name)
        changes = [*frame_lines(old_view, view), *feature_lines(old_view, view)]
        old = self.current.record(kind, view.name)
        if version != before or old is None:
            changes += self._inherited(old_view, view, old, pins)
            self._step(new, "changed values", changes, before)
            return
        labels = lines_of(_labels(old.body), _labels(body))
        moved = _code(old.body).get("path") != _code(body).get("path")
        action: Action = "unchanged"
        if moved:
            action = "changed storage"
            changes = [f"function: {_code(old.body)['path']} -> {_code(body)['path']}", *labels]
        elif labels or _text(old.body, *_FOLLOWED) != _text(body, *_FOLLOWED):
            action = "described only"
            changes = labels or ["the order in which it is written"]
        self._step(new, action, changes if action != "unchanged" else [], before)

    def _as_written(self, name: str) -> View:
        """Return the current version of a view, with the references the user wrote."""
        record = self.current.record("on-demand view", name)
        return OnDemandView.from_dict(record.body) if record else self.current.view(name)

    def _version(self, name: str, mark: str) -> int:
        """Return the version with this fingerprint, or the number of a new one."""
        marks, ever = self.current.fingerprints, self.current.numbers(name)
        live = {number: marks[name, number] for number in ever if (name, number) in marks}
        now = self.current.current.get(name)
        for number in sorted(live, key=lambda n: (n == now, n), reverse=True):
            if live[number] == mark:
                return number
        return max(ever, default=0) + 1

    def _inherited(
        self, old: View, new: View, record: Record | None, pins: tuple[str, ...]
    ) -> list[str]:
        """Return what changes the values of a view although it is not written in the view."""
        lines = []
        if isinstance(old, FeatureView) and isinstance(new, FeatureView):
            before, after = _view_body(old), _view_body(new)
            lines += [f"source.{line}" for line in lines_of(before["source"], after["source"])]
            before, after = before["entity"], after["entity"]
            lines += [
                f"entity.{line}" for line in lines_of(before, after, leave=("description", "words"))
            ]
        if record is not None and isinstance(new, OnDemandView):
            if _code(record.body).get("hash") != new.code.get("hash"):
                lines.append("the code of its function")
            if record.pins != pins and set(record.pins) != set(pins):
                gone = [pin for pin in record.pins if pin not in pins]
                come = [pin for pin in pins if pin not in record.pins]
                lines.append(f"takes: {', '.join(gone) or 'none'} -> {', '.join(come) or 'none'}")
        return lines

    def _on_demand_views(self) -> None:
        kept = {
            record.name: OnDemandView.from_dict(record.body)
            for record in self.current.records
            if record.kind == "on-demand view"
            and record.current
            and record.name in self.versions
            and record.name not in self.wanted.views
        }
        for view in in_order({**kept, **self.wanted.on_demand}).values():
            who = f"on-demand view {view.name!r}"
            try:
                pins = tuple(self.resolve(ref.reference, who, ref) for ref in view.refs)
            except (UnknownName, DefinitionError) as problem:
                if view.name in self.wanted.on_demand:
                    raise
                self.stuck[view.name] = str(problem)
                continue
            body = view.to_dict()
            same = view.name in kept and view.name not in self.wanted.on_demand
            mark = on_demand_fingerprint(view, pins)
            if not same or mark != self.current.fingerprints[view.name, self.versions[view.name]]:
                self._view("on-demand view", view, mark, body, pins)

    def resolve(self, reference: str, who: str, ref: Any = None) -> str:
        """Return a reference with the version it will mean after the plan."""
        name, version, feature = split_reference(reference)
        if name not in self.versions:
            raise UnknownName.of("view", name, self.versions, where=f"the repo, which {who} uses,")
        number = self.versions[name] if version is None else version
        view = self.view(name, number)
        check_feature(view, feature, None if ref is None else ref.dtype, who)
        return f"{name}@v{number}:{feature}"

    def view(self, name: str, version: int) -> View:
        """Return a view as it is after the plan."""
        if (name, version) in self.new_views:
            return self.new_views[name, version]
        return self.current.view(name, version)

    # --------------------------------------------------------------------------------- services

    def _check_repin(self) -> None:
        if isinstance(self.repin, str):
            self.repin = (self.repin,)
        names = {*self.current.services, *self.wanted.services}
        for name in () if isinstance(self.repin, bool) else self.repin:
            if name not in names:
                raise UnknownName.of("feature service", name, names, where="repin")

    def _repins(self, name: str) -> bool:
        return self.repin if isinstance(self.repin, bool) else name in self.repin

    def _services(self) -> None:
        kept = {
            name: FeatureService.from_dict(record.body)
            for record in self.current.records
            if record.kind == "feature service" and (name := record.name) in self.pins
        }
        for name, service in {**kept, **self.wanted.services}.items():
            old = self.current.record("feature service", name)
            who = f"feature service {name!r}"
            if old is not None and not self._repins(name):
                meant, pins = self._staying(service, old)
                self._note_staying(meant, pins)
            else:
                meant = service
                pins = tuple(self.resolve(reference, who) for reference in service.references)
            if old is None or pins != old.wanted_pins:
                self._check_readable(who, pins)
            self.pins[name] = pins
            if old is None or name in self.wanted.services or pins != old.wanted_pins:
                self._service(meant, pins, old)

    def _staying(
        self, service: FeatureService, old: Record
    ) -> tuple[FeatureService, tuple[str, ...]]:
        """Return a service with the features that it has without repin, and their pins.

        It keeps the pins it was applied with, and of a view that it takes as a whole the features.
        A feature that was added to its list comes from the version it has of the view already, if
        that has it, else from the current one.
        """
        who = f"feature service {service.name!r}"
        before = dict(zip(old.body["references"], old.wanted_pins, strict=True))
        whole = set(service.whole) & set(old.body.get("whole", ()))
        of_view: dict[str, dict[str, str]] = {name: {} for name in whole}
        for reference, pin in before.items():
            if (name := _view_of(reference)) in whole:
                of_view[name][reference] = pin
        found: dict[str, str] = {}
        for reference in service.references:
            if (name := _view_of(reference)) in whole:
                found |= of_view.pop(name, {})
            elif reference in before:
                found[reference] = before[reference]
            else:
                found[reference] = self._beside(reference, old.wanted_pins, who)
        for pin in found.values():  # a pin may have lost its view
            self.resolve(pin, who)
        body = service.to_dict() | {"references": list(found)}
        return FeatureService.from_dict(body), tuple(found.values())

    def _beside(self, reference: str, pins: Iterable[str], who: str) -> str:
        """Return the pin of a reference that a service gets beside others."""
        name, version, feature = split_reference(reference)
        for pin in pins:
            other, number, _ = split_reference(pin)
            if version is None and other == name and number is not None:
                if feature not in self.view(name, number).features:
                    break
                return f"{name}@v{number}:{feature}"
        return self.resolve(reference, who)

    def _check_readable(self, who: str, pins: tuple[str, ...]) -> None:
        """Raise `DefinitionError` if a service cannot be read by its name: two columns of one."""
        given, columns = self._given(pins), dict[str, str]()
        for pin in pins:
            feature = split_reference(pin)[2]
            if feature in columns or feature in given:
                other = columns.get(feature) or given[feature]
                raise DefinitionError(
                    f"{who} can never be read: two of its columns are named {feature!r}",
                    got=f"{pin} and {other}",
                    hint="Give one of the features another name; a view in a role takes prefix=.",
                )
            columns[feature] = pin

    def _given(self, pins: Iterable[str]) -> dict[str, str]:
        """Return what a reader must give for some features: join keys and request fields."""
        given: dict[str, str] = {}
        for pin in pins:
            name, version, _ = split_reference(pin)
            view = self.view(name, self.versions[name] if version is None else version)
            if isinstance(view, OnDemandView):
                given |= {r.name: f"a request field of {name}" for r in view.requests}
                given |= self._given(ref.reference for ref in view.refs)
            else:
                who = f"a join key of {view.entity.name}"
                given |= {k: who for k in view.asked_entity.key_names if k not in view.constants}
        return given

    def _service(self, service: FeatureService, pins: tuple[str, ...], old: Record | None) -> None:
        new = Record(
            "feature service", service.name, 0, fingerprint(list(pins)), service.to_dict(), pins
        )
        if old is None:
            self._step(new, "added", [f"+ {pin}" for pin in pins])
            return
        changes = _pin_lines(old.wanted_pins, pins)
        changes += lines_of(_labels(old.body), _labels(new.body), leave=("references", "whole"))
        if not changes and pins != old.wanted_pins:
            changes = ["the order of its features"]
        self._step(new, _action(old, new), changes)

    def _grant(self, grant: Grant) -> None:
        old = self.current.record("grant", grant.name)
        body = grant.to_dict()
        new = Record("grant", grant.name, 0, plain_fingerprint("grant", body), body)
        if old is None:
            self._step(new, "added", grant_lines(body))
            return
        action = _action(old, new)
        changes = lines_of(old.body, body)
        self._step(new, "changed access" if action == "changed values" else action, changes)

    def _note_staying(self, service: FeatureService, pins: tuple[str, ...]) -> None:
        stays: dict[str, int] = {}
        for reference, pin in zip(service.references, pins, strict=True):
            name, version, _ = split_reference(pin)
            newest = self.versions.get(name, version)
            by_name = split_reference(reference)[1] is None
            if by_name and version is not None and version != newest:
                stays[name] = version
        if stays:
            here = ", ".join(f"{name}@v{version}" for name, version in stays.items())
            there = ", ".join(f"{name}@v{self.versions[name]}" for name in stays)
            self.notes.append(
                f"feature service {service.name} stays on {here}; "
                f"re-apply with repin to move to {there}"
            )

    # ------------------------------------------------------------------------------ who feels it

    def _step(
        self, new: Record, action: Action, changes: Iterable[str], before: int | None = None
    ) -> None:
        after = new.version or None
        changed = action in ("changed values", "changed storage")
        felt = self.felt(new.kind, new.name) if changed else ()
        self.steps.append(Step(new.kind, new.name, action, before, after, tuple(changes), felt))
        if action != "unchanged":
            self.writes.append(new)

    def felt(self, kind: Kind, name: str) -> tuple[str, ...]:
        """Return the services that reach a definition, directly or through on-demand views."""
        if kind in ("feature service", "grant"):
            return ()
        return tuple(
            service
            for service, views in sorted(self._reach.items())
            if (service in self.pins or service in self.wanted.services)
            and any(name in self._needs(view, kind) for view in views)
        )

    def _needs(self, view: str, kind: Kind) -> set[str]:
        """Return the names of a kind that a view needs."""
        if kind in VIEW_KINDS:
            return {view}
        found = [v for (known, _), v in self.current.views.items() if known == view]
        if view in self.wanted.views:
            found.append(self.wanted.views[view])
        return {(v.source if kind == "source" else v.entity).name for v in found}

    @cached_property
    def _reach(self) -> dict[str, set[str]]:
        """Service, now or wanted, to the views it takes features of, directly or through others."""
        takes: dict[str, set[str]] = {}
        for record in self.current.records:
            if record.kind == "on-demand view" and record.current:
                takes.setdefault(record.name, set()).update(map(_view_of, record.pins))
        for view in self.wanted.on_demand.values():
            takes.setdefault(view.name, set()).update(ref.view for ref in view.refs)
        reach = {name: set(map(_view_of, pins)) for name, pins in self.current.pins.items()}
        for name, service in self.wanted.services.items():
            reach.setdefault(name, set()).update(map(_view_of, service.references))
        for views in reach.values():
            todo = list(views)
            while todo:
                for taken in takes.get(todo.pop(), set()) - views:
                    views.add(taken)
                    todo.append(taken)
        return reach


def _view_body(view: FeatureView) -> dict[str, Any]:
    """Return a view's plain data with what else decides its values."""
    source = view.source.to_dict()
    return {
        "view": view.to_dict(),
        "source": {key: value for key, value in source.items() if key not in SOURCE_STORAGE},
        "entity": view.entity.to_dict(),
    }


def _action(old: Record, new: Record, storage: tuple[str, ...] = ()) -> Action:
    if old.fingerprint != new.fingerprint:
        return "changed values"
    if any(old.body.get(key) != new.body.get(key) for key in storage):
        return "changed storage"
    return "unchanged" if _text(old.body) == _text(new.body) else "described only"


def _pin_lines(before: tuple[str, ...], after: tuple[str, ...]) -> list[str]:
    """Return a line for each pin that comes, goes or moves to another version."""
    had, has = set(before), set(after)
    old = {split_reference(pin)[::2]: pin for pin in before if pin not in has}
    lines = []
    for pin in after:
        if pin not in had:
            moved = old.pop(split_reference(pin)[::2], None)
            lines.append(f"~ {moved} -> {pin}" if moved else f"+ {pin}")
    return lines + [f"- {pin}" for pin in old.values()]


def _labels(body: dict[str, Any]) -> dict[str, Any]:
    inner = body.get("view", body)
    leave = ("name", "entity", "source", "where", "features", "inputs", "returns", "code")
    return {key: value for key, value in inner.items() if key not in leave}


def _code(body: dict[str, Any]) -> dict[str, str]:
    return body.get("code") or {}


def _text(body: dict[str, Any], *leave: str) -> str:
    return json.dumps({k: v for k, v in body.items() if k not in leave}, default=str)


def _view_of(reference: str) -> str:
    return split_reference(reference)[0]


def _sunsets(planner: _Planner, now: int) -> tuple[str, ...]:
    """Return a warning for everything that outlives its sunset."""
    written = {(record.kind, record.name): record for record in planner.writes}
    gone = set(planner.removals)
    notices = list(planner.current.notices)
    for record in planner.current.records:
        key = (record.kind, record.name)
        if record.current and key not in gone and key not in written:
            notices.append(notice_of(record))
    notices += [notice_of(record) for record in planner.writes]
    names = {name for _, name in gone}
    return tuple(
        _warning(notice, planner)
        for notice in notices
        if notice.is_past(now) and notice.name not in names
    )


def _warning(notice: Deprecation, planner: _Planner) -> str:
    users = [name for name, views in sorted(planner._reach.items()) if notice.name in views]
    used = f"; still used by {', '.join(users)}" if users else ""
    reason = f" ({notice.reason})" if notice.reason else ""
    return f"{notice.target} has outlived its sunset of {notice.sunset}{reason}{used}"
