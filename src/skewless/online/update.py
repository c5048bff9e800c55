"""Bringing the online states up to date with rows of the event log.

Nearly every row is newer than all others of its entity and is prepended to its state
(`state.prepend`); the rest take the long way (`state.update`). States in which rows that were
dropped may count again are rebuilt from history.

All of this happens while other writers are kept out (`Runtime.writing`), in the order of the log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS, NEVER
from skewless.online.dedup import Arrivals, InTable
from skewless.online.keyed_rows import KeyedRows, columns_needed, keyed_rows, keys_of
from skewless.online.log_tail import Replaced
from skewless.online.oversize import set_aside
from skewless.online.seen import seen_among, seen_table
from skewless.state import pieces
from skewless.state.blob import decode
from skewless.state.keys import KeyCodec
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet
from skewless.state.pieces import Head
from skewless.state.prepend import Inserter, Order
from skewless.state.update import Replacement, update_states
from skewless.stores.offline.log.reader import LogReader
from skewless.stores.offline.retyped import seen_as
from skewless.stores.offline.table_ids import CONTENT, EVENT, KNOWN
from skewless.stores.online.base import KeyValues, Transaction
from skewless.types import python_rows

if TYPE_CHECKING:
    from skewless.config import Config
    from skewless.definitions import Source
    from skewless.stores.offline.log.log import EventLog

Ints = npt.NDArray[np.int64]
_FEW = 8
State = bytes | Head
Rebuild = Callable[[StateLayout, KeyedRows, Sequence[Replaced], set[bytes]], Mapping[bytes, bytes]]
"""Builds the states of some entities from history and rows of a push: the rows, those they
replace, the keys of the entities. See `materialize.repair.rebuilt_with`."""


class Repo(Protocol):
    """What an update needs of an open repo; see `Runtime`."""

    config: Config

    def log(self, source: Source) -> EventLog:
        """Return the event log of a source; asked for rows that were replaced."""


@dataclass(frozen=True)
class Places:
    """Where things are written while other writers are kept out, see `Runtime.writing`.

    Attributes:
        journal: its transaction.
        states: where states are, the same where one transaction has both; nothing notes there
            which ones are new.
    """

    journal: Transaction
    states: KeyValues

    def vanished(self, table: str, missing: Sequence[bytes]) -> set[bytes]:
        """Return those of the keys without a state that had one."""
        return seen_among(self.journal, table, missing) if missing else set()

    def set_aside(self, table: str) -> Collection[bytes]:
        """Return the keys of a table whose states are larger than their store takes."""
        return () if self.states is self.journal else set_aside(self.journal, table)

    def note_new(self, table: str, keys: Sequence[bytes]) -> None:
        """Note keys that get their first state."""
        if keys:
            self.journal.write(seen_table(table), [(key, b"") for key in keys])


def update(
    repo: Repo,
    places: Places,
    layout: StateLayout,
    arrivals: Arrivals,
    first: int,
    *,
    rebuild: Rebuild,
) -> None:
    """Bring the states of one layout up to date with rows just appended.

    Args:
        repo: settings and logs.
        places: where states and marks are written.
        layout: of the states.
        arrivals: the rows.
        first: sequence of the first of them.
        rebuild: builds states in which rows that were dropped may count again.
    """
    store = places.states
    batch, order = _counting(arrivals, first)
    batch = seen_as(layout.source, batch, _columns_of(layout))
    last = first + len(arrivals.event) - 1
    replaced = _replaced(repo, places.journal, layout, arrivals, first)
    floor = max(arrivals.present, ALWAYS + repo.config.rewind) - repo.config.rewind
    aside = places.set_aside(layout.table)
    few = len(arrivals.event) <= _FEW and not replaced and not aside
    if few and _few(places, layout, batch, order, floor):
        return
    keyed = keyed_rows(layout, batch, order)
    if aside:
        keyed = _without(keyed, aside)
        replaced = [row for row in replaced if row.key not in aside]
    states = list(store.read_heads(layout.table, keyed.keys))
    replacements = _in_states(store, layout, keyed, states, replaced)
    before = list(states)
    missing = [key for key, state in zip(keyed.keys, before, strict=True) if state is None]
    vanished = places.vanished(layout.table, missing)
    corrected = {r.group for r in replacements}
    rest = _insert(layout, keyed, states, corrected, floor=floor, divides=store.divides)
    if rest:
        for group in rest:
            states[group] = _whole(store, layout.table, keyed.keys[group], states[group])
        _merge(layout, keyed, states, rest, floor=floor, last=last, replacements=replacements)
    found = list(zip(keyed.keys, states, strict=True))
    short = vanished | _short(layout, before, found, keyed, {row.key for row in replaced})
    if short:
        found += rebuild(layout, keyed, replaced, short).items()
    changed = {key: state for key, state in found if state is not None}
    places.note_new(layout.table, [k for k in missing if k in changed and k not in vanished])
    heads = {}
    if store.divides and Head in set(map(type, before)):
        heads = {k: s for k, s in zip(keyed.keys, before, strict=True) if isinstance(s, Head)}
    store.write_heads(layout.table, changed.items(), heads)


def _without(keyed: KeyedRows, keys: Container[bytes]) -> KeyedRows:
    """Return rows without those of some keys."""
    kept = [number for number, key in enumerate(keyed.keys) if key not in keys]
    place = np.full(len(keyed.keys), -1, np.int64)
    place[kept] = np.arange(len(kept))
    at = np.flatnonzero(place[keyed.rows.group] >= 0)
    rows = keyed.rows.take(at)
    rows.group = place[rows.group]
    return KeyedRows([keyed.keys[number] for number in kept], rows, keyed.taken[at])


def _counting(arrivals: Arrivals, first: int) -> tuple[pa.RecordBatch, tuple[Ints, Ints, Ints]]:
    """Return the rows that count now, and their order."""
    order = (arrivals.event, arrivals.known, first + np.arange(len(arrivals.event)))
    gone = arrivals.deleted
    if gone is None and not arrivals.late_ones and arrivals.again is None:
        return arrivals.batch, order
    counts = ~arrivals.late if gone is None else ~arrivals.late & ~gone
    if arrivals.again is not None:
        counts &= ~arrivals.again
    at = np.flatnonzero(counts)
    return arrivals.batch.take(pa.array(at)), (order[0][at], order[1][at], order[2][at])


@lru_cache(maxsize=256)
def _columns_of(layout: StateLayout) -> tuple[str, ...]:
    return tuple(columns_needed([layout]))


@lru_cache(maxsize=256)
def _inserter(layout: StateLayout) -> tuple[Inserter, KeyCodec]:
    return Inserter(layout), KeyCodec(layout.entity)


def _few(
    places: Places,
    layout: StateLayout,
    batch: pa.RecordBatch,
    order: tuple[Ints, Ints, Ints],
    floor: int,
) -> bool:
    """Add a few rows value by value; return whether that was enough."""
    inserter, codec = _inserter(layout)
    store, names = places.states, layout.entity.key_names
    changed: dict[bytes, State] = {}
    before: dict[bytes, Head] = {}
    new: list[bytes] = []
    for row, *times in zip(
        python_rows(batch, _columns_of(layout)), *(o.tolist() for o in order), strict=True
    ):
        if any(row[name] is None for name in names):
            continue
        key = codec.encode(row)
        place = (times[0], times[1], times[2])
        record, tails = inserter.record(row, place)
        state = changed.get(key)
        if state is None:
            (state,) = store.read_heads(layout.table, (key,))
            if isinstance(state, Head):
                before[key] = state
        if state is None:
            if places.vanished(layout.table, [key]):
                return False
            new.append(key)
            changed[key] = inserter.start(record, place, tails, floor)
            continue
        added = _added(inserter, state, record, place, tails, divides=store.divides)
        if added is None:
            return False
        changed[key] = added
    places.note_new(layout.table, new)
    store.write_heads(layout.table, changed.items(), before)
    return True


def _added(
    inserter: Inserter,
    state: State,
    record: bytes,
    place: Order,
    tails: list[bytes],
    *,
    divides: bool,
) -> State | None:
    """Return a state with a row added; in pieces once it is long, where the store takes them."""
    if isinstance(state, bytes):
        if not divides or len(state) <= pieces.LONG:
            return inserter.add(state, record, place, tails)
        head = inserter.divided(state)
    else:
        head = state
    return None if head is None else inserter.add_to_head(head, record, place, tails)


def _insert(
    layout: StateLayout,
    keyed: KeyedRows,
    states: list[State | None],
    corrected: set[int],
    *,
    floor: int,
    divides: bool,
) -> dict[int, list[int]]:
    """Prepend rows to their states; return those that need the long way, by group."""
    inserter, _ = _inserter(layout)
    rows = keyed.rows
    rest: dict[int, list[int]] = {group: [] for group in corrected}
    skipped = bytearray(len(states))
    for group in corrected:
        skipped[group] = 1
    longest = pieces.LONG if divides else sys.maxsize
    left = inserter.add_all(states, rows, floor, longest, skipped)
    for number, record, own, group in _each(rows, left):
        if group in rest:
            rest[group].append(number)
            continue
        place, state = inserter.order(record), states[group]
        if state is None:
            states[group] = inserter.start(record, place, own, floor)
            continue
        added = _added(inserter, state, record, place, own, divides=divides)
        if added is None:
            rest[group] = [number]
        else:
            states[group] = added
    return rest


def _each(rows: RowSet, numbers: Sequence[int]) -> Iterator[tuple[int, bytes, list[bytes], int]]:
    """Yield number, record, tails and group of some rows."""
    if not numbers:
        return
    at = np.asarray(numbers)
    records, size = np.take(rows.records, at).tobytes(), rows.records.dtype.itemsize
    tails = list(rows.tails.values())
    for place, (number, group) in enumerate(zip(numbers, rows.group[at].tolist(), strict=True)):
        record = records[place * size : (place + 1) * size]
        yield number, record, [tail[number] for tail in tails], group


def _whole(store: KeyValues, table: str, key: bytes, state: State | None) -> bytes | None:
    return store.whole(table, key, state) if isinstance(state, Head) else state


def _merge(
    layout: StateLayout,
    keyed: KeyedRows,
    states: list[State | None],
    rest: Mapping[int, list[int]],
    *,
    floor: int,
    last: int,
    replacements: Sequence[Replacement],
) -> None:
    """Bring the remaining states up to date the long way."""
    groups = sorted(g for g in rest if states[g] is not None or rest[g])
    place = {group: number for number, group in enumerate(groups)}
    at = np.array([number for group in groups for number in rest[group]], np.int64)
    rows = keyed.rows.take(at)
    rows.group = np.array([place[g] for g in rows.group.tolist()], np.int64)
    moved = [replace(r, group=place[r.group]) for r in replacements if r.group in place]
    old = cast("list[bytes | None]", [states[group] for group in groups])
    new = update_states(layout, old, rows, sequence=last, floor=floor, replacements=moved)
    for group, state in zip(groups, new, strict=True):
        states[group] = state


def _in_states(
    store: KeyValues,
    layout: StateLayout,
    keyed: KeyedRows,
    states: list[State | None],
    replaced: Sequence[Replaced],
) -> list[Replacement]:
    """Add the entities of replaced rows to ``keyed`` and ``states``; return the replacements."""
    if not replaced:
        return []
    place = {key: number for number, key in enumerate(keyed.keys)}
    more = [key for key in dict.fromkeys(row.key for row in replaced) if key not in place]
    for key, state in zip(more, store.read_heads(layout.table, more), strict=True):
        place[key] = len(keyed.keys)
        keyed.keys.append(key)
        states.append(state)
    return [Replacement(place[r.key], r.tiebreak, r.at, r.times) for r in replaced]


def _replaced(
    repo: Repo, journal: Transaction, layout: StateLayout, arrivals: Arrivals, first: int
) -> list[Replaced]:
    """Return every row that the arrivals replace."""
    found = [] if arrivals.in_table is None else _replaced_in_table(layout, arrivals.in_table)
    if not arrivals.corrections:
        return found
    rows = np.flatnonzero(arrivals.supersedes > 0)
    numbers = arrivals.supersedes[rows]
    at = dict(zip(numbers.tolist(), arrivals.known[rows].tolist(), strict=True))
    log = repo.log(layout.source).reader(rows=journal)
    keys = _keys_of(log, layout, arrivals, first, numbers)
    return [*found, *(Replaced(key, number, at[number]) for key, number in keys)]


def _replaced_in_table(layout: StateLayout, rows: InTable) -> list[Replaced]:
    names = list(layout.entity.key_names)
    if not set(names) <= set(rows.index.columns):
        return []  # the states are still to be built, from what the log then has too
    table = rows.index.rows(rows.places, names)
    keys = keys_of(layout, table, np.arange(len(rows.places)))
    held = rows.index.take(rows.places, [EVENT, KNOWN, CONTENT])
    return [
        Replaced(
            key,
            ALWAYS + (held[number][2] >> 1),
            int(rows.at[number]),
            (held[number][0], held[number][1]),
        )
        for key, number in keys
    ]


def _keys_of(
    log: LogReader, layout: StateLayout, arrivals: Arrivals, first: int, numbers: Ints
) -> list[tuple[bytes, int]]:
    """Return key and sequence of rows of the log, the arrivals among them."""
    names = list(layout.entity.key_names)
    tables = []
    older = np.unique(numbers[numbers < first])
    if len(older):
        tables.append((older, log.take(older, names)))
    same = np.unique(numbers[numbers >= first])
    if len(same):
        batch = seen_as(layout.source, arrivals.batch.take(pa.array(same - first)), names)
        tables.append((same, pa.Table.from_batches([batch]).select(names)))
    return [found for sequences, table in tables for found in keys_of(layout, table, sequences)]


def _short(
    layout: StateLayout,
    before: Sequence[State | None],
    states: Sequence[tuple[bytes, State | None]],
    keyed: KeyedRows,
    replaced: set[bytes],
) -> set[bytes]:
    """Return the entities whose states may lack rows that were dropped and count again."""
    joins = any(rule.window.joins for rule in layout.rules)
    if not replaced and not joins:
        return set()
    if not layout.needs_older_rows:
        # When no row is left to tell that the entity was ever seen, an older one has to.
        return {
            key
            for key, state in states
            if key in replaced and state is not None and _all_replaced(layout, state)
        }
    found = replaced & {k for k, s in zip(keyed.keys, before, strict=True) if s is not None}
    if joins:
        inserter, _ = _inserter(layout)
        earliest = np.full(len(keyed.keys), NEVER, np.int64)
        np.minimum.at(earliest, keyed.rows.group, keyed.rows.records["event"])
        for key, state, event in zip(keyed.keys, before, earliest.tolist(), strict=True):
            # A row amid others may join the newest session to older ones.
            if state is not None and event < inserter.newest(state)[0]:
                found.add(key)
    return found


def _all_replaced(layout: StateLayout, state: State) -> bool:
    # A row that was replaced took the long way: its state is whole.
    return isinstance(state, bytes) and bool(
        (decode(layout.slots, [state]).superseded != NEVER).all()
    )
