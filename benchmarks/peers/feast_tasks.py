"""Feast's side of every benchmark; runs with the interpreter of `peers.feast_env`.

Its offline store is DuckDB, its online store SQLite: what Feast has without a server.
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.child import Clock, latencies, timed

START = datetime(2024, 12, 1, tzinfo=UTC)
END = datetime(2025, 6, 1, tzinfo=UTC)


def open_store(folder: str, redis: str | None = None) -> Any:
    """Return a Feast store with everything in a folder; online perhaps in Redis, at HOST:PORT."""
    from feast import FeatureStore, RepoConfig
    from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig

    online: Any = SqliteOnlineStoreConfig(path=f"{folder}/online.db")
    if redis is not None:
        from feast.infra.online_stores.redis import RedisOnlineStoreConfig

        online = RedisOnlineStoreConfig(connection_string=redis)
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=f"{folder}/registry.db",
        online_store=online,
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
    )
    config.repo_path = Path(folder)
    return FeatureStore(config=config)


def apply_view(store: Any, path: str, width: int, *, pushed: bool = False) -> list[str]:
    """Define a view of ``width`` features over a Parquet file; return their references."""
    from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
    from feast.types import Float64

    entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.INT64)
    source: Any = FileSource(
        name="rows",
        path=path,
        timestamp_field="event_at",
        created_timestamp_column="created_at",
    )
    if pushed:
        source = PushSource(name="pushed", batch_source=source)
    names = [f"f{number}" for number in range(width)]
    view = FeatureView(
        name="rows_view",
        entities=[entity],
        ttl=timedelta(0),
        schema=[Field(name=name, dtype=Float64) for name in names],
        source=source,
        online=True,
    )
    store.apply([entity, view])
    return [f"rows_view:{name}" for name in names]


def join(
    clock: Clock, features: str, labels: str, expected: str | None, as_known: bool
) -> dict[str, Any]:
    """Build the training set with the DuckDB offline store."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        names = apply_view(store, features, 10)
        with clock:
            spine = pd.read_parquet(labels).rename(columns={"label_at": "event_timestamp"})
            table = store.get_historical_features(
                entity_df=spine, features=names, filter_by_created_timestamp=as_known
            ).to_arrow()
    if expected is None:
        return {}
    from benchmarks.oracles import wrong_rows

    table = table.sort_by("label_row")
    values = {name: table[name].to_numpy() for name in (f"f{number}" for number in range(10))}
    return {"wrong_rows": wrong_rows(expected, values)}


def materialize(
    clock: Clock, newest: str, rows: int, width: int, redis: str | None = None
) -> dict[str, Any]:
    """Bring the newest row of every entity into the online store."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, redis)
        apply_view(store, newest, width)
        with clock, quiet():
            store.materialize(START, END)
    return {"entities": rows, "rows_per_s": round(rows / clock.figures["wall_s"])}


def online(
    clock: Clock, files: dict[str, str], entities: int, shapes: list[list[int]], seconds: float
) -> dict[str, Any]:
    """Read random entities in process; ``shapes`` are pairs of entities and features.

    There is a view for each width, filled from a file of that width: Feast reads all features of a
    view, so ten out of a wide one would cost it more than here.
    """
    found: dict[str, Any] = {"entities": entities}
    rng = random.Random(1)
    for width, newest in files.items():
        with tempfile.TemporaryDirectory() as folder:
            store = open_store(folder)
            names = apply_view(store, newest, int(width))
            with quiet():
                store.materialize(START, END)
            with clock:
                for count, features in shapes:
                    if features != int(width):
                        continue
                    asked = [
                        [{"entity": rng.randrange(entities)} for _ in range(count)]
                        for _ in range(2_000 // count)
                    ]
                    read = partial(store.get_online_features, names)
                    found[f"{count}x{features}"] = timed(read, asked, seconds)
    return found


def push(clock: Clock, newest: str, seconds: float, batch: int) -> dict[str, Any]:
    """Push rows of three plain metrics, ``batch`` at a time; Feast aggregates nothing."""
    import pandas as pd

    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        apply_view(store, newest, 3, pushed=True)
        taken, pushed = [], 0
        with clock:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                now = datetime.now(UTC)
                frame = pd.DataFrame(
                    {
                        "entity": [rng.randrange(100_000) for _ in range(batch)],
                        "event_at": now,
                        "created_at": now,
                        **{f"f{n}": [rng.random() for _ in range(batch)] for n in range(3)},
                    }
                )
                begin = time.perf_counter_ns()
                store.push("pushed", frame)
                taken.append(time.perf_counter_ns() - begin)
                pushed += batch
    spent = sum(taken) / 1e9
    return {"events": pushed, "events_per_s": round(pushed / spent, 1), **latencies(taken)}


@contextlib.contextmanager
def quiet() -> Any:
    """Keep progress bars out of the way."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
