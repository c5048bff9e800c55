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
from typing import TYPE_CHECKING, Any, ClassVar

from skewless.aggregations.base import Aggregation
from skewless.aggregations.counting import NUnique
from skewless.aggregations.windows import Window
from skewless.clock import to_micros
from skewless.errors import DefinitionError, MissingDependency
from skewless.types import NUMERIC, DType, Float64

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.aggregations.base import Ints, Numbers
    from skewless.aggregations.sweep import ColumnSweep

_LIBRARY = ("datasketches", "sketches")
_HASHES, _SEED = 2.0**63, 9001
"""How many hashes there are, and the seed of them, in the library."""
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

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """The least precise, which estimates soonest."""
        return (cls(precision=5),)

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

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Count, and estimate where there are many."""
        found = super().summary(values, events, t, window)
        if values is None or found <= 1 << self.precision:
            return found
        import numpy as np
        import pyarrow as pa

        hashed = hashes_of(pa.array(values))
        hashed.sort()
        distinct = hashed[np.r_[True, hashed[1:] != hashed[:-1]]]
        return len(distinct) if len(distinct) <= 1 << self.precision else self._of(distinct)

    def _of(self, distinct: Ints) -> int:
        """Return the estimate from the ascending hashes of more values than are kept."""
        kept = 1 << self.precision
        return round(kept / (int(distinct[kept]) / _HASHES))

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Count, and estimate where there are many: the greatest hash that is kept says it."""
        import numpy as np

        counts, kept = np.array(rows.unique()), 1 << self.precision
        many = counts > kept
        if not many.any():
            return rows.array(counts)
        hashed = hashes_of(rows.column)
        greatest, distinct = rows.ranked_distinct(hashed, kept)
        with np.errstate(divide="ignore"):
            estimates = np.rint(kept / (hashed[greatest] / _HASHES))
        estimates = np.where(greatest < 0, distinct, estimates).astype(np.int64)
        return rows.array(np.where(many, estimates, counts))


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
    # The library skips a text without characters.
    return "=" + (value.decode("latin-1") if isinstance(value, bytes) else value)


def _bytes_of(form: int | float | str) -> bytes:
    """Return the bytes that the library hashes of such a form that is no float."""
    return form.encode() if isinstance(form, str) else int(form).to_bytes(8, "little", signed=True)


def hashes_of(column: pa.Array) -> Ints:
    """Return the hash of each value, as a sketch takes it; of nulls, any.

    >>> import pyarrow as pa
    >>> hashes_of(pa.array([7])).tolist()
    [8990173978249917664]
    """
    import numpy as np
    import pyarrow.compute as pc

    from skewless.aggregations.columns import as_numbers, is_number
    from skewless.aggregations.kernels import hashes
    from skewless.types import python_values

    if is_number(column.type):
        numbers = np.ascontiguousarray(as_numbers(column) + 0)  # + 0: -0.0 and 0.0 are one value
        return hashes(np.arange(len(numbers) + 1) * 8, numbers.view(np.uint8), seed=_SEED)
    encoded = column.dictionary_encode()
    forms = [_hashed_form(value) for value in python_values(encoded.dictionary)]
    held = [_bytes_of(form) for form in forms] or [b""]
    of_each = hashes(
        np.cumsum([0, *map(len, held)]), np.frombuffer(b"".join(held), np.uint8), seed=_SEED
    )
    codes: Ints = np.asarray(pc.fill_null(encoded.indices, 0))
    return of_each.take(codes)


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

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """The middle, and below it."""
        return cls(), cls(q=0.3, accuracy=0.2)

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

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same from an array of buckets."""
        if values is None:
            return NotImplemented
        import numpy as np

        buckets, rank = buckets_of(values.astype(np.float64), self.bits), self._rank(len(values))
        buckets.partition(rank)
        return middle_of(int(buckets[rank]), self.bits)

    def _rank(self, count: int) -> int:
        return math.floor(self.q * (count - 1))

    def sweeps(self, column: DType | None) -> bool:
        """Of all numbers but decimals."""
        return column is not None and column.kind != "decimal"

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the middle of the bucket at the rank of each moment."""
        import numpy as np

        buckets = buckets_of(rows.values.astype(np.float64), self.bits)
        below, _, counts = rows.around(buckets, self.q)
        if not len(buckets):
            return rows.array(np.zeros(len(counts)), counts == 0)
        return rows.array(middles_of(buckets[below], self.bits), counts == 0)


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


def buckets_of(values: npt.NDArray[np.float64], bits: int) -> Ints:
    """Return the bucket of each value: what `bucket_of` gives.

    >>> import numpy as np
    >>> buckets_of(np.array([20.0, 20.2, -20.0, 0.0]), 6).tolist()
    [70737, 70737, -70737, 0]
    """
    import numpy as np

    part, power = np.frexp(np.abs(values))
    infinite = np.isinf(values)
    part = np.where(infinite, 0.5, part)
    power = np.where(infinite, BEYOND, power).astype(np.int64)
    bucket = (power + BEYOND << bits) + ((2 * part - 1) * (1 << bits)).astype(np.int64) + 1
    return np.where(values == 0, 0, np.where(values > 0, bucket, -bucket))


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


def middles_of(buckets: Ints, bits: int) -> npt.NDArray[np.float64]:
    """Return the middle of each bucket: what `middle_of` gives.

    >>> import numpy as np
    >>> middles_of(np.array([70737, -70737, 0]), 6).tolist()
    [20.125, -20.125, 0.0]
    """
    import numpy as np

    power, part = np.divmod(np.abs(buckets) - 1, 1 << bits)
    with np.errstate(over="ignore"):
        middles = np.ldexp(1.0 + (part + 0.5) / (1 << bits), power - BEYOND - 1)
    middles = np.where(power == 2 * BEYOND, np.inf, middles)
    return np.where(buckets == 0, 0.0, np.copysign(middles, buckets))
