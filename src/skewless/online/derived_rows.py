"""What every derived source does in the transaction that appends the rows it is made of.

`derive` has one `DerivedRows` for each source that is made of these rows: of groups of them
(`derive_groups`), or of the values of a view (`derive_values`).
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.definitions import Source
from skewless.definitions.derivation import Derivation
from skewless.definitions.fingerprint import fingerprint
from skewless.errors import DefinitionError
from skewless.online.dedup import Arrivals, Rejected, ValidRows
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
_POSITION = struct.Struct("<q")
MARKS = (KNOWN, DELETED, LATE)


def place_of(runtime: Runtime, source: Source) -> bytes:
    """Return the key of a derived source's position: one for each pair of logs and function."""
    by, base = base_of(runtime, source)
    logs = f"{runtime.log(source).folder.name}.{runtime.log(base).folder.name}"
    return f"{logs}.{fingerprint(by.to_dict())}".encode()


def position_of(rows: KeyValues, place: bytes) -> int:
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


@dataclass(frozen=True, slots=True)
class Step:
    """A row to append, or the sequence of one in the log: that which it deletes.

    Attributes:
        sequence: of the row that it is there because of.
        known: since when.
        row: it.
        deletes: whether it only takes the one away.
        order: among those that are there because of the same row, however rows were pushed.
    """

    sequence: int
    known: int
    row: Row | int
    deletes: bool
    order: tuple[int, ...]


class DerivedRows(ABC):
    """What one derived source gets, in one transaction.

    Args:
        runtime: the open parts.
        rows: the transaction, of the journal.
        source: the derived one.
        fresh: what was just appended to the log it is made of.
    """

    def __init__(self, runtime: Runtime, rows: Transaction, source: Source, fresh: Fresh) -> None:
        self._runtime, self._rows, self._source, self._fresh = runtime, rows, source, fresh
        self._by, self._base = base_of(runtime, source)
        self._log, self.place = runtime.log(self._base), place_of(runtime, source)
        self._table = f"groups.{self.place.decode()}"
        self._every = bool(runtime.state().derived.get(source.name))
        """Whether versions are rows too that another is known as early as: nothing ever counts
        them, but what is derived of these rows has more than once been otherwise."""

    @abstractmethod
    def take_in(self, since: int, stop: int) -> None:
        """Note what the rows after ``since`` up to ``stop`` are about."""

    @abstractmethod
    def derived(self, since: int) -> ValidRows:
        """Return what the derived source gets because of rows after ``since``."""

    def _reached(self, stop: int) -> None:
        self._rows.write(POSITIONS, [(self.place, _POSITION.pack(stop))])

    def _left(
        self, numbers: range, supersedes: Ints, names: Sequence[str]
    ) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yield the rows that replace another, with what some columns of that one have."""
        at = np.flatnonzero(supersedes > 0)
        if not len(at):
            return
        old = np.unique(supersedes[at])
        groups = dict(zip(old.tolist(), tuples_of(self._take(old, names), names), strict=True))
        for place in at.tolist():
            yield numbers[place], groups[int(supersedes[place])]

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

    def _valid(self, unordered: Sequence[Step], rejected: list[Rejected]) -> ValidRows:
        """Return the rows of some steps, to be appended in the order of the log.

        As if the rows that they are there because of had come one by one: however they were pushed.
        """
        steps = sorted(unordered, key=lambda step: (step.sequence, step.order))
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


def tuples_of(table: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
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
