"""Runs scenarios on stores, reads at many instants, and hands what was served to a check.

Every scenario has a seed of its own: ``seed`` and its number give the same definitions, rows, reads
and steps again. In every third one a process does the steps and is killed with SIGKILL in the
midst of them, again and again; the store is then opened here, and no acknowledged row is missing.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from skewless.clock import from_micros, to_micros
from skewless.errors import CorruptData
from skewless.online.runtime import Runtime
from skewless.plan.results import OnlineResult
from skewless.testing.traffic.definitions import Rotation, TrafficDefinitions, random_definitions
from skewless.testing.traffic.events import Step, Writer
from skewless.testing.traffic.killing import Workers
from skewless.testing.traffic.repo import ScenarioRepo

Checker = Callable[[Runtime, list[OnlineResult], str], None]
"""Is given an open repo, what it served, and the name of the scenario."""
Progress = Callable[[str, float], None]
_MOST_VALUES = 100_000
_FEWEST_VALUES = 2_000
_PAIRS = 50
_REDONE = ("file", "backfill", "stream")
"""Steps that a restart finishes before anything is read: part of them may be done already."""


class Scenario:
    """Steps over definitions, from a seed.

    Args:
        seed: of all of them.
        number: of the scenario.
        values: how many all of them serve.
    """

    def __init__(self, seed: int, number: int, values: int) -> None:
        self.again = (seed, number, values)
        self.name = f"scenario {number} of seed {seed}"
        self.chance = random.Random(f"{seed}.{number}")
        self.values = min(_MOST_VALUES, max(_FEWEST_VALUES, values // 12))
        large = self.values > _FEWEST_VALUES
        rotation = Rotation(seed, number * _PAIRS)
        self.definitions: TrafficDefinitions = random_definitions(
            self.chance, rotation, f"Scenario{number}", 14 if large else 8
        )
        self.steps: list[Step] = Writer(self.chance, self.definitions).steps(50 if large else 16)
        self.store = self.chance.choice(("lmdb", "lmdb", "sqlite"))
        self.rewind = self.chance.choice((0, 5, 60)) * self.definitions.unit
        self.killed = number % 3 == 2

    def repo(self, folder: Path) -> ScenarioRepo:
        """Return a store to run it on."""
        return ScenarioRepo(folder, self.definitions, self.store, self.rewind)


def run_scenarios(
    values: int,
    *,
    seed: int,
    check: Checker,
    progress: Progress | None = None,
    only: int | None = None,
) -> Counter[str]:
    """Run scenarios until so many values were served, and return what happened.

    Args:
        values: how many.
        seed: of all chance: the same seed, the same scenarios.
        check: is given what was served.
        progress: called with a text and the finished fraction.
        only: the number of the one scenario to run.
    """
    happened: Counter[str] = Counter()
    served = 0
    with Workers(random.Random(f"{seed}.kills")) as workers:
        for number in count() if only is None else (only,):
            if served >= values:
                break
            if progress is not None:
                progress("scenarios", served / values)
            scenario = Scenario(seed, number, values)
            with tempfile.TemporaryDirectory(prefix="skewless-") as folder:
                run = ScenarioRun(scenario, Path(folder), workers, check)
                served += run.run(values - served)
            happened["scenarios"] += 1
            happened["views"] += len(scenario.definitions.views)
            happened += run.happened
    return happened


class ScenarioRun:
    """One scenario on one store.

    Args:
        scenario: what is run.
        folder: an empty one.
        workers: the processes to kill.
        check: is given what was served.
    """

    def __init__(self, scenario: Scenario, folder: Path, workers: Workers, check: Checker) -> None:
        self.scenario = scenario
        self.folder = folder
        self.check = check
        self.happened: Counter[str] = Counter()
        self._workers = workers
        # A word that is older than its name: a seed gives the same reads in every release.
        self._chance = random.Random(scenario.name.replace("scenario", "play"))
        self._results: list[OnlineResult] = []
        self._served = 0
        self._edges = _edges(scenario)
        self._entities = _entities(scenario)

    def run(self, most: int) -> int:
        """Run it, and return how many values were served."""
        scenario = self.scenario
        self.repo = scenario.repo(self.folder)
        self.repo.set_up(scenario.steps[0].at - 1)
        per_step = max(1, min(scenario.values, most) // len(scenario.steps))
        number = 0
        while number < len(scenario.steps):
            if scenario.killed and self._chance.random() < 0.15:
                number = self._killed(number)
            else:
                self.repo.do(scenario.steps[number])
                number += 1
            owed = per_step * number - self._served
            if owed > 0 and (self._chance.random() < 0.3 or number == len(scenario.steps)):
                self._read(number - 1, owed)
            if not scenario.definitions.lasting or number == len(scenario.steps):
                self._check()
        self.happened += self.repo.done
        self.happened["derived rows"] += self.repo.derived_rows()
        self.repo.close()
        return self._served

    def _check(self) -> None:
        if self._results:
            self.check(self.repo.runtime, self._results, self.scenario.name)
            self._results = []

    # ------------------------------------------------------------------------------------ reading

    def _read(self, number: int, owed: int) -> None:
        """Read entities online at moments between a step and the next."""
        steps, chance, repo = self.scenario.steps, self._chance, self.repo
        step = steps[number]
        end = step.at + 10 * self.scenario.definitions.unit
        if number + 1 < len(steps):
            end = steps[number + 1].at
        latest = step.at if chance.random() < 0.3 else chance.randint(step.at, end - 1)
        repo.clock.time = latest
        labels = repo.labels(step.views[1])
        while owed > 0:
            label = chance.choice(labels)
            t = self._moment(latest)
            reader = repo.runtime.reader
            lookup = reader.lookup(label_features(repo, label), True)
            keys, asked = lookup.selection.join_keys, bool(lookup.selection.requests)
            entities = [
                {name: entity[name] for name in keys} | (self._request(t) if asked else {})
                for entity in chance.sample(self._entities, min(5, len(self._entities)))
            ]
            found = reader.read(lookup, entities, t)
            self._results.append(OnlineResult(lookup.selection.outputs, entities, found, t))
            values = len(entities) * len(lookup.selection.outputs)
            owed -= values
            self._served += values

    def _request(self, t: int) -> dict[str, Any]:
        """Return what a request at a moment says of itself."""
        chance = self._chance
        return {
            "query": chance.choice((None, [0.0, 0.0], [0.3, -2.0], [1.0, 1e30], [-0.0, 1e-40])),
            "since": chance.choice((None, from_micros(t - chance.randint(-5, 10**9)))),
        }

    def _moment(self, latest: int) -> int:
        """Return a moment within the rewind: now, any, or one at which a row enters or leaves."""
        chance, earliest = self._chance, latest - self.scenario.rewind
        if chance.random() < 0.25 or earliest == latest:
            return latest
        for _ in range(20 if chance.random() < 0.7 else 0):
            event = chance.choice(self._edges[0])
            t = event + chance.choice(self._edges[1]) + chance.randint(-1, 1)
            if earliest <= t <= latest:
                return t
        return chance.randint(earliest, latest)

    # ------------------------------------------------------------------------------------ killing

    def _killed(self, number: int) -> int:
        """Let a process go on from a step, kill it, and return the step to go on from here."""
        repo = self.repo
        before = repo.last_sequence()
        repo.close()
        number, acknowledged = self._workers.run(self.folder, self.scenario.again, number, before)
        self.happened["processes killed"] += 1
        repo.open()
        return self._resumed(number, acknowledged)

    def _resumed(self, number: int, acknowledged: int) -> int:
        """Return the step to go on from after a kill in the midst of step ``number``.

        Raises:
            CorruptData: rows that were acknowledged are gone.
        """
        repo, steps = self.repo, self.scenario.steps
        repo.clock.time = steps[min(number, len(steps) - 1)].at
        last = repo.last_sequence()
        if last < acknowledged:
            raise CorruptData(
                "acknowledged rows are gone",
                got=f"{last} rows",
                expected=f"{acknowledged} or more",
                where=self.scenario.name,
            )
        if number == len(steps):
            return number
        if steps[number].kind in _REDONE:
            repo.do(steps[number])
            return number + 1
        return number + 1 if last > acknowledged else number


def label_features(repo: ScenarioRepo, label: str) -> list[str]:
    """Return references to all features of a view version."""
    name, _, version = label.partition("@v")
    view = repo.runtime.state().view(name, int(version))
    return [f"{label}:{feature}" for feature in view.features]


def _edges(scenario: Scenario) -> tuple[list[int], list[int]]:
    """Return event times of the steps's rows, and how far behind them values may change."""
    behind = {0}
    for view in (*scenario.definitions.views, scenario.definitions.tastes):
        for aggregate in view.aggregates:
            window, offset = aggregate.window, aggregate.window.offset
            behind.add(offset)
            behind |= {offset + (window.length or 0), offset + (aggregate.expiry or 0)}
    events = [to_micros(row["at"]) for step in scenario.steps for row in step.rows]
    return events or [0], sorted(behind)


def _entities(scenario: Scenario) -> list[dict[str, Any]]:
    """Return the entities of a scenario's rows, and some that have none."""
    found: dict[tuple[Any, Any], None] = {("nobody", -7): None}
    for step in scenario.steps:
        for row in step.rows:
            if row["user"] is not None:
                found[row["user"], row["shop"]] = None
    return [{"user": user, "shop": shop} for user, shop in found]
