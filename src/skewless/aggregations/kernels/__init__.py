"""Kernels: aggregations over spans, exact to the bit, in C or in NumPy.

A window is a set of spans (see `spans`); a kernel sweeps the spans of each key in the order of the
query times. Groups are independent: slices of them (`Spans.groups`, `Queries.groups`) may run in
threads, as the compiled kernels release the GIL.

    >>> import numpy as np
    >>> event = np.array([0, 60, 120])
    >>> window = Spans.build(event, event + 100, np.array([0, 3]))
    >>> asked = Queries(np.array([90, 130]), np.array([0, 2]))
    >>> sweep_sums(window, asked, np.array([1.0, 2.0, 4.0]), want=Want.SUM)["sum"].tolist()
    [3.0, 6.0]

`implementation` tells which one runs: "compiled", or "numpy" if the extension is missing or the
environment variable ``SKEWLESS_KERNELS`` is "numpy". Both give equal bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from skewless.aggregations.kernels import dispatch, numpy_moments
from skewless.aggregations.kernels.dispatch import implementation
from skewless.aggregations.kernels.latest import LatestJoin, LatestRows
from skewless.aggregations.kernels.rules import RuleRows, plain_spans
from skewless.aggregations.kernels.spans import (
    NEVER,
    Flags,
    Floats,
    Ints,
    Queries,
    Spans,
    Sweep,
    Want,
    check_starts,
    checked,
)

__all__ = [
    "NEVER",
    "LatestJoin",
    "LatestRows",
    "Queries",
    "Spans",
    "Want",
    "decayed_mean",
    "decayed_means",
    "gather_active",
    "group_rows",
    "hashes",
    "implementation",
    "last_n_spans",
    "session_spans",
    "sweep_codes",
    "sweep_counts",
    "sweep_distinct",
    "sweep_extremes",
    "sweep_frequent",
    "sweep_moments",
    "sweep_positions",
    "sweep_quantile",
    "sweep_sums",
    "sweep_sums_int",
    "sweep_unique",
    "window_moments",
    "window_slope",
    "window_summary",
]


_PLAIN: tuple[Literal["C"], Literal["A"]] = ("C", "A")
_FIRST = np.zeros(1, np.int64)

window_summary = dispatch.chosen.window_summary
"""``window_summary(values, valid, low, high, want)``: one slice, with as little overhead as can be.

