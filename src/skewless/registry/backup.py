"""Registries as files, and from one place to another, their whole history included.

    export(registry, Path("registry-2026-01-31.json"))
    restore(other, Path("registry-2026-01-31.json"))     # into an empty one
    move(registry, other)

A copy is one moment of the registry. It is compared with what arrived, row by row.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from skewless.errors import CorruptData, InputError, RegistryError, StoreError
from skewless.registry.backup_check import Rows, checked
from skewless.registry.base import Registry
from skewless.variables import expand

KIND, FORMAT = "skewless registry", 1


@dataclass(frozen=True)
class Copied:
    """What a copy holds.

    Attributes:
        revision: of the registry.
        rows: how many of each table.
        behind: how many revisions the original has gone on meanwhile.
    """

    revision: int
    rows: dict[str, int]
    behind: int = 0


def registry_at(address: str, folder: Path, project: str) -> Registry:
    """Return the registry of a project at an address.

    Args:
        address: ``postgresql://...``, with ``${NAME}`` for what the environment holds, or the path
            of an SQLite file.
        folder: the repo's, where relative paths start.
        project: whose definitions these are.

    Raises:
        ConfigError: a variable is not set.
        MissingDependency: the driver is not installed.
    """
    address = str(expand(address, "the address of a registry"))
    if address.startswith(("postgresql://", "postgres://")):
        from skewless.registry.postgres import PostgresRegistry

        return PostgresRegistry(address, folder=folder, project=project)
    if "://" in address:
        raise InputError(
            "not the address of a registry",
            got=f"{address.partition('://')[0]}://",
            expected="postgresql://... or the path of a file",
        )
    from skewless.registry.sqlite import SQLiteRegistry

    return SQLiteRegistry(folder / Path(address).expanduser(), folder=folder, project=project)


def move(source: Registry, target: Registry) -> Copied:
    """Copy a registry into an empty one and compare what arrived.

    Raises:
        RegistryError: the target is not empty, or holds something else afterwards.
    """
    rows = source.dump()
    target.restore(rows)
    copied = _compared(rows, target)
    behind = source.state().revision - copied.revision
    return Copied(copied.revision, copied.rows, behind)


def export(registry: Registry, path: Path) -> Copied:
    """Write a registry to a JSON file, which is there whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    rows = registry.dump()
    text = json.dumps({"kind": KIND, "format": FORMAT, "rows": rows}, indent=1)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(
            "a registry cannot be exported", got=error.strerror, where=str(path)
        ) from error
    return Copied(_revision(rows), _counts(rows))


def restore(registry: Registry, path: Path) -> Copied:
    """Fill an empty registry from a file that `export` wrote, and compare what arrived.

    Raises:
        RegistryError: the registry is not empty, or the file is of a newer release.
        CorruptData: the file is damaged, or no export of a registry.
        StoreError: it cannot be read.
    """
    rows = _read(path)
    registry.restore(rows)
    return _compared(rows, registry)


def revision_of(path: Path) -> int:
    """Return up to which revision an export goes.

    Raises:
        InputError: it is none.
    """
    return _revision(_read(path))


def _read(path: Path) -> Rows:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError("a file cannot be read", got=error.strerror, where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise CorruptData(
            "not an export of a registry", got=str(error)[:200], where=str(path)
        ) from error
    if not isinstance(data, dict) or data.get("kind") != KIND or "rows" not in data:
        raise CorruptData("not an export of a registry", where=str(path))
    if data.get("format") != FORMAT:
        raise RegistryError(
            "an export of another release",
            got=f"format {data.get('format')!r}"[:100],
            expected=f"format {FORMAT}",
            where=str(path),
            hint="Upgrade skewless.",
        )
    return checked(data["rows"], str(path))


def _compared(rows: Rows, target: Registry) -> Copied:
    arrived = target.dump()
    if _sorted(arrived) != _sorted(rows):
        raise RegistryError(
            "a copy of a registry is not what was copied",
            where=target.where,
            hint="Did somebody else write to it? Take an empty one and copy again.",
        )
    return Copied(_revision(rows), _counts(rows))


def _sorted(rows: Rows) -> dict[str, list[str]]:
    # The format is that of the place, which may be newer than what was copied.
    facts = [row for row in rows.get("facts", []) if row["name"] != "format"]
    return {
        table: sorted(json.dumps(row, sort_keys=True) for row in each)
        for table, each in (rows | {"facts": facts}).items()
        if each
    }


def _revision(rows: Rows) -> int:
    return int({row["name"]: row["value"] for row in rows["facts"]}.get("revision", 0))


def _counts(rows: Rows) -> dict[str, int]:
    return {table: len(each) for table, each in rows.items() if table != "facts"}
