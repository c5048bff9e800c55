"""Bringing the online states up to date with rows of the event log.

Nearly every row is newer than all others of its entity and goes in front of its state
(`plan.insert`); the rest take the long way (`plan.update`). States in which rows already let go
may count again are marked, and built anew from history.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.aggregations.windows import Session
from skewless.clock import NEVER
from skewless.definitions import Source
from skewless.jobs.arrivals import Arrivals
from skewless.jobs.materialize import Materialization
from skewless.jobs.runtime import Runtime
from skewless.jobs.states import KeyedRows, StateTable, keyed_rows
from skewless.plan.blob import decode
from skewless.plan.insert import Inserter
from skewless.plan.keys import KeyCodec
from skewless.plan.layout import StateLayout
from skewless.plan.update import Replacement, update_states
from skewless.stores.online.base import Rows as KeyValues

Ints = npt.NDArray[np.int64]
_FEW = 8


def update(
    runtime: Runtime, store: KeyValues, layout: StateLayout, arrivals: Arrivals, first: int
) -> None:
    """Bring the states of one layout up to date with rows just appended.

    Args:
        runtime: the open parts.
        store: of the states, or a transaction of it.
        layout: of the states.
        arrivals: the rows.
        first: sequence of the first of them.
    """
    batch, order = _counting(arrivals, first)
    if arrivals.outdated:
        _mark_dirty(runtime, store, layout, _outdated_keys(layout, arrivals))
    replaced = _replaced(runtime, layout, arrivals, first)
    floor = runtime.clock.now() - runtime.config.rewind
    few = len(arrivals.event) <= _FEW and not replaced
    if few and _few(store, layout, batch, order, floor):
        return
    keyed = keyed_rows(layout, batch, order)
    states = store.read(layout.table, keyed.keys)
    replacements = _in_states(store, layout, keyed, states, replaced)
    before = list(states)
    rest = _insert(layout, keyed, states, floor, {r.group for r in replacements})
    if rest:
        _merge(layout, keyed, (states, rest), floor, replacements)
    found = [(k, s) for k, s in zip(keyed.keys, states, strict=True) if s is not None]
    store.write(layout.table, found)
    _mark_dirty(
        runtime, store, layout, _dirty(layout, before, keyed, {key for key, _, _ in replaced})
    )


def _counting(arrivals: Arrivals, first: int) -> tuple[pa.RecordBatch, tuple[Ints, Ints, Ints]]:
    """Return the rows that count now, and their order."""
    order = (arrivals.event, arrivals.known, first + np.arange(len(arrivals.event)))
    if not (arrivals.deleted or arrivals.outdated or arrivals.late.any()):
        return arrivals.batch, order
    counts = ~arrivals.late & (not arrivals.deleted)
    counts[arrivals.outdated] = False
    at = np.flatnonzero(counts)
    return arrivals.batch.take(pa.array(at)), (order[0][at], order[1][at], order[2][at])


@lru_cache(maxsize=256)
def _inserter(layout: StateLayout) -> tuple[Inserter, KeyCodec]:
    return Inserter(layout), KeyCodec(layout.entity)


def _few(
    store: KeyValues,
    layout: StateLayout,
    batch: pa.RecordBatch,
    order: tuple[Ints, Ints, Ints],
    floor: int,
) -> bool:
    """Add a few rows value by value; return whether that was enough."""
    inserter, codec = _inserter(layout)
    names = layout.entity.key_names
    changed: dict[bytes, bytes] = {}
    for row, *times in zip(batch.to_pylist(), *(o.tolist() for o in order), strict=True):
        if any(row[name] is None for name in names):
            continue
        key = codec.encode(row)
        place = (times[0], times[1], times[2])
        record, tails = inserter.record(row, place)
        state = changed.get(key) or store.read_one(layout.table, key)
        if state is None:
            changed[key] = inserter.start(record, place, tails, floor)
            continue
        added = inserter.add(state, record, place, tails)
        if added is None:
            return False
        changed[key] = added
    store.write(layout.table, changed.items())
    return True


def _insert(
    layout: StateLayout,
    keyed: KeyedRows,
    states: list[bytes | None],
    floor: int,
    corrected: set[int],
) -> dict[int, list[int]]:
    """Put rows in front of their states; return those that need the long way, by group."""
    inserter, _ = _inserter(layout)
    rows = keyed.rows
    records, size = np.ascontiguousarray(rows.records).tobytes(), rows.records.dtype.itemsize
    columns = [rows.records[name].tolist() for name in ("event", "known", "tiebreak")]
    tails = list(rows.tails.values())
    rest: dict[int, list[int]] = {group: [] for group in corrected}
    for number, (group, *order) in enumerate(zip(rows.group.tolist(), *columns, strict=True)):
        if group in rest:
            rest[group].append(number)
            continue
        record = records[number * size : (number + 1) * size]
        own = [tail[number] for tail in tails]
        state, place = states[group], (order[0], order[1], order[2])
        if state is None:
            states[group] = inserter.start(record, place, own, floor)
            continue
        added = inserter.add(state, record, place, own)
        if added is None:
            rest[group] = [number]
        else:
            states[group] = added
    return rest


def _merge(
    layout: StateLayout,
    keyed: KeyedRows,
    work: tuple[list[bytes | None], dict[int, list[int]]],
    floor: int,
    replacements: Sequence[Replacement],
) -> None:
    """Bring the remaining states up to date the long way."""
    states, rest = work
    groups = sorted(g for g in rest if states[g] is not None or rest[g])
    place = {group: number for number, group in enumerate(groups)}
    at = np.array([number for group in groups for number in rest[group]], np.int64)
    rows = keyed.rows.take(at)
    rows.group = np.array([place[g] for g in rows.group.tolist()], np.int64)
    moved = [Replacement(place[r.group], r.tiebreak, r.at) for r in replacements
             if r.group in place]  # fmt: skip
    last = int(rows.records["tiebreak"].max()) if len(rows) else 0
    old = [states[group] for group in groups]
    new = update_states(layout, old, rows, sequence=last, floor=floor, replacements=moved)
    for group, state in zip(groups, new, strict=True):
        states[group] = state


def _in_states(
    store: KeyValues,
    layout: StateLayout,
    keyed: KeyedRows,
    states: list[bytes | None],
    replaced: Sequence[tuple[bytes, int, int]],
) -> list[Replacement]:
    """Add the entities of replaced rows to ``keyed`` and ``states``; return the replacements."""
    place = {key: number for number, key in enumerate(keyed.keys)}
    more = [key for key in dict.fromkeys(key for key, _, _ in replaced) if key not in place]
    for key, state in zip(more, store.read(layout.table, more), strict=True):
        place[key] = len(keyed.keys)
        keyed.keys.append(key)
        states.append(state)
    return [Replacement(place[key], number, at) for key, number, at in replaced]


def _mark_dirty(
    runtime: Runtime, store: KeyValues, layout: StateLayout, keys: Sequence[bytes]
) -> None:
    """Note the entities whose states have to be built anew from history."""
    if keys:
        runtime.clean.discard(layout.table)
        prefix = layout.table.encode() + b"/"
        store.write("skewless.dirty", [(prefix + key, b"") for key in keys])


def _replaced(
    runtime: Runtime, layout: StateLayout, arrivals: Arrivals, first: int
) -> list[tuple[bytes, int, int]]:
    """Return key, sequence and time of every row that the arrivals replace."""
    rows = np.flatnonzero(arrivals.supersedes)
    if not len(rows):
        return []
    numbers = arrivals.supersedes[rows]
    at = dict(zip(numbers.tolist(), arrivals.known[rows].tolist(), strict=True))
    names = list(layout.entity.key_names)
    older = np.unique(numbers[numbers < first])
    tables = []
    if len(older):
        tables.append((older, runtime.log(layout.source).reader().take(older, names)))
    same = np.unique(numbers[numbers >= first])
    if len(same):
        batch = arrivals.batch.take(pa.array(same - first))
        tables.append((same, pa.Table.from_batches([batch]).select(names)))
    found = []
    for sequence, table in tables:
        keys = keyed_rows(_keys_only(layout), table, (sequence, sequence, sequence))
        for group, number in zip(
            keys.rows.group.tolist(), sequence[keys.taken].tolist(), strict=True
        ):
            found.append((keys.keys[group], number, at[number]))
    return found


def _outdated_keys(layout: StateLayout, arrivals: Arrivals) -> list[bytes]:
    at = np.array(arrivals.outdated, np.int64)
    rows = keyed_rows(_keys_only(layout), arrivals.batch.take(pa.array(at)), (at, at, at))
    return rows.keys


def _keys_only(layout: StateLayout) -> StateLayout:
    return StateLayout(layout.entity, layout.source, {}, ())


def _dirty(
    layout: StateLayout,
    states: Sequence[bytes | None],
    keyed: KeyedRows,
    replaced: set[bytes],
) -> list[bytes]:
    """Return the entities for which rows already let go may count again."""
    if not layout.needs_older_rows:
        return []
    found = set(replaced)
    if any(isinstance(rule.window, Session) for rule in layout.rules):
        earliest = np.full(len(keyed.keys), NEVER, np.int64)
        np.minimum.at(earliest, keyed.rows.group, keyed.rows.records["event"])
        for key, state, event in zip(keyed.keys, states, earliest.tolist(), strict=True):
            if state is not None and event < decode(layout.slots, [state]).records["event"].min():
                found.add(key)
    return sorted(found)


def rebuild_dirty(runtime: Runtime, source: Source, tables: Sequence[StateTable]) -> None:
    """Rebuild from history the states for which rows already let go may count again."""

    for table in tables:
        name = table.layout.table
        if name in runtime.clean:
            continue
        prefix = name.encode() + b"/"
        marked = [key for key, _ in runtime.online.scan("skewless.dirty", prefix=prefix)]
        runtime.clean.add(name)
        if not marked:
            continue
        history = runtime.history(source)
        job = Materialization(
            table.layout, history, runtime.online, now=runtime.clock.now(),
            rewind=runtime.config.rewind, sequence=runtime.log(source).last_sequence(), total=1,
        )  # fmt: skip
        job.run([], only={key[len(prefix) :] for key in marked})
        runtime.online.delete("skewless.dirty", marked)


def catch_up(runtime: Runtime, source: Source, tables: Sequence[StateTable]) -> None:
    """Apply log entries to states in another store that a crash kept from it."""
    log = runtime.log(source)
    last = log.last_sequence()
    for table in tables:
        note = runtime.journal.read_one("skewless.applied", table.layout.table.encode())
        done = last if note is None else struct.unpack("<q", note)[0]
        if done < last:
            numbers = np.arange(done + 1, last + 1)
            columns = list(source.columns)
            batch = log.reader().take(numbers, columns).combine_chunks().to_batches()[0]
            names = batch.schema.names
            event = np.asarray(batch.column(names.index(source.event_time)).cast(pa.int64()))
            history = runtime.history(source)
            known = np.concatenate([c.known for c in history.chunks(columns, after=done)])
            arrivals = Arrivals(
                batch, event, known, np.zeros(len(event), bool),
                np.zeros(len(event), np.int64), False, [], [], 0,
            )  # fmt: skip
            update(runtime, runtime.online, table.layout, arrivals, done + 1)
        applied(runtime, table.layout, last)


def applied(runtime: Runtime, layout: StateLayout, sequence: int) -> None:
    """Note the last log entry that all states of a layout hold."""
    note = struct.pack("<q", sequence)
    runtime.journal.write("skewless.applied", [(layout.table.encode(), note)])
