"""What a server answers while none of its workers can start: 503, and why.

    excuse = Excuse(door, None)
    excuse.open()                      # the door takes connections
    excuse.answer(reason)              # one of them, when the door is readable

The process that watches the workers answers, so each connection gets a fraction of a second and
one answer: ``/health`` is 200, for what is wrong is not mended by a restart, everything else 503.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl

from skewless.serving.sockets import BACKLOG

_SECONDS = 0.2
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

    def open(self) -> None:
        """Take connections; to be said again after each attempt of the worker, which shuts it."""
        self.door.setblocking(False)
        self.door.listen(BACKLOG)

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
