"""A connection to PostgreSQL that never waits for ever, and reads rows with little in between.

The driver waits for an answer as long as the connection lives: a proxy that lost the answer, or a
server that hangs, would be waited for without end. Here every call has a deadline; when it passes,
the connection is closed, so that an answer that comes after all is not taken for the next one's.

Reads of rows go to libpq (`psycopg.pq`) directly: binary, prepared, without a cursor.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

T = TypeVar("T")

BYTEA_OID = 17
WRITE_PATIENCE = 6
"""A statement that writes may take so many times as long as one that reads."""
_BINARY = 1
_length = struct.Struct("!i").pack
_array_head = struct.Struct("!iiiii").pack
_NO_ELEMENTS = struct.pack("!iii", 0, 0, BYTEA_OID)


class Unanswered(psycopg.OperationalError):
    """No answer came in time; the connection was closed."""


class BoundedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose every call ends.

    Attributes:
        patience: seconds that a call may take from now on.
    """

    patience = 60.0

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **options: Any) -> T:
        """Run a call of the driver's to its end; see `psycopg.Connection`.

        Raises:
            Unanswered: it takes too long.
        """
        try:
            return super().wait(
                _until(gen, time.monotonic() + self.patience), *arguments, **options
            )
        except Unanswered:
            self.close()
            raise

    def prepared(self, name: bytes, sql: bytes, *parameters: bytes) -> pq.abc.PGresult:
        """Return the answer to a statement, which is prepared by its first call.

        Args:
            name: tells the statement from others of the connection.
            sql: with `$1`, `$2`, ... for the parameters.
            parameters: in binary form.
        """
        deadline = time.monotonic() + self.patience
        connection = self.pgconn
        known: set[bytes] = self.__dict__.setdefault("known", set())
        if name not in known:
            connection.send_prepare(name, sql)
            self._answer(connection, deadline)
            known.add(name)
        connection.send_query_prepared(name, parameters, [_BINARY] * len(parameters), _BINARY)
        return self._answer(connection, deadline)

    def _answer(self, connection: pq.abc.PGconn, deadline: float) -> pq.abc.PGresult:
        waiting = select.poll()
        waiting.register(connection.socket, select.POLLIN | select.POLLOUT)
        while connection.flush():
            self._wait(waiting, deadline)
            connection.consume_input()
        waiting.modify(connection.socket, select.POLLIN)
        answer: pq.abc.PGresult | None = None
        while True:
            while connection.is_busy():
                self._wait(waiting, deadline)
                connection.consume_input()
            result = connection.get_result()
            if result is None:
                break
            answer = answer or result
        if answer is None or answer.status not in (
            pq.ExecStatus.TUPLES_OK,
            pq.ExecStatus.COMMAND_OK,
        ):
            raise error_from_result(answer) if answer else Unanswered("the server gave no answer")
        return answer

    def _wait(self, waiting: select.poll, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0 or not waiting.poll(left * 1000):
            self.close()
            raise Unanswered("the server did not answer in time")


def array_of(values: Sequence[bytes]) -> bytes:
    """Return a `bytea[]` in PostgreSQL's binary form.

    >>> len(array_of([b"a", b"bc"]))
    31
    """
    if not values:
        return _NO_ELEMENTS
    parts = [_array_head(1, 0, BYTEA_OID, len(values), 1)]
    for value in values:
        parts.append(_length(len(value)))
        parts.append(value)
    return b"".join(parts)


def _until(gen: Generator[Any, Any, T], deadline: float) -> Generator[Any, Any, T]:
    """Pass a driver's waiting on; whoever waits reports now and then that nothing has come."""
    try:
        awaited = next(gen)
        while True:
            ready = yield awaited
            if not ready and time.monotonic() > deadline:
                gen.close()
                raise Unanswered("the server did not answer in time")
            awaited = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result
