"""What both implementations of the kernels offer to the dispatcher; arguments are checked."""

from __future__ import annotations

from typing import Any, Protocol

from skewless.aggregations.kernels.rules import RuleRows
from skewless.aggregations.kernels.spans import Flags, Floats, Ints, Spans, Sweep, Want


class Kernels(Protocol):
    """The functions of `numpy_kernels` and `compiled_kernels`, equal to the bit."""

    def sweep_sums(
        self, sweep: Sweep, values: Floats | Ints | None, want: Want, out: dict[str, Any]
    ) -> None:
        """Fill the columns of ``out`` that are there."""

    def sweep_moments(
        self,
        sweep: Sweep,
        values: Floats | Ints,
        events: Ints | None,
        out: dict[str, Any],
        done: Flags,
    ) -> None:
        """Fill the columns of ``out`` that are there, and say in ``done`` for which queries."""

    def window_moments(self, values: Any, events: Any, /) -> Any:
        """Central moments of an array, or with events its slope; None where Python has to."""

    def sweep_quantile(self, sweep: Sweep, keys: Ints, q: float) -> tuple[Ints, Ints, Ints]:
        """The active rows around a quantile of each query, -1 for none; how many are active."""

    def sweep_frequent(self, sweep: Sweep, keys: Ints, k: int) -> Ints:
        """Rows of the ``k`` most frequent keys at each query; -1 for none."""

    def sweep_distinct(self, sweep: Sweep, keys: Ints, nth: int) -> tuple[Ints, Ints]:
        """A row of the distinct key that ``nth`` others are less than, -1 for none; how many."""

    def hashes(self, offsets: Ints, data: Flags, seed: int) -> Ints:
        """The hash of the bytes between each offset and the next."""

    def decayed_means(
        self, rows: tuple[Ints, Floats], windows: tuple[Ints, Ints, Ints], half_life: int
    ) -> Floats:
        """Means of windows ``(low, high, time)`` of rows ``(event, value)``, weighted by age."""

    def sweep_order(
        self, sweep: Sweep, keys: Floats | Ints | None, want: Want
    ) -> tuple[Ints, Ints]:
        """Rows of the least and the greatest (key, row); -1 for none."""

    def sweep_unique(self, sweep: Sweep, codes: Ints, n_codes: int) -> Ints:
        """Number of distinct codes."""

    def sweep_codes(self, sweep: Sweep, codes: Ints, n_codes: int, offsets: Ints) -> Ints:
        """Distinct codes, ascending, query q's at ``offsets[q]``."""

    def gather_active(self, sweep: Sweep, offsets: Ints) -> Ints:
        """Active rows in row order, query q's at ``offsets[q]``."""

    def group_rows(self, codes: Ints, times: Ints, keys: int) -> tuple[Ints, Ints]:
        """Positions of rows by code and time, and where each code's begin."""

    def rule_spans(self, rows: RuleRows, parameter: int) -> Spans:
        """Spans of the newest N rows, or of the newest session where events are given."""

    def latest_add(
        self,
        spine: tuple[Ints, Ints, Ints],
        batch: tuple[Ints, Ints, Ints, Ints, Ints | None],
        at: tuple[int, int, int],
        tie: Ints,
        /,
    ) -> tuple[int, int]:
        """Raise marks by a batch (codes, enter, event, known, sequence) until ``tie`` may be full.

        ``at`` is (number of the batch's first row, row of the batch to begin with, ties so far);
        returns the row to go on with and the ties.
        """

    def latest_finish(self, spine: tuple[Ints, Ints, Ints], origin: Ints, row: Ints, /) -> None:
        """The running greatest mark of each key's queries: where it was set, its smallest row."""

    def window_summary(
        self, values: Any, valid: Any, low: int, high: int, want: int, /
    ) -> tuple[Any, ...]:
        """Summarise one contiguous slice."""
