"""A registry in SQL tables: all of it but how to connect, lock and spell a parameter.

Seven small tables. ``definitions`` holds a row for each entity, source and service and for each
version of a view; nothing is ever updated but which version is current, what only describes, and
when a version was retired. ``revisions`` is the history. ``projects`` holds the revision of each
project, which is what `state` looks at, and a checksum of all its definitions and deprecations,
which is compared whenever they are read; ``facts`` the format.

Every row belongs to a project, and every statement names it: projects that share the tables neither
see nor change each other's. The rows of a registry from before there were projects (format 1)
belong to the project that opens it first.
"""

from __future__ import annotations

import hashlib
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol, cast, overload

from skewless.access.actors import caller
from skewless.clock import Clock, SystemClock, iso
from skewless.config import DEFAULT_PROJECT
from skewless.definitions.references import split_reference, split_view
from skewless.errors import (
    BreakingChange,
    ConcurrentApply,
    CorruptData,
    InputError,
    RegistryError,
    UnknownName,
)
from skewless.plan.apply.apply_plan import ApplyPlan
from skewless.plan.apply.registry_state import (
    VIEW_KINDS,
    Deprecation,
    Kind,
    Record,
    RegistryState,
)
from skewless.registry.base import Interval, Registry, Revision, not_empty, only_read
from skewless.registry.plain import check_text, decode, decoded_pins, encode, encoded_pins
from skewless.registry.renaming import rename
from skewless.registry.tables import MIGRATIONS, TABLES, table_columns

Row = tuple[Any, ...]


