"""kill -9 at any moment: no row is lost and none is counted twice.

Workers run in processes of their own, forked by a process that has nothing open. Each is killed
after it has told of some batches and then a moment more, so that the kill comes anywhere: while
reading, in a transaction, or between two of them.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import skewless as sl
from tests.ingest.stream.events import (
    append,
    event,
    lines,
    served_and_computed,
    source,
    store,
    taken_in,
)

KILLS = 12
ROWS = 60
LAUNCHER = """
import json, os, random, select, signal, sys, time
import pyarrow.compute, pyarrow.parquet
pyarrow.array([1])  # which imports pandas where there is one: once, and not in each child
import skewless as sl
import skewless.registry.sqlite, skewless.stores.online.lmdb.store, skewless.streams.files
from skewless.ingest.stream.worker import StreamWorker

folder = sys.argv[1]

def work(told, max_rows):
    with sl.FeatureStore(folder) as fs:
        with StreamWorker(fs.runtime, "tests", max_rows=max_rows) as worker:
            while True:
                worker.step(0.002)
                os.write(told, b".")

for request in sys.stdin:
    max_rows, batches, seconds = json.loads(request)
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(told, max_rows)
        except BaseException as problem:
            print(repr(problem), file=sys.stderr, flush=True)
        finally:
            os._exit(1)
    os.close(told)
    for _ in range(batches):
        os.read(heard, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(heard)
    print("killed", flush=True)
"""


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        yield process


def kill_after(launcher: subprocess.Popen[str], *moment: float) -> None:
    """Let a worker run with so many rows a batch, for some batches and a moment more; kill it."""
    launcher.stdin.write(json.dumps(moment) + "\n")
    launcher.stdin.flush()
    assert launcher.stdout.readline() == "killed\n"


@pytest.mark.slow
@pytest.mark.parametrize("row_id", [None, "id"])
def test_a_kill_at_any_moment_loses_and_doubles_nothing(
    tmp_path: Path, launcher: subprocess.Popen[str], row_id: str | None, seed: int
) -> None:
    rng = random.Random(seed)
    (tmp_path / "landing").mkdir()
    store(tmp_path, source(sl.Files("landing"), row_id=row_id)).close()
    written, delivered = 0, []
    for _ in range(KILLS):
        new = [event(number) for number in range(written, written + ROWS)]
        written += ROWS
        if row_id is not None:  # deliveries out of order and more than once
            new += rng.sample(delivered, min(len(delivered), 10))
            rng.shuffle(new)
        delivered += new
        text = lines(new)
        cut = rng.randrange(len(text))  # a line is half there when a worker reads on
        file = tmp_path / "landing" / f"{rng.randrange(3)}.jsonl"
        append(file, text[:cut])
        kill_after(launcher, rng.choice([1, 7, 40, 1000]), rng.randrange(6), rng.uniform(0, 0.02))
        append(file, text[cut:])
    subprocess.run(
        [sys.executable, "-m", "skewless.cli.main", "stream", "run", "tests", "--once"],
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    with sl.FeatureStore(tmp_path) as fs:
        assert taken_in(fs) == list(range(written))
        assert fs.quarantine("tests") == []
        served, computed = served_and_computed(fs)
        assert served == computed
        counts = fs.get_online_features(["Rolling:tests"], [{"fab": f"f{n}"} for n in range(5)])
        assert sum(counts.to_dict()["tests"]) == written


def test_a_worker_ends_well_when_it_is_asked_to(tmp_path: Path) -> None:
    """SIGTERM: the batch at hand is kept, and the exit code is 0."""
    (tmp_path / "landing").mkdir()
    store(tmp_path, source(sl.Files("landing"))).close()
    append(tmp_path / "landing" / "a.jsonl", lines(event(n) for n in range(50)))
    command = [sys.executable, "-m", "skewless.cli.main", "stream", "run", "tests", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as worker:
        with sl.FeatureStore(tmp_path) as fs:
            while len(taken_in(fs)) < 50:
                assert worker.poll() is None
        os.kill(worker.pid, signal.SIGTERM)
        told, _ = worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert json.loads(told)["rows"] == 50
