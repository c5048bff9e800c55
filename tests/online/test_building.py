"""What reads say while the states behind them are not built from all of history."""

import pytest

import skewless as sl
from tests.shop import (
    ALL,
    CARD,
    HOUR,
    MINUTE,
    NOON,
    cards,
    check_parity,
    open_store,
    pay,
    payments,
    spend_of,
    write_part,
)


@pytest.fixture
def fs(tmp_path):
    """A view over a table that was not read yet, one over a log, and what is computed of both."""
    write_part(tmp_path / "pays" / "a.parquet", [pay("p1", NOON - HOUR, 5.0)])
    stored = payments(table=sl.Parquet(str(tmp_path / "pays")))
    pushed = sl.Source("taps", schema={"card_id": str, "n": int}, event_time="at")
    spend = spend_of(stored, total=stored.amount.sum("1d"))
    taps = sl.FeatureView("Taps", entity=CARD, source=pushed, features={"n": pushed.n.sum("1d")})

    @sl.on_demand
    class Doubled:
        of_total = spend.total * 2
        of_n = taps.n * 2

    @sl.on_demand
    class OfTaps:
        n_again = taps.n * 3

    @sl.on_demand
    class OfOfTaps:
        n_more = OfTaps.n_again * 2

    fs = open_store(tmp_path / "repo")
    definitions = [CARD, spend, taps, Doubled, OfTaps, OfOfTaps]
    fs.apply(fs.plan(*definitions), build=False)
    fs.push("taps", [{"card_id": "c1", "n": 1, "at": "2026-01-02T11:00:00Z"}], backdate=True)
    return fs


def read(fs, *features):
    found = fs.get_online_features(list(features), cards("c1"))
    return list(zip(found.values[0], map(str, found.statuses[0]), strict=True))


def test_a_view_whose_history_was_not_read_is_building(fs):
    assert read(fs, "Spend:total", "Taps:n") == [(None, "building"), (1, "present")]


def test_what_is_computed_from_building_values_is_building_and_all_else_is_computed(fs):
    wanted = ["Doubled:of_total", "Doubled:of_n", "OfTaps:n_again", "OfOfTaps:n_more"]
    building = (None, "building")
    assert read(fs, *wanted) == [building, building, (3, "present"), (6, "present")]


def test_a_building_read_names_wrong_keys_all_the_same(fs):
    with pytest.raises(sl.errors.MissingColumn):
        fs.get_online_features(["Spend:total"], [{"card": "c1"}])


def test_after_materialize_nothing_is_building(fs):
    fs.materialize()
    assert read(fs, "Spend:total", "Doubled:of_total") == [(5.0, "present"), (10.0, "present")]


def test_late_rows_count_in_states_from_the_moment_at_which_history_counts_them(tmp_path):
    """A backfill that is stopped right after it let them in leaves both alike."""
    source = payments(lateness="10m", row_id="pay_id")
    spend = spend_of(source)
    fs = open_store(tmp_path / "repo", spend)
    fs.push("pays", [pay("a", NOON - 12 * MINUTE, 7.0, card="c2"), pay("b", NOON - MINUTE)])
    fs.push("pays", [pay("a", NOON - 13 * MINUTE, 9.0)])  # late, of another card than before
    fs.runtime.clock.time += MINUTE

    class Stop(Exception):
        pass

    def stop(text, share):
        raise Stop

    with pytest.raises(Stop):
        fs.backfill(progress=stop)
    check_parity(fs, spend, ALL)


def test_what_waits_is_what_reads_say_is_building(fs):
    """A version that the complete table of before answers for is not among it."""
    from skewless.materialize.build import pending

    fs.materialize()
    stored = fs.runtime.source("pays")
    changed = spend_of(stored, total=stored.amount.max(sl.lifetime()))
    fs.apply(fs.plan(changed), build=False, allow_breaking=True)
    assert [waiting.views for waiting in pending(fs.runtime)] == [("Spend@v2",)]
    assert read(fs, "Spend@v1:total") == [(5.0, "present")]
    assert read(fs, "Spend@v2:total") == [(None, "building")]
