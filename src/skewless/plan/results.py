"""What reads give back: vectors from the online store, training sets from history.

Both are Arrow inside and turn into what people work with: dicts, Arrow, Polars, pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from skewless.clock import from_micros, iso
from skewless.errors import InputError, MissingDependency, UnknownName
from skewless.forks import cached_property
from skewless.formatting import html_table
from skewless.plan.content import content_id, table_digests
from skewless.plan.retrieval import RetrievalPlan
from skewless.plan.selection import Output
from skewless.state.status import Status
from skewless.types import python_values

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd
    import polars as pl
    import pyarrow as pa


ID_KEY = b"skewless.training_set"
"""Where a Parquet file says which training set it is."""
MASKED_KEY = b"skewless.masked"
"""Where a table and its file say which features are masked, with commas between them."""
FIRST_ROWS = 5
DRAWN_ROWS = 10
"""Rows that a notebook shows of a result."""


class _Tabular:
    """Conversions that every result has, and looking at it as at a table of rows."""

    def head(self, rows: int = FIRST_ROWS) -> Self:
        """Return the same result with its first rows alone."""
        raise NotImplementedError

    def __getitem__(self, name: str) -> list[Any]:
        """Return the values of a column, in order: a feature, a join key or what else was given.

        Raises:
            UnknownName: there is no such column.
        """
        columns = self.to_dict()
        if name not in columns:
            raise UnknownName.of("column", str(name), columns, where="the result")
        return columns[name]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows: a dict of all columns each."""
        columns = self.to_dict()
        for row in zip(*columns.values(), strict=True):
            yield dict(zip(columns, row, strict=True))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the result as a stream of Arrow: Polars, DuckDB and others take it as it is."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table."""
        raise NotImplementedError

    def to_polars(self) -> pl.DataFrame:
        """Return a Polars frame (``skewless[polars]``)."""
        try:
            import polars
        except ImportError:
            raise MissingDependency.of("polars", "polars", needed_for="to_polars") from None
        frame = polars.from_arrow(self.to_arrow())
        if not isinstance(frame, polars.DataFrame):
            raise TypeError("a table became a series")
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame (``skewless[pandas]``).

        Whole numbers with nulls become floats, maps become dicts.
        """
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise MissingDependency.of("pandas", "pandas", needed_for="to_pandas") from None
        frame: pd.DataFrame = self.to_arrow().to_pandas(maps_as_pydicts="strict")
        return frame

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a list of values per column; maps are dicts."""
        return as_columns(self.to_arrow())


class OnlineResult(_Tabular):
    """Feature vectors of some entities at one moment.

    Attributes:
        outputs: the features, in order.
        entities: join keys and request fields, as they were given.
        values: one list per entity, in order of the outputs.
        statuses: how each value came about, likewise.
        at: the moment, UTC microseconds.
        request_id: under which a server has answered (its logs, its traces and the log of what it
            served have the same); empty in process.
    """

    __slots__ = ("at", "entities", "events", "outputs", "request_id", "statuses", "values")

    def __init__(
        self,
        outputs: tuple[Output, ...],
        entities: Sequence[Mapping[str, Any]],
        found: tuple[list[list[Any]], list[list[Status]], list[list[int | None]]],
        at: int,
    ) -> None:
        self.outputs = outputs
        self.entities = entities
        self.values, self.statuses, self.events = found
        self.at = at
        self.request_id = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(output.name for output in self.outputs)

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a list of values per column: what was given, then the features."""
        columns: dict[str, list[Any]] = {}
        for name in dict.fromkeys(key for entity in self.entities for key in entity):
            columns[name] = [entity.get(name) for entity in self.entities]
        for at, output in enumerate(self.outputs):
            columns[output.name] = [row[at] for row in self.values]
        return columns

    def head(self, rows: int = FIRST_ROWS) -> OnlineResult:
        """Return the vectors of the first entities alone."""
        found = self.values[:rows], self.statuses[:rows], self.events[:rows]
        return OnlineResult(self.outputs, self.entities[:rows], found, self.at)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a dict of features per entity."""
        names = self.names
        return [dict(zip(names, row, strict=True)) for row in self.values]

    def to_statuses(self) -> dict[str, list[str]]:
        """Return a list of statuses per feature."""
        return {
            output.name: [row[at].value for row in self.statuses]
            for at, output in enumerate(self.outputs)
        }

    def to_event_times(self) -> dict[str, list[datetime | None]]:
        """Return per feature the event time (UTC) of the newest row of each entity."""
        return {
            output.name: [None if (e := row[at]) is None else from_micros(e) for row in self.events]
            for at, output in enumerate(self.outputs)
        }

    def to_arrow(self) -> pa.Table:
        """Return what was given and the features as an Arrow table."""
        import pyarrow as pa

        features = {output.name: output.dtype.arrow() for output in self.outputs}
        columns = {
            name: pa.array(values, type=features.get(name))
            for name, values in self.to_dict().items()
        }
        return pa.table(columns)

    def __len__(self) -> int:
        return len(self.entities)

    def __repr__(self) -> str:
        return (
            f"OnlineResult({len(self)} entities x {len(self.outputs)} features at {iso(self.at)})"
        )

    def _repr_html_(self) -> str:
        """Draw the first vectors: values in the colour of their status, or the status."""
        columns = self.head(DRAWN_ROWS).to_dict()
        statuses = self.to_statuses()
        rows = [
            [
                _drawn(columns[name][number], statuses[name][number]) if name in statuses
                else columns[name][number]
                for name in columns
            ]
            for number in range(min(len(self), DRAWN_ROWS))
        ]  # fmt: skip
        return html_table(list(columns), rows, repr(self))


