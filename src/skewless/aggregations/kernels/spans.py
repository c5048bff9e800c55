"""Spans and queries: what the sweeps take.

A window is a set of spans: a row counts for query time t while ``enter <= t < exit``. Every kind of
window (sliding, tumbling, lifetime, last N, sessions), late rows and corrections come down to
spans.

    >>> import numpy as np
    >>> event = np.array([0, 60, 120], dtype=np.int64)
    >>> window = Spans.build(event, event + 100, np.array([0, 3]))  # (t - 100, t], one key
    >>> window.enter_order is None and window.exit_order is None
    True
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.uint8]

NEVER = int(np.iinfo(np.int64).max)


class Want(enum.IntFlag):
    """Which numbers a kernel is to compute."""

    COUNT = 1
    SUM = 2
    MEAN = 4
    VAR = 8
    VAR_SAMPLE = 16
    MIN = 32
    MAX = 64
    SUMS = COUNT | SUM | MEAN | VAR | VAR_SAMPLE
    EXTREMES = MIN | MAX
    ALL = SUMS | EXTREMES


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Spans grouped by key; times in int64 microseconds of UTC.

    Attributes:
        row: position of each span's row in the value arrays; None where span i is row i. Spans of
            one row never overlap.
        enter: the row counts from this time on.
        exit: the row no longer counts from this time on. Spans with ``enter >= exit`` never count.
        start: spans of group g are ``start[g]`` up to ``start[g + 1]``.
        enter_order: spans of each group by enter; None where they are in that order.
        exit_order: spans of each group by exit; None where they are in that order.

    Raises:
        ValueError: if an array has another type or length, or the starts are no boundaries.
    """

    row: Ints | None
    enter: Ints
    exit: Ints
    start: Ints
    enter_order: Ints | None = None
    exit_order: Ints | None = None

    def __post_init__(self) -> None:
        length = len(self.enter)
        for name in ("row", "enter", "exit", "enter_order", "exit_order"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked(value, np.int64, length, f"Spans.{name}"))
        start = checked(self.start, np.int64, None, "Spans.start")
        check_starts(start, length, "Spans.start")
        object.__setattr__(self, "start", start)

    @classmethod
    def build(cls, enter: Ints, exit: Ints, start: Ints, row: Ints | None = None) -> Spans:
        """Return spans with the orders they need; nothing is sorted that is in order."""
        start = checked(start, np.int64, None, "Spans.start")
        check_starts(start, len(enter), "Spans.start")
        return cls(row, enter, exit, start, sorted_order(enter, start), sorted_order(exit, start))

    def groups(self, first: int, last: int) -> Spans:
        """Return the groups from first up to last, sharing all arrays."""
        start = self.start[first : last + 1]
        return Spans(self.row, self.enter, self.exit, start, self.enter_order, self.exit_order)


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Query times of the same groups, never stepping back within a group.

    Attributes:
        time: int64 microseconds of UTC.
        start: queries of group g are ``start[g]`` up to ``start[g + 1]``, from 0 to ``len(time)``.

    Raises:
        ValueError: if an array has another type, or the starts are no boundaries.
    """

    time: Ints
    start: Ints

    def __post_init__(self) -> None:
        time = checked(self.time, np.int64, None, "Queries.time")
        start = checked(self.start, np.int64, None, "Queries.start")
        check_starts(start, len(time), "Queries.start", whole=True)
        object.__setattr__(self, "time", time)
        object.__setattr__(self, "start", start)

    def groups(self, first: int, last: int) -> Queries:
        """Return the queries of the groups from first up to last, counted from 0."""
        start = self.start[first : last + 1]
        return Queries(self.time[start[0] : start[-1]], start - start[0])


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What every sweep takes: spans, queries, a mask of the rows that take part, their number."""

    spans: Spans
    queries: Queries
    valid: Flags | None
    rows: int

    @classmethod
    def build(cls, spans: Spans, queries: Queries, valid: Any, rows: int | None) -> Sweep:
        """Check the mask; rows of None means as many as the mask, or any number."""
        if len(spans.start) != len(queries.start):
            raise ValueError(
                f"queries: expected {len(spans.start) - 1} groups, got {len(queries.start) - 1}"
            )
        if rows is None:
            rows = NEVER if valid is None else len(valid)
        return cls(spans, queries, checked_valid(valid, rows), rows)


def checked(values: Any, dtype: type[np.generic], length: int | None, name: str) -> Any:
    """Return a contiguous, aligned vector of the type, copied only where needed.

    Raises:
        ValueError: if the type, the dimension or the length differs.
    """
    array = np.asarray(values)
    if array.ndim != 1 or not np.can_cast(array.dtype, dtype, "safe"):
        raise ValueError(
            f"{name}: expected a vector of {np.dtype(dtype)}, "
            f"got {array.ndim} dimensions of {array.dtype}"
        )
    if length is not None and len(array) != length:
        raise ValueError(f"{name}: expected length {length}, got {len(array)}")
    return np.require(array, dtype, ["C", "A"])


def checked_valid(valid: Any, length: int) -> Flags | None:
    """Return a mask as bytes, or None."""
    if valid is None:
        return None
    array = np.asarray(valid)
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    flags: Flags = checked(array, np.uint8, length, "valid")
    return flags


def check_starts(start: Ints, total: int, name: str, whole: bool = False) -> None:
    """Raise ValueError unless these are boundaries of groups within, or of the whole, total."""
    good = len(start) > 0 and start[0] >= 0 and start[-1] <= total
    good = good and bool((start[1:] >= start[:-1]).all())
    if whole:
        good = good and start[0] == 0 and start[-1] == total
    if not good:
        raise ValueError(f"{name}: not the boundaries of groups of {total} in all")


def sorted_order(values: Ints, start: Ints) -> Ints | None:
    """Return the stable order of each group's values, or None if all groups are in order."""
    back = np.flatnonzero(values[1:] < values[:-1]) + 1
    back = back[(back >= start[0]) & (back < start[-1])]
    group = np.searchsorted(start, back, side="right") - 1
    unsorted = np.unique(group[start[group] < back])
    if len(unsorted) == 0:
        return None
    order = np.arange(len(values), dtype=np.int64)
    for low, high in zip(start[unsorted].tolist(), start[unsorted + 1].tolist(), strict=True):
        order[low:high] = low + np.argsort(values[low:high], kind="stable")
    return order


def search_groups(
    times: Ints, low: Ints, high: Ints, moments: Ints, side: Literal["left", "right"]
) -> Ints:
    """Where each moment belongs within its own sorted part, times[low:high]; all in step."""
    low, high = low.copy(), high.copy()
    compare = np.less if side == "left" else np.less_equal
    open_ = np.flatnonzero(low < high)
    while len(open_):
        middle = (low[open_] + high[open_]) // 2
        before = compare(times[middle], moments[open_])
        low[open_[before]] = middle[before] + 1
        high[open_[~before]] = middle[~before]
        open_ = open_[low[open_] < high[open_]]
    return low
