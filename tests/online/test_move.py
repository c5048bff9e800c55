"""Moving a repo to another online store: copy, mirror, rebuild."""

import logging
import multiprocessing
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from skewless.errors import (
    ConfigError,
    Conflict,
    InputError,
    StoreError,
    StoreUnavailable,
    UnknownName,
)
from skewless.materialize.recovery import adopt
from skewless.materialize.verbs import rebuild
from skewless.online.move import copy as online_copy
from skewless.online.move import mirror as mirroring
from skewless.online.move.copy import COPIES, copy_online
from skewless.online.move.mirror import OUTBOX
from skewless.online.row_ids import ids_table
from skewless.online.seen import is_seen
from skewless.stores.online.redis.store import RedisStore
from skewless.testing.proxy import Proxy
from tests.online.moving import CARDS, LATER, ROWS, SPEND, moved, refused, sqlite, values
from tests.shop import MINUTE, NOON, cards, open_store, pay

FORK = multiprocessing.get_context("fork")


def state_rows(home) -> dict[str, dict[bytes, bytes]]:
    """Everything that moves with a repo, by table."""
    left_out = {*mirroring.LOCAL, online_copy.PROBE}
    return {
        name: dict(home.store_of(name).scan(name))
        for name in home.tables()
        if name not in left_out and not is_seen(name)
    }


def home_of(fs, name="next"):
    section = fs.config.stores[name]
    return mirroring.open_home(section, fs.runtime.folder, "here", fs.config)


def test_a_copy_holds_every_row_and_the_repo_goes_on_there(tmp_path, stores) -> None:
    folder = tmp_path / "repo"
    fs = open_store(folder, SPEND, stores=stores)
    fs.push("pays", ROWS, backdate=True)
    before = values(fs)
    result = copy_online(fs.runtime, "next")
    assert not result.resumed
    ids = ids_table(fs.runtime.source("pays"))
    assert {"log.pays", ids} < {table.table for table in result.tables}
    assert all(table.copied == table.rows and not table.repaired for table in result.tables)
    fs = moved(fs, folder, stores)
    assert values(fs) == before
    # Row ids moved too: what came before the move comes once.
    again = fs.push("pays", [*ROWS[:5], *LATER], backdate=True)
    assert (again.accepted, again.duplicates) == (len(LATER), 5)
    pushed = values(fs)
    rebuild(fs.runtime, None)
    assert values(fs) == pushed
    fs.close()


def test_a_repo_comes_back_from_a_store_without_transactions(tmp_path, redis) -> None:
    folder = tmp_path / "repo"
    cache = {"kind": "redis", "url": redis.url, "namespace": tmp_path.name, "timeout": 30.0}
    fs = open_store(folder, SPEND, online=cache, stores={"next": sqlite(folder)})
    fs.push("pays", ROWS, backdate=True)
    before = values(fs)
    copy_online(fs.runtime, "next")
    fs = moved(fs, folder, {"next": sqlite(folder)})
    assert fs.runtime.one_store
    assert values(fs) == before
    assert fs.push("pays", ROWS, backdate=True).duplicates == len(ROWS)
    fs.close()


def test_a_second_copy_brings_what_changed_and_removes_what_went(tmp_path, stores) -> None:
    folder = tmp_path / "repo"
    fs = open_store(folder, SPEND, stores=stores)
    fs.push("pays", ROWS, backdate=True)
    copy_online(fs.runtime, "next")
    other = home_of(fs)
    (states,) = (name for name in other.tables() if mirroring.is_states(name))
    other.states.write(states, [(b"a stray one", b"x")])
    other.states.write("payments.card.00000000", [(b"of a view that is gone", b"x")])
    fs.push("pays", LATER, backdate=True)
    tables = {table.table: table for table in copy_online(fs.runtime, "next").tables}
    assert tables[states].removed == 1
    assert state_rows(other) == state_rows(fs.runtime.home)
    other.close()
    fs.close()


