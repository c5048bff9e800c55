"""The example of four fabs runs from top to bottom, in a process of its own."""

from __future__ import annotations

import re

import pytest

from tests.examples.running import compared, printed, promises


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return printed("multi_fab", tmp_path_factory.mktemp("elsewhere"), pictures=1)


def test_it_says_that_its_data_is_synthetic(output: str) -> None:
    assert "SYNTHETIC" in output.splitlines()[0]


def test_nothing_leaks(output: str) -> None:
    assert "No leak found in 21 columns." in output
    assert re.search(r"(\d+) values of a sample recomputed .*: \1 are the same to the bit", output)


def test_what_was_known_keeps_what_it_promises_and_the_others_do_not(output: str) -> None:
    found = promises(output)
    assert found["known"][0] == found["known"][1] > found["event_time"][1]
    assert found["event_time"][0] - found["event_time"][1] > 0.01
    assert found["known"][1] > 0.8


def test_lots_are_served_as_they_are_trained(output: str) -> None:
    assert compared(output) == 21 * 288
    found = re.search(r"AUC of these days against what final test said later: (\S+)", output)
    assert found is not None
    assert float(found[1]) > 0.85
