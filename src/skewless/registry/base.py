"""What every registry promises: definitions and their versions, and small facts about progress.

    registry = SQLiteRegistry("repo/.skewless/registry.db")
    plan = diff(registry.state(), Definitions.of(Spend), removing=False)
    registry.apply(plan, who="ada")

**Every registry guarantees**

- Each change is one transaction: after a kill at any instant the old or the new is there, whole.
- `apply` takes a plan only while the registry is at the revision the plan was made for: of two
  applies at once one succeeds and the other raises `ConcurrentApply`.
- A registry may be shared by threads and by processes, and opened before a fork.
- What was ever applied stays in `history`. The number of a version is never given twice.
- It holds one project. Others in the same file or schema are neither seen nor changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self, overload

from skewless.errors import RegistryError
from skewless.plan.apply.diff import ApplyPlan
from skewless.plan.apply.registry_state import Deprecation, RegistryState

__all__ = ["Deprecation", "Interval", "Registry", "RegistryState", "Revision", "copy"]

Interval = tuple[int, int]
"""Start and end of a finished materialization, ``[start, end)``, microseconds."""


@dataclass(frozen=True)
class Revision:
    """One change that was made to the registry.

    Attributes:
        number: of the revision it led to.
        at: when, microseconds.
        who: made it.
        summary: of the change, in a line.
        plan: the whole plan as plain data; of retirements and deprecations what they changed.
    """

    number: int
    at: int
    who: str
    summary: str
    plan: dict[str, Any]


class Registry(ABC):
    """Where definitions live. Subclasses: one file each, see the module."""

    where: str
    """How errors name this registry: a path, or an address without credentials."""
    read_only = False
    """Whether every change is refused, whatever rights there are."""

    @overload
    def state(self) -> RegistryState: ...
    @overload
    def state(self, *, if_newer_than: int | None) -> RegistryState | None: ...
    @abstractmethod
    def state(self, *, if_newer_than: int | None = None) -> RegistryState | None:
        """Return everything at the newest revision.

        Args:
            if_newer_than: a revision the caller has; None is returned when it is the newest. The
                check reads one small row.
        """

    @abstractmethod
    def apply(
        self, plan: ApplyPlan, *, who: str = "", summary: str = "", allow_breaking: bool = False
    ) -> int:
        """Carry a plan out in one transaction and return the revision it led to.

        An empty plan changes nothing and makes no revision.

        Raises:
            ConcurrentApply: somebody changed the registry since the plan was made.
            BreakingChange: the plan breaks something and ``allow_breaking`` is not given.
        """

    @abstractmethod
    def retire(self, view: str, version: int, *, who: str = "") -> int:
        """End the service of one version of a view and return the new revision.

        Raises:
            UnknownName: there is no such version.
            RegistryError: it is current, or a service or an on-demand view is pinned to it.
        """

    @abstractmethod
    def settle(self, service: str, pins: Sequence[str]) -> bool:
        """Let a service move to the pins it waits for (`Record.pending`); return whether it did.

        Nothing happens where it waits for others by now, or for none. It makes no revision: what
        was applied is the same, only its states have become complete.
        """

    @abstractmethod
    def deprecate(
        self, target: str, reason: str, *, sunset: date | None = None, who: str = ""
    ) -> int:
        """Say that something should no longer be used, and return the new revision.

        Args:
            target: ``View``, ``View@v1``, ``View:feature`` or the name of a feature service.
            reason: for people; an empty one takes the notice back.
            sunset: the last day it is promised to work.
            who: says so.

        Raises:
            UnknownName: there is nothing of that name.
        """

    @abstractmethod
    def history(self, limit: int | None = None) -> list[Revision]:
        """Return the changes made, newest first, at most ``limit``."""

    @abstractmethod
    def intervals(self, view: str, version: int) -> list[Interval]:
        """Return the finished materializations of a view, ascending, neighbours merged."""

    @abstractmethod
    def add_interval(self, view: str, version: int, start: int, end: int) -> None:
        """Record that ``[start, end)``, microseconds, was materialized."""

    @abstractmethod
    def forget_intervals(self, view: str, version: int) -> None:
        """Forget what was materialized, when the online store has lost it."""

    @abstractmethod
    def get_progress(self, name: str) -> Any:
        """Return what `set_progress` kept under ``name``, or None."""

    @abstractmethod
    def set_progress(self, name: str, value: Any) -> None:
        """Keep a small plain value (JSON) under ``name``, in one transaction; None removes it."""

    @abstractmethod
    def progress(self, prefix: str = "") -> dict[str, Any]:
        """Return all that `set_progress` kept under names that start with ``prefix``."""

    @abstractmethod
    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Return all rows of all tables at one moment, as plain data: a backup."""

    @abstractmethod
    def restore(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        """Fill this registry, which must be empty, with what `dump` of any registry returned.

        Raises:
            RegistryError: something was already applied here.
        """

    @abstractmethod
    def close(self) -> None:
        """Release files and connections; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r})"


def copy(source: Registry, target: Registry) -> int:
    """Copy a whole registry, its history included, into an empty one; return the revision.

    Raises:
        RegistryError: the target is not empty.
    """
    target.restore(source.dump())
    return target.state().revision


def only_read(where: str) -> RegistryError:
    """Return the error for a change where the settings allow none."""
    return RegistryError(
        "the registry can only be read",
        got='mode = "read-only" in the settings',
        where=where,
        hint="Changes are for a repo without it.",
    )


def not_empty(where: str) -> RegistryError:
    """Return the error for restoring into a registry that is in use."""
    return RegistryError(
        "a registry is copied into an empty one only", where=where, hint="Give a new path."
    )
