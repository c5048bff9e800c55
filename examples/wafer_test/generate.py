"""SYNTHETIC test results, made up by a random generator; no fab was measured.

results = history(end, wafers=2_000)
stream(end, 240, drop_at=120)
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

Result = dict[str, Any]
FABS = ("fab-dresden", "fab-austin")


def history(end: datetime, wafers: int, seed: int = 7) -> list[Result]:
    """Results of some weeks, the newest shortly before `end`, in order of event time."""
    rng = random.Random(seed)
    step = timedelta(minutes=20)
    return [
        result(rng, f"w{number:05}", FABS[number % 2], end - (wafers - number) * step)
        for number in range(wafers)
    ]


def stream(start: datetime, count: int, drop_at: int, seed: int = 8) -> Iterator[Result]:
    """Results of one fab every 30 seconds; from the one numbered `drop_at` on its yield drops."""
    rng = random.Random(seed)
    for number in range(count):
        at = start + (number + 1) * timedelta(seconds=30)
        yield result(rng, f"s{number:05}", FABS[0], at, lost=12.0 * (number >= drop_at))


def result(
    rng: random.Random, wafer_id: str, fab_id: str, at: datetime, lost: float = 0.0
) -> Result:
    """One made-up result: a voltage, and what follows from it with noise."""
    vdd = rng.gauss(0.80, 0.01)
    temperature = rng.gauss(25.0, 0.5)
    return {
        "wafer_id": wafer_id,
        "fab_id": fab_id,
        "vdd": round(vdd, 4),
        "idd": round(40 + 300 * (vdd - 0.8) + 0.2 * (temperature - 25) + rng.gauss(0, 1), 3),
        "frequency": round(3200 + 9000 * (vdd - 0.8) + rng.gauss(0, 20), 1),
        "temperature": round(temperature, 2),
        "yield_pct": round(min(rng.gauss(92, 2) - lost, 100), 2),
        "tested_at": at,
        "ingested_at": at + timedelta(seconds=rng.randint(5, 600)),
    }


def inspections(results: list[Result], count: int, seed: int = 9) -> list[Result]:
    """Final inspections: wafer, fab, moment, and whether the wafer was scrapped. The spine."""
    rng = random.Random(seed)
    return [
        {
            "wafer_id": row["wafer_id"],
            "fab_id": row["fab_id"],
            "inspected_at": row["tested_at"] + timedelta(hours=rng.randint(1, 48)),
            "scrapped": row["yield_pct"] + rng.gauss(0, 2) < 90,
        }
        for row in rng.sample(results[200:-200], count)
    ]
