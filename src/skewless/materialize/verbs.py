"""Verbs that look after states and logs: materialize, backfill, compact."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from skewless.clock import NEVER
from skewless.definitions import FeatureView, Source
from skewless.definitions.references import split_view
from skewless.engines.base import Engine
from skewless.engines.partitioned import PartitionedEngine
from skewless.errors import InputError
from skewless.ledger.runs import recorded
from skewless.materialize.by_engine import build_by_engine
from skewless.materialize.checked import refuse_unchecked
from skewless.materialize.late_rows import let_late_rows_in
from skewless.materialize.materialize import PROGRESS, MaterializeResult
from skewless.materialize.repair import (
    bring_back,
    corrected_keys,
    materialization,
    rebuild_marked,
)
from skewless.online.apply import reconcile
from skewless.online.dirty_keys import marked, unmark
from skewless.online.keyed_rows import columns_needed, keyed_rows
from skewless.online.loss_detection import APPLIED, HELD, applied, is_noted, last_held, note_held
from skewless.online.runtime import Runtime
from skewless.online.seen import seen_table
from skewless.online.tables import StateTable, forget_table, record_of
from skewless.plan.apply.registry_state import ViewVersion
from skewless.state.layout import StateLayout
from skewless.stores.offline.history import History
from skewless.stores.online.base import KeyValues, only_read_here

Progress = Callable[[str, float], None]


def summary(results: Sequence[MaterializeResult]) -> dict[str, Any]:
    """Return what the ledger says of what a run did for some tables of states."""
    return {"tables": [vars(result) for result in results]}


_DONE = "materialized"


@recorded("materialize", "views", "start", "end", result=summary)
def materialize(
    runtime: Runtime,
    views: str | Sequence[str] | None,
    start: int | None,
    end: int | None,
    *,
    progress: Progress | None = None,
    everything: bool = False,
    exactly: bool = False,
    engine: Engine | None = None,
) -> list[MaterializeResult]:
    """Bring the states of some views up to date; see `FeatureStore.materialize`.

    Args:
        runtime, views, start, end, progress: as there.
        everything: whether states are built, whatever was done before.
        exactly: whether states of entities without history are removed.
        engine: builds tables of which all states are wanted, if it is one of many processes.
    """
    if start is not None and end is not None and start > end:
        raise InputError("an interval that ends before it starts", got=f"{start} to {end}")
    reconcile(runtime, exactly=True)
    names = [views] if isinstance(views, str) else views
    chosen = chosen_views(runtime, names)
    tables = runtime.tables()
    kept = (tables.own(key) for key in chosen)
    wanted = {table.layout.table: table for table in kept if table is not None}
    interval = (start, end)
    sources = {table.layout.source.name for table in wanted.values()}
    refuse_unchecked(runtime, [runtime.source(name) for name in sorted(sources)])
    whole = {name for name, table in wanted.items() if not table.complete}
    results = [
        _one_table(
            runtime,
            table,
            interval,
            progress,
            everything=everything,
            exactly=exactly,
            engine=engine,
        )
        for table in wanted.values()
    ]
    now = runtime.clock.now()
    for key in chosen:
        table = tables.own(key)
        if table is not None and table.layout.table in whole:
            runtime.registry.add_interval(*key, 0, now)
        else:
            first, last = start or 0, now if end is None else end
            runtime.registry.add_interval(*key, first, max(first, last))
    tidy_up(runtime)
    return results


def is_complete(runtime: Runtime, key: ViewVersion) -> bool:
    """Return whether the table that is kept for a view version is complete."""
    own = runtime.tables().own(key)
    return own is not None and own.complete


def tidy_up(runtime: Runtime) -> None:
    """Stop and drop what completed tables have replaced, and let waiting pins move."""
    reconcile(runtime)
    drop_unused(runtime)


def drop_unused(runtime: Runtime) -> None:
    """Drop the tables of states that were stopped.

    Not at once: other processes read and write what they know for as long as a second.
    """
    tables = runtime.tables().tables
    unused = runtime.tables().unused(runtime.clock.now())
    for name in unused:
        runtime.online.drop(name)
        runtime.journal.drop(seen_table(name))
        with runtime.journal.transaction() as transaction:
            layout = tables[name].layout
            unmark(transaction, layout, marked(transaction, layout))
            forget_table(transaction, name, (APPLIED, HELD, _DONE, PROGRESS))
    if unused:
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
    engine: Engine | None = None,
) -> MaterializeResult:
    """Bring one table up to date.

    A table that is building is built from all of history, whatever the interval. In a complete one
    an interval selects the entities with new rows in it: their states are built from all their
    rows, and parts of the table of which only some rows were looked at stay new.
    """
    layout, source = table.layout, table.layout.source
    runtime.ownership.check()
    if _is_lost(runtime, layout):
        everything = True
    elif runtime.may_forget:
        bring_back(runtime, table)
    history = runtime.history(source)
    # Without it rows pushed before may have been counted beside those of the table they correct.
    indexed = index_table(runtime, source, history)
    parts = [(part.name, part.version) for part in history.parts()]
    seen = dict(_materialized(runtime, layout.table))
    new = [name for name, _ in parts if name not in seen]
    # Rows that are no longer there: of any entity, nobody knows which.
    fewer = table.complete and not set(seen.items()) <= set(parts)
    cut = interval != (None, None)
    only: set[bytes] | None = None
    if table.complete and indexed and not fewer and (cut or not everything):
        looked_at = None if everything else new
        only = changed_keys(layout, history, looked_at, *interval)
    done = parts
    if only is not None and cut:
        done = [part for part in parts if part[0] in seen]  # of the others only some rows
    if only is not None and not only:
        rebuild_marked(runtime, [table])
        _note_done(runtime, table, done, table.built or 0)
        return MaterializeResult(layout.table, skipped=True)
    job = materialization(runtime, layout, history)
    # While it is building, pushes keep up what is written, so that a killed run goes on there.
    since = job.sequence if table.complete or everything else None
    still = functools.partial(_is_active, name=layout.table)
    removes = only is None and (fewer or exactly)
    if only is None and isinstance(engine, PartitionedEngine):
        result = build_by_engine(
            job, engine, runtime.writing, still=still, remember=removes, progress=progress
        )
    else:
        purpose = [parts, everything, since]
        result = job.run(runtime.writing, purpose, only=only, still=still, progress=progress)
    rebuild_marked(runtime, [table])
    if removes:
        job.remove_others(runtime.writing)
    _note_done(runtime, table, done, job.sequence)
    _note_built(runtime, layout, job.sequence)
    return result


def _note_built(runtime: Runtime, layout: StateLayout, sequence: int) -> None:
    """Note, where states may be lost, that those of a table hold the log up to a row."""
    if not runtime.may_forget:
        return
    with runtime.journal.transaction() as transaction:
        holds = last_held(runtime.home, transaction, layout.table, NEVER)
        reached = sequence if holds in (None, NEVER) else max(holds or 0, sequence)
        note_held(runtime.home, transaction, layout.table, reached)


def build_anew(runtime: Runtime, table: StateTable) -> MaterializeResult:
    """Build the states of a table from all of history, after the store has lost them."""
    return _one_table(runtime, table, (None, None), None, everything=True, exactly=False)


def _is_lost(runtime: Runtime, layout: StateLayout) -> bool:
    """Return whether the store has lost the states of a table; if so, no run is resumed."""
    if not runtime.may_forget:
        return False
    with runtime.journal.transaction() as transaction:
        lost = last_held(runtime.home, transaction, layout.table, 0) is None
        if lost:
            transaction.delete(PROGRESS, [layout.table.encode()])
        elif not is_noted(transaction, layout.table):
            done = applied(transaction, layout.table)
            since = runtime.log(layout.source).last_sequence(transaction)
            note_held(runtime.home, transaction, layout.table, since if done is None else done)
    return lost


def _is_active(journal: KeyValues, name: str) -> bool:
    record = record_of(journal, name)
    return record is not None and record.active


def _note_done(
    runtime: Runtime, table: StateTable, parts: Sequence[tuple[str, str]], sequence: int
) -> None:
    """Note that a table is complete, and which parts of the source's table it holds."""
    name = table.layout.table
    with runtime.journal.transaction() as transaction:
        record = record_of(transaction, name)
        if record is None or not record.active:  # nobody wants it any more
            return
        if not record.complete:
            complete = replace(record, complete=True, built=sequence)
            runtime.tables().save(transaction, [complete])
        transaction.write(_DONE, [(name.encode(), json.dumps({"parts": parts}).encode())])


