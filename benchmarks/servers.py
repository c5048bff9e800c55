"""Servers that are measured: started in a process of their own, asked, watched, stopped.

Needs nothing but the standard library: peers' interpreters use it too.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib import request as http

from benchmarks.harness import ROOT
from benchmarks.load import Load

PATIENCE = 120.0
VARIANTS = 20_000
"""Entities asked for in turn: the bodies of one load hold so many."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Shape:
    """What one request asks for.

    Attributes:
        entities: how many.
        features: how many of each.
        among: numbers of entities that there are.
        windowed: whether the features are aggregates over windows.
    """

    entities: int
    features: int
    among: int
    windowed: bool = False

    @property
    def name(self) -> str:
        """Such as ``1x10``."""
        return f"{self.entities}x{self.features}" + (" windowed" if self.windowed else "")


@dataclass(frozen=True)
class Plan:
    """How a server is asked.

    Attributes:
        seconds: of each load.
        connections: of a closed loop, for each worker.
        rates: of open loops, requests a second.
    """

    seconds: float
    connections: int = 16
    rates: tuple[int, ...] = (1_000, 100)


class Measured:
    """A server that runs.

    Args:
        process: the one that was started.
        port: where it listens, on this machine.
        path: that is posted to.
        body: returns what to post for some entities of a shape.
        workers: of the server.
        more: further lines of every head.
    """

    def __init__(
        self,
        process: subprocess.Popen[Any],
        port: int,
        path: str,
        body: Callable[[Shape, list[int]], dict[str, Any]],
        *,
        workers: int = 1,
        more: str = "",
    ) -> None:
        self.process, self.port, self.path = process, port, path
        self._body = body
        self._workers = workers
        self._more = more

    def ask(self, shape: Shape, entities: list[int]) -> Any:
        """Return the answer to one request."""
        body = json.dumps(self._body(shape, entities)).encode()
        headers = {"content-type": "application/json"}
        url = f"http://127.0.0.1:{self.port}{self.path}"
        with http.urlopen(http.Request(url, body, headers), timeout=PATIENCE) as answer:
            return json.load(answer)

    def wait_for(self, path: str, text: bytes) -> None:
        """Wait until the server shows a text: it has done what it does at its start."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with http.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
                if text in answer.read():
                    return
            time.sleep(0.1)

    def figures(self, shape: Shape, plan: Plan) -> dict[str, Any]:
        """Return what was measured of a shape: capacity, CPU, latency at the rates."""
        rng = random.Random(1)
        requests = max(50, VARIANTS // shape.entities // shape.features)
        bodies = [
            json.dumps(self._body(shape, rng.choices(range(shape.among), k=shape.entities)))
            for _ in range(requests)
        ]
        address = ("127.0.0.1", self.port, self.path)
        load = Load(*address, bodies, plan.seconds, 0, more=self._more)
        many = plan.connections * self._workers
        self._run(load, seconds=plan.seconds / 4, connections=many)
        self._rest()
        before = self._cpu()
        found = self._run(load, connections=many)
        answered = found["statuses"].get("200", 0)
        figures: dict[str, Any] = {
            "req_s": round(answered / found["seconds"], 1),
            "cpu_us": round((self._cpu() - before) / max(1, answered) * 1e6, 2),
            "busy_p99_ms": found["p99_ms"],
            "errors": float(sum(found["statuses"].values()) - answered),
        }
        for rate in plan.rates:
            self._rest()
            found = self._run(load, connections=128, rate=float(rate))
            wrong = found["sent"] - found["statuses"].get("200", 0)
            figures |= {f"p{q}_ms_{rate}": found[f"p{q}_ms"] for q in (50, 95, 99)}
            figures[f"errors_{rate}"] = round(wrong / found["sent"], 5)
        return figures

    @staticmethod
    def _run(load: Load, **changes: Any) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load"], cwd=ROOT, text=True, check=True,
            input=json.dumps(asdict(load) | changes), stdout=subprocess.PIPE,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def _rest(self) -> None:
        """Wait until the server has nothing left to do: one that was overrun may have a lot."""
        deadline = time.monotonic() + PATIENCE
        before = self._cpu()
        while time.monotonic() < deadline:
            time.sleep(0.2)
            now = self._cpu()
            if now - before < 0.05:
                return
            before = now

    def _cpu(self) -> float:
        """Return the CPU seconds of the server's processes, those that ended included."""
        total, parents = 0, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    words = (entry / "stat").read_text().rpartition(")")[2].split()
                    parents[int(entry.name)] = int(words[1]), sum(map(int, words[11:15]))
        own = {self.process.pid}
        while more := {pid for pid, (parent, _) in parents.items() if parent in own} - own:
            own |= more
        for pid in own & parents.keys():
            total += parents[pid][1]
        return total / _TICKS


def every_shape(
    serve: Callable[[], contextlib.AbstractContextManager[Measured]],
    shapes: Sequence[Shape],
    plan: Plan,
) -> dict[str, Any]:
    """Measure every shape with a server of its own: one that was overrun is no use to the next."""
    found = {}
    for shape in shapes:
        with serve() as server:
            found[shape.name] = server.figures(shape, plan)
    return found


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def started(command: Sequence[str], health: str, folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until it says that it is well, and stop it at the end."""
    log = Path(folder) / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, "PYTHONPATH": ""},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while not _well(health):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-2_000:])
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _well(url: str) -> bool:
    try:
        with http.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