``values``: any one-dimensional buffer of float64 or int64 (a stride is fine), ``valid``: uint8 or
None, ``want``: flags of `Want`. Returns ``(count, sum, mean, var, var_sample, min, max)`` of
``values[low:high]``, None where not wanted and for min and max of no rows. The sum of integers is
an exact int of any size. Raises ValueError for a slice outside the values and for NaN.
"""


def _columns(want: Want, queries: Queries, integers: bool) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for flag in Want.SUMS & want:
        name = str(flag.name).lower()
        whole = flag is Want.COUNT or (integers and flag is Want.SUM)
        columns[name] = np.empty(len(queries.time), dtype=np.int64 if whole else np.float64)
    if integers and Want.SUM in want:
        columns["overflow"] = np.empty(len(queries.time), dtype=np.uint8)
    return columns


def sweep_sums(
    spans: Spans,
    queries: Queries,
    values: Floats,
    valid: Flags | None = None,
    want: Want = Want.SUMS,
) -> dict[str, Any]:
    """Return count, sum, mean, var and var_sample of the rows active at each query.

    Each is the correctly rounded result of exact arithmetic (ties to even, zero is +0.0), so it
    depends on the set of rows alone. No rows: count 0, sum 0.0, mean and var NaN; one row:
    var_sample NaN. Only +inf (or only -inf) among the values: sum and mean are that; both, or any
    for the variance: NaN.

    Args:
        spans: which rows count when.
        queries: when to ask.
        values: float64, one a row.
        valid: uint8 or bool, one a row; rows that are not valid (nulls) never count.
        want: which numbers to compute.

    Raises:
        ValueError: if a valid value is NaN, or arrays do not fit each other.
    """
    values = checked(values, np.float64, None, "values")
    sweep = Sweep.build(spans, queries, valid, len(values))
    out = _columns(want, queries, integers=False)
    dispatch.chosen.sweep_sums(sweep, values, want, out)
    return out


def sweep_sums_int(
    spans: Spans,
    queries: Queries,
    values: Ints,
    valid: Flags | None = None,
    want: Want = Want.SUMS,
) -> dict[str, Any]:
    """Return the numbers of `sweep_sums` for int64 values, from exact integers.

    ``sum`` is int64; where the exact sum does not fit, ``overflow`` (uint8) is 1 and ``sum`` is 0.
    The others are correctly rounded even then.

    Raises:
        ValueError: if arrays do not fit each other.
    """
    values = checked(values, np.int64, None, "values")
    sweep = Sweep.build(spans, queries, valid, len(values))
    out = _columns(want, queries, integers=True)
    dispatch.chosen.sweep_sums(sweep, values, want, out)
    return out


def sweep_counts(spans: Spans, queries: Queries, valid: Flags | None = None) -> Ints:
    """Return the number of rows active at each query (int64)."""
    out = _columns(Want.COUNT, queries, integers=False)
    dispatch.chosen.sweep_sums(Sweep.build(spans, queries, valid, None), None, Want.COUNT, out)
    counts: Ints = out["count"]
    return counts


def window_moments(values: Floats | Ints) -> tuple[float, float, float]:
    """Return the second, third and fourth central moment of an array of at least one value.

    Each is the exact one, correctly rounded; NaN where a value is infinite.
    """
    found = dispatch.chosen.window_moments(np.require(values, None, _PLAIN), None)
    return numpy_moments.central_moments(values.tolist()) if found is None else found


def window_slope(values: Floats | Ints, events: Ints) -> float:
    """Return the slope of an array over event times, per second: the exact one, rounded once.

    NaN where a value is infinite, and where all rows are of one moment.
    """
    found = dispatch.chosen.window_moments(
        np.require(values, None, _PLAIN), np.require(events, None, _PLAIN)
    )
    return numpy_moments.slope(values.tolist(), events.tolist()) if found is None else found


def sweep_moments(
    spans: Spans,
    queries: Queries,
    values: Floats | Ints,
    valid: Flags | None = None,
    *,
    want: Sequence[str] = ("second", "third", "fourth"),
    events: Ints | None = None,
) -> dict[str, Floats]:
    """Return central moments, and the slope, of the rows active at each query.

    Each is the exact one, correctly rounded; NaN of no rows, of infinities and, for the slope, of
    rows of one moment.

    Args:
        spans: which rows count when.
        queries: when to ask.
        values: float64 or int64, one a row.
        valid: rows that are not valid never count.
        want: of ``second``, ``third``, ``fourth`` and ``slope``.
        events: event time of each row, for the slope.

    Raises:
        ValueError: if a valid value is NaN, or arrays do not fit each other.
    """
    dtype = np.int64 if values.dtype.kind == "i" else np.float64
    values = checked(values, dtype, None, "values")
    if events is not None:
        events = checked(events, np.int64, len(values), "events")
    out = {name: np.full(len(queries.time), np.nan) for name in want}
    done = np.zeros(len(queries.time), np.uint8)
    sweep = Sweep.build(spans, queries, valid, len(values))
    dispatch.chosen.sweep_moments(sweep, values, events, out, done)
    left = done == 0
    if left.any():
        _fill_moments(sweep, (values, events), out, left)
    return out


def _fill_moments(
    sweep: Sweep, columns: tuple[Any, Ints | None], out: dict[str, Floats], left: Any
) -> None:
    """Compute what the kernel left, query by query."""
    values, events = columns
    start = np.append(0, np.cumsum(left))[sweep.queries.start]
    some = Queries(sweep.queries.time[left], start)
    offsets, rows = gather_active(sweep.spans, some, sweep.valid)
    bounds = offsets.tolist()
    for at, query in enumerate(np.flatnonzero(left).tolist()):
        active = rows[bounds[at] : bounds[at + 1]]
        if not len(active):
            continue
        of_rows = values[active].tolist()
        if "slope" in out and events is not None:
            out["slope"][query] = numpy_moments.slope(of_rows, events[active].tolist())
        found = numpy_moments.central_moments(of_rows) if len(out) > ("slope" in out) else ()
        for name, moment in zip(("second", "third", "fourth"), found, strict=False):
            if name in out:
                out[name][query] = moment


def sweep_extremes(
    spans: Spans,
    queries: Queries,
    values: Floats,
    valid: Flags | None = None,
    want: Want = Want.EXTREMES,
) -> tuple[Floats | None, Floats | None, Flags]:
    """Return (min, max, has) of the rows active at each query.

    -0.0 counts as less than 0.0, so the result never depends on the order of rows. ``has`` is
    uint8; where it is 0, min and max are NaN. What ``want`` leaves out is None.

    Raises:
        ValueError: if a valid value is NaN, or arrays do not fit each other.
    """
    values = checked(values, np.float64, None, "values")
    sweep = Sweep.build(spans, queries, valid, len(values))
    lowest, highest = dispatch.chosen.sweep_order(sweep, values, want)
    least = _taken(values, lowest) if Want.MIN in want else None
    greatest = _taken(values, highest) if Want.MAX in want else None
    return least, greatest, (np.maximum(lowest, highest) >= 0).view(np.uint8)


def _taken(values: Floats, rows: Ints) -> Floats:
    taken = np.full(len(rows), np.nan)
    some = rows >= 0
    taken[some] = values[rows[some]]
    return taken


def sweep_positions(
    spans: Spans,
    queries: Queries,
    rank: Ints | None = None,
    valid: Flags | None = None,
    want: Want = Want.EXTREMES,
) -> tuple[Ints, Ints]:
    """Return the rows (lowest, highest) of the least and the greatest rank active at each query.

    A rank of None is the row's own position; equal ranks are told apart by position. -1 stands
    for no row, and for what ``want`` (MIN, MAX) leaves out. This serves first, latest and the
    extremes of any type that can be ranked.

    Raises:
        ValueError: if arrays do not fit each other.
    """
    if rank is not None:
        rank = checked(rank, np.int64, None, "rank")
    rows = None if rank is None else len(rank)
    return dispatch.chosen.sweep_order(Sweep.build(spans, queries, valid, rows), rank, want)


def sweep_frequent(
    spans: Spans, queries: Queries, keys: Ints, valid: Flags | None = None, *, k: int
) -> Ints:
    """Return rows of the ``k`` most frequent keys active at each query; -1 for none.

    They come by descending count, the smaller key first among equals; each is any row of its key.

    Args:
        spans: which rows count when.
        queries: when to ask.
        keys: int64, one a row.
        valid: rows that are not valid never count.
        k: how many, 1 to 1000.

    Raises:
        ValueError: if arrays do not fit each other.
    """
    keys = checked(keys, np.int64, None, "keys")
    return dispatch.chosen.sweep_frequent(Sweep.build(spans, queries, valid, len(keys)), keys, k)


def decayed_means(
    events: Ints, values: Floats, windows: tuple[Ints, Ints, Ints], *, half_life: int
) -> Floats:
    """Return the mean of each window's values, a row weighing ``2 ** ((event - t) / half_life)``.

    Weights are those of `math.exp2`, products are rounded, both sums are exact and rounded once.
    NaN where all weights are 0, and where a product or their sum is beyond the floats.

    Args:
        events: int64 microseconds, less than 2**53 away from the moments of their windows.
        values: float64, one a row, none of them NaN.
        windows: (low, high, t): of rows ``low`` up to ``high``, one or more, at moment ``t``.
        half_life: microseconds, from 1 up to 2**53 - 1.

    Raises:
        ValueError: if arrays do not fit each other.
    """
    events = checked(events, np.int64, None, "events")
    values = checked(values, np.float64, len(events), "values")
    low, high, t = (checked(each, np.int64, len(windows[0]), "windows") for each in windows)
    if ((low < 0) | (low > high) | (high > len(events))).any():
        raise ValueError(f"windows: a row lies outside {len(events)} rows")
    return dispatch.chosen.decayed_means((events, values), (low, high, t), half_life)


def decayed_mean(events: Ints, values: Floats | Ints, t: int, *, half_life: int) -> float:
    """Return the same of all rows as one window, with as little overhead as can be.

    Whole numbers count as the floats nearest to them.
    """
    rows = np.require(events, np.int64, _PLAIN), np.require(values, np.float64, _PLAIN)
    window = _FIRST, np.array([len(events)], np.int64), np.array([t], np.int64)
    return float(dispatch.chosen.decayed_means(rows, window, half_life)[0])


def sweep_quantile(
    spans: Spans, queries: Queries, keys: Ints, valid: Flags | None = None, *, q: float
) -> tuple[Ints, Ints, Ints]:
    """Return (below, above, counts): the rows around the ``q`` quantile at each query.

    In the order of keys, ties by row, of ``n`` rows they have ``floor(q * (n - 1))`` and
    ``ceil(q * (n - 1))`` others before them; -1 where no row is active.

    Args:
        spans: which rows count when.
        queries: when to ask.
        keys: int64, one a row.
        valid: rows that are not valid never count.
        q: from 0 to 1.

    Raises:
        ValueError: if arrays do not fit each other.
    """
    keys = checked(keys, np.int64, None, "keys")
    return dispatch.chosen.sweep_quantile(Sweep.build(spans, queries, valid, len(keys)), keys, q)


def sweep_distinct(
    spans: Spans, queries: Queries, keys: Ints, valid: Flags | None = None, *, nth: int
) -> tuple[Ints, Ints]:
    """Return (rows, counts): a row of the distinct key that ``nth`` others are less than, by query.

    -1 where no more than ``nth`` distinct keys are active; counts says how many are.

    Args:
        spans: which rows count when.
        queries: when to ask.
        keys: int64, one a row.
        valid: rows that are not valid never count.
        nth: from 0 on.

    Raises:
        ValueError: if arrays do not fit each other.
    """
    keys = checked(keys, np.int64, None, "keys")
    return dispatch.chosen.sweep_distinct(Sweep.build(spans, queries, valid, len(keys)), keys, nth)


def hashes(offsets: Ints, data: Flags, *, seed: int) -> Ints:
    """Return the hash of each run of bytes: half of a 128-bit MurmurHash3, from 0 to 2**63 - 1.

    Args:
        offsets: run i is ``data[offsets[i]:offsets[i + 1]]``.
        data: bytes.
        seed: of the hash.

    Raises:
        ValueError: if offsets step back or lead out of the bytes.
    """
    offsets = checked(offsets, np.int64, None, "offsets")
    check_starts(offsets, len(data), "offsets")
    return dispatch.chosen.hashes(offsets, checked(data, np.uint8, None, "data"), seed)


def sweep_unique(
    spans: Spans, queries: Queries, codes: Ints, valid: Flags | None = None, *, n_codes: int
) -> Ints:
    """Return the number of distinct codes among the rows active at each query.

    Args:
        spans: which rows count when.
        queries: when to ask.
        codes: int64, one a row, within [0, n_codes). Codes that are dense within a key are fastest.
        valid: rows that are not valid never count.
        n_codes: memory of 4 bytes a code is used.

    Raises:
        ValueError: if a code is out of range, or arrays do not fit each other.
    """
    codes = checked(codes, np.int64, None, "codes")
    return dispatch.chosen.sweep_unique(
        Sweep.build(spans, queries, valid, len(codes)), codes, n_codes
    )


def sweep_codes(
    spans: Spans, queries: Queries, codes: Ints, valid: Flags | None = None, *, n_codes: int
) -> tuple[Ints, Ints]:
    """Return (offsets, codes): those active at query q are ``codes[offsets[q]:offsets[q + 1]]``.

    Each comes once, in ascending order.

    Args:
        spans: which rows count when.
        queries: when to ask.
        codes: int64, one a row, within [0, n_codes).
        valid: rows that are not valid never count.
        n_codes: memory of 4 bytes a code is used.

    Raises:
        ValueError: if a code is out of range, or arrays do not fit each other.
    """
    codes = checked(codes, np.int64, None, "codes")
    sweep = Sweep.build(spans, queries, valid, len(codes))
    counts = dispatch.chosen.sweep_unique(sweep, codes, n_codes)
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
    return offsets, dispatch.chosen.sweep_codes(sweep, codes, n_codes, offsets)


def gather_active(spans: Spans, queries: Queries, valid: Flags | None = None) -> tuple[Ints, Ints]:
    """Return (offsets, rows): the rows active at query q are ``rows[offsets[q]:offsets[q + 1]]``.

    Rows are in the order of their positions. Memory is that of all the rows together, so ask for
    few queries at a time.

    Raises:
        ValueError: if arrays do not fit each other, or spans of one row overlap.
    """
    counts = sweep_counts(spans, queries, valid)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return offsets, dispatch.chosen.gather_active(Sweep.build(spans, queries, valid, None), offsets)


def group_rows(codes: Ints, times: Ints, keys: int) -> tuple[Ints, Ints]:
    """Return rows by key and time: (order, start).

    Key c's rows are ``order[start[c]:start[c + 1]]``, by time; those of one time stay in the order
    in which they were given. Rows that come in the order of time cost a pass over them.

    Args:
        codes: int64, the key of each row, within [0, keys).
        times: int64, one a row.
        keys: how many there are.

    Raises:
        ValueError: if a code is out of range, or the arrays differ in length.
    """
    codes, times = checked(codes, np.int64, None, "codes"), checked(times, np.int64, None, "times")
    if len(codes) != len(times):
        raise ValueError(f"times: expected length {len(codes)}, got {len(times)}")
    return dispatch.chosen.group_rows(codes, times, keys)


def last_n_spans(enter: Ints, superseded: Ints | None, group_start: Ints, n: int) -> Spans:
    """Return spans in which each row is one of the N newest active rows of its group.

    Args:
        enter: when each row starts to be active, int64 microseconds of UTC; rows of a group are in
            the total order of events, so position is age.
        superseded: when it ceases to be, `NEVER` or None for never.
        group_start: rows of group g are ``group_start[g]`` up to ``group_start[g + 1]``.
        n: how many rows.

    Raises:
        ValueError: if n is less than 1 or arrays do not fit each other.
    """
    if n < 1:
        raise ValueError(f"n: expected 1 or more, got {n}")
    return _rule_spans(RuleRows.build(None, enter, superseded, group_start), n)


def session_spans(
    event: Ints, enter: Ints, superseded: Ints | None, gap: int, group_start: Ints
) -> Spans:
    """Return spans in which each row belongs to the newest session of its group.

    That is the newest maximal run of active rows whose neighbours' event times (never stepping
    back within a group) are at most ``gap`` microseconds apart. That a session is over once a
    query is more than a gap past its last event is left to the caller. Other arguments are those
    of `last_n_spans`.

    Raises:
        ValueError: if the gap is negative or arrays do not fit each other.
    """
    if gap < 0:
        raise ValueError(f"gap: expected 0 or more, got {gap}")
    return _rule_spans(RuleRows.build(event, enter, superseded, group_start), gap)


def _rule_spans(rows: RuleRows, parameter: int) -> Spans:
    parameter = min(parameter, NEVER)
    return (
        plain_spans(rows, parameter)
        if rows.in_order()
        else dispatch.chosen.rule_spans(rows, parameter)
    )
