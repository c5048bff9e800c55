"""Workers that share the partitions of a topic: who has what, and that every row counts once.

Sources have no row id here, so that a row that is lost or comes twice shows.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.errors import Conflict, InputError
from skewless.ingest.stream.status import StreamStatus, forget_position, stream_status
from skewless.ingest.stream.worker import StreamWorker
from skewless.online.lease import Holder, Lease
from skewless.testing.kafka_servers import KafkaServer, kafka
from tests.cli.running import data_of, run_in
from tests.ingest.stream.events import served_and_computed, source, store, taken_in

PARTS = [str(number) for number in range(8)]
PATIENCE = 300.0
needs_kafka = pytest.mark.server("kafka")


def until(ready: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


# -------------------------------------------------------------------------- shares, without a topic


def leases(fs: sl.FeatureStore, count: int) -> list[Lease]:
    made = [Lease(fs.runtime.journal, "tests", dict, 60.0, shared=True) for _ in range(count)]
    assert all(lease.take() for lease in made)
    return made


def settled(*those: Lease) -> list[frozenset[str]]:
    """Let each look at its share a few times; what each has in the end."""
    for _ in range(3):
        found = [lease.balance(PARTS)[0] for lease in those]
    return found


def test_shares_differ_by_one_at_most_and_overlap_nowhere(fs: sl.FeatureStore) -> None:
    those = leases(fs, 3)
    held = settled(*those)
    assert sorted(map(len, held)) == [2, 3, 3]
    assert sorted(part for each in held for part in each) == PARTS
    assert settled(*those) == held
    those[0].release()
    assert sorted(map(len, settled(*those[1:]))) == [4, 4]
    for lease in those:
        lease.release()


def test_who_comes_takes_what_is_given_up_and_no_more_moves_than_must(fs: sl.FeatureStore) -> None:
    first, second = leases(fs, 2)
    assert first.balance(PARTS)[0] == {"0", "1", "2", "3"}
    assert second.balance(PARTS)[0] == {"4", "5", "6", "7"}
    (third,) = leases(fs, 1)
    assert third.balance(PARTS) == (frozenset(), True)
    kept = first.balance(PARTS)[0]
    assert kept == {"0", "1", "2"}
    assert third.balance(PARTS) == (frozenset({"3"}), True)
    assert settled(first, second, third)[0] == kept
    for lease in (first, second, third):
        lease.release()


def test_more_workers_than_partitions_leave_some_with_nothing(fs: sl.FeatureStore) -> None:
    those = leases(fs, 10)
    assert sorted(map(len, settled(*those))) == [0, 0, *[1] * 8]
    for lease in those:
        lease.release()


def test_partitions_of_a_worker_elsewhere_move_once_its_lease_has_run_out(
    fs: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody here can see whether a process of another machine still runs."""
    gone, here = leases(fs, 1)[0], leases(fs, 1)[0]
    gone._end.set()  # it renews no more, as after a kill
    gone._mine = replace(gone._mine, host="elsewhere")
    with fs.runtime.journal.transaction() as rows:
        found = [holder for holder in Holder.read(rows, "tests") if holder.alive]
    assert len(found) == 2
    gone.balance(PARTS)
    assert len(here.balance(PARTS)[0]) == 4
    then = time.time_ns() // 1000 + int((gone.seconds + 1) * 1e6)
    monkeypatch.setattr("skewless.online.lease._now", lambda: then)
    assert len(here.balance(PARTS)[0]) == 8
    # It was only slow: it begins again with nothing, and gets its share.
    assert len(gone.balance(PARTS)[0]) == 0
    assert [len(each) for each in settled(here, gone)] == [4, 4]
    here.release()


def test_who_shares_waits_for_who_does_not_and_the_other_way_round(fs: sl.FeatureStore) -> None:
    alone = Lease(fs.runtime.journal, "tests", dict)
    shared = Lease(fs.runtime.journal, "tests", dict, shared=True)
    assert alone.take()
    assert not shared.take()
    alone.release()
    assert shared.take()
    assert not Lease(fs.runtime.journal, "tests", dict).take()
    shared.release()
    assert alone.take()
    alone.release()


def test_a_worker_that_was_taken_for_dead_stops_where_one_has_the_whole_stream(
    fs: sl.FeatureStore,
) -> None:
    (shared,) = leases(fs, 1)
    with fs.runtime.journal.transaction() as rows:
        rows.delete("skewless.leases", [b"tests"])
    alone = Lease(fs.runtime.journal, "tests", dict)
    assert alone.take()
    assert shared.balance(PARTS)[0] == frozenset()
    assert shared.lost.is_set()
    shared.release()
    alone.release()


