"""A registry in SQL tables: all of it but how to connect, lock and spell a parameter.

Six small tables. ``definitions`` holds a row for each entity, source and service and for each
version of a view; nothing is ever updated but which version is current, what only describes, and
when a version was retired. ``revisions`` is the history. ``facts`` holds the format and the
revision, in one row each: what is locked by writers and looked at by `state`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol, cast, overload

from skewless.clock import Clock, SystemClock, iso
from skewless.definitions.expressions import split_reference
from skewless.errors import BreakingChange, ConcurrentApply, InputError, RegistryError, UnknownName
from skewless.plan.apply.apply_plan import ApplyPlan
from skewless.plan.apply.registry_state import (
    VIEW_KINDS,
    Deprecation,
    Kind,
    Record,
    RegistryState,
)
from skewless.registry.base import Interval, Registry, Revision, caller, not_empty
from skewless.registry.plain import decode, encode

Row = tuple[Any, ...]

TABLES: dict[str, tuple[str, ...]] = {
    "definitions": (
        "kind", "name", "version", "fingerprint", "body", "pins",
        "is_current", "applied_at", "retired_at",
    ),
    "revisions": ("revision", "at", "who", "summary", "plan"),
    "deprecations": ("target", "reason", "sunset", "at", "who"),
    "intervals": ("view", "version", "start_at", "end_at"),
    "progress": ("name", "value", "at"),
}  # fmt: skip
"""Table to its columns; ``facts`` (name, value) besides."""

MIGRATIONS: list[list[str]] = [
    [
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
        "INSERT INTO facts (name, value) VALUES ('format', 0), ('revision', 0)",
        "CREATE TABLE definitions (kind TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL,"
        " fingerprint TEXT NOT NULL, body TEXT NOT NULL, pins TEXT NOT NULL,"
        " is_current BIGINT NOT NULL, applied_at BIGINT NOT NULL, retired_at BIGINT,"
        " PRIMARY KEY (kind, name, version))",
        "CREATE TABLE revisions (revision BIGINT PRIMARY KEY, at BIGINT NOT NULL,"
        " who TEXT NOT NULL, summary TEXT NOT NULL, plan TEXT NOT NULL)",
        "CREATE TABLE deprecations (target TEXT PRIMARY KEY, reason TEXT NOT NULL, sunset TEXT,"
        " at BIGINT NOT NULL, who TEXT NOT NULL)",
        "CREATE TABLE intervals (view TEXT NOT NULL, version BIGINT NOT NULL,"
        " start_at BIGINT NOT NULL, end_at BIGINT NOT NULL, PRIMARY KEY (view, version, start_at))",
        "CREATE TABLE progress (name TEXT PRIMARY KEY, value TEXT NOT NULL, at BIGINT NOT NULL)",
    ],
]
"""What leads from each format to the next; from an empty database to format 1 first."""


class Session(Protocol):
    """A transaction in progress."""

    def __call__(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement, with ``?`` for parameters, and return its rows."""


