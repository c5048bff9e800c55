"""Packed states of many entities, encoded and decoded; the layout is told in `header`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from skewless.clock import NEVER
from skewless.errors import CorruptData
from skewless.state.header import HEADER, TILED, VERSION, read_header
from skewless.state.packed_rows import RowSet, record_dtype
from skewless.state.slots import Slot
from skewless.state.texts import Coded, cut

_HEADER = np.dtype(
    [("version", "u1"), ("flags", "u1"), ("tails", "<u2"), ("layout", "<u4"), ("rows", "<u4"),
     ("corrections", "<u4"), ("sequence", "<i8"), ("floor", "<i8"), ("limit", "<u4")]
)  # fmt: skip
"""The same as `HEADER`, of many states at once."""
_CORRECTION = np.dtype([("row", "<u4"), ("superseded", "<i8")])


def encode(
    rows: RowSet,
    mark: int,
    sequence: np.ndarray,
    floor: np.ndarray,
    tiles: Sequence[bytes] | None = None,
) -> list[bytes]:
    """Return one blob per group, in order of the groups.

    Args:
        rows: sorted by group and row order, none empty.
        mark: of the layout.
        sequence: the last log sequence of each group.
        floor: the earliest moment the state of each group can answer for.
        tiles: of each group; None where the layout has none.
    """
    flags = 0 if tiles is None else TILED
    ends = np.flatnonzero(rows.last_of_group()) + 1
    starts = np.r_[0, ends[:-1]] if len(ends) else ends
    body = np.ascontiguousarray(rows.records[::-1]).tobytes()
    size, total = rows.records.dtype.itemsize, len(rows)
    corrected = rows.superseded != NEVER if rows.corrected else np.zeros(total, bool)
    tails = list(rows.tails.values())
    corrections = [b""] * len(ends)
    if corrected.any():
        corrections = [
            _encode_corrections(rows.superseded[start:end]) if corrected[start:end].any() else b""
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
    counts = np.fromiter(map(len, corrections), np.int64, len(ends)) // _CORRECTION.itemsize
    heads = np.empty(len(ends), _HEADER)
    kept = ends - starts
    fields = (VERSION, flags, len(tails), mark, kept, counts, sequence, floor, grown(kept))
    for name, values in zip(_HEADER.names or (), fields, strict=True):
        heads[name] = values
    head_bytes, step = heads.tobytes(), HEADER.size
    bounds = (starts.tolist(), ends.tolist(), range(0, len(head_bytes), step), corrections)
    blobs = []
    for start, end, at, replaced in zip(*bounds, strict=True):
        head = head_bytes[at : at + step]
        records = body[(total - end) * size : (total - start) * size]
        if not tails:
            blobs.append(head + records + replaced)
            continue
        pieces = [b"".join(reversed(tail[start:end])) for tail in tails]
        sizes = struct.pack(f"<{len(pieces)}I", *map(len, pieces))
        blobs.append(b"".join((head, sizes, records, replaced, *pieces)))
    if tiles is not None:
        return [blob + own for blob, own in zip(blobs, tiles, strict=True)]
    return blobs


def tile_bytes(blob: bytes, record_size: int) -> bytes | None:
    """Return the tiles of a state as they were encoded; None where it has none."""
    _, flags, count, _, rows, corrections, *_ = HEADER.unpack_from(blob)
    if not flags & TILED:
        return None
    sizes = struct.unpack_from(f"<{count}I", blob, HEADER.size)
    rows_end = HEADER.size + 4 * count + rows * record_size
    return blob[rows_end + corrections * _CORRECTION.itemsize + sum(sizes) :]


def grown(rows: Any) -> Any:
    """Return the number of rows (or numbers) at which a state of ``rows`` lets old ones go."""
    return rows + rows // 2 + 8


def _encode_corrections(superseded: np.ndarray) -> bytes:
    newest_first = superseded[::-1]
    at = np.flatnonzero(newest_first != NEVER)
    found = np.zeros(len(at), _CORRECTION)
    found["row"], found["superseded"] = at, newest_first[at]
    return found.tobytes()


def decode(
    slots: tuple[Slot, ...], blobs: Sequence[bytes], dtype: np.dtype[Any] | None = None
) -> RowSet:
    """Return the rows of blobs; the group of a row is the number of its blob.

    Args:
        slots: of the layout.
        blobs: the states.
        dtype: `rows.record_dtype` of the slots, where the caller has it at hand.

    Raises:
        CorruptData: a blob is not what it should be.
    """
    dtype = record_dtype(slots) if dtype is None else dtype
    tail_slots = [at for at, slot in enumerate(slots) if not slot.fixed]
    pieces, counts = [], []
    corrections: list[tuple[int, np.ndarray]] = []
    tails: dict[int, list[bytes]] = {at: [] for at in tail_slots}
    coded: dict[int, Coded] = {}
    total = 0
    for blob in blobs:
        header = read_header(blob)
        start = HEADER.size + 4 * header.tails
        end = start + header.rows * dtype.itemsize
        tails_at = end + header.corrections * _CORRECTION.itemsize
        if header.tails != len(tail_slots) or tails_at > len(blob):
            raise CorruptData("a state whose rows do not fit its layout", got=f"{len(blob)} bytes")
        pieces.append(blob[start:end])
        counts.append(header.rows)
        total += header.rows
        if header.corrections:
            found = np.frombuffer(blob, _CORRECTION, header.corrections, end).copy()
            corrections.append((total - 1, found))
        if tail_slots:
            own = np.frombuffer(blob, dtype, header.rows, start)
            if len(blobs) == 1:
                coded = _coded_tails(blob, tails_at, own, tail_slots)
            else:
                _decode_tails(blob, tails_at, own, tails)
    # Rows lie newest first in each blob: joined backwards and turned round, all are in order.
    records = np.frombuffer(b"".join(reversed(pieces)), dtype)[::-1]
    superseded = None
    if corrections:
        superseded = np.full(total, NEVER, np.int64)
        for newest, found in corrections:
            superseded[newest - found["row"].astype(np.int64)] = found["superseded"]
    group = (
        np.zeros(total, np.int64) if len(counts) == 1 else np.repeat(np.arange(len(counts)), counts)
    )
    if coded:
        return RowSet(slots, records, group, superseded, coded=coded)
    return RowSet(slots, records, group, superseded, tails)


def _coded_tails(
    blob: bytes, at: int, records: np.ndarray, slots: Sequence[int]
) -> dict[int, Coded]:
    """Return the values of changing length of one state."""
    lengths = {slot: np.ascontiguousarray(records[f"s{slot}"]) for slot in slots}
    begin = [*accumulate((int(each.sum()) for each in lengths.values()), initial=at)]
    if begin[-1] > len(blob):
        raise _cut_short(blob, begin[-1])
    starts = zip(lengths.items(), begin, strict=False)
    return {slot: cut(blob, start, own) for (slot, own), start in starts}


def _decode_tails(blob: bytes, at: int, records: np.ndarray, tails: dict[int, list[bytes]]) -> None:
    for slot, tail in tails.items():
        ends = list(accumulate(records[f"s{slot}"].tolist(), initial=at))
        at = ends[-1]
        tail.extend([blob[low:high] for low, high in pairwise(ends)][::-1])
    if at > len(blob):
        raise _cut_short(blob, at)


def _cut_short(blob: bytes, needed: int) -> CorruptData:
    return CorruptData("a state that was cut", got=f"{len(blob)} bytes", expected=f"{needed} bytes")
