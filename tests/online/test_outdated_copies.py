"""A copy of an online store that lacks rows is not taken for it."""

import itertools

import pytest

from skewless.errors import Conflict, StoreError, StoreUnavailable
from skewless.online.move import mirror as mirroring
from skewless.online.move.copy import copy_online
from skewless.stores.online.redis.store import RedisStore
from tests.online.moving import LATER, ROWS, SPEND, moved, refused, values
from tests.shop import NOON, open_store, pay

HOW = ["push", "materialize", "another process", "a process without the mirror"]


@pytest.mark.parametrize("how", HOW)
def test_a_copy_after_which_something_is_written_is_not_taken(tmp_path, stores, how) -> None:
    folder = tmp_path / "repo"
    online = {"mirror": "next"} if how == HOW[3] else {}
    fs = open_store(folder, SPEND, online=online, stores=stores)
    fs.push("pays", ROWS, backdate=True)
    other = open_store(folder, stores=stores)
    other.push("pays", ROWS[:1], backdate=True)  # it has looked at everything before
    copy_online(fs.runtime, "next")
    if how == "materialize":
        fs.backfill()
    else:
        (fs if how == "push" else other).push("pays", LATER, backdate=True)
    right = values(fs)
    other.close()
    early = open_store(folder, online={"store": "next"}, stores=stores)
    with pytest.raises(Conflict, match="lacks what was written since"):
        early.push("pays", LATER, backdate=True)
    with pytest.raises(StoreUnavailable, match="lacks what was written since"):
        values(early)
    early.close()
    assert values(fs) == right
    copy_online(fs.runtime, "next")
    fs = moved(fs, folder, stores)
    assert values(fs) == right
    assert fs.push("pays", LATER, backdate=True).duplicates == (0 if how == "materialize" else 40)
    fs.close()


def test_a_copy_under_writers_without_a_mirror_is_refused_or_whole(tmp_path, stores) -> None:
    folder = tmp_path / "repo"
    fs = open_store(folder, SPEND, stores=stores)
    fs.push("pays", ROWS, backdate=True)
    pushed = itertools.count()

    def push_one(text: str, done: float) -> None:
        if text.startswith("comparing"):
            fs.push("pays", [pay(f"w{next(pushed)}", NOON)], backdate=True)

    with pytest.raises(StoreError, match="rows were written while they were copied"):
        copy_online(fs.runtime, "next", progress=push_one)
    early = open_store(folder, online={"store": "next"}, stores=stores)
    with pytest.raises(Conflict, match="goes with another journal"):
        early.push("pays", LATER, backdate=True)
    early.close()
    copy_online(fs.runtime, "next")
    right = values(fs)
    fs = moved(fs, folder, stores)
    assert values(fs) == right
    fs.close()


@pytest.mark.server("redis")
def test_a_mirror_that_lacks_rows_is_not_taken_until_it_has_them(
    tmp_path, redis, monkeypatch
) -> None:
    """The first store may be gone, with the rows that only its outbox has."""
    monkeypatch.setattr(mirroring, "FIRST_PAUSE", 0.0)
    folder = tmp_path / "repo"
    stores = {"next": {"kind": "redis", "url": redis.url, "namespace": tmp_path.name}}
    fs = open_store(folder, SPEND, online={"mirror": "next"}, stores=stores)
    fs.push("pays", ROWS[:40], backdate=True)
    copy_online(fs.runtime, "next")
    with monkeypatch.context() as broken:
        broken.setattr(RedisStore, "write", refused)
        fs.push("pays", ROWS[40:80], backdate=True)
    right = values(fs)
    early = open_store(folder, online={"store": "next"}, stores=stores)
    with pytest.raises(StoreUnavailable, match="lacks what was written since"):
        values(early)
    early.close()
    assert values(fs) == right
    fs.runtime.mirror.settle()
    fs = moved(fs, folder, stores)
    assert values(fs) == right
    fs.close()
