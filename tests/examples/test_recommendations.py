"""The recommendations example runs from top to bottom, in a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.running import ran, run_in
from tests.examples.running import EXAMPLES, compared, printed, promises


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return printed("recommendations", tmp_path_factory.mktemp("elsewhere"), pictures=1)


def test_it_says_that_its_data_is_synthetic(output: str) -> None:
    assert "SYNTHETIC" in output.splitlines()[0]
    assert "No leak found in 11 columns." in output


def test_the_click_itself_promises_what_is_not_kept(output: str) -> None:
    auc = promises(output)
    assert auc["known"][0] == auc["known"][1] > 0.7
    assert auc["naive-latest"][0] > auc["naive-latest"][1] + 0.05
    assert auc["event_time"][0] > auc["event_time"][1]


def test_a_click_moves_the_taste_at_once(output: str) -> None:
    found = re.search(
        r"against the taste of the last five clicks: (\S+) before, (\S+) after", output
    )
    assert found is not None
    assert float(found[2]) > float(found[1])


def test_candidates_are_served_as_they_are_trained(output: str) -> None:
    assert compared(output) == 200 * 11
    assert "Latency of 100 vectors at once" in output


def test_its_own_example_holds(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(
        (EXAMPLES / "recommendations" / "features.py").read_text()
    )
    assert "1 examples: 1 ok" in ran(run_in(tmp_path, "test")).stdout
