"""A connection that does not wait for ever: limits on slow clients and on the size of heads."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from skewless.serving.http import dump

MOST_HEAD_BYTES = 64 << 10


class Connection(HttpToolsProtocol):
    """Uvicorn's connection with patience.

    A client gets ``patience`` seconds to send a request once it has begun (or connected), and as
    long each time it has to take what was written before more can be.
    """

    patience = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; a client that then says nothing is hung up on."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = self._in_body = False
        self._slow_write: asyncio.TimerHandle | None = None
        self._slow_read: asyncio.TimerHandle | None = self._later(self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._forget("_slow_read")
        self._forget("_slow_write")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; wait for the rest of a request only so long."""
        self._in_head = self._in_head or not self._in_body
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(431, "the head of the request is too large")
                return
        if self._in_head or self._in_body:
            if self._slow_read is None:
                self._slow_read = self._later(self._too_slow)
        elif self._slow_read is not None:
            self._forget("_slow_read")

    def on_headers_complete(self) -> None:
        """Note that the head is complete."""
        self._in_head, self._in_body, self._head_bytes = False, True, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        self._in_head = self._in_body = False
        super().on_message_complete()

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        self._in_head, self._in_body = True, False
        super().on_message_begin()

    def pause_writing(self) -> None:
        """Wait for a client that does not take its answer, only so long."""
        super().pause_writing()
        if self._slow_write is None:
            self._slow_write = self._later(self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has taken what was written."""
        self._forget("_slow_write")
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in JSON as every error."""
        self._refuse(400, msg)

    def _later(self, call: object) -> asyncio.TimerHandle:
        return self.loop.call_later(self.patience, call)  # type: ignore[arg-type]

    def _forget(self, name: str) -> None:
        timer: asyncio.TimerHandle | None = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)

    def _hang_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _too_slow(self) -> None:
        if self._in_head or self._in_body:
            self._refuse(408, "the request took too long to arrive")

    def _refuse(self, status: int, what: str) -> None:
        if self.transport.is_closing():
            return
        body = dump({"error": "RequestError", "what": what})
        reason = {400: "Bad Request", 408: "Request Timeout"}.get(
            status, "Request Header Fields Too Large"
        )
        head = (
            f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        # In the middle of an answer nothing can be said any more.
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(head.encode() + body)
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
