"""How large states will be is estimated from counts, and states turn out about so."""

import numpy as np
import pytest

import skewless as sl
from skewless.definitions import FeatureView
from skewless.monitoring.state_sizes import stored_sizes
from skewless.online.sizes import estimated_sizes
from skewless.state.layout import StateLayout
from skewless.state.sizes import Spread, bytes_text, estimated, spans_of
from tests.shop import DAY, HOUR, MINUTE, NOON, open_store, pay, payments, write_part
from tests.state.states import KEY, SOURCE


def view(**features):
    return FeatureView("View", entity=KEY, source=SOURCE, features=features)


def size_of(defined, counts):
    layout = StateLayout.of(KEY, SOURCE, [defined])
    assert spans_of(layout) <= set(counts)
    return estimated(layout, [defined], {span: np.array(n) for span, n in counts.items()})


def test_a_spread_is_of_the_entities():
    assert Spread.of(np.arange(1, 1001)) == Spread(501, 990, 1000)
    assert Spread.of(np.array([7])) == Spread(7, 7, 7)


def test_the_longest_suffix_of_rows_is_kept():
    x = SOURCE.x
    counts = {None: [900], HOUR: [3], DAY: [50]}
    assert size_of(view(a=x.sum("1h"), b=x.sum("1d")), counts).rows.largest == 50
    assert size_of(view(a=x.sum("1h"), b=x.sum(last=20)), counts).rows.largest == 20
    assert size_of(view(a=x.sum("1h"), b=x.median(sl.lifetime())), counts).rows.largest == 900


def test_tiles_stand_for_rows():
    x = SOURCE.x
    counts = {None: [10**6], 30 * DAY: [10**5], 31 * DAY: [10**5]}
    exact = size_of(view(a=x.sum("30d")), counts)
    coarse = size_of(view(a=x.sum("30d", resolution="1d")), counts)
    ever = size_of(view(a=x.sum(sl.lifetime())), counts)
    assert exact.size.largest > 1_000_000
    assert exact.rows.largest == 10**5
    assert coarse.size.largest < 3_000
    assert ever.size.largest < 300


def test_a_heavy_exact_window_is_told_what_would_be_light():
    x = SOURCE.x
    counts = {None: [10**6], 30 * DAY: [10**5]}
    (advice,) = size_of(view(a=x.sum("30d"), b=x.mean("30d")), counts).advice
    assert "windows of 30d keep 100,000 rows" in advice
    assert 'resolution="6h"' in advice
    assert size_of(view(a=x.median("30d")), counts).advice == ()  # no tile gives a median
    assert size_of(view(a=x.sum("30d")), {None: [9], 30 * DAY: [9]}).advice == ()


@pytest.mark.parametrize(("number", "text"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB")])
def test_bytes_are_told_in_units(number, text):
    assert bytes_text(number) == text


def test_states_turn_out_about_as_large_as_was_estimated(tmp_path):
    source = payments(table=sl.Parquet("table/*.parquet"))
    rows = [
        pay(
            f"p{n}", NOON - n * MINUTE, n / 3, card=f"c{n % 7 if n % 2 else 0}", city="a city or so"
        )
        for n in range(4_000)
    ]
    write_part(tmp_path / "shop" / "table" / "a.parquet", rows)
    defined = FeatureView(
        "Spend", entity=sl.Entity("card", card_id=str), source=source,
        features={
            "total": source.amount.sum("1d"), "mean": source.amount.mean(last=30),
            "city": source.city.latest(), "ever": source.amount.std(sl.lifetime()),
        },
    )  # fmt: skip
    with open_store(tmp_path / "shop", rewind="0s") as fs:
        plan = fs.plan(defined)
        (guess,) = estimated_sizes(fs.runtime, plan, defined)
        fs.apply(plan, build=False)
        assert stored_sizes(fs.runtime) == []
        fs.materialize()
        (stored,) = stored_sizes(fs.runtime)
        assert (guess.entities, stored.entities) == (7, 7)
        assert (guess.views, stored.views) == (("Spend",), ("Spend@v1",))
        for name in ("median", "p99", "largest"):
            assert getattr(guess.rows, name) == pytest.approx(getattr(stored.rows, name), rel=0.05)
            assert getattr(guess.size, name) == pytest.approx(getattr(stored.size, name), rel=0.2)
        assert estimated_sizes(fs.runtime, fs.plan(defined), defined) == []  # nothing changes


def test_a_source_without_history_has_no_estimate(tmp_path):
    defined = FeatureView(
        "Spend", entity=sl.Entity("card", card_id=str), source=payments(),
        features={"total": payments().amount.sum("1d")},
    )  # fmt: skip
    with open_store(tmp_path / "shop") as fs:
        assert estimated_sizes(fs.runtime, fs.plan(defined), defined) == []
        assert not (tmp_path / "shop" / ".skewless" / "log").exists()
