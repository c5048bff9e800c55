"""The online store in Apache Cassandra or ScyllaDB.

    store = CassandraStore(["10.0.0.1", "10.0.0.2"], keyspace="features", datacenter="dc1")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # on a quorum when it returns

The conformance suite runs on Apache Cassandra 5.0.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from skewless.errors import MissingDependency
from skewless.stores.online.base import Capabilities, Change, Item
from skewless.stores.online.concurrency import chunks
from skewless.stores.online.remote import Driver, RemoteStore

try:
    from skewless.stores.online.cassandra import client as cql
except ImportError as error:
    raise MissingDependency.of(
        "cassandra-driver", "cassandra", needed_for="CassandraStore"
    ) from error

DEFAULT_TIMEOUT_SECONDS = 10.0
CHANGE_ROWS = 5_000


class CassandraStore(RemoteStore["cql.Client"]):
    """An online store in two tables of a keyspace; the tables are made if missing.

    Reads and writes ask a quorum of the local data centre, conditional writes one of all. Of two
    plain writes the one counts that the servers' clocks call later. Reads that fail are tried
    again, a few times and with growing random pauses; writes are not: a repeated write could undo a
    later one of somebody else.

    Args:
        hosts: some of the cluster's addresses, `host` or `host:port`; it names the others.
        keyspace: one that is there already.
        name: what the tables' names begin with, so that several stores can share a keyspace.
        datacenter: the local one; needed where there are several.
        username: with ``password``, where the cluster asks for them. They never appear in an error.
        password: see ``username``.
        tls: whether to encrypt, or the file of the authority that signed the servers' certificates.
        timeout: seconds to wait for a connection or an answer.

    Raises:
        MissingDependency: the driver is not installed: `pip install 'skewless[cassandra]'`.
        StoreUnavailable: the cluster cannot be reached.
    """

    capabilities = Capabilities(
        compare_and_set=True,
        shared_by_processes=True,
        verified=True,
        max_value_bytes=cql.MAX_VALUE_BYTES - (1 << 16),
    )
    _driver = Driver(
        errors=cql.ERRORS,
        may_repeat_read=cql.is_passing,
        store_error=cql.store_error,
        check_size=cql.check_size,
    )

    def __init__(
        self,
        hosts: str | Sequence[str],
        keyspace: str,
        *,
        name: str = "skewless_online",
        datacenter: str | None = None,
        username: str | None = None,
        password: str | None = None,
        tls: bool | str = False,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        addresses = [hosts] if isinstance(hosts, str) else list(hosts)
        points = cql.contact_points(addresses)
        texts = cql.statements(keyspace, name)
        login = None if username is None else (username, password or "")
        super().__init__(
            f"cassandra://{','.join(addresses)}/{keyspace}.{name}",
            lambda: cql.Client(
                points,
                texts,
                datacenter=datacenter,
                login=login,
                tls=tls,
                timeout=timeout,
            ),
        )
        self._patience = timeout

    def _prepare(self) -> cql.Client:
        return self._client

    # --------------------------------------------------------------------------------- reading

    def _read_chunks(self, table: str, keys: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        return [keys]  # the driver keeps many statements under way

    def _read_rows(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        by_stored = {cql.row_of(table, key): key for key in keys}
        answers = self._read_call(lambda: self._client.many("read", list(by_stored)))
        rows = itertools.chain.from_iterable(answers)
        return {by_stored[table, row.key]: row.value for row in rows}

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        keys = self._read_call(lambda: self._keys(table))
        return self._scan_keys(table, keys, prefix=prefix, after=after, limit=limit)

    def _keys(self, table: str) -> list[bytes]:
        rows = self._client.one("keys", table)
        return [row.key if row.long_key is None else row.long_key for row in rows]

    # --------------------------------------------------------------------------------- writing

    def _write_rows(self, table: str, rows: Sequence[Item]) -> None:
        self._many("write", [cql.values_of(table, key, value) for key, value in rows])

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        self._many("delete", [cql.row_of(table, key) for key in dict.fromkeys(keys)])

    def _drop_rows(self, table: str) -> None:
        for some in chunks(self._read_call(lambda: self._keys(table)), CHANGE_ROWS):
            self.delete(table, some)

    def _many(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        for some in chunks(arguments, CHANGE_ROWS):
            self._write_call(functools.partial(self._client.many, name, some))

    def _set_row(self, table: str, change: Change) -> bool:
        name, values = cql.conditional(table, change)
        answer = self._write_call(lambda: self._client.one(name, *values, serial=name == "read"))
        return not answer.one() if name == "read" else bool(answer.was_applied)

    # ----------------------------------------------------------------------- the list of tables

    def _note(self, table: str, live: bool) -> None:
        self._write_call(lambda: self._client.one("note", table, live))

    def _noted(self) -> list[tuple[str, bool]]:
        return self._read_call(lambda: [(row.name, row.live) for row in self._client.one("noted")])

    def _has_rows(self, table: str) -> bool:
        return bool(self._read_call(lambda: list(self._client.one("any_key", table))))
