"""Rows as they are read, block by block, before they are sorted.

A block is a record batch: ``code`` (of the key), ``event``, ``number`` (of the row in the history),
one column per evaluated expression, by `expression_key`; and ``known``, ``tiebreak`` and
``superseded`` only where they say something: most histories leave them trivial.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from skewless.clock import ALWAYS, NEVER
from skewless.definitions import Expression
from skewless.engines.local.scan import Scan, ScannedRows
from skewless.engines.local.spine import Ints
from skewless.state.layout import expression_key

Block: TypeAlias = Any  # a pa.RecordBatch


class Filter:
    """Keeps the rows that may ever count.

    Args:
        scan: reads the source.
        keys: how many there are.
        only: codes of the keys that are wanted; None for all.
        start: rows before it do not matter, microseconds; None: all do.
    """

    def __init__(self, scan: Scan, keys: int, only: Ints | None, start: int | None) -> None:
        self._scan, self._start = scan, start
        self._wanted = np.ones(keys + 1, bool)
        self._wanted[-1] = False
        if only is not None:
            self._wanted[:] = False
            self._wanted[only] = True

    def block(self, chunk: ScannedRows) -> Block | None:
        """Return what is kept of a chunk, None where that is nothing."""
        scan, counts = self._scan, self._wanted[chunk.codes]
        if self._start is not None and self._start != scan.bounds[0]:
            counts &= chunk.event >= self._start
        at = np.flatnonzero(counts)
        superseded = None
        if len(scan.superseded):
            superseded = scan.superseded.of(chunk.numbers[at])
            alive = superseded > (ALWAYS if scan.as_known else NEVER - 1)
            at, superseded = at[alive], superseded[alive]
        if not len(at):
            return None
        return _block(chunk if len(at) == len(chunk.codes) else chunk.take(at), superseded)


def _block(rows: ScannedRows, superseded: Ints | None) -> Block:
    columns: dict[str, Any] = {"code": rows.codes, "event": rows.event, "number": rows.numbers}
    if (rows.known != rows.event).any():
        columns["known"] = rows.known
    if rows.tiebreak.any():
        columns["tiebreak"] = rows.tiebreak
    if superseded is not None and (superseded != NEVER).any():
        columns["superseded"] = superseded
    return _batch(columns | rows.columns)


def _batch(columns: dict[str, Any]) -> Block:
    return pa.RecordBatch.from_arrays([pa.array(c) for c in columns.values()], list(columns))


class Joined:
    """The rows of several blocks as one, column by column; each is freed as it is taken.

    Args:
        blocks: the list is emptied.
        expressions: that were evaluated for them.
    """

    def __init__(self, blocks: list[Block], expressions: Sequence[Expression]) -> None:
        self._sizes = [len(block) for block in blocks]
        self._parts = [dict(zip(b.schema.names, b.columns, strict=True)) for b in blocks]
        blocks.clear()
        self.types = {expression_key(e): e.dtype.arrow() for e in expressions}

    def integers(self, name: str, trivial: int | None = None) -> Any:
        """Return a column of integers; None where no block has it.

        Known times are asked for before event times, which stand for them.

        Args:
            name: of the column.
            trivial: stands for it in blocks that do not have it; None: the event time does.
        """
        taken = [part.pop(name, None) for part in self._parts]
        if taken and all(column is None for column in taken):
            return None
        parts = [np.zeros(0, np.int64)]
        for column, part, size in zip(taken, self._parts, self._sizes, strict=True):
            if column is not None:
                parts.append(np.asarray(column))
            elif trivial is None:
                parts.append(np.asarray(part["event"]))
            else:
                parts.append(np.full(size, trivial))
        return np.concatenate(parts)

    def column(self, key: str) -> pa.Array:
        """Return the values of an expression."""
        parts = [part.pop(key) for part in self._parts]
        return pa.concat_arrays(parts) if parts else pa.array([], self.types[key])


def sorted_by_key(blocks: list[Block], expressions: Sequence[Expression]) -> Block:
    """Return the rows of some blocks as one, by key, else in their order; the list is emptied."""
    rows = Joined(blocks, expressions)
    integers = {
        "known": rows.integers("known"),
        "tiebreak": rows.integers("tiebreak", 0),
        "superseded": rows.integers("superseded", NEVER),
        "number": rows.integers("number"),
        "event": rows.integers("event"),
        "code": rows.integers("code"),
    }
    order = np.argsort(integers["code"], kind="stable")
    columns: dict[str, Any] = {n: v[order] for n, v in integers.items() if v is not None}
    del integers
    for key in rows.types:
        columns[key] = rows.column(key).take(pa.array(order))
    return _batch(columns)
