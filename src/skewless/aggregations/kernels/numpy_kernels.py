"""The kernels in NumPy and Python: the readable definition, and the fallback without a compiler.

Every function takes checked arrays and equals its compiled twin to the bit. Groups are worked on in
blocks, so that memory follows the block and not the table.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skewless.aggregations.exact import ExactSum, rounded_ratio
from skewless.aggregations.kernels import numpy_distinct, numpy_latest, numpy_rules
from skewless.aggregations.kernels.spans import (
    Flags,
    Floats,
    Ints,
    Queries,
    Sweep,
    Want,
    search_groups,
    sorted_order,
)

rule_spans = numpy_rules.rule_spans
latest_add = numpy_latest.latest_add
latest_finish = numpy_latest.latest_finish
hashes = numpy_distinct.hashes

_BLOCK_SPANS = 1 << 18
_SMALLEST_EXPONENT = -1074
_MOST_LIMBS = 136
_LOW_32 = np.uint64(0xFFFFFFFF)

Objects = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class _Block:
    """The spans of some groups that ever count, in the order of entering.

    Query q of the block sees the spans up to ``entered[q]`` less the first ``left[q]`` of its group
    in the order of leaving.
    """

    row: Ints
    enter: Ints
    exit: Ints
    start: Ints
    by_exit: Ints | None
    time: Ints
    query_start: Ints
    entered: Ints
    left: Ints
    slice: slice


def _blocks(sweep: Sweep) -> Iterator[_Block]:
    spans, queries = sweep.spans, sweep.queries
    first, groups = 0, len(spans.start) - 1
    back = np.flatnonzero(queries.time[1:] < queries.time[:-1]) + 1
    if not np.isin(back, queries.start).all():
        raise ValueError("query times of a group step back")
    while first < groups:
        stop = int(np.searchsorted(spans.start, spans.start[first] + _BLOCK_SPANS, "right")) - 1
        last = min(max(stop, first + 1), groups)
        part = Sweep(
            spans.groups(first, last), queries.groups(first, last), sweep.valid, sweep.rows
        )
        yield _block(part, int(queries.start[first]))
        first = last


def _block(sweep: Sweep, first_query: int) -> _Block:
    spans, queries, valid = sweep.spans, sweep.queries, sweep.valid
    low, high = int(spans.start[0]), int(spans.start[-1])
    order = np.arange(low, high) if spans.enter_order is None else spans.enter_order[low:high]
    if len(order) and not low <= order.min() <= order.max() < high:
        raise ValueError("an order is not a permutation of its group's spans")
    row = order if spans.row is None else spans.row[order]
    if len(row) and not 0 <= row.min() <= row.max() < sweep.rows:
        raise ValueError("a span's row lies outside the value arrays")
    counts = spans.enter[order] < spans.exit[order]
    if valid is not None:
        counts &= valid[row] != 0
    kept = np.concatenate(([0], np.cumsum(counts)))
    start = kept[spans.start - low]
    order, row = order[counts], row[counts]
    enter, leave = spans.enter[order], spans.exit[order]
    by_exit = sorted_order(leave, start)
    entered = _places(enter, start, queries)
    left = _places(leave if by_exit is None else leave[by_exit], start, queries)
    own = slice(first_query, first_query + len(queries.time))
    return _Block(
        row, enter, leave, start, by_exit, queries.time, queries.start, entered, left, own
    )


def _places(times: Ints, start: Ints, queries: Queries) -> Ints:
    """For each query, the place after its group's times that are at most the query's."""
    own = np.repeat(np.arange(len(start) - 1), np.diff(queries.start))
    return search_groups(times, start[own], start[own + 1], queries.time, "right")


def _totals(weights: Ints, block: _Block) -> Ints:
    """The sum of the weights of the spans active at each query: what entered less what left."""
    leaving = weights if block.by_exit is None else weights[block.by_exit]
    gone = np.concatenate(([0], np.cumsum(leaving)))[block.left]
    total: Ints = np.concatenate(([0], np.cumsum(weights)))[block.entered] - gone
    return total


# ---- sums -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Terms:
    """Exact numbers ``sign * magnitude * 2**place`` with 64-bit magnitudes."""

    magnitude: npt.NDArray[np.uint64]
    place: Ints
    sign: Ints

    def squared(self) -> list[_Terms]:
        """Three terms whose sum is the square of each number."""
        high, low = self.magnitude >> np.uint64(32), self.magnitude & _LOW_32
        plus, place = np.ones_like(self.sign), 2 * self.place
        return [
            _Terms(low * low, place, plus),
            _Terms(high * low, place + 33, plus),
            _Terms(high * high, place + 64, plus),
        ]

    def limbs(self) -> list[tuple[Ints, Ints]]:
        """Pieces of 32 bits as (limb, signed piece): their sum is the number."""
        shift = (self.place & 31).astype(np.uint64)
        rest = np.uint64(32) - shift
        above = self.magnitude >> np.uint64(32)
        pieces = (
            (self.magnitude << shift) & _LOW_32,
            (self.magnitude >> rest) & _LOW_32,
            above >> rest,
        )
        return [
            ((self.place >> 5) + k, piece.astype(np.int64) * self.sign)
            for k, piece in enumerate(pieces)
        ]


def _float_terms(values: Floats) -> _Terms:
    """Finite doubles; the place counts from 2**-1074."""
    bits = values.view(np.uint64)
    exponent = (bits >> np.uint64(52)).astype(np.int64) & 2047
    fraction = bits & np.uint64((1 << 52) - 1)
    implicit = (exponent > 0).astype(np.uint64) << np.uint64(52)
    sign = np.where(np.signbit(values), -1, 1)
    return _Terms(fraction | implicit, np.maximum(exponent, 1) - 1, sign)


def _integer_terms(values: Ints) -> _Terms:
    negative = values < 0
    plain = values.astype(np.uint64)
    magnitude = np.where(negative, ~plain + np.uint64(1), plain)
    return _Terms(magnitude, np.zeros_like(values), np.where(negative, -1, 1))


def _exact_totals(terms: list[_Terms], block: _Block) -> Objects:
    """The exact sum over the active spans, as Python integers in units of the terms."""
    pieces = [piece for term in terms for piece in term.limbs()]
    total = np.zeros(len(block.time), dtype=object)
    used = np.sum([np.bincount(limbs, minlength=_MOST_LIMBS) for limbs, _ in pieces], axis=0)
    for limb in np.flatnonzero(used).tolist():
        weights = np.zeros(len(block.row), dtype=np.int64)
        for limbs, piece in pieces:
            weights += np.where(limbs == limb, piece, 0)
        if weights.any():
            total += _totals(weights, block).astype(object) * (1 << 32 * int(limb))
    return total


def sweep_sums(sweep: Sweep, values: Floats | Ints | None, want: Want, out: dict[str, Any]) -> None:
    """Fill the columns of ``out`` that are there; see ``kernels.sweep_sums``."""
    for block in _blocks(sweep):
        count = _totals(np.ones(len(block.row), dtype=np.int64), block)
        columns = {name: column[block.slice] for name, column in out.items()}
        if "count" in columns:
            columns["count"][:] = count
        if values is None:
            continue
        column: Any = values[block.row]
        integers = values.dtype.kind == "i"
        unit, infinite = 0, None
        if not integers:
            if np.isnan(column).any():
                raise ValueError("a valid value is NaN")
            unit, infinite = _SMALLEST_EXPONENT, _infinite_totals(column, block)
            count = count - infinite[0] - infinite[1]
            column = np.where(np.isinf(column), 0.0, column)
        terms = _integer_terms(column) if integers else _float_terms(column)
        squared = want & (Want.VAR | Want.VAR_SAMPLE)
        total = _exact_totals([terms], block)
        squares = _exact_totals(terms.squared(), block) if squared else total
        _finish(columns, count, total, squares, unit)
        if infinite is not None:
            _overrule_infinite(columns, *infinite)


def _infinite_totals(column: Floats, block: _Block) -> tuple[Ints, Ints]:
    plus, minus = ((column == sign).astype(np.int64) for sign in (np.inf, -np.inf))
    return _totals(plus, block), _totals(minus, block)


def _overrule_infinite(columns: dict[str, Any], plus: Ints, minus: Ints) -> None:
    some = (plus > 0) | (minus > 0)
    limit = np.where(plus > 0, np.where(minus > 0, np.nan, np.inf), -np.inf)
    for name in columns.keys() & {"sum", "mean"}:
        columns[name][some] = limit[some]
    for name in columns.keys() & {"var", "var_sample"}:
        columns[name][some] = np.nan


def _finish(
    columns: dict[str, Any],
    count: Ints,
    total: Objects,
    squares: Objects,
    unit: int,
) -> None:
    """Round each exact result once."""
    rows = list(zip(count.tolist(), total, squares, strict=True))
    if "overflow" in columns:
        fits = [-(1 << 63) <= s < 1 << 63 for _, s, _ in rows]
        columns["sum"][:] = [s if fit else 0 for fit, (_, s, _) in zip(fits, rows, strict=True)]
        columns["overflow"][:] = [not fit for fit in fits]
    elif "sum" in columns:
        columns["sum"][:] = [rounded_ratio(s, 1, unit) for _, s, _ in rows]
    if "mean" in columns:
        columns["mean"][:] = [rounded_ratio(s, n, unit) if n else np.nan for n, s, _ in rows]
    for name, ddof in (("var", 0), ("var_sample", 1)):
        if name in columns:
            columns[name][:] = [
                rounded_ratio(n * q - s * s, n * (n - ddof), 2 * unit) if n > ddof else np.nan
                for n, s, q in rows
            ]


# ---- order --------------------------------------------------------------------------------------


def total_order(values: Floats) -> Ints:
    """Doubles as integers of the same order, -0.0 before 0.0."""
    bits = values.view(np.int64)
    key: Ints = bits ^ ((bits >> 63) & np.int64(2**63 - 1))
    return key


def sweep_order(sweep: Sweep, keys: Floats | Ints | None, want: Want) -> tuple[Ints, Ints]:
    """Rows of the least and the greatest (key, row) active at each query; -1 for none."""
    found = np.full((2, len(sweep.queries.time)), -1, dtype=np.int64)
    for block in _blocks(sweep):
        key: Any = block.row if keys is None else keys[block.row]
        if key.dtype.kind == "f":
            if np.isnan(key).any():
                raise ValueError("a valid value is NaN")
            key = total_order(key)
        by_rank = np.lexsort((block.row, key))
        rank = np.empty(len(by_rank), dtype=np.int64)
        rank[by_rank] = np.arange(len(by_rank))
        wanted = ((0, rank, Want.MIN), (1, -1 - rank, Want.MAX))
        for side, least_wins, flag in wanted:
            if want & flag and len(rank):
                best = _least_active(least_wins, block)
                some = best != _NONE
                at = best[some] if side == 0 else -1 - best[some]
                found[side, block.slice][some] = block.row[by_rank[at]]
    return found[0], found[1]


_NONE = np.iinfo(np.int64).max


def _least_active(rank: Ints, block: _Block) -> Ints:
    """The least rank active at each query; a range of spans where exits are in order."""
    least = np.full(len(block.time), _NONE, dtype=np.int64)
    if block.by_exit is None:
        range_minimum(rank, block.left, block.entered, least)
        return least
    groups = np.flatnonzero(np.diff(block.query_start))
    for group in groups.tolist():
        own = slice(block.query_start[group], block.query_start[group + 1])
        low, high = block.start[group], block.start[group + 1]
        if (np.diff(block.exit[low:high]) >= 0).all():
            range_minimum(rank, block.left[own], block.entered[own], least[own])
            continue
        heap: list[tuple[int, int]] = []
        leave, ranks = block.exit[low:high].tolist(), rank[low:high].tolist()
        at = 0
        for q in range(own.start, own.stop):
            while at < block.entered[q] - low:
                heapq.heappush(heap, (ranks[at], leave[at]))
                at += 1
            while heap and heap[0][1] <= block.time[q]:
                heapq.heappop(heap)
            if heap:
                least[q] = heap[0][0]
    return least


def range_minimum(rank: Ints, low: Ints, high: Ints, least: Ints) -> None:
    """Put the minimum of rank[low:high] at each pair that holds a rank.

    One level of a sparse table comes after the other.
    """
    length = np.maximum(high - low, 0)
    level = np.frexp(length)[1] - 1
    table = rank
    for k in range(int(level.max(initial=-1)) + 1):
        if k:
            half = 1 << (k - 1)
            table = np.minimum(table[:-half], table[half:])
        here = np.flatnonzero((level == k) & (length > 0))
        least[here] = np.minimum(table[low[here]], table[high[here] - (1 << k)])


# ---- distinct codes, rows, one window ----------------------------------------------------------


def sweep_unique(sweep: Sweep, codes: Ints, n_codes: int) -> Ints:
    """Distinct codes: the spans of a code are merged where they touch, then counted."""
    distinct = np.empty(len(sweep.queries.time), dtype=np.int64)
    for block in _blocks(sweep):
        code = codes[block.row]
        if len(code) and not 0 <= code.min() <= code.max() < n_codes:
            raise ValueError("a code lies outside [0, n_codes)")
        enter, leave, group = _merged_by_code(code, block)
        start = np.searchsorted(group, np.arange(len(block.start)))
        own = Queries(block.time, block.query_start)
        entered = _places(enter, start, own)
        distinct[block.slice] = entered - _places(leave, start, own)
    return distinct


def _merged_by_code(code: Ints, block: _Block) -> tuple[Ints, Ints, Ints]:
    """Enters, exits and groups of the maximal intervals in which a code is active.

    Enters and exits are sorted within each group, each for itself.
    """
    sizes = np.diff(block.start)
    group = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((code, group))  # and by enter, as the block is
    code, group, enter, leave = code[order], group[order], block.enter[order], block.exit[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (code[1:] != code[:-1]) | (group[1:] != group[:-1])
    if block.by_exit is None:
        latest = leave
    else:
        times, rank = np.unique(leave, return_inverse=True)
        offset = np.cumsum(new) * len(times)
        latest = times[np.maximum.accumulate(rank + offset) - offset]
    new[1:] |= enter[1:] > latest[:-1]
    last = np.concatenate((new[1:], [True]))[: len(new)]
    enter, leave, group = block.enter[np.sort(order[new])], latest[last], group[new]
    return enter, leave[np.lexsort((leave, group))], group


def sweep_codes(sweep: Sweep, codes: Ints, n_codes: int, offsets: Ints) -> Ints:
    """Distinct codes active at each query, query q's at ``offsets[q]`` of the result."""
    out: dict[str, Any] = {"count": np.zeros(len(sweep.queries.time), np.int64)}
    sweep_sums(sweep, None, Want.COUNT, out)
    bounds = np.concatenate(([0], np.cumsum(out["count"])))
    asked = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    pairs = np.unique(asked * n_codes + codes[gather_active(sweep, bounds)])
    found = np.empty(int(offsets[-1]), np.int64)
    found[:] = pairs % n_codes
    return found


