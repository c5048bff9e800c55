"""How sums of tiles lie in a state: in columns, so that a read adds thousands of them at once.

The tiles of one rule and slot are a block: numbers of tiles, counts, and the digits of sums and of
sums of squares, all over one power of two, in 32-bit limbs of two's complement. A window's tiles
lie side by side; their sum is the sum of each limb.

>>> one, other = ExactSum(), ExactSum()
>>> one.add(0.5), other.add(-2.0), other.add(0.25)
(None, None, None)
>>> block = Block.read(encoded(3, 0, {7: one, 9: other}), 0)
>>> block.total(range(0, 9)).sum(), block.total(range(0, 10)).sum()
(0.5, -1.25)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from skewless.aggregations.exact import ExactSum

_HEAD = struct.Struct("<HhIiHHI")
_MOST_LIMBS = 200
_INFINITE = 1


@dataclass(frozen=True, eq=False)
class Block:
    """The tiles of one rule and slot.

    Attributes:
        rule, slot: of which they are.
        exponent: of the sums; squares have twice that.
        tiles: numbers, ascending.
        counts: of finite values, of plus and of minus infinities, a row each.
        limbs: of the sum (the first ``width``) and of the squares, a row a tile.
        width: how many limbs a sum has.
        end: where the block ends.
    """

    rule: int
    slot: int
    exponent: int
    tiles: np.ndarray
    counts: np.ndarray
    limbs: np.ndarray
    width: int
    end: int

    @classmethod
    def read(cls, data: bytes, at: int) -> Block:
        """Return the block that begins at a place.

        Raises:
            ValueError, struct.error: there is none, or it was cut.
        """
        rule, slot, count, exponent, sums, squares, flags = _HEAD.unpack_from(data, at)
        rows = 3 if flags & _INFINITE else 1
        if max(sums, squares) > _MOST_LIMBS:
            raise ValueError(f"numbers of {max(sums, squares)} limbs")
        at += _HEAD.size
        tiles = np.frombuffer(data, "<i8", count, at)
        at += tiles.nbytes
        counts = np.frombuffer(data, "<i8", rows * count, at).reshape(rows, count)
        at += counts.nbytes
        limbs = np.frombuffer(data, "<u4", (sums + squares) * count, at)
        limbs = limbs.reshape(count, sums + squares)
        return cls(rule, slot, exponent, tiles, counts, limbs, sums, at + limbs.nbytes)

    def total(self, tiles: range) -> ExactSum:
        """Return what some tiles hold together; there are fewer than 2**31."""
        low = int(self.tiles.searchsorted(tiles.start))
        high = int(self.tiles.searchsorted(tiles.stop))
        counts = self.counts[:, low:high].sum(axis=1).tolist()
        limbs = self.limbs[low:high]
        added: list[int] = limbs.sum(axis=0, dtype=np.int64).tolist()
        total = _number(added[: self.width])
        if self.width:
            total -= int((limbs[:, self.width - 1] >> 31).sum()) << 32 * self.width
        squares = _number(added[self.width :])  # never negative
        return ExactSum.of((counts[0], *(counts[1:] or (0, 0))), self.exponent, total, squares)

    def each(self) -> Iterator[tuple[int, ExactSum]]:
        """Yield every tile with its sum."""
        for place, tile in enumerate(self.tiles.tolist()):
            counts = self.counts[:, place].tolist()
            total, squares = (
                int.from_bytes(part.tobytes(), "little", signed=True)
                for part in (self.limbs[place, : self.width], self.limbs[place, self.width :])
            )
            parts = (counts[0], *(counts[1:] or (0, 0)))
            yield tile, ExactSum.of(parts, self.exponent, total, squares)


def _number(limbs: list[int]) -> int:
    """Return a number from its limbs, which may each be beyond 32 bits."""
    total = 0
    for limb in reversed(limbs):
        total = (total << 32) + limb
    return total


def encoded(rule: int, slot: int, tiles: Mapping[int, ExactSum]) -> bytes:
    """Return the block of some tiles, one at least: equal for equal tiles."""
    numbers = sorted(tiles)
    states = [tiles[number] for number in numbers]
    exponent = min((found for s in states if (found := s.least_exponent) is not None), default=0)
    counts, digits = zip(*(state.digits(exponent) for state in states), strict=True)
    finite, plus, minus = zip(*counts, strict=True)
    infinite = any(plus) or any(minus)
    arrays = [np.array(numbers, "<i8"), np.array(finite, "<i8")]
    if infinite:
        arrays += [np.array(plus, "<i8"), np.array(minus, "<i8")]
    columns = list(zip(*digits, strict=True))
    widths = [
        max((number.bit_length() + 32) // 32 if number else 0 for number in column)
        for column in columns
    ]
    limbs = [
        number.to_bytes(4 * width, "little", signed=True)
        for pair in digits
        for number, width in zip(pair, widths, strict=True)
    ]
    head = _HEAD.pack(rule, slot, len(numbers), exponent, *widths, _INFINITE if infinite else 0)
    return b"".join((head, *(column.tobytes() for column in arrays), *limbs))
