"""Aggregations of states over time: a row stands from its event time to that of the next row.

>>> from skewless.aggregations.standing import Standing
>>> minute = 60_000_000
>>> window = Standing(width=10 * minute)
>>> TimeIn(state="idle").compute(["idle", "busy"], [0, 14 * minute], 20 * minute, window)
240.0
>>> TimeMean().compute([1.0, 3.0], [0, 15 * minute], 20 * minute, window)
2.0

The newest row stands until the moment asked about. A null says that from then on nothing is known.
Rows are weighted by whole microseconds; the sum of their products is exact and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from skewless.aggregations.base import Aggregation, is_number
from skewless.aggregations.moments import has_infinity, to_float
from skewless.aggregations.standing import Standing
from skewless.aggregations.windows import Sliding, Window
from skewless.clock import SECOND
from skewless.errors import DefinitionError
from skewless.types import NUMERIC, DType, Float64

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.aggregations.base import Ints, Numbers
    from skewless.aggregations.runs import Runs
    from skewless.aggregations.sweep import ColumnSweep

    Floats = npt.NDArray[np.float64]

_STATES = frozenset({"bool", "str", "int32", "int64"})
_SPLIT = 2.0**27 + 1
_LEAST, _GREATEST, _WHOLE = 1e-280, 1e280, 2**53


class _OverTime(Aggregation):
    """An aggregation whose rows count for as long as they stand."""

    keeps_nulls: ClassVar[bool] = True
    raw_only: ClassVar[bool] = True

    def window_of(self, width: str | timedelta, resolution: str | timedelta | None) -> Window:
        """Return the window of the rows that stood during a duration."""
        sliding = Sliding.of(width)
        window = Standing(width=sliding.width, written=sliding.label)
        return window if resolution is None else window.coarse(str(resolution))

    def check_window(self, window: Window) -> None:
        """A window with a start in time must hold what stood at its start."""
        if window.length is not None:
            raise DefinitionError(
                f"{self.name} needs to know what stood when its window begins",
                got=repr(window),
                expected="a duration, such as '24h', last=n, a session or a lifetime",
            )


def durations(events: Sequence[int], t: int, window: Window | None) -> list[int]:
    """Return for how many microseconds each row of a window stood within it."""
    end = t if window is None else t - window.offset
    start = None if window is None else window.since(end)
    begin = [*events, end]
    if start is not None:
        begin[0] = max(begin[0], start)
    return [later - earlier for earlier, later in pairwise(begin)]


class _Stood:
    """How long the rows of windows stood: each until the next, less what the ends of a window cut.

    Attributes:
        until_next: of each row of a sequence.
        cut: by which of the oldest row's time is before the window.
        newest: of the newest row of each window, until its end.
    """

    def __init__(self, rows: ColumnSweep, part: Runs) -> None:
        import numpy as np

        window, event = rows.window, rows.event[part.rows]
        end = rows.queries.time[part.queries] - window.offset
        since = window.since(0)
        self.part = part
        self.until_next = np.diff(event, append=event[-1:])
        self.cut = np.zeros(len(end), np.int64)
        if since is not None:
            self.cut = np.maximum(end + since - event[part.low], 0)
        self.newest = end - event[part.high - 1]

    def total(self, counts: npt.NDArray[np.bool_]) -> Ints:
        """Return for how long the rows of each window stood that count."""
        import numpy as np

        part = self.part
        running = np.cumsum(np.r_[0, self.until_next * counts])
        total: Ints = running[part.high - 1] - running[part.low]
        return total + self.newest * counts[part.high - 1] - self.cut * counts[part.low]

    def of_window(self, place: int) -> Ints:
        """Return for how long each row of one window stood."""
        low, high = int(self.part.low[place]), int(self.part.high[place])
        stood = self.until_next[low:high].copy()
        stood[-1] = self.newest[place]
        stood[0] -= self.cut[place]
        return stood


@dataclass(frozen=True)
class TimeIn(_OverTime):
    """Seconds for which the column had a value."""

    state: Any = True
    name: ClassVar[str] = "time_in"

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """In a truth, a text and a whole number."""
        return cls(), cls(state="a"), cls(state=1)

    def result_type(self, column: DType | None) -> DType:
        """Seconds."""
        column = self._need(column, _STATES, "a column of states: text, whole numbers, conditions")
        try:
            if column.coerce(self.state) is None:
                raise ValueError("it is null")
        except ValueError as problem:
            never = "time_in needs a state that a column of its type can have"
            raise DefinitionError(never, got=str(problem)) from None
        return Float64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float:
        """Add up how long the rows of the value stood."""
        stood = zip(values, durations(events, t, window), strict=True)
        return sum(micros for value, micros in stood if value == self.state) / SECOND

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same of an array of whole numbers."""
        if values is None:
            return NotImplemented
        import numpy as np

        stood = np.array(durations(events.tolist(), t, window), np.int64)
        return int(stood[values == self.state].sum()) / SECOND

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = pc.equal(rows.column, pa.scalar(self.state, rows.column.type))
        inside = np.asarray(pc.fill_null(wanted, False).to_numpy(zero_copy_only=False), bool)
        found, none = np.zeros(len(rows.queries.time)), np.ones(len(rows.queries.time), bool)
        for part in rows.runs(nulls=True):
            found[part.queries] = _Stood(rows, part).total(inside[part.rows]) / SECOND
            none[part.queries] = False
        return rows.array(found, none)


