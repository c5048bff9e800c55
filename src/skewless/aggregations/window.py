"""What a window is: the rows of one entity that count at a moment.

A kind of window is one class (`aggregations.windows`), and all that is known of it is written
there: what it holds (`Window.holds`, the definition), and the same for engines: the ends of its
interval, when rows enter and leave it, which rows of a state can still count, its tiles, its words.
Nothing else asks of which kind a window is.

Times are int64 microseconds. ``t`` is the moment asked about; a source with ``closed="left"``
is asked about the microsecond before. With ``offset`` the window is that of ``t - offset``: both
are taken off before a window is asked, which is what ``at`` means here ("on the event axis").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from skewless.clock import ALWAYS
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

WINDOWS: dict[str, type[Window]] = {}
"""Every kind of window, by the name under which definitions are kept."""


class KeptRows(Protocol):
    """Rows of many entities, by entity and row order, as states hold them."""

    @property
    def event(self) -> Ints:
        """Event times."""

    @property
    def group(self) -> Ints:
        """The number of the entity of each row, ascending."""

    def later_in_group(self, marked: Bools) -> Ints:
        """Return for each row how many marked rows of its entity come after it."""


@dataclass(frozen=True, repr=False)
class Window(ABC):
    """The rows of one entity that count at a moment; the base of the kinds.

    Class attributes:
        kind: what reports call it.
        forgets: whether rows leave in the end; without, what needs rows would keep every one.
        displaces: whether newer rows push older ones out, so that a correction, or a very late
            row, can bring back rows already dropped.
        joins: whether a row amid others can bring back rows older than itself.
        ends_before: whether its end does not count itself.
        outside: what becomes of a row that is past but not in it.

    Attributes:
        offset: how far the window is shifted back, in microseconds.
        written: the duration as the user wrote it ("24h", not "1d"), for names.
    """

    kind: ClassVar[str]
    forgets: ClassVar[bool] = True
    displaces: ClassVar[bool] = False
    joins: ClassVar[bool] = False
    ends_before: ClassVar[bool] = False
    outside: ClassVar[str] = "outside the window"

    offset: int = field(default=0, kw_only=True)
    written: str = field(default="", kw_only=True, compare=False)

    def __init_subclass__(cls) -> None:
        WINDOWS[cls.__name__.lower()] = cls

    @classmethod
    @abstractmethod
    def examples(cls) -> tuple[Window, ...]:
        """Return windows of a few dozen microseconds, one of each form: the laws hold of them."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------ as written

    @property
    @abstractmethod
    def label(self) -> str:
        """The suffix of a feature's name when several windows fan out."""
        raise NotImplementedError

    def shifted(self, offset: str | None) -> Window:
        """Return this window moved back by ``offset``, such as ``"1d"``."""
        if offset is None:
            return self
        return replace(self, offset=parse_duration(offset, what="an offset"))

    def coarse(self, resolution: str) -> Window:
        """Return this window with its start aligned to multiples of ``resolution``.

        Raises:
            DefinitionError: it has no start that could be, or is shorter than that.
        """
        raise DefinitionError("only sliding windows take a resolution", got=repr(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the window as plain data; `window_from_dict` reads it back."""
        data = {k: v for k, v in self.__dict__.items() if v and k != "written"}
        return {"window": type(self).__name__.lower()} | data

    def _suffix(self) -> str:
        return f" offset {format_duration(self.offset)}" if self.offset else ""

    # ------------------------------------------------------------------------------- its rows

    @abstractmethod
    def holds(self, events: Sequence[int], at: int) -> list[int]:
        """Return the places of the rows that the window holds: its meaning, in plain Python.

        Args:
            events: event times of rows in row order, those after ``at`` included.
            at: the moment on the event axis.
        """
        raise NotImplementedError

    def bounds(self, at: int) -> tuple[int | None, int]:
        """Return the event times around the window: after the first (None: any), to the second."""
        return None, at

    @property
    def reach(self) -> tuple[int | None, int | None] | None:
        """How long back and how many rows, where it holds the newest rows up to its moment.

        None for windows that are told otherwise.
        """
        return None

    def narrow(self, event: Ints, low: int, high: int, at: int) -> tuple[int, int]:
        """Return the part of rows ``low:high`` (event times up to ``at``) that the window holds."""
        after, until = self.bounds(at)
        if after is not None:
            low = max(low, int(event.searchsorted(after, "right")))
        if until < at:
            high = min(high, int(event.searchsorted(until, "right")))
        return low, max(low, high)

    @property
    def length(self) -> int | None:
        """Microseconds from the first moment it can hold to the last; None where none is set."""
        return None

    @property
    def span(self) -> int | None:
        """How far back from ``t`` rows can count, microseconds; None where time sets no bound."""
        return None

    @property
    def counted_span(self) -> int | None:
        """The time whose rows `estimate` is given; None where it is given all of them."""
        return self.span

    def since(self, end: int) -> int | None:
        """Return from when on it asks what stood, if it ends then; None: from its first row on."""
        return None

    @property
    def most_rows(self) -> int | None:
        """How many rows it holds at most; None where any number."""
        return None

    @property
    def expiry(self) -> int | None:
        """The age of the newest row from which the window is over; None where it never is."""
        return None

    def describe(self, end: str) -> str:
        """Return in words which rows it takes, where time sets no start."""
        return f"all rows with {end}"

    # -------------------------------------------------------------------------- rows over time

    def enter(self, event: Ints) -> Ints:
        """Return from when on (event axis) rows are past and, by themselves, in the window."""
        return event

    def exit(self, event: Ints) -> Ints | None:
        """Return from when on their event time alone puts rows out; None for never."""
        return None

    def turns(self, event: Ints) -> Iterator[Ints]:
        """Yield the moments (event axis) at which the passing of time can change a value."""
        yield self.enter(event)
        leave = self.exit(event)
        if leave is not None:
            yield leave
        if self.expiry is not None:
            yield event + self.expiry

    def spans(self, rows: RowTimes, passes: Bools | None = None) -> Spans:
        """Return the spans in which rows count.

        A row counts at t while ``enter <= t < exit``, where t is both the moment asked about and
        the knowledge it is asked with. That a session is over, or a value expired, is left to the
        caller.

        Args:
            rows: their times.
            passes: which rows pass the filter; None for all. Spans tell positions among all rows.

        Raises:
            ValueError: arrays do not fit each other.
        """
        if passes is None:
            return self._spans(rows)
        return rows.spans_of_some(passes, self._spans)

    def _spans(self, rows: RowTimes) -> Spans:
        shift = self.offset + int(rows.exclusive)
        return rows.spans_between(self.enter(rows.event), self.exit(rows.event), shift)

    def may_count(self, rows: KeptRows, settled: Marked, coming: Marked, floor: int) -> Bools:
        """Return which rows can count at a moment or later (a mask).

        Args:
            rows: that pass the filter or not.
            settled: gives those that pass, count at the moment already and are never replaced.
            coming: gives the others that pass and count: only later, or only for a while.
            floor: the moment on the event axis.
        """
        import numpy as np

        leave = self.exit(rows.event)
        return np.ones(len(rows.group), bool) if leave is None else leave > max(floor, ALWAYS)

    def estimate(self, inside: Ints) -> Ints:
        """Return about how many rows stay of each entity that has so many in `counted_span`."""
        return inside

    # ----------------------------------------------------------------------------------- tiles

    @property
    def tiled(self) -> bool:
        """Whether it begins and ends on the edges of tiles, which then can stand for rows."""
        return False

    @property
    def most_tiles(self) -> int:
        """How many tiles are kept of an entity at most."""
        raise ValueError(f"{self!r} has no tiles")

    def tile_numbers(self, event: Ints) -> Ints:
        """Return the tile of each row."""
        raise ValueError(f"{self!r} has no tiles")

    def tiles(self, at: int) -> range:
        """Return the tiles it holds at a moment of the event axis."""
        raise ValueError(f"{self!r} has no tiles")


def window_from_dict(data: dict[str, Any]) -> Window:
    """Return the window that `Window.to_dict` wrote."""
    fields = dict(data)
    return WINDOWS[fields.pop("window")](**fields)
