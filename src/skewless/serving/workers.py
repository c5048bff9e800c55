"""Workers that answer, a process of large reads and one that writes, started and watched by one.

A read that is large is handed to a process of its own, which stands back behind the workers
(`nice`): those sleep most of the time, so the system runs them at once when a small read comes,
however much there is to do.

With one worker, which then is the process that was started, the one of large reads is started when
the first of them comes (`Aside`). It stands back from its first import on: until it is ready the
worker answers large reads too, so nobody waits for it.

A process that dies, by whatever means, is restarted; one that dies again and again, more slowly
each time. One that gives no sign of life (stopped, a disk that hangs) is killed first. Until a
worker is ready, and while it is away, its socket does not listen, so that connections go to the
others; while no worker can start, the process that watches says so (`Excuse`).

SIGTERM and SIGINT let all finish what they do. Where the process that was started is
killed, the others end by themselves.
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
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import FrameType

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.serving.excuse import Excuse
from skewless.serving.handover import handed
from skewless.serving.http.forward import LARGE_READS as TO_LARGE_READS
from skewless.serving.http.forward import Forward
from skewless.serving.operate import systemd
from skewless.serving.operate.logs import event
from skewless.serving.settings import Settings
from skewless.serving.signals import end_at_hangup
from skewless.serving.sockets import BACKLOG, announce, listen, shut
from skewless.serving.tls import context_of

FIRST_PAUSE, LONGEST_PAUSE, HEALTHY = 0.05, 15.0, 30.0
HUNG = 5.0
"""Seconds without a sign of life (`beat` gives one a second) after which a process is killed."""
STARTING = 45.0
"""Seconds after which one is killed that has given none since it started. The next is given twice
as many: a large store whose pages are looked at, on a busy machine, takes what it takes."""
ASIDE = 600.0
"""The most of that; at once for one that stands back behind others already while it starts."""
_CHECK = 0.2
_WHY = b"!"
"""Before what a process says that cannot start."""
WORKER, WRITER, LARGE_READS = "worker", "writer", "large-reads"
SOCKETS = {WRITER: "writer.sock", LARGE_READS: "large-reads.sock"}
"""On which the processes are reached that workers hand requests to."""


class Child:
    """A process that is restarted when it dies.

    Args:
        name: ``worker 0``, ``writer``.
        start: starts it, and is given where it writes signs of life to.
        door: the socket on which it takes connections from outside; None: it has none.
        starting: seconds that it may take to start.

    Attributes:
        process: the one that runs.
        last_words: why the one before could not start; empty once it has.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[int], subprocess.Popen[bytes]],
        door: socket.socket | None = None,
        starting: float = STARTING,
    ) -> None:
        self.name = name
        self._starting = starting
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
        self.last_words = ""

    def watch(self) -> None:
        """Start the process unless it runs, or it is too early for another attempt."""
        now = time.monotonic()
        if self.process is not None:
            self._look(now)
            code = self.process.poll()
            if code is None:
                return
            if self._door is not None:
                shut(self._door)
            event("process ended", role=self.name, code=code)
            lived = now - self._since
            self._pause = FIRST_PAUSE if lived > HEALTHY else min(self._pause * 2, LONGEST_PAUSE)
            self._not_before = now + self._pause
            self.process = None
        if now >= self._not_before:
            self._heard()  # the last words of the one before
            self._alive = None
            try:
                self.process, self._since = self._start(self._signs), now
            except OSError as problem:  # too many processes, no memory for one more
                event("process cannot start", role=self.name, reason=str(problem))
                self._not_before = now + LONGEST_PAUSE

    @property
    def ready(self) -> bool:
        """Whether the process has given a sign of life: it answers."""
        return self._alive is not None

    def _heard(self) -> bool:
        """Return whether there was a sign of life; or hear why it cannot start."""
        try:
            said = os.read(self._life, 4096)
        except BlockingIOError:
            return False
        _, _, why = said.partition(_WHY)
        self.last_words = why.decode(errors="replace")
        return not why

    def _look(self, now: float) -> None:
        """Kill the process if it has given no sign of life for long, or none since it started."""
        if self._heard():
            self._alive = now
        silent = now - (self._since if self._alive is None else self._alive)
        if self.process is not None and silent > (self._starting if self._alive is None else HUNG):
            if self._alive is None:
                self._starting = min(ASIDE, 2 * self._starting)
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
            try:
                os.write(signs, b".")
            except BlockingIOError:  # nobody has looked for long
                return
            except BrokenPipeError:  # who started this process is gone: nobody watches it any more
                event("left alone")
                os.kill(os.getpid(), signal.SIGTERM)

    return give


def cannot_start(signs: int, role: str, problem: SkewlessError) -> None:
    """Log why a process cannot start, and say so to the one that started it."""
    event("cannot start", role=role, reason=str(problem))
    with contextlib.suppress(OSError):
        os.write(signs, _WHY + problem.what.encode()[:1_000])