def gather_active(sweep: Sweep, offsets: Ints) -> Ints:
    """Rows active at each query in row order, query q's at ``offsets[q]`` of the result."""
    out = np.empty(int(offsets[-1]), dtype=np.int64)
    for block in _blocks(sweep):
        group = np.repeat(np.arange(len(block.start) - 1), np.diff(block.query_start))
        low = block.left if block.by_exit is None else block.start[group]
        for q, time in enumerate(block.time.tolist()):
            seen = slice(low[q], max(low[q], block.entered[q]))
            at = block.slice.start + q
            out[offsets[at] : offsets[at + 1]] = np.sort(block.row[seen][block.exit[seen] > time])
    return out


def window_summary(
    values: Floats | Ints, valid: Flags | None, low: int, high: int, want: int, /
) -> tuple[int | float | None, ...]:
    """See ``kernels.window_summary``."""
    column = np.asarray(values)
    mask = None if valid is None else np.asarray(valid)
    if not 0 <= low <= high <= len(column) or (mask is not None and len(mask) != len(column)):
        raise ValueError("window_summary: slice or valid outside the values")
    column = column[low:high] if mask is None else column[low:high][mask[low:high] != 0]
    integers = column.dtype.kind == "i"
    state = ExactSum()
    for value in column.tolist():
        state.add(value)
    least = greatest = None
    if len(column):
        key = column if integers else total_order(np.ascontiguousarray(column))
        least, greatest = column[key.argmin()].item(), column[key.argmax()].item()
    numbers = (
        state.n,
        state.integer_sum() if integers else state.sum(),
        state.mean(),
        state.var(0),
        state.var(1),
        least,
        greatest,
    )
    return tuple(number if want >> i & 1 else None for i, number in enumerate(numbers))


