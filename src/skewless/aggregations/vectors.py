"""Sums and means of vectors, element by element.

>>> VectorMean().compute([[0.5, 1.0], [1.5, 4.0]], [0, 1], 2, None)
[1.0, 2.5]

Each element is the exact sum, or mean, of the rows' elements, rounded to a double and then to the
float32 that elements of vectors are. Where one is infinite there, the vector is null.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from skewless.aggregations.base import Aggregation
from skewless.aggregations.moments import has_infinity, to_float
from skewless.aggregations.windows import Window
from skewless.types import DType, Vector

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.aggregations.base import Ints, Numbers
    from skewless.aggregations.sweep import ColumnSweep

    Floats = npt.NDArray[np.float64]

_PLACES = {"sum": 1, "mean": 2}


class _Elements(Aggregation):
    """An aggregation of vectors that is one of numbers for each element."""

    of_elements: ClassVar[Literal["sum", "mean"]]

    def result_type(self, column: DType | None) -> DType:
        """A vector of the same length."""
        column = self._need(column, frozenset({"vector"}), "a column of vectors")
        return Vector(column.size)

    @abstractmethod
    def of(self, total: Fraction, n: int) -> float:
        """Return the double of an element, from its exact sum."""

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> list[float] | None:
        """Return the rounded exact numbers of the elements."""
        import numpy as np

        if any(map(has_infinity, values)):
            return None
        elements = zip(*values, strict=True)
        exact = [sum(map(Fraction, element), Fraction(0)) for element in elements]
        return _vector(np.array([self.of(total, len(values)) for total in exact]))

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same by the kernels, from a row of elements each."""
        import numpy as np

        from skewless.aggregations.kernels import Want, window_summary

        if values is None:
            return NotImplemented
        want, place = int(Want[self.of_elements.upper()]), _PLACES[self.of_elements]
        elements = np.ascontiguousarray(values.T, np.float64)
        if not np.isfinite(elements).all():
            return None
        found = [window_summary(each, None, 0, len(each), want)[place] for each in elements]
        return _vector(np.array(found))

    def sweeps(self, column: DType | None) -> bool:
        """Of every vector."""
        return True

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments, by a sweep for each element."""
        import numpy as np
        import pyarrow as pa

        from skewless.aggregations.kernels import Want, sweep_counts, sweep_sums

        elements = elements_of(rows.column)
        valid = rows.valid
        found = [
            sweep_sums(rows.spans, rows.queries, each, valid, Want[self.of_elements.upper()])[
                self.of_elements
            ]
            for each in elements
        ]
        with np.errstate(over="ignore"):
            vectors = np.stack(found, axis=1).astype(np.float32)
        none = sweep_counts(rows.spans, rows.queries, valid) == 0
        none |= ~np.isfinite(vectors).all(axis=1)
        flat = pa.array(np.where(none[:, None], np.float32(0), vectors).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, len(elements), mask=pa.array(none))


@dataclass(frozen=True)
class VectorSum(_Elements):
    """The sums of the elements of vectors."""

    name: ClassVar[str] = "vector_sum"
    of_elements: ClassVar[Literal["sum", "mean"]] = "sum"

    def of(self, total: Fraction, n: int) -> float:
        """Return the sum."""
        return to_float(total)


@dataclass(frozen=True)
class VectorMean(_Elements):
    """The means of the elements of vectors."""

    name: ClassVar[str] = "vector_mean"
    of_elements: ClassVar[Literal["sum", "mean"]] = "mean"

    def of(self, total: Fraction, n: int) -> float:
        """Return the mean."""
        return to_float(total / n)


def _vector(numbers: Floats) -> list[float] | None:
    """Return doubles as the elements of a vector; None where one is beyond float32."""
    import numpy as np

    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    return narrow.tolist() if np.isfinite(narrow).all() else None


def elements_of(column: pa.FixedSizeListArray) -> Floats:
    """Return a row for each element, of doubles; nulls are 0."""
    import numpy as np

    size = column.type.list_size
    flat = column.values.slice(column.offset * size, len(column) * size)
    values = np.nan_to_num(
        flat.to_numpy(zero_copy_only=False).astype(np.float64), posinf=np.inf, neginf=-np.inf
    )
    return np.ascontiguousarray(values.reshape(-1, size).T)
