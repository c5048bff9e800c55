"""Capacity: figures that are measured, and what follows from them."""

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.capacity import measure as measuring
from skewless.capacity.measure import Figures, SourceFigures, measure
from skewless.capacity.model import Capacity, capacity
from skewless.capacity.rates import TEMPLATE, Load
from skewless.definitions.repo import Definitions
from skewless.errors import ConfigError, InputError
from tests.cli.running import data_of, ran, run_in

FIGURES = Figures(
    "a machine",
    "2026-01-01T00:00:00+00:00",
    (SourceFigures("payments", "card", 10, 10, 500.0, 600, 40.0, 2.0, 20.0, 1e-5, 2e-5, 1e-6),),
    {"Spend": 1e-4},
)
PRICES = {
    "source": "a list",
    "date": "2026-01-01",
    "currency": "USD",
    "storage_gb_month": 0.02,
    "machines": {"small": {"cores": 2, "memory_gb": 8, "an_hour": 1.0}},
}


def load(**changes: Any) -> Load:
    data = {
        "history_days": 100,
        "copies": 2,
        "busy": 0.5,
        "rebuild_hours": 1,
        "sources": {"payments": {"events_per_second": 1_000, "entities": {"card": 1_000_000}}},
        "reads": {"Spend": 10_000},
        "prices": PRICES,
    }
    return Load.of(data | changes, "a test")


def value(found: Capacity, what: str) -> str:
    return next(line.value for line in found.lines if line.what == what)


def test_needs_follow_from_figures() -> None:
    found = capacity(load(), FIGURES)
    assert value(found, "cores that take rows in") == "0.02"  # 1,000 x 10 us, half busy
    assert value(found, "cores that read") == "2"
    assert value(found, "states") == "500.0 MB"
    assert value(found, "online store") == "2.0 GB"
    assert value(found, "log") == "172.8 GB"  # 100 days x 86,400 s x 1,000 x 20 B
    assert value(found, "machines") == "2 small"
    assert found.cost == pytest.approx(2 * 730 + 172.8 * 0.02)


def test_twice_the_entities_are_twice_the_memory_and_more_machines() -> None:
    rates = {"payments": {"events_per_second": 1_000, "entities": {"card": 100_000_000}}}
    found = capacity(load(sources=rates), FIGURES)
    assert value(found, "online store") == "200.0 GB"
    assert value(found, "machines") == "50 small"  # 4 GB of each may be in use
    assert found.limits[0].what == "the memory of one machine"
    assert found.limits[0].times == pytest.approx(25)


def test_what_gives_way_first_stands_first() -> None:
    rates = {
        "payments": {
            "events_per_second": 1_000,
            "entities": {"card": 1_000_000},
            "hottest_share": 0.5,
        }
    }
    first, *others = capacity(load(sources=rates), FIGURES).limits
    assert first.what == "the state of the hottest card"  # 5 million rows of 40 B
    assert first.times == pytest.approx(5e6 * 40 / 1e5, rel=0.01)
    assert [limit.times for limit in others] == sorted((x.times for x in others), reverse=True)


def test_states_beyond_those_measured_grow_by_the_row() -> None:
    (one,) = FIGURES.sources
    more = dataclasses.replace(FIGURES, sources=(dataclasses.replace(one, rows_wanted=110),))
    found = capacity(load(), more)
    assert value(found, "states") == "4.5 GB"  # a million of 500 + 100 x 40 B
    assert any("beyond, states grow by 40.0 B a row" in note for note in found.notes)


def test_reads_that_were_not_measured_are_said() -> None:
    found = capacity(load(reads={"Spend": 1, "Other": 5}), FIGURES)
    assert any("Not measured, so not counted: reads of Other" in note for note in found.notes)
    assert any("a list, 2026-01-01" in note for note in found.notes)


@pytest.mark.parametrize(
    "change",
    [
        {"speed": 1},
        {"sources": {}},
        {"copies": -1},
        {"busy": 0},
        {"reads": {"Spend": -5}},
        {"sources": {"payments": {"rows": 5}}},
        {"prices": PRICES | {"source": ""}},
    ],
)
def test_rates_that_are_none_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        load(**change)


def test_the_template_is_a_file_of_rates_but_for_prices() -> None:
    data = tomllib.loads(TEMPLATE)
    del data["prices"]
    assert Load.of(data, "the template").sources["payments"].entities == {"card": 1_000_000}


def test_longer_windows_are_measured_as_larger_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MOST_ROWS", 2_000)
    tests = sl.Source(
        "payments",
        event_time="at",
        schema={"card": str, "amount": float, "tags": list[str]},
        table=sl.Parquet("nowhere/"),
    )

    def measured(window: str) -> Figures:
        view = sl.FeatureView(
            "Spend",
            entity=sl.Entity("card", card=str),
            source=tests,
            features={"total": tests.amount.sum(window)},
        )
        rates = {"payments": {"events_per_second": 1.0, "entities": {"card": 1_000}}}
        return measure(Definitions.of(view), load(sources=rates), "here")

    short, long = measured("1h"), measured("1d")
    assert (short.sources[0].rows_wanted, long.sources[0].rows_wanted) == (4, 86)
    assert long.sources[0].state_bytes > 5 * short.sources[0].state_bytes
    assert 0 < long.sources[0].grows < 100
    assert 1 <= long.sources[0].store_bytes < 20
    assert min(long.sources[0].log_bytes, long.read_seconds["Spend"]) > 0
    assert Figures.from_dict(json.loads(json.dumps(long.to_dict()))) == long


def test_rates_of_other_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no view is over a source"):
        measure(Definitions.of(), load(), "here")


def test_the_command_reads_figures_and_rates(tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(json.dumps(FIGURES.to_dict()))
    (tmp_path / "skewless.toml").touch()
    template = ran(run_in(tmp_path, "capacity", "--template")).stdout
    (tmp_path / "rates.toml").write_text(template.split("[prices]")[0])
    words = ["capacity", "rates.toml", "--measured", "figures.json"]
    found = data_of(run_in(tmp_path, *words, "--json"))
    assert found["cost"] is None
    assert "gives way first" in ran(run_in(tmp_path, *words)).stdout
    (tmp_path / "figures.json").write_text("{}")
    assert "not a file of figures" in run_in(tmp_path, *words).stderr
    assert "cannot be read" in run_in(tmp_path, "capacity", str(tmp_path)).stderr
    assert "no such file of rates" in run_in(tmp_path, "capacity", "none.toml").stderr
