"""The example of wafer maps runs from top to bottom, in a process of its own."""

from __future__ import annotations

import re

import pytest

from tests.examples.running import printed


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return printed("yield_wafers", tmp_path_factory.mktemp("elsewhere"), pictures=1)


def test_it_says_that_its_data_is_synthetic(output: str) -> None:
    assert "SYNTHETIC" in output.splitlines()[0]


def test_nothing_leaks(output: str) -> None:
    assert "No leak found in 20 columns." in output


@pytest.mark.parametrize("kind", ["naive-latest", "event_time"])
def test_second_results_promise_what_serving_does_not_keep(output: str, kind: str) -> None:
    found = re.search(rf"^  {kind} +\S+% +(\S+) +(\S+)", output, re.MULTILINE)
    assert found is not None
    promised, served = map(float, found.groups())
    assert promised > 0.99
    assert served < 0.7


def test_what_was_known_keeps_what_it_promises(output: str) -> None:
    found = re.search(r"^  known +0.0% +(\S+) +(\S+)", output, re.MULTILINE)
    assert found is not None
    assert found[1] == found[2]
    assert float(found[1]) > 0.8


def test_a_shift_is_served_as_it_is_trained(output: str) -> None:
    assert "960 values of 48 vectors; 0 differ" in output
    found = re.search(r"AUC of the shift against the patterns that were made: (\S+)", output)
    assert found is not None
    assert float(found[1]) > 0.9
