"""Count, rate, distinct values and their number, most frequent values, histogram.

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
from typing import TYPE_CHECKING, Any, ClassVar

from skewless.aggregations.base import PLAIN, Aggregation, Deciding, Number, is_number
from skewless.aggregations.windows import Window
from skewless.clock import SECOND
from skewless.errors import DefinitionError
from skewless.types import NUMERIC, DType, Float64, Int64, List

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.aggregations.base import Ints, Numbers
    from skewless.aggregations.sweep import ColumnSweep


@dataclass(frozen=True)
class Count(Aggregation):
    """The number of rows, or of values that are not null when asked of a column."""

    name: ClassVar[str] = "count"
    takes_rows: ClassVar[bool] = True
    empty: ClassVar[Any] = 0
    number: ClassVar[Number | None] = "count"

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
    number: ClassVar[Number | None] = "count"

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
        return float(self.finish(len(values), window))

    def finish(self, number: Any, window: Window | None) -> Any:
        """Return a count, or an array of them, over the seconds of the window."""
        length = None if window is None else window.length
        return number / ((length or SECOND) / SECOND)


@dataclass(frozen=True)
class NUnique(Deciding):
    """The number of distinct values, exactly."""

    name: ClassVar[str] = "n_unique"
    of_set: ClassVar[bool] = True
    empty: ClassVar[Any] = 0

    def result_type(self, column: DType | None) -> DType:
        """Whole numbers."""
        self._need(column, PLAIN, "a column of plain values")
        return Int64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> int:
        """Return the size of the set."""
        return len(set(values))

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Count the steps of the sorted numbers."""
        if values is None:
            return NotImplemented
        ordered = values.copy()
        ordered.sort()
        return int((ordered[1:] != ordered[:-1]).sum()) + 1

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Count how many codes of values are there."""
        return rows.array(rows.unique())

    @classmethod
    def decide(cls, rank: Ints, run: Ints) -> Ints:
        """Return a row of each value."""
        import numpy as np

        order = np.lexsort((rank, run))
        new = (np.diff(run[order]) != 0) | (np.diff(rank[order]) != 0)
        return order[np.r_[True, new]]


@dataclass(frozen=True)
class Distinct(NUnique):
    """The distinct values, in ascending order."""

    name: ClassVar[str] = "distinct"
    empty: ClassVar[Any] = ()

    def result_type(self, column: DType | None) -> DType:
        """A list of the column's values."""
        return List(self._need(column, PLAIN, "a column of plain values"))

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the set, sorted."""
        return [_one_zero(value) for value in sorted(set(values))]

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same of an array."""
        import numpy as np

        # + 0: -0.0 and 0.0 are one value
        return NotImplemented if values is None else np.unique(values + 0).tolist()

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the lists of all moments."""
        return rows.distinct()


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
        return List(self._need(column, PLAIN, "a column of plain values"))

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> list[Any]:
        """Return the values by descending count, then ascending value."""
        return most_frequent(values, self.k)

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return what `frequent_numbers` gives."""
        return NotImplemented if values is None else frequent_numbers(values, self.k)

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the lists of all moments."""
        return rows.frequent(self.k)


@dataclass(frozen=True)
class Mode(Aggregation):
    """The most frequent value; the smallest among equals."""

    name: ClassVar[str] = "mode"

    def result_type(self, column: DType | None) -> DType:
        """The column's type."""
        return self._need(column, PLAIN, "a column of plain values")

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the first of `most_frequent`."""
        return most_frequent(values, 1)[0]

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return what `frequent_numbers` gives."""
        return NotImplemented if values is None else frequent_numbers(values, 1)[0]

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the first of the most frequent values; null where there is none."""
        import pyarrow.compute as pc

        lists = rows.frequent(1)
        some = pc.if_else(pc.equal(pc.list_value_length(lists), 0), None, lists)
        return rows.column.slice(0, 0) if not len(lists) else pc.list_element(some, 0)


def most_frequent(values: Sequence[Any], k: int) -> list[Any]:
    """Return the ``k`` most frequent values by descending count, then ascending value."""
    ranked = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return [_one_zero(value) for value, _ in ranked[:k]]


def _one_zero(value: Any) -> Any:
    """Return the value; of the two zeros, which are one value, the positive."""
    return 0.0 if value == 0 and isinstance(value, float) else value


def frequent_numbers(values: Numbers, k: int) -> list[Any]:
    """Return what `most_frequent` gives, of an array."""
    import numpy as np

    distinct, counts = np.unique(values + 0, return_counts=True)  # + 0: -0.0 and 0.0 are one value
    return distinct[np.lexsort((distinct, -counts))[:k]].tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Histogram(Aggregation):
    """Counts per bucket: below the first edge, between neighbours ``[a, b)``, from the last on."""

    edges: tuple[float, ...] = ()
    name: ClassVar[str] = "histogram"

    def __post_init__(self) -> None:
        if not self.edges or list(self.edges) != sorted(set(self.edges)):
            raise DefinitionError("histogram needs ascending edges", got=list(self.edges))

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """A few edges."""
        return (cls(edges=(-1.0, 0.0, 2.5)),)

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

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Count the places among the edges; whole numbers that no float holds are left out."""
        import numpy as np

        if values is None or (values.dtype.kind == "i" and int(abs(values).max()) > 2**53):
            return NotImplemented
        places = np.searchsorted(np.array(self.edges, np.float64), values, "right")
        return np.bincount(places, minlength=len(self.edges) + 1).tolist()

    def sweeps(self, column: DType | None) -> bool:
        """Of all numbers but decimals."""
        return column is not None and is_number(column)

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Find the bucket of each row once, and count them at all moments."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        values, size = rows.values, len(self.edges) + 1
        if values.dtype.kind == "i" and len(values) and int(abs(values).max()) > 2**53:
            codes = np.array([bisect_right(self.edges, value) for value in values.tolist()])
        else:
            codes = np.searchsorted(np.array(self.edges, np.float64), values, "right")
        counts, all_rows = rows.tallies(codes, size)
        # Offsets: a null where there is no row, else as many counts as there are buckets.
        some = all_rows > 0
        offsets = pa.array(np.r_[0, np.cumsum(some * size)].astype(np.int32))
        flat = pa.array(counts[some].reshape(-1))
        lists = pa.ListArray.from_arrays(offsets, flat)
        return pc.if_else(pa.array(some), lists, pa.scalar(None, lists.type))
