"""Reads over HTTP: how many a server answers, what they cost it, and how long callers wait.

    python -m benchmarks.serving --size small          # or: make bench-serving

skewless and Feast's own server hold the same rows and are asked by the same load generator
(`benchmarks.load`, a process of its own), first as fast as they answer, then at fixed rates.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import data, online
from benchmarks.child import Clock
from benchmarks.harness import (
    Contender,
    Figures,
    Line,
    Options,
    found,
    lines,
    measured,
    run_all,
)
from benchmarks.peers.feast_env import feast_python
from benchmarks.servers import Measured, Plan, Shape, every_shape, free_port, started

WIDTHS = (10, 20, 120)
SHAPES = ((1, 10), (1, 120), (100, 10), (100, 120))
WINDOWED = "1x20 windowed"
HEADINGS = {
    "req_s": "requests/s",
    "cpu_us": "server CPU us",
    "p50_ms_1000": "p50 ms at 1,000/s",
    "p95_ms_1000": "p95",
    "p99_ms_1000": "p99",
    "errors_1000": "not answered",
    "p50_ms_100": "p50 ms at 100/s",
    "p99_ms_100": "p99",
}
OURS, SQLITE = "skewless, LMDB", "skewless, SQLite"
CONTRACT, LONG = "skewless, LMDB, /get-online-features", "skewless, LMDB, the long way"
FEAST = "Feast, SQLite"
FLOORS = {"protocol": "uvloop and httptools, a constant", "uvicorn": "uvicorn, a constant"}
MODES = (
    (CONTRACT, "contract", "asked and answered as Feast's server"),
    (LONG, "long", "every request through all of ASGI"),
)


def run(options: Options) -> Figures:
    """Measure every server with one and two workers."""
    entities = options.pick(300, 2_000, 20_000)
    seconds = options.pick(0.2, 2, 5)
    files = {str(width): str(data.newest_rows(entities, width)) for width in WIDTHS}
    asked = {"files": files, "entities": entities, "seconds": seconds}
    own = {"windows": options.pick(5, 100, 200), **asked}
    task, peer = "benchmarks.serving:skewless", "benchmarks.peers.feast_server:serve"
    contenders = []
    for workers in (1, 2):
        named = f", {workers} worker" + "s" * (workers > 1)
        given = {"workers": workers, "kind": "lmdb", "mode": "", **own}
        contenders.append(Contender(OURS + named, task, given))
        if workers == 1:
            contenders.append(Contender(SQLITE + named, task, given | {"kind": "sqlite"}))
            contenders += [
                Contender(f"{name}{named}", task, given | {"mode": mode}, about=about)
                for name, mode, about in MODES
            ]
        contenders.append(
            Contender(
                FEAST + named,
                peer,
                {"workers": workers, **asked},
                feast_python(options.install),
                limit_s=3_600,
                once=True,
                about="feast serve; its 1 x 20 are stored values, not windows",
            )
        )
    results = run_all(contenders, options)
    names = [f"{count}x{width}" for count, width in SHAPES]
    first, *others = [part(name, results, entities) for name in (*names, WINDOWED)]
    floors = [
        Contender(name, "benchmarks.serving:floor", {"kind": kind, "seconds": seconds})
        for kind, name in FLOORS.items()
    ]
    title = "HTTP, 1 x 10: servers that always answer the same"
    others.append(part("1x10", run_all(floors, options), entities) | {"title": title})
    return first | {"data": [data.facts(Path(file)) for file in files.values()], "parts": others}


def part(shape: str, results: list[Figures], entities: int) -> Figures:
    """Return what was measured of one shape as a table of its own."""
    count, _, features = shape.partition("x")
    own = [
        {key: one[key] for key in ("name", "about") if key in one} | one[shape]
        if measured(one)
        else one
        for one in results
    ]
    rows = f" over {online.ROWS_IN_WINDOW:,} rows" if shape == WINDOWED else ""
    title = f"HTTP, {count} x {features}{rows}, {entities:,} entities"
    return {"title": title, "shape": shape, "contenders": own}


def skewless(
    clock: Clock, *, files: dict[str, str], entities: int, windows: int, kind: str, workers: int,
    mode: str, seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """Fill a store, serve it, and measure every shape."""
    widest = files[str(max(WIDTHS))]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "skewless.toml").write_text(f'[online]\nkind = "{kind}"\n')
        with online.filled(folder, widest) as store:
            sums = online.push_windows(store, windows)
        right = online.expected(widest)
        contract = mode == "contract"
        # What is the least bit unusual is not answered by the short cut.
        more = "content-encoding: identity\r\n" if mode == "long" else ""

        @contextlib.contextmanager
        def serve() -> Iterator[Measured]:
            port = free_port()
            command = [sys.executable, "-m", "skewless.cli.main", "serve", "--repo", folder]
            command += ["--port", str(port), "--workers", str(workers)]
            with started(command, f"http://127.0.0.1:{port}/ready", folder) as process:
                path = "/get-online-features" if contract else "/v1/features"
                server = Measured(process, port, path, body, workers=workers, more=more)
                server.wait_for("/metrics", b"skewless_view_last_event_timestamp_seconds{")
                check(server, right, sums, contract)
                yield server

        shapes = [Shape(*shape, among=entities) for shape in SHAPES]
        shapes.append(Shape(1, 20, among=windows, windowed=True))
        with clock:
            return every_shape(serve, shapes, Plan(seconds))


def floor(clock: Clock, kind: str, seconds: float) -> dict[str, Any]:
    """Measure a server that does nothing but HTTP."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("stacks.py")), kind, str(port)]
    address = f"http://127.0.0.1:{port}/"
    with (
        tempfile.TemporaryDirectory() as folder,
        started(command, address, folder) as process,
        clock,
    ):
        server = Measured(process, port, "/", body)
        return {"1x10": server.figures(Shape(1, 10, among=1_000), Plan(seconds))}


