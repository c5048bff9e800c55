"""Rows of a source as the states of a layout keep them: by the key of their entity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.expressions.evaluate import evaluate
from skewless.state.keys import KeyCodec
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class KeyedRows:
    """Rows for the states of one layout.

    Attributes:
        keys: distinct keys, in order of first row; the number of a key is its rows' group.
        rows: their rows, unsorted.
        taken: positions of the given rows they are; rows without a key are left out.
    """

    keys: list[bytes]
    rows: RowSet
    taken: Ints


def keyed_rows(
    layout: StateLayout,
    table: pa.Table | pa.RecordBatch,
    order: tuple[Ints, Ints, Ints],
    superseded: Ints | None = None,
) -> KeyedRows:
    """Return rows of a source as a layout keeps them.

    Args:
        layout: says which expressions are kept.
        table: columns of the source, canonical types.
        order: event time, known time and tiebreak of each row.
        superseded: when each row was replaced; None for never.
    """
    names = layout.entity.key_names
    taken = np.arange(len(order[0]))
    if any(table[name].null_count for name in names):
        for name in names:
            taken = taken[np.asarray(table[name].is_valid())[taken]]
        table = table.take(pa.array(taken))
        order = (order[0][taken], order[1][taken], order[2][taken])
        superseded = None if superseded is None else superseded[taken]
    columns = {name: table[name] for name in table.schema.names}
    keys, group = _numbered(layout, [_one(columns[name]) for name in names], len(taken))
    slots = [_one(evaluate(e, columns, len(taken))) for e in layout.expressions]
    rows = RowSet.build(layout.slots, slots, order, group, superseded)
    return KeyedRows(keys, rows, taken)


def _numbered(
    layout: StateLayout, columns: Sequence[pa.Array], rows: int
) -> tuple[list[bytes], Ints]:
    """Return the distinct keys in order of first row, and the number of each row's key."""
    codec = KeyCodec(layout.entity)
    if len(columns) == 1:
        numbered = columns[0].dictionary_encode()
        keys = codec.encode_columns([numbered.dictionary], len(numbered.dictionary))
    else:
        encoded = pa.array(codec.encode_columns(columns, rows), pa.binary())
        numbered = encoded.dictionary_encode()
        keys = numbered.dictionary.to_pylist()
    return keys, np.asarray(numbered.indices).astype(np.int64)


def keys_of(layout: StateLayout, table: pa.Table, sequences: Ints) -> list[tuple[bytes, int]]:
    """Return the entity's key and the sequence of rows of a log; those without a key are left out.

    Args:
        layout: says which entity.
        table: its join keys.
        sequences: of the rows.
    """
    only = StateLayout(layout.entity, layout.source, {}, ())
    keyed = keyed_rows(only, table, (sequences, sequences, sequences))
    groups = keyed.rows.group.tolist()
    numbers = sequences[keyed.taken].tolist()
    return [(keyed.keys[group], number) for group, number in zip(groups, numbers, strict=True)]


def columns_needed(layouts: Iterable[StateLayout]) -> list[str]:
    """Return the source columns that keys and expressions of layouts use."""
    from skewless.definitions.expressions import Column

    found: dict[str, None] = {}
    for layout in layouts:
        found |= dict.fromkeys(layout.entity.key_names)
        for expression in layout.expressions:
            found |= {leaf.name: None for leaf in expression.leaves() if isinstance(leaf, Column)}
    return list(found)


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
