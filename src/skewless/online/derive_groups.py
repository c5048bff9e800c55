"""Rows made by a function over groups of rows; see `definitions.derived`.

The journal has for each group the sequences of the rows that are about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skewless.clock import ALWAYS, from_micros
from skewless.codec import row_text
from skewless.definitions import Source
from skewless.definitions.derivation import LAST_ROW
from skewless.expressions.groups import (
    GroupVersion,
    Member,
    NoRow,
    columns_of,
    row_of_group,
    versions_of_group,
)
from skewless.online.dedup import Rejected, ValidRows
from skewless.online.derived_rows import MARKS, DerivedRows, Fresh, Ints, Row, Step, tuples_of
from skewless.online.row_ids import id_bytes, versions_of
from skewless.online.runtime import Runtime
from skewless.stores.offline.cast import to_micros_array
from skewless.stores.offline.log.journal import DELETED, KNOWN, LATE, SUPERSEDES
from skewless.stores.online.base import Transaction
from skewless.types import python_values


@dataclass(eq=False)
class _Group:
    """What the log has about one group: its key, and the sequences."""

    key: bytes
    values: tuple[Any, ...]
    sequences: Ints


@dataclass(frozen=True)
class _Made:
    """A row of a derived source, or that there is none (None) since some row of its group.

    Attributes:
        sequence, known: of that row, or of the last that is known as early.
        row: it, or None.
        came: whether that row came to the group; it may have left it for another.
    """

    sequence: int
    known: int
    row: Row | None
    came: bool


class GroupRows(DerivedRows):
    """The rows of groups."""

    def __init__(self, runtime: Runtime, rows: Transaction, source: Source, fresh: Fresh) -> None:
        super().__init__(runtime, rows, source, fresh)
        self._touched: list[_Group] = []

    def take_in(self, since: int, stop: int) -> None:
        """Note which groups the rows after ``since`` up to ``stop`` are about."""
        names, numbers = list(self._by.by), range(since + 1, stop + 1)
        table = self._take(np.array(numbers, np.int64), [*names, SUPERSEDES])
        about: dict[tuple[Any, ...], list[int]] = {}
        for number, values in zip(numbers, tuples_of(table, names), strict=True):
            about.setdefault(values, []).append(number)
        for number, values in self._left(numbers, table[SUPERSEDES].to_numpy(), names):
            about.setdefault(values, []).append(number)
        groups = {id_bytes(values): values for values in about if None not in values}
        stored = self._rows.read(self._table, list(groups))
        for (key, values), packed in zip(groups.items(), stored, strict=True):
            before = np.frombuffer(packed or b"", np.int64)
            self._touched.append(_Group(key, values, np.union1d(before, about[values])))
        items = [(group.key, group.sequences.tobytes()) for group in self._touched]
        self._rows.write(self._table, items)
        self._reached(stop)

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
        return self._valid(steps, rejected)

    def _made(
        self, groups: Sequence[_Group], since: int
    ) -> tuple[list[list[_Made]], list[Rejected]]:
        """Return the rows of each group, one for each change, and what cannot be made."""
        if not groups:
            return [], []
        by, event = self._by, self._base.event_time
        numbers = np.unique(np.concatenate([group.sequences for group in groups]))
        names = list(dict.fromkeys([*by.by, *by.columns, *by.row_id]))
        table = self._take(numbers, list(dict.fromkeys([*names, event, *MARKS])))
        columns = {name: python_values(table[name]) for name in names}
        times = [to_micros_array(table[name]).tolist() for name in (event, KNOWN)]
        gone, late = (table[name].to_numpy().tolist() for name in (DELETED, LATE))
        keys, ids = tuples_of(table, list(by.by)), tuples_of(table, list(by.row_id))
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
            came = {int(numbers[at]): keys[at] == group.values for at in places}
            found.append(
                [
                    _Made(each.sequence, each.known, row, came[each.sequence])
                    for each in versions_of_group(members, since, every=self._every)
                    for row in [self._row(group, each, own, rejected)]
                ]
            )
        return found, rejected

    def _row(
        self,
        group: _Group,
        version: GroupVersion,
        columns: Mapping[str, Sequence[Any]],
        rejected: list[Rejected],
    ) -> Row | None:
        count, key = len(version.members), dict(zip(self._by.by, group.values, strict=True))
        if count < self._by.rows:
            return None
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
            return None
        at = {
            self._source.event_time: from_micros(version.event),
            LAST_ROW: version.sequence,
        }
        return key | values | at


def _steps(there: int | None, made: Sequence[_Made]) -> Iterator[Step]:
    """Yield what becomes of the row of a group.

    Args:
        there: the sequence of the row that holds; None: there is none.
        made: what was made, in order.
    """
    last: Row | int | None = there
    for each in made:
        row = last if each.row is None else each.row
        if row is not None:
            order = (int(each.came),)
            yield Step(each.sequence, each.known, row, deletes=each.row is None, order=order)
        last = each.row
