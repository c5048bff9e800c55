"""Bringing the online store up to date from history.

The state of an entity is always built from everything that can still count for it, never from a
part of it; so running twice, late rows and rows out of order change nothing. The interval only
says which rows are looked at to find the entities that changed.

Rows are reduced chunk by chunk to those that can still count, so memory follows the states, not
the history. States are written in batches, each with the position it reached, so that a run that
was killed goes on where it stopped; rows pushed meanwhile are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.aggregations.windows import Session
from skewless.clock import ALWAYS
from skewless.jobs.states import columns_needed, keyed_rows
from skewless.plan.layout import StateLayout, retained
from skewless.plan.rows import RowSet
from skewless.plan.update import rows_after, sequences_of, update_states
from skewless.stores.offline.history import History
from skewless.stores.online.base import OnlineStore

Ints = npt.NDArray[np.int64]
Progress = Callable[[str, float], None]
PROGRESS = "skewless.progress"
_BATCH = 20_000


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
    """Rows that can still count, gathered over chunks."""

    keys: dict[bytes, int] = field(default_factory=dict)
    parts: list[RowSet] = field(default_factory=list)
    read: int = 0


class Materialization:
    """One run over one table of states.

    Args:
        layout: of the states.
        history: of the source.
        store: that holds the states.
        now: the present, microseconds.
        rewind: how far in the past a read may ask, microseconds.
        sequence: the newest entry of the event log that the history holds.
        total: how many rows the history has, for progress.
    """

    def __init__(
        self,
        layout: StateLayout,
        history: History,
        store: OnlineStore,
        *,
        now: int,
        rewind: int,
        sequence: int,
        total: int,
    ) -> None:
        self.total = max(total, 1)
        self.layout = layout
        self.history = history
        self.store = store
        self.floor = now - rewind
        self.sequence = sequence
        self.reduces = not any(isinstance(rule.window, Session) for rule in layout.rules)

    def run(
        self,
        parts: Iterable[tuple[str, str]],
        *,
        end: int | None = None,
        only: set[bytes] | None = None,
        progress: Progress | None = None,
    ) -> MaterializeResult:
        """Build and write the states.

        Args:
            parts: name and version of each part of the source's table, to know a run again.
            end: rows from it on are left for a later run; None: none are.
            only: keys of the entities to rebuild; None for all.
            progress: called with a text and the finished fraction.
        """
        gathered = _Gathered()
        for done in self._gather(gathered, end, only):
            if progress is not None:
                progress(f"reading {self.layout.source.name}", done / 2)
        mark = self._mark(parts, end)
        before = self._position(mark)
        written = resumed = 0
        total = max(len(gathered.keys), 1)
        for keys, rows in self._batches(gathered):
            if before is not None and keys[-1] <= before:
                resumed += len(keys)
                continue
            self._write(keys, rows, mark)
            written += len(keys)
            if progress is not None:
                progress(f"writing {self.layout.table}", 0.5 + (written + resumed) / total / 2)
        self.store.delete(PROGRESS, [self.layout.table.encode()])
        return MaterializeResult(self.layout.table, written, gathered.read, resumed=resumed)

    def _gather(
        self, gathered: _Gathered, end: int | None, only: set[bytes] | None
    ) -> Iterable[float]:
        """Read the history, keeping rows that can still count; yields the finished fraction."""
        superseded = self.history.superseded()
        columns = columns_needed([self.layout])
        waiting = 0
        for chunk in self.history.chunks(columns, end=end):
            inside = ~chunk.late
            if end is not None:
                inside &= chunk.event < end
            at = np.flatnonzero(inside)
            gathered.read += len(chunk.event)
            if not len(at):
                continue
            table = chunk.table if len(at) == len(inside) else chunk.table.take(pa.array(at))
            until = superseded.of(chunk.row[at]) if len(superseded) else None
            order = (chunk.event[at], chunk.known[at], chunk.tiebreak[at])
            order = (*order[:2], np.where(order[2] == 0, ALWAYS, order[2]))
            self._add(gathered, table, order, until, (chunk.row[at], only))
            waiting += len(gathered.parts[-1])
            if self.reduces and waiting > 2_000_000:
                gathered.parts = [self._reduced(gathered.parts)]
                waiting = 0
            yield min(gathered.read / self.total, 1.0)

    def _add(
        self,
        gathered: _Gathered,
        table: pa.Table,
        order: tuple[Ints, Ints, Ints],
        until: Ints | None,
        chosen: tuple[Ints, set[bytes] | None],
    ) -> None:
        numbers, only = chosen
        keyed = keyed_rows(self.layout, table, order, until)
        rows = self._with_hashes(keyed.rows, numbers[keyed.taken])
        if only is not None:
            wanted = np.array([key in only for key in keyed.keys], bool)
            rows = rows.take(wanted[rows.group])
        rows = self._kept(rows)
        number = gathered.keys
        used = np.unique(rows.group)
        places = np.zeros(len(keyed.keys), np.int64)
        for group in used.tolist():
            places[group] = number.setdefault(keyed.keys[group], len(number))
        rows.group = places[rows.group]
        gathered.parts.append(rows)

    def _with_hashes(self, rows: RowSet, numbers: Ints) -> RowSet:
        """Give rows of a table that tie with another their content hash as tiebreak."""
        r = rows.records
        order = np.lexsort((r["known"], r["event"], rows.group))
        same = np.zeros(len(rows), bool)
        if len(rows) > 1:
            ties = np.ones(len(rows) - 1, bool)
            for column in (rows.group, r["event"], r["known"]):
                ties &= column[order][1:] == column[order][:-1]
            same[1:] |= ties
            same[:-1] |= ties
        tied = order[same]
        tied = tied[r["tiebreak"][tied] == ALWAYS]
        if len(tied):
            asked = np.unique(numbers[tied])
            hashes = self.history.content_hash(asked)[np.searchsorted(asked, numbers[tied])]
            r["tiebreak"][tied] = ALWAYS + (hashes >> np.uint64(1)).astype(np.int64)
        return rows

    def _kept(self, rows: RowSet) -> RowSet:
        rows = rows.sorted()
        return rows.take(retained(self.layout, rows, self.floor)) if self.reduces else rows

    def _reduced(self, parts: list[RowSet]) -> RowSet:
        joined = parts[0]
        for part in parts[1:]:
            joined = joined.joined(part)
        return self._kept(joined)

    def _batches(self, gathered: _Gathered) -> Iterable[tuple[list[bytes], RowSet]]:
        """Yield keys in ascending order with their rows, a batch at a time."""
        if not gathered.keys:
            return
        rows = self._reduced(gathered.parts)
        keys = list(gathered.keys)
        by_key = sorted(range(len(keys)), key=keys.__getitem__)
        place = np.empty(len(keys), np.int64)
        place[by_key] = np.arange(len(keys))
        rows.group = place[rows.group]
        rows = rows.take(np.argsort(rows.group, kind="stable"))
        bounds = np.searchsorted(rows.group, np.arange(0, len(keys) + _BATCH, _BATCH))
        for number, (low, high) in enumerate(pairwise(bounds.tolist())):
            first = number * _BATCH
            batch = [keys[at] for at in by_key[first : first + _BATCH]]
            if not batch:
                return
            part = rows.take(np.arange(low, high))
            part.group = part.group - first
            yield batch, part

    def _write(self, keys: list[bytes], rows: RowSet, mark: str) -> None:
        """Replace the states of some entities, keeping rows pushed since the snapshot."""
        table = self.layout.table
        note = json.dumps({"mark": mark, "key": keys[-1].hex()}).encode()
        if not self.store.capabilities.transactions:
            old = self.store.read(table, keys)
            self.store.write(table, zip(keys, self._states(old, rows), strict=True))
            self.store.write(PROGRESS, [(table.encode(), note)])
            return
        with self.store.transaction() as transaction:
            old = transaction.read(table, keys)
            transaction.write(table, zip(keys, self._states(old, rows), strict=True))
            transaction.write(PROGRESS, [(table.encode(), note)])

    def _states(self, old: list[bytes | None], rows: RowSet) -> list[bytes]:
        if any(state is not None for state in old):
            rows = rows.joined(rows_after(self.layout, old, self.sequence))
        nothing: list[bytes | None] = [None] * len(old)
        sequence = sequences_of(old, self.sequence)
        return update_states(self.layout, nothing, rows, sequence=sequence, floor=self.floor)

    def _mark(self, parts: Iterable[tuple[str, str]], end: int | None) -> str:
        """Return what a run is known by: the same parts of the table and the same log."""
        text = json.dumps([list(map(list, parts)), self.sequence, end])
        return hashlib.sha256(text.encode()).hexdigest()

    def _position(self, mark: str) -> bytes | None:
        """Return the last key that a killed run over the same history wrote."""
        note = self.store.read_one(PROGRESS, self.layout.table.encode())
        if note is None:
            return None
        data = json.loads(note)
        return bytes.fromhex(data["key"]) if data["mark"] == mark else None
