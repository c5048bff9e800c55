"""Many small files: a training set and a materialization of the same rows in more and more files.

The floor is opening and decoding the same files one after another.
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.child import Clock
from benchmarks.harness import Contender, Figures, Line, Options, import_arrow, run_all

TITLE = "Many small files"
HEADINGS = {"cpu_s": "CPU s", "wall_s": "wall s", "peak_mb": "peak MB"}


def run(options: Options) -> Figures:
    """Measure each task on one file, some and many."""
    rows = options.rows or options.pick(20_000, 1_000_000, 1_000_000)
    tasks = {"decoding": "decode", "training set": "training_set", "materialize": "materialize"}
    contenders = [
        Contender(
            f"{name}, {files:,} files",
            f"benchmarks.small_files:{task}",
            {"folder": str(written(rows, files))},
        )
        for files in (1, options.pick(20, 500, 5_000))
        for name, task in tasks.items()
    ]
    return {
        "title": f"{TITLE}, {rows:,} rows x 3 features",
        "data": [],
        "contenders": run_all(contenders, options),
    }


def summary(_: Figures) -> list[Line]:
    """Nothing of this is in the README's table."""
    return []


def written(rows: int, files: int) -> Path:
    """Return a folder with the rows in so many files."""

    def write(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        random = np.random.default_rng(data.SEED)
        event = np.sort(data.START + random.integers(0, data.SPAN, rows))
        table = pa.table({
            "entity": random.integers(0, rows // 100, rows),
            "event_at": pa.array(event).cast(pa.timestamp("us", "UTC")),
            **{name: random.normal(size=rows) for name in data.FEATURES[:3]},
        })  # fmt: skip
        folder.mkdir()
        bounds = np.linspace(0, rows, files + 1).astype(int).tolist()
        for number, (low, high) in enumerate(pairwise(bounds)):
            pq.write_table(table.slice(low, high - low), folder / f"{number:05}.parquet")

    return data.cached(f"small-files-{rows}-{files}", write)


def view_of(folder: str) -> Any:
    """Return a view of the newest values."""
    import skewless as sl

    names = data.FEATURES[:3]
    source = sl.Source(
        "rows",
        schema={"entity": int, **dict.fromkeys(names, float)},
        event_time="event_at",
        table=sl.Parquet(folder),
    )
    entity = sl.Entity("entity", entity=int)
    features = {name: source[name].latest() for name in names}
    return sl.FeatureView("V", entity=entity, source=source, features=features)


def training_set(clock: Clock, folder: str) -> dict[str, Any]:
    """Join the newest values to 10,000 labels."""
    import pyarrow as pa

    import skewless as sl

    import_arrow()
    random = np.random.default_rng(1)
    at = data.START + random.integers(0, data.SPAN, 10_000)
    spine = pa.table({
        "entity": random.integers(0, 10_000, len(at)),
        "at": pa.array(at).cast(pa.timestamp("us", "UTC")),
    })  # fmt: skip
    with tempfile.TemporaryDirectory() as repo, sl.FeatureStore(repo) as fs:
        view = view_of(folder)
        fs.apply(fs.plan(view), build=False)
        with clock:
            found = fs.get_historical_features(spine, view, timestamp="at").to_arrow()
    return {"rows": len(found)}


def materialize(clock: Clock, folder: str) -> dict[str, Any]:
    """Build the states of all entities."""
    import skewless as sl

    import_arrow()
    with tempfile.TemporaryDirectory() as repo, sl.FeatureStore(repo) as fs:
        fs.apply(fs.plan(view_of(folder)), build=False)
        with clock:
            (result,) = fs.materialize()
    return {"rows": result.rows, "entities": result.entities}


def decode(clock: Clock, folder: str) -> dict[str, Any]:
    """Open and read the files one after another."""
    import_arrow()
    from pyarrow.parquet import ParquetFile

    rows = 0
    with clock:
        for path in sorted(Path(folder).iterdir()):
            with ParquetFile(path) as file:
                rows += file.read().num_rows
    return {"rows": rows}
