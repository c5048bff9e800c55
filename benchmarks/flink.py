"""Kafka to readable by a job of Flink on Redis: events a second of one task, and the wait of one.

    make test-plugs ARGS=flink        # once: it makes the environment that has Flink
    python -m benchmarks flink

Broker, Redis and Flink (one process, `skewless flink run`) share this machine. View and events are
those of `benchmarks.kafka_stream`, whose workers write a durable journal; a job has none. The wait
of an event is from the moment that the broker appended it (`LogAppendTime`, whole milliseconds)
until whoever asks Redis every two milliseconds finds that the states hold it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import Clock
from benchmarks.harness import Contender, Figures, Line, Options, PeerMissing, found, lines, run_all
from benchmarks.kafka_stream import PARTITIONS, PATIENCE
from benchmarks.stream import event_lines, opened

HEADINGS = {
    "events_per_s": "events/s",
    "cpu_us": "CPU us an event, all of Flink",
    "p50_ms": "p50 ms to readable",
    "p99_ms": "p99 ms to readable",
    "p999_ms": "p99.9 ms to readable",
}
RATES = (1_000,)
WARM = 1_000
"""Events that come first and are not measured: they wait for what is started and imported."""
_HOME = Path(__file__).parent.parent / ".venv-plugs/flink"


def run(options: Options) -> Figures:
    """Measure how fast a task drains a topic, and the wait at a steady rate."""
    events, seconds = options.pick(4_000, 40_000, 1_000_000), options.pick(1, 8, 60)
    tasks = [("one task", "drained", {"file": str(event_lines(events)), "events": events})]
    tasks += [
        (f"{rate:,} events/s come in", "waits", {"rate": rate, "seconds": seconds})
        for rate in RATES
    ]
    contenders = [
        Contender(name, f"benchmarks.flink:{task}", given, python=_with_flink)
        for name, task, given in tasks
    ]
    title = f"Flink, {PARTITIONS} partitions, three metrics x (three windows + last 100), on Redis"
    return {"title": title, "contenders": run_all(contenders, options)}


def _with_flink() -> str:
    from skewless.testing.downloads import DOWNLOADS

    python = _HOME / "bin/python"
    if not python.exists():
        raise PeerMissing("Flink is not here: make test-plugs ARGS=flink")
    for name in ("kafka", "flink-kafka"):
        if not DOWNLOADS[name].is_here:
            raise PeerMissing(f"python -m skewless.testing.servers install {name}")
    return str(python)


class Job:
    """A job that runs; how far its states have come, and what its processes have used."""

    def __init__(self, process: subprocess.Popen[bytes], store: Any) -> None:
        self._process, self._states = process, store.runtime.home.states
        self._lanes = [b"%d" % number for number in range(PARTITIONS)]

    def reached(self) -> list[int]:
        """Return how many events of each partition can be read."""
        found = self._states.read("lanes.tests", self._lanes)
        return [0 if number is None else int(number) + 1 for number in found]

    def until(self, count: int) -> int:
        """Wait until so many events of all can be read; return how many can."""
        deadline = time.monotonic() + PATIENCE
        while (at := sum(self.reached())) < count:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"{at:,} of {count:,} events came")
            time.sleep(0.005)
        return at

    def cpu_seconds(self) -> float:
        """Return the seconds of processor that the job's processes have had."""
        parents, used = {}, {}
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # one that has ended
                told = file.read_text().rpartition(")")[2].split()
                pid = int(file.parent.name)
                parents[pid], used[pid] = int(told[1]), int(told[11]) + int(told[12])
        own = {self._process.pid}
        while more := {pid for pid, parent in parents.items() if parent in own} - own:
            own |= more
        return sum(used.get(pid, 0) for pid in own) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _job(folder: str, store: Any) -> Iterator[Job]:
    from skewless.testing.downloads import DOWNLOADS

    (jar,) = DOWNLOADS["flink-kafka"].folder.glob("*.jar")
    command = [sys.executable, "-m", "skewless.cli.main", "flink", "run", "tests"]
    command += ["--jar", str(jar), "--parallelism", "1"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        yield Job(process, store)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


@contextlib.contextmanager
def _servers(**columns: Any) -> Iterator[tuple[Any, Any, str]]:
    """Start a broker with the topic, and Redis; yield broker, store and folder."""
    import skewless as sl
    from skewless.testing.kafka_servers import kafka
    from skewless.testing.servers import running

    with (
        tempfile.TemporaryDirectory() as folder,
        kafka("kafka") as broker,
        running("redis") as redis,
    ):
        broker.create("events", PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})
        settings = f'[online]\nkind = "redis"\nurl = "{redis.url}"\n'
        Path(folder, "skewless.toml").write_text(settings)
        with opened(folder, sl.Kafka("events", broker.address, columns=columns or None)) as store:
            yield broker, store, folder


