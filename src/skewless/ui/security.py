"""What every answer of the catalogue has and every request must be.

Pages hold words and values of others: nothing of them may run, load or be framed. A browser that
was lured to ``evil.example`` with this machine's address must not read pages either, so only hosts
that are named are answered. What changes something (`skewless.ui.acts`) is a POST of a form that
this process made: it carries a token, and no request that another site began is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
ACTS = "/acts/"
"""Below it lies what changes something."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Guard:
    """Wraps an application: checks host and method, and adds `HEADERS`.

    Args:
        app: what answers.
        hosts: the names under which the catalogue may be asked for; None: any. Then only who has
            a key is answered (`skewless.ui.door`), and a browser that was lured to another name has
            none for it.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None = LOOPBACK) -> None:
        self.app = app
        self.hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=_with_headers(message))
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
            await send(message)

        refused = self._refused(scope)
        await (refused or self.app)(scope, receive, guarded)

    def _refused(self, scope: Scope) -> PlainTextResponse | None:
        host = _name_of(Headers(scope=scope).get("host", ""))
        if self.hosts is not None and host not in self.hosts:
            text = f"This catalogue is asked for as {', '.join(sorted(self.hosts))}.\n"
            return PlainTextResponse(text, status_code=421)
        if scope["method"] in ("GET", "HEAD"):
            return None
        if scope["method"] != "POST" or not scope["path"].startswith(ACTS):
            return PlainTextResponse("Nothing is changed here.\n", 405, {"allow": "GET, HEAD"})
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        site = headers.get("sec-fetch-site", "same-origin")
        form = headers.get("content-type", "").partition(";")[0]
        own = not origin or urlsplit(origin).netloc == headers.get("host")
        if not own or site != "same-origin" or form != "application/x-www-form-urlencoded":
            return PlainTextResponse("Only forms of this catalogue are taken.\n", 403)
        return None


def _with_headers(message: Message) -> Message:
    message.setdefault("headers", [])
    return message


def _name_of(host: str) -> str:
    """Return the name in a Host header.

    >>> [_name_of(host) for host in ("localhost:6570", "[::1]:80", "127.0.0.1")]
    ['localhost', '::1', '127.0.0.1']
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
