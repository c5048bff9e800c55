"""How rows lie in the Bigtable table: their keys, their cells, the mutations that set them.

    row key    "r", the quoted name of the table, ":", the key (of a long one its head and hash)
    f:v        the value
    f:h        its hash, for compare-and-set: Bigtable takes no filters as long as values
    f:k        the key, if it is long

A row "t" and the name of a table says in `f:v` whether the table is live. Every cell has the
timestamp 0, so that a write replaces the one before it, whatever clocks say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote_from_bytes

from google.cloud.bigtable_v2 import types as t

from skewless.stores.online.base import Item
from skewless.stores.online.bigtable.client import FAMILY
from skewless.stores.online.remote import too_large
from skewless.stores.online.stored_keys import is_long, stored_key, stored_size

MAX_VALUE_BYTES = 100 << 20
HEAD_BYTES = 3_000  # a row key holds 4,096: the quoted name of a table takes up to 767
VALUE, HASH, LONG_KEY = b"v", b"h", b"k"
TABLES = b"t"
LIVE, DROPPED = b"live", b"dropped"

Cells = dict[bytes, bytes]
"""The cells of a row by their columns."""


def row_prefix(table: str) -> bytes:
    """Return what the row keys of a table begin with."""
    return b"r%b:" % quote_from_bytes(table.encode()).encode()


def row_key(table: str, key: bytes) -> bytes:
    """Return the row key of a row."""
    return row_prefix(table) + stored_key(key, HEAD_BYTES)


def item_of(table: str, row_key: bytes, cells: Cells) -> tuple[bytes, Item]:
    """Return the stored key of a row, and its key and value."""
    stored = row_key[len(row_prefix(table)) :]
    return stored, (cells.get(LONG_KEY, stored), cells[VALUE])


def row_key_size(table: str) -> Callable[[bytes], int]:
    """Return what tells the length of a key's row key."""
    start = len(row_prefix(table))
    return lambda key: start + stored_size(key, HEAD_BYTES)


def check_size(table: str, key: bytes, value: bytes, where: str) -> None:
    """Refuse a row that Bigtable would refuse after others were written."""
    if len(value) > MAX_VALUE_BYTES or len(key) > MAX_VALUE_BYTES:
        got = f"{len(value):,} bytes, key {len(key):,}"
        most = f"{MAX_VALUE_BYTES:,} bytes each"
        raise too_large("Bigtable", (table, key), got=got, most=most, where=where)


def sets(key: bytes, value: bytes) -> list[t.Mutation]:
    """Return the mutations that make a row what it is to be."""
    cells = {VALUE: value, HASH: hash_of(value)}
    if is_long(key, HEAD_BYTES):
        cells[LONG_KEY] = key
    return [
        t.Mutation(
            set_cell=t.Mutation.SetCell(
                family_name=FAMILY, column_qualifier=column, timestamp_micros=0, value=cell
            )
        )
        for column, cell in cells.items()
    ]


def deletes() -> list[t.Mutation]:
    """Return the mutations that remove a row."""
    return [t.Mutation(delete_from_row=t.Mutation.DeleteFromRow())]


def entry(row_key: bytes, mutations: list[t.Mutation]) -> t.MutateRowsRequest.Entry:
    """Return the change of one row as part of a request."""
    return t.MutateRowsRequest.Entry(row_key=row_key, mutations=mutations)


def condition(key: bytes, expected: bytes | None, new: bytes | None) -> dict[str, Any]:
    """Return filter and mutations that set a row if its value is ``expected``.

    Where nothing is expected, the filter finds any row and the mutations are for finding none.
    """
    column = t.RowFilter(column_qualifier_regex_filter=HASH)
    mutations = deletes() if new is None else sets(key, new)
    if expected is None:
        return {"predicate_filter": column, "false_mutations": mutations}
    digest = hash_of(expected)
    same = t.ValueRange(start_value_closed=digest, end_value_closed=digest)
    both = t.RowFilter.Chain(filters=[column, t.RowFilter(value_range_filter=same)])
    return {"predicate_filter": t.RowFilter(chain=both), "true_mutations": mutations}


def hash_of(value: bytes) -> bytes:
    """Return what a value is known by in compare-and-set."""
    return hashlib.blake2b(value, digest_size=16).digest()


def named_rows(row_keys: Sequence[bytes]) -> t.RowSet:
    """Return the rows of some row keys."""
    return t.RowSet(row_keys=row_keys)


def rows_from(start: bytes, end: bytes | None, *, inclusive: bool) -> t.RowSet:
    """Return the rows from ``start`` up to but without ``end``."""
    bounds = {"start_key_closed" if inclusive else "start_key_open": start}
    if end is not None:
        bounds["end_key_open"] = end
    return t.RowSet(row_ranges=[t.RowRange(**bounds)])


def rows_of(answers: Iterable[Any]) -> Iterator[tuple[bytes, Cells]]:
    """Put rows together: a long cell comes in pieces, an unfinished row may be taken back."""
    key, column = b"", b""
    cells: Cells = {}
    pieces: list[bytes] = []
    for answer in answers:
        for chunk in t.ReadRowsResponse.pb(answer).chunks:
            if chunk.reset_row:
                cells, pieces = {}, []
                continue
            key = chunk.row_key or key
            if chunk.HasField("qualifier"):
                column = chunk.qualifier.value
            pieces.append(chunk.value)
            if not chunk.value_size:  # of the whole cell, while more pieces of it follow
                cells[column] = b"".join(pieces)
                pieces = []
            if chunk.commit_row:
                yield key, cells
                cells = {}
