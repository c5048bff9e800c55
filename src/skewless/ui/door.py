"""The door of a catalogue that other machines can reach: nobody comes in without a key.

Browsers ask for it by themselves (HTTP Basic: any name, the key as password); programs send
``Authorization: Bearer sk_...``. A key of some feature services alone is refused, for pages show
everything; what changes something takes a key of the scope ``admin``, and is recorded under the
name that the key was made for. Where there are grants, whoever comes in may read everything by
them. Keys are looked up again every second: one that is revoked is out.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from skewless.access.actors import acting_for
from skewless.errors import SkewlessError
from skewless.lineage.access import Access, Asker
from skewless.request_errors import AccessDenied, Forbidden, TooManyRequests

_LOOK_AGAIN = 1.0


class Caller(Protocol):
    """Who has a key."""

    @property
    def asker(self) -> Asker:
        """How grants know them."""

    @property
    def who(self) -> str:
        """How the record calls them."""

    def require(self, scope: str, where: str) -> None:
        """Raise `Forbidden` unless they may do what needs ``scope``."""

    def require_everything(self, where: str) -> None:
        """Raise `Forbidden` if they may read some services only."""


class Ring(Protocol):
    """The keys that count: `skewless.serving.operate.keys.Keyring`, a shell like this one."""

    required: bool

    def caller(self, authorization: bytes | None) -> Caller:
        """Return who a header stands for, or raise `AccessDenied`."""


Keys = Callable[[Any], Any]
"""Returns the ring that counts now, given that of before or None."""


class Door:
    """Wraps an application: lets in who has a key of the repo.

    Args:
        app: what answers.
        keys: looks up the keys that count.
        access: returns the grants of now.
    """

    def __init__(self, app: ASGIApp, keys: Keys, access: Callable[[], Access]) -> None:
        self.app, self._keys, self._access = app, keys, access
        self._ring: Ring | None = None
        self._looked = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            caller = await run_in_threadpool(self._caller, Headers(scope=scope))
            caller.require_everything("the catalogue")
            access = await run_in_threadpool(self._access)
            access.require_everything(caller.asker, "the catalogue")
            if scope["method"] not in ("GET", "HEAD"):
                caller.require("admin", "the catalogue")
        except SkewlessError as problem:
            await _refusal(problem)(scope, receive, send)
            return
        with acting_for(caller.who):
            await self.app(scope, receive, send)

    def _caller(self, headers: Headers) -> Caller:
        ring = self._ring
        if ring is None or time.monotonic() - self._looked >= _LOOK_AGAIN:
            self._ring = ring = self._keys(ring)
            self._looked = time.monotonic()
        if not ring.required:
            raise AccessDenied("no key was made yet", hint="Make one: skewless keys create")
        return ring.caller(_as_bearer(headers.get("authorization", "")).encode("latin-1"))


def _as_bearer(given: str) -> str:
    """Return a header as one of a bearer: a browser sends the key as the password of anybody.

    >>> _as_bearer("Basic " + base64.b64encode(b"ada:sk_1_2").decode())
    'Bearer sk_1_2'
    >>> _as_bearer("Basic ???"), _as_bearer("Bearer sk_1_2")
    ('', 'Bearer sk_1_2')
    """
    kind, _, told = given.partition(" ")
    if kind.lower() != "basic":
        return given
    try:
        _, _, key = base64.b64decode(told, validate=True).decode("latin-1").partition(":")
    except binascii.Error:
        return ""
    return f"Bearer {key}"


def _refusal(problem: SkewlessError) -> PlainTextResponse:
    text = f"{problem}\n"
    if isinstance(problem, Forbidden):
        return PlainTextResponse(text, 403)
    if isinstance(problem, AccessDenied):
        asks = {"www-authenticate": 'Basic realm="skewless: the key is the password"'}
        return PlainTextResponse(text, 401, asks)
    return PlainTextResponse(text, 429 if isinstance(problem, TooManyRequests) else 503)
