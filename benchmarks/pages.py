"""How long the pages of an embedded store are looked at before the first process opens it.

    python -m benchmarks pages

A store of rows of a size is filled and its pages are read as `stores.online.lmdb.pages` does, from
the system's cache and, where the system lets the cache go, from the disk; beside it what opening
takes when the file is known to be in order.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from typing import Any

from benchmarks.child import Clock
from benchmarks.harness import Contender, Figures, Line, Options, run_all

BATCH = 20_000
HEADINGS = {
    "mb": "MB",
    "rows": "rows",
    "cpu_s": "CPU s",
    "cached_s": "from the cache, s",
    "disk_s": "from the disk, s",
    "known_ms": "known to be in order, ms",
}
SIZES = {"states of 60 bytes": 60, "states of 1,000 bytes": 1_000, "states of 20,000 bytes": 20_000}


def run(options: Options) -> Figures:
    """Measure stores of a size, of small and large rows."""
    megabytes = options.pick(2, 256, 2_048)
    contenders = [
        Contender(
            f"{megabytes:,} MB, {name}",
            "benchmarks.pages:looked",
            {"megabytes": megabytes, "size": size},
        )
        for name, size in SIZES.items()
    ]
    return {"title": "Pages of LMDB, looked at", "contenders": run_all(contenders, options)}


def looked(clock: Clock, *, megabytes: int, size: int) -> dict[str, Any]:
    """Fill a store and look at its pages."""
    from skewless.stores.online.lmdb import pages
    from skewless.stores.online.lmdb.store import LMDBStore

    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "data.mdb")
        rows = _filled(folder, megabytes << 20, size)
        disk = _seconds(lambda: pages.check(file)) if _uncached(file) else None
        cpu = time.process_time()
        with clock:
            cached = _seconds(lambda: pages.check(file))
        cpu = time.process_time() - cpu
        known = _seconds(lambda: LMDBStore(folder).close())
        figures = {"mb": round(os.path.getsize(file) / 1e6), "rows": rows, "cpu_s": round(cpu, 3)}
        figures |= {"cached_s": round(cached, 3), "known_ms": round(known * 1e3, 2)}
        return figures if disk is None else {**figures, "disk_s": round(disk, 3)}


def _filled(folder: str, most: int, size: int) -> int:
    """Fill a store up to a size of its file, and return how many rows it has."""
    from skewless.stores.online.lmdb.store import LMDBStore

    chance, rows = random.Random(1), 0
    batch = max(1, min(BATCH, most // size // 10))
    with LMDBStore(folder, sync=False) as store:
        while os.path.getsize(os.path.join(folder, "data.mdb")) < most:
            keys = range(rows, rows + batch)
            store.write("rows", [(b"key %09d" % key, chance.randbytes(size)) for key in keys])
            rows += batch
        store.flush()
    return rows


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _uncached(path: str) -> bool:
    """Let the system's cache of a file go; say whether that can be asked for."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def summary(result: Figures) -> list[Line]:
    """Return no line for the table of the README."""
    del result
    return []
