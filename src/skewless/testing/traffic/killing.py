"""Lets processes work on a store and kills them with SIGKILL, the way nothing can prepare for."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from skewless.errors import StoreError


class Workers:
    """Starts processes that go on with a scenario, and kills them; a context.

    Args:
        chance: when to kill.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._nursery: subprocess.Popen[str] | None = None

    def run(
        self, folder: Path, scenario: tuple[int, int, int], step: int, sequence: int
    ) -> tuple[int, int]:
        """Let a process go on with a scenario, kill it, and return how far it got.

        Args:
            folder: of the store, which nobody else has open.
            scenario: seed, number and values of the scenario.
            step: to go on from.
            sequence: of the newest row of the log.

        Returns:
            The step in the midst of which it was killed, and the newest row of the log that was
            acknowledged before.

        Raises:
            StoreError: the process failed by itself.
        """
        left = self._chance.randint(1, 12)
        head_start = self._chance.random() < 0.5
        killed = False
        for words in self._lines(json.dumps([str(folder), *scenario, step])):
            match words:
                case ["pid", pid]:
                    number = int(pid)
                case ["step", done, last]:
                    step, sequence = int(done) + 1, int(last)
                    if not killed and (left == 0 or (left == 1 and not head_start)):
                        killed = True
                        with suppress(ProcessLookupError):  # it may have come to its end
                            os.kill(number, signal.SIGKILL)
                    left -= 1
                case ["end", code] if int(code) not in (0, -signal.SIGKILL):
                    raise StoreError(
                        "a worker failed", got=f"exit code {code}", where=str(scenario)
                    )
        return step, sequence

    def _lines(self, order: str) -> Iterator[list[str]]:
        """Give an order and yield what is told of it, split into words, until its end."""
        if self._nursery is None:
            command = [sys.executable, "-m", "skewless.testing.traffic.worker"]
            threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            self._nursery = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **threads},
            )
        nursery = self._nursery
        if nursery.stdin is None or nursery.stdout is None:
            raise StoreError("a worker has no pipes")
        print(order, file=nursery.stdin, flush=True)
        for line in nursery.stdout:
            yield line.split()
            if line.startswith("end"):
                return
        raise StoreError("the workers are gone", got=f"exit code {nursery.wait()}")

    def close(self) -> None:
        """End the process that starts the others."""
        if self._nursery is not None:
            self._nursery.communicate()
            self._nursery = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
