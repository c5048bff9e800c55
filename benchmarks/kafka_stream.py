"""Kafka to readable: events a second of 1, 2, 4 workers that share a topic, and how long one waits.

    python -m benchmarks kafka_stream

The broker is Kafka itself, one process, which shares this machine with the workers.
The view is that of `benchmarks.stream`; sources have no row id. An event's wait is from the moment
that the broker appended it (`LogAppendTime`, whole milliseconds) until its batch can be read.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import Clock
from benchmarks.harness import Contender, Figures, Line, Options, PeerMissing, found, lines, run_all
from benchmarks.stream import METRICS, event_lines, opened

PARTITIONS = 8
WORKERS = (1, 2, 4)
RATES = (1_000, 10_000)
WARM_SECONDS = 10
"""What comes first is not measured: it waits for what is imported and compiled."""
PATIENCE = 300.0
HEADINGS = {
    "events_per_s": "events/s",
    "cpu_us": "CPU us an event, all workers",
    "p50_ms": "p50 ms to readable",
    "p99_ms": "p99 ms to readable",
    "p999_ms": "p99.9 ms to readable",
}


def run(options: Options) -> Figures:
    """Measure how fast workers drain a topic, and the wait at steady rates."""
    events = options.pick(4_000, 200_000, 1_000_000)
    seconds = options.pick(1, 10, 30)
    contenders = [
        Contender(
            f"{workers} worker{'s' if workers > 1 else ''}",
            "benchmarks.kafka_stream:drained",
            {"workers": workers, "file": str(event_lines(events)), "events": events},
            python=_with_kafka,
        )
        for workers in WORKERS
    ]
    contenders += [
        Contender(
            f"{rate:,} events/s come in",
            "benchmarks.kafka_stream:waits",
            {"rate": rate, "seconds": seconds},
            python=_with_kafka,
        )
        for rate in RATES
    ]
    return {
        "title": f"Kafka, {PARTITIONS} partitions, three metrics x (three windows + last 100)",
        "contenders": run_all(contenders, options),
    }


def _with_kafka() -> str:
    from skewless.testing.downloads import DOWNLOADS

    if not DOWNLOADS["kafka"].is_here:
        raise PeerMissing("Kafka is not here: python -m skewless.testing.servers install kafka")
    return sys.executable


def drained(clock: Clock, workers: int, file: str, events: int) -> dict[str, Any]:
    """Drain a topic by workers in processes of their own; from their first batch to the last."""
    import skewless as sl
    from skewless.ingest.stream.status import stream_status
    from skewless.testing.kafka_servers import kafka

    with tempfile.TemporaryDirectory() as folder, kafka("kafka") as server:
        server.create("events", PARTITIONS)
        rows = Path(file).read_bytes().splitlines()
        for partition in range(PARTITIONS):
            part = rows[partition::PARTITIONS]
            server.produce("events", [(None, row) for row in part], partition=partition)
        with opened(folder, sl.Kafka("events", server.address)) as store:
            command = [
                sys.executable,
                "-m",
                "skewless.cli.main",
                "stream",
                "run",
                "tests",
                "--share",
            ]
            running = [
                subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
                for _ in range(workers)
            ]

            def reached() -> int:
                (status,) = stream_status(store.runtime, ["tests"])
                return sum((status.position or {}).values())

            def until(count: int) -> int:
                deadline = time.monotonic() + PATIENCE
                while (at := reached()) < count:
                    if time.monotonic() > deadline:
                        raise RuntimeError(f"{at:,} of {count:,} events came")
                    time.sleep(0.005)
                return at

            try:
                first = until(1)
                with clock:
                    until(events)
            finally:
                spent = sum(_ended(process) for process in running)
    rate = round((events - first) / clock.figures["wall_s"], 1)
    return {"events": events, "events_per_s": rate, "cpu_us": round(spent / events * 1e6, 2)}


def _ended(process: subprocess.Popen[bytes]) -> float:
    """Stop a process; the seconds of processor that it had."""
    process.terminate()
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return used.ru_utime + used.ru_stime


def waits(clock: Clock, rate: int, seconds: float) -> dict[str, Any]:
    """Take in what another process sends at a steady rate, whatever becomes of it: an open loop."""
    import skewless as sl
    from skewless.ingest.stream.worker import StreamWorker
    from skewless.testing.kafka_servers import kafka

    taken: list[Any] = []
    with tempfile.TemporaryDirectory() as folder, kafka("kafka") as server:
        server.create("events", PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})
        stream = sl.Kafka("events", server.address, columns={"at": sl.message_time()})
        with (
            opened(folder, stream) as store,
            StreamWorker(store.runtime, "tests", max_rows=10_000) as worker,
        ):
            total, warm = int(rate * seconds), int(rate * WARM_SECONDS)
            command = [sys.executable, "-m", "benchmarks.kafka_stream", server.address]
            command += [str(rate), str(warm + total)]
            with subprocess.Popen(command) as writer:
                count = _take(worker, writer, warm, [])
                with clock:
                    count += _take(worker, writer, warm + total - count, taken)
    ordered = np.sort(np.concatenate(taken)) / 1e3
    places = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    figures = {name: round(float(np.quantile(ordered, q)), 3) for name, q in places.items()}
    achieved = round(len(ordered) / clock.figures["wall_s"], 1)
    return {"events": len(ordered), "events_per_s": achieved, "batches": len(taken), **figures}


def _take(worker: Any, writer: subprocess.Popen[bytes], most: int, waited: list[Any]) -> int:
    """Step until so many events have come; note the wait of each."""
    count = 0
    while count < most:
        kept = worker.step(1)
        if kept is not None:
            waited.append(kept.at - kept.events)
            count += len(kept.events)
        elif writer.poll():
            raise RuntimeError(f"the writer ended with {writer.returncode}")
    return count


def send_at_rate(address: str, rate: int, total: int) -> None:
    """Send events when they are due."""
    from confluent_kafka import Producer

    rng = np.random.default_rng(7)
    entity = rng.integers(0, 100_000, total).tolist()
    metrics = ", ".join(f'"{name}": 1.25' for name in METRICS)
    producer = Producer({"bootstrap.servers": address, "linger.ms": 1})
    begin, done = time.monotonic(), 0
    while done < total:
        due = min(int((time.monotonic() - begin) * rate) + 1, total)
        for n in range(done, due):
            row = f'{{"entity": {entity[n]}, {metrics}}}'
            producer.produce("events", row.encode(), partition=n % PARTITIONS)
        producer.poll(0)
        done = max(done, due)
        time.sleep(0.0005)
    if producer.flush(PATIENCE):
        raise RuntimeError("events were not delivered")


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    made = []
    for workers in WORKERS:
        name = f"{workers} worker{'s' if workers > 1 else ''}"
        own = found(result["contenders"], name)
        made += lines(f"Kafka, {name}, events/s", own, None, "events_per_s", more_is_better=True)
    for rate in RATES:
        own = found(result["contenders"], f"{rate:,} events/s come in")
        made += lines(f"Kafka to readable at {rate:,}/s, p99 ms", own, None, "p99_ms")
    return made


if __name__ == "__main__":
    send_at_rate(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
