"""``POST /v1/push`` and ``/v1/materialize``, ``GET /v1/jobs/ID``.

    {"source": "payments", "rows": [{"card_id": "c1", "amount": 9.5, "paid_at": "..."}]}
    {"source": "payments", "rows": {"card_id": ["c1"], "amount": [9.5], "paid_at": ["..."]}}
    {"views": ["Spend"], "end": "2026-01-31T00:00:00Z"}

Writes of one process are done one after another by one thread; the event loop only waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from skewless.access.actors import acting_for
from skewless.codec import read_rows
from skewless.definitions import Source
from skewless.definitions.references import split_view
from skewless.errors import MissingColumn, RowsRefused, StoreUnavailable, UnknownName
from skewless.ingest.push import PushResult
from skewless.request_errors import RequestError
from skewless.serving.http.http import ARROW, Request, Response
from skewless.serving.operate.metrics import Metrics
from skewless.serving.problems import unknown_as_input
from skewless.serving.read.accesses import NOBODY
from skewless.serving.read.encode import table_of
from skewless.serving.read.features import at_of
from skewless.serving.settings import Settings
from skewless.serving.threads import Threads
from skewless.serving.write.jobs import Job, Jobs
from skewless.store import FeatureStore

SHOWN_REJECTS = 100


class Pushed(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The body of ``POST /v1/push``."""

    source: str
    rows: list[dict[str, Any]] | dict[str, list[Any]]
    backdate: bool = False


