"""Tiles: what stands online for rows already dropped, where a window's edges are not fine.

Lifetime and tumbling windows and those with a ``resolution`` begin and end on the edges of tiles,
so old rows can be folded: counts and exact sums into tiles, while for min, max, first, latest and
distinct values the rows that decide them stay. A row is in the tiles when it counted at the moment
they were `folded` to; all rows that start to count later are kept as rows. No tile changes a value:
sums are exact, and a read adds the rows that are not folded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from skewless.aggregations.exact import ExactSum
from skewless.clock import ALWAYS, NEVER
from skewless.errors import CorruptData
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet
from skewless.state.rules import ROWS, Rule
from skewless.state.tile_blocks import Block, encoded

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_ENDS = struct.Struct("<Iq")
TILES_END = _ENDS.size
"""How many bytes end the tiles behind their blocks."""
_NUMERIC = frozenset({"float32", "float64", "int32", "int64"})


class Tiles:
    """The tiles of one entity.

    Attributes:
        folded: rows that counted at this moment are in the tiles, microseconds.
    """

    def __init__(self, folded: int = ALWAYS) -> None:
        self.folded = folded
        self._sums: dict[tuple[int, int, int], ExactSum] | None = {}
        self._blocks: tuple[Block, ...] = ()

    @property
    def sums(self) -> dict[tuple[int, int, int], ExactSum]:
        """Sums by rule, slot (`ROWS` for whole rows) and number of the tile, to be changed."""
        if self._sums is None:
            self._sums = {
                (block.rule, block.slot, tile): state
                for block in self._blocks
                for tile, state in block.each()
            }
        return self._sums

    def add(self, rule: int, slot: int, tile: int, value: float | int) -> None:
        """Fold a value in."""
        key = (rule, slot, tile)
        if key not in self.sums:
            self.sums[key] = ExactSum()
        self.sums[key].add(value)

    def total(self, rule: int, slot: int, tiles: range) -> ExactSum:
        """Return what the tiles of a rule hold together; the caller may add to it."""
        if self._sums is None:
            for block in self._blocks:
                if (block.rule, block.slot) == (rule, slot):
                    return block.total(tiles)
            return ExactSum()
        found = ExactSum()
        for (number, column, tile), state in self._sums.items():
            if number == rule and column == slot and tile in tiles:
                found.merge(state)
        return found

    def to_bytes(self) -> bytes:
        """Return the tiles as they end a blob."""
        blocks: dict[tuple[int, int], dict[int, ExactSum]] = {}
        for (rule, slot, tile), state in sorted(self.sums.items()):
            blocks.setdefault((rule, slot), {})[tile] = state
        pieces = [encoded(rule, slot, tiles) for (rule, slot), tiles in blocks.items()]
        return b"".join(pieces) + _ENDS.pack(len(pieces), self.folded)

    @classmethod
    def from_bytes(cls, data: bytes) -> Tiles:
        """Return the tiles that `to_bytes` wrote.

        Raises:
            CorruptData: they are damaged.
        """
        end, at, blocks = len(data) - _ENDS.size, 0, []
        try:
            count, folded = _ENDS.unpack_from(data, max(end, 0))
            for _ in range(count):
                blocks.append(Block.read(data, at))
                at = blocks[-1].end
        except (struct.error, ValueError) as problem:
            raise CorruptData("tiles that cannot be read", got=str(problem)) from None
        if at != end:
            raise CorruptData("tiles that were cut", got=f"{end} bytes", expected=f"{at} bytes")
        tiles = cls(folded)
        tiles._sums, tiles._blocks = None, tuple(blocks)
        return tiles


def folded_to(blob: bytes) -> int:
    """Return the moment to which the tiles at the end of a blob are folded."""
    folded: int = _ENDS.unpack_from(blob, len(blob) - _ENDS.size)[1]
    return folded


def entered(layout: StateLayout, rows: RowSet, rule: Rule) -> Ints:
    """Return the moment from which each row counts for a rule."""
    event = rows.records["event"] + layout.exclusive + rule.window.offset
    moments: Ints = np.maximum(event, rows.records["known"])
    return moments


def fold(
    layout: StateLayout, rows: RowSet, fresh: Bools, tiles: Sequence[Tiles | None], until: Ints
) -> None:
    """Fold rows into the tiles of their groups and move these on.

    Args:
        layout: of the rows.
        rows: sorted by group.
        fresh: rows that were never in a state; the others are folded where they entered.
        tiles: of each group; None where the group is not folded now.
        until: the moment each group is folded to.
    """
    wanted = np.array([each is not None for each in tiles], bool)[rows.group]
    before = np.array([ALWAYS if each is None else each.folded for each in tiles], np.int64)
    for number, rule in enumerate(layout.rules):
        if not rule.uses:
            continue
        enter = entered(layout, rows, rule)
        chosen = wanted & (enter <= until[rows.group]) & (rows.superseded == NEVER)
        chosen &= fresh | (enter > before[rows.group])
        if rule.filter is not None:
            chosen &= rows.passes(rule.filter)
        at = np.flatnonzero(chosen)
        numbers = rule.window.tile_numbers(rows.records["event"][at])
        for slot in _summed_slots(rule):
            _fold_slot(rows, at, numbers, (number, slot), tiles)
    for group, each in enumerate(tiles):
        if each is not None:
            each.folded = max(each.folded, int(until[group]))


def _summed_slots(rule: Rule) -> list[int]:
    return sorted({use.slot for use in rule.uses if use.decides is None})


def _fold_slot(
    rows: RowSet,
    at: Ints,
    numbers: Ints,
    place: tuple[int, int],
    tiles: Sequence[Tiles | None],
) -> None:
    rule, slot = place
    if slot == ROWS:
        values: Iterable[float | int] = [0] * len(at)
    else:
        some = ~rows.nulls(slot)[at]
        at, numbers = at[some], numbers[some]
        values = numbers_of(rows, slot, at)
    groups = rows.group[at].tolist()
    for group, tile, value in zip(groups, numbers.tolist(), values, strict=True):
        target = tiles[group]
        if target is not None:
            target.add(rule, slot, tile, value)


def drop_old(layout: StateLayout, tiles: Tiles, floor: int) -> None:
    """Release tiles that no window will hold again from ``floor`` on."""
    for key in list(tiles.sums):
        window = layout.rules[key[0]].window
        held = window.tiles(floor - layout.exclusive - window.offset)
        if key[2] < held.start:
            del tiles.sums[key]


def deciding(rows: RowSet, rule: Rule, candidates: Bools) -> Bools:
    """Return which of the folded rows must stay, because they decide a value (a mask)."""
    keep = np.zeros(len(rows), bool)
    at = np.flatnonzero(candidates)
    if not len(at):
        return keep
    numbers = rule.window.tile_numbers(rows.records["event"][at])
    groups = rows.group[at]
    run = np.cumsum(np.r_[0, (np.diff(groups) != 0) | (np.diff(numbers) != 0)])
    for use in rule.uses:
        if use.decides is None:
            continue
        some = at, run
        if use.slot != ROWS and use.skips_nulls:
            taking_part = ~rows.nulls(use.slot)[at]
            some = at[taking_part], run[taking_part]
        if len(some[0]):
            rank = some[0] if use.slot == ROWS else _ranks(rows, use.slot, some[0])
            keep[some[0][use.decides.decide(rank, some[1])]] = True
    return keep


def numbers_of(rows: RowSet, slot: int, at: Ints) -> list[float | int]:
    """Return the values of rows as they are summed: of columns that are no numbers, 0."""
    if rows.slots[slot].dtype.kind not in _NUMERIC:
        return [0] * len(at)
    return rows.records[f"s{slot}"][at].tolist()  # type: ignore[no-any-return]


def _ranks(rows: RowSet, slot: int, at: Ints) -> Ints:
    """Return numbers that order the values of a slot; -0.0 is less than 0.0."""
    if slot in rows.tails:
        tail = rows.tails[slot]
        texts = np.array([tail[i] for i in at.tolist()], dtype=object)
        ranks: Ints = np.unique(texts, return_inverse=True)[1].astype(np.int64)
    elif rows.slots[slot].dtype.kind in ("float32", "float64"):
        bits = rows.records[f"s{slot}"][at].astype(np.float64).view(np.int64)
        ranks = np.where(bits < 0, ~bits ^ np.int64(-(2**63)), bits)
    else:
        ranks = rows.records[f"s{slot}"][at].astype(np.int64)
    return ranks
