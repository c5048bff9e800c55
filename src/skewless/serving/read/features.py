"""``POST /v1/features``: feature vectors, as JSON or Arrow, with statuses.

    {"service": "fraud_model", "entities": [{"card_id": "c1"}, {"card_id": "c2"}]}
    {"features": ["Spend:mean_24h"], "entities": {"card_id": ["c1", "c2"]}, "include": ["ages"]}

Request fields of on-demand features stand beside the join keys. An Arrow IPC stream may take the
place of the entities; what is asked for then stands in the query.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from skewless.audit.audit import Audit
from skewless.clock import Now, to_micros
from skewless.codec import whole_as_text
from skewless.errors import InputError
from skewless.plan.lookup import Found
from skewless.request_errors import RequestError, TooLarge
from skewless.serving.http.forward import Forward
from skewless.serving.http.http import ARROW, SMALL_BODY, Request, Response, decode
from skewless.serving.operate.keys import VALUES_A_PERMIT, Caller
from skewless.serving.read.accesses import note_read
from skewless.serving.read.encode import (
    EXTRAS,
    alike,
    columns_of,
    features_arrow,
    features_json,
    table_of,
)
from skewless.serving.read.pieces import ArrowPieces, JsonPieces, Pieces
from skewless.serving.read.plans import ReadPlan, Row, wrong_number
from skewless.serving.read.reader import Reader
from skewless.serving.read.served_log import ServedLog
from skewless.serving.read.turns import Turn
from skewless.serving.settings import Settings
from skewless.state.status import Status
from skewless.stores.online.base import TooMuch

if TYPE_CHECKING:
    import pyarrow as pa

_ABSENT = msgspec.Raw()
_PRESENT = (Status.PRESENT.value,)
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
_NAMES: msgspec.json.Decoder[list[str] | str] = msgspec.json.Decoder(list[str] | str)


class FeaturesRequest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The body of a request; see docs/serving.md."""

    entities: list[dict[str, Any]] | dict[str, list[Any]]
    features: msgspec.Raw = _ABSENT
    service: str | None = None
    at: str | int | None = None
    full_names: bool = False
    include: list[str] = []
    statuses: bool = True
    int64_as_text: bool = False


class _Wanted(NamedTuple):
    """A read: what is asked, the compiled read, the entities, the moment."""

    asked: FeaturesRequest
    plan: ReadPlan
    entities: Sequence[Row]
    t: int