def sweep_frequent(sweep: Sweep, keys: Ints, k: int) -> Ints:
    """Rows of the ``k`` most frequent keys at each query; -1 for none."""
    out: dict[str, Any] = {"count": np.zeros(len(sweep.queries.time), np.int64)}
    sweep_sums(sweep, None, Want.COUNT, out)
    offsets = np.concatenate(([0], np.cumsum(out["count"])))
    rows = gather_active(sweep, offsets)
    found = np.full((len(out["count"]), k), -1, np.int64)
    for query in np.flatnonzero(out["count"]).tolist():
        active = rows[offsets[query] : offsets[query + 1]]
        distinct, first, counts = np.unique(keys[active], return_index=True, return_counts=True)
        chosen = first[np.lexsort((distinct, -counts))[:k]]
        found[query, : len(chosen)] = active[chosen]
    return found


def decayed_means(
    rows: tuple[Ints, Floats], windows: tuple[Ints, Ints, Ints], half_life: int
) -> Floats:
    """The mean of each window's values, each weighted by its age; NaN where there is none."""
    events, values = rows
    found = [
        _decayed_mean(events[low:high].tolist(), values[low:high], t, half_life)
        for low, high, t in zip(*(each.tolist() for each in windows), strict=True)
    ]
    return np.array(found, np.float64)


