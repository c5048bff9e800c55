"""SYNTHETIC wafer maps, made up by a random generator; no fab was measured.

maps, inspected = history(end, wafers=260)
"""

import random
from datetime import datetime, timedelta
from typing import Any

Die = dict[str, Any]
FABS = ("dresden", "austin")
SIZE = 13
DIES = [
    (x, y)
    for y in range(-(SIZE // 2), SIZE // 2 + 1)
    for x in range(-(SIZE // 2), SIZE // 2 + 1)
    if x * x + y * y <= (SIZE / 2) ** 2
]
"""Places of the dies of a wafer, counted from its centre."""
PATTERNS = ("none", "none", "none", "edge", "scratch", "centre")


def wafer(
    rng: random.Random, wafer_id: str, fab_id: str, at: datetime, upload: timedelta
) -> tuple[list[Die], str]:
    """Return the dies of a wafer, tested one after the other, and the pattern of its faults."""
    pattern = rng.choice(PATTERNS)
    slope, offset = rng.uniform(-2, 2), rng.uniform(-3, 3)
    dies = []
    for number, (x, y) in enumerate(DIES):
        radius = (x * x + y * y) ** 0.5 / (SIZE / 2)
        fault = 0.05
        if pattern == "edge" and radius > 0.8:
            fault = 0.7
        if pattern == "centre" and radius < 0.4:
            fault = 0.7
        if pattern == "scratch" and abs(y - slope * x - offset) < 1.2 + abs(slope) / 2:
            fault = 0.75
        passed = rng.random() >= fault
        vdd = rng.gauss(0.80, 0.01)
        leak = 0.0 if passed else rng.uniform(4, 12)
        dies.append({
            "wafer_id": wafer_id, "fab_id": fab_id, "x": x, "y": y, "radius": round(radius, 4),
            "vdd": round(vdd, 4), "idd": round(40 + 300 * (vdd - 0.8) + leak + rng.gauss(0, 1), 3),
            "passed": passed,
            "tested_at": at + timedelta(seconds=2 * number),
            "uploaded_at": at + timedelta(seconds=2 * len(DIES)) + upload,
        })  # fmt: skip
    return dies, pattern


def history(end: datetime, wafers: int, seed: int = 21) -> tuple[list[Die], list[dict[str, Any]]]:
    """Return dies of two fabs, and the final inspections: the spine.

    Scrapped wafers are tested anew a day later, when the best of their dies were kept: their second
    results correct the first. Whoever joins by key alone learns from these.
    """
    rng = random.Random(seed)
    dies, inspected = [], []
    for number in range(wafers):
        at = end - timedelta(hours=2 * (wafers - number) + 30)
        fab_id = FABS[number % 2]
        made, pattern = wafer(rng, f"w{number:05}", fab_id, at, timedelta(minutes=20))
        scrapped = rng.random() < (0.06 if pattern == "none" else 0.9)
        inspected_at = at + timedelta(hours=rng.uniform(2, 6))
        dies += made
        inspected.append({"wafer_id": f"w{number:05}", "fab_id": fab_id, "scrapped": scrapped,
                          "inspected_at": inspected_at})  # fmt: skip
        if scrapped:
            again = inspected_at + timedelta(hours=24)
            dies += [die | {"passed": True, "idd": round(die["idd"] - 3, 3), "uploaded_at": again}
                     for die in made if not die["passed"]]  # fmt: skip
    return dies, inspected


def shift(start: datetime, wafers: int, seed: int = 22) -> list[tuple[list[Die], str]]:
    """Return the wafers of one shift, each uploaded when it is tested, and their patterns."""
    rng = random.Random(seed)
    return [
        wafer(rng, f"s{number:04}", FABS[number % 2], start + timedelta(minutes=9 * number),
              timedelta())
        for number in range(wafers)
    ]  # fmt: skip
