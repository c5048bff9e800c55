"""Features there are twice: computed alike, by their definitions; or with equal values.

>>> import skewless as sl
>>> card = sl.Entity("card", card_id=str)
>>> pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
>>> one = sl.FeatureView("A", entity=card, source=pays, features={"x": pays.amount.sum("1h")})
>>> two = sl.FeatureView("B", entity=card, source=pays, features={"y": pays.amount.sum("1h")})
>>> twins({"A@v1": one, "B@v1": two})
[('A@v1:x', 'B@v1:y')]
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from skewless.definitions import FeatureView
from skewless.definitions.fingerprint import fingerprint
from skewless.errors import InputError
from skewless.monitoring.statistics import columns_now, keys_now
from skewless.online.runtime import Runtime
from skewless.plan.apply.apply_plan import ApplyPlan
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.selection import select

Twins = list[tuple[str, str]]
ENTITIES = 20_000
_FEW = 20


def computed_alike(view: FeatureView, feature: str) -> str:
    """Return a hash that features of one value have in common: rows, keys and expression."""
    return fingerprint(
        [
            view.expressions[feature].to_dict(),
            None if view.where is None else view.where.to_dict(),
            view.source.name,
            view.source.closed,
            [[key, dtype.to_dict()] for key, dtype in view.row_entity.join_keys],
            view.bound,
        ]
    )


def twins(views: Mapping[str, FeatureView]) -> Twins:
    """Return pairs of features that are computed alike, each with the first there is.

    Args:
        views: ``View@v1`` to the view. A view in a role is left out: it is meant to be the same.
    """
    first: dict[str, str] = {}
    found = []
    for label, view in views.items():
        if view.is_role:
            continue
        for feature in view.features:
            name = f"{label}:{feature}"
            known = first.setdefault(computed_alike(view, feature), name)
            if known != name:
                found.append((known, name))
    return found


def current_views(state: RegistryState) -> dict[str, FeatureView]:
    """Return the current versions of feature views, those that were applied first before others."""
    since: dict[str, int] = {}
    for record in state.records:
        since[record.name] = min(record.applied_at, since.get(record.name, record.applied_at))
    found = {}
    for name in sorted(state.current, key=lambda name: (since[name], name)):
        view = state.view(name)
        if isinstance(view, FeatureView):
            found[f"{name}@v{state.current[name]}"] = view
    return found


def duplicate_notes(
    state: RegistryState, plan: ApplyPlan, wanted: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return a line for each feature that a plan adds and that there is already.

    Args:
        state: of the registry.
        plan: what is about to be applied.
        wanted: name to view, as it is about to be.
    """
    touched = {step.name: step for step in plan.changed if step.kind == "feature view"}
    known = {
        label: view
        for label, view in current_views(state).items()
        if label.partition("@")[0] not in touched
    }
    made = {
        f"{name}@v{step.after or 1}": wanted[name]
        for name, step in touched.items()
        if step.action != "removed" and isinstance(wanted.get(name), FeatureView)
    }
    before = {
        name: set(old.features)
        for name, step in touched.items()
        if step.before is not None and isinstance(old := state.view(name, step.before), FeatureView)
    }
    notes = []
    for one, other in twins({**known, **made}):
        label, _, feature = other.partition(":")
        name = label.partition("@")[0]
        if label in made and feature not in before.get(name, ()):
            reuse = f"{one.partition('@')[0]}:{one.partition(':')[2]}"
            notes.append(f"{name}:{feature} is computed as {reuse} is: reuse that one")
    return tuple(notes)


def equal_values(runtime: Runtime, views: Mapping[str, FeatureView]) -> Twins:
    """Return pairs of features of one entity whose values are the same now, of 20,000 entities.

    Pairs that are computed alike are not told again, nor is what has but one value.

    Args:
        runtime: the open repo.
        views: ``View@v1`` to the view.
    """
    alike = set(twins(views))
    first: dict[tuple[str, int, int], str] = {}
    found = []
    state = runtime.state()
    for label, view in views.items():
        selection = select(state, [f"{label}:{f}" for f in view.features], full_names=True)
        try:
            keys = keys_now(runtime, label, selection)
        except InputError:
            continue
        if view.is_role or not keys.column_names:
            continue
        texts = [str(tuple(row.values())) for row in keys.to_pylist()]
        chosen = sorted(range(len(texts)), key=lambda row: zlib.crc32(texts[row].encode()))
        chosen = chosen[:ENTITIES]  # the same entities of every view
        columns = columns_now(runtime, selection, keys.take(chosen))
        for output in selection.outputs:
            values = columns[output.name].to_pylist()
            digest = _digest((texts[row] for row in chosen), values)
            if digest is None:
                continue
            name = output.reference
            known = first.setdefault((view.entity.name, *digest), name)
            if known != name and (known, name) not in alike:
                found.append((known, name))
    return found


def _digest(keys: Iterable[str], values: list[Any]) -> tuple[int, int] | None:
    """Return a number for values by key, whatever their order; None: they say too little."""
    total, there = 0, 0
    seen: set[str] = set()
    for key, value in zip(keys, values, strict=True):
        if value is None:
            continue
        text = f"{key}\0{float(value) if isinstance(value, (int, float)) else value!r}"
        total += int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
        there += 1
        if len(seen) < 2:
            seen.add(repr(value))
    return (total % 2**64, there) if there >= _FEW and len(seen) > 1 else None
