"""Windowed aggregations: 45 features over five windows and four over the last 100 rows.

Events have zipf keys, one entity has 8 % of them; the spine asks as often for popular ones. Every
measured run reads both files and ends with the result in memory. A sample of the results is
compared with exact rationals: sums and means that are not the correctly rounded ones are counted.
Nobody's time is extrapolated: who cannot do the full size is measured, with skewless, on less.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
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
    measured,
    ratio,
    run_all,
)
from benchmarks.window_oracle import AGGREGATIONS, LAST_100, WINDOWS, compare, expected_windows

HEADINGS = {
    "features": "features",
    "cpu_s": "CPU s",
    "cpu_s_least": "least CPU s",
    "wall_s": "wall s",
    "peak_mb": "peak MB",
    "wrong": "wrong",
    "inexact": "inexact",
    "worst_std": "worst std",
}
_PEERS = "benchmarks.peers."
_POLARS, _DUCKDB = f"{_PEERS}polars_windows", f"{_PEERS}duckdb_windows"
_NO_DISTINCT = [name for name in AGGREGATIONS if name != "n_unique"]


def run(options: Options) -> Figures:
    """Measure everybody at full size, slow ways on less, and skewless on more and more events."""
    rows = options.rows or options.pick(20_000, 1_000_000, 10_000_000)
    whole = compared(rows, rows // 10, FAST, options)
    part = compared(max(rows // 10, 2_000), rows // 100, SLOW, options)
    least = compared(max(rows // 100, 2_000), rows // 1_000, SLOWEST, options)
    result = {**whole, "parts": [part, least]}
    if not options.only or "linearity" in options.only:
        result["linearity"] = linearity(options)
    if not options.only or "hot key" in options.only:
        result["hot_key"] = hot_key(options)
    return result


FAST = (
    Contender(
        "Polars, running sums and join_asof",
        f"{_POLARS}:cumulative",
        needs=("polars",),
        about="no min, max, n_unique; sums and std lose digits",
    ),
    Contender(
        "Polars, rolling over the union",
        f"{_POLARS}:rolling",
        {"aggregations": _NO_DISTINCT},
        needs=("polars",),
        about="no n_unique, nothing of the last 100",
    ),
    Contender(
        "Polars, best of both",
        f"{_POLARS}:both",
        {"rolled": ["min", "max"]},
        needs=("polars",),
        about="no n_unique; min and max rolling, all else running sums",
    ),
    Contender(
        "DuckDB, running sums and ASOF JOIN",
        f"{_DUCKDB}:cumulative",
        needs=("duckdb",),
        about="no min, max, n_unique; sums and std lose digits",
    ),
)
SLOW = (
    Contender(
        "DuckDB, RANGE frames",
        f"{_DUCKDB}:frames",
        needs=("duckdb",),
        once=True,
        about="everything",
    ),
)
SLOWEST = (
    Contender(
        "Polars, best of both and n_unique",
        f"{_POLARS}:both",
        {"rolled": ["min", "max", "n_unique"]},
        needs=("polars",),
        once=True,
        about="everything; memory of a rolling n_unique grows with the square of the events",
    ),
)


def compared(rows: int, asked: int, peers: tuple[Contender, ...], options: Options) -> Figures:
    """Measure skewless and some peers on so many events and spine rows."""
    entities = max(200, rows // 100)
    events, spine = data.events(rows, entities), data.spine(max(asked, 200), entities)
    files = {"events": str(events), "spine": str(spine)}
    files["expected"] = str(expected_windows(events, spine))
    contenders = [
        Contender("skewless", "benchmarks.windows:skewless", files),
        *(Contender(**{**vars(peer), "arguments": {**files, **peer.arguments}}) for peer in peers),
    ]
    results = run_all(contenders, options)
    own = found(results, "skewless")
    return {
        "title": f"Windowed aggregations, {rows:,} events x {data.facts(spine)['rows']:,} labels",
        "data": [data.facts(events), data.facts(spine)],
        "contenders": results,
        "ratios": {
            figures["name"]: ratio(found(results, figures["name"]), own, "cpu_s")
            for figures in results
        },
    }


def skewless(clock: Clock, events: str, spine: str, expected: str | None) -> dict[str, Any]:
    """Build the training set; its features have the names that the oracle uses."""
    import skewless as sl

    import_arrow()
    entity = sl.Entity("entity", entity=int)
    source = sl.Source(
        "events",
        schema={"entity": int, "amount": float, "merchant": int},
        event_time="event_at",
        table=sl.Parquet(events),
    )
    features = {
        name: getattr(source.merchant if name == "n_unique" else source.amount, name)(*WINDOWS)
        for name in AGGREGATIONS
    }
    features |= {f"last100_{name}": getattr(source.amount, name)(last=100) for name in LAST_100}
    view = sl.FeatureView("Windows", entity=entity, source=source, features=features)
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as store:
        store.apply(store.plan(view), build=False)
        with clock:
            table = store.get_historical_features(
                Path(spine), view, timestamp="label_at"
            ).to_arrow()
    return {} if expected is None else compare(expected, table)


def linearity(options: Options) -> Figures:
    """Measure skewless on growing histories with one spine: cost per event must not grow."""
    sizes = {
        "tiny": [5_000, 20_000],
        "small": [100_000, 1_000_000],
        "full": [1_000_000, 10_000_000, 50_000_000],
    }[options.size]
    entities = 100_000 if options.size == "full" else 10_000
    spine = data.spine(options.pick(1_000, 100_000, 1_000_000), entities)
    runs = []
    for rows in sizes:
        arguments = {"events": str(data.events(rows, entities)), "spine": str(spine)}
        runs.append(
            Contender(
                f"skewless, {rows:,} events",
                "benchmarks.windows:skewless",
                {**arguments, "expected": None},
                once=True,
            )
        )
    results = run_all(runs, Options(size=options.size, repeats=1))
    for rows, figures in zip(sizes, results, strict=True):
        if measured(figures):
            figures["cpu_s_per_million"] = round(figures["cpu_s"] / rows * 1e6, 3)
    return {
        "title": f"Windowed aggregations, growing history x {data.facts(spine)['rows']:,} labels",
        "data": [data.facts(spine)],
        "contenders": results,
    }


def hot_key(options: Options) -> Figures:
    """Measure skewless where one entity has 30 % of all rows: it must not serialise the cores."""
    rows = options.pick(20_000, 1_000_000, 10_000_000)
    entities = max(200, rows // 100)
    runs = [
        Contender(
            f"skewless, one entity has {hot} % of the events" if hot else "skewless",
            "benchmarks.windows:skewless",
            {
                "events": str(data.events(rows, entities, hot)),
                "spine": str(data.spine(rows // 10, entities, hot)),
                "expected": None,
            },
        )
        for hot in (0, 30)
    ]
    results = run_all(runs, Options(size=options.size, repeats=options.repeats))
    for figures in filter(measured, results):
        figures["cores"] = round(figures["cpu_s"] / figures["wall_s"], 2)
    return {"title": f"A hot key, {rows:,} events x {rows // 10:,} labels", "contenders": results}


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    found_lines = []
    for part in (result, *result["parts"]):
        own = found(part["contenders"], "skewless")
        for peer in filter(measured, part["contenders"]):
            if own and peer is not own:
                covers = f"{peer['name']} ({peer['features']} of {own['features']} features)"
                what = f"{part['title']}, CPU s"
                found_lines += lines(what, own, {**peer, "name": covers}, "cpu_s")
    return found_lines
