"""Whatever happens to definitions and rows: a value that is read is whole, or it is building.

Seeded walks over everything that changes definitions, tables of states or rows, by two processes
that know of each other only by what they look up. After each step every version of every view is
read and compared with the reference engine, to the bit.
"""

import random
from dataclasses import replace

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.engines.reference import view_values
from skewless.errors import RegistryError, SkewlessError
from skewless.materialize import materialize as materialize_module
from skewless.online.apply import retire
from skewless.state import pieces
from skewless.testing.clock import SettableClock
from skewless.testing.memory import MemoryStore
from skewless.testing.servers import running
from tests.shop import (
    CARD,
    DAY,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    bits,
    cards,
    open_store,
    pay,
    payments,
    rows_of,
    write_part,
)

STEPS = 30
SEEDS = range(6)
ENTITIES = cards("c1", "c2", "c3", "nobody")
WINDOWS = ("1h", "1d", "3d")


class Stop(Exception):
    """Stands for a kill."""


class Apart(MemoryStore):
    """A store without transactions: the log lies in a journal beside it."""

    capabilities = replace(
        MemoryStore.capabilities, transactions=False, compare_and_set=False, durable=False
    )


class Life:
    """A repo, two processes that have it open, and what is known of it."""

    def __init__(self, folder, seed, kind, online=None):
        self.chance = random.Random(seed)
        self.folder = folder
        self.clock = SettableClock(NOON)
        self.shared = {"memory": MemoryStore, "apart": Apart}.get(kind, lambda: None)()
        self.settings = {} if self.shared else {"online": online or {"kind": kind}}
        self.views = {"Spend": ("1h", False), "Files": ("1d", False)}
        self.place = "files"
        self.stale = set()  # cards with rows in files that nothing has looked at yet
        self.count = 0
        self.told = []
        self.write_file()
        self.stale.clear()
        self.stores = [self.open(), self.open()]
        self.apply()

    def open(self):
        return open_store(
            self.folder, clock=self.clock, using=self.shared, build=None, **self.settings
        )

    @property
    def fs(self):
        return self.chance.choice(self.stores)

    def definitions(self):
        pushed = payments(row_id="pay_id", lateness="12h")
        stored = sl.Source(
            "files", schema={"card_id": str, "amount": float, "n": int}, event_time="at",
            table=sl.Parquet(self.place),
        )  # fmt: skip
        found = [CARD, pushed, stored]
        for name, (window, more) in self.views.items():
            source = stored if name == "Files" else pushed
            features = {
                "total": source.amount.sum(window),
                "n": source.n.count(sl.lifetime()),
                "last": source.amount.last_n(3, last=3),
            }
            if more:
                features["most"] = source.amount.max(window)
            view = sl.FeatureView(name, entity=CARD, source=source, features=features)
            found += [view, sl.FeatureService(f"model_{name.lower()}", [view])]
        return found

    # ---------------------------------------------------------------------------------- steps

    def step(self):
        verb = self.chance.choice(
            [self.push, self.push, self.push, self.delete, self.change, self.remove, self.bring,
             self.materialize, self.interval, self.backfill, self.interrupt, self.retire,
             self.wait, self.wait, self.reopen, self.move, self.compact, self.write_file]
        )  # fmt: skip
        self.told.append(verb.__name__)
        verb()

    def moment(self, back=2 * DAY):
        return self.clock.time - self.chance.randrange(0, back, SECOND)

    def row(self, pay_id, card):
        return pay(pay_id, self.moment(), self.chance.choice([None, 0.1, 1e15, 7.5]), card=card)

    def push(self):
        rows = []
        for _ in range(self.chance.randint(1, 12)):
            known = self.count and self.chance.random() < 0.3
            number = self.chance.randrange(self.count) if known else self.count
            self.count = max(self.count, number + 1)
            rows.append(self.row(f"p{number}", self.chance.choice(["c1", "c2", "c3"])))
        self.fs.push("pays", rows, backdate=self.chance.random() < 0.3)
        if self.chance.random() < 0.5 and "files" in self.fs.runtime.state(fresh=True).sources:
            names = ("card_id", "amount", "n", "at")
            self.fs.push("files", [{name: rows[0][name] for name in names}])

    def delete(self):
        if self.count:
            self.fs.delete("pays", [f"p{self.chance.randrange(self.count)}"])

    def apply(self, **options):
        fs = self.fs
        plan = fs.plan(*self.definitions(), repin=self.chance.random() < 0.5, removing=True)
        fs.apply(plan, allow_breaking=True, build=self.chance.choice([None, False]), **options)

    def change(self):
        name = self.chance.choice(list(self.views))
        self.views[name] = (self.chance.choice(WINDOWS), self.chance.random() < 0.5)
        self.apply()

    def move(self):
        """The source names its files otherwise: over another table there is another history."""
        self.place = "files" if self.place != "files" else "files/*.parquet"
        self.apply()

    def remove(self):
        if len(self.views) > 1:
            del self.views[self.chance.choice(list(self.views))]
            self.apply()

    def bring(self):
        name = self.chance.choice(["Spend", "Again", "Files"])
        self.views.setdefault(name, (self.chance.choice(WINDOWS), False))
        self.apply()

    def materialize(self):
        self.fs.materialize()
        self.looked_at()

    def looked_at(self):
        """Every file is in the states now, and every process has seen which tables answer."""
        self.clock.time += SECOND + 1
        self.stale.clear()

    def interval(self):
        start, end = sorted((self.moment(), self.moment()))
        self.fs.materialize(start=from_micros(start), end=from_micros(end))

    def backfill(self):
        if self.chance.random() < 0.5:
            start, end = sorted((self.moment(), self.moment()))
            self.fs.backfill(start=from_micros(start), end=from_micros(end))
        else:
            self.fs.backfill()
            self.looked_at()

    def interrupt(self):
        at = self.chance.random()

        def stop(text, share):
            if share > at:
                raise Stop

        verb = self.chance.choice([self.fs.materialize, self.fs.backfill])
        try:
            verb(progress=stop)
        except Stop:
            return
        self.looked_at()

    def retire(self):
        fs = self.fs
        name, version = self.chance.choice(list(fs.runtime.state(fresh=True).views))
        try:
            retire(fs.runtime, name, version)
        except RegistryError:
            self.told.append("refused")

    def wait(self):
        self.clock.time += self.chance.choice([1, SECOND, 3 * SECOND, 10 * MINUTE, 3 * HOUR])

    def reopen(self):
        place = self.chance.randrange(2)
        self.stores[place].close()
        self.stores[place] = self.open()

    def compact(self):
        self.fs.compact()

    def write_file(self):
        rows = [
            {"card_id": card, "amount": self.chance.uniform(-9, 9), "n": 1,
             "at": from_micros(self.moment(3 * DAY))}
            for card in self.chance.choices(["c1", "c2", "c3"], k=4)
        ]  # fmt: skip
        self.stale |= {row["card_id"] for row in rows}
        self.count += 1
        write_part(self.folder / "files" / f"{self.count}.parquet", rows)

    # --------------------------------------------------------------------------------- checking

    def check(self):
        """Fail unless what either process reads is right or building; return what is building."""
        t, building = self.clock.time, set()
        state = self.stores[0].runtime.state(fresh=True)
        rows = {name: rows_of(self.stores[0], name) for name in state.sources}
        for fs in self.stores:
            for (name, version), view in state.views.items():
                wanted = [f"{name}@v{version}:{feature}" for feature in view.features]
                building |= self.compare(fs, wanted, state, rows, t)
            for name in (*state.current, *state.services):
                building |= self.compare(fs, name, state, rows, t)
        return building

    def compare(self, fs, features, state, rows, t):
        try:
            found = fs.get_online_features(features, ENTITIES)
        except (SkewlessError, RegistryError):  # what this process does not know yet, or any more
            return set()
        building = set()
        for number, entity in enumerate(ENTITIES):
            for place, output in enumerate(found.outputs):
                value, status = found.values[number][place], str(found.statuses[number][place])
                if status == "building":
                    assert value is None
                    building.add(output.reference)
                    continue
                view = state.views.get((output.view, output.version))
                if view is None:  # retired meanwhile
                    continue
                if view.source.name == "files" and entity["card_id"] in self.stale:
                    continue
                expected = view_values(view, rows[view.source.name], entity, t, t)
                right, how = expected[output.feature]
                assert (bits(value), status) == (bits(right), str(how)), (
                    f"{output.reference} of {entity} after {' '.join(self.told)}"
                )
        return building


@pytest.mark.parametrize("kind", ["memory", "apart", "sqlite", "lmdb"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_value_is_that_of_the_reference_or_building(tmp_path, monkeypatch, seed, kind):
    monkeypatch.setattr(materialize_module, "_BATCH", 1)
    monkeypatch.setattr(pieces, "LONG", 1 if seed % 2 else pieces.LONG)
    live(Life(tmp_path / "repo", seed, kind))


@pytest.fixture(scope="module")
def redis():
    with running("redis") as server:
        yield server


@pytest.mark.parametrize("seed", SEEDS)
def test_every_value_out_of_redis_is_that_of_the_reference_or_building(
    tmp_path, monkeypatch, seed, redis
):
    monkeypatch.setattr(materialize_module, "_BATCH", 1)
    online = {"kind": "redis", "url": redis.url, "namespace": tmp_path.name, "timeout": 30.0}
    live(Life(tmp_path / "repo", seed, "redis", online))


def live(life):
    """Take steps, checking after each; at the end nothing is building."""
    for _ in range(STEPS):
        life.step()
        life.check()
    life.materialize()
    life.clock.time += 3 * SECOND
    assert life.check() == set()
    for fs in life.stores:
        fs.close()
