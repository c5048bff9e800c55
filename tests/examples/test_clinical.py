"""The clinical example runs from top to bottom, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import ran, run_in
from tests.examples.running import EXAMPLES, compared, printed, promises


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return printed("clinical", tmp_path_factory.mktemp("elsewhere"), pictures=1)


def test_it_says_that_its_data_is_synthetic(output: str) -> None:
    assert "SYNTHETIC" in output.splitlines()[0]
    assert "No leak found in 34 columns." in output


def test_results_that_were_not_known_promise_what_is_not_kept(output: str) -> None:
    auc = promises(output)
    assert auc["known"][0] == auc["known"][1] > 0.75
    assert auc["naive-latest"][0] > auc["naive-latest"][1] + 0.2
    assert auc["event_time"][0] > auc["event_time"][1]


def test_results_are_read_when_they_are_known_as_they_are_trained(output: str) -> None:
    assert "20 of 20 results were read the moment they were known" in output
    assert compared(output) == 40 * 34


def test_its_own_example_holds(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text((EXAMPLES / "clinical" / "features.py").read_text())
    assert "1 examples: 1 ok" in ran(run_in(tmp_path, "test")).stdout
