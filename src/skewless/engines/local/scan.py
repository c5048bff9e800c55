"""Reading a source for an engine: keys as codes, times as integers, expressions evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.definitions import Entity, Expression
from skewless.definitions.expressions import Column
from skewless.engines.history import ReplacedRows, SourceHistory
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


class Scan:
    """Reads the history of one source for one entity.

    Args:
        history: of the source.
        entity: whose keys.
        as_known: whether known time counts.
        left: whether the moment asked about does not count itself.
        start: rows before it do not matter, microseconds; None: all do.
        end: rows from it on do not matter.
    """

    def __init__(
        self,
        history: SourceHistory,
        entity: Entity,
        *,
        as_known: bool,
        left: bool,
        start: int | None = None,
        end: int | None = None,
    ) -> None:
        self.history = history
        self.entity = entity
        self.as_known = as_known
        self.left = int(left)
        self.bounds = (start, end)
        self.dropped = 0

    @cached_property
    def superseded(self) -> ReplacedRows:
        """The rows that corrections replaced, and when."""
        return self.history.superseded()

    def rows(
        self, keys: KeyIndex, where: Expression | None, expressions: Sequence[Expression]
    ) -> Iterator[ScannedRows]:
        """Yield the rows in chunks, with a filter and expressions evaluated.

        Late rows get the code -1, as do rows of keys that are not asked for.
        """
        needed = list(self.entity.key_names)
        used = [*expressions, *([] if where is None else [where])]
        needed += sorted(columns_of(used) - set(needed))
        start, end = self.bounds
        for chunk in self.history.chunks(needed, start=start, end=end):
            table = chunk.table
            codes = keys.find([table[name] for name in self.entity.key_names])
            if chunk.late.any():
                codes = np.where(chunk.late, -1, codes)
            columns = {name: table[name] for name in table.column_names}
            passes = None if where is None else as_mask(evaluate(where, columns, len(codes)))
            found = {expression_key(e): one_array(evaluate(e, columns, len(codes)))
                     for e in expressions}  # fmt: skip
            self.dropped += chunk.dropped
            yield ScannedRows(
                chunk.row, codes, chunk.event, chunk.known, chunk.tiebreak, passes, found
            )

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

    def corrected(self, keys: KeyIndex) -> Ints:
        """Return the codes of keys that have rows replaced by corrections."""
        if not len(self.superseded):
            return np.zeros(0, np.int64)
        table = self.history.take(self.superseded.rows, list(self.entity.key_names))
        codes = keys.find([table[name] for name in self.entity.key_names])
        return np.unique(codes[codes >= 0])


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
