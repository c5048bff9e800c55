"""Runs contenders: each run in a fresh process, the median of several, facts about the machine."""

from __future__ import annotations

import dataclasses
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
from typing import Any, TypeVar

from benchmarks.child import cpu_seconds

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".bench"
QUIET = {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
SIZES = ("tiny", "small", "full")
T = TypeVar("T")
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

    def pick(self, tiny: T, small: T, full: T) -> T:
        """Return what the chosen size has."""
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
    """Measure contenders and return what was found, in order.

    They take turns, one run each, so that other work on the machine slows all of them alike.
    """
    wanted = options.only or ("",)
    chosen = [one for one in contenders if any(part in one.name for part in wanted)]
    runs: dict[str, list[Figures]] = {contender.name: [] for contender in chosen}
    if len(runs) < len(chosen):
        raise ValueError("two contenders of one name: their figures would be one median")
    without: dict[str, Figures] = {}
    for turn in range(options.repeats):
        for contender in chosen:
            if contender.name in without or (turn and contender.once):
                continue
            if measured(figures := attempt(contender)):
                runs[contender.name].append(figures)
            else:
                without[contender.name] = figures
            note(f"  {contender.name}: {json.dumps(figures)}")
    results = []
    for one in chosen:
        about = {"name": one.name, **({"about": one.about} if one.about else {})}
        results.append(about | (without.get(one.name) or middle(runs[one.name])))
    return results


def measure(contender: Contender, options: Options) -> Figures:
    """Return the median of a contender's runs; or ``skipped``, ``failed`` or ``gave_up_s``."""
    return run_all([contender], dataclasses.replace(options, only=()))[0]


def attempt(contender: Contender) -> Figures:
    """Return the figures of one run, or why there are none."""
    try:
        check_needs(contender.needs)
        return run_once(contender, contender.python())
    except PeerMissing as missing:
        return {"skipped": str(missing)}
    except subprocess.TimeoutExpired:
        return {"gave_up_s": contender.limit_s}
    except subprocess.CalledProcessError as problem:
        note(problem.stderr[-3000:])
        return {"failed": (problem.stderr.strip() or str(problem)).splitlines()[-1]}


def run_once(contender: Contender, python: str) -> Figures:
    """Run a task in a new process and return its figures."""
    with tempfile.TemporaryDirectory(prefix="skewless-bench-") as folder:
        out = Path(folder) / "figures.json"
        arguments = json.dumps(dict(contender.arguments))
        before = cpu_seconds()
        subprocess.run(
            [python, "-m", "benchmarks.child", contender.task, arguments, str(out)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder, **QUIET},
            capture_output=True,
            text=True,
            check=True,
            timeout=contender.limit_s,
        )
        figures: Figures = json.loads(out.read_text(encoding="utf-8"))
        figures["process_cpu_s"] = round(cpu_seconds() - before, 3)
    return figures


def middle(runs: Sequence[Figures]) -> Figures:
    """Return the figures of several runs as one: medians, the highest peak, all and least times.

    Other keys are those of the run with the median wall time.
    """
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
            result[f"{key}_least"] = min(run[key] for run in runs)
    return result


def check_needs(packages: Sequence[str]) -> None:
    """Raise `PeerMissing` unless the packages are installed here."""
    for package in packages:
        if version(package) is None:
            raise PeerMissing(f"{package} is not installed (pip install {package})")


def version(package: str) -> str | None:
    """Return the version of a package that is installed here."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


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
    info = Path("/proc/cpuinfo")
    described = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in described if line.startswith("model name")]
    cpu = names[0] if names else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages = ("skewless", "numpy", "pyarrow", "lmdb", "polars", "duckdb")
    versions = {name: version(name) or "not installed" for name in packages}
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
