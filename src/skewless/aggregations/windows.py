"""Which rows an aggregation looks at: sliding, last N, tumbling, session and lifetime windows.

>>> Sliding.of("1h"), LastN(100), tumbling("1h"), session("30m"), lifetime()
(sliding 1h, last 100, tumbling 1h, session 30m, lifetime)

Times are int64 microseconds. ``t`` is the moment asked about; a source with ``closed="left"``
is asked about the microsecond before. With ``offset`` the window is that of ``t - offset``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from skewless.durations import format_duration, parse_duration
from skewless.errors import DefinitionError


@dataclass(frozen=True, repr=False)
class Window:
    """The rows of one entity that count at a moment; the base of the five kinds.

    Attributes:
        offset: how far the window is shifted back, in microseconds.
        written: the duration as the user wrote it ("24h", not "1d"), for names.
    """

    offset: int = field(default=0, kw_only=True)
    written: str = field(default="", kw_only=True, compare=False)

    @property
    def label(self) -> str:
        """The suffix of a feature's name when several windows fan out."""
        raise NotImplementedError

    @property
    def span(self) -> int | None:
        """How far back from ``t`` rows can count, microseconds; None where time sets no bound."""
        return None

    def shifted(self, offset: str | None) -> Window:
        """Return this window moved back by ``offset``, such as ``"1d"``."""
        if offset is None:
            return self
        return replace(self, offset=parse_duration(offset, what="an offset"))

    def to_dict(self) -> dict[str, Any]:
        """Return the window as plain data; `window_from_dict` reads it back."""
        data = {k: v for k, v in self.__dict__.items() if v and k != "written"}
        return {"window": type(self).__name__.lower()} | data

    def _suffix(self) -> str:
        return f" offset {format_duration(self.offset)}" if self.offset else ""


@dataclass(frozen=True, repr=False)
class Sliding(Window):
    """Rows with ``t - width < event time <= t``.

    With a ``resolution`` the start is aligned down to its multiples: long windows get cheap to
    keep online. It is part of the definition: the value differs from that of the exact window.
    """

    width: int = 0
    resolution: int = 0

    @classmethod
    def of(cls, width: str, resolution: str | None = None) -> Sliding:
        """Return the sliding window of a duration such as ``"1h"``."""
        micros = parse_duration(width, what="a window")
        step = parse_duration(resolution, what="a resolution") if resolution else 0
        if micros == 0:
            raise DefinitionError("a window of no length", got=repr(width))
        if step > micros:
            raise DefinitionError(
                "a resolution longer than its window", got=f"resolution {resolution} of {width}"
            )
        return cls(width=micros, resolution=step, written=str(width))

    @property
    def label(self) -> str:
        """The width, as in ``mean_1h``."""
        return self.written or format_duration(self.width)

    @property
    def span(self) -> int:
        """Width, resolution and offset together."""
        return self.width + self.resolution + self.offset

    def __repr__(self) -> str:
        fine = f" resolution {format_duration(self.resolution)}" if self.resolution else ""
        return f"sliding {self.label}{fine}{self._suffix()}"


@dataclass(frozen=True, repr=False)
class LastN(Window):
    """The ``n`` greatest rows with ``event time <= t``."""

    n: int = 1

    def __post_init__(self) -> None:
        n: object = self.n
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= 1_000_000:
            raise DefinitionError(
                "a window of the last n rows", got=f"n = {self.n!r}", expected="1 to 1,000,000"
            )

    @property
    def label(self) -> str:
        """The count, as in ``mean_last_100``."""
        return f"last_{self.n}"

    def __repr__(self) -> str:
        return f"last {self.n}{self._suffix()}"


@dataclass(frozen=True, repr=False)
class Tumbling(Window):
    """The newest complete interval ``[a, a + width)``, aligned to 1970, with ``a + width <= t``."""

    width: int = 0

    @property
    def label(self) -> str:
        """The width, as in ``mean_tumbling_1h``."""
        return f"tumbling_{self.written or format_duration(self.width)}"

    @property
    def span(self) -> int:
        """Two widths (an interval and the next, until which it is the newest) and the offset."""
        return 2 * self.width + self.offset

    def __repr__(self) -> str:
        return f"tumbling {format_duration(self.width)}{self._suffix()}"


@dataclass(frozen=True, repr=False)
class Session(Window):
    """The newest maximal run of rows whose neighbours are at most ``gap`` apart.

    Null (status ``expired``) once ``t`` is more than ``gap`` past its last row.
    """

    gap: int = 0

    @property
    def label(self) -> str:
        """The gap, as in ``count_session_30m``."""
        return f"session_{self.written or format_duration(self.gap)}"

    def __repr__(self) -> str:
        return f"session {format_duration(self.gap)}{self._suffix()}"


@dataclass(frozen=True, repr=False)
class Lifetime(Window):
    """All rows with ``event time <= t``."""

    @property
    def label(self) -> str:
        """As in ``sum_lifetime``."""
        return "lifetime"

    def __repr__(self) -> str:
        return f"lifetime{self._suffix()}"


def tumbling(width: str) -> Tumbling:
    """Return the window of complete, epoch-aligned intervals of ``width``, such as ``"1h"``."""
    return Tumbling(width=_positive(width, "a tumbling window"), written=str(width))


def session(gap: str) -> Session:
    """Return the window of sessions that end after a silence of ``gap``, such as ``"30m"``."""
    return Session(gap=_positive(gap, "a session gap"), written=str(gap))


def lifetime() -> Lifetime:
    """Return the window of all rows so far."""
    return Lifetime()


def _positive(text: str, what: str) -> int:
    micros = parse_duration(text, what=what)
    if micros == 0:
        raise DefinitionError(f"{what} of no length", got=repr(text))
    return micros


_KINDS: dict[str, type[Window]] = {
    kind.__name__.lower(): kind for kind in (Sliding, LastN, Tumbling, Session, Lifetime)
}


def window_from_dict(data: dict[str, Any]) -> Window:
    """Return the window that `Window.to_dict` wrote."""
    fields = dict(data)
    return _KINDS[fields.pop("window")](**fields)
