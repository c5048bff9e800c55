"""Handing a request on to another process of this server, over a socket of this machine.

await Forward(path, settings, WRITER).write(request)             # a push, a materialization
await Forward(path, settings, LARGE_READS).read(request, body)   # passed on as it comes
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import NamedTuple

from skewless.errors import StoreUnavailable
from skewless.request_errors import Overloaded, TooLarge
from skewless.serving.http.http import PIECE, Request, Response, Send
from skewless.serving.http.http1 import BadAnswer, parse_head, read_answer, request_bytes
from skewless.serving.settings import Settings

_PASSED_ON = (b"content-type", b"authorization", b"accept", b"x-request-id", b"traceparent")
_PASSED_BACK = ("retry-after", "location", "x-skewless-quarantined", "www-authenticate",
                "x-skewless-building")  # fmt: skip

_LONGER = 1.0
"""Seconds."""


class Target(NamedTuple):
    """The process that requests are handed to.

    Attributes:
        name: in errors.
        hint: where it does not answer.
    """

    name: str
    hint: str


WRITER = Target(
    "process that writes", "It is started again by itself. The rows may or may not be in."
)
LARGE_READS = Target("process of large reads", "It is started again by itself. Try again later.")


class Forward:
    """Hands requests on.

    Args:
        path: of the other process' socket.
        settings: deadlines and limits.
        target: what that process is.
        ready: says whether that process takes requests, where it may not have started.
    """

    def __init__(
        self,
        path: str,
        settings: Settings,
        target: Target,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.ready = ready
        self._path = path
        self._settings = settings
        self._target = target
        self._active = 0

    async def write(self, request: Request, *, waits: bool = False) -> Response:
        """Return what the writer answers.

        Args:
            request: that is handed on.
            waits: whether it is answered when a materialization is done.

        Raises:
            StoreUnavailable: it does not answer, because it is being restarted for instance.
            Overloaded: too many requests wait for it.
        """
        # Longer than the writer itself waits: what it knows about a delay, it can say.
        limit = self._settings.write_timeout * (100 if waits else 1) + _LONGER
        self._enter()
        try:
            body = await request.body()
            return await self._in_time(limit, self._whole(request, body))
        finally:
            self._active -= 1

    async def read(self, request: Request, body: bytes) -> Response:
        """Return the answer to a large read, which is passed on as it comes.

        Args:
            request: that is handed on.
            body: of it.

        Raises:
            StoreUnavailable: the other process does not answer.
            Overloaded: too many requests wait for it.
        """
        self._enter()
        try:
            limit = self._settings.timeout + _LONGER
            return await self._in_time(limit, self._begun(request, body))
        finally:
            self._active -= 1

    def _enter(self) -> None:
        if self._active > self._settings.max_waiting:
            raise Overloaded(
                f"too many requests wait for the {self._target.name}",
                hint="Nothing was done. Try again later.",
            )
        self._active += 1

    async def _in_time(self, limit: float, answer: Coroutine[None, None, Response]) -> Response:
        try:
            return await asyncio.wait_for(answer, limit)
        except TooLarge:
            raise
        except (OSError, BadAnswer, TimeoutError, EOFError) as problem:
            raise StoreUnavailable(
                f"the {self._target.name} does not answer",
                got=str(problem) or type(problem).__name__,
                hint=self._target.hint,
            ) from None

    async def _sent(
        self, request: Request, body: bytes
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        scope = request.scope
        target = scope["raw_path"].decode("ascii")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("ascii")
        headers = {n.decode(): v.decode("latin-1")
                   for n, v in request.headers.items() if n in _PASSED_ON}  # fmt: skip
        sent = request_bytes(scope["method"], target, "server", headers, body)
        reader, writer = await asyncio.open_unix_connection(self._path, limit=PIECE)
        try:
            writer.write(sent)
            await writer.drain()
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _whole(self, request: Request, body: bytes) -> Response:
        reader, writer = await self._sent(request, body)
        try:
            status, headers, found = await read_answer(reader)
        finally:
            writer.close()
        return Response(found, status, _kind(headers), _passed_back(headers))

    async def _begun(self, request: Request, body: bytes) -> Response:
        reader, writer = await self._sent(request, body)
        try:
            status, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
            length = int(headers["content-length"])
        except (ValueError, KeyError, asyncio.LimitOverrunError) as problem:
            writer.close()
            raise BadAnswer(str(problem)) from None
        except BaseException:
            writer.close()
            raise
        return Relayed(reader, writer, length, status, _kind(headers), _passed_back(headers))


class Relayed(Response):
    """An answer that another process gives, passed on piece by piece.

    Args:
        reader: where its body comes from.
        writer: closed when it is here.
        length: of the body.
    """

    __slots__ = ("_length", "_reader", "_writer")
    large = True

    def __init__(  # noqa: PLR0917 - what an answer consists of
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        length: int,
        status: int,
        kind: bytes,
        headers: dict[str, str],
    ) -> None:
        super().__init__(b"", status, kind, headers)
        self._reader = reader
        self._writer = writer
        self._length = length

    async def send(self, send: Send, request_id: bytes) -> None:
        """Send the answer; where the other process ends in the middle, so does the connection."""
        try:
            await self._send_head(send, request_id, self._length)
            left = self._length
            while True:
                piece = await self._reader.read(PIECE) if left else b""
                left -= len(piece)
                if left and not piece:
                    raise BadAnswer(f"the {LARGE_READS.name} ended within an answer")
                body = {"body": piece, "more_body": bool(left)}
                await send({"type": "http.response.body", **body})
                if not left:
                    return
        finally:
            self._writer.close()


def _kind(headers: dict[str, str]) -> bytes:
    return headers.get("content-type", "application/json").encode()


def _passed_back(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in _PASSED_BACK}
