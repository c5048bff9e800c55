"""Deleting rows by their ids, wherever they are: in the event log, in the source's table, or both.

A deletion is a row of the log that replaces another and leaves none. It holds what is known of the
row: all columns of one of the log, of one of the table its id, its join keys and its event time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS, from_micros
from skewless.definitions import Source
from skewless.errors import InputError
from skewless.ingest.push import PushResult, ingest, refuse_derived
from skewless.materialize.late_rows import in_use
from skewless.online.dedup import ValidRows
from skewless.online.row_ids import Version, bring_up_to_date, id_bytes, versions_of
from skewless.online.runtime import Runtime
from skewless.online.table_index import is_indexed
from skewless.stores.offline.history import History
from skewless.stores.offline.table_ids import EVENT, KNOWN

Ints = npt.NDArray[np.int64]


def delete(runtime: Runtime, source_name: str, row_ids: Sequence[Any]) -> PushResult:
    """Delete rows by row id; see `FeatureStore.delete`."""
    source = runtime.source(source_name)
    refuse_derived(source)
    if not source.row_id:
        raise InputError(f"source {source.name!r} has no row id, so no row can be named")
    given = [_row_id(source, value) for value in row_ids]
    ids = {id_bytes(value): value for value in given}
    with runtime.journal.transaction() as transaction:
        bring_up_to_date(transaction, runtime.log(source), in_use(runtime, source))
        versions = versions_of(transaction, source, list(ids))
    held, known = _of_table(runtime, source, ids)
    later = {key for key, at in known.items() if key not in versions or at > versions[key].known}
    rows = [_of_log(runtime, source, versions, later)]
    if later:
        rows.append(held.filter(pa.array([key in later for key in known])))
    now = runtime.now(source.future)
    columns = list(source.columns)
    batch = pa.concat_tables(rows).combine_chunks()
    if source.known_time is not None:
        at = pa.array([from_micros(now)] * len(batch), source.columns[source.known_time].arrow())
        batch = batch.set_column(columns.index(source.known_time), source.known_time, at)
    record = pa.RecordBatch.from_arrays([c.combine_chunks() for c in batch.columns], columns)
    times = record.column(columns.index(source.event_time)).cast(pa.int64())
    event = np.asarray(times.fill_null(ALWAYS))
    since = [known[key] for key in known if key in later]
    effect = np.array([now] * (len(event) - len(since)) + [max(now, at) for at in since], np.int64)
    every = np.ones(len(event), np.bool_)
    return ingest(runtime, source, ValidRows(record, event, effect, [], now=now, deleted=every))


def _of_log(
    runtime: Runtime, source: Source, versions: dict[bytes, Version], but: set[bytes]
) -> pa.Table:
    """Return the rows of the log that hold under some ids."""
    held = {v.sequence for key, v in versions.items() if not v.deletes and key not in but}
    numbers = np.array(sorted(held), np.int64)
    return runtime.log(source).reader().take(numbers, list(source.columns))


def _of_table(
    runtime: Runtime, source: Source, ids: dict[bytes, list[Any]]
) -> tuple[pa.Table, dict[bytes, int]]:
    """Return what is known of the rows that the table holds under some ids; and since when."""
    schema = pa.schema([(name, dtype.arrow()) for name, dtype in source.columns.items()])
    if not is_indexed(source) or not ids:
        return schema.empty_table(), {}
    columns = [
        pa.array(list(values), schema.field(name).type)
        for name, values in zip(source.row_id, zip(*ids.values(), strict=True), strict=True)
    ]
    asked = pa.Table.from_arrays(columns, names=list(source.row_id))
    runtime.table_indexes.prepare(source)
    index, history = runtime.table_indexes.of(source), runtime.history(source)
    places = np.full(len(ids), -1, np.int64) if index is None else index.find(asked)
    hit = np.flatnonzero(places >= 0)
    found = [schema.empty_table()]
    known: dict[bytes, int] = {}
    keys = list(ids)
    if index is not None and len(hit):
        rows = index.rows(places[hit], [*index.columns, EVENT])
        found.append(_padded(rows, schema, source.event_time))
        held = index.take(places[hit], [KNOWN])
        known = {keys[at]: moment for at, (moment,) in zip(hit.tolist(), held, strict=True)}
    if len(hit) < len(ids) and not runtime.table_indexes.is_current(source, history):
        table, since = _scanned(runtime, source, {k: ids[k] for k in keys if k not in known})
        found.append(table)
        known |= since
    return pa.concat_tables(found), known


def _padded(rows: pa.Table, schema: pa.Schema, event_time: str) -> pa.Table:
    """Return rows of an index with the columns that it lacks as nulls."""
    columns = []
    for field in schema:
        if field.name == event_time:
            columns.append(rows[EVENT].cast(field.type))
        elif field.name in rows.column_names:
            columns.append(rows[field.name])
        else:
            columns.append(pa.chunked_array([pa.nulls(rows.num_rows, field.type)]))
    return pa.Table.from_arrays(columns, schema=schema)


def _scanned(
    runtime: Runtime, source: Source, ids: dict[bytes, list[Any]]
) -> tuple[pa.Table, dict[bytes, int]]:
    """Look in the table itself, which has changed since it was indexed: a database is asked for
    the ids alone, files are read once.
    """
    reader = runtime.table(source)
    if reader is not None:
        columnwise = zip(source.row_id, zip(*ids.values(), strict=True), strict=True)
        wanted = {name: list(values) for name, values in columnwise}
        reader.narrow(source.event_time, keys=wanted)
    columns = list(source.columns)
    newest: dict[bytes, tuple[int, pa.Table]] = {}
    for chunk in History(source, reader).table_chunks(columns):
        lists = [chunk.table[name].to_pylist() for name in source.row_id]
        for at, values in enumerate(zip(*lists, strict=True)):
            key = id_bytes(values)
            since = int(chunk.known[at])
            if key in ids and (key not in newest or newest[key][0] <= since):
                newest[key] = since, chunk.table.slice(at, 1)
    schema = pa.schema([(name, dtype.arrow()) for name, dtype in source.columns.items()])
    tables = [schema.empty_table(), *(table for _, table in newest.values())]
    return pa.concat_tables(tables), {key: since for key, (since, _) in newest.items()}


def _row_id(source: Source, given: Any) -> list[Any]:
    """Return a row id in canonical form: one value, or one for each column of it."""
    values = [given] if len(source.row_id) == 1 else given
    where = f"row id ({', '.join(source.row_id)}) of source {source.name!r}"
    if not isinstance(values, (list, tuple)) or len(values) != len(source.row_id):
        raise InputError("not a row id", got=repr(given), where=where)
    try:
        types = [source.columns[name] for name in source.row_id]
        return [dtype.coerce(value) for dtype, value in zip(types, values, strict=True)]
    except ValueError as problem:
        raise InputError("not a row id", got=str(problem), where=where) from None
