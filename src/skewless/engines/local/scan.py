"""Reading a source for an engine: keys as codes, times as integers, expressions evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.definitions import Entity, Expression
from skewless.definitions.expressions import Column
from skewless.engines.history import HistoryRows, ReplacedRows, SourceHistory
from skewless.engines.local.spine import Ints, KeyIndex
from skewless.expressions.evaluate import evaluate
from skewless.forks import cached_property
from skewless.state.layout import expression_key


@dataclass(frozen=True, eq=False)
class ScannedRows:
    """A chunk of rows; all arrays are of one length.

    Attributes:
        numbers: row numbers in the history, ascending.
        codes: the key of each row; -1 for keys that are not asked for.
        event, known, tiebreak: what orders them.
        passes: which meet the filter; None where there is none.
        columns: evaluated expressions, by `expression_key`.
    """

    numbers: Ints
    codes: Ints
    event: Ints
    known: Ints
    tiebreak: Ints
    passes: npt.NDArray[np.bool_] | None
    columns: dict[str, pa.Array]

    def take(self, at: Ints) -> ScannedRows:
        """Return the rows at these positions."""
        positions = pa.array(at)
        return ScannedRows(
            self.numbers[at],
            self.codes[at],
            self.event[at],
            self.known[at],
            self.tiebreak[at],
            None if self.passes is None else self.passes[at],
            {key: column.take(positions) for key, column in self.columns.items()},
        )


class RowReader(Protocol):
    """Takes the rows of a source, chunk by chunk.

    Attributes:
        entity: whose keys.
        keys: the keys that are asked for.
        where: which rows pass; None: all do.
        expressions: evaluated for every row.
    """

    entity: Entity
    keys: KeyIndex
    where: Expression | None
    expressions: Sequence[Expression]

    def add(self, rows: ScannedRows) -> None:
        """Take a chunk."""


class Scan:
    """Reads the history of one source, once, for everybody who needs its rows.

    Args:
        history: of the source.
        as_known: whether known time counts.
        start: rows before it do not matter, microseconds; None: all do.
        end: rows from it on do not matter.
    """

    def __init__(
        self,
        history: SourceHistory,
        *,
        as_known: bool,
        start: int | None = None,
        end: int | None = None,
    ) -> None:
        self.history = history
        self.as_known = as_known
        self.bounds = (start, end)
        self.dropped = 0

    @cached_property
    def superseded(self) -> ReplacedRows:
        """The rows that corrections replaced, and when."""
        return self.history.superseded()

    def run(self, readers: Sequence[RowReader]) -> None:
        """Hand the rows to readers in chunks, each with its keys, filter and expressions.

        Late rows get the code -1, as do rows of keys that are not asked for.
        """
        needed = {name: None for reader in readers for name in reader.entity.key_names}
        needed |= dict.fromkeys(sorted({name for reader in readers for name in _used(reader)}))
        start, end = self.bounds
        for chunk in self.history.chunks(list(needed), start=start, end=end):
            evaluated = _Evaluated(chunk)
            for reader in readers:
                reader.add(evaluated.rows(reader))
            self.dropped += chunk.dropped

    def fetch(self, numbers: Ints, expressions: Sequence[Expression]) -> dict[str, pa.Array]:
        """Return expressions evaluated over the rows of these numbers (ascending, each once)."""
        distinct = {expression_key(expression): expression for expression in expressions}
        needed = sorted(columns_of(list(distinct.values())))
        table = self.history.take(numbers, needed)
        columns = {name: table[name] for name in needed}
        return {
            key: one_array(evaluate(expression, columns, len(numbers)))
            for key, expression in distinct.items()
        }

    def content_hash(self, numbers: Ints) -> npt.NDArray[np.uint64]:
        """Return the content hashes of rows (ascending, each once)."""
        return self.history.content_hash(numbers)

    def corrected(self, entity: Entity, keys: KeyIndex) -> Ints:
        """Return the codes of keys that have rows replaced by corrections."""
        if not len(self.superseded):
            return np.zeros(0, np.int64)
        table = self.history.take(self.superseded.rows, list(entity.key_names))
        codes = keys.find([table[name] for name in entity.key_names], table.num_rows)
        return np.unique(codes[codes >= 0])


class _Evaluated:
    """A chunk with what readers ask of it, each computed once."""

    def __init__(self, chunk: HistoryRows) -> None:
        self._chunk = chunk
        self._columns = {name: chunk.table[name] for name in chunk.table.column_names}
        self._codes: dict[Any, Ints] = {}
        self._found: dict[str, pa.Array] = {}

    def rows(self, reader: RowReader) -> ScannedRows:
        chunk, where = self._chunk, reader.where
        return ScannedRows(
            chunk.row,
            self._codes_of(reader.entity, reader.keys),
            chunk.event,
            chunk.known,
            chunk.tiebreak,
            None if where is None else as_mask(self._value(where)),
            {expression_key(each): self._value(each) for each in reader.expressions},
        )

    def _codes_of(self, entity: Entity, keys: KeyIndex) -> Ints:
        place = (entity.key_names, id(keys))
        codes = self._codes.get(place)
        if codes is None:
            names = entity.key_names
            codes = keys.find([self._columns[name] for name in names], len(self._chunk.row))
            if self._chunk.late.any():
                codes = np.where(self._chunk.late, -1, codes)
            self._codes[place] = codes
        return codes

    def _value(self, expression: Expression) -> pa.Array:
        key = expression_key(expression)
        if key not in self._found:
            column = evaluate(expression, self._columns, len(self._chunk.event))
            self._found[key] = one_array(column)
        return self._found[key]


def _used(reader: RowReader) -> set[str]:
    where = [] if reader.where is None else [reader.where]
    return columns_of([*reader.expressions, *where])


def columns_of(expressions: Sequence[Expression]) -> set[str]:
    """Return the names of the source columns that expressions use."""
    leaves = (leaf for expression in expressions for leaf in expression.leaves())
    return {leaf.name for leaf in leaves if isinstance(leaf, Column)}


def as_mask(condition: pa.Array) -> npt.NDArray[np.bool_]:
    """Return where a condition is true: not false, not null."""
    return np.asarray(one_array(condition).fill_null(False))


def one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
