"""Rows of a long history that are dropped: their values are never packed."""

import pytest

import skewless as sl
from skewless.state.packed_rows import RowSet
from tests.shop import (
    HOUR,
    NOON,
    cards,
    check_parity,
    open_store,
    pay,
    payments,
    spend_of,
    write_part,
)

ROWS, CARDS = 600, 3


@pytest.mark.parametrize("filtered", [False, True])
def test_values_are_packed_of_rows_that_are_kept(tmp_path, monkeypatch, filtered):
    rows = [
        pay(f"{n}", NOON - (n % 97) * HOUR, float(n), card=f"c{n % CARDS + 1}", n=n % 5)
        for n in range(ROWS)
    ]
    write_part(tmp_path / "pays" / "part.parquet", rows)
    source = payments(table=sl.Parquet(tmp_path / "pays"))
    some = source.where(source.n > 2) if filtered else source
    spend = spend_of(source, newest=some.amount.latest(), three=some.amount.last_n(3))
    packed = []
    build = RowSet.build.__func__

    def counted(cls, slots, columns, *rest):
        found = build(cls, slots, columns, *rest)
        packed.append((len(found), len(slots)))
        return found

    monkeypatch.setattr(RowSet, "build", classmethod(counted))
    with open_store(tmp_path / "repo", spend) as fs:
        fs.materialize()
        check_parity(fs, spend, cards("c1", "c2", "c3", "nobody"))
    widest = max(width for _, width in packed)
    assert sum(size for size, width in packed if width == widest) < ROWS / 4
    assert sum(size for size, width in packed if width < widest) >= ROWS
