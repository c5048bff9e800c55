"""The first page: each thing that needs a person is named, the most urgent first."""

from datetime import date
from typing import Any

import pytest

import skewless as sl
from skewless.errors import UnknownName
from skewless.ui.attention import needs
from skewless.ui.site import Site
from tests.ui.repo import HOUR, NOON, definitions, filled, pay


@pytest.fixture
def repo(tmp_path: Any) -> Any:
    fs, clock = filled(tmp_path)
    with fs:
        yield fs, clock


def told(fs: sl.FeatureStore) -> list[tuple[str, str]]:
    return [(need.urgency, need.what) for need in needs(Site(fs))]


def test_rows_set_aside_and_a_broken_promise_are_told_in_the_order_of_urgency(repo: Any) -> None:
    fs, _ = repo
    assert told(fs) == [
        ("bad", "Spend@v1"), ("warn", "pays"), ("warn", "pays"), ("info", "2 views"),
        ("info", "2 views"),
    ]  # fmt: skip
    stale, unmet, aside, *_ = needs(Site(fs))
    assert "amount between 0.0 and 50.0" in unmet.says
    assert "1h" in stale.says
    assert stale.owner == "fraud"
    assert aside.says.startswith("1 row set aside")
    assert "a lot" in aside.says


def test_a_promise_that_is_kept_is_not_told(repo: Any) -> None:
    fs, clock = repo
    fs.push("pays", [pay(50, clock.time, 1.0)])
    assert ("bad", "Spend@v1") not in told(fs)


def test_a_service_of_what_is_deprecated_is_told_until_and_after_its_last_day(repo: Any) -> None:
    fs, _ = repo
    registry = fs.runtime.registry
    registry.deprecate("Spend:big", "too coarse", sunset=date(2026, 3, 1))
    fs.runtime.state(fresh=True)
    assert ("warn", "fraud_model") in told(fs)
    registry.deprecate("Spend:big", "too coarse", sunset=date(2025, 3, 1))
    fs.runtime.state(fresh=True)
    assert ("bad", "fraud_model") in told(fs)


def test_a_job_whose_last_run_failed_is_told_until_one_succeeds(repo: Any) -> None:
    fs, _ = repo
    with pytest.raises(UnknownName):
        fs.materialize("Nope")
    assert ("bad", "materialize") in told(fs)
    fs.materialize("Spend")
    assert ("bad", "materialize") not in told(fs)


def test_nothing_is_told_of_a_repo_in_order(tmp_path: Any) -> None:
    from skewless.testing.clock import SettableClock

    spend, _, asked, model = definitions()
    asked.labels.update(owner="fraud", description="What a request asks.")
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON)) as fs:
        fs.apply([spend, asked, model])
        fs.push("pays", [pay(1, NOON - HOUR // 2, 3.0)])
        assert told(fs) == []