class FeaturesHandler:
    """Answers reads."""

    def __init__(
        self, reader: Reader, settings: Settings, log: ServedLog | None, audit: Audit
    ) -> None:
        self.audit = audit
        self.reader = reader
        self.settings = settings
        self.log = log
        self.elsewhere: Forward | None = None
        """Leads to the process of large reads, where there is one; see `other`."""
        self.metrics = reader.metrics
        self.clock = reader.runtime.clock
        self._decoder = msgspec.json.Decoder(FeaturesRequest)
        self._turn = 0

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        if request.kind != ARROW and request.scope["query_string"]:
            raise RequestError(
                "parameters of a JSON request stand in its body",
                got=f"?{request.scope['query_string'].decode('latin-1')[:80]}",
                where=request.where,
            )
        body = await request.body()
        if len(body) > SMALL_BODY:
            if (other := self.other()) is not None:
                return await other.read(request, body)
            with self.reader.admitted(len(body)) as turn:
                await turn.begin()
                return await self._in_turns(turn, request, self._decoded(request, body))
        wanted = self._decoded(request, body)
        _, plan, entities, t = wanted
        small = self.reader.is_small(plan, len(entities))
        if small:
            with contextlib.suppress(TooMuch):
                found = await self.reader.read(plan, entities, t)
                return self._answer(wanted, request.caller, found, arrow=request.wants_arrow)
        # What an entity of a plan costs is seen here once.
        if (other := self.other()) is not None and (small or plan.paced):
            return await other.read(request, body)
        with self.reader.admitted(len(body)) as turn:
            return await self._in_turns(turn, request, wanted)

    def other(self) -> Forward | None:
        """Return what leads to the process that answers large reads; None: this one does."""
        found = self.elsewhere
        return found if found is not None and found.ready() else None

    def _decoded(self, request: Request, body: bytes) -> _Wanted:
        where = request.where
        if request.kind == ARROW:
            asked = self._asked_by_query(request)
            asked.entities = columns_of(self._rows_of(body, where), where)
        else:
            asked = request.decoded_from(body, self._decoder)
        wanted = _Wanted(asked, *self._prepared(asked, request.caller, where))
        request.caller.pay(wanted.plan.weight * len(wanted.entities) // VALUES_A_PERMIT)
        return wanted

    async def _in_turns(self, turn: Turn, request: Request, wanted: _Wanted) -> Response:
        """Answer a large read."""
        asked, plan, entities, t = wanted
        pieces: Pieces
        if request.wants_arrow:
            pieces = ArrowPieces(plan, t, extras_of(asked))
        else:
            pieces = JsonPieces(
                plan, t, asked.include,
                statuses=asked.statuses, int64_as_text=asked.int64_as_text,
            )  # fmt: skip
        async for _, some, found in self.reader.slices(turn, plan, entities, t):
            self.note(request.caller, plan, some, found, t)
            pieces.add(some, found)
        return pieces.response()

    def _rows_of(self, body: bytes, where: str) -> pa.Table:
        """Return entities in Arrow, not more than one may ask for."""
        table, most = table_of(body, where, self.settings.max_body), self.settings.max_entities
        if table.num_rows > most:
            raise wrong_number(table.num_rows, most, where)
        return table

    def at_once(self, body: bytes, caller: Caller, where: str) -> Response | None:
        """Answer a small request in JSON without waiting; None: it is not one of these."""
        if self.reader.across_network:
            return None
        asked = decode(self._decoder, body, where)
        wanted = _Wanted(asked, *self._prepared(asked, caller, where))
        _, plan, entities, t = wanted
        found = self.reader.at_once(plan, entities, t)
        if found is None:
            return None
        caller.pay(plan.weight * len(entities) // VALUES_A_PERMIT)
        return self._answer(wanted, caller, found)

    def _prepared(
        self, asked: FeaturesRequest, caller: Caller, where: str
    ) -> tuple[ReadPlan, Sequence[Row], int]:
        """Return the compiled read, the entities and the moment."""
        if asked.include:
            check_extras(asked.include, where)
        plan = self.plan_of(asked, caller, where)
        entities = plan.entities(asked.entities, self.settings.max_entities, where)
        return plan, entities, Now(self.clock.now()) if asked.at is None else at_of(asked.at)

    def _answer(
        self, wanted: _Wanted, caller: Caller, found: Found, *, arrow: bool = False
    ) -> Response:
        """Count and log what was found, and return it as it is sent."""
        asked, plan, entities, t = wanted
        self.note(caller, plan, entities, found, t)
        if arrow:
            body = features_arrow(plan, entities, found, t, extras_of(asked))
            return Response(body, kind=ARROW)
        if asked.int64_as_text:
            found = (whole_as_text(found[0]), *found[1:])
        return Response(features_json(plan, found, t, asked.include, statuses=asked.statuses))

    def plan_of(self, asked: FeaturesRequest, caller: Caller, where: str) -> ReadPlan:
        """Return the compiled read for what is asked."""
        raw, service = bytes(asked.features), asked.service
        if service is not None and raw:
            raise RequestError(
                "both features and a service are asked for", expected="one of them", where=where
            )
        if service is None and not raw:
            raise RequestError(
                "nothing is asked for",
                expected='"features": ["View:feature"] or "service": "name"',
                where=where,
            )
        if caller.services:
            if raw:  # the name of a service may stand among the features too
                names = self.names(raw, where)
                service = names[0] if len(names) == 1 else None
            caller.require_service(service, where)
        if service is not None:
            # A view may have the name of a service: what is asked for is the service.
            return self.reader.plan_of(
                caller, service, lambda state: list(state.service(service)),
                full_names=asked.full_names, where=where,
            )  # fmt: skip
        return self.reader.plan_of(
            caller, raw, lambda _: self.names(raw, where), full_names=asked.full_names, where=where
        )

    def names(self, raw: bytes, where: str) -> list[str]:
        """Return what the member ``features`` of a body lists."""
        return self.checked_names(decode(_NAMES, raw, f"features of {where}"), where)

    def checked_names(self, names: list[str] | str, where: str) -> list[str]:
        """Return references that are not more than one may ask for."""
        listed = [names] if isinstance(names, str) else names
        if len(listed) > self.settings.max_features:
            raise TooLarge(
                "too many features",
                got=len(listed),
                expected=f"at most {self.settings.max_features}",
                where=where,
                hint="Split the request, or raise --max-features.",
            )
        return listed

    def note(
        self, caller: Caller, plan: ReadPlan, entities: Sequence[Row], found: Found, t: int
    ) -> None:
        """Count statuses of values and the age of one entity's; log them, and put it on record."""
        if self.audit.is_on:
            note_read(self.audit, caller, plan, entities)
        if self.log is not None:
            self.log.note(plan, entities, found, t)
        counted, lookup = self.reader.counted, plan.lookup
        counted[lookup] = counted.get(lookup, 0) + len(entities)
        rows, states, events = found
        values = self.metrics.values
        for row, times in alike(states):
            if row.count(Status.PRESENT) == len(row):
                values.add(_PRESENT, len(row) * times)
                continue
            for status in set(row):
                values.add((status.value,), row.count(status) * times)
        self._turn += 1
        newest = events[self._turn % len(rows)]
        if len(plan.views) == 1:
            if newest[0] is not None:
                self.metrics.age.observe(plan.views[0], (t - newest[0]) / 1e6)
            return
        for output, event in zip(plan.lookup.selection.outputs, newest, strict=True):
            if event is not None:
                self.metrics.age.observe((output.view,), (t - event) / 1e6)

    def _asked_by_query(self, request: Request) -> FeaturesRequest:
        known = ("service", "features", "at", "full_names", "include", "statuses", "int64_as_text")
        query = request.query(*known)
        flags = {"true": True, "false": False}
        given: dict[str, Any] = {"entities": {}}
        for name, text in query.items():
            if name == "features":
                given[name] = msgspec.Raw(msgspec.json.encode(text.split(",")))
            elif name == "include":
                given[name] = [extra for extra in text.split(",") if extra]
            elif name in ("full_names", "statuses", "int64_as_text"):
                given[name] = flags.get(text, text)
            else:
                given[name] = text
        try:
            return msgspec.convert(given, FeaturesRequest)
        except msgspec.ValidationError as problem:
            raise RequestError("a wrong parameter", got=str(problem), where=request.where) from None


def extras_of(asked: FeaturesRequest) -> Sequence[str]:
    """Return what an answer in Arrow has beside values."""
    return [*asked.include, "statuses"] if asked.statuses else asked.include


def check_extras(asked: Sequence[str], where: str) -> None:
    """Raise `RequestError` unless all that is to be included is known."""
    for name in asked:
        if name not in EXTRAS:
            raise RequestError(
                "nothing of that name can be included",
                got=name, expected=", ".join(EXTRAS), where=f"include of {where}",
            )  # fmt: skip


def at_of(at: str | int) -> int:
    """Return a moment as UTC microseconds; `InputError` if it is none."""
    try:
        t = to_micros(at, where="at")
    except OverflowError:
        t = _LATEST + 1
    if not _EARLIEST <= t <= _LATEST:
        raise InputError("a time beyond the calendar", got=at, where="at")
    return t
