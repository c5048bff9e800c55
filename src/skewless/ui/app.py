"""The application: addresses, pages and what becomes of errors.

    app = make_app(FeatureStore("repo/"))

A page function takes the site and the request's words and returns a `Page`. Each page is data too:
``?format=json``. Page functions read the store, so they run in threads.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from skewless.codec import json_default
from skewless.errors import InputError, SkewlessError, StoreUnavailable, UnknownName
from skewless.lineage.access import Access
from skewless.ui.acts import ACTS, carry_out
from skewless.ui.door import Door, Keys
from skewless.ui.page import Page
from skewless.ui.pages import (
    acts,
    alerts,
    changes,
    cost,
    drift,
    entity,
    explore,
    feature,
    freshness,
    home,
    jobs,
    lineage,
    quality,
    replay,
    runs,
    search,
    service,
    source,
    view,
)  # fmt: skip
from skewless.ui.render import make_environment, render
from skewless.ui.security import LOOPBACK, Guard
from skewless.ui.site import Site

if TYPE_CHECKING:
    from skewless.store import FeatureStore

logger = logging.getLogger("skewless.ui")
MOST_FORM = 20_000
"""Bytes of a form."""
PageOf = Callable[[Site, dict[str, str]], Page]

TITLES = {
    403: "Refused", 404: "Not found", 500: "This page failed", 503: "The store does not answer",
}  # fmt: skip
"""Status to the title of the page of an error."""
PAGES: dict[str, PageOf] = {
    "/": home.page,
    "/search": search.page,
    "/explore": explore.page,
    "/views": view.all_views,
    "/views/{name}": view.page,
    "/views/{name}/statistics": view.statistics,
    "/features/{name}": feature.page,
    "/features/{name}/distribution": feature.distribution,
    "/services": service.all_services,
    "/services/{name}": service.page,
    "/entities": entity.all_entities,
    "/entities/{name}": entity.page,
    "/sources": source.all_sources,
    "/sources/{name}": source.page,
    "/freshness": freshness.page,
    "/lineage": lineage.page,
    "/drift": drift.page,
    "/quality": quality.page,
    "/alerts": alerts.page,
    "/cost": cost.page,
    "/replay": replay.page,
    "/jobs": jobs.page,
    "/runs": runs.page,
    "/training-sets": runs.training_sets,
    "/training-sets/{name}": runs.training_set,
    "/changes": changes.page,
    "/acts": acts.page,
    "/acts/{act}": acts.form,
}
"""Address to what makes the page."""


def make_app(
    store: FeatureStore, hosts: Iterable[str] = LOOPBACK, keys: Keys | None = None
) -> ASGIApp:
    """Return the catalogue of a store as an ASGI application.

    Args:
        store: the open repo.
        hosts: the names under which it may be asked for.
        keys: looks up keys: then it may be asked for under any name, by who has one.
    """
    answers = _Answers(Site(store), secrets.token_urlsafe(32))
    folder = Path(__file__).parent / "static"
    app = Starlette(
        routes=[
            Route("/acts/{act}", answers.act, methods=["POST"]),
            *(Route(path, answers.page(make)) for path, make in PAGES.items()),
            Route("/favicon.ico", lambda _: RedirectResponse("/static/favicon.svg")),
            Mount("/static", StaticFiles(directory=folder)),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=1000)],
        exception_handlers={404: answers.missing, 500: answers.failed},
    )
    if keys is not None:
        return Guard(Door(app, keys, lambda: Access(store.runtime.state())), None)
    return Guard(app, hosts)  # around everything, the answer to a failure included


class _Answers:
    """Answers requests with pages, and carries out acts."""

    def __init__(self, site: Site, token: str) -> None:
        self._site = site
        self._token = token.encode()
        self._environment = make_environment(token)

    def page(self, make: PageOf) -> Callable[[Request], Response]:
        """Return what answers for a page."""

        def answer(request: Request) -> Response:
            try:
                page = make(self._site, {**request.query_params, **request.path_params})
            except SkewlessError as problem:
                page = _of_error(problem)
            return self._written(page, request.query_params)

        return answer

    async def act(self, request: Request) -> Response:
        """Carry out the act that a form of this process asks for."""
        given = await _fields(request)
        if not secrets.compare_digest(given.get("token", "").encode(), self._token):
            problem = InputError(
                "this form is not of this catalogue, or of an earlier run of it",
                hint="Load the page again, and do it once more.",
            )
            return self._written(_of_error(problem, 403), {})
        return await run_in_threadpool(self._acted, request.path_params["act"], given)

    def missing(self, request: Request, _: Exception) -> Response:
        """Answer for an address where nothing is."""
        problem = UnknownName("there is no such page", got=request.url.path)
        return self._written(_of_error(problem), request.query_params)

    def failed(self, request: Request, problem: Exception) -> Response:
        """Answer for a page that failed; the log says why."""
        logger.error("%s failed", request.url.path, exc_info=problem)
        shown = SkewlessError("this page failed", hint="The log of skewless ui says why.")
        return self._written(_of_error(shown), request.query_params)

    def _acted(self, name: str, given: dict[str, str]) -> Response:
        try:
            carry_out(self._site, name, given)
        except SkewlessError as problem:
            if name not in ACTS:
                return self._written(_of_error(problem), {})
            page = acts.form(self._site, {**given, "act": name})
            fields = page.data["fields"]
            said = [{**field, "given": given.get(field["name"], "")} for field in fields]
            data = {**page.data, "problem": problem.to_dict(), "fields": said}
            return self._written(replace(page, data=data, status=400), {})
        return RedirectResponse("/" if name in ("acknowledge", "silence") else "/acts", 303)

    def _written(self, page: Page, given: Mapping[str, str]) -> Response:
        if given.get("format") == "json":
            body = msgspec.json.encode({"title": page.title, **page.data}, enc_hook=json_default)
            return Response(body, page.status, media_type="application/json")
        html = render(self._environment, page, self._site, bool(given.get("fragment")))
        return HTMLResponse(html, page.status)


async def _fields(request: Request) -> dict[str, str]:
    """Return the fields of a form, one value each; nothing of a body that is none, or too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM:
            return {}
    text = body.decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=20))


def _of_error(problem: SkewlessError, status: int = 400) -> Page:
    """Return the page of an error: what, got, expected, where, and what to do."""
    if isinstance(problem, UnknownName):
        status = 404
    elif isinstance(problem, StoreUnavailable):
        status = 503
    elif type(problem) is SkewlessError:
        status = 500
    title = TITLES.get(status, "That cannot be shown")
    return Page("error.html", title, {"problem": problem.to_dict()}, status=status)
