"""Start-up: how long a new process takes to import skewless and to answer on the command line.

`get` and `list` ask a repo with a view of newest values and one of windows. On a machine with other
work the CPU time is the steadier figure.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, found, lines, measured, run_all

HEADINGS = {
    "median_s": "median s",
    "least_s": "least s",
    "over_python_s": "over bare Python s",
    "cpu_least_s": "CPU s, least",
}


def run(options: Options) -> Figures:
    """Measure commands, each in new processes."""
    times = options.pick(1, 15, 31)
    skewless = str(Path(sys.executable).parent / "skewless")
    python = sys.executable
    commands = {
        "bare Python": [python, "-c", "pass"],
        "import skewless": [python, "-c", "import skewless"],
        "skewless --version": [skewless, "--version"],
        "skewless --help": [skewless, "--help"],
        "skewless push --help": [skewless, "push", "--help"],
        "skewless list": [skewless, "list"],
        "skewless get, newest values": [skewless, "get", "Newest", "card_id=c1"],
        "skewless get, windows": [skewless, "get", "Spend", "card_id=c1"],
    }
    contenders = [
        Contender(
            name,
            "benchmarks.startup:start",
            {"command": command, "times": times, "filled": command[1] in {"list", "get"}},
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


def start(clock: Clock, command: list[str], times: int, filled: bool) -> dict[str, Any]:
    """Start a command again and again; the first start, which may compile modules, is left out."""
    taken, cpu = [], []
    with tempfile.TemporaryDirectory() as folder:
        if filled:
            fill(folder)
        with clock:
            for _ in range(times + 1):
                begin, used = time.perf_counter(), cpu_seconds()
                subprocess.run(command, capture_output=True, check=True, cwd=folder)
                taken.append(time.perf_counter() - begin)
                cpu.append(cpu_seconds() - used)
    return {
        "starts": times,
        "median_s": round(statistics.median(taken[1:]), 4),
        "least_s": round(min(taken[1:]), 4),
        "cpu_least_s": round(min(cpu[1:]), 4),
    }


def fill(folder: str) -> None:
    """Make a repo with two views and a row."""
    import skewless as sl

    card = sl.Entity("card", card_id=str)
    pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
    newest = sl.FeatureView(
        "Newest", entity=card, source=pays, features={"now": pays.latest("amount")}
    )
    sums = sl.FeatureView(
        "Spend", entity=card, source=pays, features={"sum": pays.amount.sum("1h", "1d")}
    )
    with sl.FeatureStore(folder) as store:
        store.apply([newest, sums])
        store.push("pays", [{"card_id": "c1", "amount": 1.5, "at": datetime.now(UTC)}])


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    nothing = found(result["contenders"], "bare Python")
    return [
        line
        for figures in filter(measured, result["contenders"])
        if figures is not nothing
        for line in lines(f"{figures['name']}, s", figures, nothing, "median_s")
    ]
