"""Derived sources: wafers of 144 dies made into 144 spatial features, and these read.

The rows are synthetic. A wafer counts once its 144 dies were pushed, its features derived, and one
of them was read: each push durable when it returns. There is no peer: a store without derived
sources computes this in a pipeline of its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from benchmarks.child import Clock, latencies
from benchmarks.harness import Contender, Figures, Line, Options, run_all

SIDE = 12
DIES = SIDE * SIDE
NEAR = [(a, b) for a in (0, 1, 2) for b in (0, 1, 2) if (a, b) != (1, 1)]
HEADINGS = {
    "wafers_per_s": "wafers/s",
    "cpu_us": "us of CPU each",
    "p50_us": "p50 us",
    "p99_us": "p99 us",
    "peak_mb": "peak MB",
}


def run(options: Options) -> Figures:
    """Measure pushes of whole wafers, with and without what is derived, and reads."""
    wafers, reads = options.pick(5, 200, 1_000), options.pick(50, 5_000, 20_000)
    contenders = [
        Contender(
            "144 dies pushed, derived, read",
            "benchmarks.derived:pushed",
            {"wafers": wafers, "derived": True},
            about="one wafer after the other, from its dies as an Arrow table to a feature read",
        ),
        Contender(
            "144 dies pushed, nothing derived",
            "benchmarks.derived:pushed",
            {"wafers": wafers, "derived": False},
            about="the floor: the same rows in a log, with row ids",
        ),
        Contender(
            "144 features of a wafer read",
            "benchmarks.derived:read",
            {"reads": reads},
            about="in process; one value each",
        ),
    ]
    return {
        "title": "Derived sources: 144 spatial features of a wafer from its 144 dies",
        "contenders": run_all(contenders, options),
    }


def around(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Of each die the mean of its up to eight neighbours."""
    import numpy as np

    grid = np.full((SIDE + 2, SIDE + 2), np.nan)
    grid[rows["y"].astype(int) + 1, rows["x"].astype(int) + 1] = rows["vdd"]
    shifted = [grid[a : a + SIDE, b : b + SIDE] for a, b in NEAR]
    means = np.nanmean(shifted, axis=0).ravel().tolist()
    return {f"around_{number}": value for number, value in enumerate(means)}


def definitions() -> tuple[Any, Any]:
    """Return the source of the dies, and the view of what is derived of them."""
    import skewless as sl

    dies = sl.Source(
        "dies",
        schema={"wafer": str, "x": int, "y": int, "vdd": float},
        event_time="at",
        row_id=("wafer", "x", "y"),
    )
    names = [f"around_{number}" for number in range(DIES)]
    wafers = sl.derived(
        source=dies, by="wafer", rows=DIES, returns=dict.fromkeys(names, float), name="wafers"
    )(around)
    features = {name: wafers[name].latest() for name in names}
    wafer = sl.Entity("wafer", wafer=str)
    return dies, sl.FeatureView("Wafer", entity=wafer, source=wafers, features=features)


def dies_of(number: int) -> Any:
    """Return the dies of a wafer as an Arrow table."""
    import numpy as np
    import pyarrow as pa

    place = np.arange(DIES)
    at = pa.array([datetime.now(UTC)] * DIES, pa.timestamp("us", "UTC"))
    vdd = np.random.default_rng(number + 1).normal(1.0, 0.05, DIES)
    columns = {"wafer": [f"w{number}"] * DIES, "x": place % SIDE, "y": place // SIDE, "vdd": vdd}
    return pa.table(columns | {"at": at})


def pushed(clock: Clock, wafers: int, derived: bool) -> dict[str, Any]:
    """Push wafers one after the other; with what is derived, read each."""
    import skewless as sl

    dies, view = definitions()
    taken: list[int] = []
    cpu = 0.0
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(store.plan(view if derived else dies))
        store.push("dies", dies_of(-1))
        with clock:
            for number in range(wafers):
                rows = dies_of(number)
                begin, before = time.perf_counter_ns(), time.process_time()
                store.push("dies", rows)
                if derived:
                    found = store.get_online_features(["Wafer:around_0"], [{"wafer": f"w{number}"}])
                    if found.values[0][0] is None:
                        raise RuntimeError(f"wafer {number} was not derived")
                cpu += time.process_time() - before
                taken.append(time.perf_counter_ns() - begin)
    rate = round(len(taken) / (sum(taken) / 1e9), 1)
    return {"wafers_per_s": rate, "cpu_us": round(cpu / wafers * 1e6), **latencies(taken)}


def read(clock: Clock, reads: int) -> dict[str, Any]:
    """Read all features of one wafer of a hundred."""
    import skewless as sl

    _, view = definitions()
    taken: list[int] = []
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(store.plan(view))
        for number in range(100):
            store.push("dies", dies_of(number))
        entities = [[{"wafer": f"w{number}"}] for number in range(100)]
        store.get_online_features("Wafer", entities[0])
        before = time.process_time()
        with clock:
            for number in range(reads):
                begin = time.perf_counter_ns()
                found = store.get_online_features("Wafer", entities[number % 100]).values[0]
                taken.append(time.perf_counter_ns() - begin)
                if len(found) != DIES or None in found:
                    raise RuntimeError("a feature is missing")
        cpu = (time.process_time() - before) / reads
    return {"cpu_us": round(cpu * 1e6, 1), **latencies(taken)}


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README: none, there is no peer."""
    del result
    return []
