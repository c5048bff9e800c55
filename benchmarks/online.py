"""Online reads in process: how long one call takes, in microseconds.

Latest features of 200 k entities from the embedded store, beside Feast with its SQLite store and
beside the bare get of the same bytes from LMDB; windowed features over 1,000 rows an entity.
Random entities, one thread, values are taken out of the result.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import data
from benchmarks.child import Clock, timed
from benchmarks.harness import Contender, Figures, Line, Options, found, lines, run_all
from benchmarks.peers.feast_env import feast_python

if TYPE_CHECKING:
    import skewless as sl

SHAPES = [[1, 10], [1, 120], [100, 10], [100, 120]]
WIDTH = 120
ROWS_IN_WINDOW = 1_000
AGGREGATIONS = ("mean", "sum", "min", "max", "std")
WINDOW_LENGTHS = ("1h", "6h", "24h", "7d")
HEADINGS = {f"{count}x{width}": f"{count} x {width}" for count, width in SHAPES}
WINDOWED = {"1x20": "1 x 20 windowed", "100x20": "100 x 20 windowed"}


def run(options: Options) -> Figures:
    """Measure plain reads, then windowed ones."""
    entities = options.pick(1_000, 20_000, 200_000)
    fewer = options.pick(300, 2_000, 20_000)
    newest = data.newest_rows(entities, WIDTH)
    of_fewer = {str(width): str(data.newest_rows(fewer, width)) for width in (10, WIDTH)}
    seconds = options.pick(0.1, 3, 5)
    plain = {"newest": str(newest), "entities": entities, "seconds": seconds}
    contenders = [
        Contender("skewless", "benchmarks.online:skewless", plain),
        Contender(
            "bare LMDB get",
            "benchmarks.online:bare",
            plain,
            about="the same keys and bytes, nothing decoded",
        ),
        Contender(
            "Feast, SQLite",
            "benchmarks.peers.feast_tasks:online",
            {"files": of_fewer, "entities": fewer, "shapes": SHAPES, "seconds": seconds},
            feast_python(options.install),
            limit_s=3_600,
            once=True,
            about=f"over {fewer:,} entities only: it takes a row per feature to fill its store",
        ),
    ]
    windowed = Contender(
        "skewless",
        "benchmarks.online:windowed",
        {"entities": options.pick(10, 200, 200), "seconds": seconds},
    )
    results = run_all(contenders, options)
    return {
        "title": f"Online read in process, {entities:,} entities, p50 / p99 microseconds",
        "data": [data.facts(newest)],
        "contenders": results,
        "windowed": {
            "title": f"Online read of windows over {ROWS_IN_WINDOW:,} rows, p50 / p99 microseconds",
            "contenders": run_all([windowed], options),
        },
    }


def skewless(clock: Clock, newest: str, entities: int, seconds: float) -> dict[str, Any]:
    """Read latest features."""
    with tempfile.TemporaryDirectory() as folder, filled(folder, newest) as store:
        names = [f"Rows:f{number}" for number in range(WIDTH)]
        right = expected(newest)

        def reader(count: int, width: int) -> Callable[[list[int]], Any]:
            chosen = names[:width]

            def read(keys: list[int]) -> Any:
                rows = [{"entity": key} for key in keys]
                return store.get_online_features(chosen, rows).values

            keys = random.Random(2).sample(range(entities), min(count, 50))
            if read(keys) != [right[key][:width] for key in keys]:
                raise RuntimeError(f"wrong values at {count} x {width}")
            return read

        with clock:
            found = {
                f"{count}x{width}": timed(reader(count, width), asked(entities, count), seconds)
                for count, width in SHAPES
            }
    return {"entities": entities, **found}


def bare(clock: Clock, newest: str, entities: int, seconds: float) -> dict[str, Any]:
    """Get the states that skewless would read from an LMDB of their own."""
    import lmdb

    with tempfile.TemporaryDirectory() as folder, filled(f"{folder}/repo", newest) as store:
        (part,) = store.runtime.reader.lookup(["Rows:f0"], False).parts
        keys = part.keys([{"entity": number} for number in range(entities)])
        states = store.runtime.online.read(part.table, keys)
        environment = lmdb.open(f"{folder}/bare", map_size=1 << 33)
        with environment.begin(write=True) as writing:
            for key, state in zip(keys, states, strict=True):
                if state is None:
                    raise RuntimeError(f"no state of {key!r} was materialized")
                writing.put(key, state)

        def read(numbers: list[int]) -> list[Any]:
            with environment.begin(buffers=True) as reading:
                return [reading.get(keys[number]) for number in numbers]

        with clock:
            found: dict[str, Any] = {
                f"{count}x{width}": timed(read, asked(entities, count), seconds)
                for count, width in SHAPES
            }
    found["bytes_per_entity"] = sum(map(len, filter(None, states))) // entities
    return found


def windowed(clock: Clock, entities: int, seconds: float) -> dict[str, Any]:
    """Read 20 features (five aggregations over four windows) of entities with 1,000 rows each."""
    import skewless as sl

    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        sums = push_windows(store, entities)
        for number, right in enumerate(sums):
            answer = store.get_online_features(["Windows:sum_7d"], [{"entity": number}])
            if answer.values != [[right]]:
                raise RuntimeError(f"entity {number} has a wrong sum: {answer.values}")

        def read(keys: list[int]) -> Any:
            return store.get_online_features("Windows", [{"entity": key} for key in keys]).values

        with clock:
            found = {
                f"{count}x20": timed(read, asked(entities, count), seconds) for count in (1, 100)
            }
    return {"entities": entities, "rows_in_window": ROWS_IN_WINDOW, **found}


def push_windows(store: sl.FeatureStore, entities: int) -> list[float]:
    """Push 1,000 rows an entity for the view ``Windows``; return the sum of each entity's."""
    import skewless as sl

    entity = sl.Entity("entity", entity=int)
    rows = sl.Source("pushed_rows", schema={"entity": int, "amount": float}, event_time="at")
    features = {name: getattr(rows.amount, name)(*WINDOW_LENGTHS) for name in AGGREGATIONS}
    view = sl.FeatureView("Windows", entity=entity, source=rows, features=features)
    store.apply(store.plan(view))
    rng = np.random.default_rng(4)
    now = time.time_ns() // 1_000
    sums = []
    for number in range(entities):
        # None leaves the longest window while this runs.
        ages = rng.integers(0, 6 * data.DAY, ROWS_IN_WINDOW)
        amounts = np.round(rng.lognormal(3, 1, ROWS_IN_WINDOW), 2)
        columns = {"entity": np.full(ROWS_IN_WINDOW, number), "at": now - ages}
        store.push("pushed_rows", data.as_table({**columns, "amount": amounts}), backdate=True)
        sums.append(math.fsum(amounts))
    return sums


