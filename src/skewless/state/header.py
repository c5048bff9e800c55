"""The layout of packed states, and their header: what is read of a state without its rows.

Layout, version 1, little endian::

    version u8 | flags u8 | tails u16 | layout u32 | rows u32 | corrections u32
    sequence i64 | floor i64 | limit u32 | size of each tail u32 ...
    rows, newest first (see `rows.record_dtype`)
    corrections: row u32, superseded at i64 ...
    tails: for each slot that is not fixed, the values' bytes, newest first
    tiles, where flags has `TILED` (see `tiles.Tiles.to_bytes`)

``layout`` is the head of the layout's fingerprint, ``sequence`` the last entry of the event log
the state holds, ``floor`` the earliest moment it can answer for, ``limit`` the number of rows at
which old ones are dropped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from skewless.errors import CorruptData

VERSION = 1
TILED = 1
"""The flag of states that end with tiles."""
HEADER = struct.Struct("<BBHIIIqqI")
TILE_FORMAT = 2
"""Of tiles (`tile_blocks`); part of the fingerprint of layouts that have some."""


@dataclass(frozen=True)
class Header:
    """What stands in front of the rows of a blob."""

    tails: int
    layout: int
    rows: int
    corrections: int
    sequence: int
    floor: int


def read_header(blob: bytes) -> Header:
    """Return the header of a blob.

    Raises:
        CorruptData: it is no blob, or of a version this release does not know.
    """
    try:
        version, _, tails, layout, rows, corrections, sequence, floor, _ = HEADER.unpack_from(blob)
    except struct.error:
        raise CorruptData("a state shorter than its header", got=f"{len(blob)} bytes") from None
    if version != VERSION:
        raise CorruptData(
            "a state of another version",
            got=version,
            expected=VERSION,
            hint="Written by another release: upgrade, or rebuild with skewless materialize.",
        )
    return Header(tails, layout, rows, corrections, sequence, floor)


def layout_mark(fingerprint: str) -> int:
    """Return the head of a layout's fingerprint, as it stands in blobs."""
    return int(fingerprint[:8], 16)


def start_of(fingerprint: str, tails: int, *, tiled: bool) -> bytes:
    """Return what all states of a layout begin with: version to layout."""
    return struct.pack("<BBHI", VERSION, TILED if tiled else 0, tails, layout_mark(fingerprint))
