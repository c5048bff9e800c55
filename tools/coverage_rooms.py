"""Measures how much of each room its tests run: `python tools/coverage_rooms.py [GROUP]...`.

A room is a folder of the package, a group some rooms that are measured together by the tests of the
same names (and those of `MORE`), on two processes, subprocesses included. Prints lines and branches
of every room, and fails where both together are below the floor; then it lists what was missed.
Measuring costs some two thirds more CPU than testing, so CI measures one group a run. Whether tests
pass is for `make test` to say: children of a fork, for one, end otherwise under a tracer.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FLOOR = 90.0
GROUPS: dict[str, tuple[str, ...]] = {
    "values": ("state", "aggregations", "engines"),
    "verbs": ("training", "ingest"),
    "online": ("plan", "online", "materialize"),
    "stores": ("stores",),
    "serving": ("serving",),
    "records": ("ledger", "lineage", "checks", "quality", "tend"),
    "ui": ("ui", "monitoring"),
}
MORE: dict[str, tuple[str, ...]] = {
    "values": ("tests/laws", "tests/expressions"),
    "verbs": ("tests/leakage", "tests/streams", "tests/online/test_table_rows.py"),
    "online": ("tests/explain",),
    "stores": ("tests/doors",),
    "serving": (),
    "records": ("tests/serving/test_grants.py",),
    "ui": (
        "tests/alerts",
        "tests/cli/test_list.py",
        "tests/cli/test_summaries.py",
        "tests/definitions/test_words.py",
    ),
}
"""Further tests of a group: those of what its rooms share with others."""
DATA = ROOT / ".coverage"


def measure(group: str) -> int:
    """Run the tests of a group under coverage; return pytest's exit code, 0 where some failed."""
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    tests = [f"tests/{room}" for room in GROUPS[group]]
    tests = [path for path in (*tests, *MORE[group]) if (ROOT / path).exists()]
    command = ["-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", "-m", "not slow", *tests]
    # The core that costs least where it measures branches: Python 3.14 and newer.
    core = {"COVERAGE_CORE": "sysmon"} if sys.version_info >= (3, 14) else {}
    done = _coverage("run", *command, check=False, env=os.environ | core)
    _coverage("combine", "--quiet", str(DATA))
    return 0 if done.returncode == 1 else done.returncode


def shares(room: str) -> tuple[float, float, float, dict[str, Any]]:
    """Return how much of a room ran, its lines, its branches, in percent, and its files."""
    report = DATA / f"{room}.json"
    _coverage("json", "--quiet", "--include", f"*/skewless/{room}/*", "-o", str(report))
    found = json.loads(report.read_text(encoding="utf-8"))
    total = found["totals"]
    lines = 100 * total["covered_lines"] / max(1, total["num_statements"])
    branches = 100 * total["covered_branches"] / max(1, total["num_branches"])
    return total["percent_covered"], lines, branches, found["files"]


def _coverage(
    *arguments: str, check: bool = True, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, check=check, **options)


def main() -> int:
    """Measure groups; return 1 where tests do not run or a room is below the floor."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="all if none is named")
    failed = []
    for group in parser.parse_args().groups or list(GROUPS):
        if measure(group) != 0:
            failed.append(f"the tests of {group} did not run")
        for room in GROUPS[group]:
            both, lines, branches, files = shares(room)
            print(
                f"coverage of {room}: {both:.1f} %; lines {lines:.1f} %, branches {branches:.1f} %"
            )
            if both < FLOOR:
                failed.append(f"{room} is below {FLOOR:.0f} %")
                _show_what_is_missed(files)
    if failed:
        sys.stderr.write(f"coverage: {'; '.join(failed)}\n")
    return 1 if failed else 0


def _show_what_is_missed(files: dict[str, Any]) -> None:
    for name, file in sorted(files.items()):
        missed = file["missing_lines"] or [first for first, _ in file["missing_branches"]]
        if missed:
            print(f"  {name}: {file['summary']['percent_covered']:.0f} %: {_ranges(missed)}")


def _ranges(lines: list[int]) -> str:
    """Return numbers with neighbours together.

    >>> _ranges([3, 4, 5, 9])
    '3-5, 9'
    """
    parts: list[list[int]] = []
    for line in sorted(set(lines)):
        if parts and line == parts[-1][-1] + 1:
            parts[-1].append(line)
        else:
            parts.append([line])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


if __name__ == "__main__":
    sys.exit(main())
