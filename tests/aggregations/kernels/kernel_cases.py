"""Small random cases and the brute force they are held to."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from skewless.aggregations.exact import rounded_ratio
from skewless.aggregations.kernels import NEVER, Queries, Spans

# The fixture that chooses the implementation may well be shared by all examples.
quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

nasty_floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308]),
    st.builds(
        lambda sign, power: sign * 2.0**power, st.sampled_from([-1, 1]), st.integers(-1074, 1023)
    ),
)
tame_floats = st.one_of(
    st.sampled_from([1e15, -1e15, 0.1, 0.2, 0.3, 1.5, -2.5, 0.0, -0.0, 3.0]),
    st.builds(lambda cents: cents / 100, st.integers(-10_000, 10_000)),
    st.builds(lambda noise: 1e9 + noise, st.floats(-1, 1)),
)
columns_of_floats = st.sampled_from([nasty_floats, tame_floats])
integers = st.one_of(
    st.integers(-5, 5),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-(2**63), 2**63 - 1, 2**62, -1]),
)
moments = st.integers(-3, 14)


@dataclass
class Case:
    """Groups of spans and queries as plain lists, and as arrays."""

    row: list[int]
    enter: list[int]
    exit: list[int]
    start: list[int]
    time: list[int]
    query_start: list[int]
    valid: list[int] | None
    rows: int
    identity: bool

    @property
    def spans(self) -> Spans:
        row = None if self.identity else ints(self.row)
        return Spans.build(ints(self.enter), ints(self.exit), ints(self.start), row)

    @property
    def queries(self) -> Queries:
        return Queries(ints(self.time), ints(self.query_start))

    @property
    def mask(self) -> np.ndarray | None:
        return None if self.valid is None else np.array(self.valid, dtype=np.uint8)

    def active(self) -> Iterator[list[int]]:
        """The rows that count for each query, by definition."""
        for group in range(len(self.start) - 1):
            for q in range(self.query_start[group], self.query_start[group + 1]):
                yield sorted(
                    self.row[s]
                    for s in range(self.start[group], self.start[group + 1])
                    if self.enter[s] <= self.time[q] < self.exit[s]
                    and (self.valid is None or self.valid[self.row[s]])
                )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    sizes = draw(st.lists(st.integers(0, 7), min_size=1, max_size=4))
    total = sum(sizes)
    enter = draw(st.lists(moments, min_size=total, max_size=total))
    width = draw(st.sampled_from(["window", "any"]))
    if width == "window":
        length = draw(st.integers(0, 6))
        leave = [moment + length for moment in enter]
    else:
        ends = st.one_of(moments, st.just(NEVER))
        leave = draw(st.lists(ends, min_size=total, max_size=total))
    start = np.concatenate(([0], np.cumsum(sizes))).tolist()
    if draw(st.booleans()):
        for low, high in pairwise(start):
            pairs = sorted(zip(enter[low:high], leave[low:high], strict=True))
            enter[low:high] = [pair[0] for pair in pairs]
            leave[low:high] = [pair[1] for pair in pairs]
    identity = draw(st.booleans())
    row = list(range(total)) if identity else draw(st.permutations(range(total)))
    asked = [sorted(draw(st.lists(moments, max_size=6))) for _ in sizes]
    query_start = np.concatenate(([0], np.cumsum([len(times) for times in asked]))).tolist()
    valid = draw(st.none() | st.lists(st.integers(0, 1), min_size=total, max_size=total))
    return Case(
        row,
        enter,
        leave,
        start,
        list(chain.from_iterable(asked)),
        query_start,
        valid,
        total,
        identity,
    )


def column_of(draw: st.DrawFn, case: Case, strategy: st.SearchStrategy[Any]) -> list[Any]:
    return draw(st.lists(strategy, min_size=case.rows, max_size=case.rows))


def ints(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def bits(values: Any) -> list[bytes]:
    """Floats as bytes, so that -0.0 differs from 0.0 and NaN equals NaN."""
    return [b"nan" if math.isnan(value) else struct.pack("<d", value) for value in values]


def true_sums(values: list[Any]) -> dict[str, float]:
    """Correctly rounded results of exact rational arithmetic."""
    exact = [Fraction(value) for value in values]
    n, total = len(exact), sum(exact, Fraction(0))
    squares = sum((value * value for value in exact), Fraction(0))
    spread = n * squares - total * total
    return {
        "count": n,
        "sum": nearest(total),
        "mean": nearest(total / n) if n else float("nan"),
        "var": nearest(spread / (n * n)) if n else float("nan"),
        "var_sample": nearest(spread / (n * (n - 1))) if n > 1 else float("nan"),
    }


def nearest(value: Fraction) -> float:
    return rounded_ratio(value.numerator, value.denominator)
