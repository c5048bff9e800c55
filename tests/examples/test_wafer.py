"""The wafer example runs from top to bottom, in a process of its own, and says what it found."""

from __future__ import annotations

import re

import pytest

from tests.examples.running import printed


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return printed("wafer_test", tmp_path_factory.mktemp("elsewhere"))


def test_it_says_that_its_data_is_synthetic(output: str) -> None:
    assert "SYNTHETIC" in output.splitlines()[0]


def test_the_training_set_of_100_wafers_does_not_leak(output: str) -> None:
    assert "TrainingSet(100 rows x 12 features as known)" in output
    assert "No leak found in 12 columns." in output


def test_the_naive_join_leaks(output: str) -> None:
    assert re.search(r"idd +later than the label time +100 of 100", output)


def test_the_drop_is_seen_minutes_after_it_began(output: str) -> None:
    found = re.search(r"The alert came ([\d.]+) minutes after", output)
    assert found is not None
    assert 0 < float(found[1]) < 10


def test_240_results_came_by_the_stream(output: str) -> None:
    assert "240 rows came by the stream" in output


@pytest.mark.parametrize("name", ["vdd_mean", "vdd_min", "vdd_max", "vdd_std", "yield_trend"])
def test_the_rolling_statistics_are_those_of_the_last_100_rows(output: str, name: str) -> None:
    found = re.search(rf"{name} +(\S+); of the last 100 rows by hand (\S+)", output)
    assert found is not None
    exact = name in ("vdd_mean", "vdd_min", "vdd_max")
    assert float(found[1]) == pytest.approx(float(found[2]), rel=0 if exact else 1e-11, abs=0)


def test_freshness_is_told_in_seconds(output: str) -> None:
    assert "the newest test is 42 seconds old" in output
