"""The session of Cassandra or ScyllaDB: its statements, and what its errors mean.

    NAME_tables   name, live
    NAME_rows     table_name, key (of a long one its head and hash), long_key, value

A row is a partition of its own, so that reads and conditional writes of different entities never
wait for each other.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import cassandra
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.connection import ConnectionException
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
    RoundRobinPolicy,
    TokenAwarePolicy,
)

from skewless.errors import InputError, StoreError, StoreUnavailable
from skewless.stores.online.base import Change
from skewless.stores.online.concurrency import THREADS
from skewless.stores.online.remote import too_large
from skewless.stores.online.stored_keys import is_long, stored_key

DEFAULT_PORT = 9042
CONCURRENCY = 64
PAGE_ROWS = 5_000
HEAD_BYTES = 32_000  # a partition key holds 65,535 bytes, the table's name among them
MAX_VALUE_BYTES = 15 << 20  # under the default limit of a mutation, 16 MiB

ERRORS = (cassandra.DriverException, NoHostAvailable, ConnectionException)
_LOST = (
    cassandra.CoordinationFailure,
    cassandra.OperationTimedOut,
    cassandra.Timeout,
    cassandra.Unavailable,
    ConnectionException,
    NoHostAvailable,
)
_REFUSED = (cassandra.AuthenticationFailed, cassandra.Unauthorized)
Statements = dict[str, str]


def statements(keyspace: str, name: str) -> Statements:
    """Return the text of every statement on the two tables that ``name`` begins.

    Raises:
        InputError: a name that Cassandra does not take without quotes.
    """
    for text in (keyspace, name):
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", text):
            raise InputError(
                "tables of Cassandra cannot have this name",
                got=repr(text),
                expected="up to 41 letters a-z, digits and _, a letter first",
            )
    rows, tables = f"{keyspace}.{name}_rows", f"{keyspace}.{name}_tables"
    row = "table_name = ? AND key = ?"
    return {
        "create_rows": f"CREATE TABLE IF NOT EXISTS {rows} (table_name text, key blob,"
        " long_key blob, value blob, PRIMARY KEY ((table_name, key)))",
        "create_tables": f"CREATE TABLE IF NOT EXISTS {tables} (name text PRIMARY KEY,"
        " live boolean)",
        "read": f"SELECT key, value FROM {rows} WHERE {row}",
        # One walk over the rows of all tables: names are only part of what places a row.
        "keys": f"SELECT key, long_key FROM {rows} WHERE table_name = ? ALLOW FILTERING",
        "any_key": f"SELECT key FROM {rows} WHERE table_name = ? LIMIT 1 ALLOW FILTERING",
        "write": f"INSERT INTO {rows} (table_name, key, long_key, value) VALUES (?, ?, ?, ?)",
        "delete": f"DELETE FROM {rows} WHERE {row}",
        "insert_if_none": f"INSERT INTO {rows} (table_name, key, long_key, value)"
        " VALUES (?, ?, ?, ?) IF NOT EXISTS",
        "update_if_same": f"UPDATE {rows} SET value = ? WHERE {row} IF value = ?",
        "delete_if_same": f"DELETE FROM {rows} WHERE {row} IF value = ?",
        "note": f"INSERT INTO {tables} (name, live) VALUES (?, ?)",
        "noted": f"SELECT name, live FROM {tables}",
    }


def contact_points(addresses: Sequence[str]) -> list[tuple[str, int]]:
    """Return host and port of each address.

    >>> contact_points(["db1", "db2:9043", "[::1]:9042"])
    [('db1', 9042), ('db2', 9043), ('::1', 9042)]

    Raises:
        InputError: an address that is none.
    """
    points = []
    for address in addresses:
        try:
            parts = urlsplit(f"//{address}")
            host, port = parts.hostname, parts.port or DEFAULT_PORT
        except ValueError:
            host = None
        if not host or parts.netloc != address or "@" in address:
            raise InputError(
                "an address of the Cassandra cluster is not one",
                expected="host or host:port, without user and password",
            )
        points.append((host, port))
    return points


def row_of(table: str, key: bytes) -> tuple[str, bytes]:
    """Return the values that place a row."""
    return table, stored_key(key, HEAD_BYTES)


def values_of(table: str, key: bytes, value: bytes) -> tuple[str, bytes, bytes | None, bytes]:
    """Return the values of a row's columns."""
    return *row_of(table, key), key if is_long(key, HEAD_BYTES) else None, value


