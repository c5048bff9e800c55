"""Columns of event logs: entries of the journal as one table, and what a log adds to its source."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from skewless.stores.offline.log.journal import (
    DELETED,
    KNOWN,
    LATE,
    SEQUENCE,
    SUPERSEDES,
    Entry,
    Included,
)
from skewless.stores.offline.retyped import retyped

if TYPE_CHECKING:
    import pyarrow as pa

    Int64s = npt.NDArray[np.int64]

Numbered = tuple["Int64s", "pa.Table"]
"""Rows with their sequences."""


def log_schema(own: pa.Schema) -> pa.Schema:
    """Return the columns of a log: its source's own, then those that the log adds."""
    import pyarrow as pa

    added = [
        (KNOWN, pa.timestamp("us", "UTC")),
        (SEQUENCE, pa.int64()),
        (LATE, pa.bool_()),
        (DELETED, pa.bool_()),
        (SUPERSEDES, pa.int64()),
    ]
    return pa.schema([*own.remove_metadata(), *(pa.field(*field) for field in added)])


def entries_table(
    entries: Sequence[tuple[int, Entry]],
    schema: pa.Schema,
    schema_of: Callable[[bytes], pa.Schema],
) -> Numbered:
    """Return the rows of entries and their sequences; columns that an entry lacks are null.

    Args:
        entries: with the sequence of the first row of each; at least one.
        schema: of the table.
        schema_of: gives the schema of an entry by its hash.
    """
    import pyarrow as pa

    spans = [np.arange(first, first + entry.rows, dtype=np.int64) for first, entry in entries]
    sequences = np.concatenate(spans)
    given = [entry for _, entry in entries]
    own = pa.schema([field for field in schema if not field.name.startswith("_")])
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    if own.names:
        runs = itertools.groupby(given, key=lambda entry: entry.schema_hash)
        tables = [_own_columns(list(run), own, schema_of(key)) for key, run in runs]
        table = pa.concat_tables(tables).combine_chunks()
        columns = dict(zip(own.names, table.columns, strict=True))
    for field in schema:
        if field.name not in columns:
            columns[field.name] = _added(field.name, sequences, given)
    return sequences, pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _own_columns(entries: Sequence[Entry], own: pa.Schema, stored: pa.Schema) -> pa.Table:
    """Return the source's columns of entries that were written with one schema."""
    import pyarrow as pa

    table = pa.Table.from_batches([entry.batch(stored) for entry in entries], stored)
    columns = []
    for field in own:
        if field.name not in stored.names:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        else:
            columns.append(retyped_column(table.column(field.name), field.type))
    return pa.Table.from_arrays(columns, schema=own)


def retyped_column(column: pa.ChunkedArray, arrow: pa.DataType) -> pa.ChunkedArray:
    """Return a column that was kept as one type as another; see `retyped`."""
    import pyarrow as pa

    if column.type == arrow:
        return column
    return pa.chunked_array([retyped(chunk, arrow) for chunk in column.chunks], arrow)


def _added(name: str, sequences: Int64s, entries: Sequence[Entry]) -> pa.Array:
    import pyarrow as pa

    if name == SEQUENCE:
        return pa.array(sequences)
    if name == KNOWN:
        known = np.concatenate([entry.known for entry in entries])
        return pa.array(known).view(pa.timestamp("us", "UTC"))
    if name == SUPERSEDES:
        given = [(entry.supersedes, entry.rows) for entry in entries]
        parts = [np.zeros(rows, np.int64) if each is None else each for each, rows in given]
        return pa.array(np.concatenate(parts))
    marks = [(entry.late if name == LATE else entry.deleted, entry.rows) for entry in entries]
    flags = [np.zeros(rows, np.bool_) if each is None else each for each, rows in marks]
    return pa.array(np.concatenate(flags))


def in_order(table: pa.Table) -> Numbered:
    """Return rows of a file with their sequences, ascending; engines may have shuffled them."""
    sequences = table.column(SEQUENCE).to_numpy()
    if len(sequences) < 2 or (sequences[1:] > sequences[:-1]).all():
        return sequences, table
    order = np.argsort(sequences, kind="stable")
    return sequences[order], table.take(order)


def let_in(rows: Numbered, included: Included) -> Numbered:
    """Return rows with the known times and lateness that backfills have given to late ones."""
    import pyarrow as pa

    sequences, table = rows
    if not included.steps or LATE not in table.column_names or KNOWN not in table.column_names:
        return rows
    known, late = included.apply(
        sequences,
        table[KNOWN].cast(pa.int64()).to_numpy(),
        table[LATE].to_numpy(),
    )
    arrow = table.schema.field(KNOWN).type
    table = table.set_column(table.column_names.index(KNOWN), KNOWN, pa.array(known).view(arrow))
    return sequences, table.set_column(table.column_names.index(LATE), LATE, pa.array(late))


def together(pieces: Iterator[Numbered], most: int) -> Iterator[Numbered]:
    """Join pieces as long as they have at most so many rows; each in the order of sequences."""
    pending: list[Numbered] = []
    waiting = 0
    for sequences, table in pieces:
        if pending and waiting + len(sequences) > most:
            yield joined(pending)
            pending, waiting = [], 0
        pending.append((sequences, table))
        waiting += len(sequences)
    if pending:
        yield joined(pending)


def joined(pieces: Sequence[Numbered]) -> Numbered:
    """Return pieces (at least one) as one, in the order of sequences."""
    import pyarrow as pa

    if len(pieces) == 1:
        return pieces[0]
    table = pa.concat_tables([table for _, table in pieces]).combine_chunks()
    sequences = np.concatenate([sequences for sequences, _ in pieces])
    if (sequences[1:] > sequences[:-1]).all():
        return sequences, table
    order = np.argsort(sequences, kind="stable")
    return sequences[order], table.take(order)
