"""Requests to one server over connections that urllib3 keeps.

Each process has connections of its own: a child of a fork that went on with those of its parent
would get answers to requests of others. Besides, every request carries an id, and an answer with
another one is not taken.
"""

from __future__ import annotations

import itertools
import os
import secrets
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skewless.client.calls import REQUEST_ID, Address, Call
from skewless.errors import InputError, MissingDependency, StoreUnavailable

if TYPE_CHECKING:
    from urllib3 import HTTPConnectionPool

IDLE = 30.0
"""Seconds after which unused connections are not trusted any more."""


class Lost(Exception):
    """There is no answer to a request.

    Args:
        problem: the error to raise if it is not sent again.
        sent: whether the server may have got the request.
    """

    def __init__(self, problem: StoreUnavailable, *, sent: bool) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.sent = sent


class Transport:
    """Sends requests to one server; for any number of threads.

    Args:
        address: of the server.
        key: an API key; None where the server asks for none.
        connections: how many are kept for the next requests.
        ca_file: PEM file of the authorities to trust, instead of the system's.

    Raises:
        MissingDependency: urllib3 is not installed.
        InputError: the key cannot be one.
    """

    def __init__(
        self, address: Address, key: str | None, connections: int, ca_file: str | None
    ) -> None:
        try:
            import urllib3
        except ImportError:
            raise MissingDependency.of(
                "urllib3", "client", needed_for="a client of a server"
            ) from None
        self._library = urllib3
        self.address = address
        self._headers = {"accept": "application/json", "user-agent": "skewless"}
        if key:
            self._headers["authorization"] = f"Bearer {_checked(key)}"
        self._connections = connections
        self._tls = ssl.create_default_context(cafile=ca_file) if address.tls else None
        self._pools: dict[int, HTTPConnectionPool] = {}  # by process; others stay untouched
        self._used = time.monotonic()
        self._mark = secrets.token_hex(4)
        self._numbers = itertools.count()

    def send(self, call: Call, timeout: float) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of the answer to a call.

        Raises:
            Lost: there is none, not in time, or it is that of another request.
        """
        from urllib3 import exceptions as known

        number = f"{self._mark}-{os.getpid():x}-{next(self._numbers):x}"
        headers = self._headers | {"content-type": call.kind, REQUEST_ID: number}
        try:
            answer = self._pool().urlopen(
                call.method, self.address.prefix + call.target, call.body, headers,
                retries=False, redirect=False, assert_same_host=False,
                timeout=self._library.Timeout(total=timeout),
            )  # fmt: skip
        except (
            known.NewConnectionError, known.ConnectTimeoutError, known.ClosedPoolError
        ) as error:  # fmt: skip
            raise Lost(self._unreachable(error), sent=False) from None
        except (known.HTTPError, OSError) as error:
            raise Lost(self._unreachable(error), sent=True) from None
        if answer.headers.get(REQUEST_ID, number) != number:
            self.close()
            raise Lost(self._unreachable("the answer to another request"), sent=True)
        return answer.status, answer.headers, answer.data

    def _pool(self) -> HTTPConnectionPool:
        now, process = time.monotonic(), os.getpid()
        if now - self._used > IDLE:
            self.close()
        self._used = now
        found = self._pools.get(process)
        if found is None:
            # Without a lock, which another thread might hold at the moment of a fork.
            found = self._pools.setdefault(process, self._made())
        return found

    def _made(self) -> HTTPConnectionPool:
        host, port = self.address.host, self.address.port
        pool: HTTPConnectionPool
        if self._tls is None:
            pool = self._library.HTTPConnectionPool(host, port, maxsize=self._connections)
        else:
            pool = self._library.HTTPSConnectionPool(
                host, port, maxsize=self._connections, ssl_context=self._tls
            )
        pool.ConnectionCls = _sending_at_once(pool.ConnectionCls)
        return pool

    def _unreachable(self, error: Exception | str) -> StoreUnavailable:
        return StoreUnavailable(
            "the server does not answer",
            got=str(error) or type(error).__name__,
            where=self.address.shown,
            hint="Start one with: skewless serve",
        )

    def kept(self) -> int:
        """Return how many connections of this process wait for the next request."""
        pool = self._pools.get(os.getpid())
        waiting = [] if pool is None or pool.pool is None else list(pool.pool.queue)
        return len([connection for connection in waiting if connection is not None])

    def close(self) -> None:
        """Close the connections that are kept; the next request opens new ones."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()


def _sending_at_once(connection: Any) -> Any:
    """Return a class of connections that send head and body of a request in one piece.

    urllib3 sends the one and then the other: two system calls and two packets, of which the server
    has to wait for the second.
    """

    class SendingAtOnce(connection):  # type: ignore[misc]
        _held: list[bytes] | None = None

        def request(self, *arguments: Any, **options: Any) -> None:
            self._held = []
            try:
                super().request(*arguments, **options)
                held = b"".join(self._held)
            finally:
                self._held = None
            super().send(held)

        def send(self, data: Any) -> None:
            if self._held is None:
                super().send(data)
            else:
                self._held.append(data)

    return SendingAtOnce


def _checked(key: str) -> str:
    """Return an API key if it can stand in a header; the error does not show it."""
    if key.isascii() and key.isprintable() and " " not in key:
        return key
    ends = key != key.strip()
    raise InputError(
        "an API key cannot have such characters",
        got="spaces or a line break at its ends" if ends else "spaces or signs that are not ASCII",
        expected="what skewless keys create printed",
        hint="Was it read from a file? Use .strip()." if ends else None,
    )