def _materialized(runtime: Runtime, table: str) -> list[tuple[str, str]]:
    """Return name and version of the parts of the source's table that a table holds."""
    note = runtime.journal.read_one(_DONE, table.encode())
    return [] if note is None else [(name, version) for name, version in json.loads(note)["parts"]]


def changed_keys(
    layout: StateLayout,
    history: History,
    parts: list[str] | None,
    start: int | None,
    end: int | None,
) -> set[bytes]:
    """Return the keys of the entities that have rows of an interval in some parts of the table.

    With None for the parts: in the whole table and the event log. Entities whose rows were ever
    corrected are among them: the correction may be in these parts.
    """
    keys: set[bytes] = set()
    if parts == []:
        return keys
    columns = columns_needed([layout])
    for chunk in history.chunks(columns, start=start, end=end, parts=parts):
        order = (chunk.event, chunk.known, chunk.tiebreak)
        keys |= set(keyed_rows(layout, chunk.table, order).keys)
    keys |= corrected_keys(layout, history)
    return keys


@recorded("backfill", "views", "start", "end", result=summary)
def backfill(
    runtime: Runtime,
    views: str | Sequence[str] | None,
    start: int | None,
    end: int | None,
    *,
    progress: Progress | None = None,
) -> list[MaterializeResult]:
    """Rebuild states, late rows included; see `FeatureStore.backfill`."""
    names = [views] if isinstance(views, str) else views
    runtime.state(fresh=True)
    chosen = chosen_views(runtime, names)
    late = {view.source.name for view in chosen.values() if view.source.lateness is not None}
    for name in sorted(late):
        let_late_rows_in(runtime, runtime.source(name))
    # They count for every view of their source, asked for or not.
    every = chosen_views(runtime, None)
    wanted = [
        f"{name}@v{version}"
        for (name, version), view in every.items()
        if (name, version) in chosen or view.source.name in late
    ]
    return materialize(runtime, wanted, start, end, progress=progress, everything=True)


