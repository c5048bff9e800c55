"""States that an engine of many processes builds, and this process writes.

The workers read, shuffle and pack: `BuildStates` is the same code as a build on this machine, over
the rows of some entities. The states come here in batches and are written as always: while other
writers wait, with the rows that were pushed since, in every store and its mirror. So pushes and
reads go on, and a worker that dies takes nothing with it but the time that its task takes again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pyarrow as pa

from skewless.engines.base import Progress
from skewless.engines.partitioned import PartitionedEngine, form_of
from skewless.engines.row_form import RowForm, SpooledRows
from skewless.engines.shipping import Batches
from skewless.materialize.materialize import (
    PROGRESS,
    Materialization,
    MaterializeResult,
    Writing,
)
from skewless.online.keyed_rows import columns_needed
from skewless.state.layout import StateLayout
from skewless.stores.offline.history import History
from skewless.stores.offline.log.log import EventLog
from skewless.stores.online.base import KeyValues

BUILT = pa.schema([("key", pa.binary()), ("state", pa.binary())])


@dataclass(frozen=True)
class BuildStates:
    """States of the entities of a partition, from all of their rows.

    Attributes:
        layout: of the states.
        rows: form of the rows.
        sequence: the newest row of the log that the history has.
        floor: the earliest moment that will be asked about, microseconds.
        memory: bytes of rows to hold, see `SpooledRows`.
    """

    layout: StateLayout
    rows: RowForm
    sequence: int
    floor: int
    memory: int

    schema = BUILT

    def __call__(self, batches: Batches) -> Batches:
        """Yield keys and states."""
        with _Rows(self.rows, self.memory) as rows:
            rows.sequence = self.sequence
            for batch in batches:
                rows.add(batch)
            rows.end()
            log = cast(EventLog, None)  # nobody asks for what came later
            history = cast(History, rows)
            job = Materialization(self.layout, history, log, now=self.floor, rewind=0)
            for keys, states in job.built():
                yield pa.RecordBatch.from_arrays(
                    [pa.array(keys, pa.binary()), pa.array(states, pa.binary())], schema=BUILT
                )


class _Rows(SpooledRows):
    """The rows of a partition, as a history that reaches to a row of the log."""

    sequence = 0

    def last_sequence(self) -> int:
        return self.sequence


def build_by_engine(
    job: Materialization,
    engine: PartitionedEngine[object],
    writing: Writing,
    *,
    still: Callable[[KeyValues], bool],
    remember: bool = False,
    progress: Progress | None = None,
) -> MaterializeResult:
    """Build all states of a table with an engine, and write them.

    Args:
        job: says what is built, and what has come since.
        engine: that builds.
        writing: keeps other writers out, and gives where marks and states are written.
        still: whether, in a transaction of the journal, the table is still wanted.
        remember: whether the keys of all entities are kept, for `Materialization.remove_others`.
        progress: called with a text and the finished fraction.
    """
    layout, names = job.layout, job.layout.entity.key_names
    form = form_of(layout.source, layout.entity, columns_needed([layout]))
    task = BuildStates(layout, form, job.sequence, job.floor, engine.memory)
    if progress is not None:
        progress(f"engine {engine.kind}: building {layout.table}", 0.0)
    rows = engine.history_rows(job.history, form, names)
    written = 0
    for batch in engine.stream(engine.exchange([rows], task)):
        found, states = batch.column(0).to_pylist(), batch.column(1).to_pylist()
        with writing() as (journal, store):
            if not still(journal):
                break
            job.write_built(journal, store, dict(zip(found, states, strict=True)))
        written += len(found)
        if remember:
            job.entities.update(dict.fromkeys(found, 0))
        if progress is not None:
            progress(f"writing {layout.table}: {written:,} states", 0.5)
    with writing() as (journal, _):
        journal.delete(PROGRESS, [layout.table.encode()])  # of a build here that was killed
    return MaterializeResult(layout.table, written, job.history.row_count())
