"""``GET /v1/services``, ``views``, ``features``, ``entities``, ``sources`` and ``explain``.

What there is, as plain data, without addresses or settings of stores. None of it is done on the
event loop: what thousands of features take to list or search, no read waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from skewless.codec import from_text
from skewless.definitions import Aggregate, FeatureView, OnDemandView, Source
from skewless.durations import format_duration
from skewless.errors import MissingColumn
from skewless.monitoring.search import search
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.selection import select
from skewless.request_errors import RequestError
from skewless.serving.http.http import Request, Response
from skewless.serving.problems import unknown_key
from skewless.serving.read.features import FeaturesHandler, at_of
from skewless.serving.settings import Settings
from skewless.serving.threads import Threads
from skewless.store import FeatureStore
from skewless.types import Misfit

_LABELS = ("owner", "description", "tags", "deprecated", "sunset")


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
        return await self._answer(_fitting, state, query["q"], int(limit))

    async def entities(self, request: Request) -> Response:
        """Answer ``GET /v1/entities``."""
        request.query()
        return await self._answer(_entities, self._everything(request))

    async def sources(self, request: Request) -> Response:
        """Answer ``GET /v1/sources``."""
        request.query()
        return await self._answer(_sources, self._everything(request))

    async def explain(self, request: Request) -> Response:
        """Answer ``GET /v1/explain?feature=View:feature&<join key>=...&at=...``."""
        state = self._everything(request)
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
        moment = None if at is None else at_of(int(at) if at.lstrip("-").isdecimal() else at)
        found = await self.threads.run(
            self.settings.write_timeout, self._explain, feature, entity, moment
        )
        return Response.json(found)

    def _explain(self, feature: str, entity: dict[str, Any], at: int | None) -> dict[str, Any]:
        return self.store.explain(feature, entity, at=at).to_dict()

    def _everything(self, request: Request) -> RegistryState:
        request.caller.require_everything(request.where)
        return self._state()

    def close(self) -> None:
        """Let the threads go."""
        self.threads.close()
        self.catalogue.close()


def _services(state: RegistryState, allowed: Sequence[str]) -> dict[str, Any]:
    listed = [
        {"name": name, "features": list(state.pins[name]), **_labels(state.services[name].labels)}
        for name in sorted(state.pins)
        if not allowed or name in allowed
    ]
    return {"services": listed}


def _views(state: RegistryState) -> dict[str, Any]:
    listed = [_view(view, *key, state) for key, view in sorted(state.views.items())]
    listed += [_on_demand(view, *key, state) for key, view in sorted(state.on_demand.items())]
    return {"views": listed}


def _features(state: RegistryState) -> dict[str, Any]:
    listed = []
    for name, version in sorted(state.current.items()):
        view = state.view(name, version)
        for feature, dtype in view.dtypes.items():
            entry = {"feature": f"{name}:{feature}", "version": version, "type": repr(dtype)}
            if isinstance(view, FeatureView):
                entry["entity"] = view.entity.name
            listed.append(entry)
    return {"features": listed}


def _fitting(state: RegistryState, text: str, limit: int) -> dict[str, Any]:
    return {"features": search(state, text, limit)}


def _entities(state: RegistryState) -> dict[str, Any]:
    listed = [
        {
            "name": name,
            "join_keys": {key: repr(dtype) for key, dtype in entity.join_keys},
            "description": entity.description,
        }
        for name, entity in sorted(state.entities.items())
    ]
    return {"entities": listed}


def _sources(state: RegistryState) -> dict[str, Any]:
    return {"sources": [_source(source) for _, source in sorted(state.sources.items())]}


def _labels(labels: dict[str, Any]) -> dict[str, Any]:
    return {name: labels[name] for name in _LABELS if labels.get(name)}


def _view(view: FeatureView, name: str, version: int, state: RegistryState) -> dict[str, Any]:
    freshness = view.labels["freshness"]
    return {
        "name": name,
        "version": version,
        "current": state.current.get(name) == version,
        "kind": "feature view",
        "entity": view.entity.name,
        "source": view.source.name,
        "features": {
            feature: {
                "type": repr(expression.dtype),
                "computes": repr(expression),
                "derived": not isinstance(expression, Aggregate),
            }
            for feature, expression in view.expressions.items()
        },
        "freshness": None if freshness is None else format_duration(freshness),
        **_labels(view.labels),
    }


def _on_demand(view: OnDemandView, name: str, version: int, state: RegistryState) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "current": state.current.get(name) == version,
        "kind": "on-demand view",
        "features": {feature: {"type": repr(dtype)} for feature, dtype in view.dtypes.items()},
        "needs": [ref.reference for ref in view.refs],
        "requests": {field.name: repr(field.dtype) for field in view.requests},
        **_labels(view.labels),
    }


def _source(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "columns": {name: repr(dtype) for name, dtype in source.columns.items()},
        "event_time": source.event_time,
        "known_time": source.known_time,
        "row_id": list(source.row_id),
        "table": None if source.table is None else source.table.kind,
        "stream": None if source.stream is None else source.stream.kind,
        "owner": source.owner,
        "description": source.description,
    }
