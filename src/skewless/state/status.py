"""What a value is: present, null, empty, unknown, expired or building."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """How an online value came about.

    >>> Status.EXPIRED == "expired"
    True
    """

    PRESENT = "present"
    NULL = "null"
    """The row or the computation gave null."""
    EMPTY = "empty"
    """The entity is known, but no row lies in the window."""
    UNKNOWN = "unknown"
    """The entity was never seen."""
    EXPIRED = "expired"
    """The newest row is older than the ttl, or the session is over."""
    BUILDING = "building"
    """The states behind it are not built from all of history yet; the value is null."""
