"""Materialize: the newest row of every entity from Parquet into the embedded online store.

skewless writes LMDB and fsyncs, Feast writes SQLite. Feast is measured on fewer entities (the
results say how many); rows per second are compared.
"""

from __future__ import annotations

import tempfile
from typing import Any

from benchmarks import data
from benchmarks.child import Clock
from benchmarks.harness import (
    Contender,
    Figures,
    Line,
    Options,
    found,
    import_arrow,
    lines,
    run_all,
)
from benchmarks.peers.feast_env import feast_python

HEADINGS = {
    "entities": "entities",
    "rows_per_s": "rows/s",
    "cpu_s": "CPU s",
    "cpu_s_least": "least CPU s",
    "wall_s": "wall s",
    "peak_mb": "peak MB",
}


def run(options: Options) -> Figures:
    """Measure both."""
    entities = options.pick(2_000, 100_000, 1_000_000)
    fewer = options.pick(500, 20_000, 100_000)
    newest, newest_of_fewer = data.newest_rows(entities, 10), data.newest_rows(fewer, 10)
    rows = options.pick(100_000, 2_000_000, 10_000_000)
    known = rows // 100
    contenders = [
        Contender(
            "skewless", "benchmarks.materialize:skewless", {"newest": str(newest), "rows": entities}
        ),
        Contender(
            "skewless, a long history",
            "benchmarks.materialize:history",
            {"path": str(data.feature_rows(rows, known)), "rows": rows, "entities": known},
            about=f"{rows:,} rows of {known:,} entities, the newest of each",
        ),
        Contender(
            "Feast, SQLite",
            "benchmarks.peers.feast_tasks:materialize",
            {"newest": str(newest_of_fewer), "rows": fewer, "width": 10},
            feast_python(options.install),
            once=options.size == "full",
            about=f"{fewer:,} entities only",
        ),
    ]
    return {
        "title": f"Materialize {entities:,} entities x 10 features",
        "data": [data.facts(newest), data.facts(newest_of_fewer)],
        "contenders": run_all(contenders, options),
    }


def newest_of(path: str) -> Any:
    """Return the view of the newest row of a file."""
    import skewless as sl

    entity = sl.Entity("entity", entity=int)
    source = sl.Source(
        "rows",
        schema={"entity": int, **dict.fromkeys(data.FEATURES, float)},
        event_time="event_at",
        known_time="created_at",
        table=sl.Parquet(path),
    )
    features = {"newest": source.latest(*data.FEATURES)}
    return sl.FeatureView("Rows", entity=entity, source=source, features=features)


def skewless(clock: Clock, newest: str, rows: int) -> dict[str, Any]:
    """Fill an empty LMDB store from the file; afterwards read some entities back."""
    import skewless as sl

    import_arrow()
    view = newest_of(newest)
    columns = data.read_columns(newest, ["entity", *data.FEATURES])
    sample = [{"entity": int(key)} for key in columns[0][:100]]
    right = [[float(column[at]) for column in columns[1:]] for at in range(len(sample))]
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(store.plan(view), build=False)
        with clock:
            store.materialize()
        if store.get_online_features(view, sample).values != right:
            raise RuntimeError("what was materialized is not what was in the file")
    return {"entities": rows, "rows_per_s": round(rows / clock.figures["wall_s"])}


def history(clock: Clock, path: str, rows: int, entities: int) -> dict[str, Any]:
    """Fill an empty LMDB store with the newest rows of many; afterwards read some entities back."""
    import numpy as np

    import skewless as sl

    import_arrow()
    view = newest_of(path)
    names = ["entity", "event_at", "created_at", *data.FEATURES]
    entity, event, created, *columns = data.read_columns(path, names)
    sample, right = [], []
    for key in np.unique(entity)[:20].tolist():
        (at,) = np.nonzero(entity == key)
        newest = at[np.lexsort((created[at], event[at]))[-1]]
        sample.append({"entity": key})
        right.append([float(column[newest]) for column in columns])
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(store.plan(view), build=False)
        with clock:
            store.materialize()
        if store.get_online_features(view, sample).values != right:
            raise RuntimeError("what was materialized is not what was in the file")
    return {"entities": entities, "rows_per_s": round(rows / clock.figures["wall_s"])}


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    own, peer = (found(result["contenders"], name) for name in ("skewless", "Feast, SQLite"))
    return lines(f"{result['title']}, rows/s", own, peer, "rows_per_s", more_is_better=True)
