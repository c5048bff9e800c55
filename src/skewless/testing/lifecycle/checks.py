"""Everything that can be read of a life, compared with what was acknowledged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skewless.clock import from_micros
from skewless.definitions import FeatureView
from skewless.engines.reference import Answer
from skewless.errors import SkewlessError, StoreUnavailable
from skewless.formatting import same_bits
from skewless.plan.results import OnlineResult
from skewless.state.status import Status
from skewless.testing.lifecycle.ledger import expected
from skewless.testing.lifecycle.life import KEYS, Life


@dataclass
class Found:
    """What the checks of a life have seen.

    Attributes:
        values: how many were compared, online and in history.
        statuses: of values online.
        faults: what is wrong, a text each.
    """

    values: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Checker:
    """Reads a life, after every step.

    Args:
        life: which.
        found: is added to.
    """

    def __init__(self, life: Life, found: Found) -> None:
        self.life, self.found = life, found
        self._pins: dict[str, tuple[str, ...]] = {}
        self._complete: dict[str, bool] = {}

    def check(self, number: int) -> None:
        """Compare everything that can be read now."""
        life = self.life
        for (name, version), view in life.served.items():
            references = [f"{name}@v{version}:{each}" for each in view.features]
            self._online(f"{name}@v{version}", references)
        state = life.place.fs.runtime.state(fresh=True)
        for name in life.shelf.views:
            self._online(name, name)
        there = [name for name in life.shelf.services if name in state.services]
        # A service that was removed and comes back is another one.
        self._pins = {name: pins for name, pins in self._pins.items() if name in there}
        for name in there:
            self._check_pins(name, self._online(name, name))
        if life.settled:
            life.pending.clear()
            life.settled = False
        self._history(random.Random(f"{life.seed}.{number}.history"))

    # ---------------------------------------------------------------------------------- online

    def _online(self, asked: str, features: Any) -> OnlineResult | None:
        life = self.life
        try:
            result = life.place.fs.get_online_features(features, list(KEYS), full_names=True)
        except SkewlessError as refused:
            if not (life.lost and isinstance(refused, StoreUnavailable)):
                self.found.faults.append(f"{asked} online: {type(refused).__name__}: {refused}")
            return None
        for number, key in enumerate(KEYS):
            wanted: dict[tuple[str, int], list[dict[str, Answer]]] = {}
            answers = zip(
                result.outputs, result.values[number], result.statuses[number], strict=True
            )
            for output, value, status in answers:
                self.found.values += 1
                self.found.statuses[status] += 1
                place = (output.view, output.version)
                view = life.served.get(place)
                if view is None or output.feature not in view.features:
                    if status is not Status.BUILDING:
                        self.found.faults.append(f"{asked}: serves {output.reference}")
                    continue
                if place not in wanted:
                    wanted[place] = list(self._allowed(view, key, result.at))
                allowed = [answers[output.feature] for answers in wanted[place]]
                if status is Status.BUILDING:
                    fine = value is None
                else:
                    fine = any(status is s and same_bits(value, v) for v, s in allowed)
                if not fine:
                    self.found.faults.append(
                        f"{asked} online, {output.reference} of {key}: {value!r} {status.value},"
                        f" right: {_shown(allowed)}"
                    )
        return result

    def _allowed(
        self, view: FeatureView, key: Mapping[str, Any], t: int
    ) -> Iterator[dict[str, Answer]]:
        """Yield the answers that are right: more than one where files wait to be materialized."""
        ledger = self.life.ledger
        # Rows that clocks stamped count, whatever clocks say; those with a delay are waited for.
        k = max(t, ledger.stamped)
        for filed in ledger.snapshots():
            yield expected(view, ledger.rows(view.source, filed), key, t, k)

    def _check_pins(self, name: str, result: OnlineResult | None) -> None:
        if result is None:
            return
        now = tuple(output.reference for output in result.outputs)
        before = self._pins.get(name)
        gone = before is not None and any(
            (view, int(version.partition(":")[0])) not in self.life.served
            for view, _, version in (one.partition("@v") for one in before)
        )
        if before not in (None, now) and not gone and name not in self.life.pending:
            self.found.faults.append(f"service {name} moved by itself from {before} to {now}")
        # One state that was lost is building too; of a version that is not complete all are.
        columns = zip(*result.statuses, strict=True)
        complete = not any(set(column) == {Status.BUILDING} for column in columns)
        if before not in (None, now) and not gone and self._complete[name] and not complete:
            self.found.faults.append(f"service {name} moved to {now}, which is not complete")
        self._pins[name], self._complete[name] = now, complete

    # --------------------------------------------------------------------------------- history

    def _history(self, chance: random.Random) -> None:
        life = self.life
        if not life.served:
            return
        (name, version), view = chance.choice(sorted(life.served.items(), key=lambda x: x[0]))
        now = life.place.clock.time
        times = [now, now - chance.randint(0, 60 * 60) * 1_000_000]
        spine = [{**key, "t": from_micros(t)} for key in KEYS[:3] for t in times]
        references = [f"{name}@v{version}:{each}" for each in view.features]
        for as_of in ("known", "event_time"):
            try:
                training = life.place.fs.get_historical_features(
                    spine, references, timestamp="t", as_of=as_of
                )
            except SkewlessError as refused:
                self.found.faults.append(f"history: {type(refused).__name__}: {refused}")
                return
            columns = training.to_dict()
            rows = life.ledger.rows(view.source)
            for number, asked in enumerate(spine):
                t = times[number % len(times)]
                right = expected(view, rows, asked, t, t if as_of == "known" else None)
                for feature, (value, _) in right.items():
                    self.found.values += 1
                    got = columns[feature][number]
                    if not same_bits(got, value):
                        self.found.faults.append(
                            f"history as of {as_of}, {name}@v{version}:{feature} of {asked}:"
                            f" {got!r}, right: {value!r}"
                        )


def _shown(allowed: Sequence[Answer]) -> str:
    texts = dict.fromkeys(f"{value!r} {status.value}" for value, status in allowed)
    return " or ".join(texts)
