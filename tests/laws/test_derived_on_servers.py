"""Derived sources with states and journal on servers: what the reference engine makes, on both machines."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.config import Config
from skewless.materialize.recovery import adopt
from skewless.testing.clock import SettableClock
from skewless.testing.lifecycle.ledger import Ledger
from skewless.testing.servers import Server, running
from tests.laws.test_derived import MINUTE, START, Act, Case, Life

STEPS = 10


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running("postgres") as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


class Machines(Life):
    """Machines that share a store, of which any does the next step."""

    def __init__(self, folder: Path, case: Case, settings: dict[str, Any], *, many: int) -> None:
        self.clock, self.case, self.ledger, self.moments = SettableClock(START), case, Ledger(), []
        self.stores: list[sl.FeatureStore] = []
        for number in range(many):
            own = folder / f"machine{number}"
            own.mkdir()
            self.stores.append(sl.FeatureStore(Config.of(own, settings), clock=self.clock))
            self.stores[-1].apply(case.views)
        self.fs = self.stores[0]


def act(chance: random.Random) -> Act:
    rows = [
        {
            "wafer": chance.choice(["w1", "w2", None]),
            "lot": chance.choice(["l1", "l1", "l2"]),
            "die": chance.randint(0, 3),
            "vdd": chance.choice([0.5, 1.0, 1.25, None]),
            "bin": chance.choice(["a", "b", "none"]),
            "ago": chance.randint(0, 5),
        }
        for _ in range(chance.randint(1, 6))
    ]
    gone = chance.random() < 0.25
    return Act(chance.choice([0, 0, 20, 70]), rows, backdate=chance.random() < 0.5, delete=gone)


def check(life: Machines) -> None:
    for fs in life.stores:
        life.fs = fs
        for view in life.case.views:
            right = life.expected(view, life.clock.time)
            assert life.online(view) == right
            assert life.training(view, life.clock.time) == right


def settings_of(tmp_path: Path, redis: Server, postgres: Server, kind: str) -> dict[str, Any]:
    name = f"derived_{tmp_path.name}".replace("-", "_").lower()[:40]
    of_redis = {"online": {"kind": "redis", "url": redis.url, "namespace": name, "timeout": 30.0}}
    on_postgres = {"kind": "postgres", "dsn": postgres.url}
    shared = {
        "registry": on_postgres | {"schema": f"r_{name}"},
        "offline": {"folder": str(tmp_path / "history")},
    }
    if kind == "redis":
        return of_redis
    if kind == "postgres":
        return shared | {"online": on_postgres | {"name": name}}
    return shared | of_redis | {"journal": on_postgres | {"name": f"j_{name}"}}


@pytest.mark.server("redis")
@pytest.mark.server("postgres")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", ["redis", "postgres", "redis, journal in postgres"])
def test_every_machine_reads_what_the_reference_engine_makes(
    tmp_path: Path, redis: Server, postgres: Server, kind: str, seed: int
) -> None:
    chance = random.Random(seed)
    case = Case(*chance.choice([(2, 3, "die"), (1, 9, ("wafer", "die")), (3, 4, None)]))
    settings = settings_of(tmp_path, redis, postgres, kind)
    life = Machines(tmp_path, case, settings, many=1 if kind == "redis" else 2)
    for _ in range(STEPS):
        life.fs = chance.choice(life.stores)
        life.act(act(chance))
        check(life)
        if chance.random() < 0.3:
            past = from_micros(life.clock.time - chance.randint(1, 6) * MINUTE)
            life.fs.materialize(start=past, end=past + timedelta(minutes=2))
            check(life)
        if kind == "redis" and chance.random() < 0.2:  # a store that somebody else wrote to
            adopt(life.fs.runtime)
            check(life)
    for fs in life.stores:
        fs.close()
