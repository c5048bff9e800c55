"""Count, rate, distinct values, most frequent values, histogram.

>>> Count().compute(["a", "b"], [0, 1], 2, None)
2
>>> TopK(k=2).compute(["b", "a", "b", "c"], [0, 1, 2, 3], 4, None)
['b', 'a']
>>> Histogram(edges=(0.0, 10.0)).compute([-1.0, 0.0, 3.0, 10.0], [0, 1, 2, 3], 4, None)
[1, 2, 1]
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from skewless.aggregations.base import Aggregation
from skewless.aggregations.windows import Window
from skewless.clock import SECOND
from skewless.errors import DefinitionError
from skewless.types import NUMERIC, DType, Float64, Int64, List

_HASHABLE = NUMERIC | {"bool", "str", "bytes", "timestamp", "date", "json"}


@dataclass(frozen=True)
class Count(Aggregation):
    """The number of rows, or of values that are not null when asked of a column."""

    name: ClassVar[str] = "count"
    takes_rows: ClassVar[bool] = True
    empty: ClassVar[Any] = 0

    def result_type(self, column: DType | None) -> DType:
        """Whole numbers."""
        return Int64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> int:
        """Return how many there are."""
        return len(values)


@dataclass(frozen=True)
class Rate(Aggregation):
    """Rows per second of the window."""

    name: ClassVar[str] = "rate"
    takes_rows: ClassVar[bool] = True
    empty: ClassVar[Any] = 0.0

    def result_type(self, column: DType | None) -> DType:
        """Rows per second."""
        return Float64

    def check_window(self, window: Window) -> None:
        """Only windows with a length in time have a rate."""
        super().check_window(window)
        if window.length is None:
            raise DefinitionError(
                "rate needs a window with a length in time", got=repr(window), expected="'1h'"
            )

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float:
        """Return count over length."""
        return float(rate(len(values), window))


def rate(count: Any, window: Window | None) -> Any:
    """Return ``count`` rows (a number, or an array of them) as rows per second of the window."""
    length = None if window is None else window.length
    return count / ((length or SECOND) / SECOND)


@dataclass(frozen=True)
class NUnique(Aggregation):
    """The number of distinct values, exactly."""

    name: ClassVar[str] = "n_unique"
    empty: ClassVar[Any] = 0

    def result_type(self, column: DType | None) -> DType:
        """Whole numbers."""
        self._need(column, _HASHABLE, "a column of plain values")
        return Int64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> int:
        """Return the size of the set."""
        return len(set(values))


@dataclass(frozen=True)
class TopK(Aggregation):
    """The ``k`` most frequent values, most frequent first, the smaller first among equals."""

    k: int = 10
    name: ClassVar[str] = "top_k"
    empty: ClassVar[Any] = ()

    def __post_init__(self) -> None:
        if self.k < 1:
            raise DefinitionError("top_k needs k of at least 1", got=self.k)

    def result_type(self, column: DType | None) -> DType:
        """A list of the column's values."""
        return List(self._need(column, _HASHABLE, "a column of plain values"))

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> list[Any]:
        """Return the values by descending count, then ascending value."""
        return most_frequent(values, self.k)


@dataclass(frozen=True)
class Mode(Aggregation):
    """The most frequent value; the smallest among equals."""

    name: ClassVar[str] = "mode"

    def result_type(self, column: DType | None) -> DType:
        """The column's type."""
        return self._need(column, _HASHABLE, "a column of plain values")

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the first of `most_frequent`."""
        return most_frequent(values, 1)[0]


def most_frequent(values: Sequence[Any], k: int) -> list[Any]:
    """Return the ``k`` most frequent values by descending count, then ascending value."""
    ranked = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return [0.0 if value == 0 and isinstance(value, float) else value for value, _ in ranked[:k]]


@dataclass(frozen=True)
class Histogram(Aggregation):
    """Counts per bucket: below the first edge, between neighbours ``[a, b)``, from the last on."""

    edges: tuple[float, ...] = ()
    name: ClassVar[str] = "histogram"

    def __post_init__(self) -> None:
        if not self.edges or list(self.edges) != sorted(set(self.edges)):
            raise DefinitionError("histogram needs ascending edges", got=list(self.edges))

    def result_type(self, column: DType | None) -> DType:
        """A list of one count more than there are edges."""
        self._need(column, NUMERIC, "a numeric column")
        return List(Int64)

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> list[int]:
        """Return the counts, buckets in ascending order."""
        counts = [0] * (len(self.edges) + 1)
        for value in values:
            counts[bisect_right(self.edges, value)] += 1
        return counts