def _decayed_mean(events: list[int], values: Floats, t: int, half_life: int) -> float:
    weights = np.array([math.exp2((event - t) / half_life) for event in events])
    with np.errstate(all="ignore"):
        products = weights * values
    if not np.isfinite(products).all():
        return math.nan
    total, weighted = _sum(weights), _sum(products)
    return math.nan if total == 0 or math.isinf(weighted) else weighted / total


def _sum(values: Floats) -> float:
    """The exact sum, rounded once."""
    found: Any = window_summary(values, None, 0, len(values), int(Want.SUM))[1]
    return float(found)


def sweep_quantile(sweep: Sweep, keys: Ints, q: float) -> tuple[Ints, Ints, Ints]:
    """The active rows around a quantile of each query, -1 for none, and how many are active."""
    out: dict[str, Any] = {"count": np.zeros(len(sweep.queries.time), np.int64)}
    sweep_sums(sweep, None, Want.COUNT, out)
    counts: Ints = out["count"]
    offsets = np.concatenate(([0], np.cumsum(counts)))
    rows = gather_active(sweep, offsets)
    below, above = np.full(len(counts), -1), np.full(len(counts), -1)
    for query in np.flatnonzero(counts).tolist():
        active = rows[offsets[query] : offsets[query + 1]]
        ordered = active[np.argsort(keys[active], kind="stable")]
        position = q * (len(ordered) - 1)
        below[query] = ordered[int(np.floor(position))]
        above[query] = ordered[int(np.ceil(position))]
    return below, above, counts