class TrainingSet(_Tabular):
    """A spine with point-in-time correct features.

    Attributes:
        plan: how it was made.
        notes: what a reader should know: rows left out, knowledge that hides most of it.
        engine: what computed it and what that costs, a line each; empty for this process.
        tables: for each source whose table can go back (Delta, Iceberg) the state that was read:
            handed to ``get_historical_features(..., tables=...)`` it is read again.
    """

    def __init__(
        self,
        table: pa.Table,
        plan: RetrievalPlan,
        notes: Sequence[str],
        compare: Callable[[], TrainingSet],
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        engine: Sequence[str] = (),
    ) -> None:
        self._table = table
        self.engine = tuple(engine)
        self.plan = plan
        self.notes = tuple(notes)
        self.tables = {name: dict(state) for name, state in (tables or {}).items()}
        self._compare = compare

    def to_arrow(self) -> pa.Table:
        """Return the spine and the features as an Arrow table."""
        return self._table

    def __getitem__(self, name: str) -> list[Any]:
        table = self.to_arrow()
        if name not in table.column_names:
            raise UnknownName.of("column", str(name), table.column_names, where="the result")
        return column_values(table, name)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Column to the hash of its values, the spine's columns among them."""
        return table_digests(self.to_arrow())

    @cached_property
    def id(self) -> str:
        """What tells it from others: a hash of its values, its features and its ``as_of``.

        Made again from the same spine, definitions and history it has the same id.
        """
        outputs = {output.name: output.reference for output in self.plan.selection.outputs}
        about = {"features": outputs, "at": self.plan.timestamp, "as_of": self.plan.as_of}
        return content_id(self.digests, about)

    def to_parquet(self, path: str | Path) -> Path:
        """Write the training set to a Parquet file, its `id` in its metadata; return its path."""
        import pyarrow.parquet as pq

        said = {ID_KEY: self.id.encode()}
        table = self._table.replace_schema_metadata((self._table.schema.metadata or {}) | said)
        pq.write_table(table, path)
        return Path(path)

    def batches(self, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Yield the training set in batches of at most ``rows``."""
        yield from self.to_arrow().to_batches(max_chunksize=rows)

    def masked(self, show: Callable[[pa.Table], pa.Table], names: Sequence[str]) -> TrainingSet:
        """Return the training set as grants show it, and say so in its notes and its schema.

        Args:
            show: returns a table with masks in place of values.
            names: of the features that it masks.
        """
        table = show(self.to_arrow())
        said = {MASKED_KEY: ",".join(names).encode()}
        return TrainingSet(
            table.replace_schema_metadata((table.schema.metadata or {}) | said),
            self.plan,
            (*self.notes, f"Masked, as grants say: {', '.join(names)}."),
            lambda: self._compare().masked(show, names),
            self.tables,
            engine=self.engine,
        )

    def head(self, rows: int = FIRST_ROWS) -> TrainingSet:
        """Return the first rows alone, made as all of them were."""
        shorter = lambda: self._compare().head(rows)  # noqa: E731
        return TrainingSet(self._table.slice(0, rows), self.plan, self.notes, shorter, self.tables)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the feature columns."""
        return tuple(output.name for output in self.plan.selection.outputs)

    def differences(self) -> dict[str, int]:
        """Return per feature how many values the other ``as_of`` would have given differently.

        It builds the other training set, so it costs as much again.
        """
        other = self._compare().to_arrow()
        return {name: differing(self._table[name], other[name]) for name in self.features}

    def explain(self) -> str:
        """Return how it was made, and how many values the other ``as_of`` would change."""
        counts = self.differences()
        other = "event_time" if self.plan.as_of == "known" else "known"
        changed = sum(counts.values())
        lines = [self.plan.explain(), f"{changed} values would differ as of {other}"]
        lines += [f"  {name}: {count}" for name, count in counts.items() if count]
        return "\n".join([*lines, *self.engine, *self.notes])

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        text = f"TrainingSet({len(self)} rows x {len(self.features)} features as {self.plan.as_of})"
        return "\n".join([text, *self.notes])

    def _repr_html_(self) -> str:
        """Draw the first rows, the spine's columns before the features."""
        columns = as_columns(self.head(DRAWN_ROWS).to_arrow())
        rows = list(zip(*columns.values(), strict=True))
        return html_table(list(columns), rows, repr(self))


def _drawn(value: Any, status: str) -> tuple[Any, str]:
    """Return what a cell shows: the value, or why there is none."""
    return (status if value is None else value), status


def as_columns(table: pa.Table) -> dict[str, list[Any]]:
    """Return the Python values of a table by column; maps are dicts, at any depth."""
    return {name: column_values(table, name) for name in table.column_names}


def column_values(table: pa.Table, name: str) -> list[Any]:
    """Return the Python values of a column of a table.

    Raises:
        InputError: Python has no form for one, such as a time of the year 0.
    """
    try:
        return python_values(table[name])
    except (OverflowError, ValueError) as problem:
        raise InputError(
            f"column {name!r} has values that Python has no form for",
            got=str(problem),
            where="the result",
            hint="to_arrow() and to_parquet() give them as they are.",
        ) from None


def differing(left: pa.ChunkedArray, right: pa.ChunkedArray) -> int:
    """Return how many values differ; null equals null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(left.type):
        pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
        return sum(a != b for a, b in pairs)
    same = pc.fill_null(pc.equal(left, right), False)
    both_null = pc.and_(left.is_null(), right.is_null())
    return len(left) - int(pc.sum(pc.or_(same, both_null)).as_py() or 0)
