"""A connection that does not wait for ever, and that answers small reads without detours.

What is said to uvicorn's connection here is of two kinds. *Patience*: a client gets so many seconds
to send a request and to take its answer, and a head may not grow without end. *A short cut*: a
small read that is there as a whole is answered where it is read, without a task,
an event and a scope of ASGI; whatever is the least bit unusual takes the long way. And a head that
is the same to the last byte as one that the parser took before is not parsed again: a client's
requests mostly differ in their bodies alone.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from skewless.serving.http.http import JSON, SMALL_BODY, dump

MOST_HEAD_BYTES = 64 << 10
MOST_HEADS = 1_000
_END = b"\r\n\r\n"
_OF_ONE_REQUEST = (b"x-request-id", b"traceparent")
"""Headers that are not the same twice: heads with these are not worth remembering."""
_WISHES = (b"upgrade", b"http2-settings")
_NO_ADDRESS = (httptools.HttpParserInvalidURLError, UnicodeDecodeError)
"""What is raised by the target of a request: it is too long, or says nothing."""
_UNUSUAL = (b"content-encoding", b"transfer-encoding", b"expect", b"upgrade")
_JSON_KINDS = (None, JSON, b"application/json; charset=utf-8", b"application/json;charset=utf-8")


class Connection(HttpToolsProtocol):
    """Uvicorn's connection with patience and a short cut."""

    patience = 10.0
    most = 1 << 20
    """Connections that may be open at once."""
    heads: ClassVar[dict[bytes, tuple[dict[bytes, bytes], int, bytes]]] = {}
    """Heads of small requests that the parser took: headers, length of the body, address."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; a client that then says nothing is hung up on."""
        super().connection_made(transport)
        self._at_once: Any = getattr(self.app, "at_once", None)
        self._quick = getattr(self.app, "quick", ())
        self._head_bytes = 0
        self._in_head = self._in_body = False
        self._small: bytearray | None = None
        self._used_at = self.loop.time()
        self._idle: asyncio.TimerHandle | None = None
        self._slow_write: asyncio.TimerHandle | None = None
        self._slow_read: asyncio.TimerHandle | None = self._later(self._too_slow)
        self._last = False
        self._begins = b""
        self._wish: bytes | None = None
        if len(self.connections) > self.most:
            self._refuse(503, "too many connections are open", "Overloaded")

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        for name in ("_slow_read", "_slow_write", "_idle"):
            self._forget(name)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; wait for the rest of a request only so long."""
        if (
            self._in_head or self._in_body or self._last or self._slow_read is not None
            or self.timeout_keep_alive_task is not None or self.flow.write_paused or self._busy()
        ):  # fmt: skip
            self._begins = b""
        else:
            size = data.find(_END) + len(_END)
            known = self.heads.get(data[:size])
            if known is not None and len(data) == size + known[1]:
                answer = self._at_once(known[2], known[0], data[size:])
                if answer is not None:
                    self._write(*answer, keep=True)
                    return
            self._begins = data
        self._in_head = self._in_head or not self._in_body
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, _NO_ADDRESS):
                too_long = len(self.url) > MOST_HEAD_BYTES
                self._refuse(414 if too_long else 400, "the request is for no address")
                return
            self.logger.error("a request could not be answered", exc_info=error.__context__)
            self._refuse(500, "an internal error")
            return
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._in_head or self._in_body:
            self._wait_for_more(len(data))
        elif self._slow_read is not None:
            self._forget("_slow_read")

    def _feed(self, data: bytes) -> None:
        """Give the parser what came; a request that asks for another protocol is a plain one.

        Clients that would rather speak HTTP/2 say so in each request (``curl --http2``, the JDK's),
        and take HTTP/1.1 as well. The parser stops behind such a head, without a body, so a new one
        is given the head again, without that wish.
        """
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if self._wish is None:  # CONNECT
                    self._refuse(405, "this is no proxy")
                    return
                data = self._wish + data[upgrade.args[0] :]
                self._wish = None
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _without_upgrade(self) -> bytes:
        """Return the head at hand without the wish for another protocol."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version.encode())]
        for name, value in self.headers:
            if name == b"connection":
                words = [word.strip() for word in value.split(b",")]
                value = b", ".join(w for w in words if w.lower() not in _WISHES)  # noqa: PLW2901
            if name not in _WISHES:
                lines.append(name + b": " + value)
        return b"\r\n".join(lines) + _END

    def _wait_for_more(self, size: int) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += size
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(431, "the head of the request is too large")
                return
        if self._slow_read is None:
            self._slow_read = self._later(self._too_slow)

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        self._in_head, self._in_body = True, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is complete; see whether the short cut can be taken."""
        if self.parser.should_upgrade():
            if self.parser.get_method() != b"CONNECT":
                self._wish = self._without_upgrade()
            return
        self._in_head, self._in_body, self._head_bytes = False, True, 0
        if self.url in self._quick and self._may_be_small():
            self._small = bytearray()
        else:
            self._small = None
            super().on_headers_complete()

    def _may_be_small(self) -> bool:
        if (
            self._busy()
            or self.flow.write_paused
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
        ):
            return False
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"")
        return (
            length.isdigit()
            and len(length) < 7
            and int(length) <= SMALL_BODY
            and headers.get(b"content-type") in _JSON_KINDS
            and b"arrow" not in headers.get(b"accept", b"")
            and not any(name in headers for name in _UNUSUAL)
        )

    def _busy(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._small is None:
            super().on_body(body)
        else:
            self._small += body

    def on_message_complete(self) -> None:
        """Answer, or hand the complete request on."""
        if self.parser.should_upgrade():
            return
        self._in_head = self._in_body = False
        if self._small is not None:
            body, self._small = bytes(self._small), None
            headers = dict(self.headers)
            answer = self._at_once(self.url, headers, body)
            if answer is not None:
                keep = self.parser.should_keep_alive() and not self._last
                if keep:
                    self._remember(headers, body)
                self._write(*answer, keep=keep)
                return
            super().on_headers_complete()
            super().on_body(body)
            if self._last:
                self.cycle.keep_alive = False
        super().on_message_complete()

    def _remember(self, headers: dict[bytes, bytes], body: bytes) -> None:
        """Remember the head of a request that came alone and in one piece."""
        data, self._begins = self._begins, b""
        size = data.find(_END) + len(_END)
        if (
            data.startswith(b"POST %s HTTP/1.1\r\n" % self.url)
            and data[size:] == body
            and not any(name in headers for name in _OF_ONE_REQUEST)
        ):
            if len(self.heads) >= MOST_HEADS:
                self.heads.clear()
            self.heads[data[:size]] = (headers, len(body), self.url)

    def _write(self, response: Any, request_id: bytes, *, keep: bool) -> None:
        more = b"" if keep else b"connection: close\r\n"
        for name, value in self.server_state.default_headers:
            more += b"%s: %s\r\n" % (name, value)
        if response.headers:
            for title, text in response.headers.items():
                more += f"{title}: {text}\r\n".encode("latin-1")
        body = response.body
        self.transport.write(
            b"%scontent-type: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\n%s\r\n%s" % (
                STATUS_LINE[response.status], response.kind, len(body), request_id, more, body,
            )
        )  # fmt: skip
        self.server_state.total_requests += 1
        if not keep:
            self.transport.close()
            return
        self._used_at = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """Close a connection unused for long; one timer serves many requests."""
        self._idle = None
        left = self._used_at + self.timeout_keep_alive - self.loop.time()
        if left <= 0 and not self._busy() and not self._in_body:
            self.timeout_keep_alive_handler()
        else:
            self._idle = self.loop.call_later(max(left, 1.0), self._close_if_idle)

    def shutdown(self) -> None:
        """End after the request whose body is on its way, if there is one."""
        if self._small is None:
            super().shutdown()
        else:
            self._last = True

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

    def _later(self, call: Any) -> asyncio.TimerHandle:
        return self.loop.call_later(self.patience, call)

    def _forget(self, name: str) -> None:
        timer: asyncio.TimerHandle | None = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)

    def _too_slow(self) -> None:
        self._slow_read = None
        if self._in_head or self._in_body:
            self._refuse(408, "the request took too long to arrive")
        else:  # nothing was ever said
            self.transport.abort()

    def _refuse(self, status: int, what: str, error: str = "RequestError") -> None:
        if self.transport.is_closing():
            return
        body = dump({"error": error, "what": what})
        cycle: Any = self.cycle
        # In the middle of an answer nothing can be said any more.
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: application/json\r\nconnection: close\r\n"
                + b"content-length: %d\r\n\r\n" % len(body)
                + body
            )
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
