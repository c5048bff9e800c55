"""What a value is: present, null, empty, unknown, expired, building or masked."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from skewless.aggregations.plugged_in import fitted

if TYPE_CHECKING:
    from skewless.definitions import Aggregate


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
    MASKED = "masked"
    """Who asks may not see it as it is: the value is what its mask shows, or null."""


UNTOLD = frozenset({Status.BUILDING, Status.MASKED})
"""Of values that are there and were not told as they are."""
Answer = tuple[Any, Status]


def answer_of(aggregate: Aggregate, value: Any, status: Status) -> Answer:
    """Return value and status, with the identity or the default in place of nothing."""
    if value is not None and aggregate.aggregation.plugged_in:
        value = fitted(aggregate.aggregation, aggregate.dtype, value)
    if value is None:
        if status is not Status.PRESENT and status is not Status.EXPIRED:
            value = aggregate.identity
        elif status is Status.PRESENT:
            status = Status.NULL
        if value is None:
            value = aggregate.default
    return value, status
