"""Rows about to be appended: duplicates left out, corrections and late rows found.

The newest version of every row id is kept beside the journal, so that a delivery is compared with
what came before it, in whatever batch.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS
from skewless.definitions import Source
from skewless.jobs.intake import Admitted
from skewless.stores.online.base import Rows as KeyValues

Ints = npt.NDArray[np.int64]
VERSION = struct.Struct("<qq16s?")
"""Of the newest version of a row id: sequence, known time, content hash, whether it deletes."""


@dataclass(eq=False)
class Arrivals:
    """Rows about to be appended, after duplicates were left out.

    Attributes:
        batch, event, known: the rows.
        late: which are beyond the source's lateness.
        supersedes: the sequence each one corrects, 0 for none.
        deleted: whether they delete the rows of their ids.
        versions: what to note per row id.
        outdated: rows older (by known time) than one of their row id that came before them.
        duplicates: how many rows were left out.
    """

    batch: pa.RecordBatch
    event: Ints
    known: Ints
    late: npt.NDArray[np.bool_]
    supersedes: Ints
    deleted: bool
    versions: list[tuple[bytes, int, bytes]]
    outdated: list[int]
    duplicates: int


def arrivals_of(
    transaction: KeyValues,
    source: Source,
    admitted: Admitted,
    reached: tuple[int, int | None],
    deleted: bool,
) -> Arrivals:
    """Leave out duplicates and find corrections and late rows, row by row in order.

    Args:
        transaction: of the journal.
        source: whose rows they are.
        admitted: the rows.
        reached: the sequence of the next row, and the newest event time so far.
        deleted: whether they delete the rows of their ids.
    """
    first, newest = reached
    late = _late(source, admitted.event, newest)
    size = len(admitted.event)
    supersedes = np.zeros(size, np.int64)
    if not source.row_id or size == 0:
        return Arrivals(
            admitted.batch, admitted.event, admitted.known, late, supersedes, deleted, [], [], 0
        )
    content_columns = [n for n in source.columns if n != source.known_time]
    names = list(source.columns)
    columns = [admitted.batch.column(names.index(name)).to_pylist() for name in content_columns]
    at = [content_columns.index(name) for name in source.row_id]
    contents = list(zip(*columns, strict=True))
    keys = [id_bytes([row[i] for i in at]) for row in contents]
    stored = dict(zip(keys, transaction.read(ids_table(source), keys), strict=True))
    versions = {key: VERSION.unpack(value) for key, value in stored.items() if value is not None}
    keep: list[int] = []
    notes: dict[bytes, tuple[int, bytes]] = {}
    corrected: list[tuple[int, int]] = []
    outdated: list[int] = []
    for row, key in enumerate(keys):
        content, known = _content(contents[row], deleted), int(admitted.known[row])
        before = versions.get(key)
        if before is not None and before[2] == content:
            continue
        if before is not None and not late[row] and known < before[1]:
            outdated.append(len(keep))
            keep.append(row)
            continue
        if before is not None and not late[row]:
            corrected.append((len(keep), before[0]))
        if not late[row]:
            notes[key] = (len(keep), content)
            versions[key] = (first + len(keep), known, content, deleted)
        keep.append(row)
    kept = np.array(keep, np.int64)
    arrivals = Arrivals(
        admitted.batch.take(pa.array(kept)) if len(keep) < size else admitted.batch,
        admitted.event[kept],
        admitted.known[kept],
        late[kept],
        np.zeros(len(keep), np.int64),
        deleted,
        [(key, row, content) for key, (row, content) in notes.items()],
        outdated,
        size - len(keep),
    )
    for row, before_sequence in corrected:
        arrivals.supersedes[row] = before_sequence
    return arrivals


def _late(source: Source, event: Ints, newest: int | None) -> npt.NDArray[np.bool_]:
    if source.lateness is None or not len(event):
        return np.zeros(len(event), bool)
    start = ALWAYS + source.lateness if newest is None else newest
    before = np.maximum.accumulate(np.r_[start, event])[:-1]
    return event < before - source.lateness


def ids_table(source: Source) -> str:
    """Return the table of the newest version of each row id."""
    return f"ids.{source.name}"


def id_bytes(values: Sequence[Any]) -> bytes:
    """Return a row id as a key."""
    text = json.dumps([str(value) if isinstance(value, bytes) else value for value in values],
                      default=str, separators=(",", ":"))  # fmt: skip
    return text.encode()


def _content(values: Sequence[Any], deleted: bool) -> bytes:
    return hashlib.blake2b(repr((values, deleted)).encode(), digest_size=16).digest()
