"""The window of rows that stood for a while: those of a sliding window, and the one before them.

A row of a state (a machine is idle, a price is 5) stands until the next row comes. What stood when
a sliding window begins is told by the newest row before it, which the window does not hold.

>>> standing("10us")
standing 10us
>>> Standing(width=10).holds([0, 1, 5, 9], 14)
[1, 2, 3]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from skewless.aggregations.window import KeptRows, Window
from skewless.aggregations.windows import Sliding
from skewless.clock import ALWAYS
from skewless.durations import format_duration

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from skewless.aggregations.kernels import Spans
    from skewless.aggregations.spans import RowTimes

    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]
    Marked = Callable[[], Bools]


@dataclass(frozen=True, repr=False)
class Standing(Window):
    """Rows with ``t - width < event time <= t``, and the newest row before them."""

    kind: ClassVar[str] = "standing"
    displaces: ClassVar[bool] = True
    outside: ClassVar[str] = "no longer standing when the window begins"

    width: int = 0

    @classmethod
    def examples(cls) -> tuple[Window, ...]:
        """One."""
        return (cls(width=8),)

    @property
    def label(self) -> str:
        """The width, as in ``mean_standing_1h``."""
        return self.written or f"standing_{format_duration(self.width)}"

    def holds(self, events: Sequence[int], at: int) -> list[int]:
        """Return the rows after its start, and the last before them."""
        past = [place for place, event in enumerate(events) if event <= at]
        before = [place for place in past if events[place] <= at - self.width]
        return before[-1:] + past[len(before) :]

    def narrow(self, event: Ints, low: int, high: int, at: int) -> tuple[int, int]:
        """Return the same of rows up to its moment."""
        first = int(event[low:high].searchsorted(at - self.width, "right"))
        return low + max(first - 1, 0), high

    def since(self, end: int) -> int:
        """Return its start."""
        return end - self.width

    def describe(self, end: str) -> str:
        """Return that one stood before."""
        width = format_duration(self.width)
        return f"rows of {width} with {end}, and the newest row before them"

    @property
    def counted_span(self) -> int:
        """Width and offset: one row more is kept."""
        return self.width + self.offset

    def turns(self, event: Ints) -> Iterator[Ints]:
        """Yield when rows come, and when the start passes them."""
        from skewless.aggregations.spans import plus

        yield event
        yield plus(event, self.width)

    def _spans(self, rows: RowTimes) -> Spans:
        from skewless.aggregations.kernels import last_n_spans
        from skewless.aggregations.span_sets import union
        from skewless.aggregations.spans import plus

        shift = self.offset + int(rows.exclusive)
        passed = plus(rows.event, self.width)
        sliding = rows.spans_between(rows.event, passed, shift)
        # From when the start has passed it, a row stands while it is the newest of such rows.
        enter = rows.counted_from(passed, shift)
        return union(sliding, last_n_spans(enter, rows.superseded, rows.start, 1))

    def may_count(self, rows: KeptRows, settled: Marked, coming: Marked, floor: int) -> Bools:
        """Return rows after which no settled one lies before the start."""
        start = max(floor, ALWAYS + self.width) - self.width
        newest: Bools = rows.later_in_group(settled() & (rows.event <= start)) < 1
        return newest

    def estimate(self, inside: Ints) -> Ints:
        """Return one row more."""
        return inside + 1

    def __repr__(self) -> str:
        return f"standing {format_duration(self.width)}{self._suffix()}"


def standing(width: str | timedelta) -> Standing:
    """Return the window of the rows that stood during the last ``width``, such as ``"24h"``.

    These are the rows of the sliding window and the newest row before them, which still stood when
    it began.
    """
    sliding = Sliding.of(width)
    return Standing(width=sliding.width, written=f"standing_{sliding.label}")
