"""Sources: where rows come from, with typed columns and times.

>>> tests = Source("tests", schema={"fab": str, "vdd": float}, event_time="tested_at")
>>> tests.vdd
tests.vdd
>>> tests.vd
Traceback (most recent call last):
    ...
skewless.errors.UnknownAttribute: source 'tests' has no column 'vd'. \
Columns: fab, tested_at, vdd. Did you mean 'vdd'?
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from skewless.aggregations import aggregation
from skewless.definitions.aggregate import build
from skewless.definitions.checks import Check, checked_list, checks_of_words
from skewless.definitions.column_methods import WindowLike, or_lifetime
from skewless.definitions.derivation import Derivation
from skewless.definitions.entity import former
from skewless.definitions.expressions import Column, Expression, MultiWindow
from skewless.definitions.message_parts import check_places
from skewless.definitions.naming import checked_name, checked_text
from skewless.definitions.tables import Recorded, Stream, Table
from skewless.definitions.words import (
    Words,
    former_names,
    typed_and_words,
    words_dict,
    words_from_dict,
)
from skewless.durations import parse_duration
from skewless.errors import DefinitionError, UnknownName
from skewless.forks import cached_property
from skewless.types import DType, Timestamp, dtype_from_dict, dtype_of, epoch

EXTRA = ("ignore", "quarantine", "error")


@dataclass(frozen=True)
class Epoch:
    """A time column whose values come as numbers since 1970: ``event_time=sl.Epoch("ts", "ms")``.

    Args:
        column: its name.
        unit: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``; fractions are kept to the microsecond, and of
            nanoseconds the microsecond they lie in, as of every time.

    Raises:
        DefinitionError: another unit: it is said, never guessed.
    """

    column: str
    unit: str

    def __post_init__(self) -> None:
        epoch(self.unit)


class Rows:
    """Rows of a source, perhaps filtered: typed columns, and aggregations of whole rows."""

    def __init__(self, source: Source, where: Expression | None) -> None:
        self._source = source
        self._where = where

    def __getitem__(self, name: str) -> Column:
        """Return the column of that name; the form for names that clash with methods."""
        columns = self._source.columns
        if (by := self._source.derivation) is not None:
            columns = {each: dtype for each, dtype in columns.items() if each not in by.hidden}
        if name not in columns:
            raise UnknownName.of("column", name, columns, where=f"source {self._source.name!r}")
        dtype = Timestamp if columns[name].kind == "timestamp" else columns[name]
        return Column(self._source.name, name, dtype, self._where, self)

    def __getattr__(self, name: str) -> Column:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except UnknownName as problem:
            raise problem.as_attribute() from None

    def where(self, condition: Expression) -> Rows:
        """Return the rows for which ``condition`` is true (not false, not null)."""
        check_filter(condition, self._source.name)
        return Rows(self._source, condition if self._where is None else self._where & condition)

    def count(self, *windows: WindowLike, **options: Any) -> Expression:
        """Number of rows."""
        return self._over("count", windows, options)

    def rate(self, *windows: WindowLike, **options: Any) -> Expression:
        """Rows per second of the window."""
        return self._over("rate", windows, options)

    def since_last(self, *windows: WindowLike, **options: Any) -> Expression:
        """Seconds since the newest row; by default the newest of all."""
        if not windows and options.get("last") is None and options.get("by") is None:
            options["last"] = 1
        return self._over("since_last", windows, options)

    def since_first(self, *windows: WindowLike, **options: Any) -> Expression:
        """Seconds since the oldest row; by default the oldest of all."""
        return self._over("since_first", or_lifetime(windows, options), options)

    def burst(self, width: str, *windows: WindowLike, **options: Any) -> Expression:
        """The greatest number of rows within ``width`` of each other."""
        return self._over("burst", windows, options, width=width)

    def latest(self, *names: str, ttl: str | None = None) -> MultiWindow:
        """Several columns of the newest row at once: their names, or ``"*"`` for all but keys.

        A view names each feature after its column, whatever the attribute is called.
        """
        every = names in (("*",), ())
        hidden = () if self._source.derivation is None else self._source.derivation.hidden
        columns = [each for each in self._source.schema if each not in hidden]
        columns = columns if every else list(names)
        members = tuple(self[name].latest(ttl=ttl) for name in columns)
        return MultiWindow(members, tuple(columns), replaces_name=True, all_columns=every)

    def _over(
        self, name: str, windows: tuple[WindowLike, ...], options: Any, **params: Any
    ) -> Expression:
        rows = (self._source.name, self._where)
        if isinstance(options.get("by"), str):
            options = options | {"by": self[options["by"]]}
        return build(aggregation(name, **params), None, rows, windows, options)


class HasValues(Protocol):
    """A feature view, of whose values there is a source."""

    def as_source(self, name: str | None, labels: Mapping[str, Any], /) -> Source:
        """Return it; see `Source.of`."""


class Source(Rows):
    """Where rows come from: a table, a stream or pushes, or all of them.

    Args:
        name: of the source.
        schema: column name = type, or `sl.Column` with words; without the two time columns. None:
            read from the table.
        event_time: the column that says when a row happened; `Epoch` where it holds numbers.
        known_time: the column that says when it came to be known, likewise.
        delay: for sources without known time: known time = event time + delay.
        row_id: the column (or columns) that identify a row: a second row of one id is a correction.
        table: the batch side.
        stream: the stream side. Pushing always works.
        closed: ``"right"`` (the moment asked about counts) or ``"left"`` (it does not); a view may
            say otherwise.
        lateness: how far behind the newest event a row may be and still be counted; None: any.
        future: how far ahead of now an event time may be before the row is quarantined.
        extra: what becomes of pushed rows with fields that the source does not have: ``"ignore"``
            leaves the fields out and names them, ``"quarantine"`` sets the row aside, ``"error"``
            refuses the push. A stream takes the fields that are columns.
        description: for people; outside the fingerprint.
        owner: for people; outside the fingerprint.
        was: the name of before, where it is renamed; its rows and states stay.
        checks: what is expected of the rows, see `Check`; outside the fingerprint, but for those
            that set rows aside or alter values. Limits that are said of a column (`sl.Column`) are
            checks too.

    Raises:
        DefinitionError: anything of this is wrong.
    """

    def __init__(
        self,
        name: str,
        *,
        event_time: str | Epoch,
        schema: Mapping[str, object] | None = None,
        known_time: str | Epoch | None = None,
        delay: str = "0s",
        row_id: str | tuple[str, ...] | list[str] | None = None,
        table: Table | None = None,
        stream: Stream | None = None,
        closed: str = "right",
        lateness: str | None = None,
        future: str = "5m",
        extra: str = "ignore",
        description: str = "",
        owner: str = "",
        was: str = "",
        checks: Sequence[Check] = (),
    ) -> None:
        super().__init__(self, None)
        self._defined: Source | None = None
        self.name = checked_name(name, "source")
        self.was = checked_text(was, "was", f"source {name!r}")
        self.stored = self.name
        """The name that its rows and states are kept under: that of before a rename."""
        self.stored_columns: dict[str, str] = {}
        """Columns to the names that they are kept under, where that is another; likewise."""
        times = [time for time in (event_time, known_time) if isinstance(time, Epoch)]
        self.epochs = {time.column: time.unit for time in times}
        event = event_time.column if isinstance(event_time, Epoch) else event_time
        known = known_time.column if isinstance(known_time, Epoch) else known_time
        ids = tuple(row_id) if isinstance(row_id, (tuple, list)) else (row_id,)
        _check_kinds(name, (event, known, *ids), table, stream)
        self.event_time = event
        self.known_time = known
        self.delay = parse_duration(delay, what="a delay")
        self.row_id: tuple[str, ...] = tuple(name for name in ids if name is not None)
        self.table = table
        self.stream = stream
        self.closed = closed
        self.lateness = None if lateness is None else parse_duration(lateness, what="lateness")
        self.future = parse_duration(future, what="a tolerance for the future")
        self.extra_fields = checked_extra(extra)
        self.description = checked_text(description, "the description", f"source {name!r}")
        self.owner = checked_text(owner, "the owner", f"source {name!r}")
        self.words: dict[str, Words] = {}
        self._checks = checked_list(checks, f"source {name!r}")
        self.derivation: Derivation | None = None
        """How its rows are made, of a derived source; see `skewless.derived`."""
        self._schema = None if schema is None else self._typed(schema)
        self._check()

    @staticmethod
    def of(view: HasValues, *, name: str | None = None, **labels: Any) -> Source:
        """Return the values of a feature view as a source: a row for each of its rows.

        Each row that counts for the view has one: the entity's join keys, the view's features as
        they are right after that row, its event time; known when all rows behind it are. Rows that
        come late, are corrected or deleted make the rows that change because of them anew.

        Args:
            view: over pushed or streamed rows.
            name: of the source; by default that of the view and ``_values``.
            labels: ``description`` and ``owner``, for people.

        Raises:
            DefinitionError: of this view there is no such source.
        """
        if not hasattr(view, "as_source"):
            raise DefinitionError("values are those of a feature view", got=f"{view!r:.60}")
        return view.as_source(name, labels)

    def _typed(self, schema: Mapping[str, object]) -> dict[str, DType]:
        times = (self.event_time, self.known_time)
        if not isinstance(schema, Mapping):
            raise DefinitionError(
                f"the schema of source {self.name!r} is no mapping",
                got=f"{schema!r:.60} ({type(schema).__name__})",
                expected="{column: type}",
            )
        types, words = typed_and_words(schema)
        self.words |= words
        typed = {column: dtype_of(annotation) for column, annotation in types.items()}
        for time in times:
            if time in typed and typed.pop(time) != Timestamp and time not in self.epochs:
                raise DefinitionError(
                    f"time column {time!r} of source {self.name!r} is no datetime"
                )
        return typed

    def _check(self) -> None:
        where = f"source {self.name!r}"
        check_closed(self.closed)
        if self.known_time is not None and self.delay:
            raise DefinitionError(f"{where} has both a known time and a delay", hint="Drop one.")
        if self._schema is None and self.table is None:
            raise DefinitionError(
                f"{where} has no schema and no table to read one from",
                hint="Give it one: schema={'card_id': str, 'amount': float}.",
            )
        if self._schema is not None:
            places = self.stream.options.get("columns") if self.stream is not None else None
            check_places(places or {}, self.columns, where)
            self._check_names_of_table(where)
            for column in self.row_id:
                if column not in self.columns:
                    raise UnknownName.of("column", column, self.columns, where=where)
            if reserved := [name for name in self._schema if name.startswith("_")]:
                raise DefinitionError(
                    f"column {reserved[0]!r} of {where}: a leading underscore is skewless's own"
                )
            self._checks = tuple(each.fitted(self.columns, where) for each in self._checks)
            self._check_former(places or {}, where)

    def _check_names_of_table(self, where: str) -> None:
        """Raise `UnknownName` for a column that a table is said to call otherwise, and is not."""
        if self.table is None or isinstance(self.table, Recorded):
            return  # an older version of a source has the table of now
        for column in self.table.options.get("columns", ()):
            if column not in self.columns:
                raise UnknownName.of("column", column, self.columns, where=where)

    def _check_former(self, places: Mapping[str, Any], where: str) -> None:
        """Raise `DefinitionError` for a renamed column that rows may have under either name."""
        for column, was in former_names(self.words, self.columns, where).items():
            if self.table is not None or (self.stream is not None and column not in places):
                hint = f"Say where the stream has it: columns={{{column!r}: ...}}."
                of_table = (
                    "Leave was= out and say what the table calls it,"
                    f" columns={{{column!r}: {was!r}}}: views over it have new versions then."
                )
                raise DefinitionError(
                    f"column {column!r} of {where} cannot be renamed",
                    got="a table, whose rows have it under a name of their own"
                    if self.table is not None
                    else "a stream, whose rows have it under a name of their own",
                    hint=of_table if self.table else hint,
                )

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """What is expected of the rows: its checks, and what is said of its columns."""
        return tuple(dict.fromkeys((*self._checks, *checks_of_words(self.words))))

    @property
    def schema(self) -> dict[str, DType]:
        """Column names and types without the time columns."""
        if self._schema is None:
            from skewless.plugins import table_reader

            inferred = table_reader(self.table).schema()
            self._schema = self._typed(inferred)
            self._check()
        return self._schema

    @property
    def columns(self) -> dict[str, DType]:
        """Column names and types with the time columns."""
        times = [time for time in (self.event_time, self.known_time) if time is not None]
        units = self.epochs
        return self.schema | {t: epoch(units[t]) if t in units else Timestamp for t in times}

    def stored_name_of(self, column: str) -> str:
        """Return the name that a column is kept under."""
        return self.stored_columns.get(column, column)

    def as_stored(self) -> Source:
        """Return the source with its columns named as they are kept; itself where none was renamed.

        >>> rows = Source("rows", schema={"id": str, "paid": float}, event_time="at", row_id="id")
        >>> rows.stored_columns["paid"] = "amount"
        >>> list(rows.as_stored().columns)
        ['id', 'amount', 'at']
        """
        if not self.stored_columns:
            return self
        made = copy.copy(self)
        made._schema = {self.stored_name_of(name): dtype for name, dtype in self.schema.items()}
        made.row_id = tuple(map(self.stored_name_of, self.row_id))
        made.stored_columns = {}
        made._source, made._defined = made, None
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return the source as plain data."""
        return {
            "name": self.name,
            "schema": {column: dtype.to_dict() for column, dtype in self.schema.items()},
            "event_time": self.event_time,
            "known_time": self.known_time,
            "delay": self.delay,
            "row_id": list(self.row_id),
            "table": self.table.to_dict() if self.table else None,
            "stream": self.stream.to_dict() if self.stream else None,
            "closed": self.closed,
            "lateness": self.lateness,
            "future": self.future,
            "description": self.description,
            "owner": self.owner,
            **former(self),
            **({"stored_columns": self.stored_columns} if self.stored_columns else {}),
            **({} if self.extra_fields == "ignore" else {"extra": self.extra_fields}),
            **({"epochs": self.epochs} if self.epochs else {}),
            **words_dict(self.words),
            **self._checks_dict(),
            **self._derived(),
        }

    def _checks_dict(self) -> dict[str, Any]:
        """Return the checks as plain data, apart from them those that change values."""
        found: dict[str, Any] = {"checks": [], "screens": []}
        for each in self._checks:
            found["screens" if each.is_of_values else "checks"].append(each.to_dict())
        return {key: value for key, value in found.items() if value}

    def _derived(self) -> dict[str, Any]:
        if self.derivation is None:
            return {}
        return {"derived": self.derivation.to_dict(), "function": self.derivation.code["path"]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Source:
        """Return the source that `to_dict` wrote."""
        lateness, units = data["lateness"], data.get("epochs", {})
        event, known = (
            Epoch(name, units[name]) if name in units else name
            for name in (data["event_time"], data["known_time"])
        )
        made = cls(
            data["name"],
            schema={column: dtype_from_dict(dtype) for column, dtype in data["schema"].items()},
            event_time=event,
            known_time=known,
            delay=f"{data['delay']}us",
            row_id=tuple(data["row_id"]),
            table=Recorded(data["table"]) if data["table"] else None,
            stream=Recorded(data["stream"]) if data["stream"] else None,
            closed=data["closed"],
            lateness=None if lateness is None else f"{lateness}us",
            future=f"{data['future']}us",
            description=data["description"],
            owner=data["owner"],
            extra=data.get("extra", "ignore"),
            was=data.get("was", ""),
        )
        made.stored = data.get("stored", made.name)
        made.stored_columns = dict(data.get("stored_columns", {}))
        made.words = words_from_dict(data)
        checks = (*data.get("checks", ()), *data.get("screens", ()))
        made._checks = tuple(map(Check.from_dict, checks))
        if "derived" in data:
            made.derivation = Derivation.from_dict(data["derived"], data["function"])
        return made

    def __repr__(self) -> str:
        return f"Source({self.name})"


def _check_kinds(name: str, columns: tuple[object, ...], table: object, stream: object) -> None:
    """Raise `DefinitionError` for what is no name of a column, no table, no stream."""
    for column in columns:
        if column is not None and not isinstance(column, str):
            got = f"{column!r:.60} ({type(column).__name__})"
            raise DefinitionError(f"not the name of a column of source {name!r}", got=got)
    for given, kind in ((table, Table), (stream, Stream)):
        if given is not None and not isinstance(given, kind):
            raise DefinitionError(
                f"not a {kind.__name__.lower()} of source {name!r}",
                got=f"{given!r:.60} ({type(given).__name__})",
                expected="such as sl.Parquet('data/') or sl.Kafka('topic', 'localhost:9092')",
            )


def checked_extra(extra: str) -> str:
    """Return what becomes of fields that a source does not have, if it is a known word."""
    if extra not in EXTRA:
        raise DefinitionError("extra", got=extra, expected=" or ".join(map(repr, EXTRA)))
    return extra


def check_closed(closed: object) -> None:
    """Raise `DefinitionError` unless it says on which side windows are closed."""
    if closed not in ("left", "right"):
        raise DefinitionError("closed", got=closed, expected="'left' or 'right'")


def exclusive_of(source: Source) -> int:
    """Return 1 where a row at the moment asked about does not count (``closed="left"``), else 0."""
    return int(source.closed == "left")


def closing(source: Source, closed: str | None) -> Source:
    """Return a source as a view sees it whose windows are closed on a side of its own.

    >>> rows = Source("rows", schema={"x": float}, event_time="at")
    >>> closing(rows, "left").closed, closing(rows, None) is rows
    ('left', True)
    """
    if closed is None:
        return source
    check_closed(closed)
    if closed == source.closed:
        return source
    seen = copy.copy(source)
    seen._source, seen._defined, seen.closed = seen, as_defined(source), closed
    return seen


def as_defined(source: Source) -> Source:
    """Return the source that was defined, of one that a view sees otherwise."""
    return source._defined or source


def check_filter(condition: object, source: str) -> None:
    """Raise `DefinitionError` unless ``condition`` is true or false per row of ``source``."""
    if not isinstance(condition, Expression) or condition.dtype.kind != "bool":
        raise DefinitionError(f"a filter of source {source!r} is a condition", got=repr(condition))
    others = {c.source for c in condition.leaves() if isinstance(c, Column)} - {source}
    if others:
        raise DefinitionError(
            f"a filter of source {source!r} over columns of another", got=sorted(others)[0]
        )
