"""Every change of a view's values over a range: of all entities for a while, of some, of one.

The history is that of the point-in-time join; the view has the newest value of one feature and the
mean of another over an hour. The floor is decoding the columns that such a question needs.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.child import Clock
from benchmarks.harness import Contender, Figures, Line, Options, import_arrow, run_all

TITLE = "Changes over a range"
HEADINGS = {"changes": "changes", "cpu_s": "CPU s", "wall_s": "wall s", "peak_mb": "peak MB"}
COLUMNS = ["entity", "event_at", "created_at", "f0", "f1"]


def run(options: Options) -> Figures:
    """Measure each kind of question on the same file."""
    rows = options.rows or options.pick(20_000, 1_000_000, 10_000_000)
    entities = max(200, rows // 100)
    file = data.feature_rows(rows, entities)
    task = "benchmarks.ranges:changes"
    given = {"features": str(file), "entities": entities}
    contenders = [
        Contender("all entities, one day", task, {**given, "asked": None, "days": 1}),
        Contender("1,000 entities or fewer", task, {**given, "asked": 1_000, "days": None}),
        Contender("one entity", task, {**given, "asked": 1, "days": None}),
        Contender("decoding the columns", "benchmarks.ranges:decode", {"features": str(file)}),
    ]
    return {
        "title": f"{TITLE}, {rows:,} rows of {entities:,} entities",
        "data": [data.facts(file)],
        "contenders": run_all(contenders, options),
    }


def summary(_: Figures) -> list[Line]:
    """Return what is quoted of a result: nobody else answers this question."""
    return []


def changes(
    clock: Clock, features: str, entities: int, asked: int | None, days: int | None
) -> dict[str, Any]:
    """Ask for the changes of some entities, or of all in the last days of the history."""
    import skewless as sl
    from skewless.clock import from_micros

    import_arrow()
    source = sl.Source(
        "rows",
        schema={"entity": int, "f0": float, "f1": float},
        event_time="event_at",
        known_time="created_at",
        table=sl.Parquet(features),
    )
    wanted = {"newest": source.f0.latest(), "mean": source.f1.mean("1h")}
    view = sl.FeatureView(
        "V", entity=sl.Entity("entity", entity=int), source=source, features=wanted
    )
    end = from_micros(data.START + data.SPAN)
    start = None if days is None else end - timedelta(days=days)
    some = None
    if asked is not None:
        numbers = np.random.default_rng(1).choice(entities, min(asked, entities), replace=False)
        some = [{"entity": int(number)} for number in numbers]
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as fs:
        fs.apply(fs.plan(view))
        with clock:
            found = fs.read_features("V", entities=some, start=start, end=end)
    return {"changes": len(found)}


def decode(clock: Clock, features: str) -> dict[str, Any]:
    """Read the columns that are needed."""
    import_arrow()
    from pyarrow.parquet import ParquetFile

    with clock, ParquetFile(features) as file:
        rows = sum(batch.num_rows for batch in file.iter_batches(1_000_000, columns=COLUMNS))
    return {"rows": rows}
