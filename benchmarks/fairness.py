"""Fair under load: how long small reads wait beside large ones, a backfill and embeddings.

    python -m benchmarks fairness

Small reads come at a fixed rate (an open loop: latency counts from the time a request was due),
first alone, then while clients read thousands of entities each in closed loops and a backfill runs.
The large ones have been asked for before: a server with one worker then starts what answers them.
Both are measured on the same server, one after the other: on a busy machine it is their ratio that
counts. The server's own histogram stands beside the client's; that one lacks the time before a
request is looked at. A large read that is refused is tried again after the second that
``Retry-After`` says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import random
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any
from urllib import request as http

from benchmarks import data, online
from benchmarks.child import Clock
from benchmarks.harness import ROOT, Contender, Figures, Line, Options, found, lines, run_all
from benchmarks.load import Load
from benchmarks.servers import PATIENCE, free_port, started

SMALL_RATE = 500.0
LARGE_CLIENTS = 8
LARGE_ENTITIES = 9_000
LARGE_FEATURES = 5
EMBEDDINGS, WIDTH = 1_000, 1_536
HEADINGS = {
    "idle_p50_ms": "alone: p50 ms",
    "idle_p99_ms": "p99",
    "idle_server_p99_ms": "p99, server",
    "p50_ms": "beside: p50 ms",
    "p99_ms": "p99",
    "server_p99_ms": "p99, server",
    "times": "p99, times alone",
    "refused": "small refused",
    "large_answered": "large answered",
    "large_s": "large/s",
}


def run(options: Options) -> Figures:
    """Measure a server with one and with two workers."""
    given = {
        "entities": options.pick(500, 20_000, 200_000),
        "seconds": options.pick(0.5, 6, 20),
        "newest": str(data.newest_rows(options.pick(500, 20_000, 200_000), online.WIDTH)),
    }
    many = f"{LARGE_CLIENTS} clients reading {LARGE_ENTITIES:,} x {LARGE_FEATURES} and a backfill"
    contenders = []
    for workers in (1, 2):
        named = f", {workers} worker" + "s" * (workers > 1)
        own = {**given, "workers": workers}
        contenders.append(Contender(many + named, "benchmarks.fairness:beside_large", own))
    given.pop("newest")
    for workers in (1, 2):
        about = f"{EMBEDDINGS:,} x Vector({WIDTH:,}), one client"
        about += f", {workers} worker" + "s" * (workers > 1)
        own = {**given, "workers": workers}
        contenders.append(Contender(about, "benchmarks.fairness:beside_embeddings", own))
    title = f"{SMALL_RATE:g} small reads/s (1 x {LARGE_FEATURES}) alone and beside large ones"
    return {"title": title, "contenders": run_all(contenders, options)}


def beside_large(
    clock: Clock, *, newest: str, entities: int, seconds: float, workers: int
) -> dict[str, Any]:
    """Measure small reads alone, then beside clients that read thousands and a backfill."""
    names = [f"Rows:f{number}" for number in range(LARGE_FEATURES)]
    rng = random.Random(1)
    small = [_body(names, [rng.randrange(entities)]) for _ in range(1_000)]
    large = [_body(names, rng.choices(range(entities), k=LARGE_ENTITIES)) for _ in range(20)]
    with tempfile.TemporaryDirectory() as folder:
        online.filled(folder, newest).close()
        with clock, _server(folder, workers) as port:
            return _measured(port, small, large, LARGE_CLIENTS, seconds, backfill=True)


def beside_embeddings(
    clock: Clock, *, entities: int, seconds: float, workers: int
) -> dict[str, Any]:
    """Measure small reads alone, then beside a client that reads a thousand embeddings."""
    import numpy as np

    import skewless as sl

    count = min(EMBEDDINGS, entities)
    source = sl.Source(
        "rows", schema={"entity": int, "f": float, "v": sl.Vector(WIDTH)}, event_time="at"
    )
    features = {"f": source.f.latest(), "v": source.v.latest()}
    view = sl.FeatureView(
        "Rows", entity=sl.Entity("entity", entity=int), source=source, features=features
    )
    vectors = np.random.default_rng(5).normal(0, 1, (count, WIDTH)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        with sl.FeatureStore(folder) as store:
            store.apply(store.plan(view))
            at = "2026-01-01T00:00:00Z"
            rows = [
                {"entity": number, "f": 0.5, "v": vector.tolist(), "at": at}
                for number, vector in enumerate(vectors)
            ]
            store.push("rows", rows, backdate=True)
        small = [_body(["Rows:f"], [number]) for number in range(count)]
        large = [_body(["Rows:v"], list(range(count)))]
        with clock, _server(folder, workers) as port:
            return _measured(port, small, large, 1, seconds, backfill=False)


def _measured(
    port: int, small: list[str], large: list[str], clients: int, seconds: float, *, backfill: bool
) -> dict[str, Any]:
    address = ("127.0.0.1", port, "/v1/features")
    asked = Load(*address, small, seconds, 64, rate=SMALL_RATE)
    heavy = Load(*address, large, seconds, clients, pause=1.0)
    _load(dataclasses.replace(heavy, seconds=seconds)).communicate()  # starts what answers them
    _load(dataclasses.replace(asked, seconds=seconds / 4)).communicate()
    alone = _beside(port, asked)
    with contextlib.ExitStack() as stack:
        if backfill:
            stack.enter_context(_backfilling(port))
        beside = _beside(port, asked, heavy)
    figures: dict[str, Any] = {f"idle_{name}": value for name, value in alone.items()}
    figures.pop("idle_refused")
    figures |= beside
    figures["times"] = round(beside["p99_ms"] / alone["p99_ms"], 2)
    return figures


def _beside(port: int, asked: Load, heavy: Load | None = None) -> dict[str, Any]:
    """Return what small reads were told, by the client and by the server's histogram."""
    before = _buckets(port)
    other = None if heavy is None else _load(heavy)
    this = json.loads(_load(asked).communicate()[0])
    figures = {
        "p50_ms": this["p50_ms"],
        "p99_ms": this["p99_ms"],
        "server_p99_ms": percentile(before, _buckets(port), 0.99),
        "refused": this["sent"] - this["statuses"].get("200", 0),
    }
    if other is not None:
        told = json.loads(other.communicate()[0])
        answered = told["statuses"].get("200", 0)
        figures["large_answered"] = round(answered / max(1, sum(told["statuses"].values())), 3)
        figures["large_s"] = round(answered / told["seconds"], 2)
    return figures


