"""Start-up: how long a new process takes to import skewless and to answer on the command line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.child import Clock
from benchmarks.harness import Contender, Figures, Line, Options, found, lines, measured, run_all

HEADINGS = {"median_s": "median s", "least_s": "least s", "over_python_s": "over bare Python s"}


def run(options: Options) -> Figures:
    """Measure commands, each in new processes."""
    times = options.pick(3, 15, 31)
    skewless = str(Path(sys.executable).parent / "skewless")
    python = sys.executable
    commands = {
        "bare Python": [python, "-c", "pass"],
        "import skewless": [python, "-c", "import skewless"],
        "skewless --version": [skewless, "--version"],
        "skewless --help": [skewless, "--help"],
        "skewless push --help": [skewless, "push", "--help"],
    }
    contenders = [
        Contender(
            name,
            "benchmarks.startup:start",
            {"command": command, "times": times},
            once=True,
        )
        for name, command in commands.items()
    ]
    results = run_all(contenders, options)
    nothing = found(results, "bare Python")
    for figures in results:
        if nothing and "median_s" in figures:
            figures["over_python_s"] = round(figures["median_s"] - nothing["median_s"], 4)
    return {"title": "Start-up, seconds", "contenders": results}


def start(clock: Clock, command: list[str], times: int) -> dict[str, Any]:
    """Start a command again and again; the first start, which may compile modules, is left out."""
    taken = []
    with clock:
        for _ in range(times + 1):
            begin = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            taken.append(time.perf_counter() - begin)
    return {
        "starts": times,
        "median_s": round(statistics.median(taken[1:]), 4),
        "least_s": round(min(taken[1:]), 4),
    }


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    nothing = found(result["contenders"], "bare Python")
    return [
        line
        for figures in filter(measured, result["contenders"])
        if figures is not nothing
        for line in lines(f"{figures['name']}, s", figures, nothing, "median_s")
    ]
