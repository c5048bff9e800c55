"""The fraud example runs from top to bottom, in a process of its own, and says what it found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.running import ran, run_in
from tests.examples.running import EXAMPLES, printed


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return printed("fraud", tmp_path_factory.mktemp("elsewhere"), pictures=1)


def test_it_says_that_its_data_is_synthetic(output: str) -> None:
    assert "SYNTHETIC" in output.splitlines()[0]


def test_nothing_leaks_and_what_was_not_known_is_counted(output: str) -> None:
    assert "No leak found in 23 columns." in output
    late = re.search(r"([\d,]+) values would have been known only after the label time", output)
    assert late is not None
    assert int(late[1].replace(",", "")) > 1000


def test_features_as_known_keep_what_they_promise(output: str) -> None:
    scores = {
        kind: [float(number) for number in found.split()[1:4]]
        for kind, found in re.findall(r"^  (naive-latest|event_time|known) +(.+)$", output, re.M)
        for found in [found.replace("%", "")]
    }
    promised, served, gap = scores["known"]
    assert promised == served > 0.9
    assert gap == 0
    assert scores["naive-latest"][1] < served - 0.2


def test_the_day_is_served_as_it_is_trained(output: str) -> None:
    assert re.search(r"\d{4} values of \d+ vectors; 0 differ", output)
    assert "the same to the bit" in output


def test_the_thief_is_caught(output: str) -> None:
    found = re.search(r"(\d+) of (\d+) payments of the thief are refused, and (\d+)", output)
    assert found is not None
    caught, thief, owners = map(int, found.groups())
    assert caught > thief / 2
    assert owners < 25


def test_its_own_example_holds(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text((EXAMPLES / "fraud" / "features.py").read_text())
    assert "1 examples: 1 ok" in ran(run_in(tmp_path, "test")).stdout
