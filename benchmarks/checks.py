"""Checks: CPU and memory of twelve of them over the rows of a source, taken in chunks.

Beside them the same rows are read and counted alone: what is left is the price of the checks.

    python -m benchmarks checks
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, run_all

HEADINGS = {
    "rows": "rows",
    "checks": "checks",
    "cpu_s": "CPU s",
    "peak_mb": "peak MB",
    "failing": "checks that fail",
}
CHUNK = 1_000_000


def run(options: Options) -> Figures:
    """Measure twelve checks, and reading alone."""
    rows = options.rows or options.pick(100_000, 1_000_000, 10_000_000)
    names = {"skewless": "checked", "the rows made alone": "made"}
    contenders = [
        Contender(name, f"benchmarks.checks:{function}", {"rows": rows})
        for name, function in names.items()
    ]
    return {"title": f"Twelve checks of {rows:,} rows", "contenders": run_all(contenders, options)}


def chunks(rows: int) -> Iterator[tuple[Any, Any]]:
    """Yield the rows as tables, with their event times."""
    import pyarrow as pa

    cities = pa.array(["Bonn", "Köln", "Ulm"])
    for start in range(0, rows, CHUNK):
        chance = np.random.default_rng(start)
        count = min(CHUNK, rows - start)
        numbers = np.arange(start, start + count)
        net = chance.uniform(0, 100, count)
        city = pa.DictionaryArray.from_arrays(pa.array(numbers % 3, pa.int32()), cities)
        yield (
            pa.table(
                {
                    "pay_id": numbers,
                    "card_id": pa.array((numbers % 1000).astype(str)),
                    "net": net,
                    "tax": net * 0.25,
                    "gross": net + net * 0.25,
                    "city": city.cast(pa.string()),
                }
            ),
            numbers,
        )


def checked(clock: Clock, rows: int) -> dict[str, Any]:
    """Carry the twelve kinds out."""
    import skewless as sl
    from skewless.checks.tallies import Tally

    schema = {"pay_id": int, "net": float, "gross": float}
    source = sl.Source("pays", schema=schema, event_time="at")
    checks = [
        sl.Check.not_null("card_id"),
        sl.Check.between("net", 0, 100),
        sl.Check.in_set("city", ["Bonn", "Köln", "Ulm"]),
        sl.Check.matches("card_id", "[0-9]+"),
        sl.Check.unique("pay_id"),
        sl.Check.monotonic("pay_id"),
        sl.Check.sums_to(["net", "tax"], "gross", within=1e-9),
        sl.Check.expr(source.gross >= source.net),
        sl.Check.row_count(1),
        sl.Check.change_of_count(0.1),
        sl.Check.mean_between("net", 40, 60),
        sl.Check.fresh("1h"),
    ]
    tally = Tally(checks, of="pays", now=rows, before=rows)
    taken = 0.0
    with clock:
        for table, event in chunks(rows):
            start = cpu_seconds()
            tally.add(table, event)
            taken += cpu_seconds() - start
        start = cpu_seconds()
        results = tally.results()
        taken += cpu_seconds() - start
    failing = sum(not each.ok for each in results)
    return {"rows": rows, "checks": len(checks), "cpu_s": round(taken, 2), "failing": failing}


def made(clock: Clock, rows: int) -> dict[str, Any]:
    """Make the rows, and count them."""
    start = cpu_seconds()
    with clock:
        count = sum(table.num_rows for table, _ in chunks(rows))
    return {"rows": count, "checks": 0, "cpu_s": round(cpu_seconds() - start, 2), "failing": 0}


def summary(_: Figures) -> list[Line]:
    """Nothing of this is in the README's table."""
    return []
