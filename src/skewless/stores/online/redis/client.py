"""Connections to Redis, and what their errors mean.

To a single server, to the master that a Sentinel names, or to a cluster.
"""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from skewless.errors import StoreError, StoreUnavailable
from skewless.stores.online.remote import Driver

Client: TypeAlias = Any
"""A `redis.Redis` or `redis.RedisCluster`; their types promise less than they do."""

SENTINELS = ("redis+sentinel", "rediss+sentinel")
SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix", *SENTINELS)
SENTINEL_PORT = 26379
OLDEST = (5, 0)
"""The oldest server that the driver of today and the store's commands are meant for."""


def where_of(url: str) -> str:
    """Return ``url`` without user, password and options.

    Raises:
        StoreError: no such kind of address; the message does not repeat it.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise StoreError(
            "the address of the Redis server is not one",
            got=f"something that starts with {parts.scheme!r}",
            expected=" or ".join(f"{scheme}://..." for scheme in SCHEMES),
        )
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def connect(url: str, timeout: float) -> Client:
    """Return a client that answers.

    The driver's own retries are off: it would repeat writes too, which may undo later ones.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    url = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
    if urlsplit(url).scheme in SENTINELS:
        return _master(url, options)
    client = redis.Redis.from_url(url, **options)
    try:
        facts = client.info("server")
        check_version(str(facts.get("redis_version", "")), where_of(url))
    except BaseException:
        client.close()
        raise
    if facts.get("redis_mode") != "cluster":
        return client
    client.close()
    return redis.RedisCluster.from_url(url, **options)


class Line:
    """One connection for reads, without what the driver's pool and pipeline do around a command.

    Of a read of one row that is more than half of the driver's time.

    Args:
        client: of a single server; its settings count.

    Attributes:
        idle: whether the last answer has come in full, so that another command may be sent.
    """

    def __init__(self, client: Client) -> None:
        pool = client.connection_pool
        self._connection: Any = pool.connection_class(**pool.connection_kwargs)
        self._connection.connect()
        self.idle = True

    def ask(self, *command: bytes) -> Any:
        """Return the answer to a command."""
        self.idle = False
        connection = self._connection
        connection.send_packed_command(connection.pack_command(*command), check_health=False)
        answer = connection.read_response()
        self.idle = True
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()


def check_version(version: str, where: str) -> None:
    """Refuse a server that is too old; one that does not say its version is taken.

    Raises:
        StoreError: it is.
    """
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers and numbers < OLDEST:
        raise StoreError(
            "the Redis server is older than supported",
            got=version,
            expected=f"at least {'.'.join(map(str, OLDEST))}",
            where=where,
            hint="Upgrade the server.",
        )


def _master(url: str, options: dict[str, Any]) -> Client:
    parts = urlsplit(url)
    if parts.scheme.startswith("rediss"):
        options = options | {"ssl": True}
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    addresses = [host.partition(":") for host in hosts.split(",")]
    name, _, database = parts.path.strip("/").partition("/")
    login = {"username": unquote(user) or None, "password": unquote(password) or None}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [(host, int(port or SENTINEL_PORT)) for host, _, port in addresses],
        sentinel_kwargs=options,
    )
    place: dict[str, Any] = {"service_name": name, "db": int(database or 0)}
    client: Client = sentinel.master_for(**place, **login, **options)  # type: ignore[no-untyped-call]
    check_version(str(client.info("server").get("redis_version", "")), where_of(url))
    return client


_LOST = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.RedisClusterException,
    redis.sentinel.MasterNotFoundError,
)


def is_lost(error: Exception) -> bool:
    """Say whether the server cannot be reached, or not as what it should be."""
    return isinstance(error, _LOST)


def is_passing(error: Exception) -> bool:
    """Say whether a call that changes nothing may be made again."""
    return is_lost(error) and not isinstance(error, redis.AuthenticationError)


def store_error(error: Exception, where: str, *, wrote: bool) -> StoreError:
    """Return the `StoreError` that says what ``error`` means for the store at ``where``."""
    facts: dict[str, Any] = {"got": f"{type(error).__name__}: {error}", "where": where}
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.NoPermissionError)):
        hint = "Check user, password and permissions."
        return StoreError("the Redis server refuses this user", **facts, hint=hint)
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        hint = "Raise maxmemory or drop tables."
        return StoreError("the Redis server is out of memory", **facts, hint=hint)
    if is_lost(error):
        hint = "The write may or may not have happened." if wrote else "Is the server running?"
        return StoreUnavailable("the Redis server cannot be reached", **facts, hint=hint)
    return StoreError("the Redis server refused a command", **facts)


DRIVER = Driver(
    errors=(*_LOST, redis.RedisError), may_repeat_read=is_passing, store_error=store_error
)
