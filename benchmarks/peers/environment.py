"""An environment for libraries of a peer: their dependencies meet nobody else's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.harness import PeerMissing, note


def python_with(home: Path, requirements: Sequence[str], install: bool) -> Callable[[], str]:
    """Return what finds (and, if allowed, makes) the interpreter that has the requirements."""
    wanted = "\n".join(requirements)

    def find() -> str:
        python, done = home / "bin" / "python", home / "complete"
        if not done.exists() or done.read_text(encoding="utf-8").strip() != wanted:
            if not install:
                shown = ", ".join(requirements)
                raise PeerMissing(f"{shown}: no environment in {home} (--no-install)")
            build(home, requirements)
            done.write_text(f"{wanted}\n", encoding="utf-8")
        return str(python)

    return find


def build(home: Path, requirements: Sequence[str]) -> None:
    """Make the environment; `PeerMissing` if that is impossible here, without a network say."""
    shown, python = ", ".join(requirements), home / "bin" / "python"
    note(f"  installing {shown} into {home} ...")
    home.parent.mkdir(parents=True, exist_ok=True)
    venv.create(home, clear=not (home / "complete").exists(), with_pip=True)
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    command = [str(python), "-m", "pip", "install", "--quiet"]
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", str(python)]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise PeerMissing(f"{shown} could not be installed: {lines[-1]}")
