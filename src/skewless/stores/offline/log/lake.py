"""A table of a lakehouse that an event log settles into, in place of Parquet files of its own.

    [offline]
    log = { kind = "delta", path = "s3://lake/log" }                 # one table a source
    log = { kind = "iceberg", catalog = "lake", namespace = "log" }

The journal stays what it is: rows wait in the key-value store beside the states they change.
Settling appends them to the table, in their order, one atomic commit a run. **The commit itself
says up to which sequence the table has rows** (Delta: the version of an application transaction;
Iceberg: a property of the table, changed with its snapshot), so that a run that was killed after
its commit is not repeated, and of two that commit at once one fails. Whoever reads the table sees
whole runs, with the columns of the source and those that the log adds.

Rows may lie in any files: they are found by what the table says of their sequences, and any engine
may compact the table. Only rows up to what the log has noted as settled are read from it.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skewless.clock import ALWAYS, NEVER
from skewless.config import DEFAULT_PROJECT, TableSettings
from skewless.errors import ConfigError, Conflict, StoreError, UnknownName
from skewless.plugins import find
from skewless.stores.offline.cast import to_micros_array
from skewless.stores.offline.log.journal import KNOWN, SEQUENCE
from skewless.stores.offline.log.manifest import LogFile
from skewless.stores.offline.tables.footers import DAY

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.fs as pafs

    from skewless.definitions.source import Source
    from skewless.stores.offline.files.paths import DataFile

DATE = "event_date"
OPTIONS = {"delta": ("path",), "iceberg": ("catalog", "namespace")}
DEFAULTS = {"namespace": "skewless"}


@dataclasses.dataclass(frozen=True)
class LakeFiles:
    """The files of a lake table at one moment.

    Attributes:
        filesystem: that holds them.
        remote: whether it is over a network.
        files: by name: what rows of the log each has, and where it is.
        ids: name of each column by its id, for tables whose columns have ids.
    """

    filesystem: pafs.FileSystem
    remote: bool
    files: Mapping[str, tuple[LogFile, DataFile]]
    ids: Mapping[int, str] | None = None


class LakeTable(ABC):
    """The table of one source's log; see the module. Subclasses: one file each.

    Raises:
        StoreError: it cannot be read or written, or belongs to another log (from every verb).
        StoreUnavailable: it cannot be reached.
    """

    where: str
    """What errors and the log's manifest call it: kind and place."""

    @classmethod
    @abstractmethod
    def of(
        cls,
        options: Mapping[str, str],
        source: Source,
        folder: Path,
        settings: TableSettings,
        name: str,
    ) -> LakeTable:
        """Return the table ``name`` for a source, in the place that options of ``log`` say.

        Paths are from ``folder``.
        """

    @abstractmethod
    def claim(self, log: str, schema: pa.Schema) -> int:
        """Make the table for a log, or find it; return up to which sequence it has rows.

        Args:
            log: the id of the log, which no other has.
            schema: of the rows to come.
        """

    @abstractmethod
    def reached(self, log: str) -> int:
        """Return up to which sequence the table has rows of a log, as far as there is a table.

        Raises:
            StoreError: it belongs to another log.
        """

    @abstractmethod
    def append(self, rows: pa.Table, last: int) -> None:
        """Add rows in one commit, which says that the table has rows up to ``last``.

        Raises:
            Conflict: another run has committed since `claim`, or since the last call.
        """

    @abstractmethod
    def look(self) -> LakeFiles:
        """Return the files of the newest version."""

    @abstractmethod
    def compact(self, small: int, enough: int) -> tuple[int, int]:
        """Join the files of each date that has at least ``enough`` of fewer than ``small`` rows.

        Returns:
            How many files were joined, and into how many. (0, 0) also if somebody else changed
            the table meanwhile: the next run tries again.
        """


def table_name(project: str, source: str, generation: int) -> str:
    """Return what the table of a log is called: each project, and each log, has one of its own.

    >>> table_name("default", "payments", 0), table_name("fraud", "payments", 2)
    ('payments', 'fraud__payments__2')
    """
    plain = re.sub("[^A-Za-z0-9_]", lambda found: f"_{ord(found[0]):x}_", project)
    owner = "" if project == DEFAULT_PROJECT else f"{plain}__"
    return f"{owner}{source}__{generation}" if generation else f"{owner}{source}"


