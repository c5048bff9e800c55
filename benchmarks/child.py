"""One measured run in a process of its own; needs nothing but the standard library.

    python -m benchmarks.child benchmarks.peers.polars_join:join '{"rows": 1000}' out.json

The task is called as ``task(clock, **arguments)``. What it does inside ``with clock:`` is measured;
what it prepares before and checks afterwards is not. What it returns goes into the figures.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Clock:
    """Measures a block: wall and CPU seconds of the process and its children, and peak memory.

    The peak is that of the whole process up to the end of the block, set-up included.
    """

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def __enter__(self) -> Clock:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.figures["wall_s"] = round(time.perf_counter() - self._wall, 4)
        self.figures["cpu_s"] = round(cpu_seconds() - self._cpu, 4)
        self.figures["peak_mb"] = round(peak_bytes() / 1e6, 1)


def cpu_seconds() -> float:
    """User and system seconds of this process, all threads, and of children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_bytes() -> int:
    """Peak resident memory of this process, or of a child that has ended if that was more."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status")
    if status.exists():
        # Linux starts ru_maxrss at the size of the parent; VmHWM is this program's own.
        lines = status.read_text().splitlines()
        own = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), own)
    return max(own, children) * (1 if sys.platform == "darwin" else 1024)


def latencies(nanoseconds: list[int]) -> dict[str, float]:
    """Percentiles of single calls, in microseconds."""
    ordered = sorted(nanoseconds)
    places = {"p50_us": 0.5, "p99_us": 0.99}
    last = len(ordered) - 1
    return {name: round(ordered[round(q * last)] / 1e3, 2) for name, q in places.items()}


def timed(call: Callable[[Any], Any], arguments: Sequence[Any], seconds: float) -> dict[str, float]:
    """Call a function again and again for some seconds, each time with the next argument.

    Returns percentiles of single calls, and the CPU time of a call on average: on a machine with
    other work that is the steadier figure.
    """
    for argument in arguments[: len(arguments) // 20 + 1]:
        call(argument)
    taken: list[int] = []
    now = time.perf_counter_ns
    until = now() + int(seconds * 1e9)
    cpu = cpu_seconds()
    for argument in itertools.cycle(arguments):
        begin = now()
        call(argument)
        end = now()
        taken.append(end - begin)
        if end > until:
            break
    cpu = (cpu_seconds() - cpu) / len(taken)
    return {**latencies(taken), "cpu_us": round(cpu * 1e6, 2), "calls": len(taken)}


def main() -> None:
    """Run the task that the command line names and write its figures."""
    task, arguments, out = sys.argv[1:]
    module, function = task.split(":")
    clock = Clock()
    found: dict[str, Any] | None = getattr(importlib.import_module(module), function)(
        clock, **json.loads(arguments)
    )
    figures = {**clock.figures, **(found or {})}
    Path(out).write_text(json.dumps(figures), encoding="utf-8")
    # Neither a peer's exit handlers nor its threads have a say in whether the run succeeded.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
