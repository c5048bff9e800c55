"""One life: a repo, what its users have in their files, what was acknowledged, and its steps."""

# ruff: noqa: ARG002 - every step is handed its chance, used or not

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from skewless.clock import EPOCH_UNITS, from_micros, to_micros
from skewless.definitions import FeatureView
from skewless.engines.reference import HistoryRow
from skewless.errors import SkewlessError
from skewless.store import FeatureStore
from skewless.testing.lifecycle.definitions import MINUTE, UNITS, Shelf
from skewless.testing.lifecycle.ledger import Ledger, Row
from skewless.testing.lifecycle.places import KINDS, Killed, Place

START = 1_767_225_600_000_000
"""2026-01-01, UTC microseconds."""
USERS = ("u0", "u1", "u2", None)
SHOPS = (1, 2, None)
KEYS: tuple[dict[str, Any], ...] = (
    *(
        {"user": user, "shop": shop, "who": user, "stall": shop, "buyer": other, "seller": 3 - shop}
        for user, shop, other in (("u0", 1, "u1"), ("u1", 2, "u1"), ("u2", 1, "nobody"))
    ),
    {
        "user": "nobody", "shop": 9, "who": "nobody", "stall": 9, "buyer": "nobody", "seller": 9
    },
)  # fmt: skip
"""Of the entities that are read, the last of which never has a row."""


