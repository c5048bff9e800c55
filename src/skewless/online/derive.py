"""Rows of derived sources, made in the transaction that appends the rows they are made of.

    rows = derive(runtime, transaction, source, fresh)     # to be appended to the log of `source`

What is made are rows of an ordinary log, so every later path is that of any source. Beside the log,
the journal has how far a derived source has come in the log that it is made of (`POSITIONS`), and
for each group the sequences of the rows that are about it. A derived source that is far behind,
since it was defined over rows that were there already, is brought up to date by `ingest.catch_up`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS, from_micros
from skewless.codec import row_text
from skewless.definitions import Source
from skewless.definitions.derivation import LAST_ROW, Derivation
from skewless.definitions.fingerprint import fingerprint
from skewless.errors import DefinitionError
from skewless.expressions.groups import (
    GroupVersion,
    Member,
    NoRow,
    columns_of,
    row_of_group,
    versions_of_group,
)
from skewless.online.dedup import Arrivals, Rejected, ValidRows
from skewless.online.row_ids import id_bytes, versions_of
from skewless.online.runtime import Runtime
from skewless.stores.offline.cast import to_micros_array
from skewless.stores.offline.log.journal import DELETED, KNOWN, LATE, SUPERSEDES
from skewless.stores.online.base import KeyValues, Transaction
from skewless.types import python_rows, python_values

Ints = npt.NDArray[np.int64]
Fresh = tuple[int, Arrivals]
"""Rows that were appended in the transaction: the sequence of the first, and they."""
Row = dict[str, Any]
POSITIONS = "skewless.derived"
BACKLOG = 10_000
"""How many rows that came before its own a push makes rows of, at most; and `ingest.catch_up` in
one transaction."""
_POSITION = struct.Struct("<q")
_MARKS = (KNOWN, DELETED, LATE)


def derive(runtime: Runtime, transaction: Transaction, source: Source, fresh: Fresh) -> ValidRows:
    """Return the rows that a derived source gets, and note that it has come so far.

    Groups of which there is no row because of what they hold are among the rejected.

    Args:
        runtime: the open parts.
        transaction: of the journal.
        source: the derived one.
        fresh: what was just appended to the log it is made of; without rows: it is brought up to
            date, a step of many rows at a time.
    """
    work = _Groups(runtime, transaction, source, fresh)
    since, (first, arrivals) = _position(transaction, work.place), fresh
    last, own = first + len(arrivals.event) - 1, len(arrivals.event)
    if since < last and (not own or first - 1 - since <= BACKLOG):
        work.take_in(since, last if own else min(last, since + BACKLOG))
    return work.derived(since)


def derived_of(runtime: Runtime, source: Source) -> tuple[Source, ...]:
    """Return the sources that are derived of a source."""
    return runtime.state().derived.get(source.name, ())


def lag_of(runtime: Runtime, source: Source) -> int:
    """Return how many rows a derived source has yet to take in."""
    since = _position(runtime.journal, _place(runtime, source))  # before the end: that only grows
    return max(0, runtime.log(base_of(runtime, source)[1]).last_sequence() - since)


def _place(runtime: Runtime, source: Source) -> bytes:
    """Return the key of a derived source's position: one for each pair of logs and function."""
    by, base = base_of(runtime, source)
    logs = f"{runtime.log(source).folder.name}.{runtime.log(base).folder.name}"
    return f"{logs}.{fingerprint(by.to_dict())}".encode()


def _position(rows: KeyValues, place: bytes) -> int:
    """Return the last row that a derived source has taken in."""
    stored = rows.read_one(POSITIONS, place)
    return 0 if stored is None else int(_POSITION.unpack(stored)[0])


def base_of(runtime: Runtime, source: Source) -> tuple[Derivation, Source]:
    """Return how rows of a derived source are made, and the source that they are made of.

    Raises:
        DefinitionError: it is not derived.
    """
    if source.derivation is None:
        raise DefinitionError(f"source {source.name!r} is not derived")
    return source.derivation, runtime.source(source.derivation.source)


def check_versions(runtime: Runtime, source: Source) -> None:
    """Raise unless the log says of each row of a source which one it replaces.

    That of a source that had rows before it had its row id does not: groups that rows have left
    would not be found.

    Raises:
        DefinitionError: it does not.
    """
    log = runtime.log(source)
    if not source.row_id or not log.last_sequence():
        return
    found = runtime.history(source).superseded()
    marks = (chunk.table[SUPERSEDES].to_numpy() for chunk in log.reader().chunks([SUPERSEDES]))
    if (found.times == ALWAYS).any() or sum(np.count_nonzero(each) for each in marks) != len(found):
        raise DefinitionError(
            f"rows of {source.name!r} came before it had its row id",
            hint="Push them to a source of another name, and derive of that.",
        )


