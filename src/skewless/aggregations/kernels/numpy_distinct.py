"""Hashes of values and distinct keys in NumPy and Python; equal to the compiled ones to the bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from skewless.aggregations.kernels.spans import Flags, Ints

_ALL = 2**64 - 1
_ONE, _TWO = 0x87C37B91114253D5, 0x4CF5AD432745937F


def hashes(offsets: Ints, data: Flags, seed: int) -> Ints:
    """The hash of each run of bytes; see ``_hash.h``."""
    held = data.tobytes()
    found = [hash_of(held[low:high], seed) for low, high in pairwise(offsets.tolist())]
    return np.array(found, np.int64)


def hash_of(data: bytes, seed: int) -> int:
    """Return the upper half of the 128-bit MurmurHash3 of bytes, less its last bit.

    >>> hash_of((7).to_bytes(8, "little"), 9001)
    8990173978249917664
    """
    one = two = seed
    whole = len(data) - len(data) % 16
    for at in range(0, whole, 16):
        one = (_rotated(one ^ _first(data[at : at + 8]), 27) + two) * 5 + 0x52DCE729 & _ALL
        two = (_rotated(two ^ _second(data[at + 8 : at + 16]), 31) + one) * 5 + 0x38495AB5 & _ALL
    two ^= _second(data[whole + 8 :])
    one ^= _first(data[whole : whole + 8])
    one, two = one ^ len(data), two ^ len(data)
    one = one + two & _ALL
    two = two + one & _ALL
    return (_mixed(one) + _mixed(two) & _ALL) >> 1


def _rotated(number: int, by: int) -> int:
    return (number << by | number >> (64 - by)) & _ALL


def _first(data: bytes) -> int:
    return _rotated(int.from_bytes(data, "little") * _ONE & _ALL, 31) * _TWO & _ALL


def _second(data: bytes) -> int:
    return _rotated(int.from_bytes(data, "little") * _TWO & _ALL, 33) * _ONE & _ALL


def _mixed(number: int) -> int:
    number = (number ^ number >> 33) * 0xFF51AFD7ED558CCD & _ALL
    number = (number ^ number >> 33) * 0xC4CEB9FE1A85EC53 & _ALL
    return number ^ number >> 33