def sweep_distinct(sweep: Sweep, keys: Ints, nth: int) -> tuple[Ints, Ints]:
    """A row of the distinct key that ``nth`` others are less than, -1 for none, and how many."""
    out: dict[str, Any] = {"count": np.zeros(len(sweep.queries.time), np.int64)}
    sweep_sums(sweep, None, Want.COUNT, out)
    offsets = np.concatenate(([0], np.cumsum(out["count"])))
    rows = gather_active(sweep, offsets)
    row, counts = np.full(len(offsets) - 1, -1), np.zeros(len(offsets) - 1, np.int64)
    for query in np.flatnonzero(out["count"]).tolist():
        active = rows[offsets[query] : offsets[query + 1]]
        distinct, first = np.unique(keys[active], return_index=True)
        counts[query] = len(distinct)
        if len(distinct) > nth:
            row[query] = active[first[nth]]
    return row, counts


def sweep_moments(
    sweep: Sweep, values: Floats | Ints, events: Ints | None, out: dict[str, Any], done: Flags
) -> None:
    """Leave everything to `numpy_moments`."""


def window_moments(values: Any, events: Any, /) -> None:
    """Leave everything to `numpy_moments`."""


def group_rows(codes: Ints, times: Ints, keys: int) -> tuple[Ints, Ints]:
    """Positions of rows by code and time, and where each code's begin."""
    start = np.zeros(keys + 1, np.int64)
    if not len(codes):
        return np.zeros(0, np.int64), start
    if codes.min() < 0 or codes.max() >= keys:
        raise ValueError("a code lies outside [0, n_codes)")
    np.cumsum(np.bincount(codes, minlength=keys), out=start[1:])
    low, high = int(times.min()), int(times.max())
    width = high - low + 1
    if keys * width < 2**63:
        order: Ints = np.argsort(codes * width + (times - low), kind="stable")
        return order, start
    return np.lexsort((times, codes)), start
