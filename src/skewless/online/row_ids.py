"""Row ids: the newest version of each, kept beside the event log of its source.

A delivery is compared with what came before it, in whatever batch. There is a table for each
definition of the row id that is in use: that of the source as rows are pushed now, and those of
older view versions that are still served. The state of the log says which definitions its rows are
indexed under; where that is not the set in use, because a row id was added, changed or taken away,
tables are rebuilt from the log before the next row goes in.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.clock import ALWAYS
from skewless.definitions import Source
from skewless.stores.offline.cast import to_micros_array, to_source_columns
from skewless.stores.offline.hashing import content_hash
from skewless.stores.offline.log.journal import DELETED, KNOWN, LATE
from skewless.stores.offline.log.log import EventLog
from skewless.stores.online.base import KeyValues, Transaction

Ints = npt.NDArray[np.int64]
INDEXES = "skewless.row_ids"
ROWS_A_PASS = 1 << 21
_PAGE = 5_000
_VERSION = struct.Struct("<qq16s?")


@dataclass(frozen=True, slots=True)
class Version:
    """The newest version of a row id.

    Attributes:
        sequence: in the log.
        known: since when it is known, microseconds.
        content: a hash of what it holds.
        deletes: whether it is a deletion.
    """

    sequence: int
    known: int
    content: bytes
    deletes: bool

    def packed(self) -> bytes:
        """Return the version as it stands in the table."""
        return _VERSION.pack(self.sequence, self.known, self.content, self.deletes)

    @classmethod
    def unpacked(cls, data: bytes) -> Version:
        """Return the version that `packed` wrote."""
        return cls(*_VERSION.unpack(data))


@lru_cache(maxsize=256)
def ids_table(source: Source) -> str:
    """Return the table of the newest versions under the row id of ``source``.

    With other units of its times the rows of its table are others, and so are those they equal.
    """
    named: list[Any] = [
        [source.stored_name_of(name), source.columns[name].to_dict()] for name in source.row_id
    ]
    text = json.dumps([*named, source.epochs] if source.epochs else named)
    return f"ids.{source.stored}.{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


def versions_of(rows: KeyValues, source: Source, keys: Sequence[bytes]) -> dict[bytes, Version]:
    """Return the newest versions of row ids, those that have one."""
    found = zip(keys, rows.read(ids_table(source), keys), strict=True)
    return {key: Version.unpacked(value) for key, value in found if value is not None}


def keys_and_contents(
    source: Source, batch: pa.RecordBatch | pa.Table, deleted: Iterable[bool]
) -> tuple[list[bytes | None], list[bytes]]:
    """Return of each row its id as a key, None where it is null in part, and a hash of its content.

    A hash is over the columns that are not null, by name, so that a new column changes none of
    the rows before it; nor is when a row was known part of what it holds.
    """
    names = [name for name in source.columns if name != source.known_time]
    columns = [batch.column(name).to_pylist() for name in names]
    ids = zip(*(batch.column(name).to_pylist() for name in source.row_id), strict=True)
    keys = [None if None in values else id_bytes(values) for values in ids]
    named = tuple(map(source.stored_name_of, names))
    contents = [
        _digest([pair for pair in zip(named, row, strict=True) if pair[1] is not None], gone)
        for row, gone in zip(zip(*columns, strict=True), deleted, strict=False)
    ]
    return keys, contents


def id_bytes(values: Sequence[Any]) -> bytes:
    """Return a row id as a key."""
    text = json.dumps([str(value) if isinstance(value, bytes) else value for value in values],
                      default=str, separators=(",", ":"))  # fmt: skip
    return text.encode()


def _digest(pairs: Sequence[tuple[str, Any]], deleted: bool) -> bytes:
    return hashlib.blake2b(repr((pairs, deleted)).encode(), digest_size=16).digest()


# ------------------------------------------------------------------------------- the tables in use


def definitions_of(sources: Iterable[Source]) -> dict[str, Source]:
    """Return a source for each definition of the row id among ``sources``, by its table."""
    found: dict[str, Source] = {}
    for source in sources:
        if source.row_id:
            found.setdefault(ids_table(source), source)
    return found


def mark_of(definitions: Iterable[Source]) -> bytes:
    """Return eight bytes that say which definitions of the row id these are; zeros for none."""
    return _mark_of(tuple(definitions))


@lru_cache(maxsize=256)
def _mark_of(definitions: tuple[Source, ...]) -> bytes:
    if not definitions:
        return bytes(8)
    text = json.dumps({ids_table(source): _types(source) for source in definitions},
                      sort_keys=True)  # fmt: skip
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def bring_up_to_date(
    transaction: Transaction, log: EventLog, definitions: Mapping[str, Source]
) -> bytes:
    """Index the rows of a log under the definitions in use, where they are not; return their mark.

    Args:
        transaction: of the journal.
        log: whose rows.
        definitions: those in use, see `definitions_of`.
    """
    wanted, state = mark_of(definitions.values()), log.state(transaction)
    if state.ids == wanted:
        return wanted
    record = transaction.read_one(INDEXES, log.source.stored.encode())
    indexed = {} if record is None else json.loads(record)
    current = indexed["tables"] if indexed.get("mark") == state.ids.hex() else {}
    for name, source in definitions.items():
        types = _types(source)
        before = current.get(name)
        if before is None or any(before.get(c, kind) != kind for c, kind in types.items()):
            _build(transaction, log, source)
        else:
            types = before | types
        current = current | {name: types}
    kept = {name: current[name] for name in definitions}
    note = json.dumps({"mark": wanted.hex(), "tables": kept}).encode()
    transaction.write(INDEXES, [(log.source.stored.encode(), note)])
    log.note_ids(transaction, wanted)
    return wanted


def _types(source: Source) -> dict[str, Any]:
    types = source.columns.items()
    return {source.stored_name_of(name): dtype.to_dict() for name, dtype in types}


def _build(transaction: Transaction, log: EventLog, source: Source) -> None:
    """Index all rows of a log under one definition of the row id."""
    table = ids_table(source)
    while page := [key for key, _ in transaction.scan(table, limit=_PAGE)]:
        transaction.delete(table, page)
    total = log.last_sequence(transaction)
    passes = -(-total // ROWS_A_PASS)
    for number in range(passes):
        newest: dict[bytes, Version] = {}
        for key, version in sorted(
            _versions(log, source, (number, passes)), key=lambda found: found[1].sequence
        ):
            before = newest.get(key)
            if before is None or before.content != version.content:
                newest[key] = version
        transaction.write(table, [(key, version.packed()) for key, version in newest.items()])


def _versions(
    log: EventLog, source: Source, part: tuple[int, int]
) -> Iterator[tuple[bytes, Version]]:
    """Yield the versions of a part of the row ids, by their hash; late rows are none."""
    columns = list(source.columns)
    number, parts = part
    for chunk in log.reader(source).chunks([*columns, KNOWN, LATE, DELETED]):
        rows = to_source_columns(chunk.table, source, columns)
        gone = chunk.table[DELETED].to_numpy()
        counts = ~chunk.table[LATE].to_numpy()
        counts &= gone | (to_micros_array(rows[source.event_time]) != ALWAYS)
        if parts > 1:
            counts &= content_hash(rows, source.row_id) % np.uint64(parts) == np.uint64(number)
        at = np.flatnonzero(counts)
        known = to_micros_array(chunk.table[KNOWN])[at].tolist()
        deletes = gone[at].tolist()
        keys, contents = keys_and_contents(source, rows.take(pa.array(at)), deletes)
        for key, sequence, moment, content, takes in zip(
            keys, chunk.rows[at].tolist(), known, contents, deletes, strict=True
        ):
            if key is not None:
                yield key, Version(sequence, moment, content, takes)
