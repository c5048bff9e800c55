"""Stream libraries in an environment of their own: their dependencies meet nobody else's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import CACHE, PeerMissing, note

REQUIREMENTS = ("bytewax==0.21.1", "river==0.26.1")
HOME = CACHE / ("-".join(REQUIREMENTS).replace("==", "-"))


def stream_python(install: bool) -> Callable[[], str]:
    """Return what finds (and, if allowed, makes) the interpreter that has them."""

    def find() -> str:
        python = HOME / "bin" / "python"
        if not (HOME / "complete").exists():
            if not install:
                raise PeerMissing(f"{REQUIREMENTS} have no environment in {HOME} (--no-install)")
            build(python)
        return str(python)

    return find


def build(python: Path) -> None:
    """Make the environment; `PeerMissing` if that is impossible here, without a network say."""
    note(f"  installing {', '.join(REQUIREMENTS)} into {HOME} ...")
    HOME.parent.mkdir(parents=True, exist_ok=True)
    venv.create(HOME, clear=True, with_pip=True)
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    command = [str(python), "-m", "pip", "install", "--quiet"]
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", str(python)]
    done = subprocess.run([*command, *REQUIREMENTS], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise PeerMissing(f"{REQUIREMENTS} could not be installed: {lines[-1]}")
    (HOME / "complete").write_text("\n".join(REQUIREMENTS) + "\n", encoding="utf-8")
