"""Aggregations of the sequence that rows are: changes, previous, diff, streak, burst, since_first.

>>> Changes().compute(["DE", "DE", "FR", "DE"], [0, 1, 2, 3], 4, None)
2
>>> Streak().compute([True, False, True, True], [0, 1, 2, 3], 4, None)
2
>>> Burst(width="10us").compute([None] * 4, [0, 50, 55, 59], 60, None)
3
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from skewless.aggregations.base import PLAIN, Aggregation, is_number
from skewless.aggregations.ordering import Age, First
from skewless.aggregations.windows import Window
from skewless.durations import format_duration, parse_duration
from skewless.errors import DefinitionError
from skewless.types import DType, Float64, Int64

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.aggregations.base import Ints, Numbers
    from skewless.aggregations.runs import Runs
    from skewless.aggregations.sweep import ColumnSweep

    Bools = npt.NDArray[np.bool_]

_INT64 = 2**63


def _check_two(kind: Aggregation, window: Window) -> None:
    """Raise `DefinitionError` where a window never holds two rows to compare."""
    if window.most_rows == 1:
        raise DefinitionError(
            f"{kind.name} compares rows", got=repr(window), expected="a window of two or more"
        )


class _Counted(Aggregation):
    """An aggregation whose value is a number of rows, of which windows without rows have 0."""

    empty: ClassVar[Any] = 0

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    @staticmethod
    def _of_windows(rows: ColumnSweep, count: Callable[[Runs], Ints]) -> pa.Array:
        """Return what is counted of the rows of each window that has some, and 0 of the others."""
        import numpy as np

        found = np.zeros(len(rows.queries.time), np.int64)
        for part in rows.runs():
            found[part.queries] = count(part)
        return rows.array(found)


@dataclass(frozen=True)
class Changes(_Counted):
    """How often a row's value is another than that of the row before it in the window."""

    name: ClassVar[str] = "changes"

    def result_type(self, column: DType | None) -> DType:
        """Whole numbers."""
        self._need(column, PLAIN, "a column of plain values")
        return Int64

    def check_window(self, window: Window) -> None:
        """There must be two rows to compare."""
        super().check_window(window)
        _check_two(self, window)

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> int:
        """Compare neighbours."""
        return sum(map(lambda one, next_one: one != next_one, values, values[1:]))

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same of an array."""
        return NotImplemented if values is None else int((values[1:] != values[:-1]).sum())

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return differences of a running count of changes."""
        import numpy as np

        codes = rows.codes

        def count(part: Runs) -> Ints:
            of_rows = codes[part.rows]
            running = np.cumsum(np.r_[0, of_rows[1:] != of_rows[:-1]])
            changes: Ints = running[part.high - 1] - running[part.low]
            return changes

        return self._of_windows(rows, count)


