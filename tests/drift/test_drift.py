"""What drifted is told, what has not is not, and who says what it is compared with."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import skewless as sl
from skewless.drift.drift import drifting
from skewless.drift.report import DriftReport
from skewless.errors import InputError
from skewless.testing.clock import SettableClock
from tests.cli.running import data_of, ran, run_in
from tests.drift.shop import push_amounts, serve, service, store
from tests.shop import DAY, HOUR, NOON

CARDS = 400


def amounts(seed: int, by: float = 0.0, cards: int = CARDS) -> list[float]:
    return np.random.default_rng(seed).lognormal(by, 1, cards).tolist()


def alerts(report: DriftReport) -> set[tuple[str, str, str]]:
    return {(each.of, each.what, each.level) for each in report.alerts}


def days(fs: sl.FeatureStore, clock: SettableClock, shifts: Iterable[float]) -> list[DriftReport]:
    found = []
    for day, shift in enumerate(shifts):
        clock.time = NOON + day * DAY
        push_amounts(fs, amounts(day, shift))
        found.append(fs.drift("Spend"))
    return found


def test_what_has_not_changed_does_not_drift(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        first, *others = days(fs, clock, [0, 0, 0])
        assert first.skipped
        assert first.ok
        assert all(report.ok for report in others)
        assert all(report.findings for report in others)


def test_a_shift_warns_once_and_pages_in_the_second_window(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        push_amounts(fs, amounts(1))
        service(fs, CARDS)  # the reference: later days do not move it
        clock.time = NOON + DAY
        push_amounts(fs, amounts(2, 1.0))
        assert alerts(fs.drift("fraud")) == {("Spend@v1:total", "shape", "warn")}
        assert alerts(fs.drift("fraud")) == {("Spend@v1:total", "shape", "warn")}  # one window
        clock.time = NOON + 2 * DAY
        report = fs.drift("fraud")
        assert alerts(report) == {("Spend@v1:total", "shape", "page")}
        (finding,) = report.alerts
        assert (finding.n, finding.m, finding.test) == (CARDS, CARDS, "KS")
        assert "p adjusted" in report.alert_text(finding)
        (told,) = drifting(fs.runtime.ledger)
        assert (told["view"], told["level"], told["day"]) == ("Spend@v1", "page", "2026-01-04")
        assert "c1" not in told["text"].split()


def test_the_models_that_are_hit_are_named(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        push_amounts(fs, amounts(1))
        fs.log_model("fraud@3", service(fs, CARDS))
        clock.time = NOON + DAY
        push_amounts(fs, amounts(2, 2.0))
        report = fs.drift("fraud")
        assert report.models == {"Spend@v1:total": ("fraud@3",)}
        assert report.alert_text(report.alerts[0]).endswith("models: fraud@3")
        assert report.alerts[0].reference.startswith("training:")


def test_categories_and_missing_values_drift_by_tests_of_their_own(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        push_amounts(fs, amounts(1))
        fs.profile()
        clock.time = NOON + DAY
        push_amounts(fs, [None] * 40 + amounts(2)[40:], city="Ulm")
        report = fs.drift("Spend")
        assert alerts(report) == {
            ("Spend@v1:city", "shape", "warn"),
            ("Spend@v1:total", "null", "warn"),
        }
        (city,) = [each for each in report.alerts if each.of == "Spend@v1:city"]
        assert (city.test, city.new) == ("chi-square", (("Ulm", 1.0),))
        (null,) = [each for each in report.alerts if each.what == "null"]
        assert (null.test, round(null.effect, 3)) == ("two proportions", 0.1)


def test_of_too_few_entities_nothing_is_told(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        push_amounts(fs, amounts(1, cards=99))
        fs.profile()
        clock.time = NOON + DAY
        push_amounts(fs, amounts(2, 5.0, cards=99))
        report = fs.drift("Spend")
        assert report.ok
        assert len(report.too_few) == len(report.findings) > 0
        assert "too few" in str(report)


def test_a_reference_is_accepted_by_somebody_and_holds(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        push_amounts(fs, amounts(1))
        service(fs, CARDS)
        clock.time = NOON + DAY
        push_amounts(fs, amounts(2, 1.0))
        fs.profile()
        clock.time = NOON + 2 * DAY
        assert not fs.drift("fraud").ok
        with pytest.raises(InputError, match="by somebody"):
            fs.accept_reference("fraud", "day:2026-01-03", who="")
        fs.accept_reference("fraud", "day:2026-01-03", who="ada", why="new prices")
        report = fs.drift("fraud")
        assert report.ok
        assert {each.reference for each in report.findings} == {"online:2026-01-03"}
        assert not fs.drift("fraud", reference="training").ok


@pytest.mark.parametrize("reference", ["yesterday", "day:soon", "weekday:2", ""])
def test_what_is_no_reference_is_refused(tmp_path: Path, reference: str) -> None:
    with store(tmp_path) as fs, pytest.raises(InputError, match="no "):
        fs.drift("Spend", reference=reference)


def test_the_same_weekday_and_the_days_before_are_references(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        for day, shift in ((0, 0.0), (5, 2.0), (6, 2.0), (7, 0.0)):
            clock.time = NOON + day * DAY
            push_amounts(fs, amounts(day, shift))
            fs.profile()
        assert fs.drift("Spend", reference="weekday").ok
        report = fs.drift("Spend", reference="trailing")
        assert not report.ok
        assert "3 days to 2026-01-08" in report.alerts[0].reference
        assert {each.n for each in report.findings} == {CARDS}  # no more entities than there are


def test_training_and_serving_are_compared_and_whose_values_they_are_is_said(
    tmp_path: Path,
) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        push_amounts(fs, amounts(1))
        service(fs, CARDS)
        clock.time = NOON + 6 * HOUR
        serve(fs, [f"c{n}" for n in range(201, 601)])  # half of them were never trained on
        report = fs.drift("fraud")
        assert report.point == "served"
        (mix,) = report.mixes
        assert mix.known is not None
        assert abs(mix.known - 0.5) < 0.1
        assert mix.hours == 1.0
        missing = [each for each in report.alerts if each.what == "missing"]
        assert {each.of for each in missing} >= {"Spend@v1:total"}


def test_a_report_is_data_text_and_a_drawing(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        report = days(fs, clock, [0, 2])[1]
        assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
        assert "D 0." in str(report)
        assert "PSI" in str(report)
        drawn = report._repr_html_()
        assert "<table" in drawn
        assert "<script" not in drawn


def test_the_commands_profile_compare_and_accept(tmp_path: Path) -> None:
    ran(run_in(tmp_path, "init", "shop"))
    shop = tmp_path / "shop"
    ran(run_in(shop, "apply", "--yes"))
    ran(run_in(shop, "push", "payments", "data/payments.csv", "--backdate"))
    assert data_of(run_in(shop, "profile", "--json"))
    assert "skewless" not in run_in(shop, "profile").output.splitlines()[0]
    view = data_of(run_in(shop, "profile", "--json"))[0]["feature"].partition("@")[0]
    data = data_of(run_in(shop, "drift", view, "--accept", "trailing", "--who", "ada", "--json"))
    assert data["ok"]
    assert run_in(shop, "drift", "--accept", "trailing").exit_code == 2


def test_where_too_little_was_served_all_entities_are_compared(tmp_path: Path) -> None:
    with store(tmp_path) as fs:
        push_amounts(fs, amounts(1))
        service(fs, CARDS)
        serve(fs, ["c1", "c2"])
        report = fs.drift("fraud")
        assert report.point == "online"
        assert {each.m for each in report.findings} == {CARDS}
        assert fs.drift("fraud", point="served").too_few
