"""Appends to an event log and settles it until it is killed: the victim of test_event_log.py.

    python log_worker.py <folder> <seed>

Prints the sequence of the last row of every append once it is durable.
"""

import random
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa

from skewless.clock import SECOND
from skewless.definitions import Source
from skewless.stores.offline.log import settle as _settle
from skewless.stores.offline.log.log import EventLog
from skewless.stores.online.lmdb.store import LMDBStore

DAY = 86_400 * SECOND
SOURCE = Source("events", schema={"n": int, "text": str}, event_time="at")


def batch_of(log: EventLog, first: int, rows: int) -> pa.RecordBatch:
    """Return rows whose every column follows from their sequence."""
    numbers = np.arange(first, first + rows)
    at = pa.array(numbers % 5 * DAY + numbers).cast(pa.timestamp("us", "UTC"))
    text = pa.array([f"row {number}" for number in numbers])
    return pa.RecordBatch.from_arrays([pa.array(numbers), text, at], schema=log.schema)


def settle_forever(log: EventLog) -> None:
    while True:
        log.settle()


def main(folder: Path, seed: int) -> None:
    # Small runs, so that a kill finds every step of settling at work.
    _settle.RUN_ROWS = 50
    _settle.JOINED_FILES = 3
    chance = random.Random(seed)
    store = LMDBStore(folder / "kv", sync=False, map_size=1 << 28)
    log = EventLog(SOURCE, store, folder)
    threading.Thread(target=settle_forever, args=(log,), daemon=True).start()
    while True:
        rows = chance.randint(1, 40)
        with store.transaction() as transaction:
            first = log.last_sequence(transaction) + 1
            known = np.arange(first, first + rows)
            log.append(transaction, batch_of(log, first, rows), known)
        print(first + rows - 1, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
