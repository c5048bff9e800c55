"""Push: events per second, one at a time and in batches, each push durable when it returns.

skewless keeps three metrics over three windows and the last 100 rows (mean, std, min, max) ready to
be read, and the events in its log. Feast overwrites three plain values in SQLite: it aggregates
nothing and keeps no log.
"""

from __future__ import annotations

import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from benchmarks import data
from benchmarks.child import Clock, latencies
from benchmarks.harness import Contender, Figures, Line, Options, found, lines, run_all
from benchmarks.peers.feast_env import feast_python

METRICS = ("vdd", "idd", "yield_pct")
ENTITIES = 100_000
HEADINGS = {
    "events_per_s": "events/s",
    "cpu_us": "us of CPU a push",
    "p50_us": "p50 us a push",
    "p99_us": "p99 us a push",
    "cpu_s": "CPU s",
    "peak_mb": "peak MB",
}


def run(options: Options) -> Figures:
    """Measure both, one row at a time and a thousand."""
    seconds = options.pick(0.2, 5, 15)
    newest = data.newest_rows(options.pick(500, 10_000, 10_000), 10)
    feast = feast_python(options.install)
    contenders = []
    for batch in (1, 1_000):
        how = "one row at a time" if batch == 1 else f"batches of {batch:,}"
        arguments = {"seconds": seconds, "batch": batch}
        contenders += [
            Contender(f"skewless, {how}", "benchmarks.push:skewless", arguments),
            Contender(
                f"Feast, SQLite, {how}",
                "benchmarks.peers.feast_tasks:push",
                {**arguments, "newest": str(newest)},
                feast,
                about="three plain values, no aggregation, no log",
            ),
        ]
    contenders.append(
        Contender(
            "skewless, one row at a time, 16 threads",
            "benchmarks.push:threads",
            {"seconds": seconds},
            about="each push durable when it returns; threads that wait share a transaction",
        )
    )
    contenders += [
        Contender(
            f"skewless, to an entity of {held:,} rows",
            "benchmarks.push:hot",
            {"pushes": options.pick(100, 1_000, 2_000), "held": held},
            about="CPU of one push: its windows hold so many rows",
        )
        for held in (1_000, 10_000, options.pick(20_000, 100_000, 100_000))
    ]
    contenders += [
        Contender(
            f"skewless, rows of {width:,} columns",
            "benchmarks.push:wide",
            {"pushes": options.pick(20, 200, 500), "width": width},
            about="CPU of one push of one row, each column a feature",
        )
        for width in (100, 1_000)
    ]
    contenders.append(
        Contender(
            "bare LMDB, one row at a time",
            "benchmarks.push:bare",
            {"seconds": seconds},
            about="the floor: a durable transaction of as many bytes, with nothing computed",
        )
    )
    return {
        "title": "Push, three metrics x (three windows + last 100), durable",
        "contenders": run_all(contenders, options),
    }


def rolling() -> Any:
    """Return the view that rows are pushed for."""
    import skewless as sl

    entity = sl.Entity("entity", entity=int)
    source = sl.Source(
        "tests",
        schema={"entity": int, **dict.fromkeys(METRICS, float)},
        event_time="at",
    )
    features = {
        f"{metric}_{name}": getattr(source[metric], name)("5m", "1h", "24h", last=100)
        for metric in METRICS
        for name in ("mean", "std", "min", "max")
    }
    return sl.FeatureView("Rolling", entity=entity, source=source, features=features)


def skewless(clock: Clock, seconds: float, batch: int) -> dict[str, Any]:
    """Push for some seconds; single rows as dicts, batches as Arrow tables."""
    import skewless as sl

    rng = random.Random(1)
    taken: list[int] = []
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(store.plan(rolling()))
        store.push("tests", rows(rng, batch))
        with clock:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                pushed = rows(rng, batch)
                begin = time.perf_counter_ns()
                result = store.push("tests", pushed)
                taken.append(time.perf_counter_ns() - begin)
                if result.accepted != batch:
                    raise RuntimeError(f"{result.accepted} of {batch} rows were accepted")
    rate = round(len(taken) * batch / (sum(taken) / 1e9), 1)
    return {"events": len(taken) * batch, "events_per_s": rate, **latencies(taken)}


def threads(clock: Clock, seconds: float, count: int = 16) -> dict[str, Any]:
    """Push single rows from several threads at once for some seconds."""
    import skewless as sl

    taken: list[int] = []

    def push(store: Any, seed: int) -> None:
        rng, until = random.Random(seed), time.perf_counter() + seconds
        while time.perf_counter() < until:
            row = rows(rng, 1)
            begin = time.perf_counter_ns()
            store.push("tests", row)
            taken.append(time.perf_counter_ns() - begin)

    with (
        tempfile.TemporaryDirectory() as folder,
        sl.FeatureStore(folder) as store,
        ThreadPoolExecutor(count) as pool,
    ):
        store.apply(store.plan(rolling()))
        store.push("tests", rows(random.Random(0), 1))
        with clock:
            begin = time.perf_counter()
            for pushing in [pool.submit(push, store, seed) for seed in range(count)]:
                pushing.result()
            wall = time.perf_counter() - begin
    return {
        "events": len(taken),
        "events_per_s": round(len(taken) / wall, 1),
        **latencies(taken),
    }