def test_rows_that_the_other_store_garbled_are_found_by_their_checksum(
    tmp_path, monkeypatch
) -> None:
    fs = open_store(tmp_path, SPEND, stores={"next": sqlite(tmp_path)})
    fs.push("pays", ROWS, backdate=True)
    first = copy_online(fs.runtime, "next")
    compare = online_copy._Copying._compare

    def garble(self, table):
        theirs = self._target.store_of(table.table)
        for key, value in list(theirs.scan(table.table, limit=1)):
            theirs.write(table.table, [(key, value + b"!")])
        compare(self, table)

    monkeypatch.setattr(online_copy._Copying, "_compare", garble)
    second = copy_online(fs.runtime, "next")
    assert [table.repaired for table in second.tables] == [1] * len(second.tables)
    monkeypatch.undo()
    third = copy_online(fs.runtime, "next")
    assert [t.checksum for t in third.tables] == [t.checksum for t in second.tables]
    assert len({t.checksum for t in first.tables}) == len(first.tables)
    fs.close()


def copy_until_killed(folder: Path, stores: object, pages: int) -> None:
    """Copy pages of ten rows and die in the middle of one."""
    online_copy.PAGE_ROWS = 10
    done = []
    copy = online_copy.copy_rows

    def count(*arguments):
        done.append(0)
        found = copy(*arguments)
        if len(done) == pages:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    online_copy.copy_rows = count
    copy_online(open_store(folder, stores=stores).runtime, "next")


@pytest.mark.parametrize("pages", [1, 3, 40])
def test_a_copy_that_is_killed_goes_on_where_it_was(tmp_path, stores, pages, monkeypatch) -> None:
    folder = tmp_path / "repo"
    fs = open_store(folder, SPEND, stores=stores)
    fs.push("pays", ROWS, backdate=True)
    fs.close()
    child = FORK.Process(target=copy_until_killed, args=(folder, stores, pages))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    fs = open_store(folder, stores=stores)
    # The page it died in was not noted.
    assert (fs.runtime.journal.read_one(COPIES, b"next") is None) == (pages == 1)
    fs.push("pays", LATER, backdate=True)
    result = copy_online(fs.runtime, "next")
    assert result.resumed == (pages > 1)
    assert sum(table.copied for table in result.tables) <= sum(t.rows for t in result.tables)
    other = home_of(fs)
    assert state_rows(other) == state_rows(fs.runtime.home)
    other.close()
    fs.close()


def test_a_mirror_takes_every_write_and_reads_ask_the_first_store(tmp_path, stores) -> None:
    folder = tmp_path / "repo"
    fs = open_store(folder, SPEND, online={"mirror": "next"}, stores=stores)
    fs.push("pays", ROWS, backdate=True)
    fs.delete("pays", ["p1", "p2"])
    other = home_of(fs)
    assert state_rows(other) == state_rows(fs.runtime.home)
    (states,) = (name for name in other.tables() if mirroring.is_states(name))
    before = values(fs)
    other.states.drop(states)
    assert values(fs) == before
    other.close()
    fs.close()


@pytest.mark.server("redis")
def test_a_mirror_of_a_store_without_transactions_takes_its_states(tmp_path, redis) -> None:
    folder = tmp_path / "repo"
    first = {"kind": "redis", "url": redis.url, "namespace": f"{tmp_path.name}1", "timeout": 30.0}
    second = first | {"namespace": f"{tmp_path.name}2"}
    fs = open_store(folder, SPEND, online={**first, "mirror": "next"}, stores={"next": second})
    fs.push("pays", ROWS, backdate=True)
    fs.push("pays", LATER, backdate=True)
    rebuild(fs.runtime, None)
    other = home_of(fs)
    (states,) = (name for name in fs.runtime.online.tables() if mirroring.is_states(name))
    assert dict(other.states.scan(states)) == dict(fs.runtime.online.scan(states)) != {}
    assert fs.runtime.mirror.status().pending == 0
    other.close()
    fs.close()


