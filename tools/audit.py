"""Looks for known vulnerabilities of the versions in the lock: `python tools/audit.py`.

Fails when one is known that `IGNORED` does not name with its reason. Where no source of such
knowledge answers, that is said and no failure: nothing was found out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "constraints.txt"
SOURCES = ("pypi", "osv")
IGNORED: dict[str, str] = {}
"""Id of a vulnerability to why it does not concern us."""


def answers_of(source: str) -> list[dict[str, Any]]:
    """Return what a source knows of each version of the lock; nothing if it does not answer."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        return []
    command: list[str | Path] = [uv, "tool", "run", "--quiet", "pip-audit>=2.9"]
    command += ["--service", source, "--requirement", LOCK, "--no-deps", "--disable-pip"]
    command += ["--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        found = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return []
    return [each for each in found["dependencies"] if "skip_reason" not in each]


def vulnerabilities(answers: list[dict[str, Any]]) -> list[str]:
    """Return a line for each vulnerability that is not ignored.

    >>> bad = {"id": "X-1", "fix_versions": ["2.1", "3.0"]}
    >>> vulnerabilities([{"name": "left", "version": "2.0", "vulns": [bad]}])
    ['left 2.0: X-1, mended in 2.1, 3.0']
    """
    return [
        f"{each['name']} {each['version']}: {found['id']}, mended in"
        f" {', '.join(found['fix_versions']) or 'no version'}"
        for each in answers
        for found in each["vulns"]
        if found["id"] not in IGNORED
    ]


def main() -> int:
    """Ask the sources, the first that answers counts; return 1 if something is known."""
    for source in SOURCES:
        answers = answers_of(source)
        if answers:
            found = vulnerabilities(answers)
            print("\n".join([f"{len(answers)} versions of {LOCK.name} looked up.", *found]))
            return 1 if found else 0
    print(f"audit: no source answers; nothing is known of the versions in {LOCK.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
