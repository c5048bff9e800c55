"""The client of MongoDB, how rows lie in its collection, and what its errors mean.

A row is `{_id: "TABLE:KEY", v: value}`. Its id is text and not binary, because MongoDB sorts binary
values by their length; every byte of the key stands for the character of the same number, so that
ids sort as keys do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias
from urllib.parse import quote_from_bytes, urlsplit

from pymongo import MongoClient, ReplaceOne
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from skewless.errors import StoreError, StoreUnavailable
from skewless.stores.online.base import Item
from skewless.stores.online.concurrency import THREADS
from skewless.stores.online.remote import too_large

Document: TypeAlias = dict[str, Any]
Rows: TypeAlias = "Collection[Document]"

MAX_DOCUMENT_BYTES = 16 << 20
_SPARE_BYTES = 1_024
_DUPLICATE_KEY = 11000
_REFUSED = {11, 13, 18, 31, 8000}
"""User not found, unauthorized, authentication failed, role not found, Atlas' own refusal."""

ERRORS = (PyMongoError,)
_LOST = (ConnectionFailure, ExecutionTimeout, WTimeoutError)


class Client:
    """A client of one database and the threads that make several calls at once."""

    def __init__(self, url: str, database: str, collection: str, timeout: float) -> None:
        milliseconds = int(timeout * 1000)
        waits = ("serverSelection", "connect", "socket", "waitQueue")
        limits: dict[str, Any] = {f"{each}TimeoutMS": milliseconds for each in waits}
        try:
            self._client: MongoClient[Document] = MongoClient(url, appname="skewless", **limits)
        except (ValueError, ConfigurationError) as error:
            # Not its message nor itself: it may quote the address.
            raise _no_address(type(error).__name__) from None
        place = self._client.get_database(
            database,
            write_concern=WriteConcern("majority", j=True, wtimeout=milliseconds),
            read_concern=ReadConcern("majority"),
        )
        self.rows: Rows = place[collection]
        self.tables: Rows = place[f"{collection}_tables"]
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="skewless-mongodb")

    def close(self) -> None:
        """Release connections and threads."""
        self.threads.shutdown(wait=False)
        self._client.close()


def where_of(url: str, database: str, collection: str) -> str:
    """Return how errors name the store: its address without user, password and options.

    Raises:
        StoreError: no such kind of address; the message does not repeat it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("mongodb", "mongodb+srv"):
        raise _no_address(f"something that starts with {parts.scheme!r}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{database}.{collection}"


def _no_address(got: str) -> StoreError:
    return StoreError(
        "the address of the MongoDB server is not one",
        got=got,
        expected="mongodb://user:password@host:port/?options or mongodb+srv://...",
        hint="Quote user and password: urllib.parse.quote_plus.",
    )


def check_server(told: Mapping[str, Any], where: str) -> None:
    """Refuse a server of which is known that it loses writes.

    Args:
        told: what it answers to ``buildInfo``.
        where: how errors name the store.
    """
    if "ferretdbVersion" in told:
        raise StoreError(
            "FerretDB does not change a document as one: of two writers at once, one would be lost",
            got=f"FerretDB {told['ferretdbVersion']}",
            expected="MongoDB 4.2 or newer",
            where=where,
        )


def id_prefix(table: str) -> bytes:
    """Return what the ids of a table's rows begin with, as bytes."""
    # Quoted names do not hold the ":" that ends them.
    return b"%b:" % quote_from_bytes(table.encode()).encode()


def id_of(table: str, key: bytes) -> str:
    """Return the id of a row.

    >>> id_of("rows", bytes([0x66, 0xff]))
    'rows:fÿ'
    """
    return (id_prefix(table) + key).decode("latin-1")


def key_of(table: str, identity: str) -> bytes:
    """Return the key of the row with an id."""
    return identity.encode("latin-1")[len(id_prefix(table)) :]


def check_size(table: str, key: bytes, value: bytes, where: str) -> None:
    """Refuse a row that MongoDB would refuse after others were written."""
    size = len(id_of(table, key).encode()) + len(value) + _SPARE_BYTES
    if size > MAX_DOCUMENT_BYTES:
        got, most = f"{size:,} bytes", f"{MAX_DOCUMENT_BYTES:,} bytes, key included"
        raise too_large("MongoDB", (table, key), got=got, most=most, where=where)


def replacements(table: str, rows: Iterable[Item]) -> list[ReplaceOne[Document]]:
    """Return the operations that insert or replace rows."""
    return [
        ReplaceOne({"_id": (identity := id_of(table, key))}, {"_id": identity, "v": value}, True)
        for key, value in rows
    ]


def between(start: bytes, end: bytes | None, *, inclusive: bool) -> Document:
    """Return the filter for ids from ``start`` up to but without ``end``."""
    bounds = {"$gte" if inclusive else "$gt": start.decode("latin-1")}
    if end is not None:
        bounds["$lt"] = end.decode("latin-1")
    return {"_id": bounds}


def lost_a_race(error: Exception) -> bool:
    """Say whether rows were not written because others inserted the same at that moment."""
    if isinstance(error, BulkWriteError):
        failed = error.details.get("writeErrors", [])
        unsure = error.details.get("writeConcernErrors", [])
        return not unsure and all(each.get("code") == _DUPLICATE_KEY for each in failed)
    return isinstance(error, OperationFailure) and error.code == _DUPLICATE_KEY


def is_passing(error: Exception) -> bool:
    """Say whether a call that changes nothing may be made again."""
    return isinstance(error, _LOST)


def store_error(error: Exception, where: str, *, wrote: bool) -> StoreError:
    """Return the `StoreError` that says what ``error`` means for the store at ``where``."""
    facts: dict[str, Any] = {"got": f"{type(error).__name__}: {error}", "where": where}
    unsure = isinstance(error, BulkWriteError) and bool(error.details.get("writeConcernErrors"))
    if isinstance(error, _LOST) or unsure:
        hint = "The write may or may not have happened." if wrote else "Is the server running?"
        return StoreUnavailable("the MongoDB server cannot be reached", **facts, hint=hint)
    if isinstance(error, OperationFailure) and error.code in _REFUSED:
        hint = "Check user, password, authSource and roles."
        return StoreError("the MongoDB server refuses this user", **facts, hint=hint)
    if isinstance(error, ConfigurationError):
        hint = "Check the server's version (4.2 or newer) and the options of the address."
        return StoreError("the MongoDB driver refuses this server", **facts, hint=hint)
    return StoreError("the MongoDB server refused a command", **facts)
