"""Materialize: rows of windows with tiles are folded while the history is read."""

import pytest

import skewless as sl
from skewless.materialize import materialize as materialize_module
from tests.shop import (
    ALL,
    HOUR,
    MINUTE,
    NOON,
    check_parity,
    open_store,
    pay,
    payments,
    random_rows,
    spend_of,
    write_part,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


def tiled_spend(pays):
    """A view all of whose windows have tiles, so that rows are folded before all are read."""
    return spend_of(
        pays,
        total=pays.amount.sum(sl.lifetime()),
        spread=pays.n.std(sl.lifetime()),
        count=pays.count(sl.lifetime()),
        biggest=pays.amount.max(sl.lifetime()),
        first=pays.city.first(sl.lifetime()),
        cities=pays.city.n_unique(sl.lifetime()),
        hour=pays.amount.mean(sl.tumbling("6h")),
        coarse=pays.amount.sum("1d", resolution="1h"),
        big=pays.where(pays.amount > 5).count(sl.lifetime()),
    )


def fold_after(monkeypatch, rows):
    monkeypatch.setattr("skewless.stores.offline.tables.parquet_files.CHUNK_ROWS", 4)
    monkeypatch.setattr(materialize_module, "_WAITING", rows)
    monkeypatch.setattr(materialize_module, "_MANY", 0)


@pytest.mark.parametrize("seeded", range(3))
def test_folding_while_reading_changes_no_bit_of_a_state(folder, monkeypatch, seeded):
    spend = tiled_spend(payments(table=sl.Parquet("pays"), row_id="pay_id"))
    rows = random_rows(seeded, 90, end=NOON + MINUTE)
    late = [pay(f"p{n}", NOON - 3 * HOUR, 7.5, card=f"c{n % 3 + 1}") for n in range(0, 60, 7)]
    write_part(folder / "pays/a.parquet", rows[:60])
    write_part(folder / "pays/b.parquet", rows[60:])
    states = []
    for waiting in (10**9, 20, 1):
        fold_after(monkeypatch, waiting)
        with open_store(folder, spend) as fs:
            if waiting == 10**9:
                fs.push("pays", late, backdate=True)
            fs.backfill()
            check_parity(fs, spend, ALL)
            (table,) = fs.runtime.tables().wanted()
            states.append(dict(fs.runtime.online.scan(table)))
    assert states[0] == states[1] == states[2]


def test_rows_of_an_entity_are_folded_and_not_held(folder, monkeypatch):
    spend = tiled_spend(payments(table=sl.Parquet("pays")))
    write_part(folder / "pays/a.parquet", random_rows(1, 400, end=NOON - HOUR))
    fold_after(monkeypatch, 20)
    held = []
    reduce = materialize_module.Materialization._reduce

    def noted(self, gathered):
        reduce(self, gathered)
        held.append(len(gathered.parts[0]))

    monkeypatch.setattr(materialize_module.Materialization, "_reduce", noted)
    with open_store(folder, spend) as fs:
        fs.materialize()
        check_parity(fs, spend, ALL)
    assert len(held) > 10
    assert max(held) < 120


@pytest.mark.parametrize("moment", ["reading", "writing"])
def test_a_row_that_is_corrected_after_it_was_folded_counts_as_corrected(
    folder, monkeypatch, moment
):
    fold_after(monkeypatch, 1)
    monkeypatch.setattr(materialize_module, "_BATCH", 1)
    spend = tiled_spend(payments(table=sl.Parquet("pays"), row_id="pay_id"))
    write_part(folder / "pays/a.parquet", random_rows(1, 40))
    with open_store(folder, spend) as fs:
        old = [pay(f"x{n}", NOON - 9 * HOUR, 3.0, card=f"c{n % 3 + 1}") for n in range(9)]
        fs.push("pays", old, backdate=True)
        pushed = []

        def progress(text, share):
            if text.startswith(moment):
                number = len(pushed)
                pushed.append(text)
                if number < 9:
                    fs.push("pays", [pay(f"x{number}", NOON - 9 * HOUR, 100.0, card="c2")])

        fs.materialize(progress=progress)
        assert pushed
        check_parity(fs, spend, ALL)
