"""The online store on Redis or Valkey: a single server, one behind Sentinel, or a cluster.

    store = RedisStore("redis://localhost:6379/0")     # finds out by itself if it is a cluster
    store = RedisStore("redis+sentinel://s1:26379,s2:26379/mymaster")
    store.write("wafer_tests", [(b"f1", b"state of f1")])

A row is one string at `namespace:table:key`; a hash with a field per feature would make batches
some twenty times slower. Whether writes are durable the server says: if its append-only file is
flushed with every one.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from skewless.errors import MissingDependency, StoreError
from skewless.stores.online.base import Capabilities, Change, Item, TableChange, checked_table

try:
    import redis
except ImportError as error:
    raise MissingDependency.of("redis", "redis", needed_for="RedisStore") from error

from skewless.stores.online.concurrency import chunks
from skewless.stores.online.pool import Pool
from skewless.stores.online.redis.client import DRIVER, Line, connect, is_lost, where_of
from skewless.stores.online.remote import ServerStore

if TYPE_CHECKING:
    from skewless.stores.online.redis.client import Client

SCAN_COUNT = 1_000
CHUNK_ROWS = 5_000
SCRIPT_ROWS = 500
TOGETHER = 5_000
DEFAULT_TIMEOUT_SECONDS = 5.0

# Of each key: expected there ('1' or ''), expected, new there, new
_COMPARE_AND_SET = """
local done = {}
for i, key in ipairs(KEYS) do
  local at = 4 * i - 3
  local now = redis.call('GET', key)
  local same
  if ARGV[at] == '1' then same = now == ARGV[at + 1] else same = not now end
  if same and ARGV[at + 2] == '1' then redis.call('SET', key, ARGV[at + 3])
  elseif same then redis.call('DEL', key) end
  done[i] = same and 1 or 0
end
return done
"""

# The same, but for the keys whose value stays: all or none.
_CHANGE_TOGETHER = """
for i, key in ipairs(KEYS) do
  local at = 4 * i - 3
  local now = redis.call('GET', key)
  local same
  if ARGV[at] == '1' then same = now == ARGV[at + 1] else same = not now end
  if not same then return 0 end
end
for i, key in ipairs(KEYS) do
  local at = 4 * i - 1
  if ARGV[at] == '1' then redis.call('SET', key, ARGV[at + 1]) else redis.call('DEL', key) end