class Life:
    """A repo and its story so far.

    Args:
        folder: an empty one.
        seed: of all chance.

    Attributes:
        place: where the store lies.
        shelf: what users have in their files.
        ledger: what was acknowledged.
        served: the definition of every view version that serves.
        pending: services whose pins may move with the next build.
        history: what was done, a line a step.
        done: steps by kind.
        lost: whether the online store may refuse reads: since it lost everything, or since a kill
            before it was first written, until the next push or build.
        settled: whether everything was built in the last step, so that pins are where they go.
        owned: whether a push or build has made the store this repo's.
        copied: how many rows the log had when everything was copied to a store that was not taken.
        left: the store that everything was moved from.
    """

    def __init__(self, folder: Path, seed: str) -> None:
        chance = random.Random(seed)
        self.seed = seed
        with_table = chance.random() < 0.3
        self.shelf = Shelf(
            with_ids=chance.random() < 0.7,
            with_table=with_table,
            delay=chance.choice((0, 0, 3 * MINUTE)),
            unit="" if with_table else chance.choice(UNITS),
        )
        self.ledger = Ledger()
        self.place = Place(folder, chance.choice(KINDS), START)
        self.served: dict[tuple[str, int], FeatureView] = {}
        self.pending: set[str] = set()
        self.history: list[str] = [f"a store of kind {self.place.kind!r}"]
        self.done: Counter[str] = Counter()
        self.files = self.filed = 0
        self.copied: int | None = None
        self.left: FeatureStore | None = None
        self.lost = self.owned = self.settled = False
        self.shelf.add_view(chance)
        if with_table:
            self._write_file(self._rows(chance, chance.randint(0, 5)))
        self.apply(chance)
        self.ledger.online = len(self.ledger.filed)

    # ---------------------------------------------------------------------------------- steps

    def step(self, number: int) -> None:
        """Do the step of a number: what it is depends on the seed and on what there is."""
        chance = random.Random(f"{self.seed}.{number}")
        self.place.clock.time += chance.choice((1_000, MINUTE, 5 * MINUTE, 40 * MINUTE))
        kinds = self._possible()
        name = chance.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
        dies = chance.random() < 0.12
        if dies:
            self.place.fuse.light(chance)
        self.history.append(f"{number}. {name}{', killed' if dies else ''}")
        try:
            kinds[name][1](chance)
        except Killed:
            self._revive(name)
        finally:
            self.place.fuse.put_out()
        self.done[name] += 1

    def _possible(self) -> dict[str, tuple[float, Callable[[random.Random], None]]]:
        found: dict[str, tuple[float, Callable[[random.Random], None]]] = {
            "push": (8, self.push),
            "apply": (4, self.change),
            "materialize": (1.5, self.materialize),
            "interval": (1.5, self.interval),
            "backfill": (0.7, self.backfill),
            "compact": (1, self.compact),
            "restart": (1, self.restart),
            "clock": (0.7, self.clock),
        }
        if self.shelf.with_ids and self.ledger.log:
            found["correct"] = (2, self.correct)
            found["again"] = (1, self.again)
            found["delete"] = (1.5, self.delete)
        if self.shelf.services:
            found["repin"] = (1.5, self.repin)
        if len(self.served) > len(self.shelf.views):
            found["retire"] = (1, self.retire)
        if self.shelf.with_table:
            found["file"] = (1.5, self.file)
        found["evict"] = (1, self.evict)
        if self.place.apart:
            found["flush"] = (0.5, self.flush)
            if self.owned and not self.lost:
                found["machine"] = (0.5, self.machine)
        found["move"] = (0.5, self.move)
        if self.copied is not None and self.copied != len(self.ledger.log):
            found["early"] = (2, self.early)
        if self.left is not None and self.owned:
            found["left"] = (1, self.old)
        if self.place.kind in ("memory", "apart") and not self.lost:
            found["neighbour"] = (0.7, self.neighbour)
        return found

    # ----------------------------------------------------------------------------------- rows

    def _rows(self, chance: random.Random, count: int) -> list[Row]:
        now = self.place.clock.time
        made = []
        for _ in range(count):
            behind = chance.choice((0, 1, 1_000, MINUTE, 9 * MINUTE, 31 * MINUTE, 300 * MINUTE))
            at = now - behind - chance.randint(0, 5) * MINUTE
            row = {
                "id": f"r{chance.randint(0, 10**9)}",
                "user": chance.choice(USERS),
                "shop": chance.choice(SHOPS),
                "amount": chance.choice((0.1, 0.2, 1.0, -3.5, 1e15, None)),
                "number": chance.choice((0, 1, 2, 3, None)),
                "at": from_micros(at),
            }
            if self.shelf.wide:
                row["extra"] = chance.choice((0.5, 2.0, None))
            made.append(row)
        return made

    def push(self, chance: random.Random) -> None:
        """Push new rows."""
        rows = self._rows(chance, chance.choice((1, 1, 1, 2, 3, 12)))
        self._pushed(rows, backdate=chance.random() < 0.3)

    def _pushed(self, rows: list[Row], *, backdate: bool) -> None:
        before = copy.deepcopy(self.ledger)
        source, now = self.shelf.source, self.place.clock.time
        self.ledger.push(source, rows, now, backdate=backdate)
        try:
            result = self.place.fs.push("events", self._as_sent(rows), backdate=backdate)
        except Killed:
            self._settle_push(before)
            raise
        self.lost, self.owned = False, True
        taken = len(self.ledger.log) - len(before.log)
        if result.accepted != taken:
            raise AssertionError(f"{result} where {taken} rows are new")

    def _settle_push(self, before: Ledger) -> None:
        """After a kill: find out whether the log has the rows; then they must count."""
        self.place.restart()
        fs = self.place.fs
        kept = fs.runtime.log(fs.runtime.source("events")).last_sequence()
        if kept == len(self.ledger.log) and kept > len(before.log):
            return
        if kept != len(before.log):
            raise AssertionError(f"the log has {kept} rows, {len(before.log)} were acknowledged")
        self.ledger = before

    def _known_rows(self) -> list[HistoryRow]:
        newest = {row.row_id: row for row in self.ledger.log}
        return [row for row in newest.values() if not row.deleted]

    def _as_sent(self, rows: list[Row]) -> list[Row]:
        """Return rows as whoever pushes them has them: their times may be numbers."""
        unit = self.shelf.unit
        if not unit:
            return rows
        return [row | {"at": to_micros(row["at"]) * 1_000 / EPOCH_UNITS[unit]} for row in rows]

    def _as_pushed(self, row: HistoryRow) -> Row:
        return {name: value for name, value in row.values.items() if value is not None}

    def correct(self, chance: random.Random) -> None:
        """Correct rows: other values, another time, another entity."""
        known, rows = self._known_rows(), []
        now = from_micros(self.place.clock.time)
        for row in chance.sample(known, min(len(known), chance.choice((1, 1, 2)))):
            changed = self._as_pushed(row)
            for name, new in self._rows(chance, 1)[0].items():
                if name != "id" and chance.random() < 0.4:
                    changed[name] = new
            if changed["at"] <= now:  # a clock that went back would have it refused
                rows.append(changed)
        self._pushed(rows, backdate=chance.random() < 0.2)

    def again(self, chance: random.Random) -> None:
        """Deliver rows again, as they were."""
        known = self._known_rows()
        rows = [self._as_pushed(row) for row in chance.sample(known, min(len(known), 2))]
        self._pushed(rows, backdate=False)

    def delete(self, chance: random.Random) -> None:
        """Delete rows."""
        ids = [row.row_id for row in chance.sample(self.ledger.log, min(len(self.ledger.log), 2))]
        wanted = [found for found in dict.fromkeys(ids) if found is not None]
        before = copy.deepcopy(self.ledger)
        self.ledger.delete(self.shelf.source, wanted, self.place.clock.time)
        try:
            self.place.fs.delete("events", [found[0] for found in wanted])
        except Killed:
            self._settle_push(before)
            raise

    def _write_file(self, rows: list[Row]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        source = self.shelf.source
        for row in rows:  # of rows that tie in a table the content's hash decides: none does here
            self.filed += 1
            row["at"] += timedelta(microseconds=7 * self.filed)
        schema = pa.schema([(name, dtype.arrow()) for name, dtype in source.columns.items()])
        folder = self.place.folder / "table"
        folder.mkdir(exist_ok=True)
        self.files += 1
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"{self.files}.parquet")
        self.ledger.file(source, rows)

    def file(self, chance: random.Random) -> None:
        """Add a file to the table, sometimes with rows that were pushed."""
        self._write_file(self._rows(chance, chance.choice((1, 2, 5))))

    # ---------------------------------------------------------------------------- definitions

    def change(self, chance: random.Random) -> None:
        """Change what users have in their files, and apply it."""
        shelf = self.shelf
        ways: list[Callable[[random.Random], str]] = [shelf.add_view, shelf.add_service]
        ways += [shelf.change_view, shelf.change_view, shelf.change_form, shelf.rename_view]
        if len(shelf.views) > 1:
            ways.append(shelf.remove_view)
        if shelf.services:
            ways.append(shelf.remove_service)
        if "groups" in [form for _, _, form in shelf.views.values()]:
            ways.append(shelf.regroup)
        if not shelf.wide and chance.random() < 0.3:
            ways = [self._widen]
        before = copy.deepcopy(shelf)
        services = set(shelf.services)
        self.history.append(f"   {chance.choice(ways)(chance)}")
        written, was = shelf.written_services(), before.written_services()
        changed = {name for name in written if written[name] != was.get(name)}
        waiting = set(self.pending)
        self.pending |= changed | (services - set(shelf.services))  # also where it is killed
        try:
            self.apply(chance)
        except SkewlessError as refused:
            self.shelf, self.pending = before, waiting
            self.history.append(f"   refused: {type(refused).__name__}: {refused}"[:200])

    def _widen(self, chance: random.Random) -> str:
        self.shelf.wide = True
        if self.shelf.with_table:  # a column that no file has is taken for a slip of the pen
            self._write_file(self._rows(chance, 2))
        return "a new column"

    def apply(self, chance: random.Random, **options: Any) -> None:
        """Apply what users have in their files."""
        fs = self.place.fs
        plan = fs.plan(*self.shelf.built(), removing=True, **options)
        fs.apply(plan, allow_breaking=True, **self._build(chance))
        self.note_served()

    def _build(self, chance: random.Random) -> dict[str, Any]:
        return {"build": False} if chance.random() < 0.3 else {}

    def note_served(self) -> None:
        """Note the definition of every view version that serves."""
        state = self.place.fs.runtime.state(fresh=True)
        written = {each.name: each for each in self.shelf.built() if isinstance(each, FeatureView)}
        now = {}
        for name, version in state.views:
            own = written.get(name) if state.current[name] == version else None
            found = own or self.served.get((name, version))
            if found is not None:
                now[name, version] = found
        self.served = now

    def repin(self, chance: random.Random) -> None:
        """Move the pins of services to the newest versions, often to one that is new itself."""
        before, waiting = copy.deepcopy(self.shelf), set(self.pending)
        self.pending |= set(self.shelf.services)
        if chance.random() < 0.7:
            self.history.append(f"   {self.shelf.change_view(chance)}")
        try:
            self.apply(chance, repin=True)
        except SkewlessError as refused:
            self.shelf, self.pending = before, waiting
            self.history.append(f"   refused: {type(refused).__name__}: {refused}"[:200])

    def retire(self, chance: random.Random) -> None:
        """Retire a version that nobody is pinned to."""
        state = self.place.fs.runtime.state(fresh=True)
        old = [key for key in self.served if state.current.get(key[0]) != key[1]]
        if old:
            name, version = chance.choice(old)
            with suppress(SkewlessError):
                self.place.fs.runtime.registry.retire(name, version)
                self.history.append(f"   {name}@v{version}")
        self.note_served()

    # ---------------------------------------------------------------------------------- upkeep

    def _built(self) -> None:
        self.lost, self.owned = False, True
        self.ledger.online = len(self.ledger.filed)
        self.settled = True

    def materialize(self, chance: random.Random) -> None:
        """Bring everything up to date."""
        self.place.fs.materialize()
        self._built()

    def interval(self, chance: random.Random) -> None:
        """Materialize any interval: it selects entities and takes nothing away."""
        now = self.place.clock.time
        start, end = sorted(now - chance.randint(-5, 400) * MINUTE for _ in range(2))
        start_or_none = chance.choice((start, start, None))
        self.history.append(f"   from {start_or_none} to {end}")
        self.place.fs.materialize(start=start_or_none, end=end)

    def backfill(self, chance: random.Random) -> None:
        """Build an interval, or everything, again."""
        now = self.place.clock.time
        if chance.random() < 0.5:
            self.place.fs.backfill()
            self._built()
        else:
            start, end = sorted(now - chance.randint(0, 400) * MINUTE for _ in range(2))
            self.place.fs.backfill(start=start, end=end)

    def compact(self, chance: random.Random) -> None:
        """Settle the log into files."""
        self.place.fs.compact()

    def restart(self, chance: random.Random) -> None:
        """End the process and start another."""
        self.place.restart()

    # ------------------------------------------------------------------------------------ others

    def evict(self, chance: random.Random) -> None:
        """The online store takes a state away."""
        states = self.place.states()
        if states:
            self.place.lose(*chance.choice(states))

    def flush(self, chance: random.Random) -> None:
        """The online store loses everything."""
        self.place.flush()
        self.lost = True

    def move(self, chance: random.Random) -> None:
        """Copy everything to another store, and mostly go on there."""
        self.copied = len(self.ledger.log)
        self.place.copy()
        if chance.random() < 0.6:
            if self.left is not None:
                self.left.close()
            self.left = self.place.go_over()
            self.copied, self.owned, self.lost = None, False, False
            self.history.append(f"   to {self.place.kind}")

    def early(self, chance: random.Random) -> None:
        """Somebody has settings that name the copy, which lacks rows by now."""
        with self.place.early() as fs:
            self._refused(fs, chance, "a copy that lacks rows was taken")

    def old(self, chance: random.Random) -> None:
        """Somebody has settings that name the store that was left."""
        if self.left is not None:
            self._refused(self.left, chance, "the store that was left was used again")

    def _refused(self, fs: FeatureStore, chance: random.Random, wrong: str) -> None:
        """Fail unless rows are neither taken nor read."""
        for verb in (
            lambda: fs.push("events", self._as_sent(self._rows(chance, 1))),
            lambda: fs.get_online_features(next(iter(self.shelf.views)), list(KEYS)),
        ):
            try:
                verb()
            except SkewlessError as refused:
                self.history.append(f"   refused: {type(refused).__name__}")
            else:
                raise AssertionError(wrong)

    def machine(self, chance: random.Random) -> None:
        """Another machine, with a copy of the definitions and a journal of its own, tries to push.

        It is refused: its log would not have the rows of this one.
        """
        other = self.place.beside(self.place.folder / "other machine", "default")
        try:
            with other as fs:
                fs.apply(fs.plan(*self.shelf.built()), build=False)
                fs.push("events", self._as_sent(self._rows(chance, 1)))
        except SkewlessError as refused:
            self.history.append(f"   refused: {type(refused).__name__}")
            return
        raise AssertionError("two machines with a log each wrote to one online store")

    def neighbour(self, chance: random.Random) -> None:
        """Another project uses the same store, with the same names for other things."""
        theirs = Shelf(with_ids=False, with_table=False)
        theirs.add_view(chance)
        with self.place.beside(self.place.folder / "neighbour", "neighbour") as fs:
            fs.apply(fs.plan(*theirs.built(), removing=True), allow_breaking=True)
            fs.push("events", self._rows(chance, 3))
            fs.materialize()

    def clock(self, chance: random.Random) -> None:
        """Set the clock forward, or back."""
        by = chance.choice((-50, -5, 5, 90)) * MINUTE
        self.place.clock.time += by
        self.history.append(f"   by {by // MINUTE} minutes")

    def _revive(self, name: str) -> None:
        """Start again after a kill, and finish what its user would do again."""
        self.place.restart()
        self.lost = self.lost or self.place.apart  # what a kill left undone the next write does
        if name in ("apply", "repin"):
            self.apply(random.Random(0))
        elif name == "retire":
            self.note_served()
