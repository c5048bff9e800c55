"""Verbs that look after states and logs: materialize, backfill, compact."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from skewless.definitions import FeatureView
from skewless.errors import InputError
from skewless.jobs.materialize import Materialization, MaterializeResult
from skewless.jobs.runtime import Runtime
from skewless.jobs.states import StateTable, columns_needed, keyed_rows
from skewless.plan.layout import StateLayout
from skewless.stores.offline.history import History

Progress = Callable[[str, float], None]
_DONE = "materialized"


def materialize(
    runtime: Runtime,
    views: str | Sequence[str] | None,
    start: int | None,
    end: int | None,
    *,
    progress: Progress | None = None,
    everything: bool = False,
) -> list[MaterializeResult]:
    """Bring the states of some views up to date; see `FeatureStore.materialize`."""
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
        _one_table(runtime, table, (start, end), progress, everything) for table in wanted.values()
    ]
    now = runtime.clock.now()
    for (name, version), _ in chosen.items():
        runtime.registry.add_interval(name, version, start or 0, end or now)
    runtime.forget_plans()
    for unused in runtime.tables().unused():
        with runtime.journal.transaction() as transaction:
            transaction.delete("skewless.states", [unused.encode()])
        runtime.online.drop(unused)
    runtime.forget_plans()
    return results


def chosen_views(
    runtime: Runtime, names: Sequence[str] | None
) -> dict[tuple[str, int], FeatureView]:
    """Return the served view versions of these names, of all when None."""
    state = runtime.state()
    if names is None:
        return dict(state.views.items())
    chosen = {}
    for name in names:
        bare, _, version = name.partition("@v")
        view = state.view(bare, int(version) if version else None)
        if not isinstance(view, FeatureView):
            raise InputError(f"{name!r} is computed on demand: there is nothing to materialize")
        chosen[bare, int(version) if version else state.current[bare]] = view
    return chosen


def _one_table(
    runtime: Runtime,
    table: StateTable,
    interval: tuple[int | None, int | None],
    progress: Progress | None,
    everything: bool,
) -> MaterializeResult:
    layout = table.layout
    source = runtime.source(layout.source.name)
    history, log = runtime.history(source), runtime.log(source)
    start, end = interval
    parts = runtime.parts(source)
    sequence = log.last_sequence()
    before = _materialized(runtime, layout.table)
    seen = {} if before is None else dict(before["parts"])
    changed = [name for name, version in parts if seen.get(name) != version]
    only: set[bytes] | None = None
    gone = set(seen) - {name for name, _ in parts}
    moved = before is not None and before["end"] is not None and before["end"] != end
    if table.ready and before is not None and not (everything or gone or moved):
        if not changed:
            return MaterializeResult(layout.table, skipped=True)
        only = changed_keys(layout, history, changed, start, end)
    now = runtime.clock.now()
    job = Materialization(
        layout, history, runtime.online,
        now=now if end is None else min(now, end), rewind=runtime.config.rewind,
        sequence=sequence, total=runtime.row_count(source),
    )  # fmt: skip
    result = job.run(parts, end=end, only=only, progress=progress)
    with runtime.journal.transaction() as transaction:
        runtime.tables().mark_ready(transaction, layout.table, end)
        note = json.dumps({"parts": parts, "end": end, "sequence": sequence}).encode()
        transaction.write(_DONE, [(layout.table.encode(), note)])
    return result


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
    """Return the keys of the entities that have rows in some parts of the table."""
    keys: set[bytes] = set()
    columns = columns_needed([layout])
    for chunk in history.chunks(columns, start=start, end=end, parts=parts):
        order = (chunk.event, chunk.known, chunk.tiebreak)
        keys |= set(keyed_rows(layout, chunk.table, order).keys)
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
    sources = {view.source.name for view in chosen_views(runtime, names).values()}
    for name in sorted(sources):
        source = runtime.source(name)
        if source.lateness is not None:
            runtime.log(source).include_late(runtime.clock.now())
    return materialize(runtime, views, start, end, progress=progress, everything=True)


def compact(runtime: Runtime, name: str | None) -> dict[str, int]:
    """Settle event logs into Parquet; see `FeatureStore.compact`."""
    runtime.state(fresh=True)
    names = sorted(runtime.state().sources) if name is None else [name]
    return {each: runtime.log(runtime.source(each)).settle().rows for each in names}
