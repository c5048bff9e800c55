"""Workers that answer, a process of large reads and one that writes, started and watched by one.

A read that is large is handed to a process of its own, which stands back behind the workers
(`nice`): those sleep most of the time, so the system runs them at once when a small read comes,
however much there is to do.

A process that dies, by whatever means, is restarted; one that dies again and again, more slowly
each time. One that gives no sign of life (stopped, a disk that hangs) is killed first. Until a
worker is ready, and while it is away, its socket does not listen, so that connections go to the
others. SIGTERM and SIGINT let all finish what they do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from skewless.serving.operate import systemd
from skewless.serving.operate.logs import event
from skewless.serving.settings import Settings
from skewless.serving.sockets import BACKLOG, announce, listen

FIRST_PAUSE, LONGEST_PAUSE, HEALTHY = 0.05, 5.0, 30.0
HUNG = 5.0
"""Seconds without a sign of life (`beat` gives one a second) after which a process is killed."""
STARTING = 45.0
"""Seconds after which one is killed that has given none since it started, on a busy machine too."""
_CHECK = 0.2
WORKER, WRITER, LARGE_READS = "worker", "writer", "large-reads"
SOCKETS = {WRITER: "writer.sock", LARGE_READS: "large-reads.sock"}
"""On which the processes are reached that workers hand requests to."""


class Child:
    """A process that is restarted when it dies.

    Args:
        name: ``worker 0``, ``writer``.
        start: starts it, and is given where it writes signs of life to.
        door: the socket on which it takes connections from outside; None: it has none.

    Attributes:
        process: the one that runs.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[int], subprocess.Popen[bytes]],
        door: socket.socket | None = None,
    ) -> None:
        self.name = name
        self._start = start
        self._door = door
        self._life, self._signs = os.pipe()
        for end in (self._life, self._signs):
            os.set_blocking(end, False)
        self._alive: float | None = None
        self._pause = FIRST_PAUSE
        self._not_before = 0.0
        self._since = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def watch(self) -> None:
        """Start the process unless it runs, or it is too early for another attempt."""
        now = time.monotonic()
        if self.process is not None:
            self._look(now)
            code = self.process.poll()
            if code is None:
                return
            event("process ended", role=self.name, code=code)
            if self._door is not None:
                with contextlib.suppress(OSError):  # not every system can listen there again
                    self._door.shutdown(socket.SHUT_RDWR)
            lived = now - self._since
            self._pause = FIRST_PAUSE if lived > HEALTHY else min(self._pause * 2, LONGEST_PAUSE)
            self._not_before = now + self._pause
            self.process = None
        if now >= self._not_before:
            self._heard()  # the last words of the one before
            self.process, self._since = self._start(self._signs), now
            self._alive = None

    @property
    def ready(self) -> bool:
        """Whether the process has given a sign of life: it answers."""
        return self._alive is not None

    def _heard(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self._life, 4096))
        return False

    def _look(self, now: float) -> None:
        """Kill the process if it has given no sign of life for long, or none since it started."""
        if self._heard():
            self._alive = now
        silent = now - (self._since if self._alive is None else self._alive)
        if self.process is not None and silent > (STARTING if self._alive is None else HUNG):
            event("process hangs", role=self.name, seconds=round(silent, 1))
            self.process.kill()
            self.process.wait()

    def forgive(self) -> None:
        """Count time anew: this process itself did not run."""
        if self._alive is not None:
            self._alive = time.monotonic()

    def close(self) -> None:
        """Look at it no more."""
        os.close(self._life)
        os.close(self._signs)


def _inner(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen(BACKLOG)
    return made


def beat(signs: int) -> Callable[[], None]:
    """Return what a process calls often, and which gives a sign of life at most once a second."""
    os.set_blocking(signs, False)
    last = float("-inf")

    def give() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 1.0:
            last = now
            with contextlib.suppress(OSError):  # nobody reads any more
                os.write(signs, b".")

    return give


class Supervisor:
    """Starts the processes of one server and watches them.

    Args:
        repo: the folder that is served.
        settings: of the server.
    """

    def __init__(self, repo: str, settings: Settings) -> None:
        self._repo = os.path.abspath(repo)
        self._settings = settings
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        folder = Path(tempfile.mkdtemp(prefix="skewless-serve-"))
        sockets = listen(self._settings, self._settings.workers)
        workers = []
        for number, own in enumerate(sockets):
            start = partial(self._spawn, WORKER, folder, number, own)
            workers.append(Child(f"{WORKER} {number}", start, own))
        inner = {role: _inner(folder / name) for role, name in SOCKETS.items()}
        behind = [
            Child(role, partial(self._spawn, role, folder, len(sockets) + place, own))
            for place, (role, own) in enumerate(inner.items())
        ]
        children = [*behind, *workers]
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        alive, announced = systemd.beat(), False
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(woken, selectors.EVENT_READ)
                while not self._stopping:
                    for child in children:
                        child.watch()
                    if any(child.ready for child in workers):
                        if not announced:
                            announce(sockets[0], self._settings)
                        announced = True
                    if announced:
                        alive()
                    before = time.monotonic()
                    selector.select(_CHECK)
                    if time.monotonic() - before > _CHECK + 1.0:  # the machine slept
                        for child in children:
                            child.forgive()
            systemd.tell(systemd.STOPPING)
            for door in sockets:  # the workers have them too, and shut theirs
                door.close()
            self._end(workers, behind)
        finally:
            signal.set_wakeup_fd(-1)
            for made in (*sockets, *inner.values(), woken, waker):
                made.close()
            for child in children:
                child.close()
            shutil.rmtree(folder, ignore_errors=True)
        event("stopped")

    def _stop(self, *_: int | FrameType | None) -> None:
        self._stopping = True

    def _spawn(
        self, role: str, folder: Path, number: int, listening: socket.socket, signs: int
    ) -> subprocess.Popen[bytes]:
        settings = self._settings
        if role != WORKER:
            # Its callers have been let in by the workers, and are waited for by them.
            settings = dataclasses.replace(settings, certificate=None)
        if role == WRITER:
            settings = dataclasses.replace(settings, served_log=0.0)
        given = json.dumps(dataclasses.asdict(settings))
        given_ends = (str(listening.fileno()), str(signs))
        words = [role, self._repo, str(folder), str(number), *given_ends, given]
        return subprocess.Popen(
            [sys.executable, "-m", "skewless.serving.server", *words],
            pass_fds=[listening.fileno(), signs],
            stdin=subprocess.DEVNULL,
            env=systemd.apart(),
        )

    def _end(self, workers: list[Child], behind: list[Child]) -> None:
        """Let workers finish first, then those on which they may wait."""
        deadline = time.monotonic() + self._settings.drain + 5
        for group in (workers, behind):
            running = [child.process for child in group if child.process is not None]
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    event("process killed", pid=process.pid)
                    process.kill()
                    process.wait()
