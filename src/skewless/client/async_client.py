"""The client for programs that wait in an event loop.

async with AsyncClient("http://features:6566") as client:
    result = await client.get_online_features("fraud_model", [{"card_id": "c1"}])
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Self

from skewless.client.calls import (
    IDLE,
    Address,
    Call,
    Moment,
    Pushed,
    explain_call,
    features_call,
    job_call,
    list_call,
    materialize_call,
    may_repeat,
    pause_of,
    problem_of,
    push_call,
)
from skewless.client.client import checked, headers_of, unreachable
from skewless.errors import SkewlessError
from skewless.plan.results import OnlineResult
from skewless.plan.selection import Features
from skewless.serving.http.http1 import Answer, BadAnswer, read_answer, request_bytes

_POLL = 0.25
_MOST_HEAD = 1 << 20
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AsyncClient:
    """A client of ``skewless serve`` for one event loop; arguments and errors as `Client` has."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 5.0,
        retries: int = 3,
        connections: int = 64,
        ca_file: str | None = None,
    ) -> None:
        self._address = Address.of(url)
        self._headers = headers_of(key)
        self._timeout = timeout
        self._retries = retries
        self._tls = ssl.create_default_context(cafile=ca_file) if self._address.tls else None
        self._idle: deque[tuple[float, Streams]] = deque()
        self._most = connections

    async def get_online_features(
        self,
        features: Features,
        entities: Sequence[Mapping[str, Any]],
        *,
        at: Moment | None = None,
        full_names: bool = False,
    ) -> OnlineResult:
        """Return feature vectors; see `Client.get_online_features`."""
        found: OnlineResult = await self._run(features_call(features, entities, at, full_names))
        return found

    async def push(self, source: str, rows: Any, *, backdate: bool = False) -> Pushed:
        """Hand rows of a source to the store; see `Client.push`."""
        found: Pushed = await self._run(push_call(source, rows, backdate))
        return found

    async def materialize(
        self,
        views: str | Sequence[str] | None = None,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        backfill: bool = False,
        wait: float | None = 3600.0,
    ) -> dict[str, Any]:
        """Bring the server's online store up to date; see `Client.materialize`."""
        job: dict[str, Any] = await self._run(materialize_call(views, start, end, backfill))
        deadline = time.monotonic() + (wait or 0.0)
        while job["status"] == "running" and time.monotonic() < deadline:
            await asyncio.sleep(_POLL)
            job = await self.job(job["job"])
        return checked(job)

    async def job(self, number: str) -> dict[str, Any]:
        """Return what has become of a materialization."""
        found: dict[str, Any] = await self._run(job_call(number))
        return found

    async def explain(
        self, feature: str, entity: Mapping[str, Any], *, at: Moment | None = None
    ) -> dict[str, Any]:
        """Return the rows behind a value, as plain data."""
        found: dict[str, Any] = await self._run(explain_call(feature, entity, at))
        return found

    async def listed(self, what: str) -> list[dict[str, Any]]:
        """Return what there is: services, views, features, entities, sources or jobs."""
        found: list[dict[str, Any]] = await self._run(list_call(what))
        return found

    async def search(self, text: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the features that fit a text best."""
        query = {"q": text, "limit": limit}
        found: list[dict[str, Any]] = await self._run(list_call("features", query))
        return found

    async def is_ready(self) -> bool:
        """Return whether the server can answer."""
        try:
            return bool((await self._run(Call("GET", "/ready"), retries=0))["ready"])
        except SkewlessError:
            return False

    async def _run(self, call: Call, retries: int | None = None) -> Any:
        deadline = time.monotonic() + self._timeout
        most = self._retries if retries is None else retries
        sent = request_bytes(
            call.method, self._address.prefix + call.target, self._address.shown,
            self._headers | {"content-type": call.kind}, call.body,
        )  # fmt: skip
        for attempt in range(most + 1):
            headers: dict[str, str] = {}
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    status, headers, body = await self._send(sent, call.safe)
                if status < 300:
                    return call.parse(body)
                problem = problem_of(status, body, self._address.shown)
                again = may_repeat(call, status, problem)
            except _NotConnected as error:
                problem, again = unreachable(error, self._address), True
            except (OSError, BadAnswer) as error:
                problem, again = unreachable(error, self._address), call.safe
            pause = pause_of(attempt, headers)
            if not again or attempt == most or time.monotonic() + pause > deadline:
                raise problem
            await asyncio.sleep(pause)
        raise problem

    async def _send(self, sent: bytes, safe: bool) -> Answer:
        while (kept := self._take()) is not None:
            try:
                return await self._exchange(kept, sent)
            except (OSError, BadAnswer):
                # The server may have closed a connection it kept, before it saw the request.
                if not safe:
                    raise
        try:
            new = await asyncio.open_connection(
                self._address.host, self._address.port, ssl=self._tls, limit=_MOST_HEAD
            )
        except OSError as error:
            raise _NotConnected(str(error)) from None
        return await self._exchange(new, sent)

    async def _exchange(self, streams: Streams, sent: bytes) -> Answer:
        reader, writer = streams
        try:
            writer.write(sent)
            await writer.drain()
            answer = await read_answer(reader)
        except BaseException:
            writer.close()
            raise
        headers = answer[1]
        endless = "content-length" not in headers and "transfer-encoding" not in headers
        if headers.get("connection", "").lower() == "close" or endless:
            writer.close()
        elif len(self._idle) < self._most:
            self._idle.append((time.monotonic(), streams))
        else:
            writer.close()
        return answer

    def _take(self) -> Streams | None:
        while self._idle:
            since, streams = self._idle.pop()
            if time.monotonic() - since < IDLE and not streams[1].is_closing():
                return streams
            streams[1].close()
        return None

    async def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            writer = self._idle.pop()[1][1]
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                continue  # it was closed from the other side

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._address.shown!r})"


class _NotConnected(Exception):
    """No connection came about: nothing was sent."""
