"""Durations as people write them: ``"5m"``, ``"24h"``, ``"7d"``, ``"1h30m"``.

>>> parse_duration("1h30m")
5400000000
>>> format_duration(5_400_000_000)
'1h30m'
"""

from __future__ import annotations

import re
from datetime import timedelta

from skewless.errors import DefinitionError

_UNITS = {
    "w": 7 * 86_400_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_NAMES = {"w": "week", "d": "day", "h": "hour hr", "m": "minute min", "s": "second sec"}
_LONG_UNITS = {word: unit for unit in _UNITS for word in (unit,)} | {
    word: unit for unit, names in _NAMES.items() for n in names.split() for word in (n, f"{n}s")
}
_PART = re.compile(r"(\d+)(us|ms|w|d|h|m|s)")
_LONGEST = 1000 * 366 * 86_400_000_000


def parse_duration(text: object, *, what: str = "a duration") -> int:
    """Return a duration in microseconds.

    Args:
        text: digits and units (``w d h m s ms us``), or a timedelta.
        what: named in the error.

    Raises:
        DefinitionError: the text is no duration, or it is negative or over a thousand years.
    """
    if isinstance(text, timedelta):
        micros = text // timedelta(microseconds=1)
    elif isinstance(text, str) and text and _PART.sub("", text) == "":
        micros = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        micros = -1
    if not 0 <= micros <= _LONGEST:
        near = _near(text) if isinstance(text, str) else None
        raise DefinitionError(
            f"{what} that cannot be read",
            got=repr(text),
            expected="digits and a unit, such as '30s', '5m', '24h', '7d' or '1h30m'",
            hint=None if near is None else f"Did you mean {near!r}?",
        )
    return micros


def _near(text: str) -> str | None:
    """Return what a text such as ``1 hour`` probably means; None: it is far from a duration."""
    words = re.findall(r"(\d+)\s*([a-z]+)", text.lower())
    parts = [f"{number}{_LONG_UNITS[unit]}" for number, unit in words if unit in _LONG_UNITS]
    return "".join(parts) if parts and len(parts) == len(words) else None


def format_duration(micros: int) -> str:
    """Return microseconds the way people write them, largest units first."""
    if micros == 0:
        return "0s"
    parts = []
    for unit, size in _UNITS.items():
        if unit == "w":
            continue
        count, micros = divmod(micros, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
