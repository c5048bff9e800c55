"""Lives, one after the other; of one that fails, the fewest steps that show it."""

from __future__ import annotations

import logging
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from skewless.testing.lifecycle.checks import Checker, Found
from skewless.testing.lifecycle.life import Life

STEPS = 30
Progress = Callable[[str, float], None]


@dataclass
class LifecycleReport:
    """What a walk has found.

    Attributes:
        seed: of all chance: the same seed, the same lives.
        lives, steps, values: how many.
        done: steps by kind.
        statuses: of the values that were read online.
        failed: of each life that went wrong, its story and what is wrong.
    """

    seed: int
    lives: int = 0
    steps: int = 0
    values: int = 0
    done: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every value was right, or said to be building."""
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "ok": self.ok, "seed": self.seed, "lives": self.lives, "steps": self.steps,
            "values": self.values, "done": dict(self.done), "statuses": dict(self.statuses),
            "failed": self.failed,
        }  # fmt: skip

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in self.done.most_common())
        seen = ", ".join(f"{kind} {number:,}" for kind, number in self.statuses.most_common())
        lines = [
            f"{self.lives:,} lives (seed {self.seed}), {self.steps:,} steps: {kinds}",
            f"{self.values:,} values compared with the reference engine; online: {seen}",
            f"{len(self.failed):,} lives went wrong",
        ]
        return "\n".join([*lines, *self.failed])


def walk(
    values: int,
    *,
    seed: int,
    progress: Progress | None = None,
    most_failures: int = 1,
    minimize: bool = True,
    first: int = 0,
) -> LifecycleReport:
    """Live until so many values were compared, and return what was found.

    Args:
        values: how many.
        seed: of all chance.
        progress: called with a text and the finished fraction.
        most_failures: after how many lives that went wrong to stop.
        minimize: whether the fewest steps are looked for that show what is wrong.
        first: the number of the life to begin with.
    """
    report = LifecycleReport(seed)
    # What a store warns of (rows lost, files without a column) is what happens here all the time.
    warnings = logging.getLogger("skewless")
    level = warnings.level
    warnings.setLevel(logging.ERROR)
    try:
        _walk(report, values, progress, most_failures, minimize=minimize, first=first)
    finally:
        warnings.setLevel(level)
    return report


def _walk(
    report: LifecycleReport,
    values: int,
    progress: Progress | None,
    most_failures: int,
    *,
    minimize: bool,
    first: int,
) -> None:
    for number in count(first):
        if report.values >= values or len(report.failed) >= most_failures:
            return
        if progress is not None:
            progress("living", report.values / values)
        name = f"{report.seed}.{number}"
        life = _lived(name, range(STEPS))
        report.lives += 1
        report.steps += life.steps
        report.values += life.found.values
        report.done += life.done
        report.statuses += life.found.statuses
        if life.found.faults:
            if minimize:
                life = _fewest(name, life)
            report.failed.append(life.story())


@dataclass
class Lived:
    """A life that is over."""

    name: str
    chosen: tuple[int, ...]
    found: Found
    history: list[str]
    done: Counter[str]

    @property
    def steps(self) -> int:
        """How many steps it took."""
        return sum(self.done.values())

    @property
    def fault(self) -> str:
        """The first thing that went wrong."""
        return self.found.faults[0] if self.found.faults else ""

    def story(self) -> str:
        """Return what happened and what is wrong."""
        told = "\n  ".join(self.history)
        return f"life {self.name}, steps {self.chosen}:\n  {told}\n  WRONG {self.fault}"


def _lived(name: str, steps: Collection[int]) -> Lived:
    """Live the chosen steps of a life, up to the first fault."""
    found = Found()
    with tempfile.TemporaryDirectory(prefix="skewless-") as folder:
        life = Life(Path(folder), name)
        checker = Checker(life, found)
        try:
            checker.check(-1)
            for number in steps:
                if found.faults:
                    break
                life.step(number)
                checker.check(number)
        except Exception as problem:  # noqa: BLE001 - whatever leaves a verb is a fault to be told
            where = traceback.extract_tb(problem.__traceback__)[-1]
            found.faults.append(
                f"{type(problem).__name__}: {problem} ({where.name}:{where.lineno})"
            )
        finally:
            life.place.close()
        return Lived(name, tuple(steps), found, life.history, life.done)


def _fewest(name: str, failed: Lived) -> Lived:
    """Leave out steps as long as something still goes wrong."""
    best = failed
    again = True
    while again:
        again = False
        for number in reversed(best.chosen):
            fewer = tuple(step for step in best.chosen if step != number)
            shorter = _lived(name, fewer)
            if shorter.found.faults:
                best, again = shorter, True
    return best
