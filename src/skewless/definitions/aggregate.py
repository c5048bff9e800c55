"""Aggregations as users write them: ``tests.vdd.mean("1h", "24h")``.

>>> from skewless.definitions.source import Source
>>> tests = Source("tests", schema={"fab": str, "vdd": float}, event_time="at")
>>> tests.vdd.mean(last=100)
mean of tests.vdd over last 100
>>> tests.where(tests.vdd < 1).count("24h")
count of tests where (tests.vdd < 1): Bool over sliding 1d
>>> tests.vdd.mean()
Traceback (most recent call last):
    ...
skewless.errors.DefinitionError: mean of tests.vdd needs a window. \
Expected: such as '1h', last=100, sl.tumbling('1h'), sl.session('30m') or sl.lifetime().
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from skewless.aggregations import Aggregation, aggregation_from_dict
from skewless.aggregations.forms import Forms, forms_of
from skewless.aggregations.ordering import Latest
from skewless.aggregations.plugged_in import fitted
from skewless.aggregations.sequences import Diff, Previous
from skewless.aggregations.windows import LastN, Window, window_from_dict
from skewless.definitions.column_methods import WindowLike
from skewless.definitions.expressions import (
    READERS,
    Column,
    Expression,
    MultiWindow,
    expression_from_dict,
)
from skewless.durations import format_duration, parse_duration
from skewless.errors import DefinitionError, UnknownName
from skewless.forks import cached_property
from skewless.types import DType, Map

_OPTIONS = ("by", "default", "last", "offset", "resolution")


class Aggregate(Expression):
    """An aggregation of a row expression (or of whole rows) over one window of one source.

    Attributes:
        aggregation: what is computed.
        column: over what; None for whole rows.
        where: which rows; None for all.
        window: of which the rows count.
        default: what stands where the value would be null or there is no row.
        ttl: microseconds after which ``latest`` expires; None for never.
        by: text by which the rows of the window are grouped; None where they are not. With it the
            value is a map from text, in ascending order, to the aggregate of the rows of that text.
    """

    def __init__(
        self,
        kind: Aggregation,
        column: Expression | None,
        where: Expression | None,
        window: Window,
        *,
        source: str,
        default: Any = None,
        ttl: int | None = None,
        by: Expression | None = None,
    ) -> None:
        kind.check_window(window)
        if by is not None and by.dtype.kind != "str":
            raise DefinitionError(
                f"by groups the rows of {source!r} by a column of text",
                got=f"{by!r} of type {by.dtype!r}",
                hint="Cast it: by=source.column.cast(str).",
            )
        self.aggregation = kind
        self.column = column
        self.where = where
        self.window = window
        self.source = source
        self.ttl = ttl
        self.by = by
        result = kind.result_type(column.dtype if column is not None else None)
        self.dtype: DType = result if by is None else Map(result)
        self.default = check_default(self.dtype, default)

    @property
    def per_row(self) -> bool:
        """Aggregated values belong to an entity, not to a row."""
        return False

    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, groups: Sequence[str] | None
    ) -> Any:
        """Return the value of at least one row: that of the aggregation, or a map of them.

        Args:
            values: of the rows that take part, in row order.
            events: their event times, microseconds.
            t: the moment asked about, microseconds.
            groups: what `by` gives for each row; None without `by`.
        """
        kind = self.aggregation
        value = self._computed(values, events, t, groups)
        return fitted(kind, self.dtype, value) if kind.plugged_in else value

    def _computed(
        self, values: Sequence[Any], events: Sequence[int], t: int, groups: Sequence[str] | None
    ) -> Any:
        if groups is None:
            return self.aggregation.compute(values, events, t, self.window)
        places: dict[str, list[int]] = {}
        for place, group in enumerate(groups):
            places.setdefault(group, []).append(place)
        return {
            group: self.aggregation.compute(
                [values[place] for place in found],
                [events[place] for place in found],
                t,
                self.window,
            )
            for group, found in sorted(places.items())
        }

    @cached_property
    def key(self) -> str:
        """Equal for aggregates of the same value, whoever asks for them."""
        return repr(self.to_dict())

    @property
    def forms(self) -> Forms:
        """In which form the aggregation runs, and what states keep for it."""
        column = None if self.column is None else self.column.dtype
        return forms_of(self.aggregation, column, self.window, grouped=self.by is not None)

    @property
    def identity(self) -> Any:
        """The value of no rows; None where there is none."""
        if self.by is not None:
            return {}
        empty = self.aggregation.empty
        if empty is None:
            return None
        return self.dtype.coerce(list(empty) if isinstance(empty, tuple) else empty)

    @property
    def expiry(self) -> int | None:
        """The age of the newest row (at its event time 0) from which there is no value any more.

        That is the ttl, or that of a session; None where a value stands until the next row.
        """
        return self.ttl if self.window.expiry is None else self.window.expiry

    def lagged(self, micros: int) -> Aggregate:
        """Return the aggregate over a window that ends so many microseconds earlier."""
        made = copy(self)
        made.__dict__.pop("key", None)
        made.window = self.window.shifted(f"{self.window.offset + micros}us")
        return made

    def without_by(self) -> Aggregate:
        """Return the aggregate of the rows of one group."""
        return Aggregate(self.aggregation, self.column, self.where, self.window, source=self.source)

    def to_dict(self) -> dict[str, Any]:
        """Everything that changes the value."""
        data = self.aggregation.to_dict() | {"over": self.window.to_dict()}
        if self.column is not None:
            data["column_of"] = self.column.to_dict()
        if self.where is not None:
            data["where"] = self.where.to_dict()
        if self.default is not None:
            data["default"] = self.default
        if self.ttl is not None:
            data["ttl"] = self.ttl
        if self.by is not None:
            data["by"] = self.by.to_dict()
        return data

    def __repr__(self) -> str:
        of = self.source if self.column is None else repr(self.column)
        where = "" if self.where is None else f" where {self.where!r}"
        ttl = "" if self.ttl is None else f" for {format_duration(self.ttl)}"
        by = "" if self.by is None else f" by {self.by!r}"
        return f"{self.aggregation.name} of {of}{where} over {self.window!r}{ttl}{by}"


def aggregate_from_dict(data: dict[str, Any], source: str) -> Aggregate:
    """Return the aggregate that `Aggregate.to_dict` wrote."""
    fields = dict(data)
    column, where = fields.pop("column_of", None), fields.pop("where", None)
    default, ttl = fields.pop("default", None), fields.pop("ttl", None)
    by = fields.pop("by", None)
    window = window_from_dict(fields.pop("over"))
    kind = aggregation_from_dict(fields)
    return Aggregate(
        kind,
        None if column is None else expression_from_dict(column, source),
        None if where is None else expression_from_dict(where, source),
        window,
        source=source,
        default=default,
        ttl=ttl,
        by=None if by is None else expression_from_dict(by, source),
    )


READERS["over"] = aggregate_from_dict


def check_default(dtype: DType, default: Any) -> Any:
    """Return a feature's default in canonical form, or raise when it does not fit the type."""
    if default is None:
        return None
    try:
        return dtype.coerce(default)
    except ValueError as problem:
        raise DefinitionError("a default of another type", got=str(problem)) from None


