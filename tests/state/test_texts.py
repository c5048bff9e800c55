"""Texts that are cut out of a state: each distinct one once, whichever form does it."""

import random

import numpy as np
import pytest

from skewless.state import texts
from skewless.state.texts import cut, numbered

CASES = {
    "none": [],
    "words": [b"b", b"", b"a", b"b", b"", b"long enough to be hashed in parts, and then some"],
    "all others": [b"%d" % number for number in range(3000)],
    "all the same": [b"same"] * 3000,
    "prefixes": [b"x" * size for size in range(40)] * 3,
}


@pytest.fixture(params=["compiled", "python"])
def form(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(texts, "_texts", None)
    elif texts._texts is None:
        pytest.skip("there is no module in C")


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("case", CASES)
def test_rows_have_their_texts_in_row_order(case):
    rows = CASES[case][:]
    random.Random(1).shuffle(rows)
    lengths = np.array([len(row) for row in reversed(rows)], np.uint32)
    codes, found = cut(b"head" + b"".join(reversed(rows)) + b"tail", 4, lengths)
    assert rows == [found[code] for code in codes.tolist()]
    assert len(found) == len(set(found))


def test_texts_of_one_hash_are_left_to_python(monkeypatch):
    """Nobody who chooses texts can make a read take the square of their number."""

    class GivesUp:
        @staticmethod
        def texts(*_):
            return None

    monkeypatch.setattr(texts, "_texts", GivesUp)
    codes, found = cut(b"baab", 0, np.ones(4, np.uint32))
    assert [found[code] for code in codes.tolist()] == [b"b", b"a", b"a", b"b"]


@pytest.mark.skipif(texts._texts is None, reason="there is no module in C")
@pytest.mark.parametrize(("at", "lengths"), [(-1, [1]), (0, [5]), (3, [2]), (0, [2**32 - 1] * 3)])
def test_texts_beyond_their_state_are_refused(at, lengths):
    codes = np.empty(len(lengths), np.int64)
    with pytest.raises(ValueError, match="outside"):
        texts._texts.texts(b"four", at, np.array(lengths, np.uint32), codes)


def test_numbers_are_in_the_order_of_coming():
    codes, found = numbered([b"z", b"a", b"z"])
    assert (codes.tolist(), found) == ([0, 1, 0], [b"z", b"a"])
