"""Tiles as they lie in a state give the sums that they held, all together or any run of them."""

import math

from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations.exact import ExactSum
from skewless.state.tile_blocks import Block, encoded
from skewless.state.tiles import Tiles

NUMBERS = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 5e-324, 1.7e308, -1.7e308, math.inf, -math.inf, 0.1]),
    st.integers(-(2**63), 2**63 - 1),
)
VALUES = st.lists(st.tuples(st.integers(-5, 5), NUMBERS), max_size=20)


def tiles_of(values):
    tiles = Tiles(17)
    for number, value in values:
        tiles.add(2, 4, number, value)
    return tiles


@given(VALUES, st.integers(-7, 7), st.integers(0, 14))
def test_a_run_of_tiles_holds_what_its_tiles_hold(values, first, size):
    tiles = tiles_of(values)
    run = range(first, first + size)
    read = Tiles.from_bytes(tiles.to_bytes())
    assert read.total(2, 4, run) == tiles.total(2, 4, run)
    assert read.total(2, 3, run) == ExactSum()


@given(VALUES)
def test_tiles_come_back_and_take_more(values):
    tiles = tiles_of(values)
    read = Tiles.from_bytes(tiles.to_bytes())
    assert read.to_bytes() == tiles.to_bytes()
    assert read.sums == tiles.sums
    for each in (tiles, read):
        each.add(2, 4, 0, 0.3)
        each.add(3, -1, 9, 0)
    assert read.to_bytes() == tiles.to_bytes()


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_values_changes_no_byte(values, chance):
    shuffled = list(values)
    chance.shuffle(shuffled)
    assert tiles_of(shuffled).to_bytes() == tiles_of(values).to_bytes()


def test_a_read_makes_no_object_a_tile():
    """Thousands of tiles cost a few calls: those of a window of 90 days by the hour."""
    tiles = {}
    for number in range(2_160):
        tiles[number] = ExactSum()
        tiles[number].add(number / 7)
    block = Block.read(encoded(0, 0, tiles), 0)
    assert block.limbs.shape[0] == 2_160
    assert block.total(range(100, 2_000)).n == 1_900
