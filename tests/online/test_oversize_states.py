"""An entity whose state is larger than its store takes is set aside; the others go on."""

import dataclasses

import pytest

from skewless.online.oversize import counts_of_set_aside, set_aside
from tests.ingest.test_push import TwoStores
from tests.shop import HOUR, NOON, cards, check_parity, open_store, pay, payments, spend_of

FEW = cards("c2", "nobody")


class Small(TwoStores):
    """A store of small values."""

    capabilities = dataclasses.replace(TwoStores.capabilities, max_value_bytes=4_000)

    def write(self, table, items):
        rows = list(items)
        assert all(len(value) <= 4_000 for _, value in rows)
        super().write(table, rows)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


def view_of(source):
    return spend_of(source, count_1d=source.count("1d"), cities=source.city.n_unique("1d"))


def aside(fs):
    (table,) = fs.runtime.tables().wanted()
    return set(set_aside(fs.runtime.journal, table))


def status(fs, card):
    return fs.get_online_features("Spend:count_1d", cards(card)).to_statuses()["count_1d"][0]


@pytest.mark.parametrize("ids", [True, False])
def test_large_state_is_building_and_everything_else_goes_on(folder, ids):
    view = view_of(payments(row_id="pay_id") if ids else payments())
    with open_store(folder, view, using=Small()) as fs:
        for n in range(12):
            rows = [pay(f"p{n}-{m}", NOON - HOUR, city="Köln" * 5) for m in range(10)]
            fs.push("pays", [*rows, pay(f"q{n}", NOON - HOUR, card="c2")])
            check_parity(fs, view, FEW)
        assert aside(fs) == {b"c1"}
        assert (status(fs, "c1"), status(fs, "c2")) == ("building", "present")
        assert list(
            counts_of_set_aside(fs.runtime.home, fs.runtime.tables().wanted()).values()
        ) == [1]
        if ids:
            fs.delete("pays", [f"p{n}-{m}" for n in range(12) for m in range(8)])
            assert status(fs, "c1") == "building"
        fs.push("pays", [pay("z", NOON - HOUR, card="c2")])
        check_parity(fs, view, FEW)
        # Rows leave the windows: a state that fits again is built with the next materialize.
        fs.runtime.clock.time = NOON + 60 * 24 * HOUR
        fs.backfill()
        assert aside(fs) == set()
        check_parity(fs, view, [*FEW, *cards("c1")])


def test_large_state_is_set_aside_by_materialize_too(folder):
    view = view_of(payments())
    store = Small()
    with open_store(folder, view, using=store) as fs:
        rows = [pay(f"p{m}", NOON - HOUR, city="Köln" * 5) for m in range(100)]
        fs.push("pays", [*rows, pay("q", NOON - HOUR, card="c2")])
        fs.backfill()
        assert aside(fs) == {b"c1"}
        assert (status(fs, "c1"), status(fs, "c2")) == ("building", "present")
        check_parity(fs, view, FEW)