def test_a_stream_that_is_read_as_one_cannot_be_shared(fs: sl.FeatureStore) -> None:
    with pytest.raises(InputError, match="cannot be shared"):
        StreamWorker(fs.runtime, "tests", share=True)


# ----------------------------------------------------------------------------------------- on Kafka


class Feed(threading.Thread):
    """Writes rows to all partitions until it is told to end; each once, whatever happens."""

    def __init__(self, address: str, topic: str) -> None:
        super().__init__()
        from confluent_kafka import Producer

        self._producer = Producer({"bootstrap.servers": address, "enable.idempotence": True})
        self._topic, self._end, self.count = topic, threading.Event(), 0
        self.failures: list[Any] = []

    def run(self) -> None:
        while not self._end.wait(0.2) and self.count < 50_000:
            now = time.time()
            for _ in range(10):
                row = {"id": self.count, "fab": f"f{self.count % 5}", "vdd": self.count % 7 / 7}
                at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - self.count % 1000))
                value = json.dumps(row | {"at": at}).encode()
                self._producer.produce(
                    self._topic, value, partition=self.count % 8, on_delivery=self._delivered
                )
                self.count += 1
            self._producer.poll(0)

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self.failures.append(error)

    def finish(self) -> int:
        """End it; the number of rows that the topic has."""
        self._end.set()
        self.join()
        assert self._producer.flush(PATIENCE) == 0
        assert self.failures == []
        return self.count


