"""The kernels in C: arrays are handed to the extension as buffers, and the GIL is released."""

from __future__ import annotations

from typing import Any

import numpy as np

from skewless.aggregations.kernels import _compiled

# By name: of an extension that was built from older sources the import fails, and NumPy serves.
from skewless.aggregations.kernels._compiled import decayed_means as extension_decayed
from skewless.aggregations.kernels._compiled import hashes as extension_hashes
from skewless.aggregations.kernels._compiled import sweep_codes as extension_sweep_codes
from skewless.aggregations.kernels._compiled import sweep_distinct as extension_sweep_distinct
from skewless.aggregations.kernels._compiled import sweep_frequent as extension_sweep_frequent
from skewless.aggregations.kernels._compiled import sweep_moments as extension_sweep_moments
from skewless.aggregations.kernels._compiled import sweep_quantile as extension_sweep_quantile
from skewless.aggregations.kernels._compiled import window_moments as extension_moments
from skewless.aggregations.kernels.rules import RuleRows
from skewless.aggregations.kernels.spans import Flags, Floats, Ints, Spans, Sweep, Want

latest_add = _compiled.latest_add
latest_finish = _compiled.latest_finish
window_summary = _compiled.window_summary
window_moments = extension_moments


def _arrays(sweep: Sweep) -> tuple[Ints | None, ...]:
    spans, queries = sweep.spans, sweep.queries
    return (
        spans.row,
        spans.enter,
        spans.exit,
        spans.start,
        spans.enter_order,
        spans.exit_order,
        queries.time,
        queries.start,
    )


def sweep_sums(sweep: Sweep, values: Floats | Ints | None, want: Want, out: dict[str, Any]) -> None:
    """Fill the columns of ``out`` that are there; see ``kernels.sweep_sums``."""
    names = ("count", "sum", "overflow", "mean", "var", "var_sample")
    columns = [out.get(name) for name in names]
    _compiled.sweep_sums(_arrays(sweep), values, sweep.valid, int(want), *columns)


def sweep_moments(
    sweep: Sweep, values: Floats | Ints, events: Ints | None, out: dict[str, Any], done: Flags
) -> None:
    """Fill the columns of ``out`` that are there, where values are not too far apart."""
    second, third, fourth, slope = map(out.get, ("second", "third", "fourth", "slope"))
    extension_sweep_moments(
        _arrays(sweep), values, events, sweep.valid, second, third, fourth, slope, done
    )


def sweep_quantile(sweep: Sweep, keys: Ints, q: float) -> tuple[Ints, Ints, Ints]:
    """The active rows around a quantile of each query, -1 for none, and how many are active."""
    below, above, counts = (np.empty_like(sweep.queries.time) for _ in range(3))
    extension_sweep_quantile(_arrays(sweep), keys, sweep.valid, q, below, above, counts)
    return below, above, counts


def sweep_frequent(sweep: Sweep, keys: Ints, k: int) -> Ints:
    """Rows of the ``k`` most frequent keys at each query; -1 for none."""
    out = np.empty(len(sweep.queries.time) * k, np.int64)
    extension_sweep_frequent(_arrays(sweep), keys, sweep.valid, k, out)
    return out.reshape(-1, k)


def decayed_means(
    rows: tuple[Ints, Floats], windows: tuple[Ints, Ints, Ints], half_life: int
) -> Floats:
    """The mean of each window's values, each weighted by its age; NaN where there is none."""
    out = np.empty(len(windows[2]))
    extension_decayed(*rows, *windows, half_life, out)
    return out


def sweep_distinct(sweep: Sweep, keys: Ints, nth: int) -> tuple[Ints, Ints]:
    """A row of the distinct key that ``nth`` others are less than, -1 for none, and how many."""
    row, counts = np.empty_like(sweep.queries.time), np.empty_like(sweep.queries.time)
    extension_sweep_distinct(_arrays(sweep), keys, sweep.valid, nth, row, counts)
    return row, counts


def hashes(offsets: Ints, data: Flags, seed: int) -> Ints:
    """The hash of each run of bytes."""
    out = np.empty(len(offsets) - 1, np.int64)
    extension_hashes(offsets, data, seed, out)
    return out


def sweep_order(sweep: Sweep, keys: Floats | Ints | None, want: Want) -> tuple[Ints, Ints]:
    """Rows of the least and the greatest (key, row) active at each query; -1 for none."""
    lowest, highest = np.empty_like(sweep.queries.time), np.empty_like(sweep.queries.time)
    _compiled.sweep_order(_arrays(sweep), keys, sweep.valid, int(want), lowest, highest)
    return lowest, highest


def sweep_unique(sweep: Sweep, codes: Ints, n_codes: int) -> Ints:
    """Number of distinct codes active at each query."""
    out = np.empty_like(sweep.queries.time)
    _compiled.sweep_unique(_arrays(sweep), codes, sweep.valid, n_codes, out)
    return out


def sweep_codes(sweep: Sweep, codes: Ints, n_codes: int, offsets: Ints) -> Ints:
    """Distinct codes active at each query, query q's at ``offsets[q]`` of the result."""
    out = np.empty(int(offsets[-1]), dtype=np.int64)
    extension_sweep_codes(_arrays(sweep), codes, sweep.valid, n_codes, offsets, out)
    return out


def gather_active(sweep: Sweep, offsets: Ints) -> Ints:
    """Rows active at each query in row order, query q's at ``offsets[q]`` of the result."""
    out = np.empty(int(offsets[-1]), dtype=np.int64)
    _compiled.gather_active(_arrays(sweep), sweep.valid, offsets, out)
    return out


def group_rows(codes: Ints, times: Ints, keys: int) -> tuple[Ints, Ints]:
    """Positions of rows by code and time, and where each code's begin."""
    order, start = np.empty_like(codes), np.empty(keys + 1, np.int64)
    _compiled.group_rows(codes, times, order, start)
    return order, start


def rule_spans(rows: RuleRows, parameter: int) -> Spans:
    """The newest N rows, or the newest session where events are given."""
    given = (
        rows.event,
        rows.enter,
        rows.superseded,
        rows.start,
        rows.enter_order,
        rows.dropped,
        rows.dropped_start,
    )
    start = np.empty_like(rows.start)
    room = len(rows.enter) + len(rows.dropped)
    while True:
        row, enter, leave = (np.empty(room, dtype=np.int64) for _ in range(3))
        total = _compiled.rule_spans(given, parameter, row, enter, leave, start)
        if total <= room:
            return Spans.build(enter[:total], leave[:total], start, row[:total])
        room = total
