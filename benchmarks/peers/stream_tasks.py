"""River and Bytewax over the lines of a file; runs in an environment that has only those."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

METRICS = ("vdd", "idd", "yield_pct")
WINDOWS = (timedelta(minutes=5), timedelta(hours=1), timedelta(hours=24))
LAST = 100


def river(clock: Any, lines: str, seconds: float) -> dict[str, Any]:
    """Mean and variance over time windows and the last 100 of each metric, in memory.

    River's `TimeRolling` takes events in time order only, and keeps no minimum or maximum.
    """
    from river import stats, utils

    def rolling() -> list[Any]:
        times = [utils.TimeRolling(make(), period=w) for w in WINDOWS for make in _STATS]
        return times + [utils.Rolling(make(), window_size=LAST) for make in _STATS]

    _STATS = (stats.Mean, stats.Var)
    held: dict[int, list[list[Any]]] = {}
    count, until = 0, time.perf_counter() + seconds
    with clock:
        for row in _rows(lines):
            at = datetime.fromisoformat(row["at"]).replace(tzinfo=None)  # it takes no others
            entity = held.setdefault(row["entity"], [rolling() for _ in METRICS])
            for metric, windows in zip(METRICS, entity, strict=True):
                for window in windows[: len(WINDOWS) * len(_STATS)]:
                    window.update(row[metric], t=at)
                for window in windows[len(WINDOWS) * len(_STATS) :]:
                    window.update(row[metric])
            count += 1
            if count % 1000 == 0 and time.perf_counter() > until:
                break
    return {"events": count, "events_per_s": round(count / clock.figures["wall_s"], 1)}


def bytewax(clock: Any, lines: str, seconds: float) -> dict[str, Any]:
    """One metric: count, sum and sum of squares in windows of five minutes, one a minute."""
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.operators import windowing as win
    from bytewax.testing import TestingSink, TestingSource, run_main

    rows = _limited(lines, int(1_000 * seconds))
    pairs = [(str(row["entity"]), (datetime.fromisoformat(row["at"]), row["vdd"])) for row in rows]
    flow = Dataflow("rolling")
    stream = op.input("in", flow, TestingSource(pairs, batch_size=1_000))
    clock_of = win.EventClock(lambda item: item[0], wait_for_system_duration=timedelta(0))
    windower = win.SlidingWindower(
        length=timedelta(minutes=5), offset=timedelta(minutes=1), align_to=_EPOCH
    )

    def add(state: tuple[int, float, float], item: Any) -> tuple[int, float, float]:
        return state[0] + 1, state[1] + item[1], state[2] + item[1] ** 2

    def merge(one: Any, two: Any) -> Any:
        return tuple(a + b for a, b in zip(one, two, strict=True))

    folded = win.fold_window("fold", stream, clock_of, windower, lambda: (0, 0.0, 0.0), add, merge)
    found: list[Any] = []
    op.output("out", folded.down, TestingSink(found))
    with clock:
        run_main(flow)
    return {"events": len(pairs), "events_per_s": round(len(pairs) / clock.figures["wall_s"], 1)}


_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def _rows(lines: str) -> Iterator[dict[str, Any]]:
    with Path(lines).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _limited(lines: str, most: int) -> list[dict[str, Any]]:
    rows = []
    for row in _rows(lines):
        rows.append(row)
        if len(rows) >= most:
            break
    return rows
