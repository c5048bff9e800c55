"""Push: rows of a source into its event log and the online states, exactly once per row id.

Where the online store has transactions, log and states change in one of them. Elsewhere the log
is first, which makes the rows durable, and the states follow; what a crash left undone is done
before the next push, because every state knows the last log entry it holds.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.aggregations.windows import Session
from skewless.clock import ALWAYS, from_micros
from skewless.definitions import Source
from skewless.errors import InputError
from skewless.jobs.intake import Admitted, Rejected, admit
from skewless.jobs.runtime import Runtime
from skewless.jobs.states import KeyedRows, StateTable, keyed_rows
from skewless.plan.layout import StateLayout
from skewless.plan.update import Replacement, update_states
from skewless.stores.online.base import Rows as KeyValues

Ints = npt.NDArray[np.int64]
_VERSION = struct.Struct("<qq16s?")


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


@dataclass(frozen=True)
class Quarantined:
    """A row set aside by an earlier push.

    Attributes:
        at: when, UTC microseconds.
        reason: why.
        values: what it held, as text.
    """

    at: int
    reason: str
    values: str


@dataclass(eq=False)
class _Arrivals:
    """Rows about to be appended, after duplicates were left out.

    Attributes:
        batch, event, known: the rows.
        late: which are beyond the source's lateness.
        supersedes: the sequence each one corrects, 0 for none.
        deleted: whether they delete the rows of their ids.
        versions: what to note per row id.
        outdated: rows older (by known time) than one of their row id that came before them.
        duplicates: how many rows were left out.
    """

    batch: pa.RecordBatch
    event: Ints
    known: Ints
    late: npt.NDArray[np.bool_]
    supersedes: Ints
    deleted: bool
    versions: list[tuple[bytes, int, bytes]]
    outdated: list[int]
    duplicates: int


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
        found = transaction.read(_ids(source), [_id_bytes(value) for value in ids])
    known_ids = [state for state in found if state is not None and not _VERSION.unpack(state)[3]]
    numbers = np.array(sorted(_VERSION.unpack(state)[0] for state in known_ids), np.int64)
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
        arrivals = _arrivals(transaction, source, admitted, (first, newest), deleted)
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
            (key, _VERSION.pack(first + row, int(arrivals.known[row]), content, deleted))
            for key, row, content in arrivals.versions
        ]
        if items:
            transaction.write(_ids(source), items)
        if position is not None:
            transaction.write("skewless.positions", [(position[0].encode(), position[1])])
        _set_aside(transaction, source, admitted.rejected, runtime.clock.now())
        if runtime.one_store:
            for table in tables:
                _update(runtime, transaction, table.layout, arrivals, first)
    if not runtime.one_store:
        for table in tables:
            _update(runtime, runtime.online, table.layout, arrivals, first)
            _applied(runtime, table.layout, first + len(arrivals.event) - 1)
    rebuild_dirty(runtime, source, tables)
    return PushResult(
        accepted=len(arrivals.event),
        corrections=int((arrivals.supersedes > 0).sum()),
        duplicates=arrivals.duplicates,
        late=int(arrivals.late.sum()),
        quarantined=tuple(admitted.rejected),
        sequence=first + len(arrivals.event) - 1,
    )


def _ids(source: Source) -> str:
    return f"ids.{source.name}"


def _id_bytes(values: Sequence[Any]) -> bytes:
    text = json.dumps([str(value) if isinstance(value, bytes) else value for value in values],
                      default=str, separators=(",", ":"))  # fmt: skip
    return text.encode()


def _content(values: Sequence[Any], deleted: bool) -> bytes:
    return hashlib.blake2b(repr((values, deleted)).encode(), digest_size=16).digest()


def _arrivals(
    transaction: KeyValues,
    source: Source,
    admitted: Admitted,
    reached: tuple[int, int | None],
    deleted: bool,
) -> _Arrivals:
    """Leave out duplicates and find corrections and late rows, row by row in order.

    Args:
        transaction: of the journal.
        source: whose rows they are.
        admitted: the rows.
        reached: the sequence of the next row, and the newest event time so far.
        deleted: whether they delete the rows of their ids.
    """
    first, newest = reached
    late = _late(source, admitted.event, newest)
    size = len(admitted.event)
    supersedes = np.zeros(size, np.int64)
    if not source.row_id or size == 0:
        return _Arrivals(
            admitted.batch, admitted.event, admitted.known, late, supersedes, deleted, [], [], 0
        )
    content_columns = [n for n in source.columns if n != source.known_time]
    names = list(source.columns)
    columns = [admitted.batch.column(names.index(name)).to_pylist() for name in content_columns]
    at = [content_columns.index(name) for name in source.row_id]
    contents = list(zip(*columns, strict=True))
    keys = [_id_bytes([row[i] for i in at]) for row in contents]
    stored = dict(zip(keys, transaction.read(_ids(source), keys), strict=True))
    versions = {key: _VERSION.unpack(value) for key, value in stored.items() if value is not None}
    keep: list[int] = []
    notes: dict[bytes, tuple[int, bytes]] = {}
    corrected: list[tuple[int, int]] = []
    outdated: list[int] = []
    for row, key in enumerate(keys):
        content, known = _content(contents[row], deleted), int(admitted.known[row])
        before = versions.get(key)
        if before is not None and before[2] == content:
            continue
        if before is not None and not late[row] and known < before[1]:
            outdated.append(len(keep))
            keep.append(row)
            continue
        if before is not None and not late[row]:
            corrected.append((len(keep), before[0]))
        if not late[row]:
            notes[key] = (len(keep), content)
            versions[key] = (first + len(keep), known, content, deleted)
        keep.append(row)
    kept = np.array(keep, np.int64)
    arrivals = _Arrivals(
        admitted.batch.take(pa.array(kept)) if len(keep) < size else admitted.batch,
        admitted.event[kept],
        admitted.known[kept],
        late[kept],
        np.zeros(len(keep), np.int64),
        deleted,
        [(key, row, content) for key, (row, content) in notes.items()],
        outdated,
        size - len(keep),
    )
    for row, before_sequence in corrected:
        arrivals.supersedes[row] = before_sequence
    return arrivals


def _late(source: Source, event: Ints, newest: int | None) -> npt.NDArray[np.bool_]:
    if source.lateness is None or not len(event):
        return np.zeros(len(event), bool)
    start = ALWAYS + source.lateness if newest is None else newest
    before = np.maximum.accumulate(np.r_[start, event])[:-1]
    return event < before - source.lateness


def _set_aside(
    transaction: KeyValues, source: Source, rejected: Sequence[Rejected], now: int
) -> None:
    if not rejected:
        return
    items = []
    for number, row in enumerate(rejected):
        key = struct.pack(">qI", now, number) + hashlib.blake2b(digest_size=4).digest()
        items.append((key, json.dumps([now, row.reason, row.values]).encode()))
    transaction.write(f"quarantine.{source.name}", items)


def quarantined(runtime: Runtime, source_name: str, limit: int) -> list[Quarantined]:
    """Return the newest quarantined rows; see `FeatureStore.quarantine`."""
    source = runtime.source(source_name)
    found = [json.loads(value) for _, value in runtime.journal.scan(f"quarantine.{source.name}")]
    return [Quarantined(at, reason, values) for at, reason, values in reversed(found[-limit:])]


def _update(
    runtime: Runtime, store: KeyValues, layout: StateLayout, arrivals: _Arrivals, first: int
) -> None:
    """Bring the states of one layout up to date with rows just appended."""
    order = (arrivals.event, arrivals.known, first + np.arange(len(arrivals.event)))
    batch: pa.RecordBatch = arrivals.batch
    if arrivals.late.any() or arrivals.deleted or arrivals.outdated:
        counts = ~arrivals.late & (not arrivals.deleted)
        counts[arrivals.outdated] = False
        on_time = np.flatnonzero(counts)
        batch = batch.take(pa.array(on_time))
        order = (order[0][on_time], order[1][on_time], order[2][on_time])
    if arrivals.outdated:
        _mark_dirty(store, layout, _outdated_keys(layout, arrivals))
    keyed = keyed_rows(layout, batch, order)
    replaced = _replaced(runtime, layout, arrivals, first)
    keys = list(dict.fromkeys([*keyed.keys, *(key for key, _, _ in replaced)]))
    if not keys:
        return
    place = {key: number for number, key in enumerate(keys)}
    replacements = [Replacement(place[key], number, at) for key, number, at in replaced]
    states = store.read(layout.table, keys)
    known = [n for n, s in enumerate(states) if s is not None or n < len(keyed.keys)]
    if len(known) < len(keys):  # an entity whose only row was replaced and that has no state
        keys, states = [keys[n] for n in known], [states[n] for n in known]
        replacements = [r for r in replacements if r.group < len(keys)]
    new = update_states(
        layout,
        states,
        keyed.rows,
        sequence=first + len(arrivals.event) - 1,
        floor=runtime.clock.now() - runtime.config.rewind,
        replacements=replacements,
    )
    store.write(layout.table, zip(keys, new, strict=True))
    _mark_dirty(store, layout, _dirty(layout, states, keyed, {key for key, _, _ in replaced}))


def _mark_dirty(store: KeyValues, layout: StateLayout, keys: Sequence[bytes]) -> None:
    """Note the entities whose states have to be built anew from history."""
    if keys:
        prefix = layout.table.encode() + b"/"
        store.write("skewless.dirty", [(prefix + key, b"") for key in keys])


def _replaced(
    runtime: Runtime, layout: StateLayout, arrivals: _Arrivals, first: int
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


def _outdated_keys(layout: StateLayout, arrivals: _Arrivals) -> list[bytes]:
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
        from skewless.plan.blob import decode

        for number, key in enumerate(keyed.keys):
            state = states[number]
            if state is not None:
                oldest = int(decode(layout.slots, [state]).records["event"].min())
                mine = keyed.rows.records["event"][keyed.rows.group == number]
                if int(mine.min()) < oldest:
                    found.add(key)
    return sorted(found)


def rebuild_dirty(runtime: Runtime, source: Source, tables: Sequence[StateTable]) -> None:
    """Rebuild from history the states for which rows already let go may count again."""
    from skewless.jobs.materialize import Materialization

    for table in tables:
        name = table.layout.table
        prefix = name.encode() + b"/"
        marked = [key for key, _ in runtime.online.scan("skewless.dirty", prefix=prefix)]
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
        applied = last if note is None else struct.unpack("<q", note)[0]
        if applied < last:
            numbers = np.arange(applied + 1, last + 1)
            columns = list(source.columns)
            batch = log.reader().take(numbers, columns).combine_chunks().to_batches()[0]
            names = batch.schema.names
            event = np.asarray(batch.column(names.index(source.event_time)).cast(pa.int64()))
            history = runtime.history(source)
            known = np.concatenate([c.known for c in history.chunks(columns, after=applied)])
            arrivals = _Arrivals(
                batch, event, known, np.zeros(len(event), bool),
                np.zeros(len(event), np.int64), False, [], [], 0,
            )  # fmt: skip
            _update(runtime, runtime.online, table.layout, arrivals, applied + 1)
        _applied(runtime, table.layout, last)


def _applied(runtime: Runtime, layout: StateLayout, sequence: int) -> None:
    note = struct.pack("<q", sequence)
    runtime.journal.write("skewless.applied", [(layout.table.encode(), note)])
