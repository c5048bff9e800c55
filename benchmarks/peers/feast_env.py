"""Feast in an environment of its own, so that its dependencies meet nobody else's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import CACHE, PeerMissing, note

VERSION = "0.67.0"
REQUIREMENT = f"feast[duckdb,redis]=={VERSION}"
HOME = CACHE / f"feast-{VERSION}"


def feast_python(install: bool) -> Callable[[], str]:
    """Return what finds (and, if allowed, makes) the interpreter that has Feast."""

    def find() -> str:
        python = HOME / "bin" / "python"
        done = HOME / "complete"
        if not done.exists() or done.read_text(encoding="utf-8").strip() != REQUIREMENT:
            if not install:
                raise PeerMissing(f"{REQUIREMENT} has no environment in {HOME} (--no-install)")
            build(python)
        return str(python)

    return find


def build(python: Path) -> None:
    """Make the environment; `PeerMissing` if that is impossible here, without a network say."""
    note(f"  installing {REQUIREMENT} into {HOME} ...")
    HOME.parent.mkdir(parents=True, exist_ok=True)
    venv.create(HOME, clear=not (HOME / "complete").exists(), with_pip=True)
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", str(python), REQUIREMENT]
    else:
        command = [str(python), "-m", "pip", "install", "--quiet", REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise PeerMissing(f"{REQUIREMENT} could not be installed: {lines[-1]}")
    (HOME / "complete").write_text(f"{REQUIREMENT}\n", encoding="utf-8")