class Execute(Protocol):
    """A transaction in progress."""

    def __call__(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement, with ``?`` for parameters, and return its rows."""


class SQLRegistry(Registry):
    """A registry in SQL tables. Subclasses connect; see `SQLiteRegistry`.

    Args:
        clock: tells when things happen.
        folder: the repo's, where the functions of on-demand views are looked for.
        project: whose definitions these are.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        folder: str | Path | None = None,
        project: str = DEFAULT_PROJECT,
    ) -> None:
        self.project = project
        self._clock: Clock = clock or SystemClock()
        self._folder = None if folder is None else Path(folder)
        self._looked_at = False

    @abstractmethod
    def _transaction(self, *, write: bool) -> AbstractContextManager[Execute | None]:
        """Return a transaction, kept when the block ends and undone when it raises.

        A read sees one moment; writes happen one at a time over all processes. None stands for a
        registry whose place is not made yet; a write makes it.
        """

    @abstractmethod
    def _table_names(self, run: Execute) -> set[str]:
        """Return the names of the tables there are."""

    @contextmanager
    def _reading(self) -> Iterator[Execute]:
        if not self._looked_at:
            with self._transaction(write=False) as run:
                older = run is not None and 0 < self._format(run) < len(MIGRATIONS)
            if older:
                with self._writing():
                    pass
            self._looked_at = True
        with self._transaction(write=False) as run:
            yield nothing_yet if run is None or not self._format(run) else run

    @contextmanager
    def _writing(self) -> Iterator[Execute]:
        if self.read_only:
            raise only_read(self.where)
        with self._transaction(write=True) as run:
            if run is None:
                raise RegistryError("there is no place to write to", where=self.where)
            format = self._format(run)
            if format < len(MIGRATIONS):
                for statement in (line for steps in MIGRATIONS[format:] for line in steps):
                    run(statement, [self.project] if "?" in statement else [])
                run("UPDATE facts SET value = ? WHERE name = 'format'", (len(MIGRATIONS),))
            yield run

    def _format(self, run: Execute) -> int:
        """Return the format of the tables, 0 when there are none.

        Raises:
            RegistryError: they are of a newer release, or another program's.
            CorruptData: they do not say.
        """
        names = self._table_names(run)
        if not names:
            return 0
        if not {"facts", *TABLES} <= names:
            raise RegistryError("not a registry, but another program's tables", where=self.where)
        text = "".join(str(row[0]) for row in run("SELECT value FROM facts WHERE name = 'format'"))
        if not text.isdecimal():
            raise self._damaged("it does not say of which format it is", text or "nothing")
        format = int(text)
        if format > len(MIGRATIONS):
            raise newer_format(format, self.where)
        return format

    # ---------------------------------------------------------------------------------- reading

    @overload
    def state(self) -> RegistryState: ...
    @overload
    def state(self, *, if_newer_than: int | None) -> RegistryState | None: ...
    def state(self, *, if_newer_than: int | None = None) -> RegistryState | None:
        """Return everything at the newest revision; see `Registry.state`."""
        with self._reading() as run:
            revision = self._revision(run)
            if revision == if_newer_than:
                return None
            return self._state(run, revision)

    def _revision(self, run: Execute) -> int:
        rows = run("SELECT revision FROM projects WHERE project = ?", (self.project,))
        return int(rows[0][0]) if rows else 0

    def _content(self, run: Execute) -> tuple[list[Row], list[Row]]:
        """Return the rows of definitions and deprecations."""
        definitions = run(
            f"SELECT {', '.join(TABLES['definitions'])} FROM definitions WHERE project = ?"
            " ORDER BY applied_at, kind, name, version",
            (self.project,),
        )
        deprecations = run(
            f"SELECT {', '.join(TABLES['deprecations'])} FROM deprecations WHERE project = ?"
            " ORDER BY at, target",
            (self.project,),
        )
        return definitions, deprecations

    def _verified(self, run: Execute, revision: int) -> tuple[list[Row], list[Row]]:
        """Return what `_content` does.

        Raises:
            CorruptData: it is not what was written.
        """
        content = self._content(run)
        stored = run("SELECT checksum FROM projects WHERE project = ?", (self.project,))
        expected = stored[0][0] if stored else _checksum(0, ([], []))
        found = _checksum(revision, content)
        if expected and found != expected:  # none was kept before format 3
            got = f"{len(content[0])} definitions with checksum {found}"
            raise self._damaged("other definitions than were applied", got, expected)
        return content

    def _damaged(self, what: str, got: str, expected: str | None = None) -> CorruptData:
        hint = "Restore it from a backup, or move it away and apply the repo again."
        text = f"the registry is damaged: {what}"
        return CorruptData(text, got=got, expected=expected, where=self.where, hint=hint)

    def _seal(self, run: Execute) -> None:
        """Keep the checksum of what there is now, at the end of a change."""
        found = _checksum(self._revision(run), self._content(run))
        run("UPDATE projects SET checksum = ? WHERE project = ?", (found, self.project))

    def _state(self, run: Execute, revision: int) -> RegistryState:
        definitions, deprecations = self._verified(run, revision)
        records = [
            Record(
                cast(Kind, kind), name, version, mark, decode(body),
                decoded_pins(pins)[0], bool(current), applied_at, retired_at,
                decoded_pins(pins)[1],
            )
            for kind, name, version, mark, body, pins, current, applied_at, retired_at
            in definitions
        ]  # fmt: skip
        notices = [
            Deprecation(target, reason, date.fromisoformat(sunset) if sunset else None, who, at)
            for target, reason, sunset, at, who in deprecations
        ]
        others: tuple[str, ...] = ()
        if not revision:
            others = tuple(name for (name,) in run("SELECT project FROM projects ORDER BY project"))
        return RegistryState(
            revision,
            tuple(records),
            tuple(notices),
            self._folder,
            project=self.project,
            others=others,
        )

    def _names(self, run: Execute) -> RegistryState:
        """Return the state for looking names up, without functions."""
        return replace(self._state(run, self._revision(run)), restoring=False)

    def history(self, limit: int | None = None) -> list[Revision]:
        """Return the changes made, newest first, at most ``limit``."""
        with self._reading() as run:
            rows = run(
                "SELECT revision, at, who, summary, plan FROM revisions WHERE project = ?"
                " ORDER BY revision DESC" + ("" if limit is None else f" LIMIT {int(limit)}"),
                (self.project,),
            )
        return [Revision(n, at, who, summary, decode(plan)) for n, at, who, summary, plan in rows]

    # --------------------------------------------------------------------------------- changing

    def apply(
        self, plan: ApplyPlan, *, who: str = "", summary: str = "", allow_breaking: bool = False
    ) -> int:
        """Carry a plan out in one transaction; see `Registry.apply`."""
        if plan.breaking and not allow_breaking:
            raise BreakingChange(
                "the plan would break what is in use",
                got=" ".join(found.explain() for found in plan.breaking),
                where=self.where,
                hint="Change the definitions, or allow it: apply(plan, allow_breaking=True).",
            )
        with self._writing() as run:
            revision = self._revision(run)
            if revision != plan.base_revision:
                raise self._concurrent(run, plan.base_revision, revision)
            if plan.is_empty:
                return revision
            self._verified(run, revision)
            now = self._clock.now()
            if plan.renames:
                rename(run, self.project, self._names(run), plan.renames)
            for kind, name in plan.removals:
                self._remove(run, kind, name, now)
            for record in plan.writes:
                self._write(run, record, now)
            return self._next(run, now, who, summary or plan.summary, plan.to_dict())

    def retire(self, view: str, version: int, *, who: str = "") -> int:
        """End the service of one version of a view; see `Registry.retire`."""
        with self._writing() as run:
            state = self._names(run)
            state.view(view, version)
            label = f"{view}@v{version}"
            if state.current.get(view) == version:
                raise RegistryError(
                    f"{label} is the current version",
                    hint="Apply a definition that replaces it, or remove the view from the repo.",
                )
            if users := _pinned_by(state, view, version):
                raise RegistryError(
                    f"{label} is in use",
                    got=f"pinned by {', '.join(users)}",
                    hint="Re-apply these with repin first.",
                )
            now = self._clock.now()
            self._retire(run, view, "AND version = ?", now, (version,))
            return self._next(run, now, who, f"retired {label}", {"retired": label})

    def settle(self, service: str, pins: Sequence[str]) -> bool:
        """Let a service move to the pins it waits for; see `Registry.settle`."""
        where = "WHERE project = ? AND kind = 'feature service' AND name = ?"
        key = (self.project, service)
        with self._writing() as run:
            rows = run(f"SELECT pins FROM definitions {where}", key)
            self._verified(run, self._revision(run))
            if not rows or not pins or decoded_pins(rows[0][0])[1] != tuple(pins):
                return False
            run(f"UPDATE definitions SET pins = ? {where}", (encoded_pins(pins, ()), *key))
            self._seal(run)
            return True

    def deprecate(
        self, target: str, reason: str, *, sunset: date | None = None, who: str = ""
    ) -> int:
        """Say that something should no longer be used; see `Registry.deprecate`."""
        check_text(target, reason, who)
        with self._writing() as run:
            _check_target(self._names(run), target)
            now = self._clock.now()
            who = who or caller()
            mine = (self.project, target)
            run("DELETE FROM deprecations WHERE project = ? AND target = ?", mine)
            day = None if sunset is None else sunset.isoformat()
            if reason:
                run(
                    "INSERT INTO deprecations (project, target, reason, sunset, at, who)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (*mine, reason, day, now, who),
                )
            change = {"deprecated": target, "reason": reason, "sunset": day}
            verb = "deprecated" if reason else "no longer deprecated:"
            return self._next(run, now, who, f"{verb} {target}", change)

    def _next(self, run: Execute, now: int, who: str, summary: str, plan: dict[str, Any]) -> int:
        """Count the revision up, write it into the history and return it."""
        check_text(who, summary)
        revision = self._revision(run) + 1
        self._set_revision(run, revision)
        run(
            "INSERT INTO revisions (project, revision, at, who, summary, plan)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (self.project, revision, now, who or caller(), summary, encode(plan)),
        )
        self._seal(run)
        return revision

    def _set_revision(self, run: Execute, revision: int) -> None:
        run("DELETE FROM projects WHERE project = ?", (self.project,))
        run("INSERT INTO projects (project, revision) VALUES (?, ?)", (self.project, revision))

    def _concurrent(self, run: Execute, base: int, revision: int) -> ConcurrentApply:
        since = run(
            "SELECT revision, at, who, summary FROM revisions WHERE project = ? AND revision > ?"
            " ORDER BY revision DESC LIMIT 3",
            (self.project, base),
        )
        changes = "; ".join(f"{who} on {iso(at)}: {summary}" for _, at, who, summary in since)
        return ConcurrentApply(
            "the registry has changed since the plan was made",
            got=f"revision {revision} ({changes or 'another registry'})",
            expected=f"revision {base}",
            where=self.where,
            hint="Plan again and look at what it says now.",
        )

    # --------------------------------------------------------------------------------- progress

    def intervals(self, view: str, version: int) -> list[Interval]:
        """Return the finished materializations of a view, ascending, neighbours merged."""
        with self._reading() as run:
            return self._intervals(run, view, version)

    def add_interval(self, view: str, version: int, start: int, end: int) -> None:
        """Record that ``[start, end)``, microseconds, was materialized."""
        if start > end:
            raise InputError("an interval that ends before it starts", got=f"{start} to {end}")
        if start == end:
            return
        with self._writing() as run:
            merged = merge([*self._intervals(run, view, version), (start, end)])
            self._forget(run, view, version)
            for first, last in merged:
                run(
                    "INSERT INTO intervals (project, view, version, start_at, end_at)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (self.project, view, version, first, last),
                )

    def forget_intervals(self, view: str, version: int) -> None:
        """Forget what was materialized, when the online store has lost it."""
        with self._writing() as run:
            self._forget(run, view, version)

    def _forget(self, run: Execute, view: str, version: int) -> None:
        run(
            "DELETE FROM intervals WHERE project = ? AND view = ? AND version = ?",
            (self.project, view, version),
        )

    def _intervals(self, run: Execute, view: str, version: int) -> list[Interval]:
        rows = run(
            "SELECT start_at, end_at FROM intervals"
            " WHERE project = ? AND view = ? AND version = ? ORDER BY start_at",
            (self.project, view, version),
        )
        return [(start, end) for start, end in rows]

    def get_progress(self, name: str) -> Any:
        """Return what `set_progress` kept under ``name``, or None."""
        with self._reading() as run:
            rows = run(
                "SELECT value FROM progress WHERE project = ? AND name = ?", (self.project, name)
            )
        return self._unsealed(name, rows[0][0]) if rows else None

    def set_progress(self, name: str, value: Any) -> None:
        """Keep a small plain value under ``name``, in one transaction; None removes it."""
        text = None if value is None else _sealed(name, encode(value))
        with self._writing() as run:
            run("DELETE FROM progress WHERE project = ? AND name = ?", (self.project, name))
            if text is not None:
                run(
                    "INSERT INTO progress (project, name, value, at) VALUES (?, ?, ?, ?)",
                    (self.project, name, text, self._clock.now()),
                )

    def progress(self, prefix: str = "") -> dict[str, Any]:
        """Return all that `set_progress` kept under names that start with ``prefix``."""
        with self._reading() as run:
            rows = run(
                "SELECT name, value FROM progress WHERE project = ? ORDER BY name", (self.project,)
            )
        return {name: self._unsealed(name, text) for name, text in rows if name.startswith(prefix)}

    def _unsealed(self, name: str, text: str) -> Any:
        value, seal, _ = text.partition("\n")
        try:
            if not seal or _sealed(name, value) == text:  # none was kept before format 3
                return decode(value)
        except ValueError:
            pass
        raise self._damaged(f"what is kept as {name!r} is not what was written", text[:100])

    # ---------------------------------------------------------------------------------- copying

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Return all rows of the project at one moment, as plain data: a backup."""
        with self._reading() as run:
            revision = self._revision(run)
            self._verified(run, revision)
            rows = {
                table: [
                    dict(zip(columns, row, strict=True))
                    for row in run(
                        f"SELECT {', '.join(columns)} FROM {table} WHERE project = ?"
                        f" ORDER BY {table_columns(project=False)[table][1]}",
                        (self.project,),
                    )
                ]
                for table, columns in TABLES.items()
            }
        facts = {"format": len(MIGRATIONS), "revision": revision}
        return rows | {"facts": [{"name": n, "value": v} for n, v in facts.items()]}

    def restore(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        """Fill this project, which must be empty; see `Registry.restore`."""
        facts = {"format": len(MIGRATIONS), "revision": 0}
        facts |= {row["name"]: row["value"] for row in rows["facts"]}
        if not 1 <= facts["format"] <= len(MIGRATIONS):
            raise newer_format(facts["format"], "the rows to restore")
        with self._writing() as run:
            if self._revision(run) or any(self._has_rows(run, table) for table in TABLES):
                raise not_empty(self.where)
            self._set_revision(run, facts["revision"])
            for table, columns in TABLES.items():
                marks = ", ".join("?" * len(columns))
                for row in rows[table]:
                    run(
                        f"INSERT INTO {table} (project, {', '.join(columns)}) VALUES (?, {marks})",
                        [self.project, *(row[column] for column in columns)],
                    )
            self._seal(run)

    def _has_rows(self, run: Execute, table: str) -> bool:
        return bool(run(f"SELECT 1 FROM {table} WHERE project = ? LIMIT 1", (self.project,)))

    # ----------------------------------------------------------------------------- definitions

    def _write(self, run: Execute, record: Record, now: int) -> None:
        key = (self.project, record.kind, record.name, record.version)
        if record.kind in VIEW_KINDS:
            run(
                "UPDATE definitions SET is_current = 0"
                " WHERE project = ? AND name = ? AND kind IN (?, ?)",
                (self.project, record.name, *VIEW_KINDS),
            )
        body, pins = encode(record.body), encoded_pins(record.pins, record.pending)
        where = "WHERE project = ? AND kind = ? AND name = ? AND version = ?"
        if run(f"SELECT 1 FROM definitions {where}", key):
            run(
                "UPDATE definitions SET fingerprint = ?, body = ?, pins = ?, is_current = 1"
                f" {where}",
                (record.fingerprint, body, pins, *key),
            )
        else:
            run(
                "INSERT INTO definitions (project, kind, name, version, fingerprint, body, pins,"
                " is_current, applied_at) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
                (*key, record.fingerprint, body, pins, now),
            )

    def _remove(self, run: Execute, kind: Kind, name: str, now: int) -> None:
        if kind in VIEW_KINDS:
            self._retire(run, name, "", now)
        else:
            run(
                "DELETE FROM definitions WHERE project = ? AND kind = ? AND name = ?",
                (self.project, kind, name),
            )
        for (target,) in run("SELECT target FROM deprecations WHERE project = ?", (self.project,)):
            if Deprecation(target, "").name == name:
                run(
                    "DELETE FROM deprecations WHERE project = ? AND target = ?",
                    (self.project, target),
                )

    def _retire(
        self, run: Execute, view: str, only: str, now: int, parameters: tuple[int, ...] = ()
    ) -> None:
        """Retire the versions of a view that serve, or ``only`` one, and forget its intervals."""
        run(
            "UPDATE definitions SET retired_at = ?, is_current = 0"
            " WHERE project = ? AND name = ? AND kind IN (?, ?) AND retired_at IS NULL"
            f" {only}",
            (now, self.project, view, *VIEW_KINDS, *parameters),
        )
        run(
            f"DELETE FROM intervals WHERE project = ? AND view = ? {only}",
            (self.project, view, *parameters),
        )


def _checksum(revision: int, content: tuple[list[Row], list[Row]]) -> str:
    """Return the checksum of a project's definitions and deprecations at a revision."""
    found = hashlib.blake2b(b"%d" % revision, digest_size=8)
    for rows in content:
        for row in sorted(map(repr, rows)):
            found.update(row.encode())
    return found.hexdigest()


