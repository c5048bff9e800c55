"""A request and an answer: what lies between ASGI and the handlers."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec
import orjson

from skewless.codec import json_default
from skewless.request_errors import RequestError, TooLarge, UnsupportedMediaType
from skewless.serving.problems import ClientGone, misfit

if TYPE_CHECKING:
    from skewless.serving.operate.keys import Caller

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
ARROW = b"application/vnd.apache.arrow.stream"
SMALL_BODY = 16 << 10
"""Bytes of a request that may be decoded where it is read off its connection."""
PIECE = 256 << 10
"""Bytes of a large answer that are sent at once."""
Part = bytes | bytearray | memoryview
_ID = re.compile(rb"[\w.:\-]{1,128}\Z")


class Response:
    """An answer, complete in memory."""

    __slots__ = ("body", "headers", "kind", "status")
    large = False
    """Whether it answers a large read: those are counted apart."""

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        kind: bytes = JSON,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.kind = kind
        self.headers = headers

    @classmethod
    def json(cls, data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """Return plain data as JSON."""
        return cls(dump(data), status, headers=headers)

    async def send(self, send: Send, request_id: bytes) -> None:
        """Send the answer."""
        await self._send_head(send, request_id, len(self.body))
        await send({"type": "http.response.body", "body": self.body})

    async def _send_head(self, send: Send, request_id: bytes, length: int) -> None:
        headers = [
            (b"content-type", self.kind),
            (b"content-length", b"%d" % length),
            (b"x-request-id", request_id),
        ]
        if self.headers:
            headers += [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})


class LargeResponse(Response):
    """An answer to a large read: sent in pieces, between which others are answered."""

    __slots__ = ("parts",)
    large = True

    def __init__(
        self,
        parts: list[Part],
        kind: bytes = JSON,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(b"", kind=kind, headers=headers)
        self.parts = parts

    async def send(self, send: Send, request_id: bytes) -> None:
        """Send the answer."""
        await self._send_head(send, request_id, sum(map(len, self.parts)))
        piece: list[Part] = []
        size = 0
        for part in self.parts:
            for start in range(0, len(part), PIECE):
                cut = part[start : start + PIECE] if len(part) > PIECE else part
                piece.append(cut)
                size += len(cut)
                if size >= PIECE:
                    body = {"body": b"".join(piece), "more_body": True}
                    await send({"type": "http.response.body", **body})
                    await asyncio.sleep(0)
                    piece, size = [], 0
        await send({"type": "http.response.body", "body": b"".join(piece)})


class Request:
    """A request whose body is read when a handler asks for it.

    Attributes:
        scope: as ASGI has it.
        headers: by lower-case name; of repeated ones the last.
        caller: whose key it came with; set before a handler sees the request.
        rest: the part of the path after that of the route.
        max_body: bytes the body may have.
    """

    __slots__ = ("_receive", "caller", "headers", "max_body", "rest", "scope")

    def __init__(self, scope: Scope, receive: Receive, max_body: int) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.max_body = max_body
        self.caller: Caller
        self.rest = ""
        self._receive = receive

    @property
    def where(self) -> str:
        """How errors name the place: method and path."""
        return f"{self.scope['method']} {self.scope['path']}"

    @property
    def kind(self) -> bytes:
        """The media type of the body, without parameters; JSON where nothing is said."""
        kind = self.headers.get(b"content-type", JSON)
        return kind if kind == JSON else kind.partition(b";")[0].strip().lower()

    @property
    def wants_arrow(self) -> bool:
        """Whether the answer is to be an Arrow IPC stream."""
        return ARROW in self.headers.get(b"accept", b"")

    def query(self, *known: str) -> dict[str, str]:
        """Return the parameters behind the ``?``; of repeated ones the last.

        Args:
            known: the names there may be.

        Raises:
            RequestError: another parameter, or one that is not UTF-8.
        """
        found = self.any_query()
        for name in found:
            if name not in known:
                raise RequestError(
                    f"no parameter is called {name!r}",
                    expected=", ".join(known) or "no parameters", where=self.where,
                )  # fmt: skip
        return found

    def any_query(self) -> dict[str, str]:
        """Return the parameters behind the ``?``, whatever they are called."""
        text = self.scope["query_string"].decode("ascii", "replace")
        try:
            found = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=64)
        except ValueError as problem:
            raise RequestError(
                "the query is not UTF-8 or has too many fields",
                got=str(problem), where=self.where,
            ) from None  # fmt: skip
        return {name: values[-1] for name, values in found.items()}

    async def body(self) -> bytes:
        """Return the whole body, and let the caller pay for a large one.

        Raises:
            TooLarge: it has more than ``max_body`` bytes; the rest is not read.
            UnsupportedMediaType: it is compressed.
            ClientGone: the connection was closed on the way.
        """
        body = await self._whole()
        self.caller.pay(len(body) // SMALL_BODY)
        return body

    async def _whole(self) -> bytes:
        headers = self.headers
        announced = headers.get(b"content-length")
        if announced and announced.isdigit() and int(announced[:19]) > self.max_body:
            raise self._too_large(announced.decode("latin-1"))
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedMediaType(
                "a compressed body",
                got=headers[b"content-encoding"].decode("latin-1"),
                expected="a body without Content-Encoding",
                where=self.where,
            )
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientGone
        if not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) > self.max_body:
                raise self._too_large(str(len(body)))
            return body
        parts = [message.get("body", b"")]
        size = len(parts[0])
        while message.get("more_body"):
            if size > self.max_body:
                raise self._too_large(f"more than {self.max_body}")
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        if size > self.max_body:
            raise self._too_large(str(size))
        return b"".join(parts)

    def _too_large(self, size: str) -> TooLarge:
        return TooLarge(
            "the body is too large",
            got=f"{size} bytes",
            expected=f"at most {self.max_body} bytes",
            where=self.where,
            hint="Split the request, or raise --max-body.",
            headers={"connection": "close"},
        )

    async def decoded(self, decoder: msgspec.json.Decoder[Any]) -> Any:
        """Return the body as the decoder's type; see `decoded_from`."""
        return self.decoded_from(await self.body(), decoder)

    def decoded_from(self, body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
        """Return a body as the decoder's type.

        Raises:
            UnsupportedMediaType: the body is not announced as JSON.
            RequestError: it is no JSON, or JSON of another shape.
        """
        if self.kind != JSON:
            raise UnsupportedMediaType(
                "a body of a kind that is not spoken here",
                got=self.kind.decode("latin-1"),
                expected="application/json",
                where=self.where,
                hint="Send the header Content-Type: application/json",
            )
        return decode(decoder, body, self.where)


def decode(decoder: msgspec.json.Decoder[Any], body: bytes, where: str) -> Any:
    """Return JSON as the decoder's type; `RequestError` if it is none."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise misfit(problem, f"the body of {where}") from None


def dump(data: Any) -> bytes:
    """Return plain data as JSON; times in ISO 8601, what JSON has no form for as text."""
    try:
        return orjson.dumps(data, default=json_default, option=_OPTIONS)
    except orjson.JSONEncodeError:  # a whole number beyond 64 bits, met in a wrong request
        return json.dumps(data, default=json_default).encode()


_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


class RequestIds:
    """Ids of requests: the caller's, or new ones that no other process gives."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)

    def of(self, headers: dict[bytes, bytes]) -> bytes:
        """Return the id of a request."""
        given = headers.get(b"x-request-id")
        if given is not None and _ID.match(given):
            return given
        return b"%s-%d" % (self._prefix, next(self._numbers))
