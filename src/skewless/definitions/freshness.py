"""What an owner promises of freshness: two ages, and the hours in which they hold.

>>> promise = Freshness(warn="2m", error="5m", hours="Mo-Fr 06-22", tz="Europe/Berlin")
>>> promise
Freshness(warn='2m', error='5m', hours='Mo-Fr 06-22', tz='Europe/Berlin')
>>> from skewless.clock import iso, to_micros
>>> friday = to_micros("2026-01-09T20:58:00Z")  # 21:58 in Berlin
>>> iso(promise.broken_at(friday, promise.error))  # two minutes, the weekend, and three more
'2026-01-12T05:03:00Z'
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from skewless.clock import ALWAYS, from_micros, to_micros
from skewless.durations import format_duration, parse_duration
from skewless.errors import DefinitionError

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_EXPECTED = "such as 'Mo-Fr 06-22', '08:30-18:00' or 'Mo-Fr 06-22, Sa 08-14'"
_RULE = re.compile(
    r"(?:(?P<first>\w\w)(?:-(?P<last>\w\w))? )?"
    r"(?P<from>\d\d?)(?::(?P<from_minute>[0-5]\d))?-"
    r"(?P<to>\d\d?)(?::(?P<to_minute>[0-5]\d))?"
)
_LONGEST = 400
"""Days that are looked ahead for open hours."""
_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_FARTHEST = timedelta(hours=15)
"""More than any zone is away from UTC."""


class Freshness:
    """A promise of how old the newest event behind a view is at most.

    Args:
        error: the age that breaks the promise.
        warn: the age that is worth a look; None: none.
        hours: when the promise holds; empty: always. Only time within counts as age, so that what
            stands still overnight is not stale in the morning.
        tz: the time zone of the hours.

    Attributes:
        error, warn: microseconds.

    Raises:
        DefinitionError: an age, hours or a time zone that cannot be read; warn is not below error.

    Example:
        >>> import skewless as sl
        >>> sl.Freshness(error="5m", hours="Mo-Fr 6-26")
        Traceback (most recent call last):
            ...
        skewless.errors.DefinitionError: hours that cannot be read. Got: 'Mo-Fr 6-26'. \
Expected: such as 'Mo-Fr 06-22', '08:30-18:00' or 'Mo-Fr 06-22, Sa 08-14'.
    """

    def __init__(
        self,
        error: str | timedelta,
        *,
        warn: str | timedelta | None = None,
        hours: str = "",
        tz: str = "UTC",
    ) -> None:
        self.error = parse_duration(error, what="a freshness")
        self.warn = None if warn is None else parse_duration(warn, what="a freshness")
        self.hours = hours
        self.tz = tz
        if self.warn is not None and self.warn >= self.error:
            got = f"{format_duration(self.warn)} and {format_duration(self.error)}"
            raise DefinitionError("a freshness warns before it is broken", got=got)
        self._zone = _zone(tz)
        self._open = _parsed(hours) if hours else None

    def open_at(self, moment: int) -> bool:
        """Return whether the promise holds at a moment, UTC microseconds."""
        if self._open is None:
            return True
        day = from_micros(moment).astimezone(self._zone).date()
        return any(start <= moment < end for start, end in self._spans(day))

    def age(self, since: int, now: int) -> int:
        """Return how much of the time from a moment on counts, microseconds."""
        if self._open is None:
            return max(0, now - since)
        total = 0
        for start, end in self._from(since):
            if start >= now:
                break
            total += min(end, now) - max(start, since)
        return total

    def broken_at(self, since: int, limit: int) -> int | None:
        """Return when so much of the time from a moment on is over; None: not within a year."""
        if self._open is None:
            return since + limit
        left = limit
        for start, end in self._from(since):
            first = max(start, since)
            if end - first > left:
                return first + left
            left -= end - first
        return None

    def _from(self, since: int) -> Iterator[tuple[int, int]]:
        """Yield open spans that end after a moment."""
        day = from_micros(since).astimezone(self._zone).date()
        for number in range(_LONGEST):
            for start, end in self._spans(day + timedelta(days=number)):
                if end > since:
                    yield start, end

    def _spans(self, day: date) -> Iterator[tuple[int, int]]:
        """Yield when it is open on a day, each moment once, however rules overlap."""
        reached = ALWAYS
        rules = (self._open or {}).get(day.weekday(), ())
        for start, end in sorted(span for rule in rules for span in self._moments(day, *rule)):
            if end > max(start, reached):
                yield max(start, reached), end
                reached = end

    def _moments(self, day: date, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the moments at which clocks on the wall show a minute of some, one span or two.

        What autumn shows twice is open twice, and what spring leaves out never is.
        """
        start, end = (datetime.combine(day, time(), UTC) + n * _MINUTE for n in (first, last))
        low, high = start - _FARTHEST, end + _FARTHEST
        before, after = self._offset(low), self._offset(high)
        if before == after:
            yield to_micros(start - before), to_micros(end - before)
            return
        while high - low > _SECOND:  # when clocks are put from one to the other
            middle = low + (high - low) // 2 // _SECOND * _SECOND
            low, high = (middle, high) if self._offset(middle) == before else (low, middle)
        yield to_micros(start - before), min(to_micros(end - before), to_micros(high))
        yield max(to_micros(start - after), to_micros(high)), to_micros(end - after)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta()

    def to_dict(self) -> dict[str, Any]:
        """Return what goes beyond ``error`` as plain data."""
        zone = {"tz": self.tz} if self.hours else {}
        given = {"warn": self.warn, "hours": self.hours, **zone}
        return {key: value for key, value in given.items() if value}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Freshness) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        said = [] if self.warn is None else [f"warn={format_duration(self.warn)!r}"]
        said.append(f"error={format_duration(self.error)!r}")
        said += [f"hours={self.hours!r}", f"tz={self.tz!r}"] if self.hours else []
        return f"Freshness({', '.join(said)})"


def promise_of(labels: dict[str, Any]) -> Freshness | None:
    """Return what the labels of a view promise; None: nothing."""
    if labels.get("freshness") is None:
        return None
    more = dict(labels.get("promise") or {})
    if "warn" in more:
        more["warn"] = timedelta(microseconds=more["warn"])
    return Freshness(timedelta(microseconds=labels["freshness"]), **more)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "Where the system has none of these: pip install tzdata."
        raise DefinitionError("no time zone", got=name, hint=hint) from None


def _parsed(hours: str) -> dict[int, list[tuple[int, int]]]:
    """Return for each weekday the minutes from which and until which it is open."""
    found: dict[int, list[tuple[int, int]]] = {}
    for rule in hours.split(","):
        match = _RULE.fullmatch(rule.strip())
        if match is None:
            raise _unreadable(hours)
        start = int(match["from"]) * 60 + int(match["from_minute"] or 0)
        end = int(match["to"]) * 60 + int(match["to_minute"] or 0)
        if not start < end <= 24 * 60:
            raise _unreadable(hours)
        for day in _days(match["first"], match["last"], hours):
            found.setdefault(day, []).append((start, end))
    return found


def _days(first: str | None, last: str | None, hours: str) -> list[int]:
    if first is None:
        return list(range(7))
    if first not in DAYS or (last or first) not in DAYS:
        raise _unreadable(hours)
    start, end = DAYS.index(first), DAYS.index(last or first)
    return [day % 7 for day in range(start, end + 1 if end >= start else end + 8)]


def _unreadable(hours: str) -> DefinitionError:
    return DefinitionError("hours that cannot be read", got=repr(hours), expected=_EXPECTED)