@pytest.mark.server("redis")
def test_a_mirror_that_fails_fails_no_write_and_gets_the_rows_later(
    tmp_path, redis, caplog, monkeypatch
) -> None:
    port = int(redis.url.rpartition(":")[2].partition("/")[0])
    monkeypatch.setattr(mirroring, "FIRST_PAUSE", 0.0)
    with Proxy(port) as proxy:
        url = redis.url.replace(f":{port}", f":{proxy.port}")
        cache = {"kind": "redis", "url": url, "namespace": tmp_path.name}
        online = {"kind": "sqlite", "path": str(tmp_path / "first.sqlite"), "mirror": "next"}
        fs = open_store(tmp_path, SPEND, online=online, stores={"next": cache})
        fs.push("pays", ROWS[:100], backdate=True)
        proxy.refuse()
        with caplog.at_level(logging.WARNING, logger="skewless.mirror"):
            fs.push("pays", ROWS[100:200], backdate=True)
            fs.push("pays", ROWS[200:], backdate=True)
        assert len(caplog.records) == 1
        assert "next: writes wait in the outbox" in caplog.text
        assert "of%20the" not in caplog.text
        status = fs.runtime.mirror.status()
        assert status.failures >= 2
        assert status.pending >= 300
        assert "cannot be reached" in status.problem
        proxy.forward_to(port)
        fs.push("pays", LATER, backdate=True)
        assert fs.runtime.mirror.status().pending == 0
        assert fs.runtime.mirror.status().problem == ""
        other = home_of(fs)
        assert state_rows(other) == state_rows(fs.runtime.home)
        other.close()
        fs.close()


def push_and_die_before_the_mirror(folder: Path, online: object, stores: object) -> None:
    mirroring.Mirror.settle = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    open_store(folder, online=online, stores=stores).push("pays", LATER, backdate=True)


def test_rows_that_a_killed_process_kept_from_the_mirror_come_with_the_next_write(
    tmp_path, stores
) -> None:
    folder, online = tmp_path / "repo", {"mirror": "next"}
    fs = open_store(folder, SPEND, online=online, stores=stores)
    fs.push("pays", ROWS, backdate=True)
    fs.close()
    child = FORK.Process(target=push_and_die_before_the_mirror, args=(folder, online, stores))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    fs = open_store(folder, online=online, stores=stores)
    assert fs.runtime.mirror.status().pending >= len(LATER)
    assert fs.push("pays", LATER, backdate=True).duplicates == len(LATER)
    other = home_of(fs)
    assert state_rows(other) == state_rows(fs.runtime.home)
    assert list(fs.runtime.journal.scan(OUTBOX)) == []
    other.close()
    fs.close()


def test_a_copy_under_writers_with_a_mirror_leaves_no_difference(tmp_path, stores) -> None:
    folder = tmp_path / "repo"
    fs = open_store(folder, SPEND, stores=stores)
    fs.push("pays", ROWS, backdate=True)
    fs.close()
    fs = open_store(folder, online={"mirror": "next"}, stores=stores)
    finished = threading.Event()

    def write_on() -> None:
        number = 0
        while not finished.is_set() or number < 5:
            rows = [pay(f"w{number}-{card}", NOON - MINUTE, 1.0, card=card) for card in CARDS[:7]]
            fs.push("pays", rows, backdate=True)
            number += 1

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        copier = open_store(folder, online={"mirror": "next"}, stores=stores)
        copy_online(copier.runtime, "next")
        copier.close()
    finally:
        finished.set()
        writer.join()
    other = home_of(fs)
    assert state_rows(other) == state_rows(fs.runtime.home)
    other.close()
    fs.close()


def test_rebuild_makes_states_what_history_says(tmp_path) -> None:
    fs = open_store(tmp_path, SPEND)
    fs.push("pays", ROWS, backdate=True)
    before = values(fs)
    online = fs.runtime.online
    (table,) = (name for name in online.tables() if mirroring.is_states(name))
    kept = dict(online.scan(table))
    online.write(table, [(key, next(iter(kept.values()))) for key in list(kept)[1:9]])
    online.write(table, [(b"nobody's", b"garbage")])
    online.delete(table, list(kept)[20:])
    (result,) = rebuild(fs.runtime, ["Spend"])
    assert result.entities == len(CARDS)
    assert values(fs) == before
    assert set(online.read(table, list(kept))) & {None} == set()
    assert online.read_one(table, b"nobody's") is None
    fs.close()


