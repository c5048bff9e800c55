"""What is left undone between log and states is told to readers, and made good."""

import threading

import pytest

from skewless.errors import Conflict, RowsKept, StoreError, StoreUnavailable
from skewless.online import lag, reader
from skewless.online.loss_detection import standings
from skewless.online.storage import is_states
from skewless.testing.memory import MemoryCache
from tests.shop import MINUTE, NOON, cards, check_parity, open_store, pay, payments, spend_of

SOURCE = payments()
SPEND = spend_of(SOURCE, total=SOURCE.amount.sum("1h"), rows=SOURCE.count("1h"))
ALL = cards("c0", "c1", "nobody")


class KilledProcess(BaseException):
    pass


def refuse(table):
    raise StoreUnavailable("no memory is left", where=table)


def die(table):
    if is_states(table):
        raise KilledProcess


@pytest.fixture
def store():
    return MemoryCache()


@pytest.fixture
def fs(tmp_path, store, monkeypatch):
    monkeypatch.setattr(reader, "CHECK_SECONDS", 0.0)  # every read looks
    with open_store(tmp_path, SPEND, using=store) as opened:
        opened.push("pays", [pay("p1", NOON - MINUTE)], backdate=True)
        yield opened


@pytest.fixture
def other(fs, tmp_path, store):
    """Another process, which has looked at the tables before."""
    with open_store(tmp_path, using=store) as opened:
        assert rows_of(opened) == [(1, "present")]
        at_once(opened)
        yield opened


def at_once(fs):
    """Have the next look see to what is behind, and wait for it, though that has failed before."""
    its = fs.runtime.lag
    its.patience, its.wait, its._not_before, its._pause = 0.0, 60.0, 0.0, lag.PATIENCE


def rows_of(fs):
    found = fs.get_online_features(["Spend:rows"], cards("c1"))
    return [
        (value, status) for (value,), (status,) in zip(found.values, found.statuses, strict=True)
    ]


def test_materialize_brings_states_up_to_a_log_that_is_ahead_of_them(fs, store):
    takes, store.before_write = store.before_write, refuse
    with pytest.raises(StoreError, match="Do not send"):
        fs.push("pays", [pay("p2", NOON - 2 * MINUTE), pay("p3", NOON, card="c0")], backdate=True)
    store.before_write = takes
    fs.materialize()
    check_parity(fs, SPEND, ALL)


def test_what_the_store_refuses_is_building_at_once_and_comes_when_it_takes_it(fs, other, store):
    takes, store.before_write = store.before_write, refuse
    with pytest.raises(RowsKept):
        fs.push("pays", [pay("p2", NOON)], backdate=True)
    assert rows_of(fs) == [(None, "building")]
    assert rows_of(other) == [(None, "building")]  # which tried, and was refused too
    assert fs.runtime.tables().serving().current == {"Spend": 1}

    store.before_write = takes
    for each in (fs, other):
        at_once(each)
        assert rows_of(each) == [(2, "present")]
        check_parity(each, SPEND, ALL)


def test_what_the_store_refused_is_seen_at_the_first_look(fs, tmp_path, store):
    takes, store.before_write = store.before_write, refuse
    with pytest.raises(RowsKept):
        fs.push("pays", [pay("p2", NOON)], backdate=True)
    with open_store(tmp_path, using=store) as fresh:
        fresh.runtime.lag.wait = 60.0
        assert rows_of(fresh) == [(None, "building")]
    store.before_write = takes
    with open_store(tmp_path, using=store) as fresh:
        fresh.runtime.lag.wait = 60.0
        assert rows_of(fresh) == [(2, "present")]
        (standing,) = standings(fresh.runtime.home, fresh.runtime.tables().tables).values()
        assert not standing.refused


def test_what_a_kill_left_undone_is_done_by_whoever_reads(fs, other, store):
    takes, store.before_write = store.before_write, die
    with pytest.raises(KilledProcess):
        fs.push("pays", [pay("p2", NOON)], backdate=True)
    store.before_write = takes
    assert rows_of(other) == [(2, "present")]
    check_parity(other, SPEND, ALL)


def test_who_may_not_write_says_building(fs, other, store):
    takes, store.before_write = store.before_write, die
    with pytest.raises(KilledProcess):
        fs.push("pays", [pay("p2", NOON)], backdate=True)
    store.before_write = takes
    other.runtime.repair = None
    assert rows_of(other) == [(None, "building")]
    fs.push("pays", [pay("p3", NOON)], backdate=True)
    assert rows_of(other) == [(3, "present")]


def test_a_push_that_is_on_its_way_is_waited_for(fs, other, store):
    """Its rows are not acknowledged: its table answers without them."""
    on_its_way, go_on = threading.Event(), threading.Event()

    def wait(table):
        if is_states(table):
            on_its_way.set()
            assert go_on.wait(60)

    takes, store.before_write = store.before_write, wait
    other.runtime.lag.wait = 0.0
    push = threading.Thread(target=fs.push, args=("pays", [pay("p2", NOON)]))
    push.start()
    assert on_its_way.wait(60)
    for _ in range(3):
        assert rows_of(other) == [(1, "present")]
    assert other.runtime.lag._thread is not None  # it waits for the push
    store.before_write = takes
    go_on.set()
    push.join()
    other.runtime.lag._thread.join()
    assert rows_of(other) == [(2, "present")]


def test_a_writer_that_holds_the_lock_longer_than_is_waited_for_is_no_reason(fs, other, store):
    def busy(names):
        raise Conflict("another writer held the online store for 30 s")

    takes, store.before_write = store.before_write, die
    with pytest.raises(KilledProcess):
        fs.push("pays", [pay("p2", NOON)], backdate=True)
    store.before_write = takes
    mend, other.runtime.repair = other.runtime.repair, busy
    assert rows_of(other) == [(1, "present")]
    other.runtime.repair = mend
    at_once(other)
    assert rows_of(other) == [(2, "present")]
