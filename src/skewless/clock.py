"""Time: UTC, int64 microseconds since 1970; and a clock that tests can set.

>>> from datetime import datetime, timezone
>>> to_micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc))
1000000
>>> to_micros("1970-01-01T01:00:01+01:00")
1000000
>>> from_micros(1_000_000).isoformat()
'1970-01-01T00:00:01+00:00'
"""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol, TypeGuard

from skewless.errors import InputError, NaiveTime

SECOND = 1_000_000
NEVER = 2**63 - 1
"""A time after all others."""
ALWAYS = -(2**63)
"""A time before all others."""

EPOCH_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Units of times that come as numbers since 1970, in nanoseconds."""

_EPOCH_TEXT = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]+)?\s*")
_NANOS = 1_000  # of a microsecond
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Now(int):
    """The present, as a clock told it to a read that named no moment.

    Such a read counts all that the store knows, whatever the clock says of when that was known. For
    anything else it is a moment like others.

    >>> Now(5) - 1
    4
    """


class Clock(Protocol):
    """Tells the present moment."""

    def now(self) -> int:
        """Return the present as UTC microseconds since 1970."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return the present as UTC microseconds since 1970."""
        return time.time_ns() // 1000


class SettableClock:
    """A clock that stands still until it is set.

    >>> clock = SettableClock(5)
    >>> clock.time = 7
    >>> clock.now()
    7
    """

    def __init__(self, time: int = 0) -> None:
        self.time = time

    def now(self) -> int:
        """Return the time it was set to, UTC microseconds."""
        return self.time


def to_micros(value: datetime | str | int, *, where: str = "a time") -> int:
    """Return a moment as UTC microseconds since 1970.

    Args:
        value: a datetime with a time zone, an ISO 8601 text with an offset, or microseconds.
        where: named in the error.

    Raises:
        NaiveTime: the value has no time zone.
        InputError: the value is no time at all.
    """
    if isinstance(value, int):
        if isinstance(value, bool) or not ALWAYS <= value <= NEVER:
            raise InputError("not a time", got=repr(value), where=where)
        return value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InputError(
                "not a time",
                got=repr(value),
                expected="ISO 8601 with an offset, such as 2026-01-31T10:00:00Z",
                where=where,
            ) from None
    if not isinstance(value, datetime):
        raise InputError("not a time", got=f"{value!r} ({type(value).__name__})", where=where)
    if value.tzinfo is None:
        raise NaiveTime.of(value, where=where)
    return (value - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return UTC microseconds since 1970 as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def is_epoch_text(value: object) -> TypeGuard[str]:
    """Return whether a value is the text of a number, and not of a time in ISO 8601."""
    return isinstance(value, str) and _EPOCH_TEXT.fullmatch(value) is not None


def since_1970(number: float | Decimal, nanos: int) -> int:
    """Return a finite number of units since 1970 as UTC microseconds.

    Of finer units it is the microsecond that the time lies in, of others the nearest.

    >>> since_1970(1.5, 1_000_000_000), since_1970(-1, 1)
    (1500000, -1)
    """
    if nanos < _NANOS:
        return math.floor(number) * nanos // _NANOS
    return round(number * (nanos // _NANOS))


def iso(micros: int) -> str:
    """Return UTC microseconds since 1970 as ISO 8601 text ending in Z.

    A time beyond the years that Python has is ``always`` or ``never``.
    """
    try:
        return from_micros(micros).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return "never" if micros > 0 else "always"