def asked(entities: int, count: int) -> list[list[int]]:
    """Return requests for ``count`` random entities each."""
    rng = random.Random(1)
    return [[rng.randrange(entities) for _ in range(count)] for _ in range(20_000 // count)]


def filled(folder: str, newest: str) -> sl.FeatureStore:
    """Return a store with 120 latest features of every entity online."""
    import skewless as sl

    Path(folder).mkdir(exist_ok=True)
    names = [f"f{number}" for number in range(WIDTH)]
    entity = sl.Entity("entity", entity=int)
    source = sl.Source(
        "rows",
        schema={"entity": int, **dict.fromkeys(names, float)},
        event_time="event_at",
        known_time="created_at",
        table=sl.Parquet(newest),
    )
    view = sl.FeatureView(
        "Rows", entity=entity, source=source, features={"newest": source.latest(*names)}
    )
    store = sl.FeatureStore(folder)
    store.apply(store.plan(view))
    store.materialize()
    return store


def expected(newest: str) -> dict[int, list[float]]:
    """Return the feature values by entity."""
    columns = data.read_columns(newest, ["entity", *(f"f{number}" for number in range(WIDTH))])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {int(entity): list(values) for entity, *values in rows}


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    own = found(result["contenders"], "skewless")
    found_lines = []
    for name in ("Feast, SQLite", "bare LMDB get"):
        peer = found(result["contenders"], name)
        for shape, heading in HEADINGS.items():
            if own and peer:
                what = f"Online read in process, {heading} features, p50 us"
                found_lines += lines(what, own[shape], {**peer[shape], "name": name}, "p50_us")
    windows = found(result["windowed"]["contenders"], "skewless")
    for shape, heading in WINDOWED.items():
        if windows:
            what = (
                f"Online read in process, {heading} features over {ROWS_IN_WINDOW:,} rows, p50 us"
            )
            found_lines += lines(what, windows[shape], None, "p50_us")
    return found_lines
