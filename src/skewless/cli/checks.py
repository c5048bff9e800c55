"""What ``skewless doctor`` looks at: each check yields findings, and never raises for them."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.cli.version import LIBRARIES, installed
from skewless.config import EMBEDDED, Config
from skewless.errors import SkewlessError
from skewless.formatting import count_of

if TYPE_CHECKING:
    from skewless.store import FeatureStore

LITTLE_SPACE, NO_SPACE = 2 << 30, 100 << 20


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: what was looked at.
        status: ``ok``, ``warn`` (should be seen to) or ``fail`` (does not work).
        text: what was found.
        hint: what to do about it.
    """

    check: str
    status: str
    text: str
    hint: str = ""


Findings = Iterator[Finding]


def guarded(check: str, run: Callable[[], Findings]) -> Findings:
    """Yield what a check yields; an error becomes a finding that fails."""
    try:
        yield from run()
    except (SkewlessError, OSError, ValueError) as problem:
        yield failed(check, problem)


def failed(check: str, problem: Exception) -> Finding:
    """Return the finding for an error."""
    if not isinstance(problem, SkewlessError):
        return Finding(check, "fail", f"{type(problem).__name__}: {problem}")
    parts = [problem.what]
    parts += [f"got {problem.got}"] if problem.got is not None else []
    parts += [f"in {problem.where}"] if problem.where else []
    return Finding(check, "fail", "; ".join(parts), problem.hint or "")


def python() -> Findings:
    """Check Python and the libraries."""
    yield Finding("python", "ok", platform.python_version())
    found = {name: installed(name) for name in LIBRARIES}
    missing = [name for name, known in found.items() if known is None]
    if missing:
        hint = f"Install them with: pip install {' '.join(missing)}"
        yield Finding("libraries", "fail", f"{', '.join(missing)} missing", hint)
    else:
        yield Finding("libraries", "ok", ", ".join(f"{n} {v}" for n, v in found.items()))


def kernels() -> Findings:
    """Check whether the compiled kernels are in use."""
    from skewless.aggregations.kernels import implementation

    if implementation == "compiled":
        yield Finding("kernels", "ok", "compiled")
        return
    hint = (
        "Values are the same, but slower to compute. Unset SKEWLESS_KERNELS if it is set, or "
        "install a wheel, or install from source with a C compiler."
    )
    yield Finding("kernels", "warn", f"{implementation}, not compiled", hint)


def folders(config: Config) -> Findings:
    """Check that the folders of the repo can be written to, and the space on their disks."""
    places = [config.folder / EMBEDDED]
    for section in (config.online, config.offline, config.registry):
        path = section.get("path") or section.get("folder")
        if path and "://" not in path:
            places.append(Path(path))
    for folder in dict.fromkeys(_existing(place) for place in places):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as problem:
            forbidden = problem.errno in (errno.EROFS, errno.EACCES)
            if forbidden and folder in places and os.access(folder, os.R_OK):
                hint = (
                    "Reads work; rows are pushed and definitions applied where it can be written."
                )
                yield Finding("folder", "warn", f"{folder}: can only be read", hint)
                continue
            hint = "Give this user the right to write there, or name another path."
            yield Finding("folder", "fail", f"{folder}: {problem.strerror}", hint)
            continue
        free = shutil.disk_usage(folder).free
        status = "fail" if free < NO_SPACE else "warn" if free < LITTLE_SPACE else "ok"
        hint = "" if status == "ok" else "Writes fail when the disk is full; reads go on."
        text = f"{folder}: writable, {free / (1 << 30):.1f} GB free"
        yield Finding("folder", status, text, hint)


def _existing(path: Path) -> Path:
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def registry(fs: FeatureStore) -> Findings:
    """Check that the registry opens and is of a format that this version reads."""
    registry = fs.runtime.registry
    fs.runtime.state(fresh=True)
    start = time.perf_counter()
    state = registry.state()
    seconds = time.perf_counter() - start
    where = f"{registry.where}: read in {seconds * 1000:.1f} ms"
    if not state.revision:
        hint, nothing = "Apply the definitions with: skewless apply", "nothing was applied yet"
        if state.others:
            nothing += f" to project {state.project!r}, but to {', '.join(state.others)}"
            hint = "Is project in skewless.toml the one that was applied? If this one is new: apply"
        yield Finding("registry", "warn", f"{where}, {nothing}", hint)
        return
    parts = [
        f"revision {state.revision}",
        count_of(len(state.sources), "source"),
        count_of(len(state.current), "view"),
        count_of(len(state.services), "service"),
    ]
    yield Finding("registry", "ok", f"{where}, {', '.join(parts)}")
    for name in state.services:
        fs.runtime.reader.lookup(name, True)  # raises unless all it is pinned to can be served