def build(
    kind: Aggregation,
    of: Expression | None,
    rows: tuple[str, Expression | None],
    windows: tuple[WindowLike, ...],
    options: dict[str, Any],
) -> Expression:
    """Return an aggregate, or a `MultiWindow` of them when there are several windows.

    Args:
        kind: what is computed.
        of: the row expression, or None for whole rows.
        rows: name of the source and its filter.
        windows: durations and windows, as the user wrote them.
        options: ``last``, ``offset``, ``resolution``, ``default`` as the user wrote them, ``by`` as
            an expression, ``ttl`` for the newest row of all.
    """
    source, where = rows
    known = (*_OPTIONS, "ttl") if isinstance(kind, Latest) else _OPTIONS
    for option in options:
        if option not in known:
            raise UnknownName.of("option", option, known, where=f"aggregation {kind.name!r}")
    by = _checked_by(options.get("by"), source, where)
    newest = _newest_rows(kind) if by is None and options.get("last") is None else None
    if newest is not None and not windows:
        windows = (LastN(newest),)
        # Newest values that are not null may be any number of rows back.
        if of is not None and not kind.keeps_nulls:
            where = of.is_not_null() if where is None else where & of.is_not_null()
    elif options.get("ttl") is not None:
        raise DefinitionError(
            "a ttl goes with the newest row of all, not with a window or by",
            got=repr(options["ttl"]),
        )
    found = _windows(kind, windows, options)
    if not found:
        subject = source if of is None else repr(of)
        raise DefinitionError(
            f"{kind.name} of {subject} needs a window",
            expected="such as '1h', last=100, sl.tumbling('1h'), sl.session('30m') or "
            "sl.lifetime()",
        )
    ttl = None if options.get("ttl") is None else parse_duration(options["ttl"], what="a ttl")
    made = tuple(
        Aggregate(
            kind, of, where, window, source=source, default=options.get("default"), ttl=ttl, by=by
        )
        for window in found
    )
    if len(made) == 1:
        return made[0]
    return MultiWindow(made, tuple(window.label for window in found))


