"""Local times that a zone has twice, or not at all: one moment on every path, as `ambiguous=` says."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.ingest.stream.worker import StreamWorker
from skewless.testing.clock import SettableClock

ZONE = ZoneInfo("Europe/Berlin")
AUTUMN, SPRING = datetime(2026, 10, 25, 2), datetime(2026, 3, 29, 2)
FORWARD = datetime(2026, 3, 29, 1, tzinfo=UTC)
"""When clocks are put from 2:00 to 3:00."""
NOW = datetime(2026, 10, 25, 3, tzinfo=UTC)
MINUTE, MICROSECOND = timedelta(minutes=1), timedelta(microseconds=1)
HOUR = 60 * MINUTE


def moment(local: datetime, ambiguous: str) -> datetime:
    """What a local time means, by Python's own zones."""
    first, second = (local.replace(tzinfo=ZONE, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:  # there is no such time
        return FORWARD - MICROSECOND if ambiguous == "earliest" else FORWARD
    return first if ambiguous == "earliest" else second


def local_times(seed: int) -> list[datetime]:
    chance = random.Random(seed)
    return [
        start + chance.randint(-90, 150) * MINUTE + chance.randint(0, 59) * timedelta(seconds=1)
        for start in (AUTUMN, SPRING)
        for _ in range(15)
    ]


def table_of(folder: Path, kind: str, times: list[datetime], ambiguous: str) -> sl.Parquet | sl.CSV:
    columns = {"k": ["a"] * len(times), "v": [float(2**n) for n in range(len(times))], "at": times}
    if kind == "parquet":
        (folder / "rows").mkdir()
        for part in range(0, len(times), 6):  # files whose statistics are of local times
            some = {name: values[part : part + 6] for name, values in columns.items()}
            pq.write_table(pa.table(some), folder / "rows" / f"{part}.parquet", row_group_size=2)
        return sl.Parquet("rows/*.parquet", timezone="Europe/Berlin", ambiguous=ambiguous)
    lines = [f"a,{v},{at.isoformat()}" for v, at in zip(columns["v"], times, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["k,v,at", *lines]) + "\n")
    return sl.CSV("rows.csv", timezone="Europe/Berlin", ambiguous=ambiguous)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("ambiguous", ["earliest", "latest"])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_local_time_is_one_moment_on_every_path(
    tmp_path: Path, kind: str, ambiguous: str, seed: int
) -> None:
    times = local_times(seed)
    table = table_of(tmp_path, kind, times, ambiguous)
    source = sl.Source("s", schema={"k": str, "v": float}, event_time="at", table=table)
    features = {"sum": source.v.sum("30m"), "many": source.count("1h"), "all": source.v.sum("300d")}
    view = sl.FeatureView("V", entity=sl.Entity("e", k=str), source=source, features=features)
    rows = [(moment(at, ambiguous), float(2**n)) for n, at in enumerate(times)]

    def expected(t: datetime) -> dict[str, float]:
        def inside(width: timedelta) -> list[float]:
            return [value for at, value in rows if t - width < at <= t]

        return {
            "sum": sum(inside(30 * MINUTE)),
            "many": len(inside(HOUR)),
            "all": sum(inside(300 * 24 * HOUR)),
        }

    asked = [at + shift for at, _ in rows for shift in (-MICROSECOND, timedelta(), HOUR)]
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOW))) as fs:
        fs.apply(view)
        spine = [{"k": "a", "t": t} for t in asked]
        found = fs.get_historical_features(spine, "V", timestamp="t")
        for number, t in enumerate(asked):
            assert {name: found[name][number] for name in features} == expected(t), t
        for again in range(2):
            online = fs.get_online_features("V", [{"k": "a"}])
            assert {name: online[name][0] for name in features} == expected(NOW)
            assert fs.explain("V:sum", {"k": "a"}).value == expected(NOW)["sum"]
            if not again:
                interval = {"start": NOW - 2 * HOUR, "end": NOW - HOUR}
                fs.materialize(**interval)
                fs.backfill("V", **interval)
        assert fs.verify(seed=1).ok


FOLDS = {fold: AUTUMN.replace(hour=2, minute=30, tzinfo=ZONE, fold=fold) for fold in (0, 1)}
FORMS = {
    "python": lambda local: local,
    "pandas": pd.Timestamp,
    "text": datetime.isoformat,
    "rows of pandas": lambda local: pd.DataFrame({"at": [local]})["at"][0],
}


def frames(rows: list[dict[str, object]]) -> list[object]:
    """The rows in every form that can hold both times of the hour that autumn has twice."""
    times = pa.array([row["at"] for row in rows], pa.timestamp("us", str(ZONE)))
    plain = pa.Table.from_pylist([{k: v for k, v in row.items() if k != "at"} for row in rows])
    arrow = plain.append_column("at", times)
    return [rows, pd.DataFrame(rows), arrow, pl.from_arrow(arrow)]


def test_both_times_of_an_hour_that_is_there_twice_are_moments_of_their_own(tmp_path: Path) -> None:
    """Pushed, streamed, asked about and in spines, in every form: never one for the other."""
    stream = sl.Files("rows/")
    source = sl.Source("s", schema={"k": str, "n": int}, event_time="at", stream=stream)
    features = {"many": source.count("30m"), "newest": source.n.latest()}
    view = sl.FeatureView("V", entity=sl.Entity("e", k=str), source=source, features=features)
    (tmp_path / "rows").mkdir()
    lines = [
        json.dumps({"k": f"stream{fold}", "n": fold, "at": local.isoformat()})
        for fold, local in FOLDS.items()
    ]
    (tmp_path / "rows" / "1.jsonl").write_text("\n".join(lines) + "\n")
    clock = SettableClock(to_micros(FOLDS[1]))
    with sl.FeatureStore(tmp_path, clock=clock) as fs:
        fs.apply(view)
        StreamWorker(fs.runtime, "s").run(once=True)
        keys = {f"stream{fold}": fold for fold in FOLDS}
        for form, made in FORMS.items():
            rows = [
                {"k": f"{form}{fold}", "n": fold, "at": made(local)}
                for fold, local in FOLDS.items()
            ]
            keys |= {str(row["k"]): int(str(row["n"])) for row in rows}
            fs.push("s", rows, backdate=True)
        for number in range(1, 4):
            rows = [{"k": f"{number}{fold}", "n": fold, "at": at} for fold, at in FOLDS.items()]
            keys |= {str(row["k"]): int(str(row["n"])) for row in rows}
            fs.push("s", frames(rows)[number], backdate=True)
        asked = [{"k": key} for key in keys]
        online = fs.get_online_features("V", asked)
        assert online["many"] == list(keys.values())  # the first of both is an hour ago
        for fold, local in FOLDS.items():
            for spine in frames([{"k": key, "at": local} for key in keys]):
                trained = fs.get_historical_features(spine, "V", timestamp="at", as_of="event_time")
                assert trained["many"] == [int(fold == of) for of in keys.values()]
                newest = [of if of <= fold else None for of in keys.values()]
                assert trained["newest"] == newest