end
return 1
"""


class RedisStore(ServerStore):
    """An online store on a Redis-compatible server.

    Reads that fail are tried again, a few times and with growing random pauses; writes are not: a
    repeated write could undo a later one of somebody else.

    Args:
        url: `redis://`, `rediss://` (TLS), `unix://`, or `redis+sentinel://host,host/name/db`
            (`rediss+sentinel` for TLS). User and password go before an `@`, and never into an
            error.
        namespace: what all keys begin with, so that several stores can share a server.
        timeout: seconds to wait for a connection or an answer.

    Raises:
        MissingDependency: the driver is not installed: `pip install 'skewless[redis]'`.
        StoreUnavailable: the server cannot be reached.
    """

    capabilities = Capabilities(
        atomic_batch=True,
        compare_and_set=True,
        shared_by_processes=True,
        verified=True,
        max_value_bytes=512 << 20,
    )
    _driver = DRIVER

    def __init__(
        self, url: str, *, namespace: str = "skewless", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        self.where = where_of(url)
        self._namespace = namespace.encode()
        self._tables_key = self._namespace + b"::tables"
        self._lines = Pool(self._line, usable=lambda line: line.idle, closed=self.closed)
        self._client: Client | None = self._read_call(lambda: connect(url, timeout))
        # Commands that a cluster splits over its nodes are not one.
        self._is_cluster = isinstance(self._client, redis.RedisCluster)
        self.capabilities = dataclasses.replace(
            type(self).capabilities,
            atomic_batch=not self._is_cluster,
            together=0 if self._is_cluster else TOGETHER,
            durable=self._asks_for_durability(),
        )
        self._patience = timeout

    # --------------------------------------------------------------------------------- reading

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        if not keys:
            return []
        prefix = self._prefix(table)
        names = [prefix + key for key in keys]
        return self._read_call(lambda: self._get(names))

    def _get(self, names: Sequence[bytes]) -> list[bytes | None]:
        if not self._is_cluster:
            with self._lines.connection() as line:
                values: list[bytes | None] = line.ask(b"MGET", *names)
                return values
        return self._pipelined([("GET", name) for name in names])

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        start = self._prefix(table)
        names = self._read_call(lambda: set(self._names(start + prefix)))
        keys = [name[len(start) :] for name in names]
        return self._scan_keys(table, keys, prefix=prefix, after=after, limit=limit)

    def _names(self, prefix: bytes) -> Iterator[bytes]:
        everywhere = {"target_nodes": redis.RedisCluster.PRIMARIES} if self._is_cluster else {}
        pattern = b"".join(b"\\" + bytes([c]) if c in b"*?[]\\^-" else bytes([c]) for c in prefix)
        names: Iterator[bytes] = self._open().scan_iter(
            match=pattern + b"*", count=SCAN_COUNT, **everywhere
        )
        return names

    def tables(self) -> list[str]:
        names = self._read_call(lambda: self._open().smembers(self._tables_key))
        return sorted(name.decode() for name in names)

    # --------------------------------------------------------------------------------- writing

    def write(self, table: str, items: Iterable[Item]) -> None:
        prefix = self._prefix(checked_table(table))
        rows = [(prefix + key, value) for key, value in items]
        if rows:
            add = ("SADD", self._tables_key, table.encode())
            self._write_call(lambda: self._pipelined([add, *self._sets(rows)], atomic=True))

    def _sets(self, rows: Sequence[Item]) -> Iterator[tuple[Any, ...]]:
        if self._is_cluster:
            return (("SET", *row) for row in rows)
        return (("MSET", *itertools.chain.from_iterable(some)) for some in chunks(rows, CHUNK_ROWS))

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        prefix = self._prefix(table)
        self._unlink([prefix + key for key in keys])

    def _unlink(self, names: Sequence[bytes]) -> None:
        size = 1 if self._is_cluster else CHUNK_ROWS
        commands = [("UNLINK", *some) for some in chunks(names, size)]
        if commands:
            self._write_call(lambda: self._pipelined(commands, atomic=True))

    def drop(self, table: str) -> None:
        names = self._read_call(lambda: list(self._names(self._prefix(table))))
        for some in chunks(names, CHUNK_ROWS):
            self._unlink(some)
        # Last, so that an interrupted drop still shows the table.
        self._write_call(lambda: self._open().srem(self._tables_key, table.encode()))

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        prefix = self._prefix(checked_table(table))
        asked = list(changes)
        size = 1 if self._is_cluster else SCRIPT_ROWS
        scripts = [_script(_COMPARE_AND_SET, prefix, some) for some in chunks(asked, size)]
        if not scripts:
            return []
        add = ("SADD", self._tables_key, table.encode())
        _, *done = self._write_call(lambda: self._pipelined([add, *scripts]))
        return [took == 1 for answer in done for took in answer]

    def change_together(self, changes: Iterable[TableChange]) -> bool:
        if self._is_cluster:
            raise self.unsupported("change_together", "The nodes of a cluster change one by one.")
        asked = list(changes)
        if len(asked) > TOGETHER:
            raise StoreError(
                "too many rows for one script of Redis",
                got=len(asked),
                expected=f"at most {TOGETHER}",
                where=self.where,
            )
        if not asked:
            return True
        prefixes = {table: self._prefix(checked_table(table)) for table, *_ in asked}
        rows = [(prefixes[table] + key, old, new) for table, key, old, new in asked]
        script = _script(_CHANGE_TOGETHER, b"", rows)
        add = ("SADD", self._tables_key, *(table.encode() for table in prefixes))
        _, done = self._write_call(lambda: self._pipelined([add, script]))
        return bool(done == 1)

    def concerns(self) -> list[tuple[str, str]]:
        policy = self._eviction_policy()
        if not policy.startswith("allkeys"):
            return []  # those of keys with a time to live touch none of these
        hint = "A state that is evicted is built again from history: set noeviction."
        return [(f"it evicts rows when memory is short ({policy})", hint)]

    def _eviction_policy(self) -> str:
        name = "maxmemory-policy"
        for ask in (
            lambda: self._open().config_get(name).get(name),
            lambda: self._open().info("memory").get("maxmemory_policy"),
        ):
            try:  # many hosted servers answer only the second
                found = self._read_call(ask)
            except StoreError:
                continue
            if found:
                return str(found)
        return ""

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._lines.close()
            client.close()

    # ----------------------------------------------------------------------------- the server

    def _prefix(self, table: str) -> bytes:
        # Quoted names hold neither the ":" that ends them nor the "{" that would place them.
        return b"%b:%b:" % (self._namespace, quote_from_bytes(table.encode()).encode())

    def _line(self) -> Line:
        return Line(self._open())

    def _open(self) -> Client:
        if self._client is None:
            raise self.closed()
        return self._client

    def _pipelined(self, commands: Iterable[tuple[Any, ...]], *, atomic: bool = False) -> list[Any]:
        """Send commands at once; as one (MULTI) if ``atomic``, which a cluster cannot."""
        client = self._open()
        pipeline = client.pipeline(transaction=atomic and not self._is_cluster)
        with pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _asks_for_durability(self) -> bool:
        try:
            answers = self._read_call(lambda: self._open().config_get("append*"))
        except StoreError:
            return False  # many hosted servers do not tell
        return bool(answers.get("appendonly") == "yes" and answers.get("appendfsync") == "always")

    def _after(self, error: Any) -> None:
        if is_lost(error):
            self._lines.discard_idle()


def _script(text: str, prefix: bytes, changes: Sequence[Change]) -> tuple[Any, ...]:
    """Return the command that has a script make changes of rows that lie on one node."""
    keys = [prefix + key for key, _, _ in changes]
    values = [part for _, *both in changes for value in both for part in _optional(value)]
    return ("EVAL", text, len(keys), *keys, *values)


def _optional(value: bytes | None) -> tuple[str, bytes]:
    return ("", b"") if value is None else ("1", value)
