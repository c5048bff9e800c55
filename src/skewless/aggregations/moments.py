"""Sums and what follows from them: sum, mean, variance, deviation, skew, kurtosis, slope.

Everything here is exact: rational arithmetic on the binary fractions that floats are, rounded
once at the end. So the result depends on the set of rows alone, never on their order, on
batches, on merging or on the engine.

>>> Sum().compute([0.1] * 10, [0] * 10, 0, None)
1.0
>>> Std().compute([1e9 - 1.0, 1e9 + 1.0], [0, 1], 2, None)
1.0
>>> Slope().compute([0.0, 2.0, 4.0], [0, 1_000_000, 2_000_000], 3_000_000, None)
2.0

Infinities: a plus infinity without a minus infinity makes sum and mean plus infinity, likewise
minus; both together, and any infinity in the others, give null.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context
from decimal import Decimal as PyDecimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from skewless.aggregations.base import Aggregation, Number, is_number
from skewless.aggregations.windows import Window
from skewless.clock import SECOND
from skewless.errors import DefinitionError
from skewless.types import NUMERIC, Decimal, DType, Float64, Int64

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.aggregations.base import Ints, Numbers
    from skewless.aggregations.sweep import ColumnSweep

_DIGITS = Context(prec=38)


def to_float(value: Fraction) -> float:
    """Return the double nearest to a rational, ties to even; infinities beyond the range.

    Zero is +0.0, that of a negative number too small for a double as well.
    """
    try:
        return value.numerator / value.denominator + 0.0
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def infinite_sum(values: Sequence[Any]) -> float | None:
    """Return the sum of values of which at least one is infinite: an infinity, or None."""
    infinities = {value for value in values if isinstance(value, float) and math.isinf(value)}
    return infinities.pop() if len(infinities) == 1 else None


def has_infinity(values: Sequence[Any]) -> bool:
    """Return whether any value is infinite."""
    return any(isinstance(value, float) and math.isinf(value) for value in values)


def central_moment(values: Sequence[Any], power: int) -> Fraction:
    """Return the exact mean of ``(x - mean) ** power``."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction(0)) / len(exact)
    return sum(((x - mean) ** power for x in exact), Fraction(0)) / len(exact)


class _Numeric(Aggregation):
    """An aggregation of a numeric column to a float."""

    def result_type(self, column: DType | None) -> DType:
        """Floating point."""
        self._need(column, NUMERIC, "a numeric column")
        return Float64


@dataclass(frozen=True)
class Sum(_Numeric):
    """The exact sum, rounded once. Null where an integer or decimal sum leaves its type."""

    name: ClassVar[str] = "sum"
    empty: ClassVar[Any] = 0
    number: ClassVar[Number | None] = "sum"

    def result_type(self, column: DType | None) -> DType:
        """Whole numbers of whole numbers, decimals of decimals, else floating point."""
        column = self._need(column, NUMERIC, "a numeric column")
        if column.kind == "decimal":
            return Decimal(38, column.scale)
        return Int64 if column.is_integer else Float64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the rounded exact sum."""
        if isinstance(values[0], PyDecimal):
            total = sum((Fraction(value) for value in values), Fraction(0))
            scale = max(0, *(-int(value.as_tuple().exponent) for value in values))
            digits = int(total * 10**scale)
            # Scaling rounds to the context's precision, by default 28 digits.
            return PyDecimal(digits).scaleb(-scale, _DIGITS) if abs(digits) < 10**38 else None
        if isinstance(values[0], int):
            return self.finish(sum(values), window)
        if has_infinity(values):
            return infinite_sum(values)
        return to_float(sum((Fraction(value) for value in values), Fraction(0)))

    def finish(self, number: Any, window: Window | None) -> Any:
        """Return the sum, of whole numbers where it fits in 64 bits."""
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            return None
        return number


@dataclass(frozen=True)
class Mean(_Numeric):
    """The exact mean, rounded once."""

    name: ClassVar[str] = "mean"
    number: ClassVar[Number | None] = "mean"

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return the rounded exact mean."""
        if has_infinity(values):
            return infinite_sum(values)
        return to_float(sum((Fraction(value) for value in values), Fraction(0)) / len(values))