class MaterializeRequest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The body of ``POST /v1/materialize``."""

    views: list[str] | None = None
    start: str | int | None = None
    end: str | int | None = None
    backfill: bool = False


class Writer:
    """Pushes and materializes for requests.

    Args:
        store: the feature store.
        settings: limits and deadlines.
        metrics: where rows and jobs are counted.
    """

    def __init__(self, store: FeatureStore, settings: Settings, metrics: Metrics) -> None:
        self.store = store
        self.settings = settings
        self.metrics = metrics
        self.jobs = Jobs(store, metrics)
        self.threads = Threads(1, settings.max_waiting, "writer")
        self.upkeep = Threads(4, settings.max_waiting, "registry")

    @staticmethod
    def warm() -> None:
        """Import what the first push and materialization would: seconds nobody should wait for."""
        from datetime import UTC, datetime

        import pyarrow as pa
        import pyarrow.compute
        import pyarrow.dataset

        import skewless.materialize.verbs  # noqa: F401

        pa.array([datetime.now(UTC)])  # where pandas is installed, this imports it

    async def push(
        self,
        source: str,
        rows: Any,
        *,
        backdate: bool,
        where: str,
        who: str,
        in_json: bool = False,
    ) -> PushResult:
        """Push rows and return what became of them.

        Args:
            source: its name.
            rows: of it.
            backdate: see `FeatureStore.push`.
            where: named in errors.
            who: pushes them, for the record; empty: nobody by name.
            in_json: whether the rows are as JSON has them, see `rows_of`.

        Raises:
            UnknownName: no such source.
            RequestError: a column the source does not have.
            StoreUnavailable: it took too long; the rows may or may not be in.
        """

        def pushed() -> PushResult:  # all of it here: the registry may be slow
            known = self.store.runtime.source(source)
            given = rows_of(known, rows, where) if in_json else rows
            with acting_for(who or NOBODY):
                return self._push(source, given, backdate)

        try:
            result = await self.threads.run(self.settings.write_timeout, pushed)
        except StoreUnavailable as problem:
            problem.where = problem.where or where
            raise
        count = self.metrics.pushed.add
        count((source, "accepted"), result.accepted - result.late)
        count((source, "late"), result.late)
        count((source, "duplicate"), result.duplicates)
        count((source, "quarantined"), len(result.quarantined))
        return result

    def _push(self, source: str, rows: Any, backdate: bool) -> PushResult:
        try:
            return self.store.push(source, rows, backdate=backdate)
        except RowsRefused as problem:
            refused: PushResult = problem.result  # answered row by row
            return refused
        except UnknownName as problem:
            raise unknown_as_input(problem) from None
        except (OverflowError, RecursionError) as problem:
            raise RequestError("a value beyond its type", got=str(problem)) from None

    async def handle_push(self, request: Request) -> Response:
        """Answer ``POST /v1/push``."""
        request.caller.require("write", request.where)
        if request.kind == ARROW:
            query = request.query("source", "backdate")
            if "source" not in query:
                raise MissingColumn.of("source", query, where=f"the query of {request.where}")
            source, backdate = query["source"], query.get("backdate") == "true"
            rows: Any = table_of(await request.body(), request.where, self.settings.max_body)
        else:
            pushed: Pushed = await request.decoded(_PUSHED)
            source, backdate, rows = pushed.source, pushed.backdate, pushed.rows
        in_json = request.kind != ARROW
        result = await self.push(
            source,
            rows,
            backdate=backdate,
            where=request.where,
            who=request.caller.who,
            in_json=in_json,
        )
        return Response.json(
            {
                "source": source,
                "accepted": result.accepted,
                "corrections": result.corrections,
                "duplicates": result.duplicates,
                "late": result.late,
                "quarantined": len(result.quarantined),
                "reasons": [
                    {"row": rejected.row, "reason": rejected.reason}
                    for rejected in result.quarantined[:SHOWN_REJECTS]
                ],
                "sequence": result.sequence,
                **({"ignored": list(result.ignored)} if result.ignored else {}),
            }
        )

    async def handle_materialize(self, request: Request) -> Response:
        """Answer ``POST /v1/materialize``: 202 with the job that was started."""
        request.caller.require("admin", request.where)
        wanted: MaterializeRequest = await request.decoded(_WANTED)
        kind = "backfill" if wanted.backfill else "materialize"
        start, end = _micros(wanted.start), _micros(wanted.end)
        job = await self.claim(kind, wanted.views, start, end, request.caller.who)
        self.jobs.start(job)
        return Response.json(job.to_dict(), 202, {"location": f"/v1/jobs/{job.id}"})

    async def claim(
        self,
        kind: str,
        views: list[str] | None,
        start: int | None,
        end: int | None,
        who: str,
    ) -> Job:
        """Note a job as running, once its views are known to exist.

        Raises:
            UnknownName: there is no such view.
            Conflict: another job is running.
        """
        if start is not None and end is not None and start > end:
            raise RequestError(
                "the start lies behind the end", got=start, expected=f"{end} or less"
            )
        if views is not None:
            if not views:
                raise RequestError("no views", expected="names, or null for all")
            for name in views:
                if "@" in split_view(name)[0]:
                    raise RequestError("not a view", got=name, expected="View or View@v2")
        job: Job = await self._registry(self._claim, kind, views, start, end, who)
        return job

    def _claim(
        self, kind: str, views: list[str] | None, start: int | None, end: int | None, who: str
    ) -> Job:
        from skewless.materialize.verbs import chosen_views

        chosen_views(self.store.runtime, views)
        return self.jobs.claim(kind, views, start, end, who)

    async def run(self, job: Job) -> Job:
        """Carry a job out and return it."""
        return await self.threads.run(self.settings.write_timeout * 100, self.jobs.run, job)

    async def handle_job(self, request: Request) -> Response:
        """Answer ``GET /v1/jobs/ID``."""
        request.caller.require("write", request.where)
        job = await self._registry(self.jobs.get, request.rest)
        return Response.json(job.to_dict())

    async def handle_jobs(self, request: Request) -> Response:
        """Answer ``GET /v1/jobs``: newest first."""
        request.caller.require("write", request.where)
        jobs = await self._registry(self.jobs.all)
        return Response.json({"jobs": [job.to_dict() for job in reversed(jobs)]})

    async def _registry(self, call: Any, *arguments: Any) -> Any:
        return await self.upkeep.run(self.settings.timeout, call, *arguments)

    def close(self) -> None:
        """Let the threads go."""
        self.jobs.close()
        self.threads.close()
        self.upkeep.close()


_PUSHED = msgspec.json.Decoder(Pushed)
_WANTED = msgspec.json.Decoder(MaterializeRequest)


def _micros(moment: str | int | None) -> int | None:
    return None if moment is None else at_of(moment)


def rows_of(
    source: Source, given: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]], where: str
) -> list[dict[str, Any]]:
    """Return rows in JSON as the source's: bytes out of base64.

    Args:
        source: whose rows they are.
        given: a list of objects, or an object of lists.
        where: named in errors.

    Raises:
        RequestError: no rows, or lists of unequal length.
    """
    if isinstance(given, Mapping):
        lengths = {name: len(values) for name, values in given.items()}
        if len(set(lengths.values())) > 1:
            raise RequestError("the lists of rows are of unequal length", got=lengths, where=where)
        columns = given.values()
        rows = [dict(zip(given, values, strict=True)) for values in zip(*columns, strict=True)]
    else:
        rows = list(map(dict, given))
    if not rows:
        raise RequestError("no rows are pushed", expected="1 or more", where=where)
    return read_rows(rows, source.columns)
