"""Handing a request on to the process that writes, over a socket of this machine."""

from __future__ import annotations

import asyncio

from skewless.errors import StoreUnavailable
from skewless.request_errors import Overloaded, TooLarge
from skewless.serving.http.http import Request, Response
from skewless.serving.http.http1 import BadAnswer, read_answer, request_bytes
from skewless.serving.settings import Settings

_PASSED_ON = (b"content-type", b"authorization", b"accept", b"x-request-id", b"traceparent")
_PASSED_BACK = ("retry-after", "location", "x-skewless-quarantined", "www-authenticate")

_LONGER = 1.0
"""Seconds."""


class Forward:
    """Hands requests on.

    Args:
        path: of the writer's socket.
        settings: deadlines and limits.
    """

    def __init__(self, path: str, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._active = 0

    async def __call__(self, request: Request, *, waits: bool = False) -> Response:
        """Return what the writer answers.

        Args:
            request: that is handed on.
            waits: whether it is answered when a materialization is done.

        Raises:
            StoreUnavailable: it does not answer, because it is being restarted for instance.
            Overloaded: too many requests wait for it.
        """
        if self._active > self._settings.max_waiting:
            raise Overloaded(
                "too many requests wait for the writer", hint="Nothing was done. Try again later."
            )
        self._active += 1
        try:
            body = await request.body()
            scope = request.scope
            target = scope["raw_path"].decode("ascii")
            if scope["query_string"]:
                target += "?" + scope["query_string"].decode("ascii")
            headers = {n.decode(): v.decode("latin-1")
                       for n, v in request.headers.items() if n in _PASSED_ON}  # fmt: skip
            sent = request_bytes(scope["method"], target, "writer", headers, body)
            # Longer than the writer itself waits: what it knows about a delay, it can say.
            limit = self._settings.write_timeout * (100 if waits else 1) + _LONGER
            return await asyncio.wait_for(self._exchange(sent), limit)
        except TooLarge:
            raise
        except (OSError, BadAnswer, TimeoutError) as problem:
            raise StoreUnavailable(
                "the process that writes does not answer",
                got=str(problem) or type(problem).__name__,
                hint="It is started again by itself. The rows may or may not be in.",
            ) from None
        finally:
            self._active -= 1

    async def _exchange(self, sent: bytes) -> Response:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(sent)
            await writer.drain()
            status, headers, body = await read_answer(reader)
        finally:
            writer.close()
        kind = headers.pop("content-type", "application/json").encode()
        back = {name: value for name, value in headers.items() if name in _PASSED_BACK}
        return Response(body, status, kind, back)
