"""Rows that came too late (``lateness``) are let in by a backfill: to history and states alike.

From the moment at which history counts them no state may lack them. So the states of their entities
are built in the transaction that lets them in; where states are in another store, they are taken
out before, which makes them `building`, and built afterwards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.definitions import Source
from skewless.materialize.materialize import PROGRESS
from skewless.materialize.repair import (
    corrected_keys,
    materialization,
    overwrite,
    rebuild_marked,
)
from skewless.online.dedup import versions_let_in
from skewless.online.dirty_keys import mark
from skewless.online.keyed_rows import keys_of
from skewless.online.row_ids import bring_up_to_date, definitions_of
from skewless.online.runtime import Runtime
from skewless.online.tables import StateTable
from skewless.stores.offline.history import History
from skewless.stores.offline.log.journal import DELETED, KNOWN, LATE
from skewless.stores.offline.log.reader import LogReader
from skewless.stores.offline.retyped import seen_as
from skewless.stores.online.base import KeyValues, Transaction

Ints = npt.NDArray[np.int64]


def let_late_rows_in(runtime: Runtime, source: Source) -> None:
    """Let late rows count from now on, as versions of their row ids and in states too.

    Builds that were killed start over: what they have written may lack these rows.
    """
    log = runtime.log(source)
    tables = runtime.tables().of_source(source.name, runtime.clock.now())
    with runtime.writing() as (journal, states):
        before = log.reader()
        before.last_sequence()
        definitions = in_use(runtime, source)
        bring_up_to_date(journal, log, definitions)
        step = log.include_late(runtime.clock.now(), journal)
        if step is None:
            return
        names = [table.layout.table.encode() for table in runtime.tables().tables.values()]
        journal.delete(PROGRESS, names)
        numbers, late = _late_rows(before, source, step[0])
        if not len(numbers):
            return
        known = np.maximum(np.asarray(late[KNOWN].cast(pa.int64())), step[1])
        for name, seen in definitions.items():
            notes = versions_let_in(
                journal,
                seen,
                seen_as(seen, late.select(list(source.columns)).to_batches()[0], seen.columns),
                known=known,
                sequence=numbers,
                deleted=np.asarray(late[DELETED]),
            )
            journal.write(name, notes)
        for table in tables:
            _bring(runtime, (journal, states), table, (late, numbers))
    if not runtime.one_store:
        rebuild_marked(runtime, tables)


def late_ones(runtime: Runtime, source: Source) -> list[int]:
    """Return the event times of rows that came too late and were not let in yet, microseconds."""
    log = runtime.log(source)
    found: list[int] = []
    for chunk in log.reader().chunks([source.event_time, LATE], after=log.included()):
        events = chunk.table[source.event_time].combine_chunks().view(pa.int64())
        found += np.asarray(events)[np.asarray(chunk.table[LATE])].tolist()
    return found


def _late_rows(before: LogReader, source: Source, after: int) -> tuple[Ints, pa.Table]:
    """Return the late rows of a log after a sequence, in its order."""
    tables, numbers = [], []
    for chunk in before.chunks([*source.columns, KNOWN, LATE, DELETED], after=after):
        late = np.asarray(chunk.table[LATE])
        tables.append(chunk.table.filter(pa.array(late)))
        numbers.append(chunk.rows[late])
    if not sum(map(len, numbers)):
        return np.zeros(0, np.int64), pa.table({})
    sequence = np.concatenate(numbers)
    order = np.argsort(sequence)
    return sequence[order], pa.concat_tables(tables).take(order).combine_chunks()


def _bring(
    runtime: Runtime,
    writing: tuple[Transaction, KeyValues],
    table: StateTable,
    rows: tuple[pa.Table, Ints],
) -> None:
    """Bring the states of the entities of late rows up to date, or take them out.

    Those of rows that were corrected are among them: a late row may be the correction.
    """
    (journal, states), layout, (late, numbers) = writing, table.layout, rows
    columns = list(layout.source.columns)
    batch = late.select([c for c in columns if c in late.column_names]).to_batches()[0]
    seen = pa.Table.from_batches([seen_as(layout.source, batch, columns)])
    source, log = layout.source, runtime.log(layout.source)
    history = History(source, runtime.table(source), log, rows=journal)
    keys = {key for key, _ in keys_of(layout, seen, numbers)} | corrected_keys(layout, history)
    if not runtime.one_store:
        mark(journal, layout, keys, int(numbers[-1]))
        runtime.online.delete(layout.table, list(keys))
        return
    overwrite(states, layout, materialization(runtime, layout, history).states_of(keys))


def in_use(runtime: Runtime, source: Source) -> dict[str, Source]:
    """Return the definitions of the row id under which rows of a source are looked at."""
    tables = runtime.tables().of_source(source.name, runtime.clock.now())
    return definitions_of([source, *(table.layout.source for table in tables)])
