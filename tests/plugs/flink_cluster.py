"""A cluster of Flink out of its wheel: a job manager and a task manager, each of which may be killed."""

import contextlib
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pyflink

from skewless.testing.servers import Process, free_port

HOME = Path(pyflink.__file__).parent
PATIENCE_SECONDS = 400.0
"""For a process of Flink to come up and a job to begin again, on a machine with other things to do."""


class Cluster:
    """Where jobs run; both of its processes are started by Flink's own scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder, rest = folder, free_port()
        self.address = f"127.0.0.1:{rest}"
        settings = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": free_port(),
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.memory.process.size": "1024m",
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.memory.process.size": "1280m",
            "taskmanager.numberOfTaskSlots": 2,
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": rest,
            "execution.checkpointing.dir": f"file://{folder}/checkpoints",
            "heartbeat.interval": 1000,
            "heartbeat.timeout": 10000,
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 1_000,
            "restart-strategy.fixed-delay.delay": "200ms",
        }
        conf = folder / "conf"
        conf.mkdir()
        told = f"env.java.opts.all: {_of_java()}\n"
        told += "".join(f"{name}: {value}\n" for name, value in settings.items())
        (conf / "config.yaml").write_text(told)
        for name in ("log4j-console.properties", "log4j-cli.properties", "logback-console.xml"):
            (conf / name).write_text((HOME / "conf" / name).read_text())
        places = {"FLINK_HOME": HOME, "FLINK_CONF_DIR": conf, "FLINK_LOG_DIR": folder / "log"}
        places["FLINK_PID_DIR"] = folder
        self.environment = {name: str(place) for name, place in places.items()}
        self._running: dict[str, Process] = {}

    def start(self, name: str) -> None:
        """Start the ``jobmanager`` or the ``taskmanager``; the task manager finds the other one."""
        with (self.folder / f"{name}.log").open("ab") as output:
            self._running[name] = subprocess.Popen(
                ["bash", str(HOME / f"bin/{name}.sh"), "start-foreground"],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if name == "jobmanager":
            self.wait_for(self._answers, "the job manager did not answer")

    def kill(self, name: str) -> None:
        """Kill the process itself, not what it has started: Python's workers find out."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def wait_for(self, ready: Callable[[], bool], otherwise: str) -> None:
        """Ask again until ``ready``; fail with what the cluster says if time is up."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if time.monotonic() > deadline:
                logs = sorted(self.folder.glob("*.log"))
                told = "\n".join(log.read_text(errors="replace")[-3000:] for log in logs)
                raise RuntimeError(f"{otherwise}; the logs end:\n{told}")
            time.sleep(0.05)

    def close(self) -> None:
        """End both processes."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/overview", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _of_java() -> str:
    """The options of Java that Flink's own configuration has: what it opens of Java's insides."""
    text = (HOME / "conf/config.yaml").read_text()
    (found,) = re.findall(r"^ +all: (--add-.*)$", text, re.MULTILINE)
    return str(found)


@contextlib.contextmanager
def flink(folder: Path) -> Iterator[Cluster]:
    """Start a cluster, stop it at the end."""
    cluster = Cluster(folder)
    try:
        cluster.start("jobmanager")
        cluster.start("taskmanager")
        yield cluster
    finally:
        cluster.close()
