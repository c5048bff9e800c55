"""The application: addresses, pages and what becomes of errors.

    app = make_app(FeatureStore("repo/"))

A page function takes the site and the request's words and returns a `Page`. Each page is data too:
``?format=json``. Page functions read the store, so they run in threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from skewless.codec import json_default
from skewless.errors import SkewlessError, StoreUnavailable, UnknownName
from skewless.ui.page import Page
from skewless.ui.pages import (
    changes,
    entity,
    explore,
    feature,
    freshness,
    home,
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
PageOf = Callable[[Site, dict[str, str]], Page]

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
    "/quality": quality.page,
    "/replay": replay.page,
    "/runs": runs.page,
    "/training-sets": runs.training_sets,
    "/training-sets/{name}": runs.training_set,
    "/changes": changes.page,
}
"""Address to what makes the page."""


def make_app(store: FeatureStore, hosts: Iterable[str] = LOOPBACK) -> ASGIApp:
    """Return the catalogue of a store as an ASGI application.

    Args:
        store: the open repo.
        hosts: the names under which it may be asked for.
    """
    site, environment = Site(store), make_environment()

    def written(page: Page, given: Mapping[str, str]) -> Response:
        if given.get("format") == "json":
            body = msgspec.json.encode({"title": page.title, **page.data}, enc_hook=json_default)
            return Response(body, page.status, media_type="application/json")
        html = render(environment, page, site, bool(given.get("fragment")))
        return HTMLResponse(html, page.status)

    def endpoint(make: PageOf) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                page = make(site, {**request.query_params, **request.path_params})
            except SkewlessError as problem:
                page = _of_error(problem)
            return written(page, request.query_params)

        return answer

    def missing(request: Request, _: Exception) -> Response:
        problem = UnknownName("there is no such page", got=request.url.path)
        return written(_of_error(problem), request.query_params)

    def failed(request: Request, problem: Exception) -> Response:
        logger.error("%s failed", request.url.path, exc_info=problem)
        shown = SkewlessError("this page failed", hint="The log of skewless ui says why.")
        return written(_of_error(shown), request.query_params)

    folder = Path(__file__).parent / "static"
    app = Starlette(
        routes=[
            *(Route(path, endpoint(make)) for path, make in PAGES.items()),
            Route("/favicon.ico", lambda _: RedirectResponse("/static/favicon.svg")),
            Mount("/static", StaticFiles(directory=folder)),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=1000)],
        exception_handlers={404: missing, 500: failed},
    )
    return Guard(app, hosts)  # around everything, the answer to a failure included


def _of_error(problem: SkewlessError) -> Page:
    """Return the page of an error: what, got, expected, where, and what to do."""
    status = 400
    if isinstance(problem, UnknownName):
        status = 404
    elif isinstance(problem, StoreUnavailable):
        status = 503
    elif type(problem) is SkewlessError:
        status = 500
    titles = {404: "Not found", 503: "The store does not answer", 500: "This page failed"}
    title = titles.get(status, "That cannot be shown")
    return Page("error.html", title, {"problem": problem.to_dict()}, status=status)
