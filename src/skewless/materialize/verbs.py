"""Verbs that look after states and logs: materialize, backfill, compact."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.clock import NEVER
from skewless.definitions import FeatureView, Source
from skewless.errors import InputError
from skewless.materialize.materialize import PROGRESS, Materialization, MaterializeResult
from skewless.materialize.repair import bring_back, rebuild_marked
from skewless.online.dedup import versions_let_in
from skewless.online.loss_detection import held, is_noted, note_held
from skewless.online.row_ids import bring_up_to_date, definitions_of
from skewless.online.seen import seen_table
from skewless.online.tables import (
    TABLES,
    StateTable,
    columns_needed,
    keyed_rows,
    note_change,
)
from skewless.plan.selection import split_view
from skewless.runtime import Runtime
from skewless.state.layout import StateLayout
from skewless.stores.offline.history import History
from skewless.stores.offline.log.journal import DELETED, KNOWN, LATE
from skewless.stores.offline.retyped import seen_as

Progress = Callable[[str, float], None]
_DONE = "materialized"
_GRACE = 2_000_000
"""How long a table of states outlives its use, microseconds: twice what plans may be old."""


def materialize(
    runtime: Runtime,
    views: str | Sequence[str] | None,
    start: int | None,
    end: int | None,
    *,
    progress: Progress | None = None,
    everything: bool = False,
    exactly: bool = False,
) -> list[MaterializeResult]:
    """Bring the states of some views up to date; see `FeatureStore.materialize`.

    Args:
        runtime, views, start, end, progress: as there.
        everything: whether all states are built, whatever was done before.
        exactly: whether states of entities without history are removed.
    """
    runtime.state(fresh=True)
    runtime.forget_plans()
    names = [views] if isinstance(views, str) else views
    chosen = chosen_views(runtime, names)
    wanted = {
        table.layout.table: table
        for table in runtime.tables().wanted().values()
        if any(
            view.source.name == table.layout.source.name
            and view.entity.name == table.layout.entity.name
            for view in chosen.values()
        )
    }
    results = [
        _one_table(runtime, table, (start, end), progress, everything=everything, exactly=exactly)
        for table in wanted.values()
    ]
    now = runtime.clock.now()
    for (name, version), _ in chosen.items():
        runtime.registry.add_interval(name, version, start or 0, end or now)
    let_go(runtime)
    return results


def complete(runtime: Runtime, *, progress: Progress | None = None) -> list[MaterializeResult]:
    """Build the tables over pushed rows that are not built from all of history yet."""
    return [
        _one_table(runtime, table, (None, None), progress, everything=False, exactly=False)
        for table in runtime.tables().wanted().values()
        if not table.ready and table.layout.source.table is None
    ]


def let_go(runtime: Runtime) -> None:
    """Drop the tables of states that nothing needs any more.

    Not at once: other processes read and write what they know for as long as a second.
    """
    runtime.forget_plans()
    tables, now = runtime.tables(), runtime.clock.now()
    doomed = []
    with runtime.journal.transaction() as transaction:
        for name in tables.unused():
            table = tables.tables[name]
            if table.unused is None:
                tables.save(transaction, replace(table, ready=False, unused=now))
            elif now - table.unused >= _GRACE:
                doomed.append(name)
    for name in doomed:
        runtime.online.drop(name)
        if not runtime.one_store:
            runtime.journal.drop(seen_table(name))
        with runtime.journal.transaction() as transaction:
            for record in (TABLES, _DONE):
                transaction.delete(record, [name.encode()])
            note_change(transaction)
    runtime.forget_plans()


def chosen_views(
    runtime: Runtime, names: Sequence[str] | None
) -> dict[tuple[str, int], FeatureView]:
    """Return the served view versions of these names, of all when None."""
    state = runtime.state()
    if names is None:
        return dict(state.views.items())
    chosen = {}
    for name in names:
        bare, version = split_view(name)
        view = state.view(bare, version)
        if not isinstance(view, FeatureView):
            raise InputError(f"{name!r} is computed on demand: there is nothing to materialize")
        chosen[bare, state.current[bare] if version is None else version] = view
    return chosen


def _one_table(
    runtime: Runtime,
    table: StateTable,
    interval: tuple[int | None, int | None],
    progress: Progress | None,
    *,
    everything: bool,
    exactly: bool,
) -> MaterializeResult:
    layout = table.layout
    source = layout.source
    runtime.ownership.check()
    _known_to_all(runtime, table)
    if _is_lost(runtime, layout):
        everything = True
    elif runtime.may_forget:
        bring_back(runtime, source, table)
    history = runtime.history(source)
    start, end = interval
    parts = [(part.name, part.version) for part in history.parts()]
    before = _materialized(runtime, layout.table)
    seen = {} if before is None else dict(before["parts"])
    new = [name for name, _ in parts if name not in seen]
    # Rows that are no longer there, or are left out now: of any entity, nobody knows which.
    fewer = before is not None and (
        before["end"] != end or not set(seen.items()) <= set(parts)
    )  # fmt: skip
    only: set[bytes] | None = None
    done = parts
    if table.ready and before is not None and not (everything or fewer):
        only = changed_keys(layout, history, new, start, end) if new else set()
        if start is not None:
            done = [part for part in parts if part[0] in seen]  # of the others only some rows
        if not only:
            rebuild_marked(runtime, source, [table])
            _note_done(runtime, layout, done, end)
            return MaterializeResult(layout.table, skipped=True)
    now = runtime.clock.now()
    job = Materialization(
        layout, history, runtime.log(source),
        now=now if end is None else min(now, end), rewind=runtime.config.rewind,
    )  # fmt: skip
    purpose = [parts, everything]
    result = job.run(runtime.writing, purpose, end=end, only=only, progress=progress)
    rebuild_marked(runtime, source, [table])
    if fewer or exactly:
        job.remove_others(runtime.writing)
    _note_done(runtime, layout, done, end)
    if runtime.may_forget:
        with runtime.journal.transaction() as transaction:
            holds = held(runtime.home, transaction, layout.table, NEVER)
            reached = job.sequence if holds in (None, NEVER) else max(holds or 0, job.sequence)
            note_held(runtime.home, transaction, layout.table, reached)
    return result


def build_anew(runtime: Runtime, table: StateTable) -> MaterializeResult:
    """Build the states of a table from all of history, after the store has lost them."""
    done = _materialized(runtime, table.layout.table)
    end = None if done is None else done["end"]
    return _one_table(runtime, table, (None, end), None, everything=True, exactly=False)


def _is_lost(runtime: Runtime, layout: StateLayout) -> bool:
    """Return whether the store has lost the states of a table; if so, no run is resumed."""
    if not runtime.may_forget:
        return False
    with runtime.journal.transaction() as transaction:
        lost = held(runtime.home, transaction, layout.table, 0) is None
        if lost:
            transaction.delete(PROGRESS, [layout.table.encode()])
        elif not is_noted(transaction, layout.table):
            note_held(runtime.home, transaction, layout.table, 0)
    return lost


def _note_done(
    runtime: Runtime, layout: StateLayout, parts: Sequence[tuple[str, str]], end: int | None
) -> None:
    note = json.dumps({"parts": parts, "end": end}).encode()
    with runtime.journal.transaction() as transaction:
        table = runtime.tables().tables[layout.table]
        if not table.ready or table.until != end:
            runtime.tables().mark_ready(transaction, layout.table, end)
        transaction.write(_DONE, [(layout.table.encode(), note)])


def _known_to_all(runtime: Runtime, table: StateTable) -> None:
    """Make sure that whoever pushes from now on writes to the table."""
    with runtime.journal.transaction() as transaction:
        if transaction.read_one(TABLES, table.layout.table.encode()) is None:
            runtime.tables().save(transaction, table)


def _materialized(runtime: Runtime, table: str) -> dict[str, Any] | None:
    note = runtime.journal.read_one(_DONE, table.encode())
    found: dict[str, Any] | None = None if note is None else json.loads(note)
    return found


def changed_keys(
    layout: StateLayout,
    history: History,
    parts: list[str],
    start: int | None,
    end: int | None,
) -> set[bytes]:
    """Return the keys of the entities that have rows in some parts of the table.

    Entities whose rows were ever corrected are among them: the correction may be in these parts.
    """
    keys: set[bytes] = set()
    columns = columns_needed([layout])
    for chunk in history.chunks(columns, start=start, end=end, parts=parts):
        order = (chunk.event, chunk.known, chunk.tiebreak)
        keys |= set(keyed_rows(layout, chunk.table, order).keys)
    corrected = history.superseded().rows
    if len(corrected):
        table = history.take(corrected, columns)
        keys |= set(keyed_rows(layout, table, (corrected, corrected, corrected)).keys)
    return keys


def backfill(
    runtime: Runtime,
    views: str | Sequence[str] | None,
    start: int | None,
    end: int | None,
    *,
    progress: Progress | None = None,
) -> list[MaterializeResult]:
    """Build states anew, late rows included; see `FeatureStore.backfill`."""
    names = [views] if isinstance(views, str) else views
    runtime.state(fresh=True)
    chosen = chosen_views(runtime, names)
    late = {view.source.name for view in chosen.values() if view.source.lateness is not None}
    for name in sorted(late):
        _let_late_rows_in(runtime, runtime.source(name))
    # They count for every view of their source, asked for or not.
    every = chosen_views(runtime, None)
    wanted = [
        f"{name}@v{version}"
        for (name, version), view in every.items()
        if (name, version) in chosen or view.source.name in late
    ]
    return materialize(runtime, wanted, start, end, progress=progress, everything=True)


def rebuild(
    runtime: Runtime, views: Sequence[str] | None, *, progress: Progress | None = None
) -> list[MaterializeResult]:
    """Make the states of some views, or of all, exactly what history says.

    For a store that lost rows or holds what it should not. Reads go on meanwhile, rows pushed
    meanwhile are kept.
    """
    return materialize(runtime, views, None, None, progress=progress, everything=True, exactly=True)


def _let_late_rows_in(runtime: Runtime, source: Source) -> None:
    """Let late rows count from now on, as versions of their row ids too."""
    log, columns = runtime.log(source), list(source.columns)
    with runtime.journal.transaction() as transaction:
        before = log.reader()
        before.last_sequence()
        definitions = in_use(runtime, source)
        bring_up_to_date(transaction, log, definitions)
        step = log.include_late(runtime.clock.now(), transaction)
        if step is None or not definitions:
            return
        tables, numbers = [], []
        for chunk in before.chunks([*columns, KNOWN, LATE, DELETED], after=step[0]):
            tables.append(chunk.table.filter(chunk.table[LATE]))
            numbers.append(chunk.rows[np.asarray(chunk.table[LATE])])
        if not sum(map(len, numbers)):
            return
        sequence = np.concatenate(numbers)
        order = np.argsort(sequence)
        late = pa.concat_tables(tables).take(order).combine_chunks()
        known = np.maximum(np.asarray(late[KNOWN].cast(pa.int64())), step[1])
        for name, seen in definitions.items():
            notes = versions_let_in(
                transaction,
                seen,
                seen_as(seen, late.select(columns).to_batches()[0], seen.columns),
                known=known,
                sequence=sequence[order],
                deleted=np.asarray(late[DELETED]),
            )
            transaction.write(name, notes)


def in_use(runtime: Runtime, source: Source) -> dict[str, Source]:
    """Return the definitions of the row id under which rows of a source are looked at."""
    tables = runtime.tables().of_source(source.name)
    return definitions_of([source, *(table.layout.source for table in tables)])


def compact(runtime: Runtime, name: str | None) -> dict[str, int]:
    """Settle event logs into Parquet; see `FeatureStore.compact`."""
    runtime.state(fresh=True)
    names = sorted(runtime.state().sources) if name is None else [name]
    return {each: runtime.log(runtime.source(each)).settle().rows for each in names}