def body(shape: Shape, entities: list[int]) -> dict[str, Any]:
    """Return what is posted for some entities: the same to both addresses."""
    names = [f"Rows:f{number}" for number in range(shape.features)]
    if shape.windowed:
        names = [
            f"Windows:{aggregation}_{window}"
            for aggregation in online.AGGREGATIONS
            for window in online.WINDOW_LENGTHS
        ]
    return {"features": names, "entities": {"entity": entities}}


def check(
    server: Measured, newest: dict[int, list[float]], sums: list[float], contract: bool
) -> None:
    """Raise unless the server answers what was put in."""
    some = sorted(newest)[::97][:50]
    for shape in SHAPES:
        values = columns(server.ask(Shape(*shape, among=0), some), contract)
        if values != [[newest[entity][at] for entity in some] for at in range(shape[1])]:
            raise RuntimeError(f"wrong values at {shape}")
    asked = Shape(1, 20, among=0, windowed=True)
    answered = columns(server.ask(asked, list(range(len(sums)))), contract)
    at = online.AGGREGATIONS.index("sum") * len(online.WINDOW_LENGTHS)
    if answered[at + len(online.WINDOW_LENGTHS) - 1] != sums:
        raise RuntimeError("wrong sums over windows")


def columns(answer: Any, contract: bool) -> list[list[Any]]:
    """Return the features' values out of an answer of either kind."""
    if contract:
        return [result["values"] for result in answer["results"][1:]]
    return list(answer["values"].values())


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    told: list[Line] = []
    for one in (result, *result["parts"]):
        count, _, features = one["shape"].partition("x")
        for workers in ("1 worker", "2 workers"):
            own = found(one["contenders"], f"{OURS}, {workers}")
            peer = found(one["contenders"], f"{FEAST}, {workers}")
            what = f"HTTP, {count} x {features} features, {workers}"
            told += lines(f"{what}, requests/s", own, peer, "req_s", more_is_better=True)
            told += lines(f"{what}, p99 ms at 1,000/s", own, peer, "p99_ms_1000")
    return told


if __name__ == "__main__":
    from benchmarks.__main__ import main

    sys.argv.insert(1, "serving")
    sys.exit(main())
