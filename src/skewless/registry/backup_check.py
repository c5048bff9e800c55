"""Whether rows that came as a file can be a registry, before any of them is taken.

An export is a file that people keep, edit and send: whatever stands in it, it makes a registry all
of whose parts can be read, or it is refused.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from skewless.config import DEFAULT_PROJECT
from skewless.definitions.feature_view import FeatureView
from skewless.definitions.references import split_reference
from skewless.definitions.repo import Definitions
from skewless.errors import CorruptData, SkewlessError
from skewless.plan.apply.diff import diff
from skewless.plan.apply.registry_state import KINDS, RegistryState, View, ViewVersion
from skewless.plan.selection import select
from skewless.plan.table_read import TableRead
from skewless.registry.sql import newer_format
from skewless.registry.sqlite import SQLiteRegistry
from skewless.registry.tables import MIGRATIONS, TABLES, table_columns
from skewless.state.layout import StateLayout

Rows = dict[str, list[dict[str, Any]]]

_WHOLE = {
    "version", "is_current", "applied_at", "retired_at", "revision", "at", "start_at", "end_at",
}  # fmt: skip
_MAY_BE_NULL = {"retired_at", "sunset"}
_MOST = 2**63


def checked(rows: Any, where: str) -> Rows:
    """Return the rows of an export.

    Raises:
        CorruptData: they are not those of a registry; the error names the place.
        RegistryError: they are those of a newer release.
    """
    if not isinstance(rows, dict) or set(rows) != {"facts", *TABLES}:
        raise _wrong("rows", rows, f"an object of facts, {', '.join(TABLES)}", where)
    _check_facts(rows.get("facts"), where)
    for table, columns in TABLES.items():
        listed = rows.get(table)
        if not isinstance(listed, list):
            raise _wrong(table, listed, "an array", where)
        for number, row in enumerate(listed):
            place = f"{table}[{number}]"
            if not isinstance(row, dict) or set(row) != set(columns):
                raise _wrong(place, row, f"an object of {', '.join(columns)}", where)
            for column in columns:
                _check_value(f"{place}.{column}", column, row[column], where)
        seen: set[tuple[Any, ...]] = set()
        names = table_columns(project=False)[table][1].split(", ")
        for row in listed:
            key = tuple(row[name] for name in names)
            if key in seen:
                raise _wrong(f"two rows of {table}", key, "one of a key", where)
            seen.add(key)
    for number, row in enumerate(rows["definitions"]):
        if row["kind"] not in KINDS:
            raise _wrong(f"definitions[{number}].kind", row["kind"], ", ".join(KINDS), where)
    _try(rows, where)
    return rows


def _check_facts(facts: Any, where: str) -> None:
    try:
        found = {row["name"]: row["value"] for row in facts}
        right = set(found) == {"format", "revision"} and len(facts) == len(found)
    except (TypeError, KeyError):
        found, right = {}, False
    if not right or not all(map(_is_whole, found.values())) or min(found.values()) < 0:
        raise _wrong("facts", facts, "format and revision", where)
    if not 1 <= found["format"] <= len(MIGRATIONS):
        raise newer_format(found["format"], where)


def _check_value(place: str, column: str, value: Any, where: str) -> None:
    if value is None and column in _MAY_BE_NULL:
        return
    if column in _WHOLE:
        if not _is_whole(value):
            raise _wrong(place, value, "a whole number", where)
        return
    if not isinstance(value, str):
        raise _wrong(place, value, "a text", where)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _wrong(place, value, "text that UTF-8 has a form for", where) from None
    if "\0" in value:
        raise _wrong(place, value, "text without NUL", where)


def _is_whole(value: Any) -> bool:
    return type(value) is int and -_MOST <= value < _MOST


def _try(rows: Rows, where: str) -> None:
    """Make a registry of the rows, and read all of it."""
    with tempfile.TemporaryDirectory(prefix="skewless-") as folder:
        path = Path(folder) / "registry.db"
        with SQLiteRegistry(path, project=DEFAULT_PROJECT) as registry:
            try:
                registry.restore(rows)
                state = replace(registry.state(), restoring=False)
                _read_all(state)
                for record in state.records:
                    for pin in (*record.pins, *record.pending):
                        split_reference(pin)
                registry.history()
                registry.progress()
            except Exception as problem:  # whatever reading it raises, it is no registry
                said = str(problem) if isinstance(problem, SkewlessError) else repr(problem)
                raise CorruptData(
                    "not an export of a registry", got=said[:300], where=where
                ) from problem


def _read_all(state: RegistryState) -> None:
    """Make every definition, and of every view what its reads are made of."""
    for part in (state.entities, state.sources, state.services):
        for made in part.values():
            _ = made.to_dict(), repr(made)
    views: list[tuple[ViewVersion, View]] = [*state.views.items(), *state.on_demand.items()]
    for (name, version), view in views:
        _ = view.to_dict(), view.fingerprint, list(map(repr, view.expressions.values()))
        if isinstance(view, FeatureView):
            columns = [(view, version, feature) for feature in view.features]
            TableRead(StateLayout.of(view.row_entity, view.source, [view]), columns)
        select(state, [f"{name}@v{version}:{feature}" for feature in view.features])
    _ = state.deprecations
    with suppress(SkewlessError):  # which it may well say of a registry that is one
        diff(state, Definitions.of([]), removing=True)


def _wrong(place: str, got: Any, expected: str, where: str) -> CorruptData:
    return CorruptData(
        f"not an export of a registry: {place}", got=repr(got)[:100], expected=expected, where=where
    )
