"""A project is a wall: rows, states, positions and files of two projects never meet."""

from pathlib import Path

import pytest

from skewless.errors import UnknownName
from skewless.materialize.verbs import rebuild
from skewless.online.damage import damages
from skewless.online.move.copy import copy_online
from skewless.stores.online.projects import ProjectStore, of_project
from skewless.testing.memory import MemoryCache, MemoryStore
from skewless.testing.servers import running
from tests.shop import HOUR, NOON, cards, check_parity, open_store, pay, payments, spend_of

PAYS = payments(row_id="pay_id")
SPEND = spend_of(PAYS)


def some(first: int, count: int = 6, amount: float = 1.0) -> list[dict[str, object]]:
    return [
        pay(f"p{number}", NOON - HOUR + number, amount, card=f"c{number % 2}")
        for number in range(first, first + count)
    ]


def all_in_one(folder: Path, kind: str) -> dict[str, object]:
    """Registry, online store and history in one place, whatever the repo."""
    return {
        "registry": {"kind": "sqlite", "path": str(folder / "registry.db")},
        "online": {"kind": kind, "path": str(folder / f"online.{kind}")},
        "offline": {"folder": str(folder / "history")},
    }


@pytest.mark.parametrize("kind", ["lmdb", "sqlite"])
def test_two_projects_in_one_of_everything_never_meet(tmp_path, kind) -> None:
    places = all_in_one(tmp_path / "shared", kind)
    a = open_store(tmp_path / "a", SPEND, project="team_a", **places)
    b = open_store(tmp_path / "b", SPEND, project="team b", **places)
    a.push("pays", some(0), backdate=True)
    b.push("pays", some(0, 3, amount=5.0), backdate=True)
    for fs in (a, b):
        check_parity(fs, SPEND, cards("c0", "c1"))
        fs.compact()
        check_parity(fs, SPEND, cards("c0", "c1"))
    # Row ids are of their project, and so are deletions, rebuilds, and tables that go.
    assert b.push("pays", some(0, amount=5.0), backdate=True).duplicates == 3
    a.delete("pays", ["p0"])
    rebuild(b.runtime, None)
    for fs in (a, b):
        check_parity(fs, SPEND, cards("c0", "c1"))
    assert list(damages(b.runtime.home, [])) == []
    assert not [name for fs in (a, b) for name in fs.runtime.home.tables() if "team" in name]
    a.close()
    b.close()


def test_an_apply_of_one_project_leaves_what_another_serves(tmp_path) -> None:
    places = all_in_one(tmp_path / "shared", "sqlite")
    a = open_store(tmp_path / "a", SPEND, project="team_a", **places)
    a.push("pays", some(0), backdate=True)
    b = open_store(tmp_path / "b", project="team_b", **places)
    with pytest.raises(
        UnknownName, match="project 'team_b' of the registry .it has: team_a. has no"
    ):
        b.get_online_features("Spend", cards("c0"))
    other = spend_of(payments(), "Other", total=payments().amount.sum("1h"))
    b.apply(b.plan(other, removing=True))
    assert b.runtime.state(fresh=True).current == {"Other": 1}
    check_parity(a, SPEND, cards("c0", "c1"))
    a.close()
    b.close()


def test_the_name_alone_says_which_tables_of_a_store_are_a_projects() -> None:
    store = MemoryStore()
    first = of_project(store, "default")
    second = of_project(store, "other")
    first.write("log.pays", [(b"s", b"1")])
    assert second.tables() == []
    assert second.read_one("log.pays", b"s") is None
    second.write("log.pays", [(b"s", b"2")])
    second.drop("log.pays")
    assert first.read_one("log.pays", b"s") == b"1"
    store.drop("log.pays")  # all is lost, and the other comes first
    of_project(store, "other").write("log.pays", [(b"s", b"3")])
    assert of_project(store, "default").read_one("log.pays", b"s") is None


def test_a_copy_takes_the_tables_of_its_project_alone(tmp_path) -> None:
    places = all_in_one(tmp_path / "shared", "lmdb")
    target = {"next": {"kind": "sqlite", "path": str(tmp_path / "next.sqlite")}}
    a = open_store(tmp_path / "a", SPEND, project="team_a", stores=target, **places)
    b = open_store(tmp_path / "b", SPEND, project="team_b", stores=target, **places)
    a.push("pays", some(0), backdate=True)
    b.push("pays", some(0, 3), backdate=True)
    for fs in (b, a, b):
        copy_online(fs.runtime, "next")
    a.close()
    b.close()
    moved = {**places, "online": {"store": "next"}, "stores": target}
    for name, rows in (("a", 6), ("b", 3)):
        fs = open_store(tmp_path / name, project=f"team_{name}", **moved)
        assert fs.runtime.log(fs.runtime.source("pays")).last_sequence() == rows
        check_parity(fs, SPEND, cards("c0", "c1"))
        fs.close()


def test_projects_on_one_cache_have_owners_of_their_own(tmp_path) -> None:
    cache = MemoryCache()
    a = open_store(tmp_path / "a", SPEND, project="team_a", using=cache)
    b = open_store(tmp_path / "b", SPEND, project="team_b", using=cache)
    for number, fs in enumerate((a, b, a, b)):
        fs.push("pays", some(10 * number), backdate=True)
    for fs in (a, b):
        check_parity(fs, SPEND, cards("c0", "c1"))
    assert isinstance(b.runtime.home.states, ProjectStore)


@pytest.mark.server("redis")
def test_projects_on_one_redis(tmp_path) -> None:
    with running("redis") as server:
        opened = [
            open_store(
                tmp_path / name,
                SPEND,
                project=name,
                online={"kind": "redis", "url": server.url},
            )
            for name in ("a", "b")
        ]
        for number, fs in enumerate(opened * 2):
            fs.push("pays", some(10 * number), backdate=True)
        for fs in opened:
            check_parity(fs, SPEND, cards("c0", "c1"))
            fs.close()