def drained(clock: Clock, file: str, events: int) -> dict[str, Any]:
    """Drain a topic, from the first batch to the last."""
    with _servers() as (broker, store, folder):
        rows = Path(file).read_bytes().splitlines()
        for partition in range(PARTITIONS):
            part = rows[partition::PARTITIONS]
            broker.produce("events", [(None, row) for row in part], partition=partition)
        with _job(folder, store) as job:
            first, before = job.until(min(WARM, events // 2)), job.cpu_seconds()
            with clock:
                job.until(events)
            spent = job.cpu_seconds() - before
    done = events - first
    rate = round(done / clock.figures["wall_s"], 1)
    return {"events": done, "events_per_s": rate, "cpu_us": round(spent / done * 1e6, 2)}


def waits(clock: Clock, rate: int, seconds: float) -> dict[str, Any]:
    """Take in what another process sends at a steady rate, whatever becomes of it: an open loop."""
    import skewless as sl

    total = WARM + int(rate * seconds)
    with _servers(at=sl.message_time()) as (broker, store, folder), _job(folder, store) as job:
        writer = [sys.executable, "-m", "benchmarks.kafka_stream", broker.address]
        subprocess.run([*writer, str(rate), str(WARM)], check=True)
        job.until(WARM)
        seen: list[tuple[float, list[int]]] = []
        with clock, subprocess.Popen([*writer, str(rate), str(total - WARM)]) as sending:
            deadline = time.monotonic() + seconds + PATIENCE
            while not seen or sum(seen[-1][1]) < total:
                reached = job.reached()
                if not seen or reached != seen[-1][1]:
                    seen.append((time.time() * 1e3, reached))
                if time.monotonic() > deadline or sending.poll():
                    raise RuntimeError(f"{sum(reached):,} of {total:,} events came")
                time.sleep(0.002)
        waited = _waits(broker.address, seen)
    places = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    figures = {name: round(float(np.quantile(waited, q)), 1) for name, q in places.items()}
    return {"events": len(waited), "events_per_s": rate, **figures}


def _waits(address: str, seen: list[tuple[float, list[int]]]) -> list[float]:
    """Return how long events waited, milliseconds, that were not there when it was looked first."""
    import confluent_kafka as ck

    group = {"group.id": "waits", "enable.auto.commit": False}
    consumer = ck.Consumer({"bootstrap.servers": address, **group})
    first, last = seen[0][1], seen[-1][1]
    consumer.assign([ck.TopicPartition("events", n, at) for n, at in enumerate(first)])
    left, waited, looks = sum(last) - sum(first), [], [0] * PARTITIONS
    while left:
        for message in consumer.consume(min(left, 10_000), PATIENCE):
            number, offset = message.partition(), message.offset()
            while seen[looks[number]][1][number] <= offset:
                looks[number] += 1
            waited.append(seen[looks[number]][0] - message.timestamp()[1])
            left -= 1
    consumer.close()
    return waited


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    own = found(result["contenders"], "one task")
    made = lines("Flink, one task, events/s", own, None, "events_per_s", more_is_better=True)
    for rate in RATES:
        own = found(result["contenders"], f"{rate:,} events/s come in")
        made += lines(f"Flink, broker to readable at {rate:,}/s, p99 ms", own, None, "p99_ms")
    return made
