"""Runs contenders: each run in a fresh process, the median of several, facts about the machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.child import cpu_seconds

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".bench"
SIZES = ("tiny", "small", "full")
Figures = dict[str, Any]
Line = tuple[str, Any, str, Any, float | None]
"""What was measured, the figure of skewless, the peer, its figure, how many times better."""


class PeerMissing(Exception):
    """A peer cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes:
        size: ``tiny`` (does it work), ``small`` (a tenth) or ``full``.
        repeats: of each run; the median counts.
        install: whether peers that are not here may be installed.
        only: contenders whose names contain one of these; none for all.
        rows: another number of rows of history, where a benchmark knows that.
    """

    size: str = "small"
    repeats: int = 3
    install: bool = True
    only: tuple[str, ...] = ()
    rows: int | None = None

    def pick(self, tiny: int, small: int, full: int) -> int:
        """Return the number for the chosen size."""
        return dict(zip(SIZES, (tiny, small, full), strict=True))[self.size]


@dataclass(frozen=True)
class Contender:
    """Something that is measured.

    Attributes:
        name: of it.
        task: ``module:function`` that is run, see `benchmarks.child`.
        arguments: of the task.
        python: returns the interpreter to run it with; may raise `PeerMissing`.
        needs: packages without which it cannot run.
        limit_s: seconds after which a run is given up.
        once: whether a single run must do, because it takes so long.
        about: what a reader must know: what it covers, how it was written.
    """

    name: str
    task: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    python: Callable[[], str] = lambda: sys.executable
    needs: tuple[str, ...] = ()
    limit_s: float = 600.0
    once: bool = False
    about: str = ""


def run_all(contenders: Sequence[Contender], options: Options) -> list[Figures]:
    """Measure contenders one after another and return what was found, in order."""
    chosen = [
        contender
        for contender in contenders
        if not options.only or any(part in contender.name for part in options.only)
    ]
    return [measure(contender, options) for contender in chosen]


def measure(contender: Contender, options: Options) -> Figures:
    """Return the median of a contender's runs; or ``skipped``, ``failed`` or ``gave_up_s``.

    Keys of its own that a task returns are those of the run with the median wall time.
    """
    result: Figures = {"name": contender.name}
    if contender.about:
        result["about"] = contender.about
    runs: list[Figures] = []
    try:
        check_needs(contender.needs)
        python = contender.python()
        for _ in range(1 if contender.once else options.repeats):
            runs.append(run_once(contender, python))
    except PeerMissing as missing:
        note(f"  {contender.name}: skipped, {missing}")
        return {**result, "skipped": str(missing)}
    except subprocess.TimeoutExpired:
        note(f"  {contender.name}: gave up after {contender.limit_s:.0f} s")
        return {**result, "gave_up_s": contender.limit_s}
    except subprocess.CalledProcessError as problem:
        last = (problem.stderr.strip().splitlines() or [f"exit code {problem.returncode}"])[-1]
        note(f"  {contender.name}: FAILED\n{problem.stderr[-3000:]}")
        return {**result, "failed": last}
    result.update(middle(runs))
    note(f"  {contender.name}: {json.dumps({k: v for k, v in result.items() if shown(k, v)})}")
    return result


def run_once(contender: Contender, python: str) -> Figures:
    """Run a task in a new process and return its figures."""
    with tempfile.TemporaryDirectory(prefix="skewless-bench-") as folder:
        out = Path(folder) / "figures.json"
        arguments = json.dumps(dict(contender.arguments))
        before = cpu_seconds()
        subprocess.run(
            [python, "-m", "benchmarks.child", contender.task, arguments, str(out)],
            cwd=ROOT,
            env={
                **os.environ,
                "TMPDIR": folder,
                "FEAST_USAGE": "False",
                "PYTHONWARNINGS": "ignore",
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=contender.limit_s,
        )
        figures: Figures = json.loads(out.read_text(encoding="utf-8"))
        figures["process_cpu_s"] = round(cpu_seconds() - before, 3)
    return figures


def middle(runs: Sequence[Figures]) -> Figures:
    """Return the figures of several runs as one: medians, the highest peak, and how they spread."""
    ordered = sorted(runs, key=lambda run: run.get("wall_s", 0.0))
    result = dict(ordered[(len(ordered) - 1) // 2])
    for key, value in result.items():
        if isinstance(value, float):
            result[key] = float(f"{statistics.median(run[key] for run in runs):.5g}")
        elif isinstance(value, dict):
            result[key] = middle([run[key] for run in runs])
    if "peak_mb" in result:
        result["peak_mb"] = max(run["peak_mb"] for run in runs)
    for key in ("wall_s", "cpu_s"):
        if key in result:
            result[f"{key}_runs"] = [run[key] for run in runs]
    return result


def check_needs(packages: Sequence[str]) -> None:
    """Raise `PeerMissing` unless the packages are installed here."""
    for package in packages:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise PeerMissing(f"{package} is not installed (pip install {package})") from None


def found(contenders: Sequence[Figures], name: str) -> Figures | None:
    """Return the figures of a contender if it was measured."""
    return next((one for one in filter(measured, contenders) if one["name"] == name), None)


def measured(figures: Figures) -> bool:
    """Return whether there are figures."""
    return not figures.keys() & {"skipped", "failed", "gave_up_s"}


def ratio(above: Figures | None, below: Figures | None, key: str) -> float | None:
    """Return how many times more of something the one has than the other, where both have it."""
    if above is None or below is None or not below.get(key) or key not in above:
        return None
    return float(f"{above[key] / below[key]:.3g}")


def lines(
    what: str, own: Figures | None, peer: Figures | None, key: str, *, more_is_better: bool = False
) -> list[Line]:
    """Return the line that compares skewless with a peer; none where skewless has no figures."""
    if own is None:
        return []
    if peer is None:
        return [(what, own[key], "", None, None)]
    times = ratio(own, peer, key) if more_is_better else ratio(peer, own, key)
    return [(what, own[key], peer["name"], peer[key], times)]


def import_arrow() -> None:
    """Import what skewless would import in its first call; peers' engines are imported before too.

    Where pandas is installed, Arrow imports it with its first array: most of a second.
    """
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.dataset
    import pyarrow.parquet

    pa.array([0])


def machine() -> Figures:
    """Return what this machine is and what runs on it."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = {}
    for package in ("skewless", "numpy", "pyarrow", "lmdb", "polars", "duckdb"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions,
    }


def note(text: str) -> None:
    """Tell a person what is going on; results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def shown(key: str, value: object) -> bool:
    """Return whether a figure belongs into the line that a person sees at once."""
    return key not in ("name", "about", "process_cpu_s") and not isinstance(value, list)
