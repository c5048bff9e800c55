"""A stretch of time that a picture shows, and the addresses that show another: zoom without script.

>>> hour = Stretch(0, 3_600_000_000)
>>> zoomed(hour.text("r0"))
('r0', Stretch(low=0, high=3600000000))
>>> [word for word, _ in hour.steps(Stretch(0, 4 * 3_600_000_000))]
['Closer', 'Wider', 'Later', 'Whole']
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skewless.clock import SECOND, iso, to_micros
from skewless.errors import InputError

LEAST = 4 * SECOND
"""The shortest stretch: an axis names seconds."""


@dataclass(frozen=True)
class Stretch:
    """Event times of a picture.

    Attributes:
        low, high: the first and the last moment, UTC microseconds.
    """

    low: int
    high: int

    def text(self, name: str) -> str:
        """Return it as a parameter of an address: ``r0~FROM~TO``."""
        return f"{name}~{iso(self.low)}~{iso(self.high)}"

    def steps(self, whole: Stretch) -> Iterator[tuple[str, Stretch]]:
        """Yield what one may look at from here: a word, and the stretch it leads to.

        Args:
            whole: what the picture shows without a zoom; no step leads out of it.
        """
        span, middle = self.high - self.low, (self.low + self.high) // 2
        if span // 2 >= LEAST:
            yield "Closer", Stretch(middle - span // 4, middle + span // 4)
        if self == whole:
            return
        yield "Wider", Stretch(max(whole.low, middle - span), min(whole.high, middle + span))
        if self.low > whole.low:
            back = min(span // 2, self.low - whole.low)
            yield "Earlier", Stretch(self.low - back, self.high - back)
        if self.high < whole.high:
            on = min(span // 2, whole.high - self.high)
            yield "Later", Stretch(self.low + on, self.high + on)
        yield "Whole", whole


def zoomed(text: str) -> tuple[str, Stretch]:
    """Return the picture's name and the stretch of a parameter.

    Raises:
        InputError: it is none.
    """
    parts = text.split("~")
    if len(parts) == 3:
        low, high = (to_micros(each, where="the zoom") for each in parts[1:])
        if high - low >= LEAST:
            return parts[0], Stretch(low, high)
    raise InputError(
        "this is no stretch of time", got=f"{text:.80}", expected="r0~FROM~TO, some seconds apart",
        where="the zoom",
    )  # fmt: skip
