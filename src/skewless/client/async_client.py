"""The client for programs that wait in an event loop.

async with AsyncClient("http://features:6566") as client:
    result = await client.get_online_features("fraud_model", [{"card_id": "c1"}])

Its threads wait for the server, with the requests, connections and retries of `Client`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self, TypeVar

from skewless.client.calls import Moment, Pushed
from skewless.client.client import POLL, Client, checked
from skewless.plan.results import OnlineResult
from skewless.plan.selection import Features

T = TypeVar("T")


class AsyncClient:
    """A client of ``skewless serve``; arguments and errors as `Client` has.

    At most ``connections`` calls are under way at once, others wait for one of them.
    """

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
        self._client = Client(
            url, key=key, timeout=timeout, retries=retries, connections=connections, ca_file=ca_file
        )
        self._most = connections
        self._threads: dict[int, ThreadPoolExecutor] = {}  # by process: a child has none of them

    async def get_online_features(
        self,
        features: Features,
        entities: Sequence[Mapping[str, Any]],
        *,
        at: Moment | None = None,
        full_names: bool = False,
    ) -> OnlineResult:
        """Return feature vectors; see `Client.get_online_features`."""
        ask = self._client.get_online_features
        return await self._in_thread(partial(ask, features, entities, at=at, full_names=full_names))

    async def push(self, source: str, rows: Any, *, backdate: bool = False) -> Pushed:
        """Hand rows of a source to the store; see `Client.push`."""
        return await self._in_thread(partial(self._client.push, source, rows, backdate=backdate))

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
        begin = partial(self._client.materialize, views, start=start, end=end, backfill=backfill)
        job = await self._in_thread(partial(begin, wait=None))
        deadline = time.monotonic() + (wait or 0.0)
        while job["status"] == "running" and time.monotonic() < deadline:
            await asyncio.sleep(POLL)
            job = await self.job(job["job"])
        return checked(job)

    async def job(self, number: str) -> dict[str, Any]:
        """Return what has become of a materialization."""
        return await self._in_thread(partial(self._client.job, number))

    async def explain(
        self, feature: str, entity: Mapping[str, Any], *, at: Moment | None = None
    ) -> dict[str, Any]:
        """Return the rows behind a value, as plain data."""
        return await self._in_thread(partial(self._client.explain, feature, entity, at=at))

    async def listed(self, what: str) -> list[dict[str, Any]]:
        """Return what there is: services, views, features, entities, sources or jobs."""
        return await self._in_thread(partial(self._client.listed, what))

    async def search(self, text: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the features that fit a text best."""
        return await self._in_thread(partial(self._client.search, text, limit))

    async def is_ready(self) -> bool:
        """Return whether the server can answer."""
        return await self._in_thread(self._client.is_ready)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        process = os.getpid()
        threads = self._threads.get(process)
        if threads is None:
            made = ThreadPoolExecutor(self._most, thread_name_prefix="skewless-client")
            threads = self._threads.setdefault(process, made)
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    async def close(self) -> None:
        """Close the connections that are kept; calls under way are waited for."""
        threads = self._threads.pop(os.getpid(), None)
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._client!r}"
