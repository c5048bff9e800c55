"""Nothing that waits, and nothing that takes long, runs on the event loop beside reads."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from skewless.online.reader import OnlineReader
from skewless.registry.base import Registry
from skewless.serving.app import App
from skewless.serving.operate import catalog
from tests.serving.test_writes import ROW

READ = {"service": "fraud", "entities": [{"card_id": "c1"}]}
PATIENCE = 30.0


async def send(app: App, method: str, target: str, data: Any = None) -> int:
    """Send one request on the loop that runs, and return the status of its answer."""
    path, _, query = target.partition("?")
    sent: list[Any] = []

    async def receive() -> Any:
        body = b"" if data is None else json.dumps(data).encode()
        return {"type": "http.request", "body": body, "more_body": False}

    async def take(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"tests"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": headers, "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await app(scope, receive, take)
    return int(sent[0]["status"])


class Held:
    """Calls that wait until they are released; it is known that one has begun, and in which thread."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.threads: set[threading.Thread] = set()

    def __call__(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.threads.add(threading.current_thread())
            self.begun.set()
            assert self.let_go.wait(PATIENCE)
            return real(*arguments, **options)

        return call


async def answered_meanwhile(app: App, held: Held, request: Awaitable[int]) -> tuple[int, int]:
    """Read while a request is held up, let it go; return both statuses."""
    waiting = asyncio.ensure_future(request)
    deadline = time.monotonic() + PATIENCE
    while not held.begun.is_set():
        assert time.monotonic() < deadline, "the request never came to what is held"
        await asyncio.sleep(0)
    assert not waiting.done()
    read = await send(app, "POST", "/v1/features", READ)
    held.let_go.set()
    return read, await waiting


def slow_registry(app: App, monkeypatch: pytest.MonkeyPatch) -> Held:
    """Hold up every call of the registry; what the repo remembers of it is too old to be used."""
    held = Held()
    registry = app.store.runtime.registry
    for name in ("state", "set_progress", "get_progress", "progress"):
        monkeypatch.setattr(registry, name, held(getattr(registry, name)))
    app.store.runtime.clock.time += 2_000_000  # type: ignore[attr-defined]
    return held


@pytest.mark.parametrize(
    ("method", "target", "data", "status"),
    [
        ("POST", "/v1/push", {"source": "payments", "rows": [ROW]}, 200),
        ("POST", "/v1/push", {"source": "nowhere", "rows": [ROW]}, 404),
        ("POST", "/push", {"push_source_name": "trips", "df": {
            "driver": [7], "code": ["AQ=="], "km": [1.0], "at": ["2026-01-01T09:59:00Z"]}}, 200),
        ("POST", "/v1/materialize", {"views": ["Spend"]}, 202),
        ("POST", "/v1/materialize", {"views": ["Nowhere"]}, 404),
        ("POST", "/materialize", {"feature_views": ["Spend"]}, 200),
        ("GET", "/v1/jobs", None, 200),
        ("GET", "/v1/explain?feature=Spend:total&card_id=c1", None, 200),
    ],
)  # fmt: skip
def test_reads_are_answered_while_the_registry_is_slow(
    app: App, monkeypatch: pytest.MonkeyPatch, *, method: str, target: str, data: Any, status: int
) -> None:
    held = slow_registry(app, monkeypatch)
    found = asyncio.run(answered_meanwhile(app, held, send(app, method, target, data)))
    assert found == (200, status)
    assert threading.main_thread() not in held.threads
    app.writer.jobs.wait(PATIENCE)


@pytest.mark.parametrize(
    ("target", "work"),
    [
        ("/v1/services", "_services"), ("/v1/views", "_views"), ("/v1/features", "_features"),
        ("/v1/features?q=total", "search"), ("/v1/entities", "_entities"),
        ("/v1/sources", "_sources"),
    ],
)  # fmt: skip
def test_reads_are_answered_while_the_catalogue_is_listed(
    app: App, monkeypatch: pytest.MonkeyPatch, target: str, work: str
) -> None:
    held = Held()
    monkeypatch.setattr(catalog, work, held(getattr(catalog, work)))
    found = asyncio.run(answered_meanwhile(app, held, send(app, "GET", target)))
    assert found == (200, 200)
    assert threading.main_thread() not in held.threads


def test_a_read_of_a_dropped_table_waits_for_the_registry_in_a_thread(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnlineReader, "_dropped", lambda *_: app.reader.online._snapshot is first)
    first = app.reader.online.snapshot
    app.store.runtime.forget_plans()  # somebody has changed the tables
    held = Held()
    registry: Registry = app.store.runtime.registry
    monkeypatch.setattr(registry, "state", held(registry.state))
    unseen = {"service": "fraud", "entities": [{"card_id": "never"}]}
    found = asyncio.run(answered_meanwhile(app, held, send(app, "POST", "/v1/features", unseen)))
    assert found == (200, 200)
    assert threading.main_thread() not in held.threads
