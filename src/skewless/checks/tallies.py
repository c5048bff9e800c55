"""Checks over rows that come in chunks, as Arrow kernels: memory does not follow the rows.

>>> import pyarrow as pa
>>> from skewless.definitions.checks import Check
>>> tally = Tally([Check.between("amount", 0, 10)], of="pays")
>>> tally.add(pa.table({"amount": [1.0, 11.0]}))
>>> tally.add(pa.table({"amount": [None, -1.0]}))
>>> print(tally.results()[0])
pays: amount between 0 and 10: 2 of 4 rows fail, such as 11.0, -1.0

`unique` keeps eight bytes a row; everything else some numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.checks.results import CheckResult
from skewless.clock import iso
from skewless.definitions.checks import Check
from skewless.definitions.expressions import expression_from_dict
from skewless.durations import format_duration
from skewless.expressions.evaluate import evaluate
from skewless.stores.offline.hashing import content_hash

Ints = npt.NDArray[np.int64]
EXAMPLES = 3
_Failing: TypeAlias = "pa.Array | pa.ChunkedArray | None"


class Tally:
    """Carries checks out over the rows of one source or view.

    Args:
        checks: what is expected.
        of: what of, for the results.
        now: the present, UTC microseconds; for `Check.fresh`.
        before: how many rows the check before has seen; None: there was none.
    """

    def __init__(
        self, checks: Sequence[Check], *, of: str, now: int = 0, before: int | None = None
    ) -> None:
        self._of, self._now, self._before = of, now, before
        self._counts = [_Count(check) for check in checks]
        self.rows = 0
        self._newest: int | None = None

    def add(self, table: pa.Table, event: Ints | None = None) -> None:
        """Take rows.

        Args:
            table: with the columns of the checks, of the types they were declared for.
            event: event time of each row, UTC microseconds; for `Check.fresh`.
        """
        self.rows += table.num_rows
        if event is not None and len(event):
            newest = int(event.max())
            self._newest = newest if self._newest is None else max(newest, self._newest)
        if table.num_rows:
            for count in self._counts:
                count.add(table)

    def results(self) -> list[CheckResult]:
        """Return what was found, in the order of the checks."""
        return [self._result(count) for count in self._counts]

    def _result(self, count: _Count) -> CheckResult:
        check = count.check
        if not check.is_of_rows:
            found = self._whole(count)
            return CheckResult(
                self._of, str(check), check.kind, not found, self.rows, int(bool(found)), found,
                action=check.action,
            )  # fmt: skip
        failing = count.failing()
        ok = failing <= check.share * self.rows
        examples = () if ok else tuple(count.examples)
        return CheckResult(
            self._of, str(check), check.kind, ok, self.rows, failing, "", examples, check.action
        )

    def _whole(self, count: _Count) -> str:
        """Return what fails of a check that looks at all rows at once; mostly nothing."""
        check, options = count.check, count.check.options
        if check.kind == "row_count":
            return "" if _within(self.rows, options) else f"{self.rows:,} rows"
        if check.kind == "change_of_count":
            before = self._before
            if not before or abs(self.rows - before) <= options["most"] * before:
                return ""
            return f"{self.rows:,} rows, after {before:,}"
        if check.kind == "fresh":
            if self._newest is None:
                return "no rows"
            age = self._now - self._newest
            late = age > options["within"]
            return f"newest row of {iso(self._newest)}, {format_duration(age)} old" if late else ""
        mean = count.mean()
        if mean is None:
            return "no values"
        return "" if _within(mean, options) else f"mean {mean:.6g}"


class _Count:
    """What one check has seen so far."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.examples: list[str] = []
        self._failing = 0
        self._hashes: list[npt.NDArray[np.uint64]] = []
        self._last: Any = None
        self._sum, self._values = 0.0, 0
        expression = check.options.get("expression")
        self._expression = None if expression is None else expression_from_dict(expression)

    def add(self, table: pa.Table) -> None:
        check = self.check
        if check.kind == "unique":
            self._add_keys(table)
        elif check.kind == "mean_between":
            column = table[check.columns[0]]
            self._sum += pc.sum(column).as_py() or 0
            self._values += len(column) - column.null_count
        elif check.is_of_rows:
            self._note(table, self._failing_of(table))

    def failing(self) -> int:
        """Return how many rows fail."""
        if self._hashes:
            hashes = np.concatenate(self._hashes)
            self._hashes = [hashes]
            hashes = np.sort(hashes)
            return int((hashes[1:] == hashes[:-1]).sum())
        return self._failing

    def mean(self) -> float | None:
        """Return the mean of the values; None: there are none."""
        return self._sum / self._values if self._values else None

    def _add_keys(self, table: pa.Table) -> None:
        keys = table.select(list(self.check.columns))
        if any(column.null_count for column in keys.columns):
            keys = keys.drop_null()
        self._hashes.append(content_hash(keys))

    def _failing_of(self, table: pa.Table) -> _Failing:
        """Return which rows fail; None: none does."""
        if self._expression is not None:
            columns: Mapping[str, Any] = {name: table[name] for name in self.check.columns}
            found = evaluate(self._expression, columns, table.num_rows)
            return _false(found)
        if self.check.kind == "monotonic":
            return self._falling(table[self.check.columns[0]])
        return _KERNELS[self.check.kind](self.check, table)

    def _falling(self, column: pa.ChunkedArray) -> _Failing:
        """Return which values are less than the one before, nulls left out."""
        values = column.combine_chunks()
        places = pc.indices_nonzero(values.is_valid())
        known = values.take(places)
        if not len(known):
            return None
        first = known[:1] if self._last is None else pa.array([self._last], known.type)
        before = pa.concat_arrays([first, known[:-1]])
        self._last = known[-1].as_py()
        falls = pc.less(known, before)
        if not pc.any(falls).as_py():
            return None
        failing = np.zeros(len(values), bool)
        failing[np.asarray(places)[np.asarray(falls)]] = True
        return pa.array(failing)

    def _note(self, table: pa.Table, failing: _Failing) -> None:
        if failing is None:
            return
        count = pc.sum(failing).as_py() or 0
        self._failing += count
        if count and len(self.examples) < EXAMPLES and self.check.kind != "not_null":
            rows = table.select(list(self.check.columns)).filter(failing)
            for row in rows.slice(0, EXAMPLES - len(self.examples)).to_pylist():
                self.examples.append(" ".join(f"{value!s:.60}" for value in row.values()))


