"""Windows as spans: from when until when each row counts.

Once a window is spans, sliding, tumbling and last-N windows, late rows, corrections and offsets
are one thing, and every kernel of `skewless.aggregations.kernels` serves them all.

>>> import numpy as np
>>> from skewless.aggregations.windows import Sliding
>>> rows = Rows(event=np.array([0, 60]), known=np.array([0, 75]), start=np.array([0, 2]))
>>> spans = window_spans(Sliding(width=100), rows)
>>> spans.enter.tolist(), spans.exit.tolist()
([0, 75], [100, 160])

Times are int64 microseconds of UTC; sums that leave int64 stop at its ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skewless.aggregations.kernels import Spans, last_n_spans, session_spans
from skewless.aggregations.windows import LastN, Lifetime, Session, Sliding, Tumbling, Window
from skewless.clock import ALWAYS, NEVER

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """The times of the rows of a source, grouped by entity, in row order within a group.

    Row order is (event, known, tiebreak). All arrays are int64, one element a row.

    Attributes:
        event: event times.
        known: known times; None where knowledge is infinite.
        start: rows of group g are ``start[g]`` up to ``start[g + 1]``.
        superseded: known time of the correction that replaces the row, ``NEVER`` where none does;
            ``ALWAYS`` for rows that never count. None: none is ever replaced.
        left: whether the moment asked about does not count itself (``closed="left"``).
    """

    event: Ints
    known: Ints | None
    start: Ints
    superseded: Ints | None = None
    left: bool = False

    def take(self, positions: Ints) -> Rows:
        """Return the rows at these ascending positions, in the same groups."""
        return Rows(
            self.event[positions],
            None if self.known is None else self.known[positions],
            np.searchsorted(positions, self.start).astype(np.int64),
            None if self.superseded is None else self.superseded[positions],
            self.left,
        )


def window_spans(window: Window, rows: Rows, passes: npt.NDArray[np.bool_] | None = None) -> Spans:
    """Return the spans in which rows count for a window.

    A row counts at t while ``enter <= t < exit``, where t is both the moment asked about and the
    knowledge it is asked with. That a session is over, or a value expired, is left to the caller.

    Args:
        window: of which the rows count.
        rows: their times.
        passes: which rows pass the filter; None for all. Spans tell positions among all rows.

    Raises:
        ValueError: arrays do not fit each other.
    """
    if passes is None:
        return _spans(window, rows)
    positions = np.flatnonzero(passes).astype(np.int64, copy=False)
    found = _spans(window, rows.take(positions))
    row = positions if found.row is None else positions[found.row]
    return Spans(row, found.enter, found.exit, found.start, found.enter_order, found.exit_order)


def _spans(window: Window, rows: Rows) -> Spans:
    shift = window.offset + int(rows.left)
    if isinstance(window, (LastN, Session)):
        enter = _later(_plus(rows.event, shift), rows.known)
        if isinstance(window, LastN):
            return last_n_spans(enter, rows.superseded, rows.start, window.n)
        return session_spans(rows.event, enter, rows.superseded, window.gap, rows.start)
    begin, end = _event_times(window, rows.event)
    enter = _later(_plus(begin, shift), rows.known)
    leave = np.full(len(enter), NEVER, np.int64) if end is None else _plus(end, shift)
    if rows.superseded is not None:
        leave = np.minimum(leave, rows.superseded)
    return Spans.build(enter, leave, rows.start)


def _event_times(window: Window, event: Ints) -> tuple[Ints, Ints | None]:
    """Return from when and until when (None: for ever) rows count, by their event times alone."""
    match window:
        case Sliding(width=width, resolution=step):
            # The start of the window, aligned down, passes a row when it reaches its alignment up.
            return event, _plus(_aligned_up(event, step) if step else event, width)
        case Tumbling(width=width):
            interval = _aligned_down(event, width)
            return _plus(interval, width), _plus(_plus(interval, width), width)
        case Lifetime():
            return event, None
        case _:
            raise ValueError(f"no spans for {window!r}")


def _plus(times: Ints, micros: int) -> Ints:
    return np.minimum(times, NEVER - micros) + micros if micros else times


def _aligned_down(times: Ints, step: int) -> Ints:
    times = np.maximum(times, ALWAYS + step)
    return times - times % step


def _aligned_up(times: Ints, step: int) -> Ints:
    times = np.minimum(times, NEVER - step)
    return times + (step - times % step) % step


def _later(times: Ints, known: Ints | None) -> Ints:
    return times if known is None else np.maximum(times, known)
