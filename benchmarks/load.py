"""A load generator for HTTP: one process, one thread, plain sockets; needs nothing but Python.

    python -m benchmarks.load <spec.json >found.json

Without a rate every connection sends its next request when it has its answer (a closed loop: how
much can the server do?). With one, requests are sent at fixed times whether or not earlier ones
were answered, and latency counts from the time a request was due (an open loop: how long does a
caller wait?). Answers are read to their end; their status is looked at, their content is not.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

RECEIVED = 1 << 18
GRACE = 5.0
"""Seconds after the last request of an open loop was due, in which answers still count."""
LONGEST = 30.0
"""Seconds a closed loop waits for an answer."""


@dataclass
class Load:
    """What to send.

    Attributes:
        host: of the server.
        port: of the server.
        path: that is posted to.
        bodies: JSON, sent one after the other, again and again.
        seconds: how long.
        connections: at once; in an open loop at most.
        rate: requests a second; 0: as many as are answered.
        more: further lines of every head, each with its end.
        pause: seconds a connection of a closed loop rests after an answer that is no 200.
    """

    host: str
    port: int
    path: str
    bodies: list[str]
    seconds: float
    connections: int
    rate: float = 0.0
    more: str = ""
    pause: float = 0.0

    def requests(self) -> Iterator[bytes]:
        """Yield requests as they go over the wire, for ever."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n{self.more}"
            "content-type: application/json\r\ncontent-length: "
        )
        return cycle([f"{head}{len(body)}\r\n\r\n{body}".encode() for body in self.bodies])


class Line:
    """One connection, with at most one request under way."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.began = 0.0
        self._open()

    def _open(self) -> None:
        self.socket = socket.create_connection((self._load.host, self._load.port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parts: list[bytes] = []
        self._missing = 0

    def fileno(self) -> int:
        """Return the number by which the system waits for it."""
        return self.socket.fileno()

    def send(self, request: bytes, began: float) -> None:
        """Send a request whose latency counts from ``began``."""
        self.began = began
        self.socket.sendall(request)

    def receive(self) -> str | None:
        """Take what came; return the status once the answer is complete, "lost" if it never is."""
        try:
            data = self.socket.recv(RECEIVED)
        except OSError:
            data = b""
        if not data:
            self.socket.close()
            self._open()
            return "lost"
        if self._missing:
            self._missing -= len(data)
            return None if self._missing else self._status
        if self._parts:
            data = b"".join((*self._parts, data))
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            self._parts = [data]
            return None
        self._parts = []
        self._status = head[9:12].decode()
        self._missing = length(head) - len(body)
        return None if self._missing else self._status


def length(head: bytes) -> int:
    """Return the length of the body that a head announces."""
    _, found, rest = head.lower().partition(b"content-length:")
    if not found:
        raise ValueError(f"an answer without a length: {head[:200]!r}")
    return int(rest.partition(b"\r")[0])


@dataclass
class Found:
    """What was measured: latencies in seconds, and how often which status came."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    seconds: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "sent": self.sent,
            "statuses": dict(self.statuses),
            "seconds": self.seconds,
            **{f"p{q:g}_ms": at(sorted(self.latencies), q) for q in (50, 95, 99)},
        }


def at(ordered: Sequence[float], percent: float) -> float | None:
    """Return a percentile in milliseconds; None where there is nothing."""
    if not ordered:
        return None
    return round(ordered[round(percent / 100 * (len(ordered) - 1))] * 1e3, 4)


def closed(load: Load) -> Found:
    """Keep every connection busy for some seconds."""
    found, requests = Found(), load.requests()
    lines = {line.fileno(): line for line in (Line(load) for _ in range(load.connections))}
    poll = select.poll()
    for number in lines:
        poll.register(number, select.POLLIN)
    now = time.perf_counter
    begin = now()
    until = begin + load.seconds
    for line in lines.values():
        line.send(next(requests), now())
        found.sent += 1
    waited, resting = len(lines), list[tuple[float, Line]]()
    while waited:
        patience = resting[0][0] - now() if resting else LONGEST
        events = poll.poll(max(0.0, patience) * 1_000)
        if not events and not resting:
            break
        while resting and resting[0][0] <= now():  # they began to rest one after the other
            line = resting.pop(0)[1]
            if now() < until:
                line.send(next(requests), now())
                found.sent += 1
            else:
                waited -= 1
        for number, _ in events:
            line = lines[number]
            status = line.receive()
            if status is None:
                continue
            done = now()
            found.latencies.append(done - line.began)
            found.statuses[status] += 1
            found.seconds = done - begin
            if status == "lost":
                poll.unregister(number)
                lines[line.fileno()] = line
                poll.register(line.fileno(), select.POLLIN)
            if load.pause and status != "200":
                resting.append((done + load.pause, line))
            elif done < until:
                line.send(next(requests), done)
                found.sent += 1
            else:
                waited -= 1
    found.seconds = found.seconds or now() - begin
    found.statuses["unanswered"] += waited
    for line in lines.values():
        line.socket.close()
    return found


def paced(load: Load) -> Found:
    """Send requests when they are due, over connections that are free."""
    found, requests = Found(), load.requests()
    free = deque(Line(load) for _ in range(min(8, load.connections)))
    made, busy = len(free), set[Line]()
    count = int(load.rate * load.seconds)
    now = time.perf_counter
    begin = now()
    end = begin + load.seconds + GRACE
    while (busy or found.sent < count) and now() < end:
        due = begin + found.sent / load.rate
        while found.sent < count and due <= now():
            if not free and made < load.connections:
                free.append(Line(load))
                made += 1
            if not free:
                break
            line = free.pop()
            line.send(next(requests), due)
            busy.add(line)
            found.sent += 1
            due = begin + found.sent / load.rate
        wait = max(0.0, due - now()) if found.sent < count and (free or made < load.connections) \
            else 0.1  # fmt: skip
        # select() knows microseconds; poll() would sleep to the end of a millisecond.
        for line in select.select(busy, (), (), wait)[0]:
            status = line.receive()
            if status is not None:
                found.latencies.append(now() - line.began)
                found.statuses[status] += 1
                busy.discard(line)
                free.append(line)
    found.seconds = now() - begin
    for line in (*busy, *free):
        line.socket.close()
    unanswered = count - sum(found.statuses.values())
    if unanswered:
        found.statuses["unanswered"] = unanswered
        found.latencies += [end - begin] * unanswered  # at least
    found.sent = count
    return found


def main() -> None:
    """Do what the specification on standard input asks for."""
    load = Load(**json.load(sys.stdin))
    found = paced(load) if load.rate else closed(load)
    json.dump(found.figures(), sys.stdout)


if __name__ == "__main__":
    main()
