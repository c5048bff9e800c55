"""Point-in-time join: the newest row of each entity as of each label.

Question asked of everybody: for each label, the ten features of the row with the greatest (event
time, creation time) whose event time is not after the label. As known, the default of skewless,
also asks that the row was created by then. Every measured run reads both files and ends with the
result in memory. Wrong rows are counted against an oracle that brute force has checked.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import data, oracles
from benchmarks.child import Clock
from benchmarks.harness import (
    Contender,
    Figures,
    Line,
    Options,
    found,
    import_arrow,
    lines,
    ratio,
    run_all,
)
from benchmarks.peers.feast_env import feast_python

TITLE = "Point-in-time join"
PEERS = (
    "Feast, DuckDB",
    "DuckDB ASOF JOIN",
    "DuckDB ASOF JOIN, ties right",
    "Polars join_asof",
)
HEADINGS = {
    "cpu_s": "CPU s",
    "cpu_s_least": "least CPU s",
    "wall_s": "wall s",
    "peak_mb": "peak MB",
    "wrong_rows": "wrong rows",
}


def run(options: Options) -> Figures:
    """Measure everybody on the same files."""
    rows = options.rows or options.pick(20_000, 1_000_000, 10_000_000)
    entities = max(200, rows // 100)
    features = data.feature_rows(rows, entities)
    labels = data.labels(options.pick(2_000, 100_000, 1_000_000), entities)
    by_event = oracles.expected_join(features, labels, as_known=False)
    by_known = oracles.expected_join(features, labels, as_known=True)
    files = {"features": str(features), "labels": str(labels)}
    event = {**files, "expected": str(by_event)}
    known = {**files, "expected": str(by_known)}
    results = run_all(contenders(files, event, known, feast=feast_python(options.install)), options)
    result: Figures = {
        "title": f"{TITLE}, {rows:,} rows x {data.facts(labels)['rows']:,} labels x 10 features",
        "data": [data.facts(features), data.facts(labels)],
        "contenders": results,
    }
    if options.size == "full" and not options.rows:
        result["memory"] = run_memory(options)
    return {**result, "ratios": ratios(results)}


def contenders(
    files: dict[str, str], event: dict[str, str], known: dict[str, str], *, feast: Any
) -> list[Contender]:
    """Return who is measured."""
    own, peers = "benchmarks.join:skewless", "benchmarks.peers"
    duckdb, polars = f"{peers}.duckdb_join:join", f"{peers}.polars_join:join"
    feasts = f"{peers}.feast_tasks:join"
    return [
        Contender("skewless", own, {**event, "as_of": "event_time"}),
        Contender("skewless, as known", own, {**known, "as_of": "known"}),
        Contender(
            "DuckDB ASOF JOIN",
            duckdb,
            {**event, "ties": False},
            needs=("duckdb",),
            about="by hand; which of tied rows counts is left to chance",
        ),
        Contender(
            "DuckDB ASOF JOIN, ties right",
            duckdb,
            {**event, "ties": True},
            needs=("duckdb",),
            about="by hand; corrections settled by a window function before the join",
        ),
        Contender(
            "Polars join_asof", polars, event, needs=("polars",), about="by hand: sort, then join"
        ),
        Contender("Feast, DuckDB", feasts, {**event, "as_known": False}, feast),
        Contender(
            "Feast, DuckDB, as known",
            feasts,
            {**known, "as_known": True},
            feast,
            about="filter_by_created_timestamp",
        ),
        Contender("decoding the files", f"{peers}.decode:decode", files, about="the floor"),
    ]


def skewless(
    clock: Clock, features: str, labels: str, expected: str | None, as_of: str
) -> dict[str, Any]:
    """Build the training set from a Parquet table."""
    import skewless as sl

    import_arrow()
    entity = sl.Entity("entity", entity=int)
    source = sl.Source(
        "rows",
        schema={"entity": int, **dict.fromkeys(data.FEATURES, float)},
        event_time="event_at",
        known_time="created_at",
        table=sl.Parquet(features),
    )
    view = sl.FeatureView(
        "Rows", entity=entity, source=source, features={"newest": source.latest(*data.FEATURES)}
    )
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(store.plan(view), build=False)
        with clock:
            table = store.get_historical_features(
                Path(labels), view, timestamp="label_at", as_of=as_of
            ).to_arrow()
    if expected is None:
        return {}
    values = {name: table[name].to_numpy() for name in data.FEATURES}
    return {"wrong_rows": oracles.wrong_rows(expected, values)}


def run_memory(options: Options) -> Figures:
    """Measure five times the history: memory must not follow it."""
    features = data.feature_rows(50_000_000, 500_000)
    labels = data.labels(1_000_000, 500_000)
    files = {"features": str(features), "labels": str(labels)}
    arguments = {**files, "expected": None, "as_of": "event_time"}
    runs = [
        Contender("skewless, 50 M rows", "benchmarks.join:skewless", arguments, once=True),
        Contender("decoding, 50 M rows", "benchmarks.peers.decode:decode", files, once=True),
    ]
    return {
        "title": "Point-in-time join, 50,000,000 rows x 1,000,000 labels x 10 features",
        "data": [data.facts(features), data.facts(labels)],
        "contenders": run_all(runs, options),
    }


def ratios(results: list[Figures]) -> Figures:
    """Return how many times the CPU of skewless the others took."""
    own = found(results, "skewless")
    return {
        figures["name"]: ratio(found(results, figures["name"]), own, "cpu_s") for figures in results
    }


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    results = result["contenders"]
    own = found(results, "skewless")
    peers = [found(results, name) for name in PEERS]
    return [
        line
        for key, unit in (("cpu_s", "CPU s"), ("wall_s", "wall s"), ("peak_mb", "peak MB"))
        for peer in peers
        for line in lines(f"{result['title']}, {unit}", own, peer, key)
    ]
