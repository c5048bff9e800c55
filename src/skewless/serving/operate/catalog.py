"""``GET /v1/services``, ``views``, ``features``, ``entities``, ``sources`` and ``explain``.

What there is, as plain data, without addresses or settings of stores. None of it is done on the
event loop: what thousands of features take to list or search, no read waits for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from skewless.access.actors import acting_for
from skewless.codec import from_text
from skewless.definitions import FeatureView
from skewless.errors import MissingColumn
from skewless.monitoring.catalog import (
    entity_entry,
    on_demand_entry,
    service_entry,
    service_schemas,
    source_entry,
    view_entry,
    words_of_feature,
)
from skewless.monitoring.search import search
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.selection import select
from skewless.request_errors import RequestError
from skewless.serving.http.http import Request, Response
from skewless.serving.openapi import document
from skewless.serving.problems import unknown_key
from skewless.serving.read.accesses import NOBODY
from skewless.serving.read.features import FeaturesHandler, at_of
from skewless.serving.settings import Settings
from skewless.serving.threads import Threads
from skewless.store import FeatureStore
from skewless.types import Misfit

_MICROS = re.compile(r"-?[0-9]{1,19}").fullmatch


class Catalog:
    """Answers questions about what there is."""

    def __init__(self, store: FeatureStore, features: FeaturesHandler, settings: Settings) -> None:
        self.store = store
        self.features_handler = features
        self.settings = settings
        self.threads = Threads(2, settings.max_waiting, "history")
        self.catalogue = Threads(1, settings.max_waiting, "catalogue")

    def _state(self) -> RegistryState:
        return self.features_handler.reader.online.snapshot.state

    async def _answer(self, made: Callable[..., Any], *arguments: Any) -> Response:
        """Return what is made of the registry as JSON; of a large one that takes a while."""
        return await self.catalogue.run(
            self.settings.write_timeout, lambda: Response.json(made(*arguments))
        )

    async def services(self, request: Request) -> Response:
        """Answer ``GET /v1/services``: those that the caller may read."""
        request.query()
        return await self._answer(_services, self._state(), request.caller.services)

    async def views(self, request: Request) -> Response:
        """Answer ``GET /v1/views``: every version that serves."""
        request.query()
        return await self._answer(_views, self._everything(request))

    async def features(self, request: Request) -> Response:
        """Answer ``GET /v1/features``: those of current versions; ``?q=`` those that fit words."""
        state = self._everything(request)
        query = request.query("q", "limit")
        if "q" not in query:
            return await self._answer(_features, state)
        limit = query.get("limit", "10")
        if not limit.isdecimal() or not 0 < int(limit[:6]) <= 1_000:
            raise RequestError("not a limit", got=limit, expected="1 to 1000", where="limit")
        text, most = query["q"], int(limit)
        # Whether views are fresh is a question to history.
        threads = self.threads if "fresh" in text.lower() else self.catalogue
        return await threads.run(
            self.settings.write_timeout, lambda: Response.json(self._fitting(state, text, most))
        )

    async def entities(self, request: Request) -> Response:
        """Answer ``GET /v1/entities``."""
        request.query()
        return await self._answer(_entities, self._everything(request))

    async def sources(self, request: Request) -> Response:
        """Answer ``GET /v1/sources``."""
        request.query()
        return await self._answer(_sources, self._everything(request))

    async def openapi(self, request: Request) -> Response:
        """Return the description with the vectors of the services that the caller may read."""
        return await self._answer(_document, self._state(), request.caller.services)

    async def explain(self, request: Request) -> Response:
        """Answer ``GET /v1/explain?feature=View:feature&<join key>=...&at=...``."""
        state = self._everything(request)
        # It shows rows of the source and what the feature is made of.
        self.features_handler.reader.access().require_everything(
            request.caller.asker, request.where
        )
        query = request.any_query()
        feature = query.pop("feature", None)
        if feature is None or ":" not in feature:
            raise RequestError(
                "not a feature", got=feature, expected="feature=View:feature", where=request.where
            )
        at = query.pop("at", None)
        selection = select(state, [feature])
        types = selection.join_keys | {r.name: r.dtype for r in selection.requests}
        for name in types:
            if name not in query:
                raise MissingColumn.of(name, query, where=f"the query of {request.where}")
        for name in query:
            if name not in types:
                raise unknown_key(name, frozenset(types))
        try:
            entity = {name: from_text(text, types[name], name) for name, text in query.items()}
        except Misfit as problem:
            raise problem.as_input("the query") from None
        moment = None if at is None else at_of(int(at) if _MICROS(at) else at)
        found = await self.threads.run(
            self.settings.write_timeout,
            self._explain,
            feature,
            entity,
            moment,
            request.caller.who or NOBODY,
        )
        return Response.json(found)

    def _explain(
        self, feature: str, entity: dict[str, Any], at: int | None, who: str
    ) -> dict[str, Any]:
        with acting_for(who):
            return self.store.explain(feature, entity, at=at).to_dict()

    def _fitting(self, state: RegistryState, text: str, limit: int) -> dict[str, Any]:
        return {
            "features": search(
                state, text, limit, fresh=self.store.freshness, used=self.store.usage.counts
            )
        }

    def _everything(self, request: Request) -> RegistryState:
        request.caller.require_everything(request.where)
        return self._state()

    def close(self) -> None:
        """Let the threads go."""
        self.threads.close()
        self.catalogue.close()


def _document(state: RegistryState, allowed: frozenset[str]) -> dict[str, Any]:
    found = document()
    found["components"]["schemas"] |= service_schemas(state, allowed)
    return found


def _services(state: RegistryState, allowed: Sequence[str]) -> dict[str, Any]:
    names = (name for name in sorted(state.pins) if not allowed or name in allowed)
    return {"services": [service_entry(state, name) for name in names]}


def _views(state: RegistryState) -> dict[str, Any]:
    listed = [view_entry(view, *key, state) for key, view in sorted(state.views.items())]
    listed += [on_demand_entry(view, *key, state) for key, view in sorted(state.on_demand.items())]
    return {"views": listed}


def _features(state: RegistryState) -> dict[str, Any]:
    listed = []
    for name, version in sorted(state.current.items()):
        view = state.view(name, version)
        for feature, dtype in view.dtypes.items():
            entry = {"feature": f"{name}:{feature}", "version": version, "type": repr(dtype)}
            if isinstance(view, FeatureView):
                entry["entity"] = view.entity.name
            listed.append(entry | words_of_feature(view, feature).to_dict())
    return {"features": listed}


def _entities(state: RegistryState) -> dict[str, Any]:
    return {"entities": [entity_entry(entity) for _, entity in sorted(state.entities.items())]}


def _sources(state: RegistryState) -> dict[str, Any]:
    return {"sources": [source_entry(source) for _, source in sorted(state.sources.items())]}