def hot(clock: Clock, pushes: int, held: int) -> dict[str, Any]:
    """Push single rows of one entity, whose windows hold many rows."""
    import numpy as np
    import pyarrow as pa

    import skewless as sl

    entity = sl.Entity("entity", entity=int)
    source = sl.Source("rows", schema={"entity": int, "amount": float}, event_time="at")
    features = {"mean": source.amount.mean("7d"), "sum": source.amount.sum("1h")}
    view = sl.FeatureView("Hot", entity=entity, source=source, features=features)
    numbers, taken = np.random.default_rng(0), []
    at = time.time_ns() // 1_000 - np.sort(numbers.integers(0, 6 * 86_400_000_000, held))[::-1]
    columns = {
        "entity": np.zeros(held, np.int64),
        "at": pa.array(at, pa.timestamp("us", "UTC")),
        "amount": numbers.normal(size=held),
    }
    past = pa.table(columns)
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(store.plan(view))
        store.push("rows", past, backdate=True)
        store.push("rows", [{"entity": 0, "at": datetime.now(UTC), "amount": 1.0}])
        before = time.process_time()
        with clock:
            for _ in range(pushes):
                row = {"entity": 0, "at": datetime.now(UTC), "amount": 1.0}
                begin = time.perf_counter_ns()
                store.push("rows", [row])
                taken.append(time.perf_counter_ns() - begin)
        cpu = (time.process_time() - before) / pushes
    return {"cpu_us": round(cpu * 1e6), "events": pushes, **latencies(taken)}


def wide(clock: Clock, pushes: int, width: int) -> dict[str, Any]:
    """Push single rows of many columns."""
    import skewless as sl

    names = [f"c{number}" for number in range(width)]
    schema = {"entity": int, **dict.fromkeys(names, float)}
    source = sl.Source("rows", schema=schema, event_time="at")
    features = {name: source[name].latest() for name in names}
    entity = sl.Entity("entity", entity=int)
    view = sl.FeatureView("Wide", entity=entity, source=source, features=features)
    taken: list[int] = []
    cpu = 0.0
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(store.plan(view))
        store.push("rows", [{"entity": -1, "at": datetime.now(UTC)}])
        with clock:
            for number in range(pushes):
                row = {
                    "entity": number,
                    "at": datetime.now(UTC),
                    **dict.fromkeys(names, number / 7),
                }
                begin, before = time.perf_counter_ns(), time.process_time()
                store.push("rows", [row])
                cpu += time.process_time() - before
                taken.append(time.perf_counter_ns() - begin)
    return {"cpu_us": round(cpu / pushes * 1e6), "events": pushes, **latencies(taken)}


def bare(clock: Clock, seconds: float) -> dict[str, Any]:
    """Put an entry of a log and a state of fifty rows, each pair flushed to disk."""
    import lmdb

    rng = random.Random(1)
    taken: list[int] = []
    entry, state = bytes(400), bytes(50 * 50)
    with (
        tempfile.TemporaryDirectory() as folder,
        lmdb.open(folder, map_size=1 << 30) as environment,
        clock,
    ):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            begin = time.perf_counter_ns()
            with environment.begin(write=True) as writing:
                writing.put(b"log%12d" % len(taken), entry)
                writing.put(b"state%12d" % rng.randrange(ENTITIES), state)
            taken.append(time.perf_counter_ns() - begin)
    rate = round(len(taken) / (sum(taken) / 1e9), 1)
    return {"events": len(taken), "events_per_s": rate, **latencies(taken)}


def rows(rng: random.Random, batch: int) -> Any:
    """Return rows that happened just now: a dict in a list, or an Arrow table."""
    if batch == 1:
        values = {metric: rng.gauss(1, 0.1) for metric in METRICS}
        return [{"entity": rng.randrange(ENTITIES), "at": datetime.now(UTC), **values}]
    import numpy as np
    import pyarrow as pa

    numbers = np.random.default_rng(rng.randrange(2**32))
    at = time.time_ns() // 1_000 - np.arange(batch)[::-1]
    columns: dict[str, Any] = {
        "entity": numbers.integers(0, ENTITIES, batch),
        "at": pa.array(at, pa.timestamp("us", tz="UTC")),
    }
    return pa.table(columns | {metric: numbers.normal(1, 0.1, batch) for metric in METRICS})


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    found_lines = []
    for how in ("one row at a time", "batches of 1,000"):
        own = found(result["contenders"], f"skewless, {how}")
        peer = found(result["contenders"], f"Feast, SQLite, {how}")
        what = f"Push, {how}, events/s"
        found_lines += lines(what, own, peer, "events_per_s", more_is_better=True)
    return found_lines
