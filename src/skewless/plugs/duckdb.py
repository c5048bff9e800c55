"""SQL over what the store holds, by DuckDB in this process.

    skewless sql "SELECT card_id, max(total) FROM Spend GROUP BY card_id"
    connect(fs).sql("SELECT * FROM payments WHERE amount > 100").to_pandas()

A query sees, by name:

* each source: its rows, those of the table and those that were pushed, without what a later version
  or a deletion replaced;
* each feature view: every change of its values, see `FeatureStore.read_features`; and with
  ``_now`` behind the name (``Spend_now``) the latest values of each entity;
* ``training_sets``, ``runs`` and ``freshness``: what the ledger and the monitor say.

Only what a query names is read, and nothing can be written.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

from skewless.definitions import FeatureView
from skewless.errors import InputError, UnknownName
from skewless.ledger.runs import Run
from skewless.monitoring.freshness import ViewFreshness
from skewless.plugs.rows import latest, rows_of
from skewless.store import FeatureStore
from skewless.training.records import TrainingSetRecord

_NOW = "_now"


class Tables:
    """The tables of a repo by name, each read when it is asked for.

    Args:
        fs: the open repo.
    """

    def __init__(self, fs: FeatureStore) -> None:
        self._fs = fs
        self._readers: dict[str, Callable[[], pa.Table]] = {
            "training_sets": lambda: _of(TrainingSetRecord, fs.training_sets()),
            "runs": lambda: _of(Run, fs.runs()),
            "freshness": lambda: _of(ViewFreshness, fs.freshness().views),
        }
        for name, view in fs.views.items():
            if isinstance(view, FeatureView):
                self._readers[name] = lambda view=name: fs.read_features(view)  # type: ignore[misc]
                self._readers[name + _NOW] = lambda view=view: latest(fs, view)  # type: ignore[misc]
        for name, source in fs.sources.items():  # a source is what its name says, first of all
            self._readers[name] = lambda source=source: rows_of(fs, source)  # type: ignore[misc]

    @property
    def names(self) -> list[str]:
        """All names."""
        return sorted(self._readers)

    def __getitem__(self, name: str) -> pa.Table:
        known = {each.lower(): each for each in self._readers}
        if name.lower() not in known:
            raise UnknownName.of("table", name, self.names, where="the repo")
        return self._readers[known[name.lower()]]()


def connect(fs: FeatureStore) -> Connection:
    """Return a connection whose queries see the tables of a repo."""
    return Connection(fs)


class Connection:
    """A database in memory over a repo; each table is read once, when a query first names it.

    Args:
        fs: the open repo; it must stay open as long.
    """

    def __init__(self, fs: FeatureStore) -> None:
        fs.reads.everything("sql")
        self.tables = Tables(fs)
        self._read: set[str] = set()
        self._database = duckdb.connect(":memory:")
        self._database.execute("SET TimeZone = 'UTC'")
        self._database.execute("SET enable_external_access = false")

    def sql(self, text: str, parameters: Sequence[Any] | None = None) -> pa.Table:
        """Return the answer to one query.

        Args:
            text: one SELECT.
            parameters: for its question marks.

        Raises:
            UnknownName: it names a table that is not there.
            InputError: DuckDB does not understand it, or it is no query.
        """
        for name in _named(text):
            self._register(name)
        try:
            return self._database.sql(text, params=parameters).to_arrow_table()
        except duckdb.Error as problem:
            raise InputError(
                "DuckDB refuses the query", got=str(problem),
                hint='Names that are words of SQL, such as at, stand in quotes: "at".',
            ) from problem  # fmt: skip

    def close(self) -> None:
        """Forget what was read."""
        self._database.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _register(self, name: str) -> None:
        if name.lower() not in self._read:
            self._database.register(name, self.tables[name])
            self._read.add(name.lower())


def _named(text: str) -> set[str]:
    """Return the tables that a query names, without those that it makes itself (``WITH``)."""
    try:
        statements = [each for each in sqlglot.parse(text, dialect="duckdb") if each]
    except sqlglot.errors.SqlglotError as problem:
        raise InputError("not SQL", got=f"{text:.200}", hint=f"{problem}") from problem
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise InputError("not one query", got=f"{text:.200}", expected="one SELECT")
    tables = [table for table in statements[0].find_all(exp.Table) if table.name]
    own = {each.alias for each in statements[0].find_all(exp.CTE)}
    return {table.name for table in tables if isinstance(table.this, exp.Identifier)} - own


def _of(kind: type[Any], found: Iterable[Any]) -> pa.Table:
    """Return records as a table; what is nested in them becomes JSON."""
    records = [each.to_dict() for each in found]
    names = list(records[0]) if records else [each.name for each in dataclasses.fields(kind)]
    columns = {}
    for name in names:
        values = [record[name] for record in records]
        nested = any(isinstance(value, (dict, list, tuple)) for value in values)
        columns[name] = pa.array([json.dumps(v, default=str) for v in values] if nested else values)
    return pa.table(
        {n: c.cast(pa.string()) if c.type == pa.null() else c for n, c in columns.items()}
    )
