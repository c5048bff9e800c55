"""Values in pieces: one value, however it is divided; what is moved for a change stays bounded."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.errors import CorruptData
from skewless.state import pieces
from skewless.state.pieces import MERGED, Head, whole

PARTS = st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5)), max_size=60)


def grown(parts, long):
    """A value that parts were added to in front of two columns, and how its pieces are kept."""
    head, stored, written = Head((b"head", b"", b"", b"end")), {}, 0
    for number, (one, other) in enumerate(parts):
        if head.size > long:
            head = head.moved()
        _, first, second, last = head.columns
        head = head.with_columns((b"%04d" % number, one + first, other + second, last))
        head = head.compacted(partial(map, stored.__getitem__))
        kept = {number for number, _ in head.pieces}
        stored = {n: piece for n, piece in (stored | dict(head.fresh)).items() if n in kept}
        written += len(head.to_bytes()) + sum(map(len, head.fresh.values()))
        head = Head.from_bytes(head.to_bytes())
    return head, stored, written


@given(parts=PARTS, long=st.integers(5, 60))
def test_a_value_in_pieces_is_the_value_that_is_whole(parts, long):
    head, stored, _ = grown(parts, long)
    first, second = (b"".join(reversed([part[at] for part in parts])) for at in (0, 1))
    start = b"%04d" % (len(parts) - 1) if parts else b"head"
    assert whole(head, stored) == start + first + second + b"end"
    assert set(stored) == {number for number, _ in head.pieces} == set(head.stored)


@pytest.mark.parametrize("rows", [1_000, 10_000])
def test_what_is_written_for_a_row_follows_the_logarithm_of_their_number(monkeypatch, rows):
    monkeypatch.setattr(pieces, "LONG", 640)
    head, stored, written = grown([(b"x" * 32, b"yy")] * rows, 640)
    assert written / rows < 3 * 640
    assert len(head.pieces) <= MERGED * 4
    assert len(stored) == len(head.pieces)


def test_what_is_cut_or_of_another_version_is_refused():
    data = Head((b"head", b"rows", b"")).moved().to_bytes()
    for cut in range(len(data)):
        with pytest.raises(CorruptData):
            Head.from_bytes(data[:cut])
    with pytest.raises(CorruptData, match="another version"):
        Head.from_bytes(b"\x03" + data[1:])
