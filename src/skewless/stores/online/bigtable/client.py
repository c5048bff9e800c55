"""The client of Bigtable: its calls with deadlines, and what its errors mean.

The calls are those of the generated client `google.cloud.bigtable_v2`: the layer above it repeats
writes by itself and puts rows together more slowly.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.api_core import exceptions
from google.auth import exceptions as auth
from google.cloud.bigtable_v2 import BigtableClient
from google.cloud.bigtable_v2 import types as t
from google.cloud.bigtable_v2.services.bigtable.transports import BigtableGrpcTransport

from skewless.errors import StoreError, StoreUnavailable
from skewless.stores.online.concurrency import THREADS

FAMILY = "f"
EMULATOR = "BIGTABLE_EMULATOR_HOST"
_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_ADMIN_SECONDS = 60.0

ERRORS = (exceptions.GoogleAPICallError, auth.GoogleAuthError)
_LOST = (
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,
    auth.TransportError,
)


_error_of: Any = exceptions.from_grpc_status


class Client:
    """A channel to one table of Bigtable and the threads that make several calls at once."""

    def __init__(self, table: str, app_profile: str | None, timeout: float) -> None:
        emulator = os.environ.get(EMULATOR)
        if emulator:
            channel = grpc.insecure_channel(emulator, options=_ANY_SIZE)
            self._calls = BigtableClient(transport=BigtableGrpcTransport(channel=channel))
        else:
            self._calls = BigtableClient()
        self._place = {"table_name": table, "app_profile_id": app_profile or ""}
        # Retries are the store's: those of the client would repeat writes too.
        self._limits: dict[str, Any] = {"timeout": timeout, "retry": None}
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="skewless-bigtable")

    def read(self, rows: t.RowSet, limit: int = 0) -> Iterable[Any]:
        """Return the answers that hold the rows; 0 is no limit."""
        request = t.ReadRowsRequest(rows=rows, rows_limit=limit, **self._place)
        answers: Iterable[Any] = self._calls.read_rows(request, **self._limits)
        return answers

    def change(self, entries: Sequence[t.MutateRowsRequest.Entry]) -> None:
        """Change rows, each of them whole or not at all."""
        request = t.MutateRowsRequest(entries=entries, **self._place)
        for answer in self._calls.mutate_rows(request, **self._limits):
            for entry in answer.entries:
                if entry.status.code:
                    code, message = _status(entry.status.code), entry.status.message
                    raise _error_of(code, message)

    def check_and_change(self, row_key: bytes, condition: dict[str, Any]) -> bool:
        """Change a row by whether a filter finds something in it; say whether it does."""
        request = t.CheckAndMutateRowRequest(row_key=row_key, **condition, **self._place)
        answer = self._calls.check_and_mutate_row(request, **self._limits)
        return bool(answer.predicate_matched)

    def close(self) -> None:
        """Release connections and threads."""
        self.threads.shutdown(wait=False)
        transport: Any = self._calls.transport
        transport.close()


def make_table(instance: str, table: str) -> None:
    """Make the table with its one column family, unless another process was faster."""
    from google.cloud.bigtable_admin_v2 import BigtableTableAdminClient
    from google.cloud.bigtable_admin_v2 import types as admin_types
    from google.cloud.bigtable_admin_v2.services.bigtable_table_admin import transports

    emulator = os.environ.get(EMULATOR)
    if emulator:
        transport = transports.BigtableTableAdminGrpcTransport(
            channel=grpc.insecure_channel(emulator)
        )
        admin = BigtableTableAdminClient(transport=transport)
    else:
        admin = BigtableTableAdminClient()
    types: Any = admin_types
    family = types.ColumnFamily(gc_rule=types.GcRule(max_num_versions=1))
    request = types.CreateTableRequest(
        parent=instance, table_id=table, table=types.Table(column_families={FAMILY: family})
    )
    with contextlib.suppress(exceptions.AlreadyExists), contextlib.closing(admin.transport):
        admin.create_table(request, timeout=_ADMIN_SECONDS)


def is_passing(error: Exception) -> bool:
    """Say whether a call that changes nothing may be made again."""
    return isinstance(error, _LOST)


def is_missing(error: Exception) -> bool:
    """Say whether there is no such table or instance."""
    return isinstance(error, exceptions.NotFound)


def store_error(error: Exception, where: str, *, wrote: bool) -> StoreError:
    """Return the `StoreError` that says what ``error`` means for the store at ``where``."""
    facts: dict[str, Any] = {"got": f"{type(error).__name__}: {error}", "where": where}
    if isinstance(error, _LOST):
        hint = "The write may or may not have happened." if wrote else "Check the network."
        return StoreUnavailable("Bigtable cannot be reached", **facts, hint=hint)
    if isinstance(error, auth.GoogleAuthError):
        # Not the message: it may quote the file of credentials.
        facts["got"] = type(error).__name__
        hint = "Run: gcloud auth application-default login; or give the machine a service account."
        return StoreError("there are no Google credentials", **facts, hint=hint)
    if isinstance(error, (exceptions.Forbidden, exceptions.Unauthorized)):
        hint = "It needs the role roles/bigtable.user, and roles/bigtable.admin to make the table."
        return StoreError("Bigtable refuses these credentials", **facts, hint=hint)
    if is_missing(error):
        hint = "Check project, instance and table."
        return StoreError("Bigtable has no such table or instance", **facts, hint=hint)
    return StoreError("Bigtable refused a call", **facts)


def _status(code: int) -> grpc.StatusCode:
    return next(status for status in grpc.StatusCode if status.value[0] == code)
