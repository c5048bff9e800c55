"""Errors of requests over HTTP: the server answers with them, clients raise them.

>>> AccessDenied("the key is not known").status
401
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skewless.errors import SkewlessError, StoreUnavailable


class RequestError(SkewlessError):
    """A request that the server does not take.

    Attributes:
        status: of the answer.
        headers: of the answer.
    """

    status = 422

    def __init__(
        self, what: str, *, headers: Mapping[str, str] | None = None, **parts: Any
    ) -> None:
        super().__init__(what, **parts)
        self.headers = dict(headers or {})


class AccessDenied(RequestError):
    """A key is missing, wrong, revoked, or may not do this."""

    status = 401


class Forbidden(AccessDenied):
    """The key is right, but may not do this."""

    status = 403


class NotFound(RequestError):
    """Nothing is at this address."""

    status = 404


class MethodNotAllowed(RequestError):
    """The address is there, but not for this method."""

    status = 405


class TooLarge(RequestError):
    """A body, or a list in it, is beyond a limit."""

    status = 413


class UnsupportedMediaType(RequestError):
    """A body, or the answer asked for, is of a kind the server does not speak."""

    status = 415


class TooManyRequests(RequestError):
    """A key is used more often than it may be."""

    status = 429


class InternalError(RequestError):
    """Something that should not happen: a mistake of the server or of a user's function."""

    status = 500


class Overloaded(StoreUnavailable):
    """The server has more to do than it can; nothing was done, the same call may succeed later."""
