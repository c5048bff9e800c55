"""Errors of requests, and which HTTP status each error of skewless has.

Every answer that is no success is one JSON object with ``error``, ``what`` and, where they are
known, ``got``, ``expected``, ``where``, ``hint``; `FeatureStore` raises the same in process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from skewless.errors import (
    Conflict,
    MissingColumn,
    RegistryError,
    SkewlessError,
    StoreError,
    StoreUnavailable,
    UnknownName,
)


class RequestError(SkewlessError):
    """A request that the server does not take.

    Attributes:
        status: of the answer.
        headers: of the answer.
    """

    status = 422

    def __init__(
        self, what: str, *, headers: Mapping[str, str] | None = None, **parts: Any
    ) -> None:
        super().__init__(what, **parts)
        self.headers = dict(headers or {})


class AccessDenied(RequestError):
    """A key is missing, wrong, revoked, or may not do this."""

    status = 401


class Forbidden(AccessDenied):
    """The key is right, but may not do this."""

    status = 403


class NotFound(RequestError):
    """Nothing is at this address."""

    status = 404


class MethodNotAllowed(RequestError):
    """The address is there, but not for this method."""

    status = 405


class TooLarge(RequestError):
    """A body, or a list in it, is beyond a limit."""

    status = 413


class UnsupportedMediaType(RequestError):
    """A body, or the answer asked for, is of a kind the server does not speak."""

    status = 415


class TooManyRequests(RequestError):
    """A key is used more often than it may be."""

    status = 429


class InternalError(RequestError):
    """Something that should not happen: a mistake of the server or of a user's function."""

    status = 500


class Overloaded(StoreUnavailable):
    """The server has more to do than it can; nothing was done, the same call may succeed later."""


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


_STATUSES: tuple[tuple[type[SkewlessError], int], ...] = (
    (UnknownName, 404),
    (StoreUnavailable, 503),
    (Conflict, 409),
    (StoreError, 503),
    (RegistryError, 410),
)
RETRY_AFTER = {"retry-after": "1"}


def answer_to(problem: SkewlessError) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return status, headers and content of the answer to an error."""
    content = problem.to_dict()
    if isinstance(problem, RequestError):
        return problem.status, problem.headers, content
    for kind, status in _STATUSES:
        if isinstance(problem, kind):
            return status, RETRY_AFTER if status == 503 else {}, content
    return 422, {}, content


def misfit(problem: Exception, where: str) -> RequestError:
    """Return the error for a body that is no JSON, or JSON of another shape."""
    if isinstance(problem, msgspec.ValidationError):
        text, _, place = str(problem).partition(" - at `")
        place = place.rstrip("`").removeprefix("$").removeprefix(".")
        expected, comma, got = text.removeprefix("Expected ").partition(", got ")
        if comma:
            return RequestError(
                f"{place or 'the body'} is of a wrong kind",
                got=got.replace("`", ""),
                expected=expected.replace("`", ""),
                where=where,
                hint="GET /openapi.json describes the request.",
            )
        return RequestError(
            text.replace("`", "'"),
            where=f"{place} of {where}" if place else where,
            hint="GET /openapi.json describes the request.",
        )
    if isinstance(problem, RecursionError):
        return RequestError("JSON nested too deeply", where=where)
    return RequestError(
        "the body is not JSON", got=str(problem), expected="JSON in UTF-8", where=where
    )


def unknown_as_input(problem: UnknownName) -> RequestError:
    """Return an unknown name inside of data (a column, a key) as an error of the data: 422."""
    return RequestError(
        problem.what,
        got=problem.got,
        expected=problem.expected,
        where=problem.where,
        hint=problem.hint,
    )


def unknown_key(name: str, known: frozenset[str], row: int | None = None) -> RequestError:
    """Return the error for a key of an entity that no feature asked for needs."""
    problem = UnknownName.of("key", name, known, where="what was asked for")
    where = "entities" if row is None else f"entities[{row}]"
    return RequestError(problem.what, got=name, where=where, hint=problem.hint)


def missing_key(name: str, present: list[str], row: int | None = None) -> MissingColumn:
    """Return the error for an entity that lacks a join key or request field."""
    where = "entities" if row is None else f"entities[{row}]"
    return MissingColumn.of(name, present, where=where)
