"""From values to places in a picture, and the round values that an axis names.

>>> Scale(0, 10, 100, 200)(5)
150.0
>>> round_values(0, 97, 4)
[0, 25, 50, 75]
>>> [label for _, label in round_times(0, 4 * 3_600_000_000, 4)]
['00:00', '01:00', '02:00', '03:00', '04:00']
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from skewless.clock import SECOND, from_micros

MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
_STEPS = (
    *(SECOND * n for n in (1, 5, 15, 30)),
    *(MINUTE * n for n in (1, 5, 15, 30)),
    *(HOUR * n for n in (1, 2, 3, 6, 12)),
    *(DAY * n for n in (1, 2, 7, 14, 30, 90, 180, 365, 730, 3650)),
)


@dataclass(frozen=True)
class Scale:
    """A straight line from values to places.

    Attributes:
        low, high: the values at the ends.
        start, end: their places.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def round_values(low: float, high: float, count: int) -> list[float]:
    """Return about so many round values from low to high."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * n for n in (1, 2, 2.5, 5, 10) if size * n >= rough * 0.999)
    first = math.ceil(low / step)
    found = []
    while first * step <= high:
        found.append(_plain(first * step))
        first += 1
    return found


def _plain(value: float) -> float:
    rounded = float(f"{value:.12g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def round_times(low: int, high: int, count: int) -> list[tuple[int, str]]:
    """Return about so many round moments of UTC with what an axis writes there."""
    rough = max(1, (high - low) // count)
    step = next((each for each in _STEPS if each >= rough), _STEPS[-1])
    first = -(-low // step) * step
    return [(at, _label(at, step)) for at in range(first, high + 1, step)][: 3 * count]


def _label(at: int, step: int) -> str:
    moment = from_micros(at)
    if step >= 28 * DAY:
        return f"{moment:%b %Y}"
    if step >= DAY or (at % DAY == 0 and at):
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H:%M:%S}" if step < MINUTE else f"{moment:%H:%M}"
