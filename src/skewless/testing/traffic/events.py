"""A random stream: what is done to a store, when, step by step.

Rows come out of order and late, twice, corrected and deleted, in batches of every size; between
them the store is materialized, compacted, rebuilt, reopened, and gets new views.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from skewless.clock import from_micros
from skewless.testing.traffic.definitions import TrafficDefinitions

START = 1_767_225_600_000_000
"""2026-01-01, UTC microseconds."""
_AMOUNTS = (
    None, 0.0, -0.0, 1.0, 0.1, 0.2, -3.5, 1e15, -1e15, 1e-310, 5e-324, 1e9 + 1, 1e9 - 1, 1.7e308,
    -1.7e308, float("nan"), float("inf"),
)  # fmt: skip
_NUMBERS = (None, 0, 1, -1, 2, 3, 2**31, 2**62, -(2**62), 10**18)
_PRICES = (None, Decimal("0.00"), Decimal("0.01"), Decimal("-19.99"), Decimal("9999999999.99"))
_PLACES = (
    None, [0.5, 0.1], [-3.0, 0.25], [1.0, -0.0], [0.0, 0.0], [3e38, 3e38], [1e-40, -1e30],
    [float("inf"), 1.0],
)  # fmt: skip
_SIZES = (1, 1, 1, 1, 2, 2, 3, 5, 8, 9, 30)
_PUSHED_AMID_STREAM = 0.2


@dataclass(frozen=True)
class Step:
    """One thing done to the store.

    Attributes:
        kind: ``push``, ``stream`` (a new file of the stream, taken in by a worker), ``delete``,
            ``materialize``, ``backfill``, ``compact``, ``reopen``, ``apply`` or ``file`` (a new
            file of the table, materialized).
        at: when, UTC microseconds; later steps are at least two microseconds later.
        rows: of a push, a delete or a file.
        backdate: of a push.
        framed: whether rows are pushed as an Arrow table.
        most: rows of a stream that the worker takes at once.
        views: how many of the views are applied, and of them how many may be read, afterwards.
    """

    kind: str
    at: int
    rows: tuple[Any, ...] = field(default=(), repr=False)
    backdate: bool = False
    framed: bool = False
    most: int = 0
    views: tuple[int, int] = (1, 1)


class Writer:
    """Writes the steps of a scenario."""

    def __init__(self, chance: random.Random, definitions: TrafficDefinitions) -> None:
        self._chance = chance
        self._definitions = definitions
        self._now = START - START % definitions.unit + chance.randint(0, 400) * definitions.unit
        self._past: list[dict[str, Any]] = []
        self._filed: list[dict[str, Any]] = []
        self._named = 0
        self._users = [f"u{number}" for number in range(chance.randint(2, 9))]
        self._shops = list(range(-1, chance.randint(1, 4)))

    def steps(self, length: int) -> list[Step]:
        """Return so many steps."""
        chance, definitions = self._chance, self._definitions
        steps: list[Step] = []
        applied = readable = 1
        if definitions.mode == "table":
            steps.append(self._step("file", (1, 1), self._filed_rows(chance.randint(0, 40))))
        while len(steps) < length:
            views = (applied, readable)
            kind = self._kind()
            if kind == "apply":
                applied = min(applied + 1, len(definitions.views))
                views = (applied, readable)
            elif kind in ("materialize", "backfill", "file"):
                readable = applied
                views = (applied, readable)
            if kind == "file":
                rows = self._filed_rows(chance.choice(_SIZES))
                steps.append(self._step(kind, views, rows))
            elif kind == "push":
                steps.append(self._arrival(views))
            elif kind == "delete":
                gone = [chance.choice(self._past) for _ in range(chance.randint(1, 3))]
                steps.append(self._step(kind, views, gone))
            else:
                steps.append(self._step(kind, views))
        return steps

    def _arrival(self, views: tuple[int, int]) -> Step:
        """Return rows that are pushed, or that come by the stream."""
        chance, definitions = self._chance, self._definitions
        batch = self._rows(chance.choice(_SIZES))
        if definitions.mode == "stream" and chance.random() >= _PUSHED_AMID_STREAM:
            return self._step("stream", views, batch, most=chance.choice((1, 2, 3, 7, 100)))
        late = definitions.mode == "delay" and chance.random() < 0.6
        framed = chance.random() < 0.3 and not any(row.get("_bad") for row in batch)
        return self._step("push", views, batch, backdate=late, framed=framed)

    def _kind(self) -> str:
        definitions, draw = self._definitions, self._chance.random()
        kinds = [("materialize", 0.04), ("backfill", 0.03), ("compact", 0.05), ("reopen", 0.03),
                 ("apply", 0.04 if len(definitions.views) > 1 else 0.0),
                 ("delete", 0.06 if definitions.source.row_id and self._past else 0.0),
                 ("file", 0.05 if definitions.mode == "table" else 0.0)]  # fmt: skip
        for kind, share in kinds:
            draw -= share
            if draw < 0:
                return kind
        return "push"

    def _step(
        self,
        kind: str,
        views: tuple[int, int],
        rows: list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> Step:
        step = Step(kind, self._now, tuple(rows or ()), views=views, **options)
        self._now += 2 + self._gap()
        if self._chance.random() < 0.3:
            self._now += -self._now % self._definitions.unit
        return step

    def _gap(self) -> int:
        unit, chance = self._definitions.unit, self._chance
        most = chance.choices((0, 1, 2, 8, 30, 300), (20, 30, 30, 12, 6, 2))[0]
        return chance.randint(0, most * unit)

    # ------------------------------------------------------------------------------------- rows

    def _rows(self, count: int) -> list[dict[str, Any]]:
        return [self._row() for _ in range(count)]

    def _filed_rows(self, count: int) -> list[dict[str, Any]]:
        """Return rows for a file; what is pushed later leaves their ids alone.

        A push knows the ids of the log, not those of the table, before it is materialized.
        """
        pushed, self._past = self._past, self._past + self._filed
        rows = self._rows(count)
        ids = {row["row"] for row in rows} | {row["row"] for row in self._filed}
        self._filed = [row for row in self._past if row["row"] in ids]
        self._past = [row for row in pushed if row["row"] not in ids]
        return rows

    def _row(self) -> dict[str, Any]:
        chance = self._chance
        draw = chance.random()
        if self._past and draw < 0.08:
            return dict(chance.choice(self._past))
        row = self._new_row()
        if self._past and self._definitions.source.row_id and draw < 0.22:
            old = chance.choice(self._past)
            row = {**old, **{name: row[name] for name in chance.sample(sorted(row), 6)}}
            row["row"] = old["row"]
            if chance.random() < 0.5:
                row["at"] = old["at"]
        if draw > 0.985:
            wrong = chance.choice(({"amount": "much"}, {"place": [0.5]}, {"place": [0.5, None]}))
            return {**row, **wrong, "_bad": True}
        if draw > 0.97:
            row["surplus"] = 1  # a field that the source does not have
        self._past.append(row)
        return row

    def _new_row(self) -> dict[str, Any]:
        chance = self._chance
        event = self._event()
        self._named += 1
        row = {
            "row": f"r{self._named}",
            "user": chance.choice([*self._users, self._users[0], self._users[0], None]),
            "shop": chance.choice(self._shops),
            "amount": chance.choice((*_AMOUNTS[:10], chance.uniform(-9, 9), chance.gauss(0, 1e6)))
            if chance.random() < 0.9
            else chance.choice(_AMOUNTS),
            "weight": chance.choice((None, 0.5, -0.0, 3.25, 0.1, 1e30)),
            "number": chance.choice((*_NUMBERS[:6], chance.choice(_NUMBERS))),
            "small": chance.choice((None, 0, 1, 2, 5, -3, 2**31 - 1)),
            "price": chance.choice((*_PRICES, Decimal(chance.randint(-999, 999)).scaleb(-2))),
            "word": chance.choice((None, "a", "b", "ä", "", "a longer word")),
            "flag": chance.choice((None, True, True, False)),
            "day": chance.choice((None, date(2024, 2, 29) + timedelta(chance.randint(0, 3)))),
            "moment": chance.choice((None, from_micros(chance.randint(0, 5)))),
            "blob": chance.choice((None, b"", b"\0", b"xyz")),
            "note": chance.choice((None, {"k": chance.randint(0, 2)}, [1, None])),
            "tags": chance.choice((None, [], ["a"], ["b", None])),
            "place": chance.choice(_PLACES[:5] if chance.random() < 0.9 else _PLACES),
            "at": from_micros(event),
        }
        if self._definitions.source.known_time is not None:
            row["seen"] = from_micros(self._known(event))
        return row

    def _event(self) -> int:
        """Return an event time: mostly a little ago, some late, few in the future."""
        chance, unit = self._chance, self._definitions.unit
        back, ahead = chance.choices(
            ((0, 0), (2, 0), (20, 0), (150, 0), (0, 3), (0, 6)), (8, 52, 22, 10, 6, 2)
        )[0]
        event = self._now - chance.randint(0, back * unit) + chance.randint(0, ahead * unit)
        return event - event % unit if chance.random() < 0.6 else event

    def _known(self, event: int) -> int:
        """Return when a row came to be known, as its upstream says: perhaps before it happened."""
        chance, unit = self._chance, self._definitions.unit
        known = chance.choice(
            (event, self._now, self._now - chance.randint(0, 3 * unit),
             event + chance.randint(0, 9 * unit), event - unit)
        )  # fmt: skip
        return min(known, self._now + unit)


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as it is pushed."""
    return {name: value for name, value in row.items() if name != "_bad"}
