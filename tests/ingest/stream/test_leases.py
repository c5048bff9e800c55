"""One worker a source, and what keeps two of them apart."""

import json
import threading
from pathlib import Path

import pytest

import skewless as sl
from skewless.errors import Conflict
from skewless.ingest.stream.worker import StreamWorker
from skewless.online.lease import LEASES, Holder, Lease
from tests.ingest.stream.events import (
    append,
    event,
    lines,
    run,
    taken_in,
)


def test_a_second_worker_waits_until_the_first_is_done(fs: sl.FeatureStore, landing: Path) -> None:
    append(landing / "a.jsonl", lines(event(n) for n in range(10)))
    first = StreamWorker(fs.runtime, "tests", max_rows=5)
    second = StreamWorker(fs.runtime, "tests")
    with first:
        first.step()
        waiting = threading.Thread(target=lambda: second.run(once=True))
        waiting.start()
        waiting.join(0.7)
        assert waiting.is_alive()
        assert len(taken_in(fs)) == 5
    waiting.join(30)
    assert second.metrics.rows == 5
    assert taken_in(fs) == list(range(10))


def test_a_worker_that_waits_can_be_stopped(fs: sl.FeatureStore) -> None:
    second = StreamWorker(fs.runtime, "tests")
    with StreamWorker(fs.runtime, "tests"):
        waiting = threading.Thread(target=second.run)
        waiting.start()
        second.stop()
        waiting.join(30)
        assert not waiting.is_alive()


def test_a_worker_whose_position_moved_keeps_nothing_and_stops(
    fs: sl.FeatureStore, landing: Path
) -> None:
    """Two that both think it is their turn: leases go by clocks, the position does not."""
    append(landing / "a.jsonl", lines(event(n) for n in range(10)))
    first = StreamWorker(fs.runtime, "tests", max_rows=5)
    second = StreamWorker(fs.runtime, "tests", max_rows=5)
    with first:
        fs.runtime.journal.delete(LEASES, [b"tests"])
        with second:
            second.step()
            with pytest.raises(Conflict, match="another worker went on"):
                first.step()
            second.step()
    assert taken_in(fs) == list(range(10))


def test_a_lost_lease_stops_a_worker(fs: sl.FeatureStore) -> None:
    with StreamWorker(fs.runtime, "tests", lease_seconds=0.3) as worker:
        fs.runtime.journal.delete(LEASES, [b"tests"])
        assert worker.lease.lost.wait(30)
        with pytest.raises(Conflict, match="took the stream over"):
            worker.step()


def test_the_lease_of_a_process_that_is_gone_is_not_waited_for(fs: sl.FeatureStore) -> None:
    journal = fs.runtime.journal
    lease = Lease(journal, "tests", dict, seconds=3600)
    assert lease.acquire(threading.Event())
    (held,) = json.loads(journal.read_one(LEASES, b"tests") or b"")
    lease._end.set()  # its thread writes no more
    journal.write(LEASES, [(b"tests", json.dumps([held | {"pid": 2**22 + 1}]).encode())])
    (holder,) = Holder.read(journal, "tests")
    assert not holder.alive
    assert run(fs).rows == 0