@dataclass(frozen=True)
class TimeMean(_OverTime):
    """The mean over time: each value weighted by how long it stood.

    The exact sum of values times microseconds, rounded, over the microseconds. Null where no value
    stood for a while, for infinities, and where the sum is beyond the floats.
    """

    name: ClassVar[str] = "time_mean"

    def result_type(self, column: DType | None) -> DType:
        """Floating point."""
        self._need(column, NUMERIC, "a numeric column")
        return Float64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return the weighted sum over the weights."""
        stood = zip(values, durations(events, t, window), strict=True)
        known = [(value, micros) for value, micros in stood if micros and value is not None]
        time = sum(micros for _, micros in known)
        if time == 0 or has_infinity([value for value, _ in known]):
            return None
        exact = sum((Fraction(value) * micros for value, micros in known), Fraction(0))
        return _over(to_float(exact), time)

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same from arrays of products, and the kernels' exact sum of them."""
        import numpy as np

        from skewless.aggregations.kernels import Want, window_summary

        if values is None:
            return NotImplemented
        stood = np.array(durations(events.tolist(), t, window), np.int64)
        known = values == values  # noqa: PLR0124 - NaN is null
        values, stood = values[known], stood[known]
        time, parts = int(stood.sum()), exact_products(values, stood)
        if parts is None:
            total = _exact_products_sum(values, stood)
        else:
            both = np.concatenate(parts)
            total = window_summary(both, None, 0, len(both), int(Want.SUM))[1]
        return None if time == 0 else _over(total, time)

    def sweeps(self, column: DType | None) -> bool:
        """Of all numbers but decimals."""
        return column is not None and is_number(column)

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments."""
        import numpy as np

        values = rows.values
        known = np.ones(len(values), bool) if rows.valid is None else rows.valid != 0
        found, none = np.zeros(len(rows.queries.time)), np.ones(len(rows.queries.time), bool)
        for part in rows.runs(nulls=True):
            stood = _Stood(rows, part)
            counts = known[part.rows]
            time, total = stood.total(counts), _sums(stood, values[part.rows], counts)
            with np.errstate(all="ignore"):
                found[part.queries] = total / time
            none[part.queries] = (time == 0) | ~np.isfinite(total)
        return rows.array(found, none)


def _sums(stood: _Stood, values: Numbers, counts: npt.NDArray[np.bool_]) -> Floats:
    """Return the rounded sums of products of values and how long they stood, by window."""
    import numpy as np

    from skewless.aggregations.kernels import Queries, Spans, Want, sweep_sums

    part = stood.part
    windows, oldest, newest = np.arange(len(part.low)), part.low, part.high - 1
    within = np.arange(int(oldest[0]), int(newest[-1]))  # rows that can stand until their next
    # What each product is of, and from which window until which it is part of the sum.
    row = np.concatenate([within, newest, oldest])
    whole = np.concatenate([stood.until_next[within], stood.newest, -stood.cut]) * counts[row]
    enter = np.concatenate([newest.searchsorted(within, "right"), windows, windows])
    leave = np.concatenate([oldest.searchsorted(within, "right"), windows + 1, windows + 1])
    parts = exact_products(values[row], whole)
    if parts is None:
        each = (_exact_sum(stood, values, counts, place) for place in windows.tolist())
        return np.fromiter(each, np.float64, len(windows))
    some = np.flatnonzero((whole != 0) & (enter < leave))
    some = np.repeat(some[np.argsort(enter[some], kind="stable")], 2)
    spans = Spans.build(enter[some], leave[some], np.array([0, len(some)]))
    products = np.stack(parts, axis=1)[some[::2]].reshape(-1)
    queries = Queries(windows, np.array([0, len(windows)]))
    found: Floats = sweep_sums(spans, queries, products, None, Want.SUM)["sum"]
    return found


def _exact_sum(stood: _Stood, values: Numbers, counts: npt.NDArray[np.bool_], place: int) -> float:
    """Return the rounded sum of products of one window, in Python; of infinities, NaN."""
    within = slice(int(stood.part.low[place]), int(stood.part.high[place]))
    micros = stood.of_window(place) * counts[within]
    return _exact_products_sum(values[within], micros)


def _exact_products_sum(values: Numbers, stood: Ints) -> float:
    pairs = zip(values.tolist(), stood.tolist(), strict=True)
    known = [(value, micros) for value, micros in pairs if micros]
    if any(map(math.isinf, (value for value, _ in known))):
        return math.nan
    return to_float(sum((Fraction(v) * micros for v, micros in known), Fraction(0)))


def _over(total: float, time: int) -> float | None:
    return total / time if math.isfinite(total) else None


def exact_products(values: Numbers, whole: Ints) -> tuple[Floats, Floats] | None:
    """Return the rounded products of values and whole numbers, and exactly what rounding took.

    Dekker 1971: both factors are split in halves whose products no rounding touches. None where a
    factor or a product leaves the range in which that is exact.
    """
    import numpy as np

    if len(whole) and int(abs(whole).max()) >= _WHOLE:
        return None
    if values.dtype.kind == "i":
        if len(values) and max(int(values.max()), -int(values.min())) >= _WHOLE:
            return None
        values = values.astype(np.float64)
    size = np.abs(values)
    if not ((size == 0) | ((size > _LEAST) & (size < _GREATEST))).all():
        return None
    factors = whole.astype(np.float64)
    high, other_high = (x * _SPLIT - (x * _SPLIT - x) for x in (values, factors))
    low, other_low = values - high, factors - other_high
    product = values * factors
    rest = ((high * other_high - product) + high * other_low + low * other_high) + low * other_low
    return product, rest
