"""Faults of a server's own processes: one is killed, or hangs.

A client reads over a new connection each time and pushes row after row, each with the patience of
a second; a fault is over when twenty reads after another are answered, and a push is.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.servers import free_port, started

PATIENCE = 1.0
IN_A_ROW = 20
LIMIT_SECONDS = 120.0
AT = "2026-01-01T00:00:00Z"


class Served:
    """A server with two workers, and what it has acknowledged."""

    def __init__(self, pid: int, port: int, folder: str) -> None:
        self.pid = pid
        self.folder = folder
        self._port = port
        self._pushed = 0

    def process(self, role: str) -> int:
        """Return the number of one of its processes: a worker or the writer."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.pid and role.encode() in words:
                    return int(entry.name)
        raise RuntimeError(f"no {role} runs")

    def ready(self) -> int:
        """Return how many processes have said that they are ready, since the start."""
        return (Path(self.folder) / "server.log").read_text().count('"event": "ready"')

    def _post(self, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(
                "POST", path, json.dumps(body), {"content-type": "application/json"}
            )  # fmt: skip
            answer = connection.getresponse()
            found = json.load(answer)
            if answer.status != 200:
                raise OSError(found)
            return found

    def read(self, card: int = 0) -> Any:
        """Return how often a card has paid."""
        asked = {"features": ["Spend:count"], "entities": {"card_id": [card]}}
        return self._post("/v1/features", asked)["values"]["count"][0]

    def push(self) -> None:
        """Push one row; one that is sent again, since its fate is not known, counts once."""
        number = self._pushed + 1
        row = {"id": number, "card_id": 1, "amount": 1.0, "at": AT}
        self._post("/v1/push", {"source": "pays", "rows": [row], "backdate": True})
        self._pushed = number

    def lost(self) -> int:
        """Return how many acknowledged rows cannot be read."""
        return self._pushed - int(self.read(1) or 0)


@contextlib.contextmanager
def serving() -> Iterator[Served]:
    """Serve a repo by two workers and a writer, all of them ready."""
    import skewless as sl

    card = sl.Entity("card", card_id=int)
    pays = sl.Source(
        "pays", schema={"id": int, "card_id": int, "amount": float}, event_time="at", row_id="id"
    )
    features = {"count": pays.count(sl.lifetime())}
    view = sl.FeatureView("Spend", entity=card, source=pays, features=features)
    with tempfile.TemporaryDirectory() as folder:
        with sl.FeatureStore(folder) as store:
            store.apply(store.plan(view))
        port = free_port()
        command = [
            *(sys.executable, "-m", "skewless.cli.main", "serve", "--repo", folder),
            *("--workers", "2", "--port", str(port)),
        ]
        with started(command, f"http://127.0.0.1:{port}/ready", folder) as process:
            served = Served(process.pid, port, folder)
            deadline = time.monotonic() + LIMIT_SECONDS
            while served.ready() < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
            until(served.push, 1, time.monotonic())
            yield served


def until(call: Callable[[], Any], times: int, began: float) -> float:
    """Call until that succeeds so often in a row; return when the first of these began."""
    first, row = time.monotonic(), 0
    while row < times:
        if not row:
            first = time.monotonic()
        try:
            call()
            row += 1
        except (OSError, http.client.HTTPException):
            row = 0
            if time.monotonic() - began > LIMIT_SECONDS:
                raise
            time.sleep(0.005)
    return first - began


def outage(role: str, how: signal.Signals) -> dict[str, Any]:
    """Do something to a process; return how long reads and pushes failed, and what was lost."""
    with serving() as served:
        process, began = served.process(role), time.monotonic()
        os.kill(process, how)
        calls = {"reads_s": (served.read, IN_A_ROW), "writes_s": (served.push, 1)}
        with ThreadPoolExecutor(len(calls)) as threads:
            both = [(name, threads.submit(until, *call, began)) for name, call in calls.items()]
            found: dict[str, Any] = {name: round(seconds.result(), 3) for name, seconds in both}
        return found | {"lost": served.lost()}


FAULTS: dict[str, Callable[[], dict[str, Any]]] = {
    "one of two workers is killed": lambda: outage("worker", signal.SIGKILL),
    "one of two workers hangs": lambda: outage("worker", signal.SIGSTOP),
    "the writer is killed": lambda: outage("writer", signal.SIGKILL),
    "the writer hangs": lambda: outage("writer", signal.SIGSTOP),
}
