"""Sends events of OpenLineage: from a thread of its own, so that no job waits and none fails.

    [lineage]
    kind = "http"                              # or "file", with path = "lineage.jsonl"
    url = "http://marquez:5000/api/v1/lineage"
    key = "${LINEAGE_KEY}"                     # sent as a bearer token and as X-API-Key

The queue is bounded: what does not fit is dropped and counted. When a store is closed, what waits
is sent for some seconds more; a receiver that does not answer costs no more than these.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from skewless.config import FILE_NAME, Config
from skewless.errors import ConfigError, SkewlessError
from skewless.forks import Lock
from skewless.ledger.lines import Record
from skewless.lineage.openlineage import Event, Events
from skewless.plan.apply.registry_state import RegistryState

logger = logging.getLogger("skewless.lineage")
MOST_WAITING = 1_000
FLUSH_SECONDS = 5.0
TIMEOUT_SECONDS = 5.0
Send = Callable[[Event], None]


class Emitter:
    """Makes and sends the events of what a ledger records.

    Args:
        events: makes them.
        send: takes one; raises `OSError` where that fails.
        state: of the registry.

    Attributes:
        sent: events that were taken.
        dropped: that were not: the queue was full, or the receiver refused or could not be reached.
    """

    def __init__(self, events: Events, send: Send, state: Callable[[], RegistryState]) -> None:
        self._events, self._send, self._state = events, send, state
        self._waiting: queue.Queue[tuple[Record, RegistryState]] = queue.Queue(MOST_WAITING)
        self._lock = Lock()
        self._thread: threading.Thread | None = None
        self._process = 0
        self._closed = threading.Event()
        self.sent = self.dropped = 0

    def __call__(self, record: Record) -> None:
        """Take a record; never wait, never fail."""
        if record.kind not in ("run", "training_set"):
            return
        self._begin()
        try:
            self._waiting.put_nowait((record, self._state()))
        except queue.Full:
            self._drop("the queue is full")
        except SkewlessError as problem:
            self._drop(str(problem))

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Send what waits, for so many seconds at most."""
        thread = self._thread
        if thread is None or self._process != os.getpid():
            return
        self._closed.set()
        thread.join(seconds)

    def _begin(self) -> None:
        """Start the thread, in this process."""
        with self._lock:
            if self._process != os.getpid():
                self._waiting, self._closed = queue.Queue(MOST_WAITING), threading.Event()
                self._process = os.getpid()
                self._thread = threading.Thread(target=self._run, name="lineage", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                record, state = self._waiting.get(timeout=0.05)
            except queue.Empty:
                if self._closed.is_set():
                    return
                continue
            try:
                for event in self._events.of(record, state):
                    self._take(event)
            except Exception as problem:  # noqa: BLE001 - told, and the thread goes on
                self._drop(f"{type(problem).__name__}: {problem}")

    def _take(self, event: Event) -> None:
        try:
            self._send(event)
            self.sent += 1
        except OSError as problem:
            self._drop(str(problem))

    def _drop(self, why: str) -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:  # the 1st, 2nd, 4th, 8th ...
            logger.warning("events of lineage that were not sent: %d (%s)", self.dropped, why)


def emitter(config: Config, state: Callable[[], RegistryState]) -> Emitter:
    """Return what sends events as the settings of a repo say.

    Raises:
        ConfigError: another kind, or an option that is missing or unknown.
    """
    where = f"[lineage] of {config.file or config.folder / FILE_NAME}"
    return Emitter(Events(config.project), sender(config.lineage or {}, where), state)


def sender(section: Mapping[str, Any], where: str) -> Send:
    """Return what sends events as the settings say.

    Raises:
        ConfigError: another kind, or an option that is missing or unknown.
    """
    options = dict(section)
    kind = options.pop("kind", None)
    needed = {"file": {"path"}, "http": {"url"}}.get(str(kind))
    if needed is None:
        expected = "kind = 'file' or kind = 'http'"
        raise ConfigError("not a way to send lineage", got=kind, expected=expected, where=where)
    known = needed | ({"key"} if kind == "http" else set())
    if needed - options.keys() or options.keys() - known:
        got, expected = ", ".join(options) or "none", ", ".join(sorted(known))
        raise ConfigError("other options of [lineage]", got=got, expected=expected, where=where)
    if kind == "file":
        return _ToFile(Path(options["path"]))
    if urlsplit(options["url"]).scheme not in ("http", "https"):
        raise ConfigError("no address of HTTP", got=options["url"], where=where)
    return _ToReceiver(options["url"], options.get("key", ""))


class _ToFile:
    """Appends events to a file, a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: Event) -> None:
        line = json.dumps(event, separators=(",", ":")) + "\n"
        opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(opened, line.encode())
        finally:
            os.close(opened)


class _ToReceiver:
    """Posts events to a receiver; one that does not answer is asked again after a while."""

    _PAUSE = 5.0

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers |= {"Authorization": f"Bearer {key}", "X-API-Key": key}
        self._not_before = 0.0

    def __call__(self, event: Event) -> None:
        if time.monotonic() < self._not_before:
            raise OSError("the receiver did not answer a moment ago")
        body = json.dumps(event).encode()
        request = urllib.request.Request(self._url, body, self._headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                answer.read()
        except urllib.error.HTTPError as problem:
            with contextlib.closing(problem):
                raise OSError(f"the receiver answers {problem.code}") from None
        except http.client.HTTPException as problem:
            raise OSError(f"the receiver does not speak HTTP: {problem!r}") from None
        except OSError:
            self._not_before = time.monotonic() + self._PAUSE
            raise
