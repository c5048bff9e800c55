"""What clients of Feast speak: its paths, bodies, errors and encodings, over skewless's verbs.

``/get-online-features``, ``/push``, ``/write-to-online-store``, ``/materialize``,
``/materialize-incremental`` and ``/health``, as Feast 0.67's server has them. A Feast feature view
is a view of the same name here, a push source is a source, a feature service a feature service.

Where Feast answers 500 for a caller's mistake (its client would try again for seconds), the answer
here is 404 or 422. What is pushed always goes both into the event log and the online store,
whatever ``to`` says: there is no other way to keep both in agreement.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import orjson

from skewless.clock import Now
from skewless.definitions import FeatureView
from skewless.definitions.references import split_view
from skewless.errors import (
    Conflict,
    MissingColumn,
    RegistryError,
    SkewlessError,
    StoreUnavailable,
    UnknownName,
)
from skewless.plan.lookup import Found
from skewless.request_errors import RequestError, TooLarge
from skewless.serving.feast.values import coerced_key, frame_rows, in_feast, moment_of, timestamp
from skewless.serving.http.http import SMALL_BODY, LargeResponse, Part, Request, Response, decode
from skewless.serving.operate.keys import VALUES_A_PERMIT, Caller
from skewless.serving.problems import answer_to
from skewless.serving.read.encode import alike, all_present, column_json
from skewless.serving.read.features import FeaturesHandler
from skewless.serving.read.pieces import Columns
from skewless.serving.read.plans import ReadPlan
from skewless.serving.read.turns import Turn
from skewless.serving.write.jobs import Job
from skewless.serving.write.writes import SHOWN_REJECTS, Writer
from skewless.state.status import Status
from skewless.stores.online.base import TooMuch

EPOCH = "1970-01-01T00:00:00Z"
_A_MINUTE = 60_000_000
_STATUSES = {
    Status.PRESENT: "PRESENT",
    Status.NULL: "NULL_VALUE",
    Status.EMPTY: "PRESENT",
    Status.UNKNOWN: "NOT_FOUND",
    Status.EXPIRED: "OUTSIDE_MAX_AGE",
    Status.BUILDING: "NOT_FOUND",
    Status.MASKED: "INVALID",
}


class _Read(msgspec.Struct, gc=False):
    entities: dict[str, list[Any]]
    features: list[str] | None = None
    feature_service: str | None = None
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False


class _Push(msgspec.Struct, gc=False):
    push_source_name: str
    df: dict[str, list[Any]]
    to: Literal["online", "offline", "online_and_offline"] = "online"


class _Write(msgspec.Struct, gc=False):
    feature_view_name: str
    df: dict[str, list[Any]]


class _Materialize(msgspec.Struct, gc=False):
    end_ts: str | None = None
    start_ts: str | None = None
    feature_views: list[str] | None = None
    version: str | None = None


@dataclass(frozen=True)
class _Wanted:
    """A read: its plan, the columns given, keys by row (None: not all of them), those that are
    there, the moment.
    """

    plan: ReadPlan
    given: dict[str, list[Any]]
    rows: list[dict[str, Any] | None]
    known: list[dict[str, Any]]
    t: int


NOTHING: Found = ([], [], [])
_READ = msgspec.json.Decoder(_Read)
_PUSH = msgspec.json.Decoder(_Push)
_WRITE = msgspec.json.Decoder(_Write)
_MATERIALIZE = msgspec.json.Decoder(_Materialize)


class Feast:
    """Answers the requests of Feast's clients."""

    def __init__(self, features: FeaturesHandler, writer: Writer) -> None:
        self.features = features
        self.writer = writer

    async def read(self, request: Request) -> Response:
        """Answer ``POST /get-online-features``."""
        reader = self.features.reader
        body = await request.body()
        if len(body) > SMALL_BODY:
            if (other := self.features.other()) is not None:
                return await other.read(request, body)
            with reader.admitted(len(body)) as turn:
                await turn.begin()
                return await self._in_turns(turn, request.caller, *self._decoded(request, body))
        asked, wanted = self._decoded(request, body)
        small = reader.is_small(wanted.plan, len(wanted.known))
        if small:
            with contextlib.suppress(TooMuch):
                found = NOTHING
                if wanted.known:
                    found = await reader.read(wanted.plan, wanted.known, wanted.t)
                return self._answered(request.caller, asked, wanted, found)
        if (other := self.features.other()) is not None and (small or wanted.plan.paced):
            return await other.read(request, body)
        with reader.admitted(len(body)) as turn:
            return await self._in_turns(turn, request.caller, asked, wanted)

    def _decoded(self, request: Request, body: bytes) -> tuple[_Read, _Wanted]:
        asked: _Read = request.decoded_from(body, _READ)
        wanted = self._prepared(asked, request.caller, request.where)
        request.caller.pay(wanted.plan.weight * len(wanted.known) // VALUES_A_PERMIT)
        return asked, wanted

    async def _in_turns(
        self, turn: Turn, caller: Caller, asked: _Read, wanted: _Wanted
    ) -> Response:
        """Answer a large read."""
        plan, t = wanted.plan, wanted.t
        pieces = FeastPieces(plan, wanted.given)
        async for part, some, found in self.features.reader.slices(turn, plan, wanted.rows, t):
            rows = wanted.rows[part]
            if some:
                self.features.note(caller, plan, some, found, t)
            pieces.add(part, found if len(some) == len(rows) else _with_gaps(plan, rows, found))
        headers = self._building_headers(pieces.building)
        versions = asked.include_feature_view_version_metadata
        return LargeResponse(pieces.parts(versions=versions), headers=headers)

    def at_once(self, body: bytes, caller: Caller, where: str) -> Response | None:
        """Answer a small read without waiting; None: it is not one of these."""
        reader = self.features.reader
        if reader.across_network:
            return None
        asked: _Read = decode(_READ, body, where)
        wanted = self._prepared(asked, caller, where)
        found: Found | None = NOTHING
        if wanted.known:
            found = reader.at_once(wanted.plan, wanted.known, wanted.t)
        if found is None:
            return None
        caller.pay(wanted.plan.weight * len(wanted.known) // VALUES_A_PERMIT)
        return self._answered(caller, asked, wanted, found)

    def _prepared(self, asked: _Read, caller: Caller, where: str) -> _Wanted:
        caller.require_service(asked.feature_service, where)
        plan = self._plan(caller, asked, where)
        most = self.features.settings.max_entities
        lengths = {len(values) for values in asked.entities.values()}
        if not asked.entities and not plan.inputs:
            lengths = {1}  # features of an entity without keys alone
        if len(lengths) != 1 or lengths == {0}:
            raise RequestError(
                "All entity rows must have the same columns.",
                got={name: len(values) for name, values in asked.entities.items()},
                expected="lists of one length, 1 or more",
            )
        if max(lengths) > most:
            raise TooLarge("too many entities", expected=f"at most {most}")
        given, rows = _keys(plan, asked.entities, max(lengths))
        known = [row for row in rows if row is not None]
        return _Wanted(plan, given, rows, known, Now(self.features.clock.now()))

    def _answered(self, caller: Caller, asked: _Read, wanted: _Wanted, found: Found) -> Response:
        plan, known, t = wanted.plan, wanted.known, wanted.t
        if known:
            self.features.note(caller, plan, known, found, t)
        if len(known) < len(wanted.rows):
            found = _with_gaps(plan, wanted.rows, found)
        versions = asked.include_feature_view_version_metadata
        pieces = FeastPieces(plan, wanted.given)
        pieces.add(slice(0, len(wanted.rows)), found)
        headers = self._building_headers(pieces.building)
        return Response(b"".join(pieces.parts(versions=versions)), headers=headers)

    def _building_headers(self, building: int) -> dict[str, str] | None:
        """Return what the head says of values that are building, or refuse the answer."""
        if building and self.features.settings.feast_building == "unavailable":
            raise StoreUnavailable(
                "values that are asked for are not built from all of history yet",
                got=f"{building} that are building",
                hint="skewless status shows which views they are of.",
            )
        return {"x-skewless-building": str(building)} if building else None

    def _plan(self, caller: Caller, asked: _Read, where: str) -> ReadPlan:
        service = asked.feature_service
        full = asked.full_feature_names
        if service is not None:
            return self.features.reader.plan_of(
                caller, service, lambda state: list(state.service(service)),
                full_names=full, where=where,
            )  # fmt: skip
        names = asked.features
        if not names:
            raise RequestError("features or feature_service is needed", where=where)
        return self.features.reader.plan_of(
            caller, tuple(names), lambda _: self.features.checked_names(names, where),
            full_names=full, where=where,
        )  # fmt: skip

    async def push(self, request: Request) -> Response:
        """Answer ``POST /push``."""
        request.caller.require("write", request.where)
        pushed: _Push = await request.decoded(_PUSH)
        name = pushed.push_source_name
        sources = self.features.reader.online.snapshot.state.sources
        if name not in sources:
            problem = RequestError(f"Unable to find push source '{name}'.")
            return problem_response(problem, "PushSourceNotFoundException")
        rows = frame_rows(pushed.df, sources[name], None, self.features.clock.now())
        return await self._write(name, rows, request, b"")

    async def write(self, request: Request) -> Response:
        """Answer ``POST /write-to-online-store``."""
        request.caller.require("write", request.where)
        written: _Write = await request.decoded(_WRITE)
        name, version = split_view(written.feature_view_name)
        view = self.features.reader.online.snapshot.state.view(name, version)
        if not isinstance(view, FeatureView):
            raise RequestError(f"{name!r} is computed on demand: there is nothing to write")
        source = view.source
        rows = frame_rows(written.df, source, view, self.features.clock.now())
        return await self._write(source.name, rows, request, b"null")

    async def _write(
        self, source: str, rows: list[dict[str, Any]], request: Request, body: bytes
    ) -> Response:
        result = await self.writer.push(
            source, rows, backdate=False, where=request.where, who=request.caller.who
        )
        bad = result.quarantined
        if bad and len(bad) == len(rows):
            raise RequestError(f"no row could be taken: {bad[0].reason}", where=request.where)
        if not bad:
            return Response(body)
        said = {
            "accepted": result.accepted,
            "quarantined": len(bad),
            "reasons": [{"row": each.row, "reason": each.reason} for each in bad[:SHOWN_REJECTS]],
        }
        return Response.json(said, headers={"x-skewless-quarantined": str(len(bad))})

    async def materialize(self, request: Request) -> Response:
        """Answer ``POST /materialize`` and ``POST /materialize-incremental``."""
        request.caller.require("admin", request.where)
        query = request.query("async", "force")
        asked: _Materialize = await request.decoded(_MATERIALIZE)
        start = None if asked.start_ts is None else moment_of(asked.start_ts, "start_ts")
        end = None if asked.end_ts is None else moment_of(asked.end_ts, "end_ts")
        if end is not None and end > self.features.clock.now() - _A_MINUTE:
            end = None  # "until now": whole parts of the table are looked at, and then known
        if end is None:
            start = None if start is None else min(start, self.features.clock.now())
        views = asked.feature_views or None
        if views and asked.version:
            views = [f"{name}@{asked.version}" for name in views]
        try:
            job = await self.writer.claim("materialize", views, start, end, request.caller.who)
        except Conflict as problem:
            content = {"error": f"Cannot start materialization: {problem}", "feature_views": views}
            return Response.json(content, 409)
        return await self._materialize(job, query.get("async") == "true")

    async def _materialize(self, job: Job, unseen: bool) -> Response:
        if unseen:
            self.writer.jobs.start(job)
            shown = job.views or sorted(self.features.reader.online.snapshot.state.current)
            return Response.json({"status": "accepted", "feature_views": shown}, 202)
        await self.writer.run(job)
        return Response(b"null")


def _keys(
    plan: ReadPlan, entities: Mapping[str, list[Any]], count: int
) -> tuple[dict[str, list[Any]], list[dict[str, Any] | None]]:
    """Return what was given, and for each row its keys; None where one of several is missing.

    Columns that nobody asked for are ignored, as Feast does.
    """
    given = {
        name: [coerced_key(value, plan.types[name], name) for value in values]
        for name, values in entities.items()
        if name in plan.inputs
    }
    missing = sorted(plan.inputs - given.keys())
    joins = plan.lookup.selection.join_keys
    if missing and (not given.keys() & joins.keys() or any(n not in joins for n in missing)):
        raise MissingColumn.of(missing[0], list(entities), where="the entities of the request")
    if missing:
        return given, [None] * count
    names = tuple(given)
    if not names:
        return given, [{} for _ in range(count)]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*given.values(), strict=True)]
    return given, list(rows)


