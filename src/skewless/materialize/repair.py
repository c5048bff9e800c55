"""States rebuilt from history, for some entities: after a crash, or when pushes cannot do.

Where states are in another store than the event log, a crash or a refusal of the store can keep
rows from them; the journal notes the last row that the states of each table hold. Entities whose
state vanished, or for which late rows start to count, are marked, and rebuilt by whatever writes
next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from skewless.materialize.materialize import Materialization
from skewless.online.dirty_keys import marked, unmark
from skewless.online.keyed_rows import KeyedRows, columns_needed, keyed_rows
from skewless.online.log_tail import LogTail, Replaced
from skewless.online.loss_detection import note_applied, note_held, standings
from skewless.online.runtime import Runtime
from skewless.online.tables import StateTable
from skewless.state.layout import StateLayout
from skewless.stores.offline.history import History
from skewless.stores.online.base import KeyValues
from skewless.stores.online.compare_and_set import Overtaken

ATTEMPTS = 4


def materialization(
    runtime: Runtime, layout: StateLayout, history: History | None = None
) -> Materialization:
    """Return what builds states of a layout from a history, by default as it is now."""
    source = layout.source
    return Materialization(
        layout,
        history or runtime.history(source, kept=True),
        runtime.log(source),
        now=runtime.clock.now(),
        rewind=runtime.config.rewind,
        index=lambda: runtime.table_indexes.of(source),
    )


def rebuilt_with(
    runtime: Runtime,
    layout: StateLayout,
    rows: KeyedRows,
    replaced: Sequence[Replaced],
    keys: set[bytes],
) -> Mapping[bytes, bytes]:
    """Return the states of some entities, from history and rows that it may not hold yet.

    Args:
        runtime: the open parts.
        layout: of the states.
        rows: of the push that is under way.
        replaced: the rows that it replaces.
        keys: of the entities.
    """
    job = materialization(runtime, layout)
    unseen = rows.rows.take(rows.rows.records["tiebreak"] > job.sequence)
    job.since.add(rows.keys, unseen, replaced)
    return job.states_of(keys)


def corrected_keys(layout: StateLayout, history: History) -> set[bytes]:
    """Return the entities of all rows that were ever corrected or deleted."""
    corrected = history.superseded().rows
    if not len(corrected):
        return set()
    table = history.take(corrected, columns_needed([layout]))
    return set(keyed_rows(layout, table, (corrected, corrected, corrected)).keys)


def rebuild_marked(runtime: Runtime, tables: Sequence[StateTable]) -> bool:
    """Rebuild the states of marked entities; return whether there were any."""
    found = False
    for table in tables:
        layout = table.layout
        if not marked(runtime.journal, layout, limit=1):
            continue
        with runtime.writing() as (transaction, states):
            keys = marked(transaction, layout)
            overwrite(states, layout, materialization(runtime, layout).states_of(keys))
            unmark(transaction, layout, keys)
        found = True
    return found


def repair(runtime: Runtime, names: Sequence[str]) -> None:
    """Bring some tables up to date with the log, and build their marked states anew."""
    tables = runtime.tables().tables
    for table in (tables[name] for name in names if name in tables):
        bring_back(runtime, table)


def catch_up(runtime: Runtime, states: KeyValues, layout: StateLayout, done: int) -> int:
    """Bring states up to date with the rows of the log after ``done``; return the last row.

    The states of all entities that these rows are about are rebuilt. Other writers must be
    kept out meanwhile.
    """
    log = runtime.log(layout.source)
    rows = LogTail(layout, log, done, lambda: runtime.table_indexes.of(layout.source))
    rows.read()
    keys = rows.keys() | rows.of_table
    if rows.replaced:
        numbers = np.array(sorted(rows.replaced), np.int64)
        table = log.reader().take(numbers, list(layout.entity.key_names))
        only_keys = StateLayout(layout.entity, layout.source, {}, ())
        keys |= set(keyed_rows(only_keys, table, (numbers, numbers, numbers)).keys)
    if keys:
        overwrite(states, layout, materialization(runtime, layout).states_of(keys))
    return rows.sequence


def bring_back(runtime: Runtime, table: StateTable) -> bool:
    """Bring states up to date with the log, and rebuild marked ones; say if there were any.

    Writes that the store has lost are done again, and those that a kill or a refusal of the store
    kept from it after the log had the rows.
    """
    again = not runtime.one_store and _caught_up(runtime, table.layout)
    return rebuild_marked(runtime, [table]) or again


def _caught_up(runtime: Runtime, layout: StateLayout) -> bool:
    """Bring states up to date with the log, other writers kept out; say whether they were not.

    Whoever keeps the others out knows that no push is on its way to them: they are `building`.
    """
    name, home, log = layout.table, runtime.home, runtime.log(layout.source)
    last = log.last_sequence()  # before the notes: these only grow
    if not standings(home, [name])[name].lacks(last):
        return False
    with runtime.writing() as (journal, states):
        standing = standings(home, [name], journal)[name]
        behind = standing.lacks(log.last_sequence(journal))
        if behind:
            runtime.lag.note([name])
            reached = catch_up(runtime, states, layout, standing.holds or 0)
            note_applied(journal, name, reached)
            note_held(home, journal, name, reached)
    runtime.lag.forget([name])
    return behind


def overwrite(states: KeyValues, layout: StateLayout, found: Mapping[bytes, bytes]) -> None:
    """Write states built from history, whatever is there; other writers must be kept out."""
    for attempt in range(1, ATTEMPTS + 1):
        states.read(layout.table, list(found))  # what `CompareAndSetRows` takes the place of
        try:
            states.overwrite(layout.table, found.items())
        except Overtaken:  # by a write that was late in coming
            if attempt == ATTEMPTS:
                raise
        else:
            return