def _look_at(children: Iterable[Child], pause: Callable[[float], object]) -> None:
    """Look at processes, then pause; time in which this one did not run counts for none of them."""
    for child in children:
        child.watch()
    before = time.monotonic()
    pause(_CHECK)
    if time.monotonic() - before > _CHECK + 1.0:  # the machine slept
        for child in children:
            child.forgive()


def _spawn(  # noqa: PLR0917 - the last two are given when it is started
    config: Config,
    settings: Settings,
    folder: Path,
    role: str,
    number: int,
    listening: socket.socket,
    signs: int,
) -> subprocess.Popen[bytes]:
    """Start a process of a server.

    Args:
        config: what is served; later edits of its file are for the next server.
        settings: of the server.
        folder: what its processes share.
        role: of the process.
        number: of the process.
        listening: its socket.
        signs: where it writes signs of life to.
    """
    if role != WORKER:
        # Its callers have been let in by the workers, and are waited for by them.
        settings = dataclasses.replace(settings, certificate=None)
    if role == WRITER:
        settings = dataclasses.replace(settings, served_log=0.0)
    given = json.dumps(dataclasses.asdict(settings))
    given_ends = (str(listening.fileno()), str(signs))
    words = [role, str(config.folder), str(folder), str(number), *given_ends, given]
    process = subprocess.Popen(
        [sys.executable, "-m", "skewless.serving.server", *words],
        pass_fds=[listening.fileno(), signs],
        stdin=subprocess.PIPE,
        env=systemd.apart(),
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:  # it has died: that is seen to
        process.stdin.write(handed(config))
    return process


def _end(children: Iterable[Child], deadline: float) -> None:
    """Let processes finish what they do, until a moment of `time.monotonic`."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            event("process killed", pid=process.pid)
            process.kill()
            process.wait()


class Aside:
    """The process of large reads of a server with one worker, started when the first one comes.

    Args:
        config: what is served.
        settings: of the server.

    Attributes:
        folder: what the processes of the server share; made here.
        forward: leads to it; not ready until it has started.
    """

    def __init__(self, config: Config, settings: Settings) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="skewless-serve-"))
        path = self.folder / SOCKETS[LARGE_READS]
        self._listening = _inner(path)
        start = partial(_spawn, config, settings, self.folder, LARGE_READS, 1, self._listening)
        self._child = Child(LARGE_READS, start, starting=ASIDE)
        self._grace = settings.drain
        self._closed = threading.Event()
        self._watching = threading.Thread(target=self._watch, name=LARGE_READS, daemon=True)
        self.forward = Forward(str(path), settings, TO_LARGE_READS, self._ready)

    def _ready(self) -> bool:
        """Whether it takes large reads; the first to ask has it started."""
        if self._watching.ident is None:
            self._watching.start()
        return self._child.ready

    def _watch(self) -> None:
        while not self._closed.is_set():
            _look_at([self._child], self._closed.wait)

    def close(self) -> None:
        """End it, after what it is at."""
        self._closed.set()
        if self._watching.ident is not None:
            self._watching.join()
        _end([self._child], time.monotonic() + self._grace)
        self._listening.close()
        self._child.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Supervisor:
    """Starts the processes of one server and watches them.

    Args:
        config: what is served.
        settings: of the server.
    """

    def __init__(self, config: Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        folder = Path(tempfile.mkdtemp(prefix="skewless-serve-"))
        sockets = listen(self._settings, self._settings.workers)
        workers = []
        spawn = partial(_spawn, self._config, self._settings, folder)
        for number, own in enumerate(sockets):
            workers.append(Child(f"{WORKER} {number}", partial(spawn, WORKER, number, own), own))
        inner = {role: _inner(folder / name) for role, name in SOCKETS.items()}
        behind = [
            Child(role, partial(spawn, role, len(sockets) + place, own))
            for place, (role, own) in enumerate(inner.items())
        ]
        children = [*behind, *workers]
        excuse = Excuse(sockets[0], context_of(self._settings))
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        end_at_hangup(self._stop)
        alive, announced, first = systemd.beat(), False, workers[0]
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(woken, selectors.EVENT_READ)

                def pause(seconds: float) -> None:
                    nonlocal announced
                    ready = any(child.ready for child in workers)
                    if not announced and ready:
                        announce(sockets[0], self._settings)
                        announced = True
                    if announced:
                        alive()
                    away = first.ready or (ready and first.process is None)
                    excuse.wait(selector, seconds, "" if away else first.last_words, ready)

                while not self._stopping:
                    _look_at(children, pause)
            systemd.tell(systemd.STOPPING)
            for door in sockets:  # the workers have them too, and shut theirs
                door.close()
            deadline = time.monotonic() + self._settings.drain + 5
            for group in (workers, behind):  # the second after those who may wait for it
                _end(group, deadline)
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
