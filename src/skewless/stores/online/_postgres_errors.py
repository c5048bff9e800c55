"""What the errors of PostgreSQL mean, by their SQLSTATE."""

from __future__ import annotations

from typing import Any

import psycopg

from skewless.errors import Conflict, StoreError, StoreUnavailable

_REFUSED_LOGIN = "28"
_NO_RESOURCES = "53"
_LOCK_TIMEOUT = "55P03"
_CANCELED = "57014"
_DEADLOCK = "40P01"
_GONE = ("08", "57P")


def is_lost(error: psycopg.Error) -> bool:
    """Say whether the connection was lost or could not be made."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_GONE)
    return isinstance(error, psycopg.OperationalError) and "authentication" not in str(error)


def is_deadlock(error: psycopg.Error) -> bool:
    """Say whether the transaction was undone because it and another waited for each other."""
    return error.sqlstate == _DEADLOCK


def store_error(error: psycopg.Error, where: str, *, wrote: bool) -> StoreError:
    """Return the `StoreError` that says what ``error`` means for the store at ``where``."""
    state = error.sqlstate or ""
    facts: dict[str, Any] = {"got": f"{type(error).__name__}: {error}".strip(), "where": where}
    if is_lost(error):
        hint = "The write may or may not have happened." if wrote else "Is the server running?"
        return StoreUnavailable("the PostgreSQL server cannot be reached", **facts, hint=hint)
    if state.startswith(_REFUSED_LOGIN) or "authentication" in str(error):
        hint = "Check user and password."
        return StoreError("the PostgreSQL server refuses this user", **facts, hint=hint)
    if state == _LOCK_TIMEOUT:
        hint = "Keep transactions short."
        return Conflict("another writer held the online store for too long", **facts, hint=hint)
    if state == _CANCELED:
        hint = "Raise timeout= or look at the server's load."
        return StoreUnavailable("PostgreSQL did not answer in time", **facts, hint=hint)
    if state.startswith(_NO_RESOURCES):
        hint = "Look at its disk, memory and max_connections; nothing of this write was kept."
        return StoreError("the PostgreSQL server is out of something", **facts, hint=hint)
    return StoreError("the PostgreSQL server refused a statement", **facts)
