"""The wafer example runs from top to bottom, in a process of its own, and says what it found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "wafer_test"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    empty = tmp_path_factory.mktemp("elsewhere")
    before = sorted(path for path in EXAMPLE.rglob("*") if "__pycache__" not in path.parts)
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "run.py")],
        cwd=empty,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(empty.iterdir()) == []
    after = sorted(path for path in EXAMPLE.rglob("*") if "__pycache__" not in path.parts)
    assert before == after
    return done.stdout


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


def test_the_rolling_mean_is_the_exact_mean_of_the_last_100_rows(output: str) -> None:
    found = re.search(r"vdd_mean (\S+); the mean of the last 100 rows is (\S+)", output)
    assert found is not None
    assert found[1] == found[2]


def test_freshness_is_told_in_seconds(output: str) -> None:
    assert "the newest test is 42 seconds old" in output
