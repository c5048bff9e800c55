"""The server as a bare ASGI application: it decodes, calls and encodes, and nothing else.

    app = App(FeatureStore("repo/"), Settings())
    app.start()                                    # reads registry and keys; then any ASGI server

The same application runs under tests without a socket.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from skewless.errors import SkewlessError, StoreUnavailable, UnknownName
from skewless.request_errors import (
    AccessDenied,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    TooManyRequests,
)
from skewless.serving.excuse import reason_of
from skewless.serving.feast.contract import Feast, problem_response
from skewless.serving.http.cors import Cors
from skewless.serving.http.forward import WRITER, Forward
from skewless.serving.http.http import Receive, Request, RequestIds, Response, Scope, Send, dump
from skewless.serving.openapi import document
from skewless.serving.operate.background import EMPTY, FORGOTTEN, Upkeep
from skewless.serving.operate.catalog import Catalog
from skewless.serving.operate.keys import Caller
from skewless.serving.operate.logs import RequestLog, event
from skewless.serving.operate.metrics import KIND, Metrics
from skewless.serving.problems import ClientGone, answer_to
from skewless.serving.read.accesses import begin
from skewless.serving.read.experiments import ExperimentsHandler
from skewless.serving.read.features import FeaturesHandler
from skewless.serving.read.reader import Reader
from skewless.serving.read.served_log import ServedLog
from skewless.serving.settings import Settings
from skewless.serving.threads import Threads
from skewless.serving.write.writes import Writer
from skewless.store import FeatureStore

Handler = Callable[[Request], Awaitable[Response]]
MOST_SILENT = 5.0
"""Seconds that the online store may take to answer a probe before the server is not ready."""
QuickHandler = Callable[[bytes, Caller, str], Response | None]


@dataclass(frozen=True)
class Route:
    """One address and what answers there.

    Attributes:
        path: as it is counted in metrics.
        handler: answers.
        feast: whether errors are written as Feast does.
        open: whether callers without a key may come.
        always: whether it is answered where the registry is empty or lost, and however much there
            is to do.
        writes: whether it is for the process that writes.
        waits: whether its answer comes when a materialization is done.
    """

    path: str
    handler: Handler
    feast: bool = False
    open: bool = False
    always: bool = False
    writes: bool = False
    waits: bool = False

    @property
    def where(self) -> str:
        """How errors of posts name the place."""
        return f"POST {self.path}"


class App:
    """The ASGI application.

    Args:
        store: what is served.
        settings: limits and deadlines.
        folder: what the processes of one server share; None: there is but one.
        worker: the number of this process.
        writer: the socket of the process that writes; None: this one does.
        large: leads to the process that answers large reads; None: this one does.
        inner: whether callers reach it through another process, which counts their requests.
        stands_back: how much nicer it is than others once it has started.

    Attributes:
        quick: the addresses of reads that can be answered without a task, and what answers.
        draining: whether the server is stopping.
        refused: why it cannot start, if it cannot.
    """

    def __init__(
        self,
        store: FeatureStore,
        settings: Settings,
        *,
        folder: Path | None = None,
        worker: int = 0,
        writer: str | None = None,
        large: Forward | None = None,
        inner: bool = False,
        stands_back: int = 0,
    ) -> None:
        self._stands_back = stands_back
        self.store = store
        self.settings = settings
        self.metrics = Metrics(folder, worker)
        self.reader = Reader(store.runtime, settings, self.metrics, store.audit)
        log = None
        if settings.served_log > 0:
            log = ServedLog(store.config.folder / ".skewless" / "served", settings.served_log,
                            self.metrics)  # fmt: skip
        self.audit = store.audit
        self._on_record = Threads(settings.threads, settings.max_waiting, "audit")
        self._remembers = log is not None or self.audit.is_on
        self._features = features = FeaturesHandler(self.reader, settings, log, store.audit)
        self.writer = Writer(store, settings, self.metrics)
        self.catalog = Catalog(store, features, settings)
        self.upkeep = Upkeep(
            store, settings, self.metrics, self.reader, log, folder=folder, first=worker == 0
        )
        self.log = RequestLog(settings.log == "requests")
        self.draining = False
        self.refused: SkewlessError | None = None
        self._forward = None if writer is None else Forward(writer, settings, WRITER)
        features.elsewhere = large
        self._inner = inner
        self._active = 0
        self._ids = RequestIds()
        self._cors = Cors(settings.cors_origins) if settings.cors_origins else None
        self._document = dump(document())
        feast = Feast(features, self.writer)
        self._routes = self._table(features, feast)
        self.quick: dict[bytes, tuple[Route, QuickHandler]] = {
            b"/v1/features": (self._routes["/v1/features"]["POST"], features.at_once),
            b"/get-online-features": (self._routes["/get-online-features"]["POST"], feast.at_once),
        }

    def _table(self, features: FeaturesHandler, feast: Feast) -> dict[str, dict[str, Route]]:
        writer, catalog = self.writer, self.catalog
        gets: dict[str, Handler] = {
            "/v1/services": catalog.services,
            "/v1/views": catalog.views,
            "/v1/features": catalog.features,
            "/v1/entities": catalog.entities,
            "/v1/sources": catalog.sources,
            "/v1/explain": catalog.explain,
        }
        table = {path: {"GET": Route(path, handler)} for path, handler in gets.items()}
        table["/metrics"] = {"GET": Route("/metrics", self._metrics, always=True)}
        about: dict[str, Handler] = {
            "/ready": self._ready,
            "/health": self._health,
            "/openapi.json": self._openapi,
        }
        for path, handler in about.items():
            table[path] = {"GET": Route(path, handler, open=True)}
        table["/v1/features"]["POST"] = Route("/v1/features", features)
        posts: dict[str, tuple[Handler, bool]] = {
            "/v1/push": (writer.handle_push, False),
            "/v1/materialize": (writer.handle_materialize, False),
            "/push": (feast.push, True),
            "/write-to-online-store": (feast.write, True),
            "/materialize": (feast.materialize, True),
            "/materialize-incremental": (feast.materialize, True),
        }
        for path, (post, as_feast) in posts.items():
            waits = as_feast and post == feast.materialize
            table[path] = {"POST": Route(path, post, feast=as_feast, writes=True, waits=waits)}
        table["/get-online-features"] = {
            "POST": Route("/get-online-features", feast.read, feast=True)
        }
        trial = ExperimentsHandler(self.store, features)
        table["/v1/experiments/"] = {"POST": Route("/v1/experiments/{name}", trial)}
        table["/v1/jobs"] = {"GET": Route("/v1/jobs", writer.handle_jobs)}
        table["/v1/jobs/"] = {"GET": Route("/v1/jobs/{id}", writer.handle_job)}
        return table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the life of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        began = time.perf_counter()
        request = Request(scope, receive, self.settings.max_body)
        request_id = self._ids.of(request.headers)
        route: Route | None = None
        problem: SkewlessError | None = None
        self._active += 1
        request.headers[b"x-request-id"] = request_id  # also where it is handed on
        if self._remembers:
            begin(request.headers, request_id)
        try:
            asked = self._preflight(request)
            if asked is None:
                route = self._route(request)
                asked = await self._answer(route, request)
            response = asked
        except SkewlessError as raised:
            problem = self._seen(raised)
            response = self._problem(route, problem)
        except ClientGone:
            return
        except Exception as bug:  # noqa: BLE001 - whatever it is, the client gets an answer
            response = self._failed(route, bug, request_id)
        finally:
            self._active -= 1
        if self._cors is not None:
            response.headers = (response.headers or {}) | self._cors.headers(request.headers)
        await response.send(send, request_id)
        path = "none" if route is None else route.path
        self._count(path, response, began)
        self.log.note(scope, response.status, began, request_id, problem)

    def at_once(
        self, path: bytes, headers: dict[bytes, bytes], body: bytes
    ) -> tuple[Response, bytes] | None:
        """Answer a small read without a task of its own; None: it is not small.

        Limits, keys, errors, counts and logs are those of every request.

        Args:
            path: one of `quick`.
            headers: of the request, by lower-case name.
            body: of the request, complete.

        Returns:
            The answer and the id of the request.
        """
        if self.audit.is_strict or (self._cors is not None and b"origin" in headers):
            return None
        began = time.perf_counter()
        route, handler = self.quick[path]
        problem: SkewlessError | None = None
        request_id = self._ids.of(headers)
        try:
            caller = self._caller(headers)
            self._check_load()
            self.upkeep.check_registry()
            if self._remembers:
                begin(headers, request_id)
            response = handler(body, caller, route.where)
            if response is None:
                caller.pay(-1)  # the long way asks for the key once more
                return None
        except SkewlessError as raised:
            problem = self._seen(raised)
            response = self._problem(route, problem)
        except Exception as bug:  # noqa: BLE001 - whatever it is, the client gets an answer
            response = self._failed(route, bug, request_id)
        self._count(route.path, response, began)
        if problem is not None or self.log.everything:
            scope = {"method": "POST", "path": route.path}
            self.log.note(scope, response.status, began, request_id, problem)
        return response, request_id

    def _preflight(self, request: Request) -> Response | None:
        """Return the answer to a browser that asks whether a page may call; None: it does not."""
        if self._cors is None or request.scope["method"] != "OPTIONS":
            return None
        methods = self._routes.get(request.scope["path"], {"GET": None})
        return self._cors.preflight("OPTIONS", request.headers, list(methods))

    def _count(self, path: str, response: Response, began: float) -> None:
        if self._inner:
            return
        size = "large" if response.large else "small"
        self.metrics.duration.observe((path, size), time.perf_counter() - began)
        self.metrics.requests.add((path, str(response.status)))

    async def _answer(self, route: Route, request: Request) -> Response:
        if route.open:
            return await route.handler(request)
        request.caller = self._caller(request.headers)
        if not route.always:
            self._check_load()
            self.upkeep.check_registry()
        if route.writes and self._forward is not None:
            return await self._forward.write(request, waits=route.waits)
        if not self.audit.is_strict:
            return await route.handler(request)
        before = self.audit.noted
        response = await route.handler(request)
        if self.audit.noted > before:
            await self._on_record.run(self.settings.timeout, self.audit.settle, before + 1)
        return response

    def _caller(self, headers: dict[bytes, bytes]) -> Caller:
        ring = self.upkeep.keyring
        if ring is None:
            raise StoreUnavailable("the keys were not read yet", hint="GET /ready says when.")
        given, tokens = headers.get(b"authorization"), self.upkeep.tokens
        if tokens is not None:
            if (holder := tokens.caller(given)) is not None:
                return holder
            if not ring.required:
                raise AccessDenied(
                    "a token is needed",
                    expected="the header Authorization: Bearer <token>",
                    headers={"www-authenticate": "Bearer"},
                )
        return ring.caller(given)

    def _seen(self, problem: SkewlessError) -> SkewlessError:
        """Return an error as the caller is to see it: names are unknown to a lost registry."""
        if isinstance(problem, UnknownName):
            try:
                self.upkeep.check_registry(asked=self.reader.online)
            except StoreUnavailable as lost:
                return lost
        return problem

    def _check_load(self) -> None:
        """Raise `Overloaded` when there is more to do than can be done in time."""
        if self._active > self.settings.max_requests:
            raise self._refused("requests", "too many requests are in progress")
        if self.upkeep.lag > self.settings.max_lag:
            raise self._refused("lag", "the server cannot keep up")

    def _refused(self, reason: str, what: str) -> Overloaded:
        self.metrics.shed.add((reason,))
        return Overloaded(what, hint="Nothing was done. Try again later.")

    def _route(self, request: Request) -> Route:
        path, method = request.scope["path"], request.scope["method"]
        methods = self._routes.get(path)
        if methods is None:
            head, slash, rest = path.rpartition("/")
            methods = self._routes.get(head + slash) if rest else None
            if methods is None:
                raise NotFound(
                    "nothing is at this address",
                    got=path[:200], hint="GET /openapi.json lists the addresses.",
                )  # fmt: skip
            request.rest = rest
        found = methods.get("GET" if method == "HEAD" else method)
        if found is None:
            raise MethodNotAllowed(
                "this address does not take that method",
                got=method,
                expected=", ".join(methods),
                where=path,
                headers={"allow": ", ".join(methods)},
            )
        return found

    @staticmethod
    def _problem(route: Route | None, problem: SkewlessError) -> Response:
        if route is not None and route.feast:
            return problem_response(problem)
        status, headers, content = answer_to(problem)
        return Response.json(content, status, headers)

    def _failed(self, route: Route | None, bug: Exception, request_id: bytes) -> Response:
        """Log what should not have happened, with its trace, and return an answer without it."""
        number = request_id.decode("latin-1")
        trace = "".join(traceback.format_exception(bug))
        event("failed", id=number, path=None if route is None else route.path, trace=trace)
        problem = InternalError("an internal error", hint=f"The log has it as {number}.")
        return self._problem(route, problem)

    async def _health(self, request: Request) -> Response:
        """Answer ``GET /health``: alive. Empty, as Feast's clients expect it."""
        del request  # probes may have parameters
        return Response(b"")

    async def _ready(self, request: Request) -> Response:
        """Answer ``GET /ready``: whether requests can be answered, and if not, why."""
        del request  # probes may have parameters
        reasons = []
        if not self.reader.online.ready:
            reasons.append("the registry was not read yet")
        if self.reader.down is not None:
            reasons.append(f"the online store cannot be read: {self.reader.down.what}")
        elif self.reader.silent > MOST_SILENT:
            reasons.append("the online store does not answer, or another one is being opened")
        if self.upkeep.keyring is not None and self.upkeep.keyring.forgotten:
            reasons.append(FORGOTTEN)
        if self.store.runtime.is_empty:
            reasons.append(EMPTY)
        if self.draining:
            reasons.append("the server is stopping")
        online = self.reader.online
        building = list(online.snapshot.serving.building) if online.ready else []
        state = {
            "ready": not reasons,
            "reasons": reasons,
            "building": building,
            "warnings": self.upkeep.concerns,
        }
        return Response.json(state, 503 if reasons else 200)

    async def _openapi(self, request: Request) -> Response:
        """Answer ``GET /openapi.json``; of the services those that the caller may read."""
        try:
            request.caller = self._caller(request.headers)
        except (AccessDenied, TooManyRequests, StoreUnavailable):
            return Response(self._document)
        if not self.reader.online.ready:
            return Response(self._document)
        return await self.catalog.openapi(request)

    async def _metrics(self, request: Request) -> Response:
        """Answer ``GET /metrics``."""
        request.caller.require_everything(request.where)
        self.metrics.in_progress.set((), self._active)
        return Response(self.metrics.text(), kind=KIND)

    def start(self) -> None:
        """Read the registry and the keys, and warm up; `SkewlessError` if that cannot be."""
        if self._forward is None:
            self.writer.warm()
        self.upkeep.first_time()
        if self._stands_back:
            os.nice(self._stands_back)  # not before: on a busy machine it would never be ready

    async def _live(self, receive: Receive, send: Send) -> None:
        """Follow the life of the server: start, work in the background, stop."""
        await receive()
        try:
            self.start()
        except Exception as problem:  # noqa: BLE001 - whatever it is, who started it is told
            self.refused = reason_of(problem)
            await send({"type": "lifespan.startup.failed", "message": str(self.refused)})
            return
        self.upkeep.go()
        event("ready")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def close(self) -> None:
        """Finish what is under way and let everything go."""
        self.draining = True
        await self.upkeep.stop()
        self.writer.close()
        self.catalog.close()
        self.reader.close()