def lake_table(
    options: Mapping[str, Any],
    source: Source,
    folder: Path,
    settings: TableSettings,
    name: str | None = None,
) -> LakeTable:
    """Return the table that ``log`` of ``[offline]`` names for a source.

    Args:
        options: what it says.
        source: whose rows.
        folder: that paths are from.
        settings: how catalogs and object stores are reached.
        name: of the table, see `table_name`; None: that of the source.

    Raises:
        ConfigError: it is no such thing.
    """
    where = "log in [offline] of skewless.toml"
    kind = options.get("kind")
    if kind not in OPTIONS:
        problem = UnknownName.of("kind", str(kind), OPTIONS, where=where)
        raise ConfigError(problem.what, hint=problem.hint)
    for key in options:
        if key not in ("kind", *OPTIONS[kind]):
            problem = UnknownName.of("key", key, ("kind", *OPTIONS[kind]), where=where)
            raise ConfigError(problem.what, hint=problem.hint)
    values = DEFAULTS | dict(options)
    for key in OPTIONS[kind]:
        if not isinstance(values.get(key), str):
            raise ConfigError(f"{where} needs {key!r}", got=repr(values.get(key)))
    made: type[LakeTable] = find("log", kind)
    return made.of(values, source, folder, settings, name or source.stored)


def lake_rows(table: pa.Table, source: Source) -> pa.Table:
    """Return rows of a log as they go into a lake: with their date, and what is looked for first.

    Statistics of files are kept for the first columns only, in wide tables.
    """
    import pyarrow as pa

    known = to_micros_array(table.column(KNOWN))
    event = np.full(table.num_rows, ALWAYS, np.int64)
    if source.event_time in table.column_names:
        event = to_micros_array(table.column(source.event_time))
    # Rows that delete may lack an event time; they lie by when that was known.
    days = np.where(event == ALWAYS, known, event) // DAY
    dates = pa.array(days.astype(np.int32)).cast(pa.date32())
    first = [name for name in (SEQUENCE, source.event_time, KNOWN) if name in table.column_names]
    names = [*first, *(name for name in table.column_names if name not in first)]
    columns = [_plain(table.column(name)) for name in names]
    return pa.Table.from_arrays([dates, *columns], names=[DATE, *names])


def lake_schema(schema: pa.Schema, source: Source) -> pa.Schema:
    """Return the columns of `lake_rows` for a log of this schema."""
    return lake_rows(schema.empty_table(), source).schema


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of a type that lakes have: vectors are lists there."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(column.type):
        return column.cast(pa.list_(column.type.value_type))
    return column


def as_log_file(file: DataFile, event_time: str) -> LogFile:
    """Return what a log knows of a file of a lake; what no manifest says may be anything."""
    low, high = file.bounds.get(event_time, (ALWAYS, NEVER))
    first, last = file.bounds.get(SEQUENCE, (1, NEVER - 1))
    return LogFile(
        date=_day(file.partition.get(DATE)),
        first=first,
        last=last,
        rows=file.rows or 0,
        low=low,
        high=high,
        size=0,
        name=file.name,
        schema=b"",
    )


def _day(value: Any) -> int:
    """Return days since 1970 of the partition of a file."""
    if isinstance(value, datetime.date):
        return (value - datetime.date(1970, 1, 1)).days
    return int(value or 0)


def to_join(files: Sequence[LogFile], small: int, enough: int) -> dict[int, list[LogFile]]:
    """Return the files of each date that are worth joining."""
    by_date: dict[int, list[LogFile]] = {}
    for file in files:
        if file.rows < small:
            by_date.setdefault(file.date, []).append(file)
    return {date: some for date, some in by_date.items() if len(some) >= enough}


def belongs_to_another(where: str, got: object, expected: str) -> StoreError:
    """Return the error for a table that is not of this log."""
    return StoreError(
        "a table that an event log would settle into is not its own",
        got=f"the table of log {got!r}" if got else "a table that no log has made",
        expected=f"log {expected!r}",
        where=where,
        hint="Give each repo a path (or namespace) of its own.",
    )


def unfit(got: str, where: str) -> StoreError:
    """Return the error for rows that a table does not take."""
    return StoreError(
        "rows of an event log cannot be written to the table it settles into",
        got=got,
        where=where,
        hint="Nothing is lost: they wait in the journal.",
    )


def other_rows(table: str, reached: int, last: int, where: str) -> StoreError:
    """Return the error for a table that has rows up to ``reached`` which the journal has not."""
    return StoreError(
        "the table that an event log settles into has other rows than the log",
        got=f"rows up to {reached} in {table}",
        expected=f"at most {last}, those of the journal",
        where=where,
        hint="Was the journal restored from an older backup? Restore the table likewise.",
    )


def overtaken(where: str) -> Conflict:
    """Return the error for a commit that came second."""
    return Conflict(
        "an event log was settled by two processes at once",
        where=where,
        hint="Nothing is lost or doubled: the rows of the other commit count.",
    )
