"""Carries renames out in the tables of a registry, inside the transaction of an apply."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from skewless.plan.apply.apply_plan import Rename
from skewless.plan.apply.registry_state import VIEW_KINDS, RegistryState
from skewless.plan.apply.renames import renamed
from skewless.registry.plain import encode, encoded_pins

_NAMED = "WHERE project = ? AND kind = ? AND name = ? AND version = ?"


class Run(Protocol):
    """A transaction in progress."""

    def __call__(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement, with ``?`` for parameters, and return its rows."""


def rename(run: Run, project: str, state: RegistryState, renames: Collection[Rename]) -> None:
    """Write all that a project holds with other names: definitions, deprecations, intervals.

    Args:
        run: the transaction.
        project: whose.
        state: what it holds.
        renames: what gets which name.
    """
    after = renamed(state, renames)
    pairs = list(zip(state.records, after.records, strict=True))
    for old, new in pairs:
        key = (project, old.kind, old.name, old.version)
        values = (new.fingerprint, encode(new.body), encoded_pins(new.pins, new.pending))
        if old != new:
            changes = "name = ?, fingerprint = ?, body = ?, pins = ?"
            run(f"UPDATE definitions SET {changes} {_NAMED}", (new.name, *values, *key))
    for before, now in zip(state.notices, after.notices, strict=True):
        if before != now:
            run(
                "UPDATE deprecations SET target = ? WHERE project = ? AND target = ?",
                (now.target, project, before.target),
            )
    for each in renames:
        if each.kind in VIEW_KINDS:
            run(
                "UPDATE intervals SET view = ? WHERE project = ? AND view = ?",
                (each.name, project, each.was),
            )
