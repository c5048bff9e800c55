"""Rows of the PostgreSQL store: its two tables, its statements, its connections.

    NAME_tables   id, name          a dropped table loses its name at once, its rows bit by bit
    NAME_rows     table_id, key, digest, rest, value

An index entry of PostgreSQL holds some 2,700 bytes, so `key` is the first 1,000 bytes of a key. A
longer one has its other bytes in `rest` and the hash of all in `digest`; else both are empty.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict

from skewless.errors import InputError, StoreError
from skewless.stores.online.base import Item
from skewless.stores.online.postgres.connection import (
    WRITE_PATIENCE,
    BoundedConnection,
    array_of,
)

Connection: TypeAlias = BoundedConnection

FORMAT = 1
OLDEST = 120_000
_COMMENT = "skewless online store, format "
HEAD_BYTES = 1_000
STATEMENT_ROWS, STATEMENT_BYTES = 10_000, 64 << 20
DROP_ROWS = 5_000


def where_of(dsn: str) -> str:
    """Return the address in ``dsn`` without user, password and options.

    Raises:
        StoreError: it is no address; the message does not repeat it.
    """
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # Not chained: its message may quote the password.
        raise StoreError(
            "the address of the PostgreSQL server is not one",
            expected="postgresql://user:password@host:port/database or key=value pairs",
        ) from None
    host, port = parts.get("host", "local socket"), parts.get("port", 5432)
    return f"postgresql://{host}:{port}/{parts.get('dbname', '')}"


def connect(dsn: str, timeout: float) -> Connection:
    """Return a connection whose waits are bounded.

    The server ends what takes too long; where its word does not come either, the client does.
    """
    milliseconds = int(timeout * 1000)
    connection = BoundedConnection.connect(
        dsn,
        autocommit=True,
        connect_timeout=max(2, int(timeout)),
        tcp_user_timeout=milliseconds,
        application_name="skewless",
        client_encoding="utf8",
    )
    # psycopg prepares what is used often, and at a ROLLBACK drops all that is prepared on the
    # connection: what `BoundedConnection.prepared` did too, and every later read would fail.
    connection.prepare_threshold = None
    connection.patience = timeout + max(1.0, timeout / 4)
    connection.execute(
        f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds};"
        " SET client_min_messages = warning".encode()
    )
    return connection


def check_version(version: int, where: str) -> None:
    """Refuse a server that is too old.

    Raises:
        StoreError: it is.
    """
    if version < OLDEST:
        raise StoreError(
            "the PostgreSQL server is older than supported",
            got=str(version // 10_000),
            expected=f"at least {OLDEST // 10_000}",
            where=where,
            hint="Upgrade the server.",
        )


class Statements:
    """The statements on the two tables that ``name`` begins."""

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,40}(\.[a-z_][a-z0-9_]{0,40})?", name):
            raise InputError(
                "tables of PostgreSQL cannot have this name",
                got=repr(name),
                expected="letters a-z, digits and _, with or without a schema before a dot",
            )
        self._rows, self._tables = f"{name}_rows", f"{name}_tables"
        digest = hashlib.blake2b(f"skewless {name}".encode(), digest_size=8).digest()
        self._lock = int.from_bytes(digest, "big", signed=True)
        table = f"table_id = (SELECT id FROM {self._tables} WHERE name = %s)"
        self._select = (
            f"SELECT key, rest, value FROM {self._rows}"
            f" WHERE {table} AND key = ANY(%s) AND digest = ANY(%s)"
        ).encode()
        # Short keys: one look into the index for each. LIMIT keeps the planner from walking all of
        # the table instead, as it would one that was never analysed.
        of_table = f"table_id = (SELECT id FROM {self._tables} WHERE name = $1::text)"
        get = f"SELECT value FROM {self._rows} WHERE {of_table} AND key = {{}} AND digest = ''"
        self._get = get.format("$2::bytea").encode()
        self._get_many = (
            "SELECT k.key, r.value FROM unnest($2::bytea[]) AS k (key)"
            f" CROSS JOIN LATERAL ({get.format('k.key')} LIMIT 1) AS r"
        ).encode()
        self._upsert = (
            f"INSERT INTO {self._rows}"
            f" SELECT (SELECT id FROM {self._tables} WHERE name = %s), *"
            " FROM unnest(%s::bytea[], %s::bytea[], %s::bytea[], %s::bytea[])"
            " ON CONFLICT (table_id, key, digest) DO UPDATE SET value = EXCLUDED.value"
        ).encode()
        self._delete = (
            f"DELETE FROM {self._rows} AS r USING unnest(%s::bytea[], %s::bytea[]) AS d (k, h)"
            f" WHERE {table} AND r.key = d.k AND r.digest = d.h"
        ).encode()
        self._page = (
            f"SELECT key || rest, value FROM {self._rows} WHERE {table}"
            " AND key >= %s AND (key, rest) {} (%s, %s) ORDER BY key, rest LIMIT %s"
        )

    def begin(self, connection: Connection, timeout: float, *, alone: bool) -> None:
        """Begin a transaction, beside other plain writes or alone."""
        shared = "" if alone else "_shared"
        longest = int(timeout * 1000) * WRITE_PATIENCE
        connection.execute(
            f"BEGIN; SET LOCAL statement_timeout = {longest};"
            f" SELECT pg_advisory_xact_lock{shared}({self._lock})".encode()
        )

    def create(self, connection: Connection, where: str) -> None:
        """Make the tables if they are missing; refuse those of somebody else."""
        check_version(connection.info.server_version, where)
        found = connection.execute("SELECT to_regclass(%s)", (self._rows,)).fetchone()
        if found == (None,):
            connection.execute(
                f"CREATE TABLE {self._tables} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
                " name text UNIQUE);"
                f"CREATE TABLE {self._rows} (table_id bigint NOT NULL, key bytea NOT NULL,"
                " digest bytea NOT NULL, rest bytea NOT NULL, value bytea NOT NULL,"
                " PRIMARY KEY (table_id, key, digest));"
                f"COMMENT ON TABLE {self._rows} IS '{_COMMENT}{FORMAT}'".encode()
            )
        row = connection.execute(
            "SELECT obj_description(to_regclass(%s), 'pg_class')", (self._rows,)
        ).fetchone()
        comment = (row and row[0]) or ""
        if not comment.startswith(_COMMENT) or int(comment.removeprefix(_COMMENT)) > FORMAT:
            raise StoreError(
                f"the table {self._rows} was not written by this version of skewless",
                got=comment or None,
                expected=f"{_COMMENT}{FORMAT}",
                where=where,
                hint="Upgrade skewless, or give the store another name=.",
            )

    def is_durable(self, connection: Connection) -> bool:
        """Say whether the server flushes a commit before it answers."""
        row = connection.execute(
            "SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit')"
            " <> 'off'"
        ).fetchone()
        return row == (True,)

    def read(self, connection: Connection, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return values in the order of ``keys``."""
        if max(map(len, keys), default=0) <= HEAD_BYTES:
            return self._read_short(connection, table, keys)
        heads, digests, _ = _parts(keys)
        rows = connection.execute(
            self._select, (table, heads, list(set(digests))), binary=True, prepare=True
        )
        found: dict[bytes, bytes] = {key + rest: value for key, rest, value in rows}
        return [found.get(key) for key in keys]

    def _read_short(
        self, connection: Connection, table: str, keys: Sequence[bytes]
    ) -> list[bytes | None]:
        name = table.encode()
        if len(keys) == 1:
            answer = connection.prepared(b"skewless_get", self._get, name, keys[0])
            return [answer.get_value(0, 0) if answer.ntuples else None]
        answer = connection.prepared(b"skewless_get_many", self._get_many, name, array_of(keys))
        get = answer.get_value
        found = {get(row, 0): get(row, 1) for row in range(answer.ntuples)}
        return [found.get(key) for key in keys]

    def page(
        self, connection: Connection, table: str, prefix: bytes, after: bytes | None, limit: int
    ) -> list[Item]:
        """Return the next rows in order, at most ``limit``."""
        lowest, compare = (prefix, ">=") if after is None or after < prefix else (after, ">")
        head, rest = lowest[:HEAD_BYTES], lowest[HEAD_BYTES:]
        rows = connection.execute(
            self._page.format(compare).encode(), (table, head, head, rest, limit), binary=True
        )
        return [(key, value) for key, value in rows if key.startswith(prefix)]

    def write(self, connection: Connection, table: str, items: Iterable[Item]) -> None:
        """Insert or replace rows."""
        connection.execute(
            f"INSERT INTO {self._tables} (name) VALUES (%s) ON CONFLICT DO NOTHING".encode(),
            (table,),
        )
        # One row for each key, and locks taken in one order by all writers.
        for rows in _chunks(sorted(dict(items).items())):
            heads, digests, rests = _parts([key for key, _ in rows])
            values = [value for _, value in rows]
            connection.execute(self._upsert, (table, heads, digests, rests, values))

    def delete(self, connection: Connection, table: str, keys: Iterable[bytes]) -> None:
        """Remove rows."""
        heads, digests, _ = _parts(sorted(set(keys)))
        connection.execute(self._delete, (heads, digests, table))

    def now(self, connection: Connection) -> int:
        """Return the present by the server's clock, UTC microseconds."""
        rows = connection.execute(
            b"SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        )
        return int(next(iter(rows))[0])

    def tables(self, connection: Connection) -> list[str]:
        """Return the names of the tables, sorted."""
        rows = connection.execute(
            f"SELECT name FROM {self._tables} WHERE name IS NOT NULL".encode()
        )
        return sorted(name for (name,) in rows)

    def forget(self, connection: Connection, table: str) -> None:
        """Make the table vanish for readers; its rows stay until they are removed."""
        connection.execute(
            f"UPDATE {self._tables} SET name = NULL WHERE name = %s".encode(), (table,)
        )

    def remove_some_dropped(self, connection: Connection) -> bool:
        """Remove a bounded number of rows of dropped tables; say whether there may be more."""
        dropped = connection.execute(
            f"SELECT id FROM {self._tables} WHERE name IS NULL LIMIT 1".encode()
        ).fetchone()
        if dropped is None:
            return False
        removed = connection.execute(
            f"DELETE FROM {self._rows} WHERE ctid = ANY(ARRAY("
            f"SELECT ctid FROM {self._rows} WHERE table_id = %s LIMIT {DROP_ROWS}))".encode(),
            dropped,
        ).rowcount
        if removed < DROP_ROWS:
            connection.execute(f"DELETE FROM {self._tables} WHERE id = %s".encode(), dropped)
        return True


def _parts(keys: Sequence[bytes]) -> tuple[list[bytes], list[bytes], list[bytes]]:
    digests = [
        hashlib.blake2b(key, digest_size=32).digest() if len(key) > HEAD_BYTES else b""
        for key in keys
    ]
    return [key[:HEAD_BYTES] for key in keys], digests, [key[HEAD_BYTES:] for key in keys]


def _chunks(rows: Sequence[Item]) -> Iterable[Sequence[Item]]:
    """Split rows so that a statement stays well under the 1 GB that PostgreSQL takes."""
    start = size = 0
    for end, (key, value) in enumerate(rows):
        size += len(key) + len(value)
        if end > start and (size > STATEMENT_BYTES or end - start == STATEMENT_ROWS):
            yield rows[start:end]
            start, size = end, len(key) + len(value)
    yield rows[start:]
