"""Who writes the states of a store: one journal. Others are refused before anything is kept."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from skewless.errors import Conflict, StoreError
from skewless.materialize.recovery import adopt
from skewless.online.move.copy import copy_online
from skewless.online.ownership import MARK, WRITERS, Mark
from skewless.testing.memory import MemoryCache
from skewless.testing.servers import running
from tests.jobs.shop import HOUR, NOON, cards, check_parity, open_store, pay, payments, spend_of

PAYS = payments(row_id="pay_id")
SPEND = spend_of(PAYS)


def some(first: int, count: int = 3) -> list[dict[str, object]]:
    return [
        pay(f"p{number}", NOON - HOUR + number, 1.0, card=f"c{number % 2}")
        for number in range(first, first + count)
    ]


def last_row(fs) -> int:
    return fs.runtime.log(fs.runtime.source("pays")).last_sequence()


def in_step(fs) -> None:
    check_parity(fs, SPEND, cards("c0", "c1"))


def test_a_second_machine_is_refused_by_name_before_anything_is_kept(tmp_path) -> None:
    cache = MemoryCache()
    one = open_store(tmp_path / "one", SPEND, using=cache)
    two = open_store(tmp_path / "two", SPEND, using=cache)
    one.push("pays", some(0), backdate=True)
    with pytest.raises(Conflict) as refused:
        two.push("pays", some(10), backdate=True)
    for place in ("one", "two"):
        assert str(tmp_path / place) in str(refused.value)
    assert "skewless online adopt" in str(refused.value)
    assert last_row(two) == 0
    one.push("pays", some(20), backdate=True)
    in_step(one)


def test_a_second_machine_that_only_reads_says_building_of_whom_it_cannot_know(tmp_path) -> None:
    cache = MemoryCache()
    one = open_store(tmp_path / "one", SPEND, using=cache)
    one.push("pays", some(0), backdate=True)
    two = open_store(tmp_path / "two", SPEND, using=cache)
    found = two.get_online_features(["Spend:count_1d"], cards("c0", "nobody"))
    assert found.to_statuses()["count_1d"] == ["present", "building"]
    found = one.get_online_features(["Spend:count_1d"], cards("c0", "nobody"))
    assert found.to_statuses()["count_1d"] == ["present", "unknown"]


@pytest.mark.parametrize("copied_after", ["before its first row", "after some rows"])
def test_of_two_copies_of_a_folder_one_goes_on(tmp_path, copied_after) -> None:
    cache = MemoryCache()
    first = open_store(tmp_path / "first", SPEND, using=cache)
    first.runtime.ownership.check()
    if copied_after == "after some rows":
        first.push("pays", some(0), backdate=True)
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    second = open_store(tmp_path / "second", using=cache)
    second.push("pays", some(10), backdate=True)
    kept = last_row(first)
    with pytest.raises(Conflict, match="a copy of this journal"):
        first.push("pays", some(20), backdate=True)
    assert last_row(first) == kept
    second.push("pays", some(30), backdate=True)
    in_step(second)


def test_a_journal_from_a_backup_is_refused_and_adopts_what_its_log_says(tmp_path) -> None:
    cache = MemoryCache()
    fs = open_store(tmp_path / "repo", SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    shutil.copytree(tmp_path / "repo", tmp_path / "backup")
    fs.push("pays", some(10), backdate=True)
    # Not closed: that would close the store of both.
    restored = open_store(tmp_path / "backup", using=cache)
    with pytest.raises(Conflict, match="from a backup.*online adopt"):
        restored.push("pays", some(20), backdate=True)
    adopt(restored.runtime)
    in_step(restored)
    restored.push("pays", some(20), backdate=True)
    in_step(restored)
    with pytest.raises(Conflict):
        fs.push("pays", some(30), backdate=True)


def test_a_new_container_on_an_old_store_adopts_it_on_purpose(tmp_path) -> None:
    cache = MemoryCache()
    old = open_store(tmp_path / "old", SPEND, using=cache)
    old.push("pays", some(0), backdate=True)
    new = open_store(tmp_path / "new", SPEND, using=cache)
    with pytest.raises(Conflict):
        new.materialize()
    before = adopt(new.runtime)
    assert before is not None
    assert before.folder == str(tmp_path / "old")
    assert new.get_online_features(["Spend:count_1d"], cards("c0")).to_statuses() == {
        "count_1d": ["unknown"]
    }
    new.push("pays", some(10), backdate=True)
    in_step(new)


def test_an_owner_that_was_killed_between_journal_and_mark_goes_on(tmp_path) -> None:
    cache = MemoryCache()
    fs = open_store(tmp_path / "repo", SPEND, using=cache)

    def killed(table: str) -> None:
        raise KeyboardInterrupt

    cache.before_write = killed
    with pytest.raises(KeyboardInterrupt):
        fs.push("pays", some(0), backdate=True)
    assert fs.runtime.journal.read_one(WRITERS, b"generation") is not None
    assert cache.read_one(*MARK) is None
    cache.before_write = lambda _: None
    again = open_store(tmp_path / "repo", using=cache)
    again.push("pays", some(0), backdate=True)
    in_step(again)


def test_states_that_name_no_writer_are_not_taken_for_ones_own(tmp_path) -> None:
    cache = MemoryCache()
    old = open_store(tmp_path / "old", SPEND, using=cache)
    old.push("pays", some(0), backdate=True)
    cache.drop(MARK[0])  # as a release before there were marks left them
    new = open_store(tmp_path / "new", SPEND, using=cache)
    with pytest.raises(Conflict, match="left no mark"):
        new.push("pays", some(10), backdate=True)


def test_processes_on_one_journal_are_one_owner(tmp_path) -> None:
    cache = MemoryCache()
    one = open_store(tmp_path / "repo", SPEND, using=cache)
    two = open_store(tmp_path / "repo", using=cache)
    for number in range(6):
        (one, two)[number % 2].push("pays", some(10 * number), backdate=True)
    in_step(one)
    in_step(two)


def test_a_copy_is_not_taken_from_another_repo(tmp_path) -> None:
    target = {"next": {"kind": "sqlite", "path": str(tmp_path / "next.sqlite")}}
    for name in ("one", "two"):
        fs = open_store(tmp_path / name, SPEND, stores=target)
        fs.push("pays", some(0), backdate=True)
        if name == "one":
            copy_online(fs.runtime, "next")
        else:
            with pytest.raises(StoreError, match="another repo.*one"):
                copy_online(fs.runtime, "next")
        fs.close()


@pytest.mark.server("redis")
def test_two_machines_on_one_redis_killed_in_between(tmp_path: Path) -> None:
    """The first machine dies in the middle of pushes; a second one must not go on by itself."""
    with running("redis") as server:
        online = {"kind": "redis", "url": server.url}
        one = open_store(tmp_path / "one", SPEND, online=online)
        one.close()
        code = (
            "from tests.online.test_one_owner import push_for_ever\n"
            f"push_for_ever({str(tmp_path / 'one')!r}, {online!r})"
        )
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(5):
            writer.stdout.readline()
        writer.kill()
        writer.wait()
        writer.stdout.close()
        two = open_store(tmp_path / "two", SPEND, online=online)
        with pytest.raises(Conflict):
            two.push("pays", some(0), backdate=True)
        two.close()
        one = open_store(tmp_path / "one", online=online)
        one.push("pays", some(1_000_000), backdate=True)
        in_step(one)
        mark = Mark.read(one.runtime.home.states)
        assert mark is not None
        assert mark.folder == str(tmp_path / "one")
        one.close()


def push_for_ever(folder: str, online: dict[str, object]) -> None:
    fs = open_store(Path(folder), online=online)
    number = 0
    while True:
        fs.push("pays", some(number), backdate=True)
        number += 10
        print(number, flush=True)
