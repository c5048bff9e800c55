"""Freshness: CPU of one look at 300 views, over event logs of their own and over shared ones.

python -m benchmarks freshness
"""

from __future__ import annotations

import tempfile
from typing import Any

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, run_all

HEADINGS = {"views": "views", "sources": "sources", "cpu_ms": "CPU ms a look", "stale": "stale"}
NOON = 1_767_261_600_000_000
LOOKS = 5


def run(options: Options) -> Figures:
    """Measure a look at many views."""
    views = options.rows or options.pick(20, 300, 300)
    found = [
        Contender(
            f"{sources} sources", "benchmarks.freshness:looked",
            {"views": views, "sources": sources},
        )
        for sources in (max(1, views // 10), views)
    ]  # fmt: skip
    return {"title": f"Freshness of {views} views", "contenders": run_all(found, options)}


def looked(clock: Clock, views: int, sources: int) -> dict[str, Any]:
    """Look at the freshness of views, half of whose promises are broken."""
    import skewless as sl
    from skewless.testing.clock import SettableClock

    card = sl.Entity("card", card_id=str)
    made = [
        sl.Source(f"s{n}", schema={"card_id": str, "amount": float}, event_time="at")
        for n in range(sources)
    ]
    defined = [
        sl.FeatureView(
            f"V{n}", entity=card, source=made[n % sources],
            features={"total": made[n % sources].amount.sum("1h")},
            freshness=sl.Freshness(warn="1m", error="5m" if n % 2 else "2h", hours="Mo-Su 00-24"),
        )
        for n in range(views)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        settable = SettableClock(NOON)
        with sl.FeatureStore(folder, clock=settable) as fs:
            fs.apply(fs.plan(*defined), build=False)
            fs.materialize()
            for source in made:
                rows = [
                    {"card_id": f"c{n}", "amount": 1.0, "at": sl.clock.from_micros(NOON - n)}
                    for n in range(300)
                ]
                fs.push(source.name, rows)
            settable.time += 3_600_000_000
            fs.freshness()
            start = cpu_seconds()
            with clock:
                for _ in range(LOOKS):
                    report = fs.freshness()
            taken = (cpu_seconds() - start) / LOOKS
            stale = sum(view.status == "stale" for view in report.views)
            if stale != views // 2 or any(view.lag is None for view in report.views):
                raise RuntimeError(f"{stale} of {views} views are stale")
    return {"views": views, "sources": sources, "cpu_ms": round(taken * 1e3), "stale": stale}


def summary(_: Figures) -> list[Line]:
    """Nothing of this is in the README's table."""
    return []
