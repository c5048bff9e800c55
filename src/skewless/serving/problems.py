"""Errors of requests, and which HTTP status each error of skewless has.

Every answer that is no success is one JSON object with ``error``, ``what`` and, where they are
known, ``got``, ``expected``, ``where``, ``hint``; `FeatureStore` raises the same in process.
"""

from __future__ import annotations

from typing import Any

import msgspec

from skewless.errors import (
    Conflict,
    MissingColumn,
    RegistryError,
    RowsKept,
    SkewlessError,
    StoreError,
    StoreUnavailable,
    UnknownName,
)
from skewless.request_errors import RequestError


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


_STATUSES: tuple[tuple[type[SkewlessError], int], ...] = (
    (UnknownName, 404),
    (StoreUnavailable, 503),
    (RowsKept, 500),  # not one that clients send again by themselves
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
