"""Which rows an aggregation looks at: sliding, last N, tumbling, session and lifetime windows.

>>> Sliding.of("1h"), LastN(100), tumbling("1h"), session("30m"), lifetime()
(sliding 1h, last 100, tumbling 1h, session 30m, lifetime)
>>> Sliding(width=10).holds([0, 5, 9, 12], 12)
[1, 2, 3]

A kind of window is one class, and all that is known of it is written there; see `window`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from skewless.aggregations.window import WINDOWS, KeptRows, Window, window_from_dict
from skewless.clock import NEVER
from skewless.durations import format_duration, parse_duration
from skewless.errors import DefinitionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from skewless.aggregations.kernels import Spans
    from skewless.aggregations.spans import RowTimes

    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]
    Marked = Callable[[], Bools]

__all__ = [
    "WINDOWS",
    "LastN",
    "Lifetime",
    "Session",
    "Sliding",
    "Tumbling",
    "Window",
    "lifetime",
    "session",
    "tumbling",
    "window_from_dict",
]


@dataclass(frozen=True, repr=False)
class Sliding(Window):
    """Rows with ``t - width < event time <= t``.

    With a ``resolution`` the start is aligned down to its multiples: long windows get cheap to
    keep online. It is part of the definition: the value differs from that of the exact window.
    """

    width: int = 0
    resolution: int = 0

    @classmethod
    def of(cls, width: str | timedelta, resolution: str | timedelta | None = None) -> Sliding:
        """Return the sliding window of a duration such as ``"1h"``."""
        micros = parse_duration(width, what="a window")
        if micros == 0:
            raise DefinitionError("a window of no length", got=repr(width))
        window = cls(width=micros, written=_written(width))
        return window if resolution is None else window.coarse(resolution)

    @classmethod
    def examples(cls) -> tuple[Window, ...]:
        """Exact, and aligned to a resolution."""
        return cls(width=7), cls(width=20), cls(width=20, resolution=5)

    @property
    def kind(self) -> str:  # type: ignore[override]
        """Apart for windows with a resolution."""
        return "resolution" if self.resolution else "sliding"

    @property
    def label(self) -> str:
        """The width, as in ``mean_1h``."""
        return self.written or format_duration(self.width)

    def coarse(self, resolution: str | timedelta) -> Sliding:
        """Return this window with its start aligned to multiples of ``resolution``."""
        step = parse_duration(resolution, what="a resolution")
        if step > self.width:
            raise DefinitionError(
                "a resolution longer than its window",
                got=f"resolution {resolution} of {self.label}",
            )
        return replace(self, resolution=step)

    def holds(self, events: Sequence[int], at: int) -> list[int]:
        """Return the rows after its start."""
        start = at - self.width
        if self.resolution:
            start -= start % self.resolution
        return [place for place, event in enumerate(events) if start < event <= at]

    def bounds(self, at: int) -> tuple[int, int]:
        """Return start and moment."""
        start = at - self.width
        return (start // self.resolution * self.resolution if self.resolution else start), at

    @property
    def reach(self) -> tuple[int | None, int | None] | None:
        """The width; None where the start is aligned."""
        return None if self.resolution else (self.width, None)

    @property
    def length(self) -> int:
        """The width."""
        return self.width

    @property
    def span(self) -> int:
        """Width, resolution and offset together."""
        return self.width + self.resolution + self.offset

    def exit(self, event: Ints) -> Ints:
        """Return when the start passes the rows: where aligned, when it reaches their alignment."""
        from skewless.aggregations.spans import aligned_up, plus

        return plus(aligned_up(event, self.resolution) if self.resolution else event, self.width)

    @property
    def tiled(self) -> bool:
        """With a resolution."""
        return self.resolution > 0

    @property
    def most_tiles(self) -> int:
        """Those of the width, and one at each end."""
        return self.width // self.resolution + 2

    def tile_numbers(self, event: Ints) -> Ints:
        """Return tiles that hold their last microsecond and not their first."""
        return -(-event // self.resolution)

    def tiles(self, at: int) -> range:
        """Return the tiles from the start on: no row of a later one is past."""
        return range((at - self.width) // self.resolution + 1, NEVER)

    def __repr__(self) -> str:
        fine = f" resolution {format_duration(self.resolution)}" if self.resolution else ""
        return f"sliding {format_duration(self.width)}{fine}{self._suffix()}"


@dataclass(frozen=True, repr=False)
class LastN(Window):
    """The ``n`` greatest rows with ``event time <= t``."""

    kind: ClassVar[str] = "last n"
    displaces: ClassVar[bool] = True
    outside: ClassVar[str] = "beyond the last N"

    n: int = 1

    def __post_init__(self) -> None:
        n: object = self.n
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= 1_000_000:
            raise DefinitionError(
                "a window of the last n rows", got=f"n = {self.n!r}", expected="1 to 1,000,000"
            )

    @classmethod
    def examples(cls) -> tuple[Window, ...]:
        """The newest row, and a few."""
        return cls(1), cls(4)

    @property
    def label(self) -> str:
        """The count, as in ``mean_last_100``."""
        return f"last_{self.n}"

    def holds(self, events: Sequence[int], at: int) -> list[int]:
        """Return the last of the rows that are past."""
        return [place for place, event in enumerate(events) if event <= at][-self.n :]

    @property
    def reach(self) -> tuple[int | None, int | None] | None:
        """The count."""
        return None, self.n

    def narrow(self, event: Ints, low: int, high: int, at: int) -> tuple[int, int]:
        """Return the end of the rows."""
        return max(low, high - self.n), high

    @property
    def most_rows(self) -> int:
        """The count."""
        return self.n

    def describe(self, end: str) -> str:
        """Return how many of the newest."""
        return (
            f"the newest row with {end}" if self.n == 1 else f"the {self.n} newest rows with {end}"
        )

    def _spans(self, rows: RowTimes) -> Spans:
        from skewless.aggregations.kernels import last_n_spans

        enter = rows.counted_from(rows.event, self.offset + int(rows.exclusive))
        return last_n_spans(enter, rows.superseded, rows.start, self.n)

    def may_count(self, rows: KeptRows, settled: Marked, coming: Marked, floor: int) -> Bools:
        """Return rows with fewer than ``n`` settled ones after them."""
        return rows.later_in_group(settled()) < self.n

    def estimate(self, inside: Ints) -> Ints:
        """Return ``n`` or, of fewer, all."""
        return inside.clip(max=self.n)

    def __repr__(self) -> str:
        return f"last {self.n}{self._suffix()}"


@dataclass(frozen=True, repr=False)
class Tumbling(Window):
    """The newest complete interval ``[a, a + width)``, aligned to 1970, with ``a + width <= t``."""

    kind: ClassVar[str] = "tumbling"
    ends_before: ClassVar[bool] = True

    width: int = 0

    @classmethod
    def examples(cls) -> tuple[Window, ...]:
        """One."""
        return (cls(width=10),)

    @property
    def label(self) -> str:
        """The width, as in ``mean_tumbling_1h``."""
        return f"tumbling_{self.written or format_duration(self.width)}"

    def holds(self, events: Sequence[int], at: int) -> list[int]:
        """Return the rows of the interval before that of ``at``."""
        end = at - at % self.width
        return [p for p, event in enumerate(events) if end - self.width <= event < end]

    def bounds(self, at: int) -> tuple[int, int]:
        """Return the last microseconds before the interval and of it."""
        end = at // self.width * self.width
        return end - self.width - 1, end - 1

    @property
    def length(self) -> int:
        """The width."""
        return self.width

    @property
    def span(self) -> int:
        """Two widths (an interval and the next, until which it is the newest) and the offset."""
        return 2 * self.width + self.offset

    def enter(self, event: Ints) -> Ints:
        """Return the end of the interval."""
        from skewless.aggregations.spans import aligned_down, plus

        return plus(aligned_down(event, self.width), self.width)

    def exit(self, event: Ints) -> Ints:
        """Return the end of the next interval."""
        from skewless.aggregations.spans import plus

        return plus(self.enter(event), self.width)

    @property
    def tiled(self) -> bool:
        """Always: an interval is a tile."""
        return True

    @property
    def most_tiles(self) -> int:
        """The newest complete one and the one that fills."""
        return 2

    def tile_numbers(self, event: Ints) -> Ints:
        """Return the number of the interval since 1970."""
        return event // self.width

    def tiles(self, at: int) -> range:
        """Return the newest complete one."""
        newest = at // self.width - 1
        return range(newest, newest + 1)

    def __repr__(self) -> str:
        return f"tumbling {format_duration(self.width)}{self._suffix()}"


@dataclass(frozen=True, repr=False)
class Session(Window):
    """The newest maximal run of rows whose neighbours are at most ``gap`` apart.

    Null (status ``expired``) once ``t`` is more than ``gap`` past its last row.
    """

    kind: ClassVar[str] = "session"
    displaces: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    outside: ClassVar[str] = "older session"

    gap: int = 0

    @classmethod
    def examples(cls) -> tuple[Window, ...]:
        """One."""
        return (cls(gap=4),)

    @property
    def label(self) -> str:
        """The gap, as in ``count_session_30m``."""
        return f"session_{self.written or format_duration(self.gap)}"

    def holds(self, events: Sequence[int], at: int) -> list[int]:
        """Return the rows of the newest run."""
        run: list[int] = []
        for place, event in enumerate(events):
            if event > at:
                break
            if run and event - events[run[-1]] > self.gap:
                run = []
            run.append(place)
        return run

    def narrow(self, event: Ints, low: int, high: int, at: int) -> tuple[int, int]:
        """Return the rows after the last gap."""
        import numpy as np

        breaks = np.flatnonzero(np.diff(event[low:high]) > self.gap)
        return (low + int(breaks[-1]) + 1 if len(breaks) else low), high

    @property
    def expiry(self) -> int:
        """One microsecond more than the gap."""
        return self.gap + 1

    def describe(self, end: str) -> str:
        """Return how far apart its rows are."""
        return f"the newest run of rows at most {format_duration(self.gap)} apart with {end}"

    def _spans(self, rows: RowTimes) -> Spans:
        from skewless.aggregations.kernels import session_spans

        enter = rows.counted_from(rows.event, self.offset + int(rows.exclusive))
        return session_spans(rows.event, enter, rows.superseded, self.gap, rows.start)

    def may_count(self, rows: KeptRows, settled: Marked, coming: Marked, floor: int) -> Bools:
        """Return rows behind which no row follows after more than the gap, now and later."""
        import numpy as np

        marked = settled()
        at = np.flatnonzero(marked | coming())
        breaks = np.zeros(len(rows.group), bool)
        if len(at) > 1:
            same = rows.group[at][1:] == rows.group[at][:-1]
            # A gap beside a row that is coming may be filled when it has come, or open again.
            sure = marked[at]
            apart = (np.diff(rows.event[at]) > self.gap) & sure[1:] & sure[:-1]
            breaks[at[1:][same & apart]] = True
        # A row before a break is in an older session than the newest one at the moment.
        newest: Bools = rows.later_in_group(breaks) == 0
        return newest

    def estimate(self, inside: Ints) -> Ints:
        """Return one: the newest session may be a single row, or many."""
        return inside.clip(max=1)

    def __repr__(self) -> str:
        return f"session {format_duration(self.gap)}{self._suffix()}"


@dataclass(frozen=True, repr=False)
class Lifetime(Window):
    """All rows with ``event time <= t``."""

    kind: ClassVar[str] = "lifetime"
    forgets: ClassVar[bool] = False

    @classmethod
    def examples(cls) -> tuple[Window, ...]:
        """The one there is."""
        return (cls(),)

    @property
    def label(self) -> str:
        """As in ``sum_lifetime``."""
        return "lifetime"

    def holds(self, events: Sequence[int], at: int) -> list[int]:
        """Return the rows that are past."""
        return [place for place, event in enumerate(events) if event <= at]

    @property
    def reach(self) -> tuple[int | None, int | None] | None:
        """Without an end."""
        return None, None

    @property
    def tiled(self) -> bool:
        """Always."""
        return True

    @property
    def most_tiles(self) -> int:
        """One."""
        return 1

    def tile_numbers(self, event: Ints) -> Ints:
        """Return 0."""
        return event * 0

    def tiles(self, at: int) -> range:
        """Return the one tile."""
        return range(1)

    def __repr__(self) -> str:
        return f"lifetime{self._suffix()}"


def tumbling(width: str | timedelta) -> Tumbling:
    """Return the window of complete, epoch-aligned intervals of ``width``, such as ``"1h"``."""
    return Tumbling(
        width=_positive(width, "a tumbling window"),
        written=_written(width),
    )


def session(gap: str | timedelta) -> Session:
    """Return the window of sessions that end after a silence of ``gap``, such as ``"30m"``."""
    return Session(gap=_positive(gap, "a session gap"), written=_written(gap))


def lifetime() -> Lifetime:
    """Return the window of all rows so far."""
    return Lifetime()


def _written(width: str | timedelta) -> str:
    """Return a duration as it is written; one that is none was refused."""
    return width if isinstance(width, str) else format_duration(parse_duration(width))


def _positive(text: str | timedelta, what: str) -> int:
    micros = parse_duration(text, what=what)
    if micros == 0:
        raise DefinitionError(f"{what} of no length", got=repr(text))
    return micros
