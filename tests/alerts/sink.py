"""A receiver on the loopback that answers as it is told, and remembers what it took."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SLOW = -1
"""Instead of a status: no answer in time."""


@dataclass
class Sink:
    """What came to the sink.

    Attributes:
        url: of it.
        taken: bodies that were answered with 200, in order.
        headers: of these.
        answers: statuses, or statuses with ``Retry-After``, to give next; then 200.
        down: what is answered instead of all that; None: it is up.
        asked: how often it was asked.
    """

    url: str = ""
    taken: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: deque[int | tuple[int, str]] = field(default_factory=deque)
    down: int | None = None
    asked: int = 0


@contextmanager
def sink() -> Iterator[Sink]:
    """Run a sink."""
    made = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.asked += 1
            answer = made.down if made.down is not None else None
            if answer is None:
                answer = made.answers.popleft() if made.answers else 200
            status, wait = answer if isinstance(answer, tuple) else (answer, "")
            if status == SLOW:
                time.sleep(0.5)  # longer than the runner of these tests waits
                self.close_connection = True
                return
            if status == 200:
                made.taken.append(json.loads(body))
                made.headers.append(dict(self.headers))
            self.send_response(status)
            if wait:
                self.send_header("Retry-After", wait)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
