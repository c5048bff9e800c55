"""Push: rows of a source into its event log and the online states, exactly once per row id.

Where the online store has transactions, log and states change in one of them. Elsewhere the log
is first, which makes the rows durable, and the states follow; what a crash left undone is done
before the next push, because every state knows the last log entry it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.clock import from_micros
from skewless.definitions import Source
from skewless.errors import InputError
from skewless.jobs.arrivals import VERSION, arrivals_of, id_bytes, ids_table
from skewless.jobs.intake import Admitted, Rejected, admit
from skewless.jobs.quarantine import set_aside
from skewless.jobs.runtime import Runtime
from skewless.jobs.updates import applied, catch_up, rebuild_dirty, update


@dataclass(frozen=True)
class PushResult:
    """What became of the rows handed in.

    Attributes:
        accepted: new rows, corrections and late ones among them.
        corrections: of these, rows that replace an earlier one of their row id.
        duplicates: rows that were there already.
        late: accepted rows beyond the source's lateness: kept, but not counted.
        quarantined: rows that do not fit the source, with reasons.
        sequence: of the newest row in the event log.
    """

    accepted: int
    corrections: int
    duplicates: int
    late: int
    quarantined: tuple[Rejected, ...]
    sequence: int


def push(runtime: Runtime, source_name: str, rows: Any, *, backdate: bool) -> PushResult:
    """Hand rows of a source to the store; see `FeatureStore.push`."""
    source = runtime.source(source_name)
    admitted = admit(source, rows, now=runtime.clock.now(), backdate=backdate)
    return ingest(runtime, source, admitted)


def delete(runtime: Runtime, source_name: str, row_ids: Sequence[Any]) -> PushResult:
    """Delete rows by row id; see `FeatureStore.delete`."""
    source = runtime.source(source_name)
    if not source.row_id:
        raise InputError(f"source {source.name!r} has no row id, so no row can be named")
    now = runtime.clock.now()
    ids = [(value,) if len(source.row_id) == 1 else tuple(value) for value in row_ids]
    with runtime.journal.transaction() as transaction:
        found = transaction.read(ids_table(source), [id_bytes(value) for value in ids])
    known_ids = [state for state in found if state is not None and not VERSION.unpack(state)[3]]
    numbers = np.array(sorted(VERSION.unpack(state)[0] for state in known_ids), np.int64)
    columns = list(source.columns)
    batch = runtime.log(source).reader().take(numbers, columns).combine_chunks()
    if source.known_time is not None:
        at = pa.array([from_micros(now)] * len(batch), source.columns[source.known_time].arrow())
        batch = batch.set_column(columns.index(source.known_time), source.known_time, at)
    record = pa.RecordBatch.from_arrays([c.combine_chunks() for c in batch.columns], columns)
    event = np.asarray(record.column(columns.index(source.event_time)).cast(pa.int64()))
    admitted = Admitted(record, event, np.full(len(event), now, np.int64), [])
    return ingest(runtime, source, admitted, deleted=True)


def ingest(
    runtime: Runtime,
    source: Source,
    admitted: Admitted,
    *,
    deleted: bool = False,
    position: tuple[str, bytes] | None = None,
) -> PushResult:
    """Append admitted rows to the log and bring the states up to date.

    Args:
        runtime: the open parts.
        source: whose rows they are.
        admitted: the rows.
        deleted: whether they delete the rows of their ids.
        position: name and position of the stream they came from, kept with them or not at all.
    """
    log = runtime.log(source)
    tables = runtime.tables().of_source(source.name)
    if not runtime.one_store:
        catch_up(runtime, source, tables)
    with runtime.journal.transaction() as transaction:
        first = log.last_sequence(transaction) + 1
        newest = log.newest_event(transaction)
        arrivals = arrivals_of(transaction, source, admitted, (first, newest), deleted)
        log.append(
            transaction,
            arrivals.batch,
            arrivals.known,
            event=arrivals.event,
            late=arrivals.late if arrivals.late.any() else None,
            deleted=np.ones(len(arrivals.event), bool) if deleted else None,
            supersedes=arrivals.supersedes if arrivals.supersedes.any() else None,
        )
        items = [
            (key, VERSION.pack(first + row, int(arrivals.known[row]), content, deleted))
            for key, row, content in arrivals.versions
        ]
        if items:
            transaction.write(ids_table(source), items)
        if position is not None:
            transaction.write("skewless.positions", [(position[0].encode(), position[1])])
        set_aside(transaction, source, admitted.rejected, runtime.clock.now())
        if runtime.one_store:
            for table in tables:
                update(runtime, transaction, table.layout, arrivals, first)
    if not runtime.one_store:
        for table in tables:
            update(runtime, runtime.online, table.layout, arrivals, first)
            applied(runtime, table.layout, first + len(arrivals.event) - 1)
    rebuild_dirty(runtime, source, tables)
    return PushResult(
        accepted=len(arrivals.event),
        corrections=int((arrivals.supersedes > 0).sum()),
        duplicates=arrivals.duplicates,
        late=int(arrivals.late.sum()),
        quarantined=tuple(admitted.rejected),
        sequence=first + len(arrivals.event) - 1,
    )
