"""A history in shares that any process can read alone: files of its table, files of its log, rows.

    for share in shares_of(history):
        share.open().chunks(["fab_id", "vdd"])      # in whatever process

A table of files is read where the share is opened, so every worker must see the files; its
settings travel as ``skewless.toml`` has them, and ``${NAME}`` is looked up over there. Frames,
databases, and the rows of a log that are not settled yet, are read here and travel themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skewless.config import TableSettings
from skewless.definitions import Source
from skewless.definitions.tables import Recorded
from skewless.errors import ConfigError, StoreError
from skewless.plugins import find
from skewless.stores.offline.base import Part, TableReader
from skewless.stores.offline.history import History, HistoryChunk
from skewless.stores.offline.log.settled_log import SettledLog
from skewless.stores.offline.tables.named import named
from skewless.variables import without_secrets

Int = int | None
ROWS_A_SHARE = 2_000_000
"""About how many rows of files one has: enough that opening the table does not matter."""
ROWS_A_MESSAGE = 65_536
"""How many rows that travel themselves one has."""


@dataclass(frozen=True)
class TableShare:
    """Some files of a source's table.

    Attributes:
        source: whose.
        table: kind and options, pinned to a version where the table has versions.
        base: the folder that relative paths start from.
        settings: how object stores and catalogs are reached; variables are not looked up yet.
        parts: names of the files.
    """

    source: Source
    table: dict[str, Any]
    base: Path | None
    settings: TableSettings
    parts: tuple[str, ...]

    def chunks(self, columns: Sequence[str], start: Int, end: Int) -> Iterator[HistoryChunk]:
        """Yield every version of every row, see `History.some_versions`."""
        reader = find("table", self.table["kind"])(Recorded(self.table), self.base, self.settings)
        history = History(self.source, named(reader))
        yield from history.some_versions(columns, of_table=self.parts, start=start, end=end)


@dataclass(frozen=True)
class LogShare:
    """Some settled files of a source's log.

    Attributes:
        source: whose.
        log: the files, as they were.
        parts: names of those that are the share.
    """

    source: Source
    log: SettledLog
    parts: tuple[str, ...]

    def chunks(self, columns: Sequence[str], start: Int, end: Int) -> Iterator[HistoryChunk]:
        """Yield the rows, as `TableShare.chunks`."""
        history = History(self.source, None, self.log)
        try:
            yield from history.some_versions(columns, of_log=self.parts, start=start, end=end)
        except StoreError as problem:
            raise StoreError(
                "settled rows of an event log cannot be read by a worker",
                got=problem.what,
                where=str(self.log.folder),
                hint="Every worker must see the folder, and nothing may compact it meanwhile: run"
                " it again.",
            ) from problem


@dataclass(frozen=True)
class RowsShare:
    """Rows that travel themselves.

    Attributes:
        chunk: the rows, with the columns that are asked for.
    """

    chunk: HistoryChunk = field(repr=False)

    def chunks(self, columns: Sequence[str], start: Int, end: Int) -> Iterator[HistoryChunk]:
        """Yield the rows."""
        del columns, start, end
        yield self.chunk


Share = TableShare | LogShare | RowsShare


def shares_of(
    history: History,
    columns: Sequence[str],
    start: Int = None,
    end: Int = None,
    *,
    with_table: bool = True,
) -> Iterator[Share]:
    """Yield the shares of a history; together they are all its rows as they are now.

    Args:
        history: of a source.
        columns: names of the source's columns that are asked for.
        start: rows before it may be left out: UTC microseconds of event time.
        end: rows from it on may be left out.
        with_table: whether the table's rows are wanted, not those of the log alone.

    Raises:
        ConfigError: the settings of the table hold a secret that would travel.
    """
    table, log, source = history.table_reader, history.log_reader, history.source
    table = table if with_table else None
    here: dict[str, list[str]] = {"of_table": [], "of_log": []}
    if table is not None and table.opens_anywhere:
        _check_secrets(table)
        options = table.table.to_dict() | table.pinned()
        for some in _grouped(table.parts()):
            yield TableShare(source, options, table.base, table.settings, some)
    elif table is not None:
        here["of_table"] = [part.name for part in table.parts()]
    if log is not None:
        settled = SettledLog.of(log)
        parts = log.parts()
        for some in _grouped([part for part in parts if part.name in settled.parts]):
            yield LogShare(source, settled, some)
        here["of_log"] = [part.name for part in parts if part.name not in settled.parts]
    for chunk in history.some_versions(columns, **here, start=start, end=end):
        for first in range(0, len(chunk.event), ROWS_A_MESSAGE):
            yield RowsShare(_slice(chunk, slice(first, first + ROWS_A_MESSAGE)))


def _slice(chunk: HistoryChunk, at: slice) -> HistoryChunk:
    """Return some of the rows of a chunk, in memory of their own."""
    # What is sliced would be pickled whole.
    table = chunk.table.slice(at.start, at.stop - at.start)
    table = table.take(np.arange(table.num_rows))
    return HistoryChunk(
        table=table,
        event=chunk.event[at],
        known=chunk.known[at],
        tiebreak=chunk.tiebreak[at],
        late=chunk.late[at],
        row=chunk.row[at],
        deleted=None if chunk.deleted is None else chunk.deleted[at],
    )


def _grouped(parts: Sequence[Part]) -> Iterator[tuple[str, ...]]:
    """Yield names of parts that have about `ROWS_A_SHARE` rows together."""
    names: list[str] = []
    rows = 0
    for part in parts:
        names.append(part.name)
        rows += ROWS_A_SHARE if part.rows is None else part.rows
        if rows >= ROWS_A_SHARE:
            yield tuple(names)
            names, rows = [], 0
    if names:
        yield tuple(names)


def _check_secrets(table: TableReader) -> None:
    """Raise where the settings of a table hold a secret itself, not the name of a variable."""
    settings = {"filesystem": table.settings.filesystem, "connections": table.settings.connections}
    for name, section in settings.items():
        if without_secrets(name, section) != section:
            raise ConfigError(
                f"a secret in [{name}], which would be sent to other processes",
                where=table.settings.where,
                hint="Write ${NAME} in its place and set that variable for the workers.",
            )