def _load(load: Load) -> subprocess.Popen[str]:
    """Start a load in a process of its own; its figures are its output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(dataclasses.asdict(load)))
    process.stdin.close()
    process.stdin = None
    return process


@contextlib.contextmanager
def _server(folder: str, workers: int) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "skewless.cli.main", "serve", "--repo", folder]
    command += ["--port", str(port), "--workers", str(workers)]
    with started(command, f"http://127.0.0.1:{port}/ready", folder):
        yield port


@contextlib.contextmanager
def _backfilling(port: int) -> Iterator[None]:
    """Keep a backfill running, one after another; raise if one fails."""
    done, failed = threading.Event(), list[Any]()

    def post() -> dict[str, Any]:
        url = f"http://127.0.0.1:{port}/v1/materialize"
        asked = http.Request(url, b'{"backfill": true}', {"content-type": "application/json"})
        with http.urlopen(asked, timeout=PATIENCE) as answer:
            return dict(json.load(answer))

    def work() -> None:
        try:
            job = post()
            while not done.wait(0.1):
                with http.urlopen(f"http://127.0.0.1:{port}/v1/jobs/{job['job']}") as answer:
                    status = json.load(answer)["status"]
                if status == "done":
                    job = post()
                elif status != "running":
                    failed.append(status)
                    return
        except OSError as problem:
            failed.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if failed:
        raise RuntimeError(f"the backfill: {failed[0]}")


_BUCKET = re.compile(
    rb"^skewless_http_request_duration_seconds_bucket"
    rb'\{route="/v1/features",size="small",le="([^"]+)"\} (\d+)', re.MULTILINE
)  # fmt: skip


def _buckets(port: int) -> dict[float, int]:
    """Return how many small reads the server answered within each bound, since its start."""
    with http.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        found = _BUCKET.findall(answer.read())
    return {float(bound): int(count) for bound, count in found}


def percentile(before: dict[float, int], after: dict[float, int], part: float) -> float | None:
    """Return a percentile in milliseconds as Prometheus' ``histogram_quantile`` estimates it."""
    counts = {bound: count - before.get(bound, 0) for bound, count in sorted(after.items())}
    wanted = part * max(counts.values(), default=0)
    lower, below = 0.0, 0
    for bound, count in counts.items():
        if count >= wanted > 0:
            upper = lower if math.isinf(bound) else bound
            return round((lower + (upper - lower) * (wanted - below) / (count - below)) * 1e3, 4)
        lower, below = bound, count
    return None


def _body(names: list[str], entities: list[int]) -> str:
    return json.dumps({"features": names, "entities": {"entity": entities}})


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    told: list[Line] = []
    for one in result["contenders"]:
        own = found(result["contenders"], one["name"])
        told += lines(f"Small reads beside {one['name']}, p99 ms", own, None, "p99_ms")
    return told
