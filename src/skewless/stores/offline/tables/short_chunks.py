"""Short chunks joined: a table of thousands of small files costs its rows, not its files."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from skewless.stores.offline.base import Chunk

if TYPE_CHECKING:
    import pyarrow as pa


def joined(
    chunks: Iterator[Chunk], schema: pa.Schema, *, rows: int, size: int
) -> Generator[Chunk, None, None]:
    """Yield the rows of chunks, short ones together.

    Args:
        chunks: with the columns of ``schema``.
        schema: of what is yielded.
        rows: the most rows of chunks that are joined.
        size: their most bytes.
    """
    held: list[Chunk] = []
    held_rows = held_size = 0
    for chunk in chunks:
        own_rows, own_size = chunk.table.num_rows, chunk.table.nbytes
        if held and (held_rows + own_rows > rows or held_size + own_size > size):
            yield _one(held, schema)
            held, held_rows, held_size = [], 0, 0
        held.append(chunk)
        held_rows, held_size = held_rows + own_rows, held_size + own_size
    if held:
        yield _one(held, schema)


def _one(chunks: Sequence[Chunk], schema: pa.Schema) -> Chunk:
    import numpy as np
    import pyarrow as pa

    first, last = chunks[0], chunks[-1]
    if first is last:
        return first
    # Whether a column may be null can differ from file to file.
    tables = [pa.Table.from_arrays(chunk.table.columns, schema=schema) for chunk in chunks]
    table = pa.concat_tables(tables).combine_chunks()
    ends = last.row_base + last.table.num_rows
    if ends - first.row_base == len(table) and not any(c.numbers is not None for c in chunks):
        return Chunk(first.row_base, table)
    return Chunk(first.row_base, table, np.concatenate([chunk.rows for chunk in chunks]))
