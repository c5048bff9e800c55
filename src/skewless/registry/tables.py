"""The tables of a registry in SQL, and what leads from each format to the next."""

from __future__ import annotations

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
"""Table to its columns but ``project``; ``projects`` and ``facts`` (name, value) besides."""


def table_columns(*, project: bool) -> dict[str, tuple[str, str]]:
    """Return the columns and the key of each table, as SQL; with the project or without."""
    first, key = ("project TEXT NOT NULL, ", "project, ") if project else ("", "")
    return {
        "definitions": (
            f"{first}kind TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL,"
            " fingerprint TEXT NOT NULL, body TEXT NOT NULL, pins TEXT NOT NULL,"
            " is_current BIGINT NOT NULL, applied_at BIGINT NOT NULL, retired_at BIGINT",
            f"{key}kind, name, version",
        ),
        "revisions": (
            f"{first}revision BIGINT NOT NULL, at BIGINT NOT NULL, who TEXT NOT NULL,"
            " summary TEXT NOT NULL, plan TEXT NOT NULL",
            f"{key}revision",
        ),
        "deprecations": (
            f"{first}target TEXT NOT NULL, reason TEXT NOT NULL, sunset TEXT, at BIGINT NOT NULL,"
            " who TEXT NOT NULL",
            f"{key}target",
        ),
        "intervals": (
            f"{first}view TEXT NOT NULL, version BIGINT NOT NULL, start_at BIGINT NOT NULL,"
            " end_at BIGINT NOT NULL",
            f"{key}view, version, start_at",
        ),
        "progress": (
            f"{first}name TEXT NOT NULL, value TEXT NOT NULL, at BIGINT NOT NULL",
            f"{key}name",
        ),
    }


def _create(table: str, columns: str, key: str) -> str:
    return f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))"


def _with_project(table: str) -> list[str]:
    """Return what gives the rows of a table a project: ``?``, that of whoever opens it."""
    names = ", ".join(TABLES[table])
    return [
        f"ALTER TABLE {table} RENAME TO {table}_1",
        _create(table, *table_columns(project=True)[table]),
        f"INSERT INTO {table} (project, {names}) SELECT ?, {names} FROM {table}_1",
        f"DROP TABLE {table}_1",
    ]


MIGRATIONS: list[list[str]] = [
    [
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
        "INSERT INTO facts (name, value) VALUES ('format', 0), ('revision', 0)",
        *(_create(table, *made) for table, made in table_columns(project=False).items()),
    ],
    [
        "CREATE TABLE projects (project TEXT PRIMARY KEY, revision BIGINT NOT NULL)",
        "INSERT INTO projects (project, revision) SELECT ?, value FROM facts"
        " WHERE name = 'revision' AND value > 0",
        "DELETE FROM facts WHERE name = 'revision'",
        *(line for table in TABLES for line in _with_project(table)),
    ],
    ["ALTER TABLE projects ADD COLUMN checksum TEXT NOT NULL DEFAULT ''"],
]
"""What leads from each format to the next; from an empty database to format 1 first. ``?`` is the
project of whoever opens the registry."""
