"""Aggregations that follow the order of values: min, max, quantile, median.

>>> Quantile(q=0.25).compute([4.0, 1.0, 2.0, 3.0], [0, 1, 2, 3], 4, None)
1.75
>>> Max().compute(["pear", "apple"], [0, 1], 2, None)
'pear'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from skewless.aggregations.base import Aggregation, Deciding, Number, is_number
from skewless.aggregations.windows import Window
from skewless.errors import DefinitionError
from skewless.types import NUMERIC, DType, Float64

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.aggregations.base import Ints, Numbers
    from skewless.aggregations.sweep import ColumnSweep

_ORDERED = NUMERIC | {"bool", "str", "bytes", "timestamp", "date"}


def total_order(value: Any) -> Any:
    """Return the sort key of a value: as Python orders it, but with -0.0 below 0.0."""
    return (value, math.copysign(1.0, value)) if isinstance(value, float) else value


@dataclass(frozen=True)
class Min(Deciding):
    """The smallest value."""

    name: ClassVar[str] = "min"
    of_set: ClassVar[bool] = True
    number: ClassVar[Number | None] = "min"

    def result_type(self, column: DType | None) -> DType:
        """The column's type."""
        return self._need(column, _ORDERED, "a column whose values have an order")

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the least."""
        return min(values, key=total_order)

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return numbers of floats; of other values, those of the row of the least rank."""
        return super().sweep(rows) if rows.is_float else rows.taken(rows.least())

    @classmethod
    def decide(cls, rank: Ints, run: Ints) -> Ints:
        """Return the row of the least value of each run."""
        import numpy as np

        order = np.lexsort((rank, run))
        return order[np.r_[True, np.diff(run[order]) != 0]]


@dataclass(frozen=True)
class Max(Min):
    """The greatest value."""

    name: ClassVar[str] = "max"
    number: ClassVar[Number | None] = "max"

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the greatest."""
        return max(values, key=total_order)

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return numbers of floats; of other values, those of the row of the greatest rank."""
        return super().sweep(rows) if rows.is_float else rows.taken(rows.greatest())

    @classmethod
    def decide(cls, rank: Ints, run: Ints) -> Ints:
        """Return the row of the greatest value of each run."""
        import numpy as np

        order = np.lexsort((rank, run))
        return order[np.r_[np.diff(run[order]) != 0, True]]


@dataclass(frozen=True)
class Quantile(Aggregation):
    """The ``q`` quantile, linear between neighbours (Hyndman and Fan 1996, type 7), exact rows."""

    q: float = 0.5
    name: ClassVar[str] = "quantile"

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """In the middle, between rows, at the end."""
        return cls(), cls(q=0.3), cls(q=1.0)

    def __post_init__(self) -> None:
        if not 0 <= self.q <= 1:
            raise DefinitionError("a quantile lies between 0 and 1", got=self.q)

    def result_type(self, column: DType | None) -> DType:
        """Floating point."""
        self._need(column, NUMERIC, "a numeric column")
        return Float64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return the interpolated value."""
        ranked = sorted(map(float, values), key=total_order)
        position = self.q * (len(ranked) - 1)
        below = ranked[math.floor(position)]
        above = ranked[math.ceil(position)]
        return self._between(below, above, position - math.floor(position))

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same from an array, of which only two places are sorted."""
        if values is None:
            return NotImplemented
        import numpy as np

        from skewless.aggregations.columns import order_of

        ranks = order_of(values.astype(np.float64))
        position = self.q * (len(ranks) - 1)
        low, high = math.floor(position), math.ceil(position)
        ranks.partition([low, high])
        found = ranks[[low, high]]
        pair = np.where(found < 0, found ^ np.int64(2**63 - 1), found).view(np.float64)
        below, above = pair.tolist()
        return self._between(below, above, position - low)

    def sweeps(self, column: DType | None) -> bool:
        """Of all numbers but decimals."""
        return column is not None and is_number(column)

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments, from the rows around the place."""
        import numpy as np

        from skewless.aggregations.columns import order_of

        values = rows.values.astype(np.float64)
        low, high, counts = rows.around(order_of(values), self.q)
        if not len(values):
            return rows.array(np.zeros(len(counts)), counts == 0)
        below, above = values[low], values[high]
        position = self.q * (counts - 1)
        part = position - np.floor(position)
        with np.errstate(all="ignore"):
            apart = above - below
            wide = np.isinf(apart) & ~np.isinf(above) & ~np.isinf(below)
            between = np.where(wide, below * (1 - part) + above * part, below + apart * part)
        found = np.where(below == above, below, between)
        return rows.array(found, (counts == 0) | np.isnan(found))

    @staticmethod
    def _between(below: float, above: float, part: float) -> float | None:
        if below == above:
            return below
        if math.isinf(above - below) and not math.isinf(above) and not math.isinf(below):
            return below * (1 - part) + above * part
        result = below + (above - below) * part
        return None if math.isnan(result) else result


@dataclass(frozen=True)
class Median(Quantile):
    """The middle value: the 0.5 quantile."""

    name: ClassVar[str] = "median"

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """The middle."""
        return (cls(),)