@recorded("rebuild states", "views", result=summary)
def rebuild(
    runtime: Runtime, views: Sequence[str] | None, *, progress: Progress | None = None
) -> list[MaterializeResult]:
    """Make the states of some views, or of all, exactly what history says.

    For a store that lost rows or holds what it should not. Reads go on meanwhile, rows pushed
    meanwhile are kept.
    """
    return materialize(runtime, views, None, None, progress=progress, everything=True, exactly=True)


def index_table(runtime: Runtime, source: Source, history: History) -> bool:
    """Index the row ids of a source's table as a history has it; return whether any index was."""
    tables = runtime.tables().of_source(source.name, runtime.clock.now())
    keys = {name for table in tables for name in table.layout.entity.key_names}
    unused = source.stream is None and not runtime.log(source).last_sequence()
    return runtime.table_indexes.ensure(source, history, keys, later=unused)


@recorded("compact", "name", result=lambda settled: {"rows": settled})
def compact(runtime: Runtime, name: str | None) -> dict[str, int]:
    """Settle event logs into Parquet; see `FeatureStore.compact`.

    Raises:
        Conflict: the folder of the history goes with another journal.
        StoreError: nothing may be written.
    """
    if runtime.config.read_only:
        raise only_read_here(str(runtime.folder))
    runtime.state(fresh=True)
    runtime.ownership.take_folder()
    runtime.outdate_copy()  # which may name files that are joined with others now
    names = sorted(runtime.state().sources) if name is None else [name]
    settled = {each: runtime.log(runtime.source(each)).settle().rows for each in names}
    runtime.ownership.forget_sessions()
    return settled