class Workers:
    """Processes of `skewless stream run tests --share`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> int:
        command = [sys.executable, "-m", "skewless.cli.main", "stream", "run", "tests", "--share"]
        with (self.folder / "workers.log").open("ab") as log:
            started = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        self.processes.append(started)
        return started.pid

    def kill(self, pid: int) -> None:
        (process,) = [each for each in self.processes if each.pid == pid]
        self.processes.remove(process)
        process.kill()
        process.wait()

    def stop(self) -> list[int]:
        """Ask all to end; their exit codes."""
        for process in self.processes:
            process.terminate()
        return [process.wait(timeout=PATIENCE) for process in self.processes]


@contextlib.contextmanager
def workers(folder: Path) -> Iterator[Workers]:
    made = Workers(folder)
    try:
        yield made
    finally:
        for process in made.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def status(fs: sl.FeatureStore) -> StreamStatus:
    (found,) = stream_status(fs.runtime, ["tests"])
    return found


def shares(fs: sl.FeatureStore) -> dict[int, set[str]]:
    return {each["pid"]: set(each["parts"]) for each in status(fs).workers}


def is_shared_by(fs: sl.FeatureStore, *pids: int) -> bool:
    found = shares(fs)
    sizes = [len(parts) for parts in found.values()]
    whole = sorted(part for parts in found.values() for part in parts) == PARTS
    return found.keys() == set(pids) and whole and max(sizes) - min(sizes) <= 1


def reached(fs: sl.FeatureStore, parts: set[str]) -> dict[str, int]:
    position = status(fs).position or {}
    return {name: at for name, at in position.items() if name.split("[")[1][:-1] in parts}


@pytest.mark.slow
@needs_kafka
def test_kills_joins_restarts_of_brokers_and_new_leaders_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    """Three workers and eight partitions on three brokers, without row ids."""
    with kafka("kafka", brokers=3) as server, workers(tmp_path) as running:
        server.create("rows", 8, replicas=3, config={"min.insync.replicas": "2"})
        with store(tmp_path, source(sl.Kafka("rows", server.address))) as fs:
            pids = [running.start() for _ in range(3)]
            feed = Feed(server.address, "rows")
            feed.start()
            try:
                until(lambda: is_shared_by(fs, *pids), "three workers do not share")
                killed = pids[0]
                orphans = shares(fs)[killed]
                running.kill(killed)
                before, began = reached(fs, orphans), time.monotonic()

                def went_on() -> bool:
                    now = reached(fs, orphans)
                    return all(now[name] > before[name] for name in before)

                until(went_on, "nobody went on with what a killed worker had")
                print(f"rows of its partitions came in {time.monotonic() - began:.1f} s after")
                until(lambda: is_shared_by(fs, *pids[1:]), "two workers do not share")
                pids = [*pids[1:], running.start()]
                until(lambda: is_shared_by(fs, *pids), "the third does not get its share")
                rolling_restart(server)
                after = reached(fs, set(PARTS))
                until(lambda: all_beyond(reached(fs, set(PARTS)), after), "no more rows come")
            finally:
                total = feed.finish()
            until(lambda: len(taken_in(fs)) >= total, "rows are missing")
            assert running.stop() == [0, 0, 0]
            assert taken_in(fs) == list(range(total))
            served, computed = served_and_computed(fs)
            assert served == computed
            print(f"{total:,} rows, each once")


def all_beyond(found: dict[str, int], before: dict[str, int]) -> bool:
    return all(found[name] > at for name, at in before.items())


def rolling_restart(server: KafkaServer) -> None:
    """Restart one broker after the other; partitions have other leaders meanwhile."""
    for number in range(3):
        led = {part for part, leader in server.leaders("rows").items() if leader == number}
        assert led
        server.stop(number, signal.SIGKILL if number == 2 else signal.SIGTERM)

        def moved(of: set[int] = led, broker: int = number) -> bool:
            leaders = server.leaders("rows")
            return all(leaders.get(part, broker) != broker for part in of)

        until(moved, "no other leaders")
        server.start(number)
        until(lambda: in_sync(server), "not in sync again")


def in_sync(server: KafkaServer) -> bool:
    found = server.admin.list_topics("rows", timeout=60).topics["rows"].partitions
    return all(len(each.isrs) == 3 for each in found.values())


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    with kafka("kafka") as server:
        yield server


@needs_kafka
def test_workers_of_a_new_stream_begin_at_one_place(broker: KafkaServer, tmp_path: Path) -> None:
    """From the end, as the first of them found it, also what a second one takes later."""
    broker.create("begin", 2)
    feed = Feed(broker.address, "begin")
    for partition in (0, 1):
        broker.produce("begin", [(b"k", b'{"id": 0}')], partition=partition)
    with store(tmp_path, source(sl.Kafka("begin", broker.address))) as fs:
        first = StreamWorker(fs.runtime, "tests", share=True, start="latest", lease_seconds=1)
        second = StreamWorker(fs.runtime, "tests", share=True, start="latest", lease_seconds=1)
        with first:
            at = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}"
            for n, partition in enumerate((0, 1)):
                row = {"id": n, "fab": "f1", "vdd": 0.5, "at": at}
                broker.produce("begin", [(b"k", json.dumps(row).encode())], partition=partition)
            with second:

                def both() -> bool:
                    first.step(0.01)
                    second.step(0.01)
                    return len(taken_in(fs)) == 2

                until(both, "rows are missing")
                until(lambda: both() and len(shares_of(fs)) == 2, "they do not share")
        assert taken_in(fs) == [0, 1]
    del feed


def shares_of(fs: sl.FeatureStore) -> list[list[str]]:
    return [holder.parts for holder in Holder.read(fs.runtime.journal, "tests") if holder.parts]


@needs_kafka
def test_a_worker_that_was_taken_for_dead_keeps_nothing_and_joins_again(
    broker: KafkaServer, tmp_path: Path
) -> None:
    broker.create("slow", 1)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    rows = [
        (b"k", json.dumps({"id": n, "fab": "f1", "vdd": 0.5, "at": at}).encode()) for n in range(20)
    ]
    broker.produce("slow", rows)
    with store(tmp_path, source(sl.Kafka("slow", broker.address))) as fs:
        first = StreamWorker(fs.runtime, "tests", share=True, max_rows=5)
        second = StreamWorker(fs.runtime, "tests", share=True, max_rows=5)
        with first:
            until(lambda: first.step() is not None and first.metrics.rows == 5, "no rows")
            with fs.runtime.journal.transaction() as journal:
                journal.delete("skewless.leases", [b"tests"])
            with second:
                until(lambda: second.step() is not None and second.metrics.rows == 5, "no rows")
                assert first.step() is None  # the batch it has is the other's by now
                assert first.metrics.rows == 5
            until(lambda: first.step() is None and first.metrics.rows == 15, "does not go on")
        assert taken_in(fs) == list(range(20))


@needs_kafka
def test_once_ends_when_all_is_read_and_status_tells_of_the_workers(
    broker: KafkaServer, tmp_path: Path
) -> None:
    broker.create("once", 8)
    feed = Feed(broker.address, "once")
    feed.start()
    until(lambda: feed.count >= 200, "nothing is written")
    total = feed.finish()
    with store(tmp_path, source(sl.Kafka("once", broker.address))) as fs:
        with StreamWorker(fs.runtime, "tests", share=True) as other:
            until(lambda: other.step() is not None and other.metrics.rows > 0, "no rows")
            (told,) = data_of(run_in(tmp_path, "stream", "status", "--json"))
            (worker,) = told["workers"]
            assert (worker["pid"], worker["parts"]) == (os.getpid(), PARTS)
            with pytest.raises(Conflict, match="at work"):
                forget_position(fs.runtime, "tests")
        data_of(run_in(tmp_path, "stream", "run", "tests", "--share", "--once", "--json"))
        assert taken_in(fs) == list(range(total))
        assert data_of(run_in(tmp_path, "stream", "reset", "tests", "--json"))["had_position"]
