"""A client: the store's verbs over HTTP, with the same results and the same errors.

    with Client("http://features:6566", key="sk_...") as client:
        client.get_online_features("fraud_model", [{"card_id": "c1"}]).to_dict()

Connections are kept and used again, by each process its own. Reads are sent again when the server
is away or overloaded, within the timeout; pushes only where it is certain that nothing was done.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from skewless.client.calls import (
    Address,
    Call,
    Moment,
    Pushed,
    encoded,
    explain_call,
    features_call,
    job_call,
    list_call,
    materialize_call,
    may_repeat,
    pause_of,
    problem_of,
    push_call,
    ready_call,
)
from skewless.client.transport import Lost, Transport
from skewless.errors import SkewlessError
from skewless.plan.results import OnlineResult
from skewless.plan.selection import Features

POLL = 0.25
_LEAST = 0.001


class Client:
    """A client of ``skewless serve``, for any number of threads.

    Args:
        url: of the server, such as ``http://127.0.0.1:6566``.
        key: an API key, where the server asks for one.
        timeout: seconds a call may take, attempts and pauses included.
        retries: how often a call is sent again at most.
        connections: how many are kept for the next calls.
        ca_file: PEM file of the authorities to trust, instead of the system's.

    Raises:
        InputError: the URL is none, or the key cannot be one.
        MissingDependency: urllib3 is not installed (``pip install 'skewless[client]'``).
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 5.0,
        retries: int = 3,
        connections: int = 16,
        ca_file: str | None = None,
    ) -> None:
        self._transport = Transport(Address.of(url), key, connections, ca_file)
        self._timeout = timeout
        self._retries = retries

    def get_online_features(
        self,
        features: Features,
        entities: Sequence[Mapping[str, Any]],
        *,
        at: Moment | None = None,
        full_names: bool = False,
    ) -> OnlineResult:
        """Return feature vectors; see `FeatureStore.get_online_features`.

        Raises:
            UnknownName: a feature that does not exist.
            MissingColumn, InputError: join keys are missing or wrong.
            StoreUnavailable: the server or its store cannot be reached in time.
            AccessDenied: the key is missing or may not do this.
        """
        found: OnlineResult = self._run(features_call(features, entities, at, full_names))
        return found

    def push(self, source: str, rows: Any, *, backdate: bool = False) -> Pushed:
        """Hand rows of a source to the store: durable and readable online when it returns.

        Args:
            source: its name.
            rows: dicts, or an Arrow, Polars or pandas table.
            backdate: whether these are old rows: known time = event time + delay, not now.

        Raises:
            UnknownName: no such source.
            StoreUnavailable: it is not known whether the rows are in; those of a source with a row
                id may be pushed again.
        """
        found: Pushed = self._run(push_call(source, rows, backdate))
        return found

    def materialize(
        self,
        views: str | Sequence[str] | None = None,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        backfill: bool = False,
        wait: float | None = 3600.0,
    ) -> dict[str, Any]:
        """Bring the server's online store up to date from history.

        Args:
            views: names; None for all.
            start: look for changes only among rows from here on.
            end: look for changes only among rows before here. What has changed is brought up to
                date with everything known, rows outside of the interval included.
            backfill: rebuild states, late rows included.
            wait: seconds to wait for the end; None: return at once.

        Returns:
            The job: ``job`` (its id), ``status``, ``progress``, ``results``.

        Raises:
            Conflict: another one is running.
            SkewlessError: it failed.
        """
        job: dict[str, Any] = self._run(materialize_call(views, start, end, backfill))
        deadline = time.monotonic() + (wait or 0.0)
        while job["status"] == "running" and time.monotonic() < deadline:
            time.sleep(POLL)
            job = self.job(job["job"])
        return checked(job)

    def job(self, number: str) -> dict[str, Any]:
        """Return what has become of a materialization."""
        found: dict[str, Any] = self._run(job_call(number))
        return found

    def explain(
        self, feature: str, entity: Mapping[str, Any], *, at: Moment | None = None
    ) -> dict[str, Any]:
        """Return the rows behind a value, as plain data."""
        found: dict[str, Any] = self._run(explain_call(feature, entity, at))
        return found

    def listed(self, what: str) -> list[dict[str, Any]]:
        """Return what there is: services, views, features, entities, sources or jobs."""
        found: list[dict[str, Any]] = self._run(list_call(what))
        return found

    def search(self, text: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the features that fit a text best."""
        found: list[dict[str, Any]] = self._run(list_call("features", {"q": text, "limit": limit}))
        return found

    def is_ready(self) -> bool:
        """Return whether the server can answer."""
        try:
            return bool(self._run(ready_call(), retries=0))
        except SkewlessError:
            return False

    def _run(self, call: Call, retries: int | None = None) -> Any:
        deadline = time.monotonic() + self._timeout
        most = self._retries if retries is None else retries
        for attempt in range(most + 1):
            headers: Mapping[str, str] = {}
            problem: SkewlessError
            try:
                left = max(deadline - time.monotonic(), _LEAST)
                status, headers, body = self._transport.send(call, left)
                if status < 300:
                    return call.result(headers, body, self._transport.address.shown)
                problem = problem_of(status, body, self._transport.address.shown)
                again = may_repeat(call, status, problem)
            except Lost as lost:
                problem, again = lost.problem, call.safe or not lost.sent
            pause = pause_of(attempt, headers)
            if not again or attempt == most or time.monotonic() + pause > deadline:
                raise problem
            time.sleep(pause)
        raise problem

    def close(self) -> None:
        """Close the connections that are kept."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._transport.address.shown!r})"


def checked(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job that did not fail; raise what it failed with."""
    if job["status"] in ("failed", "lost"):
        error = job.get("error") or {
            "error": "SkewlessError",
            "what": f"the job is {job['status']}",
        }
        raise problem_of(422, encoded(error), f"job {job['job']}")
    return job
