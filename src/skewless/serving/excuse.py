"""What a server answers while none of its workers can start: 503, and why.

    excuse = Excuse(door, None)
    excuse.wait(selector, 0.2, "the registry is damaged", anybody=False)  # and answers meanwhile

The process that watches the workers answers, so each connection gets a fraction of a second and
one answer: ``/health`` is 200, for what is wrong is not mended by a restart, everything else 503.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import ssl
import traceback

from skewless.errors import SkewlessError
from skewless.request_errors import InternalError
from skewless.serving.operate.logs import event
from skewless.serving.sockets import BACKLOG

_SECONDS = 0.5
_MOST_BYTES = 64 << 10


class Excuse:
    """Answers at the door of a worker that is not there.

    Args:
        door: the socket of the worker.
        tls: what clients expect to speak, or None.
    """

    def __init__(self, door: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.door = door
        self._tls = tls

    def wait(
        self, selector: selectors.BaseSelector, seconds: float, reason: str, anybody: bool
    ) -> None:
        """Wait for connections, and whatever else there is; answer one if there is a reason.

        Args:
            selector: of all that is waited for.
            seconds: to wait at most.
            reason: why the worker of the door cannot start; empty: the door is not to be answered.
            anybody: whether another one answers: what is open stays so until this one is there or
                has failed again, because it may be listening already.
        """
        known = self.door in selector.get_map()
        if reason and not anybody:
            self.door.setblocking(False)
            self.door.listen(BACKLOG)  # again after each attempt of the worker, which shuts it
            if not known:
                selector.register(self.door, selectors.EVENT_READ)
        elif known and not reason:
            selector.unregister(self.door)
        for found, _ in selector.select(seconds):
            if found.fileobj is self.door:
                self.answer(reason)

    def answer(self, reason: str) -> None:
        """Answer one connection.

        Args:
            reason: why no worker can start.
        """
        with contextlib.suppress(OSError):  # it has gone, or says nothing
            connection, _ = self.door.accept()
            with connection:
                connection.settimeout(_SECONDS)
                if self._tls is None:
                    _answer(connection, reason)
                    return
                with self._tls.wrap_socket(connection, server_side=True) as secret:
                    _answer(secret, reason)


def _answer(connection: socket.socket, reason: str) -> None:
    asked = b""
    with contextlib.suppress(TimeoutError):  # whoever is slow gets the answer too
        asked = connection.recv(_MOST_BYTES)
    status, body = b"200 OK", b""
    if not asked.startswith((b"GET /health ", b"HEAD /health ")):
        told = {"ready": False, "reasons": [reason], "error": "StoreUnavailable", "what": reason}
        status, body = b"503 Service Unavailable", json.dumps(told).encode()
    head = b"HTTP/1.1 %s\r\nconnection: close\r\nretry-after: 5\r\n" % status
    head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    connection.sendall(head + (b"" if asked.startswith(b"HEAD ") else body))
    connection.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):  # what was not read would take the answer with it
        connection.recv(_MOST_BYTES)


def reason_of(problem: Exception) -> SkewlessError:
    """Return why a process cannot start; of what should not happen the log has the trace."""
    if isinstance(problem, SkewlessError):
        return problem
    event("failed", path="start", trace="".join(traceback.format_exception(problem)))
    return InternalError(
        f"the server cannot start: {type(problem).__name__}",
        got=str(problem)[:200] or None, hint="The log has the trace.",
    )  # fmt: skip
