"""Logs of the server: one line of JSON on stderr for each event."""

from __future__ import annotations

import io
import json
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any

from skewless.clock import iso

if TYPE_CHECKING:
    from skewless.serving.http.http import Scope

SLOW = 1.0
MOST_A_SECOND = 20
"""Requests that went wrong and are logged by one process: an outage must not fill the disk."""
_lost = 0


def event(name: str, **fields: Any) -> None:
    """Write one line about something that happened; fields that are None are left out.

    Whoever reads the log may have gone, its disk be full, or its pipe because nobody reads: a
    server serves on. The next line that can be written says how many could not.
    """
    global _lost  # noqa: PLW0603 - of this process, as its stream is
    line = {"at": iso(time.time_ns() // 1000), "event": name, "process": os.getpid()}
    line |= {key: value for key, value in fields.items() if value is not None}
    if _lost:
        line["lines_lost"] = _lost
    text = json.dumps(line, default=str, ensure_ascii=True) + "\n"
    _lost = 0 if _written(text) else _lost + 1


def _written(text: str) -> bool:
    """Write a line in one piece, since several processes write to one stream, or return False."""
    try:
        try:
            stream = sys.stderr.fileno()
        except io.UnsupportedOperation:  # none of the system's
            sys.stderr.write(text)
            return True
        _, ready, _ = select.select([], [stream], [], 0)  # takes some kilobytes without a wait
        return bool(ready) and os.write(stream, text.encode()) > 0
    except (OSError, ValueError, AttributeError):  # closed, or there is none
        return False


class RequestLog:
    """Logs requests: all, or those that went wrong on the server's side or were slow.

    Args:
        everything: whether all are logged.
    """

    def __init__(self, everything: bool) -> None:
        self.everything = everything
        self._second = 0
        self._logged = self._kept_back = 0

    def note(
        self,
        scope: Scope,
        status: int,
        began: float,
        request_id: bytes,
        problem: Exception | None,
    ) -> None:
        """Log a request if it is to be logged; neither its body nor its query, which are data."""
        seconds = time.perf_counter() - began
        if not (self.everything or status >= 500 or seconds > SLOW):
            return
        if not self.everything and not self._may(int(time.monotonic())):
            return
        client = scope.get("client")
        event(
            "request",
            id=request_id.decode("latin-1"),
            method=scope["method"],
            path=scope["path"][:200],
            status=status,
            ms=round(seconds * 1000, 3),
            client=client[0] if client else None,
            problem=None if problem is None else str(problem),
        )

    def _may(self, second: int) -> bool:
        """Return whether one more is logged; of those that were not the next line says the count.

        Metrics count all of them.
        """
        if second != self._second:
            if self._kept_back:
                event("requests not logged", count=self._kept_back)
            self._second, self._logged, self._kept_back = second, 0, 0
        self._logged += 1
        if self._logged > MOST_A_SECOND:
            self._kept_back += 1
        return self._logged <= MOST_A_SECOND
