"""The online store in Apache Cassandra or ScyllaDB.

    store = CassandraStore(["10.0.0.1", "10.0.0.2"], keyspace="features", datacenter="dc1")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # on a quorum when it returns

Not verified against a server: the conformance suite has not run on one yet.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from skewless.errors import MissingDependency
from skewless.stores.online.base import Capabilities, Change, Item, OnlineStore, checked_table
from skewless.stores.online.catalog import Catalog
from skewless.stores.online.remote import PerProcess, patiently, pieces, set_each

try:
    from skewless.stores.online.cassandra import client as cql
except ImportError as error:
    raise MissingDependency.of(
        "cassandra-driver", "cassandra", needed_for="CassandraStore"
    ) from error

T = TypeVar("T")

DEFAULT_TIMEOUT_SECONDS = 10.0
SCAN_ROWS, CHANGE_ROWS = 1_000, 5_000


class CassandraStore(OnlineStore):
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
        verified=False,
        max_value_bytes=cql.MAX_VALUE_BYTES - (1 << 16),
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
        self.where = f"cassandra://{','.join(addresses)}/{keyspace}.{name}"
        texts = cql.statements(keyspace, name)
        login = None if username is None else (username, password or "")
        self._client = PerProcess(
            lambda: cql.Client(
                points,
                texts,
                datacenter=datacenter,
                login=login,
                tls=tls,
                timeout=timeout,
            ),
            closed=self.closed,
        )
        self._catalog = Catalog(load=self._noted, save=self._note, has_rows=self._has_rows)
        try:
            self._safely(self._client.get)
        except BaseException:
            self.close()
            raise

    # --------------------------------------------------------------------------------- reading

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        places = [cql.row_of(table, key) for key in keys]
        asked = list(dict.fromkeys(places))
        answers = self._safely(lambda: self._client.get().many("read", asked))
        rows = itertools.chain.from_iterable(answers)
        found: dict[bytes, bytes] = {row.key: row.value for row in rows}
        return [found.get(stored) for _, stored in places]

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        keys = sorted(self._safely(lambda: self._keys(table)))
        asked = [key for key in keys if key.startswith(prefix) and (after is None or key > after)]
        return itertools.islice(self._rows(table, asked), limit)

    def _rows(self, table: str, keys: Sequence[bytes]) -> Iterator[Item]:
        for some in pieces(keys, SCAN_ROWS):
            for key, value in zip(some, self.read(table, some), strict=True):
                if value is not None:
                    yield key, value

    def _keys(self, table: str) -> list[bytes]:
        rows = self._client.get().one("keys", table)
        return [row.key if row.long_key is None else row.long_key for row in rows]

    def tables(self) -> list[str]:
        return self._catalog.names()

    # --------------------------------------------------------------------------------- writing

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = dict(items)
        for key, value in rows.items():
            cql.check_size(table, key, value, self.where)
        if rows:
            self._catalog.note(checked_table(table))
            self._many("write", [cql.values_of(table, key, value) for key, value in rows.items()])

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        self._many("delete", [cql.row_of(table, key) for key in dict.fromkeys(keys)])

    def drop(self, table: str) -> None:
        self._catalog.forget(table)
        for some in pieces(self._safely(lambda: self._keys(table)), CHANGE_ROWS):
            self.delete(table, some)

    def _many(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        for some in pieces(arguments, CHANGE_ROWS):
            self._once(functools.partial(self._client.get().many, name, some))

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        asked = list(changes)
        for key, _, new in asked:
            cql.check_size(table, key, new or b"", self.where)
        if asked:
            self._catalog.note(checked_table(table))
        return set_each(self._client.get().threads, lambda one: self._set(table, one), asked)

    def _set(self, table: str, change: Change) -> bool:
        name, values = cql.conditional(table, change)
        answer = self._once(lambda: self._client.get().one(name, *values, serial=name == "read"))
        return not answer.one() if name == "read" else bool(answer.was_applied)

    def close(self) -> None:
        self._client.close()

    # ---------------------------------------------------------------------------- the catalog

    def _note(self, table: str, live: bool) -> None:
        self._once(lambda: self._client.get().one("note", table, live))

    def _noted(self) -> list[tuple[str, bool]]:
        return self._safely(
            lambda: [(row.name, row.live) for row in self._client.get().one("noted")]
        )

    def _has_rows(self, table: str) -> bool:
        return bool(self._safely(lambda: list(self._client.get().one("any_key", table))))

    # ------------------------------------------------------------------------------- the calls

    def _safely(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing."""
        try:
            return patiently(call, cql.ERRORS, cql.is_passing)
        except cql.ERRORS as error:
            raise cql.store_error(error, self.where, wrote=False) from error

    def _once(self, call: Callable[[], T]) -> T:
        """Make a call that changes rows."""
        try:
            return call()
        except cql.ERRORS as error:
            raise cql.store_error(error, self.where, wrote=True) from error
