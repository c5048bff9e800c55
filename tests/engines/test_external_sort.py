"""Rows for windows beyond the budget of memory go to disk, and no value depends on it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import from_micros
from skewless.engines.local import external_sort, source_steps
from skewless.engines.reference import HistoryRow
from skewless.errors import StoreError
from tests.engines import cases
from tests.engines.test_local_engine import run_local

SOURCE = sl.Source("rows", schema=cases.SCHEMA, event_time="at", known_time="seen")
VIEW = sl.FeatureView(
    "View",
    entity=cases.KEY,
    source=SOURCE,
    features={
        "total": SOURCE.x.sum("90us"),
        "words": SOURCE.word.n_unique(last=20),
        "newest": SOURCE.word.latest(last=3),
        "by": SOURCE.x.mean("50us", by="word"),
    },
)
KEYS = "abcdefgh"


def history(count, hot=0.0):
    """Rows of several keys in no order; ``hot`` is how many of all belong to the first key."""
    found = []
    for number in range(count):
        event = number * 7919 % 400
        values = {
            "key": "a" if number < hot * count else KEYS[number % 7],
            "x": number / 8, "n": number, "word": f"w{number % 5}", "flag": True,
            "at": from_micros(event), "seen": from_micros(event + number % 3),
        }  # fmt: skip
        found.append(HistoryRow(values, event, event + number % 3, number + 1))
    return found


ROWS = history(300)
SPINE = [{"key": KEYS[n % 8], "t": 15 * n} for n in range(30)]


def values(rows, spine, memory):
    found = run_local(VIEW, rows, spine, "known", memory=memory)
    return {name: column.to_pylist() for name, column in found.items()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that temporary folders are made in."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def spilled(monkeypatch):
    """Notes the number of keys in each run that was read back."""
    runs = []
    read = external_sort.Spilled.read

    def noted(self, first, last):
        runs.append(last - first)
        return read(self, first, last)

    monkeypatch.setattr(external_sort.Spilled, "read", noted)
    return runs


@pytest.mark.parametrize("memory", [0, 300, 3_000, 9_000])
def test_no_value_depends_on_the_budget(spilled, memory):
    assert values(ROWS, SPINE, memory) == values(ROWS, SPINE, 1 << 30)
    assert sum(spilled) == len({row["key"] for row in SPINE})
    assert len(spilled) == 8 if memory == 0 else len(spilled) > 1


def test_rows_within_the_budget_need_no_disk(monkeypatch, tmp_path, spilled):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    values(ROWS, SPINE, 1 << 30)
    assert spilled == []


def test_a_key_with_most_of_the_rows_is_a_run_of_its_own(spilled):
    hot = history(300, hot=0.9)
    assert values(hot, SPINE, 6_000) == values(hot, SPINE, 1 << 30)
    assert 1 in spilled


def test_nothing_stays_on_disk(folder):
    values(ROWS, SPINE, 0)
    assert list(folder.iterdir()) == []


def test_nothing_stays_on_disk_after_an_error(folder, monkeypatch):
    seen = []

    def fail(*_):
        seen.extend(folder.glob("*/*.arrow"))
        raise ArithmeticError("in the middle")

    monkeypatch.setattr(source_steps, "run_windows", fail)
    with pytest.raises(ArithmeticError, match="in the middle"):
        values(ROWS, SPINE, 0)
    assert seen != []
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_told_with_what_to_do(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa, "OSFile", full)
    with pytest.raises(StoreError, match=r"could not be spilled.*No space left.*TMPDIR"):
        values(ROWS, SPINE, 0)
    assert list(folder.iterdir()) == []


def test_a_missing_temporary_folder_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(StoreError, match=r"could not be spilled.*TMPDIR"):
        values(ROWS, SPINE, 0)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=40).filter(lambda sizes: sum(sizes) > 0),
    st.integers(1, 400),
)
def test_runs_cover_all_keys_once_and_fit_the_budget_unless_of_one_key(sizes, memory):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    with external_sort.Spilled(len(sizes)) as rows:
        rows.add(pa.RecordBatch.from_arrays([pa.array(codes)], ["code"]))
        runs = list(rows.runs(memory))
    assert [first for first, _ in runs] == [0, *(last for _, last in runs[:-1])]
    assert runs[-1][1] == len(sizes)
    for first, last in runs:
        assert last - first == 1 or 8 * sum(sizes[first:last]) <= memory


ROOT = Path(__file__).parents[2]


def peak_of(memory):
    """How many bytes a process grew by that made a training set over six million rows."""
    command = [sys.executable, "-m", "tests.engines.generated", str(memory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
def test_the_peak_of_memory_follows_the_budget_and_not_the_history():
    everything, bounded = peak_of(1 << 30), peak_of(16_000_000)
    assert bounded < everything / 2, f"{bounded:,} bytes against {everything:,}"
