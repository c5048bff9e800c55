"""Test events of a fab: definitions over a stream, lines of it, and what was taken in."""

import json
import struct
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import skewless as sl
from skewless.clock import from_micros
from skewless.definitions import Source
from skewless.definitions.tables import Stream
from skewless.ingest.stream.metrics import StreamMetrics
from skewless.ingest.stream.worker import StreamWorker

FABS = [f"f{number}" for number in range(5)]
LANDING = sl.Files("landing")
SCHEMA = {"id": int, "fab": str, "vdd": float}


def source(stream: Stream | None, **options: Any) -> Source:
    return Source("tests", schema=SCHEMA, event_time="at", stream=stream, **options)


def view(rows: Source) -> Any:
    """Many windows at once, so that any row lost, doubled or misplaced shows."""

    @sl.feature_view(entity=sl.Entity("fab", fab=str), source=rows)
    class Rolling:
        tests = rows.count("1h")
        low = rows.where(rows.vdd < 0.5).count(sl.lifetime())
        total = rows.vdd.sum("10m", "1h")
        mean = rows.vdd.mean("1h", last=20)
        std = rows.vdd.std("1h", last=20)
        smallest = rows.vdd.min("10m", last=20)
        largest = rows.vdd.max("1h")
        newest = rows.vdd.latest()
        newest_id = rows.id.latest()
        trend = rows.vdd.trend(last=20, recent=5)

    return Rolling


def store(folder: Path, rows: Source) -> sl.FeatureStore:
    """A store in a folder, with the view over these rows applied."""
    fs = sl.FeatureStore(folder)
    fs.apply(fs.plan(view(rows)))
    return fs


def run(fs: sl.FeatureStore, **options: Any) -> StreamMetrics:
    """Take in what is there, with a worker of its own."""
    return StreamWorker(fs.runtime, "tests", **options).run(once=True)


def event(number: int, **changes: Any) -> dict[str, Any]:
    """The event of a number; numbers apart by one lie a second apart, ending now."""
    seconds = (number * 7919) % 3000
    at = datetime.now(UTC).timestamp() - seconds
    row = {
        "id": number,
        "fab": FABS[number * 31 % len(FABS)],
        "vdd": number * 0.37 % 1.0,
        "at": datetime.fromtimestamp(at, UTC).isoformat(),
    }
    return row | changes


def line(row: Mapping[str, Any]) -> str:
    return json.dumps(row) + "\n"


def lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(map(line, rows))


def append(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)


def taken_in(fs: sl.FeatureStore) -> list[int]:
    """The ids of all rows in the event log, sorted."""
    found: list[int] = []
    history = fs.runtime.history(fs.runtime.source("tests"))
    for chunk in history.chunks(["id"]):
        found += chunk.table["id"].to_pylist()
    return sorted(found)


def bits(value: Any) -> Any:
    return struct.pack("<d", value) if isinstance(value, float) else value


def served_and_computed(fs: sl.FeatureStore) -> tuple[Any, Any]:
    """Every feature of every fab at one moment: read online, and from history; as bits."""
    entities = [{"fab": fab} for fab in [*FABS, "nobody"]]
    now = fs.runtime.clock.now()
    served = fs.get_online_features("Rolling", entities, at=now).to_dict()
    spine = [{**entity, "at": from_micros(now)} for entity in entities]
    computed = fs.get_historical_features(spine, "Rolling", timestamp="at").to_dict()
    names = [name for name in served if name != "fab"]
    return tuple(
        {name: [bits(value) for value in values[name]] for name in names}
        for values in (served, computed)
    )
