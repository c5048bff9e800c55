"""Values of changing length out of packed states: each distinct one once, and a number a row.

A window of thousands of rows has few distinct words: what is asked of words is asked of those.

    >>> numbered([b"a", b"b", b"a"])
    (array([0, 1, 0]), [b'a', b'b'])
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from skewless.compiled import compiled

Codes = npt.NDArray[np.int64]
Coded = tuple[Codes, list[bytes]]
"""The place of each row's bytes among the distinct ones, and these."""
_texts: Any = compiled("skewless.state._texts")


def numbered(tail: Sequence[bytes]) -> Coded:
    """Return the number of each of some byte strings, and the distinct ones."""
    place = {text: number for number, text in enumerate(dict.fromkeys(tail))}
    return np.fromiter(map(place.__getitem__, tail), np.int64, len(tail)), list(place)


def cut(state: bytes, at: int, lengths: npt.NDArray[np.uint32]) -> Coded:
    """Return what `numbered` does of the byte strings in a state, in the order of its rows.

    Args:
        state: in which they lie one after the other, that of the newest row first.
        at: where they begin.
        lengths: of each, the newest row first.
    """
    if _texts is not None:
        codes = np.empty(len(lengths), np.int64)
        found = _texts.texts(state, at, lengths, codes)
        if found is not None:
            return codes, found
    ends = accumulate(lengths.tolist(), initial=at)
    return numbered([state[low:high] for low, high in pairwise(ends)][::-1])