def _newest_rows(kind: Aggregation) -> int | None:
    """Return how many of the newest rows are meant where no window is said; None: one is needed."""
    return 1 if isinstance(kind, Latest) else 2 if isinstance(kind, (Previous, Diff)) else None


def _windows(
    kind: Aggregation, windows: tuple[WindowLike, ...], options: dict[str, Any]
) -> list[Window]:
    resolution, last = options.get("resolution"), options.get("last")
    found: list[Window] = []
    for window in windows:
        if isinstance(window, Window):
            found.append(window if resolution is None else window.coarse(resolution))
        else:
            found.append(kind.window_of(window, resolution))
    if last is not None:
        found.append(LastN(last))
    return [window.shifted(options.get("offset")) for window in found]


def column_named(name: str, expression: Expression) -> Column:
    """Return the column of that name of the rows that an expression is over.

    Raises:
        UnknownName: its source has no such column.
        DefinitionError: the expression was read back and does not know its source.
    """
    for leaf in expression.leaves():
        if isinstance(leaf, Column) and leaf.rows is not None:
            return leaf.rows[name]
    raise DefinitionError(
        f"{expression!r} does not know the other columns of its source",
        hint=f"Give the column itself: by=source[{name!r}].",
    )


def _checked_by(by: Any, source: str, where: Expression | None) -> Expression | None:
    if by is None:
        return None
    if not isinstance(by, Expression) or not by.per_row:
        raise DefinitionError("by names a column of the source", got=repr(by))
    other, filtered = rows_of(by)
    if other != source:
        raise DefinitionError(f"by is over another source than {source!r}", got=repr(by))
    if filtered is not None and repr(filtered) != repr(where):
        raise DefinitionError(
            "an aggregation has one filter",
            got=f"{where!r} and, of by, {filtered!r}",
            hint="Take by from the source itself, or name it: by='merchant'.",
        )
    return by


def rows_of(expression: Expression) -> tuple[str, Expression | None]:
    """Return source and filter of a row expression.

    Raises:
        DefinitionError: it has no column, or columns of two sources or under two filters.
    """
    columns = [leaf for leaf in expression.leaves() if isinstance(leaf, Column)]
    sources = sorted({column.source for column in columns})
    if len(sources) != 1:
        raise DefinitionError(
            "an aggregation is over the columns of one source",
            got=f"{expression!r} with columns of {', '.join(sources) or 'no source'}",
        )
    filters = {repr(column.where): column.where for column in columns}
    if len(filters) > 1:
        raise DefinitionError(
            "an aggregation has one filter",
            got=" and ".join(sorted(filters)),
            hint="Take every column from the same source.where(...).",
        )
    return sources[0], next(iter(filters.values()))


def aggregate_of(
    expression: Expression,
    kind: Aggregation,
    windows: tuple[WindowLike, ...],
    options: dict[str, Any],
) -> Expression:
    """Return an aggregation of a row expression; what every method of a column returns."""
    rows = rows_of(expression)
    if isinstance(options.get("by"), str):
        options = options | {"by": column_named(options["by"], expression)}
    return build(kind, expression, rows, windows, options)


Expression._aggregate = aggregate_of
