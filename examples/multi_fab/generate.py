"""SYNTHETIC lots of four fabs: no fab was measured.

A line (a product in a fab) drifts: its process wanders, and an excursion now and then lowers its
yield for days. The probe of a lot sees part of it. Final test comes two days after the probe, and
its result is received hours to two days after that, by the pace of the fab.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np

FABS = {"dresden": 4, "hsinchu": 46, "austin": 12, "kumamoto": 30}
"""Fab to the hours that its results take until they are received."""
PRODUCTS = ("radar", "sensor", "power")
Row = dict[str, Any]
EVERY = timedelta(hours=6)


def lots(end: datetime, days: int, seed: int = 7) -> Iterator[tuple[Row, Row]]:
    """Yield probe and result of each lot that is probed in so many days before ``end``."""
    chance = np.random.default_rng(seed)
    lines = {(f, p): _Line(chance) for f in FABS for p in PRODUCTS}
    at, number = end - timedelta(days=days), 0
    while at < end:
        at += EVERY
        for (fab, product), line in lines.items():
            health = line.step()
            number += 1
            key = {"lot_id": f"L{number:05d}", "fab_id": fab, "product": product}
            probed = at + timedelta(minutes=int(chance.integers(0, 300)))
            noise = chance.normal(0, 1, 3)
            yield_pct = float(np.clip(90 - 11 * health + 2.5 * noise[0], 5, 99.5))
            probe = key | {
                "leakage": float(1.2 + 0.25 * health + 0.25 * noise[1]),
                "vth": float(0.42 - 0.01 * health + 0.01 * noise[2]),
                "wafers": int(chance.integers(20, 26)),
                "probed_at": probed,
            }
            tested = probed + timedelta(hours=float(chance.uniform(40, 56)))
            received = tested + timedelta(hours=FABS[fab] * float(chance.uniform(0.8, 1.1)))
            result = key | {"yield_pct": yield_pct, "tested_at": tested, "received_at": received}
            yield probe, result


class _Line:
    """The process of a line: 0 is healthy, 1 and more is an excursion."""

    def __init__(self, chance: np.random.Generator) -> None:
        self._chance = chance
        self._drift, self._left = 0.0, 0

    def step(self) -> float:
        """Return how ill the line is now, a lot later."""
        chance = self._chance
        self._drift = 0.97 * self._drift + 0.05 * chance.normal()
        if not self._left and chance.random() < 0.012:
            self._left = int(chance.integers(14, 40))
        self._left = max(0, self._left - 1)
        return abs(self._drift) + (1.1 if self._left else 0.0)
