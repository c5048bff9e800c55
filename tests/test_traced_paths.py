"""docs/how-it-works.md is true: each path really passes through its stages, in their order.

The files of a stage are those that a call enters, so a page that leaves out a detour, or names a file that
nothing passes through any more, is found here. How many files a call enters in all may not grow by itself.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from uvicorn.server import ServerState

import skewless as sl
from skewless.clock import from_micros
from skewless.serving.app import App
from skewless.serving.http.connection import Connection
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.test_how_it_works import SOURCES, files_in, stages_of

NOON, MINUTE = 1_767_268_800_000_000, 60_000_000  # 2026-01-01T12:00:00Z

DEFINITIONS = """
import skewless as sl

fab = sl.Entity("fab", fab_id=str)
tests = sl.Source(
    "tests", schema={"test_id": str, "fab_id": str, "vdd": float}, event_time="at", row_id="test_id",
    table=sl.Parquet("history"),
)


@sl.feature_view(entity=fab, source=tests)
class Fab:
    vdd_now = tests.vdd.latest()
    vdd_mean = tests.vdd.mean("1h")
    vdd_spread = tests.vdd.max("1h") - tests.vdd.min("1h")
"""
MORE = "    vdd_last = tests.vdd.mean(last=2)\n"

MOST = {
    "apply": 120,
    "push": 88,
    "materialization": 105,
    "online read": 38,
    "training set": 99,
}
"""Files of the package that a call may enter; fewer is better, and raising one is a reviewed line."""


class Trace:
    """The files of the package that were entered, in order."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    def __call__(self, frame: Any, event: str, argument: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(SOURCES)):
            name = Path(path).relative_to(SOURCES).as_posix()
            if not self.entered or self.entered[-1] != name:
                self.entered.append(name)

    @contextmanager
    def on(self) -> Iterator[None]:
        before = sys.getprofile()
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(before)
            threading.setprofile(None)


def test_row(number: int, vdd: float, minutes_ago: int) -> dict[str, object]:
    at = from_micros(NOON - minutes_ago * MINUTE)
    return {"test_id": f"t{number}", "fab_id": "f1", "vdd": vdd, "at": at}


test_row.__test__ = False  # type: ignore[attr-defined]


def write_table(folder: Path, name: str, *rows: dict[str, object]) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "history" / f"{name}.parquet")


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    (tmp_path / "history").mkdir()
    write_table(tmp_path, "a", test_row(1, 0.8, 30), test_row(2, 0.7, 20))
    (tmp_path / "features.py").write_text(DEFINITIONS)
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON)) as opened:
        opened.apply(opened.plan())
        opened.push("tests", [test_row(3, 0.9, 10), test_row(4, 0.6, 9)], backdate=True)
        yield opened


def apply(fs: sl.FeatureStore) -> Callable[[], object]:
    (fs.runtime.config.folder / "features.py").write_text(DEFINITIONS + MORE)
    return lambda: fs.apply(fs.plan())


def push(fs: sl.FeatureStore) -> Callable[[], object]:
    # A new row, and a correction of the newest, that lets older ones count again.
    rows = [test_row(5, 0.5, 1), test_row(4, 0.65, 9)]
    fs.apply(fs.plan())
    return lambda: fs.push("tests", rows, backdate=True)


def materialize(fs: sl.FeatureStore) -> Callable[[], object]:
    write_table(fs.runtime.config.folder, "b", test_row(6, 0.4, 40))
    return lambda: fs.materialize("Fab")


def read(fs: sl.FeatureStore) -> Callable[[], object]:
    body = b'{"features": "Fab", "entities": [{"fab_id": "f1"}]}'
    request = (
        b"POST /v1/features HTTP/1.1\r\nhost: tests\r\ncontent-type: application/json\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
    app = App(fs, Settings())
    app.start()

    async def answer() -> bytes:
        config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            return Connection(config=config, server_state=state, app_state={})

        server = await loop.create_server(connection, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            found = await reader.read()
            writer.close()
            await writer.wait_closed()
        return found

    def call() -> None:
        found = asyncio.run(answer())
        assert found.startswith(b"HTTP/1.1 200")
        assert b"0.6" in found

    call()  # the lookup of a list is compiled once
    return call


def train(fs: sl.FeatureStore) -> Callable[[], object]:
    spine = [{"fab_id": "f1", "at": from_micros(NOON)}]
    return lambda: fs.get_historical_features(spine, "Fab", timestamp="at")


CALLS = {
    "apply": apply,
    "push": push,
    "materialization": materialize,
    "online read": read,
    "training set": train,
}


@pytest.mark.parametrize("path", CALLS)
def test_a_call_passes_through_the_stages_in_their_order(fs: sl.FeatureStore, path: str) -> None:
    call, trace = CALLS[path](fs), Trace()
    with trace.on():
        call()
    stages = [files_in(row) for row in stages_of(path)]
    assert [file for stage in stages for file in stage if file not in trace.entered] == []
    at = 0
    for stage in stages:
        later = [trace.entered.index(file, at) for file in stage if file in trace.entered[at:]]
        assert later, f"{stage} is not entered after the stages before it"
        at = min(later)
    entered = set(trace.entered)
    assert len(entered) <= MOST[path], sorted(entered)
