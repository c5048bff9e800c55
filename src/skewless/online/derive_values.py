"""The values of a view as rows: one for each row that counts, anew whenever they change.

A row changes the values of those that lie after it by no more than the view's longest window. So
rows are noted by stretches of event time that long, and a row needs its own stretch, the one before
and the one after. Where a window has no end, there is one stretch: all rows of the entity.

See `definitions.values_of`, and `engines.reference_values` for the same in a few slow lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS, from_micros, to_micros
from skewless.definitions import FeatureView, Source
from skewless.definitions.derivation import LAST_ROW, SOURCE_ROW
from skewless.definitions.valued_view import view_of
from skewless.expressions.evaluate import evaluate
from skewless.online.dedup import ValidRows
from skewless.online.derived_rows import MARKS, DerivedRows, Fresh, Ints, Row, Step, tuples_of
from skewless.online.keyed_rows import columns_needed
from skewless.online.row_ids import Version, id_bytes, versions_of
from skewless.online.runtime import Runtime
from skewless.plan.table_read import TableRead
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet
from skewless.stores.offline.cast import to_micros_array
from skewless.stores.offline.log.journal import DELETED, KNOWN, LATE, SUPERSEDES
from skewless.stores.online.base import Transaction

Bools = npt.NDArray[np.bool_]
Key = tuple[Any, ...]


class ValueRows(DerivedRows):
    """The rows that the values of a view are."""

    def __init__(self, runtime: Runtime, rows: Transaction, source: Source, fresh: Fresh) -> None:
        super().__init__(runtime, rows, source, fresh)
        self._view = view_of(self._by, self._base)
        self._layout = StateLayout.of(self._view.row_entity, self._view.source, [self._view])
        self._touched: dict[Key, set[int]] = {}
        """The stretches that rows came to or left, by the key of the entity."""

    def take_in(self, since: int, stop: int) -> None:
        """Note which entities and stretches the rows after ``since`` up to ``stop`` are about."""
        names, numbers = [*self._by.by, self._base.event_time], range(since + 1, stop + 1)
        table = self._take(np.array(numbers, np.int64), [*names, SUPERSEDES])
        about: dict[tuple[Key, int], list[int]] = {}
        own = zip(numbers, tuples_of(table, names), strict=True)
        for number, (*key, at) in (*own, *self._left(numbers, table[SUPERSEDES].to_numpy(), names)):
            if None not in key and at is not None:
                about.setdefault((tuple(key), self._stretch(at)), []).append(number)
        places = {self._place(*where): where for where in about}
        stored = self._rows.read(self._table, list(places))
        items = []
        for (place, where), packed in zip(places.items(), stored, strict=True):
            found = np.union1d(np.frombuffer(packed or b"", np.int64), about[where])
            items.append((place, found.tobytes()))
            self._touched.setdefault(where[0], set()).add(where[1])
        self._rows.write(self._table, items)
        self._reached(stop)

    def _stretch(self, at: Any) -> int:
        span = self._layout.span
        return 0 if span is None else to_micros(at) // (span + 1)

    @staticmethod
    def _place(key: Key, stretch: int) -> bytes:
        return id_bytes((stretch, *key))

    def derived(self, since: int) -> ValidRows:
        """Return the rows whose values are new or changed because of rows after ``since``."""
        found: dict[Key, Ints] = {}
        for key, stretches in self._touched.items():
            near = stretches if self._layout.span is None else {
                each + step for each in stretches for step in (-1, 0, 1)
            }  # fmt: skip
            stored = self._rows.read(self._table, [self._place(key, each) for each in sorted(near)])
            parts = [np.frombuffer(packed, np.int64) for packed in stored if packed is not None]
            found[key] = np.unique(np.concatenate(parts))
        steps = self._steps(found, since) if found else []
        return self._valid(steps, [])

    def _steps(self, found: Mapping[Key, Ints], since: int) -> list[Step]:
        numbers = np.unique(np.concatenate(list(found.values())))
        event, by = self._base.event_time, self._by
        needed = [*by.by, *by.row_id, *columns_needed([self._layout]), *by.columns, event, *MARKS]
        table = self._take(numbers, list(dict.fromkeys(needed))).combine_chunks()
        whole = _Log(
            numbers,
            to_micros_array(table[event]),
            to_micros_array(table[KNOWN]),
            tuples_of(table, list(by.by)),
            tuples_of(table, list(by.row_id)) if by.row_id else [],
            self._counting(table),
            table[LATE].to_numpy(),
        )
        there = versions_of(self._rows, self._source, [id_bytes((n,)) for n in numbers.tolist()])
        steps: list[Step] = []
        for key, its in found.items():
            places = np.searchsorted(numbers, its)
            places = places[~whole.late[places]]
            entity = _Entity(self._view, self._layout, whole, table, places, key, there)
            steps += entity.steps(since, every=self._every)
        return steps

    def _counting(self, table: pa.Table) -> Bools:
        """Return which rows count for the view, if nothing takes them away."""
        late, gone = (table[name].to_numpy() for name in (LATE, DELETED))
        counts: Bools = ~late & ~gone & (to_micros_array(table[self._base.event_time]) != ALWAYS)
        if self._view.where is not None:
            columns = {name: table[name] for name in table.column_names}
            passes = evaluate(self._view.where, columns, table.num_rows)
            counts &= np.asarray(passes.fill_null(False), bool)
        return counts


@dataclass(frozen=True, eq=False)
class _Log:
    """Rows of the log that is made of, in its order."""

    sequence: Ints
    event: Ints
    known: Ints
    keys: list[Key]
    ids: list[Key]
    counts: Bools
    late: Bools


@dataclass(eq=False)
class _Entity:
    """The rows about one entity, replayed in the order in which they came.

    Attributes:
        view, layout: whose values.
        log, table: rows of the log, their columns.
        places: which of them are about the entity.
        key: of the entity.
        there: the newest version of each row of values, by its row id.
    """

    view: FeatureView
    layout: StateLayout
    log: _Log
    table: pa.Table
    places: Ints
    key: Key
    there: Mapping[bytes, Version]

    def __post_init__(self) -> None:
        """Sort the rows that count for the entity, and hold them for its values."""
        log = self.log
        mine = [at for at in self.places.tolist() if log.counts[at] and log.keys[at] == self.key]
        rows = np.array(mine, np.int64)
        order = (log.event[rows], log.known[rows], log.sequence[rows])
        some = self.table.take(pa.array(rows))
        columns = {name: some[name] for name in some.column_names}
        slots = [_one(evaluate(each, columns, len(rows))) for each in self.layout.expressions]
        found = RowSet.build(self.layout.slots, slots, order, np.zeros(len(rows), np.int64))
        by = found.order()
        self._rows, self._place_of = (
            found.take(by),
            {at: n for n, at in enumerate(rows[by].tolist())},
        )
        self._event, _, self._sequence = self._order = tuple(part[by] for part in order)
        self._read = TableRead(self.layout, [(self.view, 1, name) for name in self.view.features])
        self._made: dict[int, Row] = {}
        self._known = np.full(len(by), ALWAYS, np.int64)
        """Since when all that came within reach of each row is known, what went again too."""

    def steps(self, since: int, *, every: bool) -> Iterator[Step]:
        """Yield what becomes of the rows of values because of rows after ``since``.

        Of versions that are known from one moment on the last alone ever counts; the others are
        left out unless ``every`` one is asked for.
        """
        by_row: dict[int, list[Step]] = {}
        for row, step in self._replayed(since, every=every):
            same = by_row.setdefault(row, [])
            if not every and same and same[-1].known == step.known:
                same.pop()
            if not step.deletes or same or id_bytes((row,)) in self.there:
                same.append(step)
        for same in by_row.values():
            yield from same

    def _replayed(self, since: int, *, every: bool) -> Iterator[tuple[int, Step]]:
        """Yield rows, and what becomes of them, in the order in which it does.

        What comes at once is looked at together unless ``every`` version is asked for.
        """
        log, own = self.log, dict[Any, int]()
        standing = np.zeros(len(self._event), bool)
        turns: list[tuple[int, list[int]]] = []
        together = 0
        for row in self.places.tolist():
            sequence, known = int(log.sequence[row]), int(log.known[row])
            if turns and (every or known != together):
                yield from self._changes(standing, turns)
                turns = []
            name = sequence if not log.ids or None in log.ids[row] else log.ids[row]
            changed = {own.pop(name)} if name in own else set()
            if row in self._place_of:
                own[name] = self._place_of[row]
                changed.add(own[name])
            for place in changed:
                standing[place] = place == own.get(name)
                event = int(self._event[place])
                reached = self._known[slice(*self._within(event, event))]
                np.maximum(reached, known, out=reached)
            if changed and sequence > since:
                turns.append((sequence, list(changed)))
                together = known
        yield from self._changes(standing, turns)

    def _changes(
        self, after: Bools, turns: Sequence[tuple[int, list[int]]]
    ) -> Iterator[tuple[int, Step]]:
        """Yield the last version of each row whose values some turns have changed.

        Args:
            after: the rows that stand after the last turn.
            turns: the sequence of each, and the places at which a row came or went.
        """
        done, values = set[int](), dict[int, Row]()
        for sequence, places in reversed(turns):
            before = after.copy()
            before[places] ^= True
            events = self._event[places]
            first, last = self._within(int(events.min()), int(events.max()))
            for place in (first + np.flatnonzero((before | after)[first:last])).tolist():
                if place in done:
                    continue
                if after[place]:
                    if place not in values:
                        values[place] = self._values(after, place)
                    if before[place] and repr(values[place]) == repr(self._values(before, place)):
                        continue
                done.add(place)
                yield self._step(place, sequence, values.get(place) if after[place] else None)
            after = before

    def _step(self, place: int, sequence: int, values: Row | None) -> tuple[int, Step]:
        """Return a row, and what becomes of it: it has other values, or (None) is none any more."""
        row, known = int(self._sequence[place]), int(self._known[place])
        order = tuple(int(part[place]) for part in self._order)
        if values is None:
            there = self.there.get(id_bytes((row,)))
            held = self._made.pop(row, 0 if there is None else there.sequence)
            return row, Step(sequence, known, held, deletes=True, order=order)
        at = {
            self.view.source.event_time: from_micros(int(self._event[place])),
            SOURCE_ROW: row,
            LAST_ROW: sequence,
        }
        made = dict(zip(self.view.entity.key_names, self.key, strict=True)) | values | at
        self._made[row] = made
        return row, Step(sequence, known, made, deletes=False, order=order)

    def _within(self, first: int, last: int) -> tuple[int, int]:
        """Return the first place, and that after the last, that rows of some moments may change."""
        span, event = self.layout.span, self._event
        end = len(event) if span is None else int(np.searchsorted(event, last + span, "right"))
        return int(np.searchsorted(event, first)), end

    def _values(self, counts: Bools, place: int) -> Row:
        """Return the values right after a row."""
        at, span = int(self._event[place]), self.layout.span
        last = int(np.searchsorted(self._event, at, "right"))
        first = 0 if span is None else int(np.searchsorted(self._event, at - span))
        rows = first + np.flatnonzero(counts[first:last])
        values, _, _ = self._read.of_rows(self._rows.take(rows), at + self.layout.exclusive)
        return dict(zip(self.view.features, values, strict=True))


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
