"""Bringing packed states up to date: old states and new rows in, new states out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skewless.clock import ALWAYS, NEVER
from skewless.state.blob import decode, encode, tile_bytes
from skewless.state.header import layout_mark, read_header
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet
from skewless.state.retention import retained
from skewless.state.tiles import Tiles, drop_old, fold

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Replacement:
    """A row of a state that a correction replaces.

    Attributes:
        group: the number of the state.
        tiebreak: of the row.
        at: since when it no longer counts, microseconds.
        times: of a row of the table event time and known time. Its tiebreak is in the state only
            if another row of the table tied with it; else those are enough to tell it.
    """

    group: int
    tiebreak: int
    at: int
    times: tuple[int, int] | None = None

    def hit(self, rows: RowSet) -> npt.NDArray[np.bool_]:
        """Return which rows it is."""
        r = rows.records
        same: npt.NDArray[np.bool_] = r["tiebreak"] == self.tiebreak
        if self.times is not None:
            alone = r["tiebreak"] == ALWAYS
            same = (same | alone) & (r["event"] == self.times[0]) & (r["known"] == self.times[1])
        found: npt.NDArray[np.bool_] = same & (rows.group == self.group)
        return found


def update_states(
    layout: StateLayout,
    states: Sequence[bytes | None],
    rows: RowSet,
    *,
    sequence: int | Ints,
    floor: int,
    replacements: Sequence[Replacement] = (),
    tiles: Sequence[Tiles] | None = None,
    folded: int = 0,
) -> list[bytes]:
    """Return the new states.

    Args:
        layout: of the states.
        states: the old ones; None for an entity not seen before, which then needs a row.
        rows: the new rows; their group is the number of their state.
        sequence: the newest log entry that each state then holds; old states keep a greater one.
            Rows of the log that an old state already holds are skipped.
        floor: the earliest moment that will be asked about, microseconds.
        replacements: rows, old or new, that corrections replace.
        tiles: what the states' tiles begin with, where not those of the old states.
        folded: how many of the rows, from the first, these tiles account for.
    """
    known = [number for number, state in enumerate(states) if state is not None]
    old = decode(layout.slots, [state for state in states if state is not None])
    old.group = np.array(known, np.int64)[old.group] if known else old.group
    headers = {n: read_header(state) for n, state in enumerate(states) if state is not None}
    held = np.full(len(states), ALWAYS, np.int64)
    for number, header in headers.items():
        held[number] = header.sequence
    tiebreak = rows.records["tiebreak"]
    seen = (tiebreak > 0) & (tiebreak <= held[rows.group])
    new = rows.take(~seen) if seen.any() else rows
    in_tiles = np.r_[np.ones(len(old), bool), (np.arange(len(rows)) < folded)[~seen]]
    merged = old.joined(new) if len(old) else new
    order = merged.order()
    merged, fresh = merged.take(order), ~in_tiles[order]
    for replacement in replacements:
        hit = replacement.hit(merged)
        merged.superseded[hit] = np.minimum(merged.superseded[hit], replacement.at)
    floors = np.full(len(states), floor, np.int64)
    for number, header in headers.items():
        floors[number] = max(floor, header.floor)
    sequences = np.maximum(held, sequence)
    floor = int(floors.min()) if len(floors) else ALWAYS
    mark = layout_mark(layout.fingerprint)
    if not layout.tiled:
        kept = merged.among(retained(layout, merged, floor))
        return encode(kept, mark, sequences, floors)
    found = _folded(layout, merged, fresh, _tiles_of(layout, states, tiles), floors)
    until = np.array([each.folded for each in found], np.int64)
    kept = merged.among(retained(layout, merged, floor, until[merged.group]))
    return encode(kept, mark, sequences, floors, [each.to_bytes() for each in found])


def _tiles_of(
    layout: StateLayout, states: Sequence[bytes | None], given: Sequence[Tiles] | None
) -> list[Tiles]:
    """Return the tiles that states begin with."""
    if given is not None:
        return list(given)
    found = []
    for state in states:
        data = None if state is None else tile_bytes(state, layout.record.itemsize)
        found.append(Tiles() if data is None else Tiles.from_bytes(data))
    return found


def _folded(
    layout: StateLayout, rows: RowSet, fresh: np.ndarray, tiles: list[Tiles], floors: Ints
) -> list[Tiles]:
    """Fold what counts at each group's floor and is replaced by no later correction."""
    pending = (rows.superseded != NEVER) & (rows.superseded > floors[rows.group])
    waits = np.zeros(len(tiles), bool)
    waits[rows.group[pending]] = True
    until = np.where(waits, np.array([each.folded for each in tiles], np.int64), floors)
    fold(layout, rows, fresh, tiles, until)
    for each, floor in zip(tiles, floors.tolist(), strict=True):
        drop_old(layout, each, floor)
    return tiles
