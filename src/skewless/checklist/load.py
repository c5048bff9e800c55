"""A load of so many requests a second on a server, by the clock and not by its answers.

    result = load("http://127.0.0.1:6566", body, rate=1000, seconds=10)
    result.p99, result.ok

Requests are begun when they are due, whether those before were answered or not, and a latency
counts from when a request was due: a server that stalls is not flattered by the wait.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from skewless.errors import InputError, StoreUnavailable

MOST_CONNECTIONS = 64
PATIENCE = 10.0
"""So long one waits for an answer, seconds."""


@dataclass(frozen=True)
class LoadResult:
    """What a load has shown.

    Attributes:
        rate: requests a second that were begun.
        wanted: likewise, that were asked for.
        requests: how many there were.
        statuses: HTTP status to how many; 0 for what was never answered.
        p50: median latency, from when a request was due, seconds.
        p99: likewise, of 99 %.
        slowest: the greatest.
    """

    rate: float
    wanted: float
    requests: int
    statuses: dict[int, int]
    p50: float
    p99: float
    slowest: float

    @property
    def ok(self) -> bool:
        """Whether the rate was reached and every request was answered with 200."""
        return self.rate >= 0.95 * self.wanted and set(self.statuses) == {200}

    def __str__(self) -> str:
        other = {status: count for status, count in self.statuses.items() if status != 200}
        told = f"; other than 200: {other}" if other else ""
        return (
            f"{self.rate:,.0f} requests/s, p50 {1000 * self.p50:.1f} ms,"
            f" p99 {1000 * self.p99:.1f} ms, slowest {1000 * self.slowest:.0f} ms{told}"
        )


def load(
    server: str, bodies: list[bytes], *, rate: float, seconds: float, key: str = ""
) -> LoadResult:
    """Ask a server for features at a rate.

    Args:
        server: its address, ``http://`` or ``https://``.
        bodies: of the requests, in turns.
        rate: requests a second.
        seconds: for so long.
        key: an API key; empty: none.

    Raises:
        StoreUnavailable: nobody answers there.
    """
    return asyncio.run(_Load(server, bodies, key).run(rate, seconds))


def asked_once(server: str, body: bytes, *, key: str = "") -> int:
    """Return the status with which a server answers one request.

    Raises:
        StoreUnavailable: nobody answers there.
    """

    async def once() -> int:
        client = _Load(server, [body], key)
        pipe = await client.connect()
        try:
            return await client.ask(pipe, body)
        finally:
            pipe[1].close()

    return asyncio.run(once())


_Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Load:
    def __init__(self, server: str, bodies: list[bytes], key: str) -> None:
        self._place = _place_of(server)
        self._bodies = bodies
        self._idle: list[_Pipe] = []
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self._latencies: list[float] = []
        self._statuses: Counter[int] = Counter()
        name = self._place.hostname or ""
        credentials = f"authorization: Bearer {key}\r\n" if key else ""
        self._head = (
            f"POST /v1/features HTTP/1.1\r\nhost: {name}\r\n{credentials}"
            "content-type: application/json\r\ncontent-length: "
        ).encode()

    async def run(self, rate: float, seconds: float) -> LoadResult:
        self._idle.append(await self.connect())
        began, count = time.perf_counter(), int(rate * seconds)
        tasks: set[asyncio.Task[None]] = set()
        for number in range(count):
            due = began + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self._timed(due, self._bodies[number % len(self._bodies)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        taken = time.perf_counter() - began
        await asyncio.gather(*tasks)
        for _, writer in self._idle:
            writer.close()
        ordered = sorted(self._latencies)
        return LoadResult(
            count / max(taken, 1e-9), rate, count, dict(self._statuses),
            ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
            ordered[-1],
        )  # fmt: skip

    async def _timed(self, due: float, body: bytes) -> None:
        status = 0
        async with self._room:
            pipe = self._idle.pop() if self._idle else None
            try:
                pipe = pipe or await self.connect()
                status = await asyncio.wait_for(self.ask(pipe, body), PATIENCE)
                self._idle.append(pipe)
            except (OSError, TimeoutError, StoreUnavailable, ValueError):
                if pipe is not None:
                    pipe[1].close()
        self._statuses[status] += 1
        self._latencies.append(time.perf_counter() - due)

    async def connect(self) -> _Pipe:
        """Return an open connection.

        Raises:
            StoreUnavailable: nobody answers there.
        """
        secure = self._place.scheme == "https"
        port = self._place.port or (443 if secure else 80)
        context = ssl.create_default_context() if secure else None
        try:
            return await asyncio.open_connection(self._place.hostname, port, ssl=context)
        except OSError as problem:
            where = self._place.geturl()
            raise StoreUnavailable("the server", got=str(problem), where=where) from None

    async def ask(self, pipe: _Pipe, body: bytes) -> int:
        """Send one request and return the status of its answer, which is read to its end."""
        reader, writer = pipe
        writer.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(line for line in lines if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        return int(lines[0].split()[1])


def _place_of(server: str) -> SplitResult:
    place = urlsplit(server)
    if place.scheme in ("http", "https") and place.hostname:
        return place
    raise InputError("not the address of a server", got=server, expected="http(s)://host:port")


def body_of(service: str, entities: list[dict[str, Any]]) -> bytes:
    """Return the body of a request for the features of a service."""
    import msgspec

    return msgspec.json.encode({"service": service, "entities": entities}, enc_hook=str)