def _with_gaps(plan: ReadPlan, rows: Sequence[Any], found: Found) -> Found:
    """Put rows that were not found where no keys were."""
    width = len(plan.names)
    at = iter(range(len(found[0])))
    gaps: Found = ([], [], [])
    for row in rows:
        number = None if row is None else next(at)
        gaps[0].append([None] * width if number is None else found[0][number])
        gaps[1].append([Status.UNKNOWN] * width if number is None else found[1][number])
        gaps[2].append([None] * width if number is None else found[2][number])
    return gaps


class FeastPieces:
    """The answer as Feast writes it: entity columns first, then a result for each feature.

    Args:
        plan: the compiled read.
        given: the columns of entities that came.

    Attributes:
        building: values that are not built yet.
    """

    def __init__(self, plan: ReadPlan, given: Mapping[str, list[Any]]) -> None:
        self._plan = plan
        joins = plan.lookup.selection.join_keys
        self._given = {name: values for name, values in given.items() if name in joins}
        names = (*self._given, *plan.names)
        self._values, self._statuses, self._times = (Columns(names) for _ in range(3))
        self.building = 0

    def add(self, part: slice, found: Found) -> None:
        """Take the next rows."""
        rows, states, events = found
        keys = [values[part] for values in self._given.values()]
        columns = list(zip(*rows, strict=True))
        self._values.add(column_json(column, in_feast, _OPTIONS) for column in (*keys, *columns))
        present = orjson.dumps(["PRESENT"] * len(rows))
        shown = [present if None not in column else _known(column) for column in keys]
        if all_present(states):
            shown += [present] * len(columns)
        else:
            by_feature = zip(*states, strict=True)
            shown += [_statuses(*both) for both in zip(by_feature, columns, strict=True)]
            self.building += sum(row.count(Status.BUILDING) * n for row, n in alike(states))
        self._statuses.add(shown)
        never = orjson.dumps([EPOCH] * len(rows))
        times: dict[tuple[int | None, ...], bytes] = {}
        by_event = [never] * len(keys)
        for at_which in zip(*events, strict=True):
            found_times = times.get(at_which)
            if found_times is None:
                texts = [EPOCH if event is None else timestamp(event) for event in at_which]
                found_times = times[at_which] = orjson.dumps(texts)
            by_event.append(found_times)
        self._times.add(by_event)

    def parts(self, *, versions: bool) -> list[Part]:
        """Return the answer; nothing is added afterwards."""
        answer: list[Part] = []
        opening = b'{"results":['
        columns = (self._values.lists(), self._statuses.lists(), self._times.lists())
        for values, statuses, times in zip(*columns, strict=True):
            answer += [opening, b'{"values":', *values, b',"statuses":', *statuses]
            answer += [b',"event_timestamps":', *times, b"}"]
            opening = b","
        plan = self._plan
        metadata: dict[str, Any] = {"feature_names": [*self._given, *plan.names]}
        if versions:
            outputs = plan.lookup.selection.outputs
            found_views = {output.view: output.version for output in outputs}
            metadata["feature_view_metadata"] = [
                {"name": name, "version": version} for name, version in found_views.items()
            ]
        answer += [b'],"metadata":', orjson.dumps(metadata), b"}"]
        return answer