def test_stores_that_cannot_be_moved_to_are_refused(tmp_path) -> None:
    stores = {"next": sqlite(tmp_path), "same": {"kind": "lmdb", "path": ".skewless/./online"}}
    fs = open_store(tmp_path / "one", SPEND, stores=stores)
    with pytest.raises(UnknownName, match="has no store 'nexd'.*Did you mean 'next'"):
        copy_online(fs.runtime, "nexd")
    with pytest.raises(InputError, match="is the online store itself"):
        copy_online(fs.runtime, "same")
    copy_online(fs.runtime, "next")
    other = open_store(tmp_path / "two", SPEND, stores={"next": sqlite(tmp_path)})
    with pytest.raises(StoreError, match="belongs to another repo"):
        copy_online(other.runtime, "next")
    other.close()
    fs.close()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"online": {"mirror": "nexd"}}, "Did you mean 'next'"),
        ({"online": {"store": "next", "kind": "lmdb"}}, "takes no other options.*kind"),
        ({"online": {"store": "next", "mirror": "next"}}, "the online store itself"),
        ({"stores": {"next": {"path": "x"}}}, "without a kind"),
        ({"stores": {"next": {"kind": "lmdb"}}}, "without a path"),
        ({"stores": {n: {"kind": "lmdb", "path": "x"} for n in "ab"}}, "two names for one store"),
    ],
)
def test_settings_of_stores_that_make_no_sense_are_told(tmp_path, settings, says) -> None:
    known = {"next": {"kind": "sqlite", "path": "next.sqlite"}}
    with pytest.raises(ConfigError, match=says):
        open_store(tmp_path, **({"stores": known} | settings))


# ------------------------------------------------------------------------- what was left behind


def test_the_store_that_was_left_refuses_whoever_has_old_settings(tmp_path, stores) -> None:
    """By settings that were not changed, or a server that was not restarted."""
    folder = tmp_path / "repo"
    left = open_store(folder, SPEND, stores=stores)
    left.push("pays", ROWS[:40], backdate=True)
    copy_online(left.runtime, "next")
    fs = open_store(folder, online={"store": "next"}, stores=stores)
    fs.push("pays", ROWS[40:80], backdate=True)
    again = open_store(folder, stores=stores)
    for old in (left, again):
        with pytest.raises(Conflict, match="has moved to another online store"):
            old.push("pays", ROWS[80:120], backdate=True)
    with pytest.raises(StoreUnavailable, match="has moved to another online store"):
        values(again)
    with pytest.raises(Conflict, match="has moved to another online store"):
        again.compact()  # it would remove files that the other journal counts
    again.close()
    left.close()
    # Back on purpose, by a copy; then the other one is left.
    back = {"first": {"kind": "lmdb", "path": str(folder / ".skewless" / "online")}, **stores}
    fs.close()
    fs = open_store(folder, online={"store": "next"}, stores=back)
    copy_online(fs.runtime, "first")
    fs.close()
    fs = open_store(folder, stores=stores)
    fs.push("pays", ROWS[80:120], backdate=True)
    pushed = values(fs)
    rebuild(fs.runtime, None)
    assert values(fs) == pushed
    fs.close()
    fs = open_store(folder, online={"store": "next"}, stores=stores)
    with pytest.raises(Conflict, match="has moved"):
        fs.push("pays", ROWS[120:], backdate=True)
    fs.close()


