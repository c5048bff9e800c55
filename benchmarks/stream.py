"""Stream worker: events per second, durable, and how long an event takes until it is readable.

Both read JSON lines of three metrics of 100,000 entities. skewless keeps three windows and the last
100 rows (mean, std, min, max) of each metric ready to be read, the events in its log, and its
position with them, flushed to disk with each batch. River and Bytewax keep less, in memory only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import Clock
from benchmarks.data import SEED, cached
from benchmarks.harness import Contender, Figures, Line, Options, found, lines, run_all
from benchmarks.peers.stream_env import stream_python
from skewless.definitions.tables import Files, Stream

METRICS = ("vdd", "idd", "yield_pct")
ENTITIES = 100_000
RATE = 10_000
HEADINGS = {
    "events_per_s": "events/s",
    "p50_ms": "p50 ms to readable",
    "p99_ms": "p99 ms to readable",
    "p999_ms": "p99.9 ms to readable",
    "cpu_us": "CPU us an event",
    "cpu_s": "CPU s",
    "peak_mb": "peak MB",
}


def run(options: Options) -> Figures:
    """Measure how fast batches go in, and the wait at a steady rate."""
    events = options.pick(30_000, 200_000, 1_000_000)
    seconds = options.pick(0.2, 5, 15)
    file = str(event_lines(events))
    peers = stream_python(options.install)
    contenders = [
        Contender(
            f"skewless, batches of {batch:,}",
            "benchmarks.stream:skewless",
            {"file": file, "batch": batch, "seconds": seconds},
        )
        for batch in (1_000, 10_000)
    ]
    tasks = "benchmarks.peers.stream_tasks"
    contenders += [
        Contender(
            f"skewless, {RATE:,} events/s come in",
            "benchmarks.stream:waits",
            {"rate": RATE, "seconds": seconds},
        ),
        Contender(
            "River",
            f"{tasks}:river",
            {"lines": file, "seconds": seconds},
            peers,
            about="mean and variance, in memory, events in time order",
        ),
        Contender(
            "Bytewax",
            f"{tasks}:bytewax",
            {"lines": file, "seconds": seconds},
            peers,
            about="one metric, one window, in memory",
        ),
    ]
    return {
        "title": "Stream, three metrics x (three windows + last 100), durable",
        "contenders": run_all(contenders, options),
    }


def event_lines(events: int) -> Path:
    """JSON lines of events of the last minutes, in time order, a millisecond apart."""
    hour = time.time_ns() // 3_600_000_000_000
    name = f"stream-{events}-{ENTITIES}-{hour}.jsonl"

    def write(path: Path) -> None:
        rng = np.random.default_rng(SEED)
        at = time.time_ns() // 1_000 - np.arange(events)[::-1] * 1_000
        entity = rng.integers(0, ENTITIES, events).tolist()
        values = [rng.normal(1, 0.1, events).tolist() for _ in METRICS]
        with path.open("w", encoding="utf-8") as file:
            file.writelines(map(line, entity, at.tolist(), *values))

    return cached(name, write)


def line(entity: int, micros: int, *values: float) -> str:
    """Return an event as a line of JSON, as a machine would send it."""
    seconds, rest = divmod(micros, 1_000_000)
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:06}Z"
    metrics = ", ".join(f'"{m}": {v!r}' for m, v in zip(METRICS, values, strict=True))
    return f'{{"entity": {entity}, "at": "{at}", {metrics}}}\n'


def opened(folder: str, stream: Stream) -> Any:
    """Return a store with the view applied."""
    import skewless as sl

    source = sl.Source(
        "tests",
        schema={"entity": int, **dict.fromkeys(METRICS, float)},
        event_time="at",
        stream=stream,
    )
    features = {
        f"{metric}_{name}": getattr(source[metric], name)("5m", "1h", "24h", last=100)
        for metric in METRICS
        for name in ("mean", "std", "min", "max")
    }
    entity = sl.Entity("entity", entity=int)
    store = sl.FeatureStore(folder)
    store.apply(
        store.plan(sl.FeatureView("Rolling", entity=entity, source=source, features=features))
    )
    return store


def skewless(clock: Clock, file: str, batch: int, seconds: float) -> dict[str, Any]:
    """Take a file in for some seconds, or to its end."""
    from skewless.ingest.stream.worker import StreamWorker

    with (
        tempfile.TemporaryDirectory() as folder,
        opened(folder, Files(file)) as store,
        StreamWorker(store.runtime, "tests", max_rows=batch) as worker,
    ):
        worker.step()  # the first batch, which imports and compiles, is not measured
        begin, events = time.perf_counter(), 0
        with clock:
            while time.perf_counter() < begin + seconds:
                kept = worker.step(0)
                if kept is None:
                    break
                events += len(kept.events)
    cpu = round(clock.figures["cpu_s"] / max(events, 1) * 1e6, 2)
    rate = round(events / clock.figures["wall_s"], 1)
    return {"events": events, "events_per_s": rate, "cpu_us": cpu}


def waits(clock: Clock, rate: int, seconds: float) -> dict[str, Any]:
    """Take in what another process writes at a steady rate, whatever becomes of it: an open loop.

    An event's wait begins when it was due, and ends when the batch it is in can be read.
    """
    from skewless.ingest.stream.worker import StreamWorker

    taken: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.jsonl"
        with (
            opened(folder, Files(str(file))) as store,
            StreamWorker(store.runtime, "tests", max_rows=10_000) as worker,
        ):
            warm = [line(n % ENTITIES, time.time_ns() // 1_000, 1.0, 1.0, 1.0) for n in range(rate)]
            file.write_text("".join(warm), encoding="utf-8")
            while worker.step(0) is not None:
                pass
            total = int(rate * seconds)
            command = [sys.executable, "-m", "benchmarks.stream", str(file), str(rate), str(total)]
            with clock, subprocess.Popen(command) as writer:
                count = 0
                while count < total:
                    kept = worker.step(1)
                    if kept is not None:
                        taken.append(kept.at - kept.events)
                        count += len(kept.events)
                    elif writer.poll():
                        raise RuntimeError(f"the writer ended with {writer.returncode}")
    ordered = np.sort(np.concatenate(taken)) / 1e3
    places = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    figures = {name: round(float(np.quantile(ordered, q)), 3) for name, q in places.items()}
    achieved = round(count / clock.figures["wall_s"], 1)
    return {"events": count, "events_per_s": achieved, "batches": len(taken), **figures}


def write_at_rate(path: str, rate: int, total: int) -> None:
    """Append events when they are due, the time they are due being their event time."""
    rng = np.random.default_rng(SEED)
    entity = rng.integers(0, ENTITIES, total).tolist()
    values = [rng.normal(1, 0.1, total).tolist() for _ in METRICS]
    begin, done = time.time_ns() // 1_000, 0
    step = 1_000_000 / rate
    with open(path, "a", encoding="utf-8", buffering=1 << 20) as file:
        while done < total:
            due = min(int((time.time_ns() // 1_000 - begin) / step) + 1, total)
            for n in range(done, due):
                file.write(line(entity[n], begin + int(n * step), *(v[n] for v in values)))
            file.flush()
            done = max(done, due)
            time.sleep(0.0005)


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    made = []
    for batch in ("1,000", "10,000"):
        own = found(result["contenders"], f"skewless, batches of {batch}")
        peer = found(result["contenders"], "River")
        what = f"Stream worker, batches of {batch}, events/s"
        made += lines(what, own, peer, "events_per_s", more_is_better=True)
    steady = found(result["contenders"], f"skewless, {RATE:,} events/s come in")
    return made + lines(f"Event to readable at {RATE:,}/s, p99 ms", steady, None, "p99_ms")


if __name__ == "__main__":
    write_at_rate(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