def _known(keys: Sequence[Any]) -> bytes:
    return orjson.dumps(["NULL_VALUE" if key is None else "PRESENT" for key in keys])


def _statuses(states: Sequence[Status], column: Sequence[Any]) -> bytes:
    return orjson.dumps(
        [
            "NULL_VALUE" if status is Status.EMPTY and value is None else _STATUSES[status]
            for status, value in zip(states, column, strict=True)
        ]
    )


_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME


def problem_response(problem: SkewlessError, name: str | None = None) -> Response:
    """Return an error as Feast does: a JSON text that holds JSON, naming an error of Feast's."""
    status, headers, _ = answer_to(problem)
    if isinstance(problem, RequestError) and status in (401, 403):
        body: Any = {"detail": str(problem)}
        if status == 403:
            body = _named("FeastPermissionError", problem)
        return Response.json(body, status, headers)
    if name is None and isinstance(problem, (UnknownName, RegistryError)):
        name, status = "FeatureViewNotFoundException", 404
        if "service" in problem.what:
            name = "FeatureServiceNotFoundException"
    return Response.json(_named(name or "FeastError", problem), status, headers)


def _named(name: str, problem: SkewlessError) -> str:
    content = {"module": "feast.errors", "class": name, "message": str(problem)}
    return json.dumps(content)


__all__ = ["Feast", "problem_response"]
