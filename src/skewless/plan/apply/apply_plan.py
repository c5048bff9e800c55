"""The plan of an apply as a value: its steps, what breaks, who feels it; it prints readably.

>>> added = Step("entity", "card", "added")
>>> grown = Step("feature view", "Spend", "changed values", 1, 2, ("+ count: count of payments",))
>>> print(ApplyPlan(base_revision=4, steps=(added, grown)).explain())
Plan: 1 to add, 1 to change, 0 to remove (registry revision 4).
<BLANKLINE>
  + entity card
  ~ feature view Spend: changed values, v1 -> v2 (v1 serves on until it is retired)
      + count: count of payments
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from skewless.checks.lint import LintFinding
from skewless.errors import RulesBroken
from skewless.forks import cached_property
from skewless.formatting import Drawn
from skewless.plan.apply.overview import MOST_LINES, overview
from skewless.plan.apply.registry_state import VIEW_KINDS, Kind, Record, RegistryState

Action = Literal[
    "added",
    "renamed",
    "changed values",
    "changed storage",
    "changed access",
    "described only",
    "removed",
    "unchanged",
]
_NOT_KEPT = "Rules of [lint] that are not kept:"
_SIGNS: dict[Action, str] = {"added": "+", "removed": "-", "unchanged": "="}


@dataclass(frozen=True)
class Step:
    """What happens to one definition.

    Attributes:
        kind: entity, source, feature view, on-demand view, feature service or grant.
        name: of the definition.
        action: ``changed values`` makes a new version of a view (or goes back to an older one);
            ``renamed``, ``changed storage``, ``changed access`` and ``described only`` change no
            value.
        before: the current version before, of views; None when there is none.
        after: the current version after, of views; None when removed.
        changes: what differs, a line each.
        services: the feature services that feel it.
    """

    kind: Kind
    name: str
    action: Action
    before: int | None = None
    after: int | None = None
    changes: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    def explain(self) -> str:
        """Return the step as a line, and its changes as indented lines."""
        lines = [f"{_SIGNS.get(self.action, '~')} {self.kind} {self.name}{self._how()}"]
        lines += [f"    {change}" for change in self.changes]
        if self.services:
            lines.append(f"    felt by {_listed('feature service', self.services)}")
        return "\n".join(lines)

    def _how(self) -> str:
        if self.action == "removed" and self.kind in VIEW_KINDS:
            return ": removed, every version of it"
        if self.action == "removed" and self.kind == "source":
            return ": removed; its rows are kept apart (skewless rows)"
        if self.action == "added":
            return f": v{self.after}" if self.after is not None and self.after > 1 else ""
        moved = ""
        if self.before is not None and self.before != self.after:
            back = "back " if self.after is not None and self.after < self.before else ""
            moved = (
                f", {back}v{self.before} -> v{self.after} "
                f"(v{self.before} serves on until it is retired)"
            )
        return f": {self.action}{moved}"

    def to_dict(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "before": self.before,
            "after": self.after,
            "changes": list(self.changes),
            "services": list(self.services),
        }


@dataclass(frozen=True)
class Rename:
    """Another name for what stays the same.

    Attributes:
        kind: of the definition; ``feature`` or ``column`` of one within it.
        name: from now on.
        was: its name until now.
        of: the view of a feature or the source of a column, by its name from now on; else "".
    """

    kind: Kind | Literal["feature", "column"]
    name: str
    was: str
    of: str = ""

    def explain(self) -> str:
        """Return the rename as a line below what it is of."""
        return f"{self.kind} {self.name}: was {self.was}" if self.of else f"was {self.was}"

    def to_dict(self) -> dict[str, str]:
        """Return the rename as plain data."""
        return {"kind": self.kind, "name": self.name, "was": self.was, "of": self.of}


@dataclass(frozen=True)
class Break:
    """Something that would stop working, now or when a service is pinned again.

    Attributes:
        kind: of the definition that causes it.
        name: of the definition that causes it.
        what: happens to it.
        affects: who feels it, such as ``feature service fraud``.
    """

    kind: Kind
    name: str
    what: str
    affects: tuple[str, ...] = ()

    def explain(self) -> str:
        """Return the break as a line."""
        affects = f" Affects {', '.join(self.affects)}." if self.affects else ""
        return f"{self.kind} {self.name} {self.what}.{affects}"

    def to_dict(self) -> dict[str, Any]:
        """Return the break as plain data."""
        affects = list(self.affects)
        return {"kind": self.kind, "name": self.name, "what": self.what, "affects": affects}


@dataclass(frozen=True)
class ApplyPlan(Drawn):
    """What an apply would change.

    Attributes:
        base_revision: the revision of the registry it was made for; no other takes it.
        steps: one for each definition, unchanged ones too.
        breaking: what would stop working.
        notes: what is worth knowing, such as services that stay on an older version.
        warnings: what should be seen to, such as a sunset that has passed.
        lint: the definitions that do not keep to the rules of ``[lint]``, unchanged ones too.
        writes: the records that an apply writes.
        removals: kind and name of what an apply removes; of a view all versions are retired.
        renames: what gets another name, with its history, before anything else happens.
    """

    base_revision: int
    steps: tuple[Step, ...]
    breaking: tuple[Break, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    lint: tuple[LintFinding, ...] = ()
    writes: tuple[Record, ...] = field(default=(), repr=False)
    removals: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)
    renames: tuple[Rename, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether an apply would change nothing."""
        return all(step.action == "unchanged" for step in self.steps)

    @property
    def changed(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action != "unchanged")

    def grants_matter(self, state: RegistryState) -> bool:
        """Whether there are grants after it, and it changes something.

        Args:
            state: what the registry holds.
        """
        return bool(self.changed) and (
            bool(state.grants) or any(record.kind == "grant" for record in self.writes)
        )

    def check_lint(self) -> None:
        """Refuse the plan where what it adds or changes does not keep to the rules of ``[lint]``.

        Raises:
            RulesBroken: something does not; what is unchanged is left alone.
        """
        changed = {(step.kind, step.name) for step in self.changed}
        found = [each for each in self.lint if (each.kind, each.name) in changed]
        if found:
            raise RulesBroken(
                "definitions that are added or changed do not keep to the rules",
                got="; ".join(_first(found)),
                where="[lint]",
                hint="Change the definitions, or the rules in skewless.toml.",
            )

    @property
    def summary(self) -> str:
        """The plan in a line, for the history of the registry."""
        names = [f"{_SIGNS.get(step.action, '~')}{step.name}" for step in self.changed]
        return " ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")

    def owner_of(self, step: Step) -> str:
        """Return who answers for what a step adds or changes; empty: nobody, or it is gone."""
        return self._owners.get((step.kind, step.name), "")

    @cached_property
    def _owners(self) -> dict[tuple[str, str], str]:
        return {(each.kind, each.name): _owner(each.body) for each in self.writes}

    def of_owner(self, owner: str) -> ApplyPlan:
        """Return the steps of what somebody answers for, to be looked at; it cannot be applied."""
        mine = tuple(step for step in self.changed if self.owner_of(step) == owner)
        names = {(step.kind, step.name) for step in mine}
        return ApplyPlan(
            self.base_revision,
            mine,
            tuple(each for each in self.breaking if (each.kind, each.name) in names),
            lint=tuple(each for each in self.lint if (each.kind, each.name) in names),
            writes=tuple(each for each in self.writes if (each.kind, each.name) in names),
        )

    def explain(self, *, summary: bool | None = None) -> str:
        """Return the plan as text for people.

        Args:
            summary: totals and names, without a line a feature; None: where there are too many.
        """
        if summary is None:
            summary = sum(1 + len(step.changes) for step in self.changed) > MOST_LINES
        breaking = [f"! {found.explain()}" for found in self.breaking]
        if summary:
            urgent = {"Breaking:": breaking, "Warnings:": self.warnings}
            rest = {"Notes:": self.notes, _NOT_KEPT: list(map(str, self.lint))}
            owners = list(map(self.owner_of, self.changed))
            return overview(self.headline, self.changed, owners, urgent, rest)
        blocks = [self.headline]
        if self.changed:
            steps = [_indented(step.explain()) for step in self.changed]
            blocks.append("\n".join(steps))
        for title, lines in (
            ("Breaking:", breaking),
            ("Notes:", list(self.notes)),
            ("Warnings:", list(self.warnings)),
            (_NOT_KEPT, _first(self.lint)),
        ):
            if lines:
                blocks.append("\n".join([title, *map(_indented, lines)]))
        return "\n\n".join(blocks)

    @property
    def headline(self) -> str:
        """How much there is to add, to change and to remove."""
        where = f"registry revision {self.base_revision}"
        if self.is_empty:
            return f"No changes: everything is as wanted ({where})."
        actions = [step.action for step in self.changed]
        added, removed = actions.count("added"), actions.count("removed")
        renamed = actions.count("renamed")
        changed = len(actions) - added - removed - renamed
        moved = f"{renamed} to rename, " if renamed else ""
        return f"Plan: {added} to add, {moved}{changed} to change, {removed} to remove ({where})."

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, for ``--json`` and the history."""
        return {
            "base_revision": self.base_revision,
            "is_empty": self.is_empty,
            "steps": [step.to_dict() for step in self.steps],
            "breaking": [found.to_dict() for found in self.breaking],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "lint": [found.to_dict() for found in self.lint],
            "renames": [each.to_dict() for each in self.renames],
        }

    def __str__(self) -> str:
        return self.explain()


def _owner(body: dict[str, Any]) -> str:
    """Return the owner in the plain data of a definition; that of a view has it further in."""
    return str(body.get("view", body).get("owner", ""))


def _listed(noun: str, names: tuple[str, ...]) -> str:
    return f"{noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _first(found: Sequence[LintFinding], most: int = 10) -> list[str]:
    more = [f"and {len(found) - most} more"] if len(found) > most else []
    return [*map(str, found[:most]), *more]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
