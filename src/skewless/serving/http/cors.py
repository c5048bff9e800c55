"""Requests of pages that were loaded from elsewhere (cross-origin resource sharing).

A browser asks first, with ``OPTIONS``, whether a page may call. Without ``--cors-origin`` nobody
may; with it, the origins named may, with every header a request here has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from skewless.errors import InputError
from skewless.serving.http.http import Response

_ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://[^/?#\s@]+").fullmatch
_HEADERS = "accept, authorization, content-type, traceparent, x-request-id"
_EXPOSED = "location, retry-after, x-request-id, x-skewless-quarantined"
_MAX_AGE = "600"


class Cors:
    """Which pages may call.

    Args:
        origins: such as ``https://tool.example``; ``*`` is every one.

    Raises:
        InputError: one of them is no origin.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        for origin in origins:
            if origin != "*" and not _ORIGIN(origin):
                raise InputError(
                    "not an origin", got=origin, where="--cors-origin",
                    expected="scheme://host or scheme://host:port without a path, or *",
                )  # fmt: skip
        self._any = "*" in origins
        self._origins = frozenset(origin.lower().encode() for origin in origins)

    def headers(self, headers: Mapping[bytes, bytes]) -> dict[str, str]:
        """Return what an answer to a request with these headers says about its origin."""
        origin = headers.get(b"origin")
        if not self._origins or origin is None:
            return {}
        if not self._any and origin.lower() not in self._origins:
            return {"vary": "origin"}
        allowed = "*" if self._any else origin.decode("latin-1")
        return {
            "access-control-allow-origin": allowed,
            "access-control-expose-headers": _EXPOSED,
            "vary": "origin",
        }

    def preflight(
        self, method: str, headers: Mapping[bytes, bytes], methods: Sequence[str]
    ) -> Response | None:
        """Return the answer to a browser that asks whether a page may call; None: it does not ask.

        Args:
            method: of the request.
            headers: of the request.
            methods: that the address takes.
        """
        asks = method == "OPTIONS" and b"access-control-request-method" in headers
        found = self.headers(headers) if asks else {}
        if "access-control-allow-origin" not in found:
            return None
        found |= {
            "access-control-allow-methods": ", ".join(methods),
            "access-control-allow-headers": _HEADERS,
            "access-control-max-age": _MAX_AGE,
        }
        return Response(b"", 204, headers=found)