@pytest.mark.server("redis")
def test_of_two_caches_with_one_journal_the_one_that_was_left_refuses(tmp_path, redis) -> None:
    folder = tmp_path / "repo"
    caches = {
        name: {"kind": "redis", "url": redis.url, "namespace": tmp_path.name + name}
        for name in ("one", "two", "three")
    }
    fs = open_store(folder, SPEND, online={"store": "one"}, stores=caches)
    fs.push("pays", ROWS[:40], backdate=True)
    copy_online(fs.runtime, "two")
    left, fs = fs, open_store(folder, online={"store": "two"}, stores=caches)
    fs.push("pays", ROWS[40:80], backdate=True)
    with pytest.raises(Conflict, match="has moved"):
        left.push("pays", ROWS[80:], backdate=True)
    left.close()
    # A third one to which nothing was copied has lost everything, as far as the journal knows.
    fs.close()
    fs = open_store(folder, online={"store": "three"}, stores=caches)
    with pytest.raises(StoreUnavailable, match="has lost its rows"):
        values(fs)
    fs.push("pays", ROWS[80:], backdate=True)
    pushed = values(fs)
    rebuild(fs.runtime, None)
    assert values(fs) == pushed
    fs.close()


@pytest.mark.server("redis")
def test_a_mirror_of_one_journal_lacks_nothing_when_the_repo_goes_on_there(tmp_path, redis) -> None:
    """Pushes and builds after the copy are in its notes too, so nothing has to be rebuilt."""
    folder = tmp_path / "repo"
    caches = {
        name: {"kind": "redis", "url": redis.url, "namespace": tmp_path.name + name}
        for name in ("one", "two")
    }
    fs = open_store(folder, SPEND, online={"store": "one", "mirror": "two"}, stores=caches)
    fs.push("pays", ROWS[:40], backdate=True)
    copy_online(fs.runtime, "two")
    fs.push("pays", ROWS[40:80], backdate=True)
    rebuild(fs.runtime, None)
    fs.push("pays", ROWS[80:120], backdate=True)
    before = values(fs)
    fs.close()
    fs = open_store(folder, online={"store": "two"}, stores=caches)
    assert fs.runtime.losses() == []
    assert values(fs) == before
    fs.push("pays", ROWS[120:], backdate=True)
    pushed = values(fs)
    rebuild(fs.runtime, None)
    assert values(fs) == pushed
    fs.close()


@pytest.mark.server("redis")
@pytest.mark.parametrize("pages", [1, 1_000], ids=["row by row", "in one page"])
def test_a_mirror_whose_journal_got_rows_before_its_states_did_says_so(
    tmp_path, redis, pages, monkeypatch
) -> None:
    """A mirror of two stores takes no transaction over both; a repo may go on there all the same."""
    monkeypatch.setattr(mirroring, "PAGE_ROWS", pages)
    folder = tmp_path / "repo"
    cache = {"kind": "redis", "url": redis.url, "namespace": tmp_path.name}
    fs = open_store(folder, SPEND, online={"mirror": "next"}, stores={"next": cache})
    fs.push("pays", ROWS[:40], backdate=True)
    copy_online(fs.runtime, "next")
    fs.push("pays", ROWS[40:80], backdate=True)
    with monkeypatch.context() as broken:
        broken.setattr(RedisStore, "write", refused)
        fs.push("pays", ROWS[80:], backdate=True)
    right = values(fs)
    fs = moved(fs, folder, {"next": cache})
    with pytest.raises(StoreUnavailable, match="lacks what was written since"):
        fs.get_online_features("Spend", cards("nobody"))
    adopt(fs.runtime)
    assert values(fs) == right
    fs.close()