@dataclass(frozen=True)
class Var(_Numeric):
    """The variance; population (``ddof=0``) unless told otherwise. Null with too few rows."""

    ddof: int = 0
    name: ClassVar[str] = "var"

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """Of a population and of a sample."""
        return cls(), cls(ddof=1)

    @property
    def number(self) -> Number:  # type: ignore[override]
        """That of the population, or that of the sample."""
        return "var_sample" if self.ddof else "var"

    def __post_init__(self) -> None:
        if self.ddof not in (0, 1):
            raise DefinitionError(f"{self.name} takes ddof 0 or 1", got=self.ddof)

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return the rounded exact variance."""
        n = len(values)
        if n <= self.ddof or has_infinity(values):
            return None
        return to_float(central_moment(values, 2) * n / (n - self.ddof))


@dataclass(frozen=True)
class Std(Var):
    """The standard deviation: the square root of the rounded variance."""

    name: ClassVar[str] = "std"

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return the root of `Var`."""
        variance = super().compute(values, events, t, window)
        return None if variance is None else math.sqrt(variance)

    def finish(self, number: Any, window: Window | None) -> Any:
        """Return the root of a variance, or of an array of them."""
        if isinstance(number, float):
            return math.sqrt(number)
        import numpy as np

        return np.sqrt(number)


class _Moments(_Numeric):
    """An aggregation that the kernels' exact moments give."""

    def sweeps(self, column: DType | None) -> bool:
        """Of all numbers but decimals."""
        return column is not None and is_number(column)


@dataclass(frozen=True)
class Skew(_Moments):
    """Skewness, population: third central moment over the 3/2 power of the variance."""

    name: ClassVar[str] = "skew"

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return m3 / m2 ** 1.5, each exact and rounded; null without spread."""
        if has_infinity(values) or (m2 := to_float(central_moment(values, 2))) == 0:
            return None
        return _ratio(to_float(central_moment(values, 3)), m2 * math.sqrt(m2))

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same from the kernels' moments."""
        if values is None:
            return NotImplemented
        from skewless.aggregations.kernels import window_moments

        m2, m3, _ = window_moments(values)
        return None if math.isnan(m2) or m2 == 0 else _ratio(m3, m2 * math.sqrt(m2))

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments."""
        import numpy as np

        m2, m3 = rows.moments("second", "third")
        with np.errstate(over="ignore", under="ignore"):
            return rows.array(*_ratios(m3, m2 * np.sqrt(m2)))


@dataclass(frozen=True)
class Kurtosis(_Moments):
    """Excess kurtosis, population: fourth central moment over the squared variance, minus 3."""

    name: ClassVar[str] = "kurtosis"

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return m4 / m2 ** 2 - 3, each exact and rounded; null without spread."""
        if has_infinity(values) or (m2 := to_float(central_moment(values, 2))) == 0:
            return None
        ratio = _ratio(to_float(central_moment(values, 4)), m2 * m2)
        return None if ratio is None else ratio - 3.0

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same from the kernels' moments."""
        if values is None:
            return NotImplemented
        from skewless.aggregations.kernels import window_moments

        m2, _, m4 = window_moments(values)
        ratio = None if math.isnan(m2) else _ratio(m4, m2 * m2)
        return None if ratio is None else ratio - 3.0

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments."""
        import numpy as np

        m2, m4 = rows.moments("second", "fourth")
        with np.errstate(over="ignore", under="ignore"):
            ratio, null = _ratios(m4, m2 * m2)
        return rows.array(ratio - 3.0, null)


@dataclass(frozen=True)
class Slope(_Moments):
    """The slope of the least-squares line of the values over event time, per second."""

    name: ClassVar[str] = "slope"

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float | None:
        """Return the rounded exact slope; null when all rows have one event time."""
        if has_infinity(values):
            return None
        n = len(values)
        xs = [Fraction(event, SECOND) for event in events]
        ys = [Fraction(value) for value in values]
        spread = n * sum(x * x for x in xs) - sum(xs) ** 2
        if spread == 0:
            return None
        product = n * sum((x * y for x, y in zip(xs, ys, strict=True)), Fraction(0))
        return to_float((product - sum(xs) * sum(ys)) / spread)

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same from the kernels' sums."""
        if values is None:
            return NotImplemented
        from skewless.aggregations.kernels import window_slope

        found = window_slope(values, events)
        return None if math.isnan(found) else found

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments."""
        import numpy as np

        (found,) = rows.moments("slope")
        return rows.array(found, np.isnan(found))


def _ratio(above: float, below: float) -> float | None:
    """Return the quotient, or None where it has no finite value."""
    if below == 0 or math.isinf(below) or math.isinf(above):
        return None
    return above / below


def _ratios(above: Any, below: Any) -> tuple[Any, Any]:
    """Return what `_ratio` does of arrays, and where it is null."""
    import numpy as np

    null = ~np.isfinite(above) | ~np.isfinite(below) | (below == 0)
    with np.errstate(all="ignore"):
        return above / below, null
