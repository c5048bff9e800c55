"""Prints by how many bytes a training set over six million rows grows the process.

python -m tests.engines.generated MEMORY
"""

import sys

import numpy as np
import pyarrow as pa

import skewless as sl
from benchmarks.child import peak_bytes
from skewless.engines.local import LocalEngine
from skewless.plan.retrieval import plan_retrieval
from skewless.plan.selection import select
from skewless.stores.offline.history import HistoryChunk
from skewless.testing.history import MemoryReplaced
from tests.engines.test_local_engine import state_of

SOURCE = sl.Source("rows", schema={"key": int, "x": float}, event_time="at")
CHUNK, COUNT, KEYS = 100_000, 60, 500


class Generated:
    """A history whose rows are made as they are read."""

    source = SOURCE

    def __init__(self, count):
        self._count = count

    def chunks(self, columns, *, start=None, end=None):
        for number in range(self._count):
            random = np.random.default_rng(number)
            event = random.integers(0, 1_000_000, CHUNK)
            key, x = random.integers(0, KEYS, CHUNK), random.normal(size=CHUNK)
            table = pa.table({"key": key, "x": x}).select(list(columns))
            none, rows = np.zeros(CHUNK, np.int64), np.arange(CHUNK) + number * CHUNK
            yield HistoryChunk(table, event, event, none, none.astype(bool), rows)

    def superseded(self):
        return MemoryReplaced(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def content_hash(self, rows):
        return rows.astype(np.uint64)


def grown(memory):
    features = {"x": SOURCE.x.sum("9ms"), "n": SOURCE.count("9ms")}
    view = sl.FeatureView(
        "View", entity=sl.Entity("key", key=int), source=SOURCE, features=features
    )
    plan = plan_retrieval(select(state_of(view), [view]), timestamp="t", as_of="known")
    spine, times = pa.table({"key": np.arange(1_000) % KEYS}), np.arange(1_000) * 1_000

    def run(count):
        LocalEngine(memory=memory).retrieve(plan, spine, times, {"rows": Generated(count)})
        return peak_bytes()

    before = run(1)  # loads what is loaded when it is first used
    return run(COUNT) - before


if __name__ == "__main__":
    print(grown(int(sys.argv[1])))
