"""Who writes the states of a store: one journal. Others are refused before anything is kept."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.errors import Conflict, StoreError, StoreUnavailable
from skewless.materialize.recovery import adopt, heal
from skewless.online import ownership
from skewless.online.move.copy import copy_online
from skewless.online.ownership import MARK, WRITERS, Mark
from skewless.online.storage import is_states
from skewless.testing.memory import MemoryCache
from skewless.testing.servers import running
from tests.shop import (
    HOUR,
    NOON,
    answers,
    cards,
    check_parity,
    expected_answers,
    open_store,
    pay,
    payments,
    spend_of,
)

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


def settled_files(folder: Path) -> list[Path]:
    return sorted((folder / ".skewless" / "offline" / "log").rglob("*.parquet"))


@pytest.mark.parametrize("backup", [False, True], ids=["no backup", "an old backup"])
def test_settled_rows_that_a_journal_does_not_know_are_neither_left_out_nor_deleted(
    tmp_path, backup
) -> None:
    """An embedded store is the journal too: who deletes it, and adopts, would lose what it named."""
    store = tmp_path / ".skewless" / "online"
    with open_store(tmp_path, SPEND) as fs:
        fs.push("pays", some(0), backdate=True)
    shutil.copytree(store, tmp_path / "backup")
    with open_store(tmp_path) as fs:
        fs.push("pays", some(10), backdate=True)
        fs.compact()
    files = settled_files(tmp_path)
    assert files
    shutil.rmtree(store)
    if backup:
        shutil.copytree(tmp_path / "backup", store)
    with open_store(tmp_path) as fs:
        with pytest.raises(Conflict, match="hold rows that the journal does not know"):
            adopt(fs.runtime)
        with pytest.raises(Conflict):
            fs.compact()
        says = "hold rows that the journal does not know" if backup else "with another journal"
        with pytest.raises(Conflict, match=says):
            fs.push("pays", some(20), backdate=True)
        with pytest.raises(StoreUnavailable, match=says):
            fs.get_online_features("Spend", cards("c1"))
    assert settled_files(tmp_path) == files


def test_an_adoption_that_was_killed_serves_nothing_until_it_is_finished(tmp_path) -> None:
    cache = MemoryCache()
    fs = open_store(tmp_path / "repo", SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    shutil.copytree(tmp_path / "repo", tmp_path / "backup")
    fs.push("pays", some(10), backdate=True)
    restored = open_store(tmp_path / "backup", using=cache)

    def killed(table: str) -> None:
        if is_states(table):
            raise KeyboardInterrupt

    cache.before_write = killed
    with pytest.raises(KeyboardInterrupt):
        adopt(restored.runtime)
    cache.before_write = lambda _: None
    again = open_store(tmp_path / "backup", using=cache)
    with pytest.raises(StoreUnavailable, match="has lost its rows"):
        again.get_online_features("Spend", cards("c0"))
    assert heal(again.runtime)
    in_step(again)


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


def test_two_processes_of_one_journal_may_begin_in_the_same_moment(tmp_path) -> None:
    cache = MemoryCache()
    one = open_store(tmp_path, SPEND, using=cache)
    two = open_store(tmp_path, using=cache)

    def first_the_other(table: str) -> None:
        cache.before_write = lambda _: None
        two.push("pays", some(50), backdate=True)

    cache.before_write = first_the_other
    one.push("pays", some(0), backdate=True)
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


def test_sessions_are_not_kept_for_ever(tmp_path, monkeypatch) -> None:
    cache = MemoryCache()
    monkeypatch.setattr(ownership, "KEPT_SESSIONS", 3)
    for number in range(6):
        fs = open_store(tmp_path, *([] if number else [SPEND]), using=cache)
        fs.push("pays", some(10 * number), backdate=True)
    fs.compact()
    sessions = [key for key, _ in fs.runtime.journal.scan(WRITERS, prefix=b"session/")]
    assert len(sessions) == 3
    fs = open_store(tmp_path, using=cache)
    fs.push("pays", some(100), backdate=True)
    in_step(fs)


LIVES = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 2)),
        st.tuples(st.just("adopt"), st.integers(0, 2)),
        st.tuples(st.just("restart"), st.integers(0, 2)),
        st.tuples(st.just("read"), st.integers(0, 2)),
        st.tuples(st.just("evict"), st.just(0)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    min_size=4,
    max_size=14,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(life=LIVES)
def test_whoever_owns_the_states_has_them_right_and_nobody_else_writes(
    life, tmp_path_factory
) -> None:
    """Three machines, a journal each, one store that also loses states."""
    folder, cache = tmp_path_factory.mktemp("machines"), MemoryCache()
    machines = [open_store(folder / str(n), SPEND, using=cache) for n in range(3)]
    owner: int | None = None
    for number, (step, which) in enumerate(life):
        fs = machines[which]
        kept = last_row(fs)
        if step == "push":
            try:
                fs.push("pays", some(100 * number + 10 * which), backdate=True)
            except Conflict:
                assert owner not in {None, which}
                assert last_row(fs) == kept
            else:
                assert owner in {None, which}
                owner = which
        elif step == "adopt":
            adopt(fs.runtime)
            owner = which
        elif step == "restart":
            machines[which] = open_store(folder / str(which), using=cache)
        elif step == "evict":
            for table in filter(is_states, cache.tables()):
                cache.delete(table, [b"c0"])
        elif step == "flush":
            cache.lose()
            # Whoever writes first owns an empty store, as far as anybody can know.
            owner = None
        for n, one in enumerate(machines):
            if n == owner:
                found = None
                with contextlib.suppress(StoreUnavailable):
                    found = answers(one, SPEND, cards("c0", "c1"), NOON)
                expected = expected_answers(one, SPEND, cards("c0", "c1"), NOON)
                for got, right in zip(found or expected, expected, strict=True):
                    assert got == right or {s for _, s in got.values()} == {"building"}
    if owner is not None:
        machines[owner].push("pays", some(90_000), backdate=True)
        in_step(machines[owner])


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
