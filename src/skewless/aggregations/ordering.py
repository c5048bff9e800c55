"""Aggregations that follow the order of rows, such as latest, first, last_n, trend and ewma.

>>> Latest().compute([1.0, None], [0, 1], 2, None) is None
True
>>> Trend(recent=2).compute([10.0, 10.0, 11.0, 13.0], [0, 1, 2, 3], 4, None)
20.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from skewless.aggregations.base import Aggregation, Deciding, is_number
from skewless.aggregations.moments import Mean, to_float
from skewless.aggregations.windows import Window
from skewless.clock import SECOND
from skewless.durations import format_duration, parse_duration
from skewless.errors import DefinitionError
from skewless.types import NUMERIC, DType, Float64, List

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.aggregations.base import Ints, Numbers
    from skewless.aggregations.sweep import ColumnSweep


class _ColumnType(Deciding):
    """An aggregation whose value is one of the column's."""

    def result_type(self, column: DType | None) -> DType:
        """The column's type."""
        if column is None:
            raise DefinitionError(f"{self.name} needs a column", got="whole rows")
        return column


@dataclass(frozen=True)
class Latest(_ColumnType):
    """The value of the greatest row, null included; with ``skip_nulls`` the newest non-null."""

    skip_nulls: bool = False
    name: ClassVar[str] = "latest"

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """With nulls and without."""
        return cls(), cls(skip_nulls=True)

    @property
    def keeps_nulls(self) -> bool:  # type: ignore[override]
        """Nulls take part unless skipped."""
        return not self.skip_nulls

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the last."""
        return values[-1]

    @property
    def needs(self) -> slice:
        """The last."""
        return slice(-1, None)

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the value of the newest row."""
        return rows.taken(rows.newest(self.keeps_nulls))

    @classmethod
    def decide(cls, rank: Ints, run: Ints) -> Ints:  # noqa: ARG003
        """Return the newest row of each run."""
        import numpy as np

        return np.flatnonzero(np.r_[np.diff(run) != 0, True])


@dataclass(frozen=True)
class First(Latest):
    """The value of the smallest row, null included; with ``skip_nulls`` the oldest non-null."""

    name: ClassVar[str] = "first"

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the first."""
        return values[0]

    @property
    def needs(self) -> slice:
        """The first."""
        return slice(0, 1)

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the value of the oldest row."""
        return rows.taken(rows.oldest(self.keeps_nulls))

    @classmethod
    def decide(cls, rank: Ints, run: Ints) -> Ints:  # noqa: ARG003
        """Return the oldest row of each run."""
        import numpy as np

        return np.flatnonzero(np.r_[True, np.diff(run) != 0])


