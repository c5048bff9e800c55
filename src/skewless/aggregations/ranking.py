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
from typing import Any, ClassVar

from skewless.aggregations.base import Aggregation
from skewless.aggregations.windows import Window
from skewless.errors import DefinitionError
from skewless.types import NUMERIC, DType, Float64

_ORDERED = NUMERIC | {"bool", "str", "bytes", "timestamp", "date"}


def total_order(value: Any) -> Any:
    """Return the sort key of a value: as Python orders it, but with -0.0 below 0.0."""
    return (value, math.copysign(1.0, value)) if isinstance(value, float) else value


@dataclass(frozen=True)
class Min(Aggregation):
    """The smallest value."""

    name: ClassVar[str] = "min"

    def result_type(self, column: DType | None) -> DType:
        """The column's type."""
        return self._need(column, _ORDERED, "a column whose values have an order")

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the least."""
        return min(values, key=total_order)


@dataclass(frozen=True)
class Max(Min):
    """The greatest value."""

    name: ClassVar[str] = "max"

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the greatest."""
        return max(values, key=total_order)


@dataclass(frozen=True)
class Quantile(Aggregation):
    """The ``q`` quantile, linear between neighbours (Hyndman and Fan 1996, type 7), exact rows."""

    q: float = 0.5
    name: ClassVar[str] = "quantile"

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
        if below == above:
            return below
        part = position - math.floor(position)
        if math.isinf(above - below) and not math.isinf(above) and not math.isinf(below):
            return below * (1 - part) + above * part
        result = below + (above - below) * part
        return None if math.isnan(result) else result


@dataclass(frozen=True)
class Median(Quantile):
    """The middle value: the 0.5 quantile."""

    name: ClassVar[str] = "median"
