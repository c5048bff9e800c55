"""Engines: CPU of a training set on this machine and on Spark, and what the driver holds.

Workers are processes of this machine, warm: a small set is made first. Their Python and the JVM are
counted apart, by what the system says of every process below this one.

    python -m benchmarks engines            # needs skewless[spark] and Java
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, run_all

HEADINGS = {
    "rows": "rows of history",
    "python_cpu_s": "CPU s in Python",
    "jvm_cpu_s": "CPU s in the JVM",
    "driver_mb": "peak MB of the driver's Python",
    "wall_s": "wall s",
}
START = 1_767_225_600_000_000
SPAN = 90 * 86_400_000_000
CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "3g",
    "spark.sql.shuffle.partitions": "8",
    "spark.log.level": "OFF",
}


def run(options: Options) -> Figures:
    """Measure both engines, and Spark with ten times the rows."""
    rows = options.rows or options.pick(20_000, 500_000, 5_000_000)
    contenders = [
        Contender("local", "benchmarks.engines:local", {"rows": rows}),
        Contender("spark", "benchmarks.engines:spark", {"rows": rows}),
        Contender("spark, ten times the rows", "benchmarks.engines:spark", {"rows": 10 * rows}),
    ]
    title = f"Training sets by engine, {rows:,} rows of history, a tenth as many wanted"
    return {"title": title, "contenders": run_all(contenders, options)}


def local(clock: Clock, rows: int) -> dict[str, Any]:
    """Make a training set on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        fs, spine = shop(Path(folder), rows)
        with fs, clock:
            fs.get_historical_features(str(spine), ["Spend"], timestamp="t")
    driver = clock.figures["peak_mb"]
    return {"rows": rows, "python_cpu_s": clock.figures["cpu_s"], "driver_mb": driver}


def spark(clock: Clock, rows: int) -> dict[str, Any]:
    """Make a training set on Spark and write it; nothing of it comes here."""
    from skewless.engines.spark import SparkEngine

    with (
        tempfile.TemporaryDirectory() as folder,
        SparkEngine(master="local[2]", conf=CONF | {"spark.local.dir": folder}) as engine,
    ):
        small, few = shop(Path(folder) / "small", 1_000)
        fs, spine = shop(Path(folder) / "large", rows)
        with small, fs:
            made(small, engine, few)
            python, jvm = below()
            own = cpu_seconds()
            with clock:
                made(fs, engine, spine)
            after, jvm_after = below()
    used = after - python + cpu_seconds() - own
    found = {"python_cpu_s": round(used, 2), "jvm_cpu_s": round(jvm_after - jvm, 2)}
    return {"rows": rows, **found, "driver_mb": own_peak_mb()}


def made(fs: Any, engine: Any, spine: Path) -> None:
    """Make a training set and have it written."""
    frame = engine.session.read.parquet(str(spine))
    found = fs.get_historical_features(frame, ["Spend"], timestamp="t", engine=engine)
    found.to_parquet(spine.parent / "made")


def shop(folder: Path, rows: int) -> tuple[Any, Path]:
    """Return a repo with so many rows of history, and the file of a spine."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import skewless as sl

    (folder / "pays").mkdir(parents=True)
    cards = max(10, rows // 200)
    for number, first in enumerate(range(0, rows, 250_000)):
        chance = np.random.default_rng(number)
        count = min(250_000, rows - first)
        columns = {"amount": pa.array(chance.normal(size=count))}
        table = pa.table(columns | keyed(chance, count, cards, "at"))
        pq.write_table(table, folder / "pays" / f"{number}.parquet")
    spine = folder / "spine.parquet"
    pq.write_table(
        pa.table(keyed(np.random.default_rng(-1 % 2**32), rows // 10, cards, "t")), spine
    )
    schema = {"card_id": str, "amount": float}
    pays = sl.Source("pays", schema=schema, event_time="at", table=sl.Parquet("pays/"))
    features = {
        "sum_1d": pays.amount.sum("1d"),
        "mean_30d": pays.amount.mean("30d"),
        "count_7d": pays.count("7d"),
        "last_10": pays.amount.max(last=10),
        "now": pays.amount.latest(),
    }
    card = sl.Entity("card", card_id=str)
    view = sl.FeatureView("Spend", entity=card, source=pays, features=features)
    fs = sl.FeatureStore(folder)
    fs.apply(fs.plan([pays, view]), build=False)
    return fs, spine


def keyed(chance: np.random.Generator, count: int, cards: int, time: str) -> dict[str, Any]:
    """Return random keys and times."""
    import pyarrow as pa

    ids = np.char.add("c", chance.integers(0, cards, count).astype(str))
    moments = pa.array(START + chance.integers(0, SPAN, count), pa.timestamp("us", "UTC"))
    return {"card_id": pa.array(ids), time: moments}


def below() -> tuple[float, float]:
    """Return CPU seconds of the processes below this one, ended ones among them: Python, JVM."""
    parents, used, names = {}, {}, {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = place.read_text()
        except OSError:  # it has ended
            continue
        number, name = int(place.parent.name), text[text.index("(") + 1 : text.rindex(")")]
        rest = text[text.rindex(")") + 2 :].split()
        parents[number], names[number] = int(rest[1]), name
        used[number] = sum(map(int, rest[11:15])) / os.sysconf("SC_CLK_TCK")
    found = {True: 0.0, False: 0.0}
    for number, seconds in used.items():
        at: int | None = number
        while at is not None and at != os.getpid():
            at = parents.get(at)
        if at is not None and number != at:
            found[names[number] == "java"] += seconds
    return found[False], found[True]


def own_peak_mb() -> float:
    """Return the peak resident memory of this process alone."""
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return round(peak / 1000, 1)


def summary(_: Figures) -> list[Line]:
    """Nothing of this is in the README's table."""
    return []