def _sealed(name: str, value: str) -> str:
    """Return a value with a checksum of its name and its text in a second line."""
    return f"{value}\n{zlib.crc32(f'{name} {value}'.encode()):08x}"


def newer_format(format: int, where: str) -> RegistryError:
    """Return the error for a registry that a newer release of skewless wrote."""
    return RegistryError(
        "a registry of another release",
        got=f"format {format}",
        expected=f"format {len(MIGRATIONS)} or older",
        where=where,
        hint="Upgrade skewless: pip install --upgrade skewless",
    )


def nothing_yet(statement: str, parameters: Sequence[Any] = ()) -> list[Row]:  # noqa: ARG001
    """Answer as a registry to which nothing was ever applied, and whose tables are not made yet."""
    return []


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Return intervals ascending, those that overlap or touch made one.

    >>> merge([(5, 9), (0, 2), (2, 5), (20, 30)])
    [(0, 9), (20, 30)]
    """
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _pinned_by(state: RegistryState, view: str, version: int) -> list[str]:
    """Return the services and on-demand views that are pinned to a version of a view."""
    return [
        f"{record.kind} {record.label}"
        for record in state.records
        if record.retired_at is None
        and any(
            split_reference(pin)[:2] == (view, version) for pin in (*record.pins, *record.pending)
        )
    ]


def _check_target(state: RegistryState, target: str) -> None:
    if ":" in target:
        state.feature(target)
        return
    name, version = split_view(target)
    if version is not None:
        state.view(name, version)
    elif target not in state.current and target not in state.services:
        known = [*state.current, *state.services]
        raise UnknownName.of("view or feature service", target, known, where="the registry")