@dataclass(eq=False)
class _Group:
    """What the log has about one group: its key, and the sequences."""

    key: bytes
    values: tuple[Any, ...]
    sequences: Ints


@dataclass(frozen=True)
class _Made:
    """A row of a derived source, or that there is none (None) since some row of its group."""

    sequence: int
    known: int
    row: Row | None


class _Groups:
    """The groups of a derived source, in one transaction."""

    def __init__(self, runtime: Runtime, rows: Transaction, source: Source, fresh: Fresh) -> None:
        self._runtime, self._rows, self._source, self._fresh = runtime, rows, source, fresh
        self._by, self._base = base_of(runtime, source)
        self._log, self.place = runtime.log(self._base), _place(runtime, source)
        self._table = f"groups.{self.place.decode()}"
        self._touched: list[_Group] = []

    def take_in(self, since: int, stop: int) -> None:
        """Note which groups the rows after ``since`` up to ``stop`` are about."""
        names, numbers = list(self._by.by), range(since + 1, stop + 1)
        table = self._take(np.array(numbers, np.int64), [*names, SUPERSEDES])
        about: dict[tuple[Any, ...], list[int]] = {}
        for number, values in zip(numbers, _tuples(table, names), strict=True):
            about.setdefault(values, []).append(number)
        for number, values in self._left(numbers, table[SUPERSEDES].to_numpy()):
            about.setdefault(values, []).append(number)
        groups = {id_bytes(values): values for values in about if None not in values}
        stored = self._rows.read(self._table, list(groups))
        for (key, values), packed in zip(groups.items(), stored, strict=True):
            before = np.frombuffer(packed or b"", np.int64)
            self._touched.append(_Group(key, values, np.union1d(before, about[values])))
        items = [(group.key, group.sequences.tobytes()) for group in self._touched]
        self._rows.write(self._table, items)
        self._rows.write(POSITIONS, [(self.place, _POSITION.pack(stop))])

    def _left(self, numbers: range, supersedes: Ints) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yield the rows that replace another, with the group that that is of."""
        at = np.flatnonzero(supersedes > 0)
        if not len(at):
            return
        names, old = list(self._by.by), np.unique(supersedes[at])
        groups = dict(zip(old.tolist(), _tuples(self._take(old, names), names), strict=True))
        for place in at.tolist():
            yield numbers[place], groups[int(supersedes[place])]

    def derived(self, since: int) -> ValidRows:
        """Return what the derived source gets for the groups of rows after ``since``."""
        ids = versions_of(self._rows, self._source, [group.key for group in self._touched])
        there = {key: ids[key].sequence for key in ids if not ids[key].deletes}
        groups = [
            group
            for group in self._touched
            if group.key in there or len(group.sequences) >= self._by.rows
        ]
        made, rejected = self._made(groups, since)
        steps = [
            step
            for group, its in zip(groups, made, strict=True)
            for step in _steps(there.get(group.key), its)
        ]
        # The order of the log, as if the rows had come one by one: however they were pushed.
        return self._valid(sorted(steps, key=lambda step: step.sequence), rejected)

    def _made(
        self, groups: Sequence[_Group], since: int
    ) -> tuple[list[list[_Made]], list[Rejected]]:
        """Return the rows of each group, one for each change, and what cannot be made."""
        if not groups:
            return [], []
        by, event = self._by, self._base.event_time
        numbers = np.unique(np.concatenate([group.sequences for group in groups]))
        names = list(dict.fromkeys([*by.by, *by.columns, *by.row_id]))
        table = self._take(numbers, list(dict.fromkeys([*names, event, *_MARKS])))
        columns = {name: python_values(table[name]) for name in names}
        times = [to_micros_array(table[name]).tolist() for name in (event, KNOWN)]
        gone, late = (table[name].to_numpy().tolist() for name in (DELETED, LATE))
        keys, ids = _tuples(table, list(by.by)), _tuples(table, list(by.row_id))
        rejected: list[Rejected] = []
        found = []
        for group in groups:
            places = np.searchsorted(numbers, group.sequences).tolist()
            places = [place for place in places if not late[place]]
            members = [
                Member(
                    int(numbers[at]),
                    times[0][at],
                    times[1][at],
                    ids[at] if by.row_id and None not in ids[at] else None,
                    keys[at] == group.values and not gone[at] and times[0][at] != ALWAYS,
                )
                for at in places
            ]
            own = {name: [columns[name][at] for at in places] for name in by.columns}
            versions = list(versions_of_group(members, since))
            found.append([self._row(group, version, own, rejected) for version in versions])
        return found, rejected

    def _row(
        self,
        group: _Group,
        version: GroupVersion,
        columns: Mapping[str, Sequence[Any]],
        rejected: list[Rejected],
    ) -> _Made:
        count, key = len(version.members), dict(zip(self._by.by, group.values, strict=True))
        if count < self._by.rows:
            return _Made(version.sequence, version.known, None)
        own = {name: [values[at] for at in version.members] for name, values in columns.items()}
        try:
            if count > self._by.most:
                raise NoRow(f"{count:,} rows, {self._by.most:,} are the most")
            values = row_of_group(self._source, columns_of(self._source, own))
        except NoRow as problem:
            why = f"a group of {self._base.name!r} of which there is no row: {problem}"
            rejected.append(Rejected(-1, why, row_text(key)))
            values = None
        if values is None:
            return _Made(version.sequence, version.known, None)
        at = {
            self._source.event_time: from_micros(version.event),
            LAST_ROW: version.sequence,
        }
        return _Made(version.sequence, version.known, key | values | at)

    def _take(self, numbers: Ints, names: Sequence[str]) -> pa.Table:
        """Return rows of the log by their sequences, the fresh ones from where they are at hand."""
        first, arrivals = self._fresh
        old, new = numbers[numbers < first], numbers[numbers >= first]
        parts = []
        if len(old) or not len(new):
            parts.append(self._log.reader(rows=self._rows).take(old, names))
        if len(new):
            parts.append(_fresh(arrivals, new - first, names))
        return pa.concat_tables(parts)

    def _valid(self, steps: Sequence[_Step], rejected: list[Rejected]) -> ValidRows:
        """Return the rows of some steps, to be appended."""
        names, log = list(self._source.columns), self._runtime.log(self._source)
        numbers = np.array(sorted({s.row for s in steps if isinstance(s.row, int)}), np.int64)
        held: dict[int, Row] = {}
        if len(numbers):
            table = log.reader(rows=self._rows).take(numbers, names).combine_chunks()
            (record,) = table.to_batches()
            held = dict(zip(numbers.tolist(), python_rows(record), strict=True))
        rows = [held[step.row] if isinstance(step.row, int) else step.row for step in steps]
        batch = pa.RecordBatch.from_struct_array(pa.array(rows, pa.struct(list(log.schema))))
        event = to_micros_array(batch.column(self._source.event_time))
        known = np.array([step.known for step in steps], np.int64)
        gone = np.array([step.deletes for step in steps], np.bool_)
        return ValidRows(batch, event, known, rejected, deleted=gone if gone.any() else None)


@dataclass(frozen=True, slots=True)
class _Step:
    """A row to append, or the sequence of one in the log: that which it deletes."""

    sequence: int
    known: int
    row: Row | int
    deletes: bool


def _steps(there: int | None, made: Sequence[_Made]) -> Iterator[_Step]:
    """Yield what becomes of the row of a group.

    Args:
        there: the sequence of the row that holds; None: there is none.
        made: what was made, in order.
    """
    last: Row | int | None = there
    for each in made:
        if each.row is not None:
            yield _Step(each.sequence, each.known, each.row, deletes=False)
        elif last is not None:
            yield _Step(each.sequence, each.known, last, deletes=True)
        last = each.row


def _tuples(table: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the values of some columns, a tuple for each row."""
    if not names:
        return [()] * table.num_rows
    return list(zip(*(python_values(table[name]) for name in names), strict=True))


def _fresh(arrivals: Arrivals, at: Ints, names: Sequence[str]) -> pa.Table:
    """Return columns of some rows as a reader of the log gives them."""
    whole, gone = len(at) == len(arrivals.event), arrivals.deleted
    batch = arrivals.batch if whole else arrivals.batch.take(pa.array(at))
    marks = {
        KNOWN: lambda: pa.array(arrivals.known[at]).view(pa.timestamp("us", "UTC")),
        DELETED: lambda: pa.array(np.zeros(len(at), np.bool_) if gone is None else gone[at]),
        LATE: lambda: pa.array(arrivals.late[at]),
        SUPERSEDES: lambda: pa.array(arrivals.supersedes[at]),
    }
    columns = [marks[name]() if name in marks else batch.column(name) for name in names]
    return pa.Table.from_arrays(columns, names=list(names))
