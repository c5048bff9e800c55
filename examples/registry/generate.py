"""SYNTHETIC results of parametric tests, made up by a random generator; no fab was measured.

results, judged = history(end, lots=160)
"""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from parameters import FAMILIES, PARAMETERS

DIES = 6
"""Dies of a lot that are tested for every parameter."""
DRIFTING = {"sram": ("vmin_125c", "vmin_aged", "idd_125c"), "pll": ("jitter_85c", "jitter_125c")}
"""What moves in the newest lots, and makes them fail."""
MOVED = 30
"""How many of the newest lots have mostly moved."""
HOUR = 3_600_000_000


def history(
    end: datetime, lots: int, seed: int = 41
) -> tuple[dict[str, pa.Table], list[dict[str, object]]]:
    """Return for each family the results of its parameters, and the judged lots: the spine.

    A lot that fails is tested anew two days later, with what was repaired: its second results
    correct the first. Whoever joins by key alone learns from these.
    """
    rng = np.random.default_rng(seed)
    stop = int(end.timestamp() * 1e6)
    moved = rng.random(lots) < np.where(np.arange(lots) < lots - MOVED, 0.2, 0.8)
    fails = rng.random(lots) < np.where(moved, 0.85, 0.05)
    tested = stop - (3 * np.arange(lots)[::-1] + 60) * HOUR
    judged = [
        {"lot_id": f"lot{n:04}", "failed": bool(fails[n]),
         "judged_at": end - timedelta(hours=3 * (lots - 1 - n) + 40)}
        for n in range(lots)
    ]  # fmt: skip
    return {f: family(rng, f, moved, fails, tested) for f in FAMILIES}, judged


def family(
    rng: np.random.Generator, name: str, moved: np.ndarray, fails: np.ndarray, tested: np.ndarray
) -> pa.Table:
    """Return the results of a family, in standard deviations around the middle of its limits."""
    lots = len(moved)
    values = rng.normal(0, 1, (lots, 1, len(PARAMETERS))) * 0.7
    values = values + rng.normal(0, 0.7, (lots, DIES, len(PARAMETERS)))
    for parameter in DRIFTING.get(name, ()):
        values[:, :, PARAMETERS.index(parameter)] += 2.5 * moved[:, None]
    first = rows(values, np.arange(lots), tested, tested + HOUR)
    again = np.flatnonzero(fails)
    better = values[again] - 0.8
    return pa.concat_tables([first, rows(better, again, tested[again], tested[again] + 70 * HOUR)])


def rows(
    values: np.ndarray, lots: np.ndarray, tested: np.ndarray, loaded: np.ndarray
) -> pa.Table:  # fmt: skip
    """Return rows of so many lots: a die each, a column a parameter."""
    stamp = pa.timestamp("us", "UTC")
    flat = np.round(values.reshape(-1, len(PARAMETERS)), 4)
    dies = np.tile(np.arange(DIES), len(lots))
    columns = {
        "lot_id": pa.array([f"lot{n:04}" for n in np.repeat(lots, DIES)]),
        "die": pa.array(dies),
        **{name: pa.array(flat[:, n]) for n, name in enumerate(PARAMETERS)},
        "tested_at": pa.array(np.repeat(tested, DIES) + dies * 1_000_000, stamp),
        "loaded_at": pa.array(np.repeat(loaded, DIES), stamp),
    }
    return pa.table(columns)
