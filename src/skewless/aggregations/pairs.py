"""Aggregations of two columns: covariance, correlation, and the slope of one over the other.

>>> rows = [[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]]
>>> Cov().compute(rows, [0, 1, 2], 3, None), Corr().compute(rows, [0, 1, 2], 3, None)
(1.3333333333333333, 1.0)
>>> Beta().compute(rows, [0, 1, 2], 3, None)
0.5

The value of a row is a pair of floats; where one of them is null, the row takes no part. Sums of
products are exact, as in `moments`, so the value depends on the set of rows alone. An infinity
gives null.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from skewless.aggregations.base import Aggregation
from skewless.aggregations.exact import rounded_ratio
from skewless.aggregations.spreads import Spreads, spreads_of
from skewless.aggregations.windows import Window
from skewless.errors import DefinitionError
from skewless.types import DType, Float64, List

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.aggregations.sweep import ColumnSweep

PAIR = List(Float64)


class _Pairs(Aggregation):
    """An aggregation of pairs of numbers, made of their exact spreads."""

    def result_type(self, column: DType | None) -> DType:
        """Floating point."""
        if column != PAIR:
            got = "whole rows" if column is None else f"a column of type {column!r}"
            raise DefinitionError(f"{self.name} needs a column and another one", got=got)
        return Float64

    def check_window(self, window: Window) -> None:
        """There must be two rows."""
        super().check_window(window)
        if window.most_rows == 1:
            raise DefinitionError(
                f"{self.name} compares rows", got=repr(window), expected="a window of two or more"
            )

    @abstractmethod
    def of(self, spreads: Spreads) -> float | None:
        """Return the value of at least one row."""

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return what is made of the sums of the rows."""
        spreads = spreads_of(values)
        return None if spreads is None else self.of(spreads)

    def sweeps(self, column: DType | None) -> bool:
        """Of pairs."""
        return True

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same of exact sums that the kernels keep of all moments."""
        import pyarrow as pa

        from skewless.aggregations.pair_sums import all_spreads

        found = [None if each is None else self.of(each) for each in all_spreads(rows)]
        return pa.array(found, pa.float64())


@dataclass(frozen=True)
class Cov(_Pairs):
    """The covariance; population (``ddof=0``) unless told otherwise. Null with too few rows."""

    ddof: int = 0
    name: ClassVar[str] = "cov"

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """Of a population and of a sample."""
        return cls(), cls(ddof=1)

    def __post_init__(self) -> None:
        if self.ddof not in (0, 1):
            raise DefinitionError(f"{self.name} takes ddof 0 or 1", got=self.ddof)

    def of(self, spreads: Spreads) -> float | None:
        """Return the exact covariance, rounded once."""
        rows = spreads.n - self.ddof
        if rows <= 0:
            return None
        exponent = spreads.first_exponent + spreads.second_exponent
        return rounded_ratio(spreads.both, spreads.n * rows, exponent)


@dataclass(frozen=True)
class Corr(_Pairs):
    """The correlation of Pearson, -1 to 1: the root of its exact square. Null without spread."""

    name: ClassVar[str] = "corr"

    def of(self, spreads: Spreads) -> float | None:
        """Return the root of the rounded square."""
        if spreads.first == 0 or spreads.second == 0:
            return None
        square = rounded_ratio(spreads.both**2, spreads.first * spreads.second)
        return math.sqrt(square) if spreads.both >= 0 else -math.sqrt(square)


@dataclass(frozen=True)
class Beta(_Pairs):
    """The slope of the least-squares line of the first over the second. Null without spread."""

    name: ClassVar[str] = "beta"

    def of(self, spreads: Spreads) -> float | None:
        """Return the exact slope, rounded once."""
        if spreads.second == 0:
            return None
        exponent = spreads.first_exponent - spreads.second_exponent
        return rounded_ratio(spreads.both, spreads.second, exponent)