@dataclass(frozen=True)
class LastValues(Aggregation):
    """The newest ``n`` values that are not null, oldest first."""

    n: int = 10
    name: ClassVar[str] = "last_n"
    empty: ClassVar[Any] = ()

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """A few."""
        return (cls(n=3),)

    def __post_init__(self) -> None:
        if self.n < 1:
            raise DefinitionError(f"{self.name} needs n of at least 1", got=self.n)

    def result_type(self, column: DType | None) -> DType:
        """A list of the column's values."""
        if column is None:
            raise DefinitionError(f"{self.name} needs a column", got="whole rows")
        return List(column)

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> list[Any]:
        """Return the tail."""
        return list(values[self.needs])

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the lists of all moments, of the few rows that are in them."""
        return rows.lists(self.needs)

    @property
    def needs(self) -> slice:
        """The tail."""
        return slice(-self.n, None)


@dataclass(frozen=True)
class FirstValues(LastValues):
    """The oldest ``n`` values that are not null, oldest first."""

    name: ClassVar[str] = "first_n"

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> list[Any]:
        """Return the head."""
        return list(values[self.needs])

    @property
    def needs(self) -> slice:
        """The head."""
        return slice(0, self.n)


@dataclass(frozen=True)
class Age(Deciding):
    """Seconds between one row's event time and the moment asked about."""

    takes_rows: ClassVar[bool] = True
    place: ClassVar[int]
    """Which row of the window, as an index."""

    def result_type(self, column: DType | None) -> DType:
        """Seconds."""
        return Float64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float:
        """Return the age of the row."""
        return (t - events[self.place]) / SECOND

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same; values do not matter."""
        return (t - int(events[self.place])) / SECOND

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    @staticmethod
    def ages(rows: ColumnSweep, of: Ints) -> pa.Array:
        """Return seconds since a row of each moment; null at -1."""
        return rows.array((rows.queries.time - rows.event_of(of)) / SECOND, of < 0)


@dataclass(frozen=True)
class SinceLast(Age):
    """Seconds between the newest row's event time and the moment asked about."""

    name: ClassVar[str] = "since_last"
    place: ClassVar[int] = -1

    @property
    def needs(self) -> slice:
        """The last."""
        return slice(-1, None)

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the ages of the newest rows."""
        return self.ages(rows, rows.newest(nulls=False))

    @classmethod
    def decide(cls, rank: Ints, run: Ints) -> Ints:
        """Return the newest row of each run."""
        return Latest.decide(rank, run)


@dataclass(frozen=True)
class Trend(Aggregation):
    """Percentage change of the mean of the newest ``recent`` rows against that of the rows before.

    Null under ``recent`` rows; 0 when there are none before them or their mean is 0.
    """

    recent: int = 10
    name: ClassVar[str] = "trend"
    raw_only: ClassVar[bool] = True

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """Of two rows."""
        return (cls(recent=2),)

    def __post_init__(self) -> None:
        if self.recent < 1:
            raise DefinitionError("trend needs recent of at least 1", got=self.recent)

    def result_type(self, column: DType | None) -> DType:
        """Per cent."""
        self._need(column, NUMERIC, "a numeric column")
        return Float64

    def check_window(self, window: Window) -> None:
        """The window must hold more rows than the recent ones."""
        super().check_window(window)
        if window.most_rows is not None and window.most_rows <= self.recent:
            raise DefinitionError(
                "trend compares recent rows with those before them",
                got=f"last={window.most_rows}, recent={self.recent}",
                expected="last greater than recent",
            )
        if not window.forgets:
            raise DefinitionError("trend over a lifetime would keep every row", got="lifetime")

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return the change in per cent."""
        if len(values) < self.recent:
            return None
        before = values[: len(values) - self.recent]
        if not before:
            return 0.0
        old = Mean().compute(before, events, t, window)
        new = Mean().compute(values[len(before) :], events, t, window)
        return percentage_change(old, new)

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same from the kernels' means."""
        from skewless.aggregations.kernels import Want, window_summary

        if values is None:
            return NotImplemented
        split = len(values) - self.recent
        if split <= 0:
            return None if split else 0.0
        old = window_summary(values, None, 0, split, int(Want.MEAN))[2]
        new = window_summary(values, None, split, len(values), int(Want.MEAN))[2]
        return None if math.isnan(old) or math.isnan(new) else percentage_change(old, new)

    def sweeps(self, column: DType | None) -> bool:
        """Of all numbers but decimals."""
        return column is not None and column.kind != "decimal"

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return changes between the means of two windows: the newest rows, and the others."""
        import numpy as np

        newest, others = rows.parted(self.recent)
        new, new_count = rows.means(newest)
        old, old_count = rows.means(others)
        with np.errstate(all="ignore"):
            change = (new - old) / old * 100.0
        change = np.where((old_count == 0) | (old == 0), 0.0, change)
        return rows.array(change, (new_count < self.recent) | ~np.isfinite(change))


def percentage_change(old: float | None, new: float | None) -> float | None:
    """Return ``(new - old) / old * 100``; 0 when ``old`` is 0; None where it is not finite."""
    if old is None or new is None:
        return None
    if old == 0:
        return 0.0
    change = (new - old) / old * 100.0
    return change if math.isfinite(change) else None


@dataclass(frozen=True)
class Ewma(Aggregation):
    """Mean weighted by age: a row's weight halves with every ``half_life``.

    The weights are rounded doubles; weighted sum and sum of weights are exact sums of them, so
    order cannot matter. Null where the weighted sum is beyond the floats.
    """

    half_life: str = "1h"
    name: ClassVar[str] = "ewma"
    raw_only: ClassVar[bool] = True
    moves: ClassVar[bool] = True

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """Slow and fast decay."""
        return cls(), cls(half_life="5us")

    def __post_init__(self) -> None:
        micros = parse_duration(self.half_life, what="a half-life")
        if micros == 0:
            raise DefinitionError("ewma needs a half-life", got=self.half_life)
        object.__setattr__(self, "half_life", format_duration(micros))  # 24h is 1d

    def result_type(self, column: DType | None) -> DType:
        """Floating point."""
        self._need(column, NUMERIC, "a numeric column")
        return Float64

    def check_window(self, window: Window) -> None:
        """Rows must leave the window, as every one is needed."""
        super().check_window(window)
        if not window.forgets:
            raise DefinitionError(
                "ewma over a lifetime would keep every row",
                got="lifetime",
                hint="Use a window of ten half-lives: what is older weighs under 0.1 %.",
            )

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return the weighted mean; ages count from ``t``."""
        half_life = parse_duration(self.half_life)
        weights = [math.exp2((event - t) / half_life) for event in events]
        total = math.fsum(weights)
        products = [weight * float(value) for weight, value in zip(weights, values, strict=True)]
        if total == 0 or not all(map(math.isfinite, products)):
            return None
        weighted = to_float(sum(map(Fraction, products), Fraction(0)))
        return None if math.isinf(weighted) else weighted / total

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same by the kernels."""
        half_life = parse_duration(self.half_life)
        if values is None or max(half_life, t - int(events[0])) >= 2**53:
            return NotImplemented
        from skewless.aggregations.kernels import decayed_mean

        mean = decayed_mean(events, values, t, half_life=half_life)
        return None if math.isnan(mean) else mean

    def sweeps(self, column: DType | None) -> bool:
        """Of all numbers but decimals."""
        return column is not None and is_number(column)

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments; each weighs every row anew."""
        import numpy as np

        found = np.full(len(rows.queries.time), math.nan)
        for part in rows.runs():
            windows = part.low, part.high, rows.queries.time[part.queries]
            events, values = rows.event[part.rows], rows.values[part.rows]
            found[part.queries] = self._means(events, values, windows)
        return rows.array(found, np.isnan(found))

    def _means(
        self, events: Ints, values: Numbers, windows: tuple[Ints, Ints, Ints]
    ) -> npt.NDArray[np.float64]:
        """Return the mean of each window ``(low, high, t)`` of rows, NaN where there is none."""
        import numpy as np

        from skewless.aggregations.kernels import decayed_means

        half_life, (low, high, t) = parse_duration(self.half_life), windows
        # Of greater numbers the kernels' doubles would be others than Python's quotients.
        far = np.maximum(t - events[low], half_life) >= 2**53
        near, found = (low[~far], high[~far], t[~far]), np.full(len(t), math.nan)
        whole = values.astype(np.float64, copy=False)
        found[~far] = decayed_means(events, whole, near, half_life=half_life)
        for place in np.flatnonzero(far).tolist():
            part = slice(low[place], high[place])
            own = values[part].tolist(), events[part].tolist()
            found[place] = self.compute(*own, int(t[place]), None)  # None is NaN
        return found
