"""``POST /v1/experiments/{name}``: each entity is answered by the service of its variant.

    {"entities": [{"card_id": "c1"}, {"card_id": "c2"}]}

answers, with under each variant what ``/v1/features`` answers for its service and the entities that
have it, in their order::

    {"experiment": "new_velocity", "variants": ["control", "treatment"],
     "control": {...}, "treatment": {...}}

Who was exposed is noted before the answer is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import msgspec

from skewless.clock import Now
from skewless.experiments.experiment import Experiment
from skewless.serving.http.http import Request, Response
from skewless.serving.operate.keys import VALUES_A_PERMIT
from skewless.serving.read.encode import features_json
from skewless.serving.read.features import FeaturesHandler
from skewless.serving.read.pieces import JsonPieces
from skewless.serving.read.plans import ReadPlan
from skewless.store import FeatureStore
from skewless.stores.online.base import TooMuch

FRESH_SECONDS = 5.0
"""So long after an experiment was stopped, a server may still assign."""


class ExperimentRequest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The body of a request."""

    entities: list[dict[str, Any]]


class ExperimentsHandler:
    """Answers reads of experiments; what they are is read from the ledger, off the event loop."""

    def __init__(self, store: FeatureStore, features: FeaturesHandler) -> None:
        self.store, self.features = store, features
        self._decoder = msgspec.json.Decoder(ExperimentRequest)
        self._known: dict[str, tuple[float, Experiment]] = {}

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        body = await request.body()
        entities = request.decoded_from(body, self._decoder).entities
        trial = await self._experiment(request.rest)
        for service in trial.services.values():
            self._plan(service, request)  # all of them, before one is read
        t = Now(self.features.clock.now())
        variants = [trial.assign(entity) for entity in entities]
        answer: dict[str, Any] = {"experiment": trial.design.name, "variants": variants}
        for variant, service in trial.services.items():
            given = [e for e, of in zip(entities, variants, strict=True) if of == variant]
            answer[variant] = msgspec.Raw(await self._read(service, given, t, request, len(body)))
        await asyncio.to_thread(trial.expose, entities, variants, int(t))
        return Response(msgspec.json.encode(answer))

    async def _read(
        self, service: str, given: list[dict[str, Any]], t: int, request: Request, size: int
    ) -> bytes:
        if not given:
            return b"null"
        plan = self._plan(service, request)
        entities = plan.entities(given, self.features.settings.max_entities, request.where)
        request.caller.pay(plan.weight * len(entities) // VALUES_A_PERMIT)
        reader = self.features.reader
        if reader.is_small(plan, len(entities)):
            with contextlib.suppress(TooMuch):
                found = await reader.read(plan, entities, t)
                self.features.note(request.caller, plan, entities, found, t)
                return features_json(plan, found, t, ())
        pieces = JsonPieces(plan, t, (), statuses=True, int64_as_text=False)
        with reader.admitted(size) as turn:
            async for _, some, found in reader.slices(turn, plan, entities, t):
                self.features.note(request.caller, plan, some, found, t)
                pieces.add(some, found)
        return b"".join(pieces.response().parts)

    def _plan(self, service: str, request: Request) -> ReadPlan:
        request.caller.require_service(service, request.where)
        return self.features.reader.plan_of(
            request.caller, service, lambda state: list(state.service(service)),
            full_names=False, where=request.where,
        )  # fmt: skip

    async def _experiment(self, name: str) -> Experiment:
        now = time.monotonic()
        read, trial = self._known.get(name, (float("-inf"), None))
        if trial is None or now - read > FRESH_SECONDS:
            found = await asyncio.to_thread(self.store.experiment, name)
            if trial is None or found.stopped != trial.stopped:
                trial = found  # else the one that remembers who was exposed goes on
            self._known[name] = (now, trial)
        return trial