def _not_null(check: Check, table: pa.Table) -> _Failing:
    column = table[check.columns[0]]
    return column.is_null() if column.null_count else None


def _between(check: Check, table: pa.Table) -> _Failing:
    column = table[check.columns[0]]
    least, greatest = (_scalar(check.options[name], column.type) for name in ("least", "greatest"))
    ends = pc.min_max(column)
    low, high = ends["min"], ends["max"]
    below = least is not None and low.is_valid and pc.less(low, least).as_py()
    above = greatest is not None and high.is_valid and pc.greater(high, greatest).as_py()
    parts = [pc.less(column, least)] if below else []
    parts += [pc.greater(column, greatest)] if above else []
    if not parts:
        return None
    failing = parts[0] if len(parts) == 1 else pc.or_(*parts)
    return failing.fill_null(False)


def _in_set(check: Check, table: pa.Table) -> _Failing:
    column = table[check.columns[0]]
    values = [_scalar(value, column.type) for value in check.options["values"]]
    known = pa.array([None if v is None else v.as_py() for v in values], column.type)
    found = pc.is_in(column, value_set=known)
    return pc.and_not(column.is_valid(), found)


def _matches(check: Check, table: pa.Table) -> _Failing:
    pattern = f"^(?:{check.options['pattern']})$"
    column = table[check.columns[0]]
    return _false(pc.match_substring_regex(column, pattern))


def _sums_to(check: Check, table: pa.Table) -> _Failing:
    *parts, total = (table[name].cast(pa.float64(), safe=False) for name in check.columns)
    found = parts[0]
    for part in parts[1:]:
        found = pc.add(found, part)
    off = pc.abs(pc.subtract(found, total))
    return pc.greater(off, check.options["within"]).fill_null(False)


_KERNELS: Mapping[str, Callable[[Check, pa.Table], _Failing]] = {
    "not_null": _not_null, "between": _between, "in_set": _in_set, "matches": _matches,
    "sums_to": _sums_to,
}  # fmt: skip


def _false(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return where a condition is false; null is not."""
    return pc.invert(column).fill_null(False)


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar | None:
    """Return a value in plain form as one of a column."""
    if value is None:
        return None
    if isinstance(value, str) and not pa.types.is_string(kind):
        return pa.scalar(value).cast(kind)
    return pa.scalar(value, kind)


def _within(value: float, options: Mapping[str, Any]) -> bool:
    least, greatest = options["least"], options["greatest"]
    return (least is None or value >= least) and (greatest is None or value <= greatest)
