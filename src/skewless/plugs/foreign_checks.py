"""What tools that check data have in common: their checks as ours, their findings in our ledger,
the rows that they refuse in quarantine.

Their patterns are Python's, ours are RE2's, where ``\\d`` and ``\\w`` mean ASCII alone; a pattern
that RE2 does not have (a look-ahead) has no counterpart here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skewless.checks.results import CheckResult, blocked
from skewless.checks.tallies import Tally
from skewless.clock import from_micros, to_micros
from skewless.codec import row_text
from skewless.definitions import FeatureView, Source
from skewless.definitions.checks import Check
from skewless.errors import InputError, RowsRefused, UnknownName
from skewless.ingest.push import PushResult, push
from skewless.monitoring.statistics import values_now
from skewless.online.dedup import Rejected
from skewless.plan.results import TrainingSet
from skewless.plugs.rows import rows_of
from skewless.quality.check import HISTORY, VALUES, QualityReport
from skewless.store import FeatureStore
from skewless.stores.offline.plain import plain_table
from skewless.training.checked import POINT, noted
from skewless.types import DType, dtype_of

LONGEST = 1_000
"""Repetitions of a pattern that RE2 takes."""
_SECOND = timedelta(microseconds=1)


def types_of(schema: Mapping[str, Any] | Source | FeatureView | None) -> dict[str, DType]:
    """Return the types of columns of a source, a view, or what a source is declared with."""
    if schema is None:
        return {}
    if isinstance(schema, Source):
        return dict(schema.columns)
    if isinstance(schema, FeatureView):
        return dict(schema.dtypes)
    return {name: dtype_of(each) for name, each in schema.items()}


def next_to(limit: Any, dtype: DType | None, *, above: bool) -> Any:
    """Return the value of a type that is next to a limit: what ``> limit`` means with ``>=``.

    Raises:
        InputError: the type is not known, or has no next value.
    """
    kind = None if dtype is None else dtype.kind
    if kind in ("int32", "int64"):
        return math.floor(limit) + 1 if above else math.ceil(limit) - 1
    if kind == "float64":
        return math.nextafter(limit, math.inf if above else -math.inf)
    if kind == "timestamp" and isinstance(limit, datetime):
        return limit + (_SECOND if above else -_SECOND)
    raise InputError(f"a limit that is left out, {limit!r}, for a column of type {dtype!r}")


def pattern_of(pattern: str, *, starts: bool, ends: bool) -> str:
    """Return a pattern that a whole text matches where ``pattern`` is found in it.

    Args:
        pattern: of Python.
        starts: whether it is to be found at the start.
        ends: whether it is to end with the text.

    Raises:
        InputError: RE2 does not have such a pattern.

    >>> pattern_of("a+", starts=True, ends=False)
    '(?:a+)(?s:.*)'
    """
    whole = f"{'' if starts else '(?s:.*)'}(?:{pattern}){'' if ends else '(?s:.*)'}"
    try:
        pc.match_substring_regex(pa.array(["x"]), f"^{whole}$")
    except pa.ArrowInvalid as problem:
        raise InputError(f"a pattern that RE2 does not have, {problem}") from None
    return whole


def length_pattern(least: int | None, greatest: int | None) -> str:
    """Return a pattern of texts that are so many characters long.

    Raises:
        InputError: RE2 does not count so far.
    """
    if max(least or 0, greatest or 0) > LONGEST:
        raise InputError(f"a length of {max(least or 0, greatest or 0):,}, beyond {LONGEST:,}")
    return f"(?s:.{{{least or 0},{'' if greatest is None else greatest}}})"


def left_out(what: list[str], tool: str) -> InputError:
    """Return the error of checks that have no counterpart."""
    return InputError(
        f"checks of {tool} that have no counterpart", got="; ".join(what),
        hint="partly=True leaves them out; `check` carries all of them out as they are.",
    )  # fmt: skip


def table_of(fs: FeatureStore, of: str | TrainingSet) -> tuple[str, str, pa.Table]:
    """Return what is to be checked: how results name it, the point, and its rows, in memory.

    Args:
        fs: the store.
        of: a source (its rows that count), a view (its values now), or a training set.

    Raises:
        UnknownName: no such source or view.
    """
    if isinstance(of, TrainingSet):
        return of.id, POINT, of.to_arrow()
    if of in fs.sources:
        return of, HISTORY, rows_of(fs, fs.sources[of])
    if of.partition("@")[0] not in fs.views:
        raise UnknownName.of("source or view", of, [*fs.sources, *fs.views], where="the repo")
    label, table, _ = values_now(fs.runtime, of)
    return label, VALUES, table


def point_of(point: str, tool: str) -> str:
    """Return what results of a tool are noted under: beside those of our own checks, not over them.

    >>> point_of("history", "pandera")
    'history, by pandera'
    """
    return f"{point}, by {tool}"


def noted_report(
    fs: FeatureStore, point: str, tool: str, results: Iterable[CheckResult], *, block: bool = True
) -> QualityReport:
    """Put what a tool found of one source or view into the ledger, and return it.

    Args:
        fs: the store.
        point: where it looked.
        tool: its name.
        results: what it found.
        block: whether what blocks is raised.

    Raises:
        CheckFailed: a check whose action is ``block`` does not hold.
    """
    found = noted(fs.runtime.ledger, point_of(point, tool), list(results))
    if block:
        blocked(found, f"the {point}")
    return QualityReport(fs.runtime.clock.now(), tuple(found))


def push_without(
    fs: FeatureStore,
    source: str,
    rows: pa.Table,
    failures: Iterable[tuple[Iterable[int], str]],
    *,
    backdate: bool,
) -> PushResult:
    """Push rows; those that a tool refuses go to quarantine, in the same transaction.

    Args:
        fs: the store.
        source: whose rows they are.
        rows: all of them.
        failures: places of rows, and why they are refused.
        backdate: see `FeatureStore.push`.

    Raises:
        RowsRefused: there were rows, and every one is quarantined.
    """
    reasons: dict[int, str] = {}
    for places, said in failures:
        for row in places:
            reasons[row] = f"{reasons[row]}; {said}" if row in reasons else said
    bad, rows = sorted(reasons), plain_table(rows)  # Arrow takes no rows of Polars' texts
    values = rows.take(pa.array(bad, pa.int64())).to_pylist()
    refused = [Rejected(n, reasons[n], row_text(row)) for n, row in zip(bad, values, strict=True)]
    good = [n for n in range(rows.num_rows) if n not in reasons]
    result = push(
        fs.runtime, source, rows.take(pa.array(good, pa.int64())), backdate=backdate,
        refused=refused,
    )  # fmt: skip
    mine = set(refused)
    placed = [e if e in mine else replace(e, row=good[e.row]) for e in result.quarantined]
    result = replace(result, quarantined=tuple(sorted(placed, key=lambda each: each.row)))
    if result.quarantined and not (result.accepted or result.duplicates):
        raise RowsRefused.of(source, result)
    return result


def holds(check: Check, table: pa.Table) -> bool:
    """Return whether one of our checks holds for a table."""
    tally = Tally([check], of="")
    tally.add(table)
    return tally.results()[0].ok


def moment_of(text: str) -> datetime:
    """Return a limit of a check, ISO 8601, as a time."""
    return from_micros(to_micros(text))