@pytest.mark.server("redis")
@pytest.mark.parametrize("how", ["push", "materialize"])
def test_a_mirror_lacks_what_a_writer_without_it_wrote_and_says_so(tmp_path, redis, how) -> None:
    """Its rows are in no outbox: later writes with the mirror do not make it whole again."""
    folder = tmp_path / "repo"
    caches = {
        name: {"kind": "redis", "url": redis.url, "namespace": tmp_path.name + name}
        for name in ("one", "two")
    }
    mirrored, alone = {"store": "one", "mirror": "two"}, {"store": "one"}
    fs = open_store(folder, SPEND, online=mirrored, stores=caches)
    fs.push("pays", ROWS[:40], backdate=True)
    copy_online(fs.runtime, "two")
    fs.push("pays", ROWS[40:80], backdate=True)
    fs.close()
    with open_store(folder, online=alone, stores=caches) as other:
        if how == "push":
            other.push("pays", ROWS[80:120], backdate=True)
        else:
            other.backfill()
    fs = open_store(folder, online=mirrored, stores=caches)
    fs.push("pays", ROWS[120:], backdate=True)
    right = values(fs)
    fs.close()
    fs = open_store(folder, online={"store": "two"}, stores=caches)
    assert fs.runtime.losses() != []
    with pytest.raises(StoreUnavailable, match="has lost its rows"):
        fs.get_online_features("Spend", cards("nobody"))
    fs.materialize()
    assert values(fs) == right
    fs.close()


@pytest.mark.server("redis")
def test_a_mirror_has_views_that_were_applied_since_it_was_copied_to(tmp_path, redis) -> None:
    folder = tmp_path / "repo"
    caches = {
        name: {"kind": "redis", "url": redis.url, "namespace": tmp_path.name + name}
        for name in ("one", "two")
    }
    fs = open_store(folder, online={"store": "one", "mirror": "two"}, stores=caches)
    copy_online(fs.runtime, "two")
    fs.apply(fs.plan(SPEND))
    fs.push("pays", ROWS[:40], backdate=True)
    fs.materialize()
    fs.push("pays", ROWS[40:], backdate=True)
    before = values(fs)
    fs.close()
    fs = open_store(folder, online={"store": "two"}, stores=caches)
    assert fs.runtime.losses() == []
    assert values(fs) == before
    fs.close()


def test_a_copy_that_was_not_finished_is_not_taken(tmp_path, stores, monkeypatch) -> None:
    folder = tmp_path / "repo"
    fs = open_store(folder, SPEND, stores=stores)
    fs.push("pays", ROWS, backdate=True)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(online_copy._Copying, "_compare", killed)
    with pytest.raises(KeyboardInterrupt):
        copy_online(fs.runtime, "next")
    monkeypatch.undo()
    early = open_store(folder, online={"store": "next"}, stores=stores)
    with pytest.raises(Conflict, match="goes with another journal"):
        early.push("pays", LATER, backdate=True)
    early.close()
    copy_online(fs.runtime, "next")
    fs = moved(fs, folder, stores)
    fs.push("pays", LATER, backdate=True)
    fs.close()


def test_an_empty_journal_is_not_taken_for_the_one_of_the_history(tmp_path) -> None:
    folder = tmp_path / "repo"
    fs = open_store(folder, SPEND)
    fs.push("pays", ROWS, backdate=True)
    fs.compact()
    fs.close()
    shutil.rmtree(folder / ".skewless" / "online")
    fs = open_store(folder, SPEND)
    with pytest.raises(Conflict, match="online adopt"):
        fs.push("pays", LATER, backdate=True)
    with pytest.raises(Conflict, match="hold rows that the journal does not know"):
        adopt(fs.runtime)
    shutil.move(folder / ".skewless" / "offline" / "log" / "pays", tmp_path / "set-aside")
    adopt(fs.runtime)
    fs.push("pays", LATER, backdate=True)
    fs.close()


def test_a_mirror_that_belongs_to_another_repo_gets_nothing(tmp_path, stores) -> None:
    other = open_store(tmp_path / "other", SPEND, stores=stores)
    other.push("pays", ROWS[:40], backdate=True)
    copy_online(other.runtime, "next")
    other.close()
    fs = open_store(tmp_path / "repo", SPEND, online={"mirror": "next"}, stores=stores)
    fs.push("pays", ROWS, backdate=True)
    status = fs.runtime.mirror.status()
    assert "belongs to another repo" in status.problem
    assert status.pending
    fs.close()
    again = open_store(tmp_path / "other", online={"store": "next"}, stores=stores)
    assert again.runtime.log(again.runtime.source("pays")).last_sequence() == 40
    again.close()
