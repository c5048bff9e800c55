"""Examples run from top to bottom, in processes of their own and in empty folders."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(name: str, folder: Path, pictures: int = 0) -> str:
    """Run an example in an empty folder, where it leaves pictures alone; return what it prints."""
    example = EXAMPLES / name
    before = _files(example)
    done = subprocess.run(
        [sys.executable, str(example / "run.py")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert _files(example) == before
    left = [path.read_bytes()[:4] for path in folder.iterdir()]
    assert left == [b"\x89PNG"] * pictures
    return done.stdout


def promises(output: str) -> dict[str, tuple[float, float]]:
    """Return, by the kind of join, the AUC that it promised and the one that serving kept."""
    pattern = r"^  (naive-latest|event_time|known) +\S+% +(\S+) +(\S+)"
    found = re.findall(pattern, output, re.MULTILINE)
    return {kind: (float(promised), float(kept)) for kind, promised, kept in found}


def compared(output: str) -> int:
    """Return how many values were compared with what was served; all are equal to the bit."""
    found = re.search(r"(\d+) values of \d+ vectors; 0 differ", output)
    assert found is not None
    return int(found[1])


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)
