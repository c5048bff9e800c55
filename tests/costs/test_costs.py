"""Bytes add up to what is stored, what was used once is used, and what there is twice is told."""

from pathlib import Path

import pytest

import skewless as sl
from skewless.costs.usage import DAY, READS
from skewless.errors import ConfigError
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.cli.running import data_of, ran, run_in
from tests.serving.calling import call
from tests.shop import CARD, MINUTE, NOON, open_store, pay, payments


def views() -> tuple[sl.Source, sl.FeatureView, sl.FeatureView]:
    pays = payments(row_id="pay_id")
    spend = sl.FeatureView(
        "Spend", entity=CARD, source=pays, owner="risk",
        features={"total": pays.amount.sum("1d"), "twice": pays.amount.sum("1d") * 2, "n": pays.count("7d")},
    )  # fmt: skip
    other = sl.FeatureView(
        "Other", entity=CARD, source=pays,
        features={"spent": pays.amount.sum("1d"), "sum": pays.amount.sum("2d"), "city": pays.city.latest()},
    )  # fmt: skip
    return pays, spend, other


def store(folder: Path, clock: SettableClock | None = None, **settings: object) -> sl.FeatureStore:
    _, spend, other = views()
    service = sl.FeatureService("fraud", [spend.total])
    fs = open_store(folder, spend, other, service, clock=clock, build=True, **settings)
    fs.push(
        "pays",
        [pay(f"p{n}", NOON - n * MINUTE, float(n), card=f"c{n % 30}") for n in range(300)],
    )
    return fs


def test_the_bytes_of_all_features_are_those_of_the_store(tmp_path: Path) -> None:
    with store(tmp_path) as fs:
        report = fs.cost()
        tables = {by.layout.table for by in fs.runtime.tables().serving().values()}
        stored = sum(
            len(key) + len(state)
            for table in tables
            for key, state in fs.runtime.online.scan(table)
        )
        assert report.bytes == stored > 0
        assert sum(each.bytes for each in report.features) == pytest.approx(stored)
        assert all(each.bytes > 0 for each in report.features)
        assert {each.rows for each in report.features} == {300}
        assert report.features[0].price is None


def test_prices_make_a_bill(tmp_path: Path) -> None:
    prices = {"currency": "EUR", "online_gb": 1e6, "million_rows": 1000.0}
    with store(tmp_path, prices=prices) as fs:
        report = fs.cost()
        each = report.features[0]
        assert each.price == pytest.approx(each.bytes / 1e9 * 1e6 + 300 / 1e6 * 1000)
        assert "EUR" in str(report)
    with (
        open_store(tmp_path / "wrong", prices={"online_gb": "much"}) as fs,
        pytest.raises(ConfigError, match="no price"),
    ):
        fs.cost()


def test_what_was_read_once_in_the_window_is_not_unused(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock) as fs:
        assert fs.cost().unused == ()  # younger than that
        clock.time = NOON + 30 * DAY
        app = App(fs, Settings())
        app.start()
        body = {"features": ["Other:spent"], "entities": [{"card_id": "c1"}, {"card_id": "c2"}]}
        assert call(app, "POST", "/v1/features", body).status == 200
        app.upkeep.note_reads()
        (record,) = fs.runtime.ledger.records(kinds=[READS])
        assert record.data["features"] == {"Other@v1:spent": 2}
        clock.time = NOON + 89 * DAY
        spine = [{"card_id": "c1", "t": "2026-01-02T12:00:00Z"}]
        fs.get_historical_features(spine, ["Other:city"], timestamp="t")
        unused = {each.of for each in fs.cost().unused}
        assert unused == {"Spend@v1:twice", "Spend@v1:n", "Other@v1:sum"}
        clock.time = NOON + 91 * DAY
        assert "Other@v1:spent" in {each.of for each in fs.cost().unused}
        spent = {each.of: each.reads for each in fs.cost(days=91).features}
        assert spent["Other@v1:spent"] == pytest.approx(2 / 91)


def test_a_plan_names_the_feature_to_reuse(tmp_path: Path) -> None:
    pays, spend, other = views()
    clock = SettableClock(NOON)
    with open_store(tmp_path, spend, clock=clock) as fs:
        clock.time += MINUTE
        plan = fs.plan(other)
        assert [note for note in plan.notes if "reuse" in note] == [
            "Other:spent is computed as Spend:total is: reuse that one"
        ]
        fs.apply(plan)
        assert not [note for note in fs.plan(other).notes if "reuse" in note]
        assert fs.cost().duplicates == (("Spend@v1:total", "Other@v1:spent"),)
        elsewhere = sl.FeatureView(
            "Third",
            entity=CARD,
            source=pays,
            where=pays.n > 1,
            features={"t": pays.amount.sum("1d")},
        )
        assert not [note for note in fs.plan(elsewhere).notes if "reuse" in note]


def test_suspiciously_equal_values_are_found_on_request(tmp_path: Path) -> None:
    with store(tmp_path) as fs:
        report = fs.cost(equal=True)
        assert report.equal == (("Other@v1:spent", "Other@v1:sum"),)  # all rows are of one day
        assert "Other@v1:sum has the values of Other@v1:spent" in str(report)


def test_how_many_pins_reuse_a_feature(tmp_path: Path) -> None:
    with store(tmp_path) as fs:
        assert fs.cost().reuse == 0
        _, spend, _ = views()
        fs.apply(fs.plan(sl.FeatureService("second", [spend.total, spend.n])))
        assert fs.cost().reuse == pytest.approx(1 / 3)


def test_the_command_shows_costs(tmp_path: Path) -> None:
    ran(run_in(tmp_path, "init", "shop"))
    shop = tmp_path / "shop"
    ran(run_in(shop, "apply", "--yes"))
    ran(run_in(shop, "push", "payments", "data/payments.csv", "--backdate"))
    data = data_of(run_in(shop, "cost", "--json"))
    assert sum(each["bytes"] for each in data["features"]) == pytest.approx(data["bytes"])
    assert "bytes online" in ran(run_in(shop, "cost", "--equal")).output
