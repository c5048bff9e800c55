"""The command line: runs benchmarks, prints JSON, and then the markdown tables to the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import SIZES, Options, machine, note
from benchmarks.report import module, tables

ALONE = ("serving", "fairness", "recovery", "pages", "engines", "kafka_stream", "flink", "capacity")
"""Run only when they are named."""
NAMES = (
    "join",
    "windows",
    "ranges",
    "small_files",
    "online",
    "materialize",
    "push",
    "derived",
    "candidates",
    "stream",
    "startup",
    "newcomer",
    "stores",
    "definitions",
    "search",
    "ui",
    "ledger",
    "checks",
    "drift",
    "freshness",
    "grants",
    "audit",
)


def main() -> int:
    """Run what the command line asks for; 1 if a contender failed."""
    given = arguments()
    if given.table:
        print(tables(json.loads(given.table.read_text(encoding="utf-8"))))
        return 0
    options = Options(
        size=given.size,
        repeats=given.repeats,
        install=not given.no_install,
        only=tuple(given.only),
        rows=given.rows,
    )
    results: dict[str, Any] = {
        "size": options.size,
        "repeats": options.repeats,
        "machine": machine(),
        "benchmarks": {},
    }
    for name in given.names or NAMES:
        note(f"{name} ({options.size})")
        results["benchmarks"][name] = module(name).run(options)
        if given.out:
            given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))
    note("\n" + tables(results))
    return 1 if any(failures(results["benchmarks"])) else 0


def arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures skewless beside its peers. JSON goes to standard output, tables and "
        "progress to standard error.",
        epilog="example: python -m benchmarks join materialize --size full --out results.json",
    )
    parser.add_argument(
        "names",
        nargs="*",
        choices=[*NAMES, *ALONE, []],
        metavar="name",
        help=", ".join((*NAMES, *ALONE)),
    )
    parser.add_argument("--size", choices=SIZES, default="small", help="default: small, a tenth")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON to a file")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only draw tables of a file")
    parser.add_argument("--rows", type=count, help="another number of rows of history: 50M")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="contenders with TEXT in the name",
    )
    parser.add_argument(
        "--no-install", action="store_true", help="skip peers that have to be installed first"
    )
    return parser.parse_args()


def count(text: str) -> int:
    """Return a number such as ``50M`` or ``100k``."""
    units = {"k": 1_000, "M": 1_000_000}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


def failures(result: Any) -> list[str]:
    """Return the names of contenders that failed, wherever they are in the results."""
    if isinstance(result, dict):
        own = [result["name"]] if "failed" in result else []
        return own + [name for value in result.values() for name in failures(value)]
    if isinstance(result, list):
        return [name for value in result for name in failures(value)]
    return []


if __name__ == "__main__":
    sys.exit(main())
