"""The ledger: CPU of an event and of a seal, and how long it takes to verify millions of them.

Events are written 1,000 at a time, as what is recorded of reads would be, and one at a time, as the
records of jobs are. The same written to a file without numbers, CRCs and seals stands beside it.

    python -m benchmarks ledger
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, run_all

HEADINGS = {
    "events": "events",
    "write_us": "CPU us an event, written",
    "job_us": "CPU us a job's record",
    "verify_us": "CPU us an event, verified",
    "verify_s": "verified in s",
    "bytes": "bytes an event",
}
EVENT = {"features": ["Spend@v1:total_1h"], "entity": "9f86d081884c7d65", "status": "present"}
AT_ONCE = 1000


def run(options: Options) -> Figures:
    """Measure a ledger, and plain lines."""
    events = options.pick(20_000, 1_000_000, 10_000_000)
    names = {"skewless": "sealed", "lines in a file": "plain"}
    contenders = [
        Contender(name, f"benchmarks.ledger:{function}", {"events": events})
        for name, function in names.items()
    ]
    return {"title": f"Ledger: {events:,} events", "contenders": run_all(contenders, options)}


def batches(events: int) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Yield the events, so many at once."""
    for _ in range(events // AT_ONCE):
        yield [("access", EVENT)] * AT_ONCE


def sealed(clock: Clock, events: int) -> dict[str, Any]:
    """Write to a chain and verify it."""
    from skewless.ledger.chain import Chain
    from skewless.ledger.verify import verify_chain

    with tempfile.TemporaryDirectory() as folder:
        chain = Chain(Path(folder) / "host")
        start = cpu_seconds()
        with clock:
            for batch in batches(events):
                chain.append(batch, at=1)
        written = cpu_seconds() - start
        start = cpu_seconds()
        for _ in range(100):
            chain.append([("run", EVENT)], at=1)
        jobs = cpu_seconds() - start
        size = sum(file.stat().st_size for file in chain.files())
        start = cpu_seconds()
        report = verify_chain(chain.folder, None)
        verified = cpu_seconds() - start
        if report.problems or report.records != events + 100:
            raise RuntimeError("the ledger is not as it was written")
    return {
        "events": events,
        "write_us": round(written * 1e6 / events, 2),
        "job_us": round(jobs * 1e4, 1),
        "verify_us": round(verified * 1e6 / events, 3),
        "verify_s": round(verified, 2),
        "bytes": round(size / events),
    }


def plain(clock: Clock, events: int) -> dict[str, Any]:
    """Write the same as lines of JSON, synced as often."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        start = cpu_seconds()
        with clock, path.open("a", encoding="utf-8") as file:
            for batch in batches(events):
                file.writelines(json.dumps(data) + "\n" for _, data in batch)
                file.flush()
                os.fsync(file.fileno())
        written = cpu_seconds() - start
        return {
            "events": events,
            "write_us": round(written * 1e6 / events, 2),
            "bytes": round(path.stat().st_size / events),
        }


def summary(_: Figures) -> list[Line]:
    """Nothing of this is in the README's table."""
    return []