class SQLRegistry(Registry):
    """A registry in SQL tables. Subclasses connect; see `SQLiteRegistry`.

    Args:
        clock: tells when things happen.
        folder: the repo's, where the functions of on-demand views are looked for.
    """

    def __init__(self, clock: Clock | None = None, folder: str | Path | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._folder = None if folder is None else Path(folder)
        self._looked_at = False

    @abstractmethod
    def _transaction(self, *, write: bool) -> AbstractContextManager[Session | None]:
        """Return a transaction, kept when the block ends and undone when it raises.

        A read sees one moment; writes happen one at a time over all processes. None stands for a
        registry whose place is not made yet; a write makes it.
        """

    @abstractmethod
    def _table_names(self, run: Session) -> set[str]:
        """Return the names of the tables there are."""

    @contextmanager
    def _reading(self) -> Iterator[Session]:
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
    def _writing(self) -> Iterator[Session]:
        with self._transaction(write=True) as run:
            if run is None:
                raise RegistryError("there is no place to write to", where=self.where)
            format = self._format(run)
            if format < len(MIGRATIONS):
                for statement in (line for steps in MIGRATIONS[format:] for line in steps):
                    run(statement)
                run("UPDATE facts SET value = ? WHERE name = 'format'", (len(MIGRATIONS),))
            yield run

    def _format(self, run: Session) -> int:
        """Return the format of the tables, 0 when there are none.

        Raises:
            RegistryError: they are of a newer release, or another program's.
        """
        names = self._table_names(run)
        if not names:
            return 0
        if not {"facts", *TABLES} <= names:
            raise RegistryError("not a registry, but another program's tables", where=self.where)
        format = _fact(run, "format")
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
            revision = _fact(run, "revision")
            if revision == if_newer_than:
                return None
            return self._state(run, revision)

    def _state(self, run: Session, revision: int) -> RegistryState:
        records = [
            Record(
                cast(Kind, kind), name, version, mark, decode(body),
                tuple(decode(pins)), bool(current), applied_at, retired_at,
            )
            for kind, name, version, mark, body, pins, current, applied_at, retired_at in run(
                f"SELECT {', '.join(TABLES['definitions'])} FROM definitions"
                " ORDER BY applied_at, kind, name, version"
            )
        ]  # fmt: skip
        notices = [
            Deprecation(target, reason, date.fromisoformat(sunset) if sunset else None, who, at)
            for target, reason, sunset, at, who in run(
                "SELECT target, reason, sunset, at, who FROM deprecations ORDER BY at, target"
            )
        ]
        return RegistryState(revision, tuple(records), tuple(notices), self._folder)

    def _names(self, run: Session) -> RegistryState:
        """Return the state for looking names up, without functions."""
        return replace(self._state(run, _fact(run, "revision")), restoring=False)

    def history(self, limit: int | None = None) -> list[Revision]:
        """Return the changes made, newest first, at most ``limit``."""
        with self._reading() as run:
            rows = run(
                "SELECT revision, at, who, summary, plan FROM revisions"
                " ORDER BY revision DESC" + ("" if limit is None else f" LIMIT {int(limit)}")
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
            revision = _fact(run, "revision")
            if revision != plan.base_revision:
                raise self._concurrent(run, plan.base_revision, revision)
            if plan.is_empty:
                return revision
            now = self._clock.now()
            for kind, name in plan.removals:
                _remove(run, kind, name, now)
            for record in plan.writes:
                _write(run, record, now)
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
            _retire(run, view, "AND version = ?", now, (version,))
            return self._next(run, now, who, f"retired {label}", {"retired": label})

    def deprecate(
        self, target: str, reason: str, *, sunset: date | None = None, who: str = ""
    ) -> int:
        """Say that something should no longer be used; see `Registry.deprecate`."""
        with self._writing() as run:
            _check_target(self._names(run), target)
            now = self._clock.now()
            who = who or caller()
            run("DELETE FROM deprecations WHERE target = ?", (target,))
            day = None if sunset is None else sunset.isoformat()
            if reason:
                run(
                    "INSERT INTO deprecations (target, reason, sunset, at, who)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (target, reason, day, now, who),
                )
            change = {"deprecated": target, "reason": reason, "sunset": day}
            verb = "deprecated" if reason else "no longer deprecated:"
            return self._next(run, now, who, f"{verb} {target}", change)

    def _next(self, run: Session, now: int, who: str, summary: str, plan: dict[str, Any]) -> int:
        """Count the revision up, write it into the history and return it."""
        revision = _fact(run, "revision") + 1
        run("UPDATE facts SET value = ? WHERE name = 'revision'", (revision,))
        run(
            "INSERT INTO revisions (revision, at, who, summary, plan) VALUES (?, ?, ?, ?, ?)",
            (revision, now, who or caller(), summary, encode(plan)),
        )
        return revision

    def _concurrent(self, run: Session, base: int, revision: int) -> ConcurrentApply:
        since = run(
            "SELECT revision, at, who, summary FROM revisions WHERE revision > ?"
            " ORDER BY revision DESC LIMIT 3",
            (base,),
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
            return _intervals(run, view, version)

    def add_interval(self, view: str, version: int, start: int, end: int) -> None:
        """Record that ``[start, end)``, microseconds, was materialized."""
        if start > end:
            raise InputError("an interval that ends before it starts", got=f"{start} to {end}")
        if start == end:
            return
        with self._writing() as run:
            merged = merge([*_intervals(run, view, version), (start, end)])
            run("DELETE FROM intervals WHERE view = ? AND version = ?", (view, version))
            for first, last in merged:
                run(
                    "INSERT INTO intervals (view, version, start_at, end_at) VALUES (?, ?, ?, ?)",
                    (view, version, first, last),
                )

    def forget_intervals(self, view: str, version: int) -> None:
        """Forget what was materialized, when the online store has lost it."""
        with self._writing() as run:
            run("DELETE FROM intervals WHERE view = ? AND version = ?", (view, version))

    def get_progress(self, name: str) -> Any:
        """Return what `set_progress` kept under ``name``, or None."""
        with self._reading() as run:
            rows = run("SELECT value FROM progress WHERE name = ?", (name,))
        return decode(rows[0][0]) if rows else None

    def set_progress(self, name: str, value: Any) -> None:
        """Keep a small plain value under ``name``, in one transaction; None removes it."""
        text = None if value is None else encode(value)
        with self._writing() as run:
            run("DELETE FROM progress WHERE name = ?", (name,))
            if text is not None:
                run(
                    "INSERT INTO progress (name, value, at) VALUES (?, ?, ?)",
                    (name, text, self._clock.now()),
                )

    def progress(self, prefix: str = "") -> dict[str, Any]:
        """Return all that `set_progress` kept under names that start with ``prefix``."""
        with self._reading() as run:
            rows = run("SELECT name, value FROM progress ORDER BY name")
        return {name: decode(value) for name, value in rows if name.startswith(prefix)}

    # ---------------------------------------------------------------------------------- copying

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Return all rows of all tables at one moment, as plain data: a backup."""
        with self._reading() as run:
            return {
                table: [
                    dict(zip(columns, row, strict=True))
                    for row in run(f"SELECT {', '.join(columns)} FROM {table}")
                ]
                for table, columns in (TABLES | {"facts": ("name", "value")}).items()
            }

    def restore(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        """Fill this registry, which must be empty; see `Registry.restore`."""
        facts = {"format": len(MIGRATIONS), "revision": 0}
        facts |= {row["name"]: row["value"] for row in rows["facts"]}
        if facts["format"] != len(MIGRATIONS):
            raise newer_format(facts["format"], "the rows to restore")
        with self._writing() as run:
            if _fact(run, "revision") or any(run(f"SELECT 1 FROM {t} LIMIT 1") for t in TABLES):
                raise not_empty(self.where)
            run("UPDATE facts SET value = ? WHERE name = 'revision'", (facts["revision"],))
            for table, columns in TABLES.items():
                marks = ", ".join("?" * len(columns))
                for row in rows[table]:
                    run(
                        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",
                        [row[column] for column in columns],
                    )


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
    return [(0,)] if "FROM facts WHERE" in statement else []


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


def _fact(run: Session, name: str) -> int:
    ((value,),) = run("SELECT value FROM facts WHERE name = ?", (name,))
    return int(value)


def _intervals(run: Session, view: str, version: int) -> list[Interval]:
    rows = run(
        "SELECT start_at, end_at FROM intervals WHERE view = ? AND version = ? ORDER BY start_at",
        (view, version),
    )
    return [(start, end) for start, end in rows]


def _write(run: Session, record: Record, now: int) -> None:
    key = (record.kind, record.name, record.version)
    if record.kind in VIEW_KINDS:
        run(
            "UPDATE definitions SET is_current = 0 WHERE name = ? AND kind IN (?, ?)",
            (record.name, *VIEW_KINDS),
        )
    body, pins = encode(record.body), encode(list(record.pins))
    if run("SELECT 1 FROM definitions WHERE kind = ? AND name = ? AND version = ?", key):
        run(
            "UPDATE definitions SET fingerprint = ?, body = ?, pins = ?, is_current = 1"
            " WHERE kind = ? AND name = ? AND version = ?",
            (record.fingerprint, body, pins, *key),
        )
    else:
        run(
            "INSERT INTO definitions (kind, name, version, fingerprint, body, pins, is_current,"
            " applied_at) VALUES (?, ?, ?, ?, ?, ?, 1, ?)",
            (*key, record.fingerprint, body, pins, now),
        )


def _remove(run: Session, kind: Kind, name: str, now: int) -> None:
    if kind in VIEW_KINDS:
        _retire(run, name, "", now)
    else:
        run("DELETE FROM definitions WHERE kind = ? AND name = ?", (kind, name))
    for (target,) in run("SELECT target FROM deprecations"):
        if Deprecation(target, "").name == name:
            run("DELETE FROM deprecations WHERE target = ?", (target,))


def _retire(run: Session, view: str, only: str, now: int, parameters: tuple[int, ...] = ()) -> None:
    """Retire the versions of a view that still serve, or ``only`` one, and forget its intervals."""
    run(
        "UPDATE definitions SET retired_at = ?, is_current = 0"
        f" WHERE name = ? AND kind IN (?, ?) AND retired_at IS NULL {only}",
        (now, view, *VIEW_KINDS, *parameters),
    )
    run(f"DELETE FROM intervals WHERE view = ? {only}", (view, *parameters))


def _pinned_by(state: RegistryState, view: str, version: int) -> list[str]:
    """Return the services and on-demand views that are pinned to a version of a view."""
    return [
        f"{record.kind} {record.label}"
        for record in state.records
        if record.retired_at is None
        and any(split_reference(pin)[:2] == (view, version) for pin in record.pins)
    ]


def _check_target(state: RegistryState, target: str) -> None:
    if ":" in target:
        state.feature(target)
        return
    name, at, version = target.partition("@v")
    if at and version.isdigit():
        state.view(name, int(version))
    elif target not in state.current and target not in state.services:
        known = [*state.current, *state.services]
        raise UnknownName.of("view or feature service", target, known, where="the registry")
