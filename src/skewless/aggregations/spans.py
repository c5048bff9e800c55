"""The times of rows, and the spans in which they count: what `Window.spans` builds on.

Once a window is spans, sliding, tumbling and last-N windows, late rows, corrections and offsets
are one thing, and every kernel of `skewless.aggregations.kernels` serves them all.

>>> import numpy as np
>>> from skewless.aggregations.windows import Sliding
>>> rows = RowTimes(event=np.array([0, 60]), known=np.array([0, 75]), start=np.array([0, 2]))
>>> spans = Sliding(width=100).spans(rows)
>>> spans.enter.tolist(), spans.exit.tolist()
([0, 75], [100, 160])

Times are int64 microseconds of UTC; sums that leave int64 stop at its ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skewless.aggregations.kernels import Spans
from skewless.clock import ALWAYS, NEVER

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowTimes:
    """The times of the rows of a source, grouped by entity, in row order within a group.

    Row order is (event, known, tiebreak). All arrays are int64, one element a row.

    Attributes:
        event: event times.
        known: known times; None where knowledge is infinite.
        start: rows of group g are ``start[g]`` up to ``start[g + 1]``.
        superseded: known time of the correction that replaces the row, ``NEVER`` where none does;
            ``ALWAYS`` for rows that never count. None: none is ever replaced.
        exclusive: whether the moment asked about does not count itself (``closed="left"``).
    """

    event: Ints
    known: Ints | None
    start: Ints
    superseded: Ints | None = None
    exclusive: bool = False

    def take(self, positions: Ints) -> RowTimes:
        """Return the rows at these ascending positions, in the same groups."""
        return RowTimes(
            self.event[positions],
            None if self.known is None else self.known[positions],
            np.searchsorted(positions, self.start).astype(np.int64),
            None if self.superseded is None else self.superseded[positions],
            self.exclusive,
        )

    def counted_from(self, enter: Ints, shift: int) -> Ints:
        """Return from when rows count that enter a window (event axis) at these times."""
        moved = plus(enter, shift)
        return moved if self.known is None else np.maximum(moved, self.known)

    def spans_between(self, enter: Ints, leave: Ints | None, shift: int) -> Spans:
        """Return spans of rows that enter and leave (None: never) a window on the event axis."""
        begin = self.counted_from(enter, shift)
        end = np.full(len(begin), NEVER, np.int64) if leave is None else plus(leave, shift)
        if self.superseded is not None:
            end = np.minimum(end, self.superseded)
        return Spans.build(begin, end, self.start)

    def spans_of_some(
        self, some: npt.NDArray[np.bool_], spans_of: Callable[[RowTimes], Spans]
    ) -> Spans:
        """Return the spans of the rows under a mask; they tell positions among all rows."""
        positions = np.flatnonzero(some).astype(np.int64, copy=False)
        found = spans_of(self.take(positions))
        row = positions if found.row is None else positions[found.row]
        return Spans(row, found.enter, found.exit, found.start, found.enter_order, found.exit_order)


def plus(times: Ints, micros: int) -> Ints:
    """Return times so much later; the end of time stays."""
    return np.minimum(times, NEVER - micros) + micros if micros else times


def aligned_down(times: Ints, step: int) -> Ints:
    """Return the greatest multiples of a step up to the times."""
    times = np.maximum(times, ALWAYS + step)
    return times - times % step


def aligned_up(times: Ints, step: int) -> Ints:
    """Return the least multiples of a step from the times on."""
    times = np.minimum(times, NEVER - step)
    return times + (step - times % step) % step
