"""Drift: false alarms and power of the default, and what profiles cost.

A false alarm is a run over 100 features, none of which has changed, in which any test says drift.
At most 5 % of the runs may have one. Power is the share of ten features that were shifted, among
ninety that were not, that are found. Then every feature of a repo is profiled online.

    python -m benchmarks drift              # a minute or two
    python -m benchmarks drift --size full  # 200 runs, a million entities
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, run_all

HEADINGS = {
    "entities": "entities",
    "runs": "runs",
    "with_alarm": "runs with a false alarm",
    "found": "of the shifted found",
    "wall_s": "s",
    "cpu_s": "CPU s",
    "peak_mb": "peak MB",
    "bytes": "bytes a feature-day",
}
FEATURES = 100
SHIFTED = 10
COLUMNS = 50
ONE_AT_ONCE = 100_000
NOON = 1_767_261_600_000_000
Generator = np.random.Generator
FAMILIES: dict[str, Callable[[Generator, int, float], Any]] = {
    "log-normal": lambda chance, n, by: chance.lognormal(by, 1, n),
    "normal": lambda chance, n, by: chance.normal(by, 1, n),
    "counts": lambda chance, n, by: (
        chance.poisson(chance.gamma(2, 4, n) + by) * (chance.random(n) > 0.6)
    ),
    "5 categories": lambda chance, n, _: chance.integers(0, 5, n).astype(str),
    "50 categories": lambda chance, n, _: chance.integers(0, 50, n).astype(str),
    "5,000 categories": lambda chance, n, _: chance.integers(0, 5000, n).astype(str),
}


def run(options: Options) -> Figures:
    """Measure false alarms, power, and profiles."""
    small = (100, 300, 1_000)
    sizes = {"tiny": small[:1], "small": small, "full": (*small, 10_000, 1_000_000)}
    found = []
    for n in sizes[options.size]:
        runs = min(options.pick(2, 20, 200), max(2, 2_000_000 // n))
        found += [
            Contender(
                f"{n:,} entities, nothing changed: {name}", "benchmarks.drift:alarms",
                {"family": name, "n": n, "runs": runs}, once=True, limit_s=7200,
            )
            for name in FAMILIES if name != "normal"
        ]  # fmt: skip
    shifts = {"tiny": ((100, 0.5),), "small": ((300, 0.3), (1_000, 0.3), (1_000, 0.1))}
    for n, by in shifts.get(options.size, (*shifts["small"], (100, 0.5), (10_000, 0.3))):
        arguments = {"n": n, "by": by, "runs": options.pick(1, 8, 40)}
        name = f"{n:,} entities, +{by} sd of {SHIFTED} in {FEATURES} features"
        found.append(Contender(name, "benchmarks.drift:power", arguments, once=True, limit_s=3600))
    entities = options.rows or options.pick(500, 20_000, 1_000_000)
    arguments = {"entities": entities}
    found.append(
        Contender(
            "450 features profiled",
            "benchmarks.drift:profiled",
            arguments,
            once=True,
            limit_s=7200,
        )
    )
    return {
        "title": "Drift: false alarms, power, profiles",
        "contenders": run_all(found, options),
    }


def taken(values: Any, name: str, point: str) -> Any:
    """Return the profile of values."""
    import pyarrow as pa

    from skewless.drift.profile import Profiler
    from skewless.types import Float64, String

    text = values.dtype.kind == "U"
    profiler = Profiler(String if text else Float64, now=0)
    profiler.add_array(pa.array(values))
    return profiler.profile(name, point=point, start=0, end=0)


def judged_run(chance: Generator, family: str, n: int, by: float = 0.0) -> list[Any]:
    """Return the findings of one run; the first features are shifted by ``by``."""
    from skewless.drift.compare import compare, judged

    draw, found = FAMILIES[family], []
    for number in range(FEATURES):
        shift = by if number < SHIFTED else 0.0
        name = f"V@v1:f{number}"
        reference = taken(draw(chance, n, 0.0), name, "online")
        found += compare(reference, taken(draw(chance, n, shift), name, "online"))
    return judged(found)


def alarms(clock: Clock, family: str, n: int, runs: int) -> dict[str, Any]:
    """Count the runs with any alert where nothing has changed."""
    chance = np.random.default_rng(n)
    with clock:
        wrong = sum(any(each.level for each in judged_run(chance, family, n)) for _ in range(runs))
    return {"entities": n, "runs": runs, "with_alarm": round(wrong / runs, 4)}


def power(clock: Clock, n: int, by: float, runs: int) -> dict[str, Any]:
    """Count the shifted features that are found, and the runs with an alert about another."""
    chance, found, wrong = np.random.default_rng(n), 0, 0
    shifted = {f"V@v1:f{number}" for number in range(SHIFTED)}
    with clock:
        for _ in range(runs):
            alerts = {each.of for each in judged_run(chance, "normal", n, by) if each.level}
            found += len(alerts & shifted)
            wrong += bool(alerts - shifted)
    shares = {"found": round(found / runs / SHIFTED, 3), "with_alarm": round(wrong / runs, 3)}
    return {"entities": n, "runs": runs, **shares}


def profiled(clock: Clock, entities: int) -> dict[str, Any]:
    """Profile 450 features of so many entities, and keep the profiles."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import skewless as sl

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        names = [f"c{number}" for number in range(COLUMNS)]
        writer = None
        for start in range(0, entities, ONE_AT_ONCE):
            chance = np.random.default_rng(start)
            count = min(ONE_AT_ONCE, entities - start)
            table = pa.table(
                {
                    "card_id": np.arange(start, start + count),
                    "at": pa.array(np.full(count, NOON), pa.timestamp("us", "UTC")),
                    **{name: chance.lognormal(0, 1, count) for name in names},
                }
            )
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
        schema = {"card_id": int, **dict.fromkeys(names, float)}
        rows = sl.Source("rows", schema=schema, event_time="at", table=sl.Parquet(str(path)))
        made = {}
        for name in names:
            column, life = rows[name], sl.lifetime()
            made |= {f"{name}_last": column.latest(), f"{name}_first": column.first()}
            made |= {f"{name}_{k}": getattr(column, k)(life) for k in ("sum", "max", "mean")}
            made |= {
                f"{name}_twice": column.sum(life) * 2,
                f"{name}_more": column.sum(life) + 1,
                f"{name}_spread": column.max(life) - column.min(life),
                f"{name}_n": column.count(life),
            }
        view = sl.FeatureView(
            "Wide", entity=sl.Entity("card", card_id=int), source=rows, features=made
        )
        if len(made) != 450:
            raise RuntimeError(f"{len(made)} features")
        with sl.FeatureStore(folder) as fs:
            fs.apply(fs.plan(view), build=True)
            before, start = fs.runtime.ledger.size(), cpu_seconds()
            with clock:
                found = fs.profile("Wide")
            size = (fs.runtime.ledger.size() - before) / len(found)
            if any(each.n != entities for each in found):
                raise RuntimeError("an entity is missing")
        return {
            "entities": entities, "cpu_s": round(cpu_seconds() - start, 1), "bytes": round(size)
        }  # fmt: skip


def summary(_: Figures) -> list[Line]:
    """Nothing of this is in the README's table."""
    return []
