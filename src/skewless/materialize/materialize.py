"""Bringing the online store up to date from history.

The state of an entity is always built from everything that can still count for it, never from a
part of it; so running twice, late rows and rows out of order change nothing. An interval only says
which rows are looked at to find the entities that changed (`materialize.verbs`).

Rows are reduced chunk by chunk to those that can still count, so memory follows the states, not
the history. States are written in batches, each with the position it reached, so that a run that
was killed goes on where it stopped. Rows pushed meanwhile are added to each batch before it is
written, while other writers wait.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.aggregations.kernels import group_rows
from skewless.clock import ALWAYS
from skewless.engines.local.spine import tied
from skewless.forks import cached_property
from skewless.online.dirty_keys import mark
from skewless.online.keyed_rows import KeyedRows, columns_needed, keyed_rows
from skewless.online.log_tail import LogTail
from skewless.state.blob import decode
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet
from skewless.state.retention import retained
from skewless.state.tiles import Tiles, fold
from skewless.state.update import update_states
from skewless.stores.offline.history import History
from skewless.stores.offline.log.log import EventLog
from skewless.stores.offline.table_ids import TableIds
from skewless.stores.online.base import KeyValues

Ints = npt.NDArray[np.int64]
Progress = Callable[[str, float], None]
Writing = Callable[[], AbstractContextManager[tuple[KeyValues, KeyValues]]]
"""Keeps other writers out, and gives where marks and states are written: `Runtime.writing`."""
PROGRESS = "skewless.progress"
_BATCH = 20_000
_WAITING = 500_000
"""Rows that wait to be reduced, or as many as are kept if those are more: so each is sorted a
few times only, however many stay."""
_THINNED = 4
"""Rows per entity from which on it is looked which are kept before their values are packed."""
_MANY = 8
"""Rows per entity from which on folding them early takes less memory than keeping them."""


@dataclass(frozen=True)
class MaterializeResult:
    """What a run did for one table of states.

    Attributes:
        table: of the online store.
        entities: how many states were written.
        rows: how many rows of history were read.
        skipped: whether nothing had changed since the run before.
        resumed: how many states an earlier, killed run had already written.
    """

    table: str
    entities: int = 0
    rows: int = 0
    skipped: bool = False
    resumed: int = 0


@dataclass
class _Gathered:
    """Rows that can still count, gathered over chunks.

    Attributes:
        keys: the number of each, which is the group of its rows.
        parts: the rows.
        tiles: of each key, by number, where rows are folded as they are read.
        folded: how many rows of the first part are in the tiles: all of it, or none.
        read: how many rows were looked at.
    """

    keys: dict[bytes, int] = field(default_factory=dict)
    parts: list[RowSet] = field(default_factory=list)
    tiles: list[Tiles] = field(default_factory=list)
    folded: int = 0
    read: int = 0


@dataclass(frozen=True)
class _Batch:
    """Some keys, in ascending order, with their rows and what was folded of them."""

    keys: list[bytes]
    rows: RowSet
    tiles: list[Tiles] | None


class Materialization:
    """Builds states of one table from history.

    Args:
        layout: of the states.
        history: of the source; read as it is now.
        log: of the source, which goes on.
        now: the present, microseconds.
        rewind: how far in the past a read may ask, microseconds.
        index: gives that of the row ids of the source's table.

    Attributes:
        entities: the keys that the history of the run has rows of.
    """

    def __init__(
        self,
        layout: StateLayout,
        history: History,
        log: EventLog,
        *,
        now: int,
        rewind: int,
        index: Callable[[], TableIds | None] = lambda: None,
    ) -> None:
        self.layout = layout
        self.history = history
        self.floor = now - rewind
        self.sequence = history.last_sequence()
        self.since = LogTail(layout, log, self.sequence, index)
        self._tied: set[int] = set()
        self.entities: dict[bytes, int] = {}
        self.reduces = not any(rule.window.joins for rule in layout.rules)

    def run(
        self,
        writing: Writing,
        purpose: object,
        *,
        only: set[bytes] | None = None,
        still: Callable[[KeyValues], bool] = lambda journal: True,  # noqa: ARG005
        progress: Progress | None = None,
    ) -> MaterializeResult:
        """Build and write the states.

        Args:
            writing: keeps other writers out, and gives where marks and states are written.
            purpose: plain data that tells this run from others, so that one that was killed goes
                on where it stopped. What it wrote must have been kept up by pushes since.
            only: keys of the entities to rebuild; None for all.
            still: whether, in a transaction of the journal, the table is still wanted; where it is
                not, nothing more is written.
            progress: called with a text and the finished fraction.
        """
        total = max(self.history.row_count(), 1)
        gathered = _Gathered()
        self.entities = gathered.keys
        for _ in self._gather(gathered, only):
            if progress is not None:
                progress(f"reading {self.layout.source.name}", min(gathered.read / total, 1.0) / 2)
        mark = self._mark(purpose, only)
        with writing() as (journal, _):
            before = self._position(journal, mark)
        written = resumed = 0
        total = max(len(gathered.keys), 1)
        for batch in self._batches(gathered):
            if before is not None and batch.keys[-1] <= before:
                resumed += len(batch.keys)
                continue
            note = json.dumps({"mark": mark, "key": batch.keys[-1].hex()}).encode()
            with writing() as (journal, store):
                if not still(journal):
                    break
                self._write(journal, store, batch)
                journal.write(PROGRESS, [(self.layout.table.encode(), note)])
            written += len(batch.keys)
            if progress is not None:
                progress(f"writing {self.layout.table}", 0.5 + (written + resumed) / total / 2)
        with writing() as (journal, _):
            journal.delete(PROGRESS, [self.layout.table.encode()])
        return MaterializeResult(self.layout.table, written, gathered.read, resumed=resumed)

    def remove_others(self, writing: Writing) -> None:
        """Remove the states of entities that the history of the run no longer has rows of."""
        table, keys = self.layout.table, self.entities
        with writing() as (_, store):
            self.since.read()
            found = [key for key, _ in store.scan(table) if key not in keys]
            since = self.since.keys()
            store.delete(table, [key for key in found if key not in since])

    def states_of(self, only: set[bytes]) -> dict[bytes, bytes]:
        """Return the states of some entities, those without any row left out."""
        gathered = _Gathered()
        for _ in self._gather(gathered, only):
            pass
        found: dict[bytes, bytes] = {}
        for batch in self._batches(gathered):
            found.update(zip(batch.keys, self._states(batch), strict=True))
        return found

    def _gather(self, gathered: _Gathered, only: set[bytes] | None) -> Iterator[None]:
        """Read the history chunk by chunk, keeping rows that can still count."""
        superseded = self.history.superseded()
        waiting = kept = 0
        for chunk in self.history.chunks(columns_needed([self.layout])):
            inside = ~chunk.late
            at = np.flatnonzero(inside)
            gathered.read += len(chunk.event)
            if not len(at):
                continue
            table = chunk.table if len(at) == len(inside) else chunk.table.take(pa.array(at))
            until = None
            if len(superseded) or self.since.replaces_any:
                until = self.since.until(chunk.tiebreak[at], superseded.of(chunk.row[at]))
                until = self.since.until_of_table(self.history, chunk, at, until)
            # Until ties are decided, rows of a table have their number in place of their content.
            of_log = chunk.tiebreak[at] > 0
            tiebreak = np.where(of_log, chunk.tiebreak[at], ALWAYS + chunk.row[at])
            order = (chunk.event[at], chunk.known[at], tiebreak)
            self._add(gathered, table, order, until, only)
            waiting += len(gathered.parts[-1])
            if self.reduces and waiting > max(_WAITING, kept):
                self._reduce(gathered)
                waiting, kept = 0, len(gathered.parts[0])
            yield

    def _add(
        self,
        gathered: _Gathered,
        table: pa.Table,
        order: tuple[Ints, Ints, Ints],
        until: Ints | None,
        only: set[bytes] | None,
    ) -> None:
        keyed = self._keyed(table, order, until)
        rows = keyed.rows
        if only is not None:
            wanted = np.array([key in only for key in keyed.keys], bool)
            rows = rows.take(wanted[rows.group])
        rows = self._kept(rows)
        number = gathered.keys
        used = np.zeros(len(keyed.keys), bool)
        used[rows.group] = True
        places = np.zeros(len(keyed.keys), np.int64)
        if not number and used.all():
            number.update(zip(keyed.keys, range(len(used)), strict=True))
            places = np.arange(len(used))
        else:
            for group in np.flatnonzero(used).tolist():
                places[group] = number.setdefault(keyed.keys[group], len(number))
        rows.group = places[rows.group]
        gathered.parts.append(rows)

    def _keyed(
        self, table: pa.Table, order: tuple[Ints, Ints, Ints], until: Ints | None
    ) -> KeyedRows:
        """Return rows as the layout keeps them, less those that their times alone drop.

        Most rows of a long history are dropped: their values are never looked at.
        """
        if self._thin is None:
            return keyed_rows(self.layout, table, order, until)
        found = keyed_rows(self._thin, table, order, until)
        rows = found.rows
        if len(rows) < _THINNED * len(found.keys):
            return keyed_rows(self.layout, table, order, until)
        at = self._order(rows)
        at = found.taken[at[retained(self._thin, rows.take(at), self.floor)]]
        at.sort()
        order = (order[0][at], order[1][at], order[2][at])
        until = None if until is None else until[at]
        return keyed_rows(self.layout, table.take(pa.array(at)), order, until)

    @cached_property
    def _thin(self) -> StateLayout | None:
        """A layout of nothing but what tells which rows are kept; None where values do too."""
        layout = self.layout
        filters = {rule.filter for rule in layout.rules if rule.filter is not None}
        if layout.tiled or not self.reduces or len(filters) == len(layout.slots):
            return None
        keys = [slot.key for slot in layout.slots]
        return StateLayout(
            layout.entity,
            layout.source,
            {keys[at]: layout.expressions[at] for at in filters},
            [(None if r.filter is None else keys[r.filter], r.window, ()) for r in layout.rules],
        )

    def _kept(self, rows: RowSet) -> RowSet:
        rows = rows.take(self._order(rows))
        return rows.among(retained(self.layout, rows, self.floor)) if self.reduces else rows

    def _order(self, rows: RowSet) -> Ints:
        """Return the positions of rows by group and row order."""
        r = rows.records
        groups = int(rows.group.max()) + 1 if len(rows) else 0
        order, _ = group_rows(rows.group, r["event"], groups)
        if not tied(rows.group[order], r["event"][order]).any():
            return order
        tiebreak = np.where(r["tiebreak"] < 0, ALWAYS, r["tiebreak"])
        order = np.lexsort((tiebreak, r["known"], r["event"], rows.group))
        if self._decide(rows, order, tiebreak):
            order = np.lexsort((tiebreak, r["known"], r["event"], rows.group))
        return order

    def _decide(self, rows: RowSet, order: Ints, tiebreak: Ints) -> bool:
        """Give rows of a table that tie the hash of their content, in ``tiebreak``.

        Only those are asked for it. Returns whether there were any.
        """
        r = rows.records
        columns = (rows.group, r["event"], r["known"], tiebreak)
        alike = tied(*(column[order] for column in columns))
        if not alike.any():
            return False
        at = order[alike]
        numbers = r["tiebreak"][at] - ALWAYS
        self._tied.update(numbers.tolist() if self.layout.source.row_id else ())
        asked = np.unique(numbers)
        hashes = self.history.content_hash(asked)[np.searchsorted(asked, numbers)]
        tiebreak[at] = ALWAYS + (hashes >> np.uint64(1)).astype(np.int64)
        return True

    def _name_tied(self, rows: RowSet, tiebreak: Ints) -> None:
        """Give rows of a table that ever tied with another the hash of their content.

        So a row without one is the only one of its entity with its times: a push that replaces it
        finds it by them (`Replacement.times`).
        """
        if self._tied:
            numbers = rows.records["tiebreak"] - ALWAYS
            at = np.flatnonzero((rows.records["tiebreak"] < 0) & np.isin(numbers, list(self._tied)))
            asked = np.unique(numbers[at])
            hashes = self.history.content_hash(asked)[np.searchsorted(asked, numbers[at])]
            tiebreak[at] = ALWAYS + (hashes >> np.uint64(1)).astype(np.int64)

    def _reduce(self, gathered: _Gathered) -> None:
        """Make one part of all, of the rows that are still needed; fold them where they are many.

        Every row that counts at the floor goes into the tiles, in whatever chunk it comes, so the
        states are the same as if all rows had been folded at once.
        """
        rows = gathered.parts[0].joined(*gathered.parts[1:])
        many = len(rows) > _MANY * len(gathered.keys)
        if not (gathered.tiles or (many and self._folds)):
            if len(gathered.parts) > 1:
                gathered.parts = [self._kept(rows)]
            return
        order = self._order(rows)
        fresh, rows = order >= gathered.folded, rows.take(order)
        gathered.tiles += [Tiles() for _ in range(len(gathered.keys) - len(gathered.tiles))]
        until = np.full(len(gathered.tiles), self.floor)
        fold(self.layout, rows, fresh, gathered.tiles, until)
        rows = rows.take(retained(self.layout, rows, self.floor, until[rows.group]))
        gathered.parts, gathered.folded = [rows], len(rows)

    @cached_property
    def _folds(self) -> bool:
        """Whether rows may be folded before all are read: none of them is yet to be replaced."""
        replaced = self.since.replaces_any or self.history.superseded().any_after(self.floor)
        return self.layout.tiled and self.reduces and not replaced

    def _batches(self, gathered: _Gathered) -> Iterable[_Batch]:
        """Yield keys in ascending order with their rows, a batch at a time."""
        if not gathered.keys:
            return
        self._reduce(gathered)
        (rows,) = gathered.parts
        tiebreak = np.where(rows.records["tiebreak"] < 0, ALWAYS, rows.records["tiebreak"])
        self._decide(rows, np.arange(len(rows)), tiebreak)
        self._name_tied(rows, tiebreak)
        rows.records["tiebreak"] = tiebreak
        keys = list(gathered.keys)
        by_key = sorted(range(len(keys)), key=keys.__getitem__)
        place = np.empty(len(keys), np.int64)
        place[by_key] = np.arange(len(keys))
        groups = place[rows.group]
        order, start = group_rows(groups, np.zeros(len(groups), np.int64), len(keys))
        bounds = start[np.minimum(np.arange(0, len(keys) + _BATCH, _BATCH), len(keys))]
        for number, (low, high) in enumerate(pairwise(bounds.tolist())):
            first = number * _BATCH
            chosen = by_key[first : first + _BATCH]
            if not chosen:
                return
            part = rows.take(order[low:high])
            part.group = groups[order[low:high]] - first
            tiles = [gathered.tiles[at] for at in chosen] if gathered.tiles else None
            yield _Batch([keys[at] for at in chosen], part, tiles)

    def _write(self, journal: KeyValues, store: KeyValues, batch: _Batch) -> None:
        """Write the states of some entities.

        Those with rows that were replaced since the history was read are marked instead: rows
        that were dropped may count again.
        """
        self.since.read()
        states = dict(zip(batch.keys, self._states(batch), strict=True))
        rows, before = batch.rows, batch.rows.superseded
        short = rows.group[self.since.until(rows.records["tiebreak"], before) != before]
        marked = {batch.keys[group] for group in np.unique(short).tolist()}
        marked |= self.since.of_table
        if batch.tiles is not None:
            marked |= states.keys() & self.since.keys_replaced()
        if marked:
            mark(journal, self.layout, marked, self.since.sequence)
            states = {key: state for key, state in states.items() if key not in marked}
        store.overwrite(self.layout.table, states.items())

    def built(self) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Yield keys and states of all entities of the history, a batch at a time; pure."""
        gathered = _Gathered()
        for _ in self._gather(gathered, None):
            pass
        for batch in self._batches(gathered):
            yield batch.keys, self._states(batch)

    def write_built(
        self, journal: KeyValues, store: KeyValues, built: Mapping[bytes, bytes]
    ) -> None:
        """Write states that others built of the history, with the rows that have come since.

        Those are marked instead whose rows were replaced since, as in `run`, and those that a new
        row may join what was two.
        """
        self.since.read()
        states = dict(built)
        touched = list(self.since.keys() & states.keys())
        marked = set(self.since.of_table)
        if self.since.replaces_any:
            marked |= states.keys() & self.since.keys_replaced()
        if not self.reduces:
            marked |= set(touched)
        elif touched:
            nothing = decode(self.layout.slots, [])
            rows = self.since.joined(touched, nothing)
            old = [states[key] for key in touched]
            reached = self.since.sequence
            new = update_states(self.layout, old, rows, sequence=reached, floor=self.floor)
            states |= zip(touched, new, strict=True)
        if marked:
            mark(journal, self.layout, marked, self.since.sequence)
            states = {key: state for key, state in states.items() if key not in marked}
        store.overwrite(self.layout.table, states.items())

    def _states(self, batch: _Batch) -> list[bytes]:
        rows = self.since.joined(batch.keys, batch.rows)
        nothing: list[bytes | None] = [None] * len(batch.keys)
        return update_states(
            self.layout,
            nothing,
            rows,
            sequence=self.since.sequence,
            floor=self.floor,
            tiles=batch.tiles,
            folded=0 if batch.tiles is None else len(batch.rows),
        )

    def _mark(self, purpose: object, only: set[bytes] | None) -> str:
        """Return what a run is known by: its purpose and its entities."""
        keys = None if only is None else hashlib.sha256(b"\0".join(sorted(only))).hexdigest()
        text = json.dumps([purpose, keys])
        return hashlib.sha256(text.encode()).hexdigest()

    def _position(self, journal: KeyValues, mark: str) -> bytes | None:
        """Return the last key that a killed run over the same history wrote."""
        note = journal.read_one(PROGRESS, self.layout.table.encode())
        if note is None:
            return None
        data = json.loads(note)
        return bytes.fromhex(data["key"]) if data["mark"] == mark else None
