"""Plays scripts on stores, reads at many instants, and hands what was served to a judge.

Every play has a seed of its own: ``seed`` and its number give the same definitions, rows, reads
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

from skewless.clock import to_micros
from skewless.errors import CorruptData
from skewless.online.runtime import Runtime
from skewless.plan.results import OnlineResult
from skewless.testing.rehearsal.definitions import Cast, Deck, cast
from skewless.testing.rehearsal.events import Step, Writer
from skewless.testing.rehearsal.killing import Workers
from skewless.testing.rehearsal.repo import Stage

Judge = Callable[[Runtime, list[OnlineResult], str], None]
"""Is given an open repo, what it served, and the name of the play."""
Progress = Callable[[str, float], None]
_MOST_VALUES = 100_000
_FEWEST_VALUES = 2_000
_CARDS = 50
_REDONE = ("file", "backfill", "stream")
"""Steps that a restart finishes before anything is read: part of them may be done already."""


class Play:
    """A script with its cast, from a seed.

    Args:
        seed: of the whole rehearsal.
        number: of the play.
        values: how many the whole rehearsal serves.
    """

    def __init__(self, seed: int, number: int, values: int) -> None:
        self.again = (seed, number, values)
        self.name = f"play {number} of seed {seed}"
        self.chance = random.Random(f"{seed}.{number}")
        self.values = min(_MOST_VALUES, max(_FEWEST_VALUES, values // 12))
        large = self.values > _FEWEST_VALUES
        deck = Deck(seed, number * _CARDS)
        self.cast: Cast = cast(self.chance, deck, f"Play{number}", 14 if large else 8)
        self.steps: list[Step] = Writer(self.chance, self.cast).script(50 if large else 16)
        self.store = self.chance.choice(("lmdb", "lmdb", "sqlite"))
        self.rewind = self.chance.choice((0, 5, 60)) * self.cast.unit
        self.killed = number % 3 == 2

    def stage(self, folder: Path) -> Stage:
        """Return a store to play on."""
        return Stage(folder, self.cast, self.store, self.rewind)


def rehearse(
    values: int,
    *,
    seed: int,
    judge: Judge,
    progress: Progress | None = None,
    only: int | None = None,
) -> Counter[str]:
    """Play until so many values were served, and return what happened.

    Args:
        values: how many.
        seed: of all chance: the same seed, the same plays.
        judge: is given what was served.
        progress: called with a text and the finished fraction.
        only: the number of the one play to play.
    """
    happened: Counter[str] = Counter()
    served = 0
    with Workers(random.Random(f"{seed}.kills")) as workers:
        for number in count() if only is None else (only,):
            if served >= values:
                break
            if progress is not None:
                progress("playing", served / values)
            play = Play(seed, number, values)
            with tempfile.TemporaryDirectory(prefix="skewless-") as folder:
                performance = Performance(play, Path(folder), workers, judge)
                served += performance.run(values - served)
            happened["plays"] += 1
            happened["views"] += len(play.cast.views)
            happened += performance.happened
    return happened


class Performance:
    """One play on one store.

    Args:
        play: what is played.
        folder: an empty one.
        workers: the processes to kill.
        judge: is given what was served.
    """

    def __init__(self, play: Play, folder: Path, workers: Workers, judge: Judge) -> None:
        self.play = play
        self.folder = folder
        self.judge = judge
        self.happened: Counter[str] = Counter()
        self._workers = workers
        self._chance = random.Random(play.name)
        self._results: list[OnlineResult] = []
        self._served = 0
        self._edges = _edges(play)
        self._entities = _entities(play)

    def run(self, most: int) -> int:
        """Play, and return how many values were served."""
        play = self.play
        self.stage = play.stage(self.folder)
        self.stage.set_up(play.steps[0].at - 1)
        per_step = max(1, min(play.values, most) // len(play.steps))
        number = 0
        while number < len(play.steps):
            if play.killed and self._chance.random() < 0.15:
                number = self._killed(number)
            else:
                self.stage.perform(play.steps[number])
                number += 1
            owed = per_step * number - self._served
            if owed > 0 and (self._chance.random() < 0.3 or number == len(play.steps)):
                self._read(number - 1, owed)
            if not play.cast.lasting or number == len(play.steps):
                self._judge()
        self.happened += self.stage.done
        self.happened["derived rows"] += self.stage.derived_rows()
        self.stage.close()
        return self._served

    def _judge(self) -> None:
        if self._results:
            self.judge(self.stage.runtime, self._results, self.play.name)
            self._results = []

    # ------------------------------------------------------------------------------------ reading

    def _read(self, number: int, owed: int) -> None:
        """Read entities online at moments between a step and the next."""
        step, chance, stage = self.play.steps[number], self._chance, self.stage
        following = self.play.steps[number + 1].at if number + 1 < len(self.play.steps) else None
        latest = step.at if chance.random() < 0.3 else chance.randint(
            step.at, (step.at + 10 * self.play.cast.unit if following is None else following) - 1
        )  # fmt: skip
        stage.clock.time = latest
        labels = stage.labels(step.views[1])
        while owed > 0:
            label = chance.choice(labels)
            t = self._moment(latest)
            reader = stage.runtime.reader
            lookup = reader.lookup(label_features(stage, label), True)
            keys = lookup.selection.join_keys
            entities = [
                {name: entity[name] for name in keys}
                for entity in chance.sample(self._entities, min(5, len(self._entities)))
            ]
            found = reader.read(lookup, entities, t)
            self._results.append(OnlineResult(lookup.selection.outputs, entities, found, t))
            values = len(entities) * len(lookup.selection.outputs)
            owed -= values
            self._served += values

    def _moment(self, latest: int) -> int:
        """Return a moment within the rewind: now, any, or one at which a row enters or leaves."""
        chance, earliest = self._chance, latest - self.play.rewind
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
        stage = self.stage
        before = stage.last_sequence()
        stage.close()
        number, acknowledged = self._workers.run(self.folder, self.play.again, number, before)
        self.happened["processes killed"] += 1
        stage.open()
        return self._resumed(number, acknowledged)

    def _resumed(self, number: int, acknowledged: int) -> int:
        """Return the step to go on from after a kill in the midst of step ``number``.

        Raises:
            CorruptData: rows that were acknowledged are gone.
        """
        stage, steps = self.stage, self.play.steps
        stage.clock.time = steps[min(number, len(steps) - 1)].at
        last = stage.last_sequence()
        if last < acknowledged:
            raise CorruptData(
                "acknowledged rows are gone",
                got=f"{last} rows",
                expected=f"{acknowledged} or more",
                where=self.play.name,
            )
        if number == len(steps):
            return number
        if steps[number].kind in _REDONE:
            stage.perform(steps[number])
            return number + 1
        return number + 1 if last > acknowledged else number


def label_features(stage: Stage, label: str) -> list[str]:
    """Return references to all features of a view version."""
    name, _, version = label.partition("@v")
    view = stage.runtime.state().view(name, int(version))
    return [f"{label}:{feature}" for feature in view.features]


def _edges(play: Play) -> tuple[list[int], list[int]]:
    """Return event times of the script's rows, and how far behind them values may change."""
    behind = {0}
    for view in play.cast.views:
        for aggregate in view.aggregates:
            window, offset = aggregate.window, aggregate.window.offset
            behind.add(offset)
            behind |= {offset + (window.length or 0), offset + (aggregate.expiry or 0)}
    events = [to_micros(row["at"]) for step in play.steps for row in step.rows]
    return events or [0], sorted(behind)


def _entities(play: Play) -> list[dict[str, Any]]:
    """Return the entities of a play's rows, and some that have none."""
    found: dict[tuple[Any, Any], None] = {("nobody", -7): None}
    for step in play.steps:
        for row in step.rows:
            if row["user"] is not None:
                found[row["user"], row["shop"]] = None
    return [{"user": user, "shop": shop} for user, shop in found]
