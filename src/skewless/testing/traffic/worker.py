"""The processes that are killed: each goes on with a scenario from one of its steps.

    python -m skewless.testing.traffic.worker

Reads lines ``["FOLDER", SEED, NUMBER, VALUES, STEP]`` and forks a process for each, so that a
worker starts in milliseconds. It prints its process id, then after each step the
number of the step and of the newest row of the log; when it has ended, its exit code::

    pid 4711
    step 12 340
    step 13 345
    end -9
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from skewless.testing.traffic.runner import Scenario


def work(line: str) -> None:
    """Do the steps of a scenario from one on, until the end or a kill."""
    folder, *numbers = json.loads(line)
    seed, number, values, first = numbers
    scenario = Scenario(seed, number, values)
    tell("pid", os.getpid())
    repo = scenario.repo(Path(folder))
    for at, step in enumerate(scenario.steps[first:], first):
        repo.do(step)
        tell("step", at, repo.last_sequence())


def tell(*words: object) -> None:
    """Print a line; so short a write to a pipe happens as a whole or not at all."""
    print(*words, flush=True)


def main() -> None:
    """Fork a process for each line of stdin, one after the other."""
    # Whatever Arrow loads when it first meets a value is loaded here, once.
    import pyarrow as pa

    from skewless.clock import from_micros

    pa.array([from_micros(0)])
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            work(line)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        tell("end", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
