"""What a plan would break: for services and on-demand views that are in use, and for what serves.

A break is found by comparing what is in use now with what will be: a view, feature or column that
goes, a feature or column whose type changes, an entity whose join keys change, a service that goes
or loses a feature. Another unit of times breaks whoever sends rows, although every view follows:
the same numbers would be taken for other moments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from skewless.definitions import Aggregate, FeatureView
from skewless.definitions.expressions import Column, Expression
from skewless.definitions.references import split_reference
from skewless.definitions.repo import Definitions, View
from skewless.plan.apply.apply_plan import Break
from skewless.plan.apply.registry_state import Kind, RegistryState, ViewVersion
from skewless.types import DType, is_epoch


class Planned(Protocol):
    """What is known of the time after the plan."""

    wanted: Definitions
    removals: list[tuple[Kind, str]]
    stuck: dict[str, str]
    versions: dict[str, int]
    pins: dict[str, tuple[str, ...]]

    def view(self, name: str, version: int) -> View:
        """Return a view as it is after the plan."""


def breaks_of(current: RegistryState, planned: Planned) -> tuple[Break, ...]:
    """Return everything that the plan would break, each once."""
    found = (
        *_lost_services(current, planned),
        *_lost_features(current, planned),
        *_changed_keys(current, planned),
        *_lost_columns(current, planned),
        *_lost_grants(current, planned),
    )
    affected: dict[tuple[Kind, str, str], dict[str, None]] = {}
    for one in found:
        affected.setdefault((one.kind, one.name, one.what), {}).update(dict.fromkeys(one.affects))
    return tuple(Break(*key, tuple(affects)) for key, affects in affected.items())


def _lost_services(current: RegistryState, planned: Planned) -> Iterator[Break]:
    for name, pins in current.wanted_pins.items():
        if name not in planned.pins:
            yield Break("feature service", name, "is removed: nothing can ask for it any more")
            continue
        left = {(split_reference(pin)[0], split_reference(pin)[2]) for pin in planned.pins[name]}
        for pin in pins:
            view, _, feature = split_reference(pin)
            if (view, feature) not in left:
                yield Break("feature service", name, f"no longer has {view}:{feature}")


def _lost_grants(current: RegistryState, planned: Planned) -> Iterator[Break]:
    """The last grants: without any, whoever is let in may read everything."""
    gone = {name for kind, name in planned.removals if kind == "grant"}
    if not {*current.grants, *planned.wanted.grants} - gone:
        for name in current.grants:
            yield Break("grant", name, "is removed, and none is left: every key reads everything")


def _lost_features(current: RegistryState, planned: Planned) -> Iterator[Break]:
    """Views and features that go, and types that change, under those who use them by bare name."""
    users: dict[tuple[str, str, int | None], list[str]] = {}
    for user, pin in _uses(current, planned):
        view, version, feature = split_reference(pin)
        users.setdefault((view, feature, version), []).append(user)
    for (name, feature, version), names in users.items():
        kind: Kind = "feature view" if (name, version) in current.views else "on-demand view"
        if name not in planned.versions:
            yield Break(kind, name, f"is removed, and with it {name}:{feature}", tuple(names))
            continue
        after = planned.view(name, planned.versions[name])
        before = current.view(name, version)
        if feature not in after.dtypes:
            yield Break(kind, name, f"no longer has the feature {feature!r}", tuple(names))
        elif (old := before.dtypes[feature]) != (new := after.dtypes[feature]):
            what = f"changes the type of {feature!r} from {old!r} to {new!r}"
            yield Break(kind, name, what, tuple(names))


def _uses(current: RegistryState, planned: Planned) -> Iterator[tuple[str, str]]:
    """Yield who uses a feature by its bare name now and after the plan, and what it stands for."""
    for name, service in current.services.items():
        kept = planned.wanted.services.get(name, service)
        if name in planned.pins:
            still = set(kept.references)
            for reference, pin in zip(service.references, current.wanted_pins[name], strict=True):
                if reference in still and split_reference(reference)[1] is None:
                    yield f"feature service {name}", pin
    for name in planned.stuck:
        record = current.record("on-demand view", name)
        for pin in record.pins if record else ():
            yield f"on-demand view {name}", pin


def _changed_keys(current: RegistryState, planned: Planned) -> Iterator[Break]:
    for name, entity in planned.wanted.entities.items():
        if name not in current.entities:
            continue
        before = current.entities[name].join_keys
        users = tuple(
            f"feature view {view}"
            for (view, version) in _in_use(current, planned)
            if current.views[view, version].entity.name == name
        )
        if before != entity.join_keys and users:
            old, new = (
                ", ".join(f"{k} {d!r}" for k, d in keys) for keys in (before, entity.join_keys)
            )
            what = f"changes its join keys from ({old}) to ({new})"
            yield Break("entity", name, what, tuple(dict.fromkeys(users)))


def _lost_columns(current: RegistryState, planned: Planned) -> Iterator[Break]:
    in_use = _in_use(current, planned)
    serving = [
        key for key in current.views if key in in_use or current.current.get(key[0]) == key[1]
    ]
    reads = {key: columns_of(current.views[key]) for key in serving}
    for name, source in planned.wanted.sources.items():
        if name not in current.sources:
            continue
        before, after = current.sources[name].columns, source.columns
        for column, dtype in before.items():
            if after.get(column) == dtype:
                continue
            other_unit = _is_other_unit(dtype, after.get(column))
            users = tuple(
                f"{view}@v{version}"
                for view, version in (serving if other_unit else in_use)
                if column in reads[view, version]
                and current.views[view, version].source.name == name
            )
            if users or other_unit:
                what = f"no longer has the column {column!r}"
                if column in after:
                    types = f"from {dtype!r} to {after[column]!r}"
                    what = f"changes the type of column {column!r} {types}"
                yield Break("source", name, what, users)


def _is_other_unit(before: DType, after: DType | None) -> bool:
    """Whether whoever sends times would say other moments with the same numbers."""
    return after is not None and is_epoch(before) and is_epoch(after)


def _in_use(current: RegistryState, planned: Planned) -> list[ViewVersion]:
    """Return the versions that are current now and after the plan, or pinned at either time.

    One that comes back fits the columns that come back with it.
    """
    pins = {pin for pins in planned.pins.values() for pin in pins}
    pins.update(pin for name in planned.pins for pin in current.pins.get(name, ()))
    for record in current.records:
        if record.kind == "on-demand view" and record.retired_at is None:
            pins.update(record.pins)
    pinned = {(name, version) for name, version, _ in map(split_reference, pins)}
    return [
        key
        for key in current.views
        if key[0] in planned.versions
        and (key in pinned or key[1] == planned.versions[key[0]] == current.current.get(key[0]))
    ]


def columns_of(view: FeatureView) -> set[str]:
    """Return the columns of its source that a view reads, join keys and row id included."""
    found = {*view.row_entity.key_names, *view.source.row_id, view.source.event_time}
    if view.source.known_time is not None:
        found.add(view.source.known_time)
    todo: list[Expression | None] = [view.where, *view.expressions.values()]
    while todo:
        expression = todo.pop()
        for leaf in expression.leaves() if expression is not None else ():
            if isinstance(leaf, Column):
                found.add(leaf.name)
            if isinstance(leaf, Aggregate):
                todo += [leaf.column, leaf.where, leaf.by]
    return found
