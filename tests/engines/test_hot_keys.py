"""One key with a third of all rows keeps every core busy: its windows are tasks of their own."""

import threading

import numpy as np
import pytest

from skewless.engines.local import windows
from tests.engines.cases import KEY
from tests.engines.rows import row, source
from tests.engines.test_local_engine import run_local

SOURCE = source()
FEATURES = {
    "sum": SOURCE.x.sum("20us"), "std": SOURCE.x.std("50us"), "least": SOURCE.x.min(last=7),
    "ever": SOURCE.count("9us"),
}  # fmt: skip
ROWS = [
    row(
        number,
        float(number % 7),
        tiebreak=number + 1,
        key="hot" if number % 3 == 0 else f"k{number % 40}",
    )
    for number in range(3_000)
]
SPINE = [{"key": r.values["key"], "t": r.event + 3} for r in ROWS[::5]]


@pytest.fixture
def view():
    from skewless.definitions import FeatureView

    return FeatureView("View", entity=KEY, source=SOURCE, features=FEATURES)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(windows.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(windows, "_CHUNK", 200)


def test_two_windows_of_the_hot_key_are_computed_at_once(view, monkeypatch):
    """Each waits for another one of the same key: alone, neither would ever go on."""
    run_one, sizes = windows._run_one, []
    together = threading.Barrier(2, timeout=60)

    def watched(rows, queries, job, left, keys):
        first, last = keys[0]
        size = int(rows.start[last] - rows.start[first])
        sizes.append(size)
        if size >= 1_000:
            together.wait()
        return run_one(rows, queries, job, left, keys)

    expected = run_local(view, ROWS, SPINE, "known")
    monkeypatch.setattr(windows, "_run_one", watched)
    found = run_local(view, ROWS, SPINE, "known")
    assert {name: column.to_pylist() for name, column in found.items()} == {
        name: column.to_pylist() for name, column in expected.items()
    }
    assert sizes.count(1_000) == len(FEATURES)
    assert sizes[: len(FEATURES)] == [1_000] * len(FEATURES)  # the heaviest come first


def test_a_hot_key_is_a_chunk_of_its_own():
    rows = np.cumsum([0, 30, 40, 5_000, 20, 60, 90])
    chunks = list(windows.key_chunks(rows, np.zeros(7, np.int64)))
    assert (2, 3) in chunks
    assert [first for first, _ in chunks] == [0, *(last for _, last in chunks[:-1])]
    assert chunks[-1][1] == 6
