"""Approximate aggregations, with a stated error, that depend on the set of rows alone.

Both are of the kind that can be merged: the state of two sets of rows together gives the state of
their union, and no order, batch or merge can change it. So the values are the same everywhere, to
the last bit, as those of the exact aggregations are; only their distance from the truth is not 0.

>>> ApproxQuantile(q=0.5).compute([10.0, 20.0, 30.0], [0, 1, 2], 3, None)
20.125
>>> bucket_of(20.0, 6) == bucket_of(20.2, 6), middle_of(bucket_of(20.0, 6), 6)
(True, 20.125)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal as PyDecimal
from functools import cache
from importlib.util import find_spec
from typing import Any, ClassVar

from skewless.aggregations.base import Aggregation
from skewless.aggregations.counting import NUnique
from skewless.aggregations.windows import Window
from skewless.clock import to_micros
from skewless.errors import DefinitionError, MissingDependency
from skewless.types import NUMERIC, DType, Float64

_LIBRARY = ("datasketches", "sketches")
BEYOND = 1100
"""Every finite double is below ``2**BEYOND`` in size; all but 0 are above ``2**-BEYOND``."""


@dataclass(frozen=True)
class ApproxUnique(NUnique):
    """The number of distinct values, about: exact up to ``2**precision`` of them.

    Beyond that a theta sketch (Dasgupta, Lang, Rhodes and Thaler 2016, of Apache DataSketches)
    estimates it from the ``2**precision`` smallest hashes. The standard error is
    ``1 / sqrt(2**precision - 1)``: 1.6 % with a precision of 12, 0.8 % with 14. The sketch is
    trimmed before it is asked, as an untrimmed one depends on the order of its values.
    """

    precision: int = 12
    name: ClassVar[str] = "approx_unique"

    def __post_init__(self) -> None:
        given: object = self.precision
        if not isinstance(given, int) or isinstance(given, bool) or not 5 <= given <= 20:
            raise DefinitionError(
                "a precision of approx_unique", got=repr(given), expected="5 to 20"
            )

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> int:
        """Return the size of the set, or its estimate."""
        new_sketch = _theta()
        distinct = set(values)
        if len(distinct) <= 1 << self.precision:
            return len(distinct)
        sketch = new_sketch(self.precision)
        for value in distinct:
            sketch.update(_hashed_form(value))
        sketch.trim()
        return round(float(sketch.get_estimate()))


def need_sketches() -> None:
    """Raise `MissingDependency` unless the library of sketches is installed."""
    if find_spec(_LIBRARY[0]) is None:
        raise MissingDependency.of(*_LIBRARY, needed_for="approx_unique")


@cache
def _theta() -> Any:
    try:
        from datasketches import update_theta_sketch
    except ImportError:
        raise MissingDependency.of(*_LIBRARY, needed_for="approx_unique") from None
    return update_theta_sketch


def _hashed_form(value: Any) -> int | float | str:
    """Return what stands for a value in a sketch: different for different values."""
    if isinstance(value, float):
        return value + 0.0  # -0.0 and 0.0 are one value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, datetime):
        return to_micros(value)
    if isinstance(value, date):
        return value.toordinal()
    if isinstance(value, PyDecimal):
        return str(value) if value else "0"
    # The library passes over a text without characters.
    return "=" + (value.decode("latin-1") if isinstance(value, bytes) else value)


@dataclass(frozen=True)
class ApproxQuantile(Aggregation):
    """The ``q`` quantile within a relative error of ``accuracy``.

    The value is at most ``accuracy`` times its size away from that of the row which, of ``n`` rows
    in ascending order, comes after ``floor(q * (n - 1))`` others. The idea is that of DDSketch
    (Masson, Rim and Lee 2019): rows are counted in buckets that grow with the size of the value, so
    counts are the whole state. The buckets here are a part of the floats' own digits: each power of
    two is cut into ``2**bits`` equal ones. No logarithm is taken, whose last digit differs between
    machines.
    The bound holds for values of at least 2.3e-308 in size, and for 0.
    """

    q: float = 0.5
    accuracy: float = 0.01
    name: ClassVar[str] = "approx_quantile"

    def __post_init__(self) -> None:
        if not 0 <= self.q <= 1:
            raise DefinitionError("a quantile lies between 0 and 1", got=self.q)
        if not 1e-6 <= self.accuracy <= 0.5:
            raise DefinitionError(
                "an accuracy of approx_quantile", got=self.accuracy, expected="1e-6 to 0.5"
            )

    @property
    def bits(self) -> int:
        """How often each power of two is halved: half a bucket is then within the accuracy."""
        return next(bits for bits in range(32) if 2.0 ** -(bits + 1) <= self.accuracy)

    def result_type(self, column: DType | None) -> DType:
        """Floating point."""
        self._need(column, NUMERIC, "a numeric column")
        return Float64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> float:
        """Return the middle of the bucket that holds the row."""
        bits = self.bits
        return quantile_of(Counter(bucket_of(float(v), bits) for v in values), self.q, bits)


def quantile_of(counts: Mapping[int, int], q: float, bits: int) -> float:
    """Return the quantile of at least one row, counted by bucket; counts of parts may be added."""
    left = math.floor(q * (sum(counts.values()) - 1))
    for bucket in sorted(counts):
        left -= counts[bucket]
        if left < 0:
            break
    return middle_of(bucket, bits)


def bucket_of(value: float, bits: int) -> int:
    """Return the bucket of a value; buckets have the order of their values, 0 is that of 0."""
    if value == 0:
        return 0
    part, power = math.frexp(abs(value))
    if math.isinf(value):
        part, power = 0.5, BEYOND
    bucket = (power + BEYOND << bits) + int((2 * part - 1) * (1 << bits)) + 1
    return bucket if value > 0 else -bucket


def middle_of(bucket: int, bits: int) -> float:
    """Return the middle of a bucket: exact, but for values below the least normal float."""
    if bucket == 0:
        return 0.0
    power, part = divmod(abs(bucket) - 1, 1 << bits)
    if power == 2 * BEYOND:
        middle = math.inf
    else:
        middle = math.ldexp(1.0 + (part + 0.5) / (1 << bits), power - BEYOND - 1)
    return middle if bucket > 0 else -middle
