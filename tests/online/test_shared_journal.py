"""``[journal]``: several machines with one journal over states in a store without transactions."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless.errors import ConfigError, StoreUnavailable
from skewless.testing.memory import MemoryCache
from skewless.testing.servers import Server, running
from tests.shop import HOUR, NOON, cards, check_parity, open_store, pay, payments, spend_of

PAYS = payments(row_id="pay_id")
SPEND = spend_of(PAYS)
CARDS = [f"c{number}" for number in range(4)]
ROUNDS = 6


def some(first: int, count: int = 8) -> list[dict[str, object]]:
    return [
        pay(f"p{number}", NOON - HOUR + number, number / 7, card=CARDS[number % 4])
        for number in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running("postgres") as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


def shared(tmp_path: Path, redis: Server, postgres: Server) -> dict[str, object]:
    """The settings that all machines have in common."""
    name = tmp_path.name.replace("-", "_")[:40].lower()
    return {
        "registry": {"kind": "postgres", "dsn": postgres.url, "schema": f"r_{name}"},
        "online": {"kind": "redis", "url": redis.url, "namespace": name, "timeout": 30.0},
        "journal": {"kind": "postgres", "dsn": postgres.url, "name": f"j_{name}"},
        "offline": {"folder": str(tmp_path / "shared_history")},
    }


def machine(folder: str, settings: dict[str, object], number: int) -> None:
    """Push rows of its own, and some that the other machine pushes too."""
    fs = open_store(Path(folder), **settings)
    for turn in range(ROUNDS):
        fs.push("pays", some(10_000 * number + 100 * turn), backdate=True)
        fs.push("pays", some(100 * turn), backdate=True)
        print(turn, flush=True)
    fs.close()


def started(tmp_path: Path, settings: dict[str, object], number: int) -> "subprocess.Popen[bytes]":
    code = (
        "from tests.online.test_shared_journal import machine\n"
        f"machine({str(tmp_path / f'machine{number}')!r}, {settings!r}, {number})"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


@pytest.mark.server("redis")
@pytest.mark.server("postgres")
def test_two_machines_push_at_once_and_one_is_killed(tmp_path, redis, postgres) -> None:
    settings = shared(tmp_path, redis, postgres)
    open_store(tmp_path / "first", SPEND, **settings).close()
    stays, killed = (started(tmp_path, settings, number) for number in (1, 2))
    assert killed.stdout is not None
    killed.stdout.readline()
    killed.kill()
    killed.wait()
    killed.stdout.close()
    stays.communicate()
    assert stays.returncode == 0
    again = started(tmp_path, settings, 2)
    again.communicate()
    assert again.returncode == 0
    fs = open_store(tmp_path / "first", **settings)
    # Every row once, whichever machine brought it.
    assert fs.runtime.log(fs.runtime.source("pays")).last_sequence() == 3 * ROUNDS * 8
    check_parity(fs, SPEND, cards(*CARDS, "nobody"))
    fs.compact()
    check_parity(fs, SPEND, cards(*CARDS, "nobody"))
    fs.close()
    other = open_store(tmp_path / "machine1", **settings)
    check_parity(other, SPEND, cards(*CARDS, "nobody"))
    other.close()


@pytest.mark.server("redis")
@pytest.mark.server("postgres")
def test_what_one_machine_finds_lost_the_other_builds(tmp_path, redis, postgres) -> None:
    from redis import Redis

    settings = shared(tmp_path, redis, postgres)
    one = open_store(tmp_path / "one", SPEND, **settings)
    two = open_store(tmp_path / "two", **settings)
    one.push("pays", some(0), backdate=True)
    two.push("pays", some(100), backdate=True)
    with Redis.from_url(redis.url) as by_hand:
        namespace = settings["online"]["namespace"]
        (key,) = by_hand.keys(f"{namespace}:*:c1")
        by_hand.delete(key)
        found = two.get_online_features(["Spend:count_1d"], cards("c0", "c1"))
        assert found.to_statuses()["count_1d"] == ["present", "building"]
        one.push("pays", some(200, 1), backdate=True)
        check_parity(two, SPEND, cards(*CARDS))
        for name in by_hand.keys(f"{namespace}:*"):
            by_hand.delete(name)
    again = open_store(tmp_path / "two", **settings)
    with pytest.raises(StoreUnavailable, match="has lost its rows"):
        again.get_online_features("Spend", cards("c0"))
    one.push("pays", some(300, 1), backdate=True)
    check_parity(again, SPEND, cards(*CARDS))
    for fs in (one, two, again):
        fs.close()


def test_a_journal_needs_transactions_and_a_history_that_all_have(tmp_path) -> None:
    with pytest.raises(ConfigError, match="needs a history that is shared"):
        open_store(tmp_path, journal={"kind": "sqlite", "path": "j.db"})
    with pytest.raises(ConfigError, match="a journal without a kind"):
        open_store(tmp_path, journal={"path": "j.db"}, offline={"folder": "history"})


def test_an_embedded_journal_lies_where_the_settings_say(tmp_path) -> None:
    where = {"kind": "sqlite", "path": str(tmp_path / "elsewhere" / "journal.db")}
    (tmp_path / "elsewhere").mkdir()
    fs = open_store(
        tmp_path / "repo",
        SPEND,
        using=MemoryCache(),
        journal=where,
        offline={"folder": str(tmp_path / "history")},
    )
    fs.push("pays", some(0), backdate=True)
    check_parity(fs, SPEND, cards(*CARDS))
    assert fs.runtime.home.journal.where == where["path"]
    fs.close()
