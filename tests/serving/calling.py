"""Calling the application without a socket, and real servers in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.serving.app import App

PATIENCE = 60.0


@dataclass
class Answer:
    """An answer of the application."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def call(
    app: App,
    method: str,
    target: str,
    data: Any = None,
    *,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    chunks: list[bytes] | None = None,
) -> Answer:
    """Send one request to the application and return its answer."""
    path, _, query = target.partition("?")
    given = {"host": "tests"}
    if body is None and data is not None:
        body = json.dumps(data).encode()
        given["content-type"] = "application/json"
    parts = chunks if chunks is not None else [body or b""]
    given |= headers or {}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in given.items()],
        "client": ("127.0.0.1", 1),
    }
    sent: list[Any] = []
    waiting = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, 1)
    ]

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    shown = {k.decode(): v.decode() for k, v in start["headers"]}
    return Answer(start["status"], shown, b"".join(m["body"] for m in rest))


@dataclass
class Running:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.rpartition("/")[2].rpartition(":")
        return host, int(port)

    def events(self) -> list[dict[str, Any]]:
        """What it has logged."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def children(self) -> list[int]:
        """The processes it has started, oldest first."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(stat[1]) == self.process.pid and stat[0] != "Z":
                        found.append(int(entry.name))
        return sorted(found)

    def role_of(self, pid: int) -> str:
        """What one of its processes is: worker, writer or large-reads; something else: nothing."""
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"skewless.serving.server" not in words:
            return ""
        return words[words.index(b"skewless.serving.server") + 1].decode()


@contextlib.contextmanager
def serving(repo: Path, folder: Path, *options: str, files: int | None = None) -> Iterator[Running]:
    """Serve a repo on a free port until the block ends, by processes of at most so many files."""
    log = folder / "serve.log"
    command = [sys.executable, "-m", "skewless.cli.main", "serve", "--repo", str(repo)]
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files}; exec "$0" "$@"', *command]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--port", "0", *options], stdout=subprocess.PIPE, stderr=errors
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        found = re.search(r"https?://\S+", line)
        assert found, log.read_text(encoding="utf-8")
        running = Running(process, found[0], log)
        wait_for(lambda: answers(running), f"an answer; log: {log.read_text(errors='replace')}")
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def answers(running: Running) -> bool:
    """Whether the server is ready (or its certificate, at least, is shown)."""
    import socket

    with contextlib.suppress(OSError), socket.create_connection(running.address, 5) as probe:
        if running.url.startswith("https"):
            return True
        probe.sendall(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        probe.settimeout(5)
        return b" 200 " in probe.recv(64)
    return False


def wait_for(ready: Any, what: str, patience: float = PATIENCE) -> None:
    """Ask again until it is so."""
    deadline = time.monotonic() + patience
    while not ready():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
