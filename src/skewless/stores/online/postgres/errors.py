"""What the errors of PostgreSQL mean, by their SQLSTATE."""

from __future__ import annotations

from typing import Any

import psycopg

from skewless.errors import Conflict, StoreError, StoreUnavailable
from skewless.stores.online.postgres.connection import Unanswered
from skewless.stores.online.remote import Driver

_REFUSED_LOGIN = "28"
_NO_RESOURCES = "53"
_LOCK_TIMEOUT = "55P03"
_CANCELED = "57014"
_DEADLOCK = "40P01"
_GONE = ("08", "57P")
_NO_RIGHT = "42501"
_MISSING = ("3D", "3F", "42P01")
_PASSING = (
    "starting up",
    "shutting down",
    "recovery mode",
    "not yet accepting",
    "terminating connection",
    "too many",
    "remaining connection",
)


def is_lost(error: psycopg.Error) -> bool:
    """Say whether the connection was lost or could not be made."""
    if isinstance(error, Unanswered):
        return False  # whoever waited once in vain is told, instead of waiting again
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_GONE)
    return isinstance(error, psycopg.OperationalError) and not _is_turned_away(error)


def _is_turned_away(error: psycopg.Error) -> bool:
    """Say whether the server answered, and refused to let the client in, for good."""
    text = str(error)
    fatal = "FATAL:" in text and not any(passing in text for passing in _PASSING)
    return fatal or "authentication" in text or "no password supplied" in text


def is_deadlock(error: psycopg.Error) -> bool:
    """Say whether the transaction was undone because it and another waited for each other."""
    return error.sqlstate == _DEADLOCK


def store_error(error: psycopg.Error, where: str, *, wrote: bool) -> StoreError:
    """Return the `StoreError` that says what ``error`` means for the store at ``where``."""
    state = error.sqlstate or ""
    facts: dict[str, Any] = {"got": f"{type(error).__name__}: {error}".strip(), "where": where}
    if isinstance(error, Unanswered):
        hint = "The write may or may not have happened." if wrote else "Is the server overloaded?"
        return StoreUnavailable("PostgreSQL did not answer in time", **facts, hint=hint)
    if is_lost(error):
        hint = "The write may or may not have happened." if wrote else "Is the server running?"
        return StoreUnavailable("the PostgreSQL server cannot be reached", **facts, hint=hint)
    no_database = not state and 'database "' in str(error) and "does not exist" in str(error)
    if state.startswith(_MISSING) or no_database:
        hint = "Make the database or schema; the tables are made when the store is opened."
        return StoreError("PostgreSQL lacks a database, schema or table", **facts, hint=hint)
    if state.startswith(_REFUSED_LOGIN) or (not state and _is_turned_away(error)):
        hint = "Check user, password and pg_hba.conf."
        return StoreError("the PostgreSQL server refuses this user", **facts, hint=hint)
    if state == _NO_RIGHT:
        hint = "It must be allowed to make tables in the schema, or own those that are there."
        return StoreError("the PostgreSQL user lacks a right", **facts, hint=hint)
    if state == _LOCK_TIMEOUT:
        hint = "Keep transactions short."
        return Conflict("another writer held the online store for too long", **facts, hint=hint)
    if state == _CANCELED:
        hint = "Raise timeout= or look at the server's load."
        return StoreUnavailable("PostgreSQL did not answer in time", **facts, hint=hint)
    if state.startswith(_NO_RESOURCES):
        hint = "Look at its disk, memory and max_connections."
        return StoreError("the PostgreSQL server is out of something", **facts, hint=hint)
    return StoreError("the PostgreSQL server refused a statement", **facts)


DRIVER = Driver(
    errors=(psycopg.Error,),
    may_repeat_read=is_lost,
    # Two writes that each waited for a row of the other: one was undone.
    may_repeat_write=is_deadlock,
    store_error=store_error,
)
