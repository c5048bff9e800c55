"""Derived sources: one row for each group of rows of another source, made by a function.

>>> from skewless.definitions.source import Source
>>> dies = Source("dies", schema={"wafer": str, "x": int, "vdd": float}, event_time="at")
>>> @derived(source=dies, by="wafer", rows=2, returns={"spread": float})
... def wafer_map(rows):
...     return {"spread": rows["vdd"].max() - rows["vdd"].min()}
>>> wafer_map, wafer_map.spread, wafer_map.row_id
(Source(wafer_map), wafer_map.spread, ('wafer',))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skewless.definitions.derivation import (
    LAST_ROW,
    OF_A_TABLE,
    Derivation,
    GroupFunction,
    unfit,
)
from skewless.definitions.entity import KEY_KINDS
from skewless.definitions.on_demand import code_of
from skewless.definitions.source import Source
from skewless.errors import DefinitionError, UnknownName
from skewless.types import DType

MOST = 100_000
"""The most rows a group may be said to have: all of them are in memory when the function runs."""


def derived(
    *,
    source: Source,
    by: str | Sequence[str],
    rows: int,
    returns: Mapping[str, object],
    most: int | None = None,
    columns: Sequence[str] | None = None,
    name: str | None = None,
    **labels: Any,
) -> Callable[[GroupFunction], Source]:
    """Make a source of a function over the rows of one group of another source.

    The function runs once a group has ``rows`` rows, and again whenever a row of it comes late, is
    corrected or deleted. What it returns is a row: identified by the group, of the newest event
    time in it, and known since the last of its rows is known. Views use it as any source.

    Args:
        source: whose rows; pushed or streamed, or derived of such.
        by: the column or columns that the rows of a group have in common; null: of no group.
        rows: how many rows a group has, at least.
        returns: column = type, or `sl.Column` with words.
        most: how many rows a group may have; by default ``rows``. One with more has no row.
        columns: those that the function is given; by default all but ``by`` and the times.
        name: of the source; by default that of the function.
        labels: ``description`` (by default the docstring) and ``owner``, for people.

    Returns:
        A decorator. The function takes a mapping of column to NumPy array (numbers as float64 with
        NaN for null, all else as objects with None), the rows in order of event time, and returns
        a mapping of column to value; or None: there is no row of this group. It must be pure: of
        the same rows always the same. A group for which it raises has no row, and is quarantined
        with the reason.

    Raises:
        DefinitionError: groups without bounds, or of a source of which rows cannot be derived.
        UnknownName: a column that the source does not have.
    """
    if not isinstance(source, Source):
        raise DefinitionError(
            "rows are derived of a source", got=f"{source!r:.60} ({type(source).__name__})"
        )
    keys = (by,) if isinstance(by, str) else tuple(by)
    counts = (rows, _checked_counts(source, rows, most))

    def make(function: GroupFunction) -> Source:
        described = {"description": inspect.getdoc(function) or "", **labels}
        label = getattr(function, "__name__", "") if name is None else name
        made = _source(label, source, keys, returns, described)
        made.derivation = _derivation(source, keys, counts, columns, function)
        if why := unfit(made.derivation, source):
            raise DefinitionError(
                f"{made.name!r} cannot be derived of {source.name!r}",
                got=why,
                hint=None if source.table is None else OF_A_TABLE,
            )
        return made

    return make


def _derivation(
    base: Source,
    keys: tuple[str, ...],
    counts: tuple[int, int],
    columns: Sequence[str] | None,
    function: GroupFunction,
) -> Derivation:
    """Return how rows are made of those of a source."""
    if not inspect.isfunction(function):
        raise DefinitionError("rows are derived by a function", got=f"{function!r:.60}")
    hidden = () if base.derivation is None else base.derivation.hidden
    taken = tuple(each for each in base.schema if each not in (*keys, *hidden))
    taken = taken if columns is None else tuple(columns)
    where = f"what is derived of {base.name!r}"
    types = {each: _column(base, each, where) for each in (*keys, *taken)}
    return Derivation(
        source=base.name,
        by=keys,
        rows=counts[0],
        most=counts[1],
        columns=taken,
        event_time=base.event_time,
        row_id=base.row_id,
        types=types | {each: base.columns[each] for each in base.row_id},
        code=code_of(function),
        function=function,
        base=base,
    )


def _source(
    name: str,
    base: Source,
    keys: tuple[str, ...],
    returns: Mapping[str, object],
    labels: Mapping[str, Any],
) -> Source:
    """Return a source with the columns that a group has in common, and those that it gets."""
    where = f"derived source {name!r}"
    types = _types(base, keys, where)
    if not returns:
        raise DefinitionError(f"{where} returns nothing", expected="returns={'mean': float}")
    if clash := [each for each in returns if each in (*keys, base.event_time, LAST_ROW)]:
        raise DefinitionError(f"{where} returns {clash[0]!r}, which it has from its rows")
    return Source(
        name,
        schema={**types, **returns, LAST_ROW: int},
        event_time=base.event_time,
        row_id=keys,
        future=f"{base.future}us",
        **labels,
    )


def _checked_counts(source: Source, rows: object, most: object) -> int:
    """Return how many rows a group may have.

    Raises:
        DefinitionError: what was said is no bound.
    """
    counts = [rows, rows if most is None else most]
    for count in counts:
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST:
            raise DefinitionError(
                f"groups of {source.name!r} need bounds",
                got=f"rows={rows!r}, most={most!r}",
                expected=f"numbers of rows from 1 to {MOST:,}, such as rows=144",
            )
    least, greatest = (int(str(count)) for count in counts)
    if greatest < least:
        raise DefinitionError("a group may have fewer rows than it needs", got=f"most={most!r}")
    return greatest


def _types(source: Source, keys: tuple[str, ...], where: str) -> dict[str, DType]:
    if not keys or len(set(keys)) < len(keys):
        raise DefinitionError(f"{where} needs columns to group by", expected="by='wafer_id'")
    types = {key: _column(source, key, where) for key in keys}
    for key, dtype in types.items():
        if dtype.kind not in KEY_KINDS or key == source.event_time:
            raise DefinitionError(f"{where} cannot group by {key!r}", got=repr(dtype))
    return types


def _column(source: Source, name: str, where: str) -> DType:
    hidden = () if source.derivation is None else source.derivation.hidden
    known = [each for each in source.columns if each not in hidden]
    if name not in known:
        raise UnknownName.of("column", name, known, where=f"{where}, source {source.name}")
    return source.columns[name]