@dataclass(frozen=True)
class Streak(_Counted):
    """How many of the newest rows in a row are true: 0 where the newest is false."""

    name: ClassVar[str] = "streak"

    def result_type(self, column: DType | None) -> DType:
        """Whole numbers, of a condition."""
        self._need(column, frozenset({"bool"}), "a condition, such as (loans.days_late > 0)")
        return Int64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> int:
        """Count from the end."""
        for place, value in enumerate(reversed(values)):
            if not value:
                return place
        return len(values)

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the distances to the last false row."""
        import numpy as np
        import pyarrow.compute as pc

        flags = np.asarray(pc.fill_null(rows.column, False).to_numpy(zero_copy_only=False), bool)

        def count(part: Runs) -> Ints:
            places = np.arange(len(part.rows))
            last_false = np.maximum.accumulate(np.where(flags[part.rows], -1, places))
            streak: Ints = part.high - 1 - np.maximum(last_false[part.high - 1], part.low - 1)
            return streak

        return self._of_windows(rows, count)


@dataclass(frozen=True)
class Burst(_Counted):
    """The greatest number of rows within ``width`` of each other: ``(event - width, event]``."""

    width: str = "1m"
    name: ClassVar[str] = "burst"
    takes_rows: ClassVar[bool] = True

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """Of neighbours, and of a few rows."""
        return cls(width="2us"), cls(width="5us")

    def __post_init__(self) -> None:
        micros = parse_duration(self.width, what="a burst")
        if micros == 0:
            raise DefinitionError("a burst of no length", got=self.width)
        object.__setattr__(self, "width", format_duration(micros))  # 60s is 1m

    def result_type(self, column: DType | None) -> DType:
        """Whole numbers."""
        return Int64

    def check_window(self, window: Window) -> None:
        """A window of a length holds more than one burst."""
        super().check_window(window)
        if window.length is not None and parse_duration(self.width) > window.length:
            raise DefinitionError(
                "a burst longer than its window", got=f"{self.width} in {window!r}"
            )

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> int:
        """Move the oldest row of the burst along."""
        width, low, most = parse_duration(self.width), 0, 0
        for place, event in enumerate(events):
            while events[low] <= event - width:
                low += 1
            most = max(most, place + 1 - low)
        return most

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return the same by a search for the oldest row of each burst."""
        import numpy as np

        low = events.searchsorted(events - parse_duration(self.width), "right")
        return int((np.arange(1, len(events) + 1) - low).max())

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments, from the burst that ends with each row.

        Of a window, the first of them begin before it, and count from its oldest row.
        """
        import numpy as np

        from skewless.aggregations.kernels.numpy_kernels import range_minimum

        width = parse_duration(self.width)

        def count(part: Runs) -> Ints:
            oldest = _oldest_within(rows.event[part.rows], part.start, width)
            whole = np.clip(np.searchsorted(oldest, part.low), part.low, part.high)
            few = np.zeros(len(whole), np.int64)
            range_minimum(oldest - np.arange(1, len(oldest) + 1), whole, part.high, few)
            most: Ints = np.maximum(whole - part.low, -few)
            return most

        return self._of_windows(rows, count)


def _oldest_within(events: Ints, start: Ints, width: int) -> Ints:
    """Return for each row the oldest of its group that is less than ``width`` before it."""
    import numpy as np

    from skewless.aggregations.kernels.spans import search_groups

    sizes = np.diff(start)
    least, most = int(events.min()), int(events.max())
    apart = most - least + width + 1
    if apart * len(sizes) < 2**62:  # groups far enough from each other make one ascending line
        line = events - least + np.repeat(np.arange(len(sizes)) * apart, sizes)
        return np.asarray(line.searchsorted(line - width, "right"))
    first = np.repeat(start[:-1], sizes)
    return search_groups(events, first, np.arange(len(events)), events - width, "right")


class _NewestTwo(Aggregation):
    """An aggregation of the two newest values that are not null; null where there is one."""

    def check_window(self, window: Window) -> None:
        """There must be two rows to compare."""
        super().check_window(window)
        _check_two(self, window)

    @property
    def needs(self) -> slice:
        """The last two."""
        return slice(-2, None)

    def sweeps(self, column: DType | None) -> bool:
        """Of every column."""
        return True

    def _pairs(self, rows: ColumnSweep) -> tuple[pa.Array, pa.Array]:
        """Return the values before the newest, and the newest, null where there is one row."""
        import pyarrow.compute as pc

        lists = rows.lists(self.needs)
        if not len(lists):
            return lists.values, lists.values
        both = pc.if_else(pc.equal(pc.list_value_length(lists), 2), lists, None)
        return pc.list_element(both, 0), pc.list_element(both, 1)


@dataclass(frozen=True)
class Previous(_NewestTwo):
    """The value before the newest, of the values that are not null."""

    name: ClassVar[str] = "previous"

    def result_type(self, column: DType | None) -> DType:
        """The column's type."""
        if column is None:
            raise DefinitionError("previous needs a column", got="whole rows")
        return column

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the last but one."""
        return values[-2] if len(values) > 1 else None

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments."""
        return self._pairs(rows)[0]


@dataclass(frozen=True)
class Diff(_NewestTwo):
    """The newest value less the one before it, of the values that are not null.

    Null where a whole number leaves its type, and where infinities leave no number.
    """

    name: ClassVar[str] = "diff"

    def result_type(self, column: DType | None) -> DType:
        """Whole numbers of whole numbers, else floating point."""
        if column is None or not is_number(column):
            got = "whole rows" if column is None else f"a column of type {column!r}"
            hint = "Say .cast(float) first." if column and column.kind == "decimal" else None
            raise DefinitionError("diff needs whole numbers or floats", got=got, hint=hint)
        return Int64 if column.is_integer else Float64

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the difference of the last two."""
        if len(values) < 2:
            return None
        found = values[-1] - values[-2]
        if isinstance(found, int):
            return found if -_INT64 <= found < _INT64 else None
        return None if math.isnan(found) else found

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the same at all moments."""
        import numpy as np

        from skewless.aggregations.columns import as_numbers

        old, new = self._pairs(rows)
        null = ~np.asarray(new.is_valid())
        before, newest = as_numbers(old), as_numbers(new)
        with np.errstate(all="ignore"):
            found = newest - before
        if found.dtype.kind == "i":
            null |= ((newest ^ before) & (newest ^ found)) < 0
        else:
            null |= np.isnan(found)
        return rows.array(found, null)


@dataclass(frozen=True)
class SinceFirst(Age):
    """Seconds between the oldest row's event time and the moment asked about."""

    name: ClassVar[str] = "since_first"
    place: ClassVar[int] = 0

    @property
    def needs(self) -> slice:
        """The first."""
        return slice(0, 1)

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the ages of the oldest rows."""
        return self.ages(rows, rows.oldest(nulls=False))

    @classmethod
    def decide(cls, rank: Ints, run: Ints) -> Ints:
        """Return the oldest row of each run."""
        return First.decide(rank, run)