def conditional(table: str, change: Change) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that makes a change if the row is as expected, and its values."""
    key, expected, new = change
    if expected is None:
        if new is None:
            return "read", row_of(table, key)
        return "insert_if_none", values_of(table, key, new)
    if new is None:
        return "delete_if_same", (*row_of(table, key), expected)
    return "update_if_same", (new, *row_of(table, key), expected)


def check_size(table: str, key: bytes, value: bytes, where: str) -> None:
    """Refuse a row that Cassandra would refuse after others were written."""
    size = len(key) + len(value)
    if size > MAX_VALUE_BYTES:
        got, most = f"{size:,} bytes", f"{MAX_VALUE_BYTES:,} bytes, key included"
        raise too_large("Cassandra", (table, key), got=got, most=most, where=where)


class Client:
    """A session with its prepared statements."""

    def __init__(
        self,
        points: Sequence[tuple[str, int]],
        texts: Statements,
        *,
        datacenter: str | None,
        login: tuple[str, str] | None,
        tls: bool | str,
        timeout: float,
    ) -> None:
        nearby = DCAwareRoundRobinPolicy(datacenter) if datacenter else RoundRobinPolicy()
        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(nearby),
            retry_policy=FallthroughRetryPolicy(),  # another attempt could undo a later write
            consistency_level=cassandra.ConsistencyLevel.LOCAL_QUORUM,
            serial_consistency_level=cassandra.ConsistencyLevel.SERIAL,
            request_timeout=timeout,
        )
        context = None
        if tls:
            context = ssl.create_default_context(cafile=tls if isinstance(tls, str) else None)
        self._cluster = Cluster(
            points,
            auth_provider=PlainTextAuthProvider(*login) if login else None,
            ssl_context=context,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            connect_timeout=timeout,
            control_connection_timeout=timeout,
        )
        try:
            self._session = self._cluster.connect()
            # The servers' clocks agree better than those of all clients.
            self._session.use_client_timestamp = False
            for made in ("create_rows", "create_tables"):
                self._session.execute(texts[made])
            self._prepared = {
                name: self._session.prepare(text)
                for name, text in texts.items()
                if not name.startswith("create_")
            }
        except BaseException:
            self._cluster.shutdown()
            raise
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="skewless-cassandra")

    def one(self, name: str, *values: Any, serial: bool = False) -> Any:
        """Execute one statement and return its result; ``serial`` waits for conditional writes."""
        bound = self._prepared[name].bind(values)
        bound.fetch_size = PAGE_ROWS
        if serial:
            bound.consistency_level = cassandra.ConsistencyLevel.SERIAL
        return self._session.execute(bound)

    def many(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Execute a statement for each of the arguments; return the results when all ended."""
        answers = execute_concurrent_with_args(
            self._session,
            self._prepared[name],
            arguments,
            concurrency=CONCURRENCY,
            raise_on_first_error=False,
        )
        for succeeded, result in answers:
            if not succeeded:
                raise result
        return [result for _, result in answers]

    def close(self) -> None:
        """Release connections and threads."""
        self.threads.shutdown(wait=False)
        self._cluster.shutdown()


def is_passing(error: Exception) -> bool:
    """Say whether a call that changes nothing may be made again."""
    return isinstance(error, _LOST) and not _is_refused(error)


def store_error(error: Exception, where: str, *, wrote: bool) -> StoreError:
    """Return the `StoreError` that says what ``error`` means for the store at ``where``."""
    facts: dict[str, Any] = {"got": f"{type(error).__name__}: {error}", "where": where}
    if _is_refused(error):
        hint = "Check user, password and what the role is granted."
        return StoreError("the Cassandra cluster refuses this user", **facts, hint=hint)
    if isinstance(error, _LOST):
        hint = "The write may or may not have happened." if wrote else "Is the cluster up?"
        return StoreUnavailable("the Cassandra cluster cannot be reached", **facts, hint=hint)
    hint = "The keyspace must be there already: its replication is yours to choose."
    return StoreError("the Cassandra cluster refused a statement", **facts, hint=hint)


def _is_refused(error: Exception) -> bool:
    if isinstance(error, NoHostAvailable):
        reasons = error.errors.values() if isinstance(error.errors, dict) else error.errors
        return any(isinstance(reason, _REFUSED) for reason in reasons)
    return isinstance(error, _REFUSED)
