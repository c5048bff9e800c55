"""The example of spatial features runs from top to bottom, in a process of its own."""

from __future__ import annotations

import pytest

from tests.examples.running import compared, printed, promises


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return printed("spatial_wafers", tmp_path_factory.mktemp("elsewhere"), pictures=1)


def test_it_says_that_its_data_is_synthetic(output: str) -> None:
    assert "SYNTHETIC" in output.splitlines()[0]
    assert "No leak found in 7 columns." in output


def test_maps_made_anew_promise_what_serving_does_not_keep(output: str) -> None:
    auc = promises(output)
    assert auc["known"][0] == auc["known"][1] > 0.85
    for kind in ("naive-latest", "event_time"):
        assert auc[kind][0] > auc[kind][1] + 0.2


def test_there_is_no_map_before_the_last_die(output: str) -> None:
    assert "0 had a map before the last die" in output


def test_maps_are_served_as_they_are_trained(output: str) -> None:
    assert compared(output) == 40 * 7
