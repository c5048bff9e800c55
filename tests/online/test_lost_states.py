"""States that are gone from a store whose log is elsewhere: never a number that lacks rows."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.cli.store_checks import every_state
from skewless.errors import StoreUnavailable
from skewless.materialize.recovery import heal, without_state
from skewless.materialize.verbs import rebuild
from skewless.online import reader
from skewless.online.loss_detection import HELD
from skewless.online.move.copy import copy_online
from skewless.online.ownership import MARK
from skewless.online.storage import is_states
from skewless.state.keys import KeyCodec
from skewless.testing.clock import SettableClock
from skewless.testing.memory import MemoryCache
from skewless.testing.servers import Server, running
from tests.online.moving import sqlite
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
    write_part,
)

PLAIN = payments()
PAYS = payments(row_id="pay_id")
SPEND = spend_of(PAYS)
CARDS = [f"c{number}" for number in range(6)]


def some(first: int, count: int = 12) -> list[dict[str, object]]:
    return [
        pay(f"p{number}", NOON - HOUR + number, number / 7, card=CARDS[number % 6])
        for number in range(first, first + count)
    ]


def states_in(cache: MemoryCache) -> str:
    (table,) = (name for name in cache.tables() if is_states(name))
    return table


def statuses(fs, *names: str) -> list[str]:
    found = fs.get_online_features(["Spend:count_1d"], cards(*names))
    return found.to_statuses()["count_1d"]


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache()


@pytest.mark.parametrize("source", [PLAIN, PAYS], ids=["no row id", "row id"])
def test_a_state_that_vanished_is_building_and_the_next_push_builds_it(
    tmp_path, cache, source
) -> None:
    view = spend_of(source)
    fs = open_store(tmp_path, view, using=cache)
    fs.push("pays", some(0), backdate=True)
    cache.delete(states_in(cache), [b"c2", b"c3"])
    assert statuses(fs, "c1", "c2", "c3", "nobody") == [
        "present",
        "building",
        "building",
        "unknown",
    ]
    fs.push("pays", some(100, 1), backdate=True)  # of c4: those that were asked for come too
    check_parity(fs, view, cards(*CARDS, "nobody"))


@pytest.mark.parametrize("single", [True, False], ids=["one card", "several"])
def test_a_state_that_comes_back_while_it_is_missed_is_read(
    tmp_path, cache, monkeypatch, single
) -> None:
    """Another process rebuilds it after the read has missed it: it was never unknown."""
    fs = open_store(tmp_path, SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    asked = ["c2"] if single else ["nobody", "c2", "c1"]
    before = answers(fs, SPEND, cards(*asked), NOON)
    table = states_in(cache)
    (state,) = cache.read(table, [b"c2"])
    cache.delete(table, [b"c2"])
    check = fs.runtime.check_states

    def comes_back(tables) -> None:
        check(tables)
        cache.write(table, [(b"c2", state)])

    monkeypatch.setattr(fs.runtime, "check_states", comes_back)
    assert answers(fs, SPEND, cards(*asked), NOON) == before


@pytest.mark.parametrize("count", [1, 9])
def test_a_push_to_a_state_that_vanished_unread_does_not_begin_it_anew(
    tmp_path, cache, count
) -> None:
    fs = open_store(tmp_path, SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    cache.delete(states_in(cache), [b"c0"])
    fs.push("pays", [row | {"card_id": "c0"} for row in some(100, count)], backdate=True)
    check_parity(fs, SPEND, cards(*CARDS))


@pytest.fixture(params=["lmdb", "sqlite"])
def embedded(tmp_path, request):
    """What opens a repo whose states and journal are in one store."""

    def opened(*definitions):
        online = {"kind": request.param, "path": str(tmp_path / "states")}
        return open_store(tmp_path, *definitions, online=online)

    return opened


def delete_states(fs, *names):
    """Delete states by hand, as no verb of ours does."""
    (table,) = (name for name in fs.runtime.online.tables() if is_states(name))
    keys = [KeyCodec(SPEND.entity).encode({"card_id": name}) for name in names]
    fs.runtime.home.states.delete(table, keys)
    return table


@pytest.mark.parametrize("source", [PLAIN, PAYS], ids=["no row id", "row id"])
@pytest.mark.parametrize("by", ["another push", "its own push", "many", "heal", "materialize"])
def test_a_state_deleted_from_an_embedded_store_is_building_and_comes_back(
    embedded, source, by
) -> None:
    view = spend_of(source)
    fs = embedded(view)
    fs.push("pays", some(0), backdate=True)
    table = delete_states(fs, "c2", "c3")
    found = statuses(fs, "c1", "c2", "c3", "nobody")
    assert found == ["present", "building", "building", "unknown"]
    if by == "heal":
        assert heal(fs.runtime) == [table]
        assert heal(fs.runtime) == []
    elif by == "materialize":
        fs.materialize()
    else:
        card = {"another push": "c4", "its own push": "c2", "many": "c3"}[by]
        rows = some(100, 40 if by == "many" else 1)
        fs.push("pays", [row | {"card_id": card} for row in rows], backdate=True)
    check_parity(fs, view, cards(*CARDS, "nobody"))


@pytest.mark.parametrize("count", [1, 40])
def test_a_push_to_a_state_deleted_unread_does_not_begin_it_anew(embedded, count) -> None:
    fs = embedded(SPEND)
    fs.push("pays", some(0), backdate=True)
    delete_states(fs, "c0")
    fs.push("pays", [row | {"card_id": "c0"} for row in some(100, count)], backdate=True)
    check_parity(fs, SPEND, cards(*CARDS))


def test_an_entity_whose_rows_were_all_deleted_is_not_building_in_an_embedded_store(
    embedded,
) -> None:
    fs = embedded(SPEND)
    fs.push("pays", some(0), backdate=True)
    before = statuses(fs, "c0")
    fs.delete("pays", [row["pay_id"] for row in some(0) if row["card_id"] == "c0"])
    rebuild(fs.runtime, None)
    assert before == ["present"]
    assert statuses(fs, "c0") != ["building"]
    check_parity(fs, SPEND, cards(*CARDS))


@pytest.mark.parametrize("first", ["embedded", "cache"])
def test_a_state_that_was_copied_into_an_embedded_store_is_missed_there(
    tmp_path, cache, first
) -> None:
    clock, target = SettableClock(NOON), {"next": sqlite(tmp_path)}
    using = cache if first == "cache" else None
    fs = open_store(tmp_path, SPEND, clock=clock, using=using, stores=target)
    fs.push("pays", some(0), backdate=True)
    copy_online(fs.runtime, "next")
    fs.close()
    there = open_store(tmp_path, clock=clock, online={"store": "next"}, stores=target)
    delete_states(there, "c2")
    assert statuses(there, "c1", "c2", "nobody") == ["present", "building", "unknown"]
    assert heal(there.runtime)
    check_parity(there, SPEND, cards(*CARDS, "nobody"))


@pytest.mark.parametrize("asked", [True, False], ids=["missed before", "unread"])
def test_a_state_that_an_embedded_store_has_lost_is_not_unknown_where_it_is_copied(
    tmp_path, asked
) -> None:
    clock, target = SettableClock(NOON), {"next": sqlite(tmp_path)}
    fs = open_store(tmp_path, SPEND, clock=clock, stores=target)
    fs.push("pays", some(0), backdate=True)
    delete_states(fs, "c2")
    assert not asked or statuses(fs, "c2") == ["building"]
    copy_online(fs.runtime, "next")
    fs.close()
    there = open_store(tmp_path, clock=clock, online={"store": "next"}, stores=target)
    assert statuses(there, "c2") == ["building"]
    there.push("pays", [row | {"card_id": "c2"} for row in some(100, 1)], backdate=True)
    assert statuses(there, "c2") == ["building"]
    there.materialize()
    check_parity(there, SPEND, cards(*CARDS, "nobody"))


@pytest.mark.parametrize("by", ["materialize", "rebuild", "heal", "a correction"])
def test_a_vanished_state_comes_back(tmp_path, cache, by) -> None:
    fs = open_store(tmp_path, SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    cache.delete(states_in(cache), [b"c5"])
    assert statuses(fs, "c5") == ["building"]
    if by == "materialize":
        fs.materialize()
    elif by == "rebuild":
        rebuild(fs.runtime, None)
    elif by == "heal":
        assert heal(fs.runtime) == [states_in(cache)]
        assert heal(fs.runtime) == []
    else:
        fs.push("pays", some(5, 1), backdate=True)
    check_parity(fs, SPEND, cards(*CARDS))


def test_a_state_that_vanishes_again_comes_back_again(tmp_path, cache) -> None:
    fs = open_store(tmp_path, SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    for _ in range(3):
        cache.delete(states_in(cache), [b"c5"])
        assert statuses(fs, "c5") == ["building"]
        assert heal(fs.runtime)
        check_parity(fs, SPEND, cards(*CARDS))


def test_a_state_of_a_table_vanishes_and_comes_back(tmp_path, cache) -> None:
    """Its entity was only ever in the source's table, never in a push."""
    import skewless as sl

    write_part(tmp_path / "pays" / "1.parquet", some(0))
    source = payments(table=sl.Parquet(str(tmp_path / "pays")), delay="0s")
    view = spend_of(source)
    fs = open_store(tmp_path / "repo", view, using=cache)
    fs.materialize()
    cache.delete(states_in(cache), [b"c1"])
    assert statuses(fs, "c0", "c1", "nobody") == ["present", "building", "unknown"]
    fs.materialize()
    check_parity(fs, view, cards(*CARDS))
    cache.lose()
    with pytest.raises(StoreUnavailable, match="has lost its rows.*skewless materialize"):
        statuses(fs, "c0")
    fs.materialize()
    check_parity(fs, view, cards(*CARDS))


@pytest.mark.parametrize("by", ["materialize", "repair"])
def test_an_older_copy_is_noticed_although_it_holds_as_many_rows_of_the_log(
    tmp_path, cache, by
) -> None:
    """What came in between was no push: rows of a table, or states that were repaired."""
    import skewless as sl

    write_part(tmp_path / "pays" / "1.parquet", some(0))
    source = payments(table=sl.Parquet(str(tmp_path / "pays")), delay="0s")
    view = spend_of(source)
    fs = open_store(tmp_path / "repo", view, using=cache)
    fs.materialize()
    if by == "repair":
        cache.delete(states_in(cache), [b"c1"])
        older = cache.contents()
        assert statuses(fs, "c1") == ["building"]
        assert heal(fs.runtime)
    else:
        older = cache.contents()
        write_part(tmp_path / "pays" / "2.parquet", some(50))
        fs.materialize()
    check_parity(fs, view, cards(*CARDS))
    cache.lose(older)
    again = open_store(tmp_path / "repo", using=cache)
    with pytest.raises(StoreUnavailable, match="has lost its rows"):
        statuses(again, "c0")
    assert heal(again.runtime)
    check_parity(again, view, cards(*CARDS))


def test_a_process_that_reads_on_notices_an_older_copy_within_a_second(
    tmp_path, cache, monkeypatch
) -> None:
    fs = open_store(tmp_path, SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    older = cache.contents()
    fs.push("pays", some(20), backdate=True)
    assert statuses(fs, "c0") == ["present"]
    cache.lose(older)
    monkeypatch.setattr(reader, "CHECK_SECONDS", -1.0)  # the second is over
    with pytest.raises(StoreUnavailable, match="has lost its rows"):
        statuses(fs, "c0")


def test_an_entity_whose_states_were_removed_was_never_seen(tmp_path, cache) -> None:
    import skewless as sl

    part = write_part(tmp_path / "pays" / "1.parquet", some(0))
    source = payments(table=sl.Parquet(str(tmp_path / "pays")), delay="0s")
    view = spend_of(source)
    fs = open_store(tmp_path / "repo", view, using=cache)
    fs.materialize()
    part.unlink()
    write_part(tmp_path / "pays" / "2.parquet", some(0)[:3])
    rebuild(fs.runtime, None)
    assert statuses(fs, "c0", "c5") == ["present", "unknown"]


@pytest.mark.parametrize("loss", ["flushed", "another, empty store", "an older copy"])
def test_a_store_that_is_not_what_it_was_says_so_to_whoever_opens_it(tmp_path, cache, loss) -> None:
    fs = open_store(tmp_path, SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    before = cache.contents()
    fs.push("pays", some(20), backdate=True)
    if loss == "another, empty store":
        cache = MemoryCache()
    else:
        cache.lose(before if loss == "an older copy" else None)
    again = open_store(tmp_path, using=cache)
    with pytest.raises(StoreUnavailable, match="has lost its rows"):
        statuses(again, "c0")
    again.push("pays", some(40), backdate=True)
    check_parity(again, SPEND, cards(*CARDS))


def test_a_mark_that_is_gone_alone_comes_back(tmp_path, cache) -> None:
    fs = open_store(tmp_path, SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    cache.delete(MARK[0], [MARK[1]])
    again = open_store(tmp_path, using=cache)
    with pytest.raises(StoreUnavailable, match="no mark of its writer"):
        statuses(again, "c0")
    assert heal(again.runtime) == []  # its states are there
    check_parity(again, SPEND, cards(*CARDS))


def test_a_machine_that_never_wrote_does_not_heal_and_so_take_a_store_over(tmp_path, cache) -> None:
    fs = open_store(tmp_path / "writes", SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    reads = open_store(tmp_path / "reads", SPEND, using=cache)
    cache.lose()
    assert heal(reads.runtime) == []
    assert cache.read_one(*MARK) is None
    assert heal(fs.runtime)
    check_parity(fs, SPEND, cards(*CARDS))


def test_a_push_that_was_killed_while_lost_states_were_built_is_made_up_for(
    tmp_path, cache
) -> None:
    fs = open_store(tmp_path, SPEND, using=cache)
    fs.push("pays", some(0), backdate=True)
    cache.lose()
    writes = 0

    def killed(table: str) -> None:
        nonlocal writes
        writes += table != HELD
        if writes:
            raise KeyboardInterrupt

    cache.before_write = killed
    with pytest.raises(KeyboardInterrupt):
        fs.push("pays", some(20), backdate=True)
    cache.before_write = lambda _: None
    again = open_store(tmp_path, using=cache)
    with pytest.raises(StoreUnavailable, match="has lost its rows"):
        statuses(again, "c0")
    assert heal(again.runtime)
    check_parity(again, SPEND, cards(*CARDS))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 15)),
        st.tuples(st.just("evict"), st.sets(st.sampled_from(CARDS), min_size=1)),
        st.tuples(st.just("flush"), st.none()),
        st.tuples(st.just("remember"), st.none()),
        st.tuples(st.just("go back"), st.none()),
        st.tuples(st.just("reopen"), st.none()),
        st.tuples(st.just("heal"), st.none()),
        st.tuples(st.just("materialize"), st.none()),
    ),
    min_size=3,
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(steps=STEPS)
def test_whatever_is_lost_no_value_lacks_a_row(steps, tmp_path_factory) -> None:
    """Every read is what history says, `building`, or refused."""
    folder, cache = tmp_path_factory.mktemp("repo"), MemoryCache()
    fs = open_store(folder, SPEND, using=cache)
    remembered, pushed = cache.contents(), 0
    for step, how in steps:
        if step == "push":
            fs.push("pays", some(pushed, how), backdate=True)
            pushed += how
        elif step == "evict" and any(map(is_states, cache.tables())):
            cache.delete(states_in(cache), [name.encode() for name in how])
        elif step == "flush":
            cache.lose()
        elif step == "remember":
            remembered = cache.contents()
        elif step == "go back":
            cache.lose(remembered)
        elif step == "heal":
            heal(fs.runtime)
        elif step == "materialize":
            fs.materialize()
        if step in {"reopen", "flush", "go back"}:
            # A store that changes under a process is noticed within a second; here at once.
            fs = open_store(folder, using=cache)
        try:
            found = answers(fs, SPEND, cards(*CARDS), NOON)
        except StoreUnavailable:
            assert step not in {"heal", "materialize"}
            continue
        expected = expected_answers(fs, SPEND, cards(*CARDS), NOON)
        for got, right in zip(found, expected, strict=True):
            assert got == right or {status for _, status in got.values()} == {"building"}
    heal(fs.runtime)
    fs.push("pays", some(pushed, 12), backdate=True)
    check_parity(fs, SPEND, cards(*CARDS))


# ------------------------------------------------------------------------------- a real server


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


@pytest.mark.server("redis")
def test_a_key_deleted_by_hand_and_a_flushed_redis_that_is_durable(tmp_path, redis) -> None:
    from redis import Redis

    with Redis.from_url(redis.url) as by_hand:
        by_hand.config_set("appendonly", "yes")
        by_hand.config_set("appendfsync", "always")
        fs = open_store(tmp_path, SPEND, online={"kind": "redis", "url": redis.url})
        assert fs.runtime.home.states.capabilities.durable
        fs.push("pays", some(0), backdate=True)
        (key,) = by_hand.keys("*:c1")
        by_hand.delete(key)
        assert statuses(fs, "c0", "c1") == ["present", "building"]
        fs.push("pays", some(101, 1), backdate=True)
        check_parity(fs, SPEND, cards(*CARDS))
        by_hand.flushall()
        with pytest.raises(StoreUnavailable, match="has lost its rows"):
            statuses(fs, "c0")
        fs.push("pays", some(102, 1), backdate=True)
        check_parity(fs, SPEND, cards(*CARDS))
        fs.close()


@pytest.mark.parametrize("kind", ["lmdb", "sqlite", "cache"])
def test_a_state_that_somebody_deleted_is_named_by_whoever_reads_everything(
    tmp_path, cache, kind
) -> None:
    using = {"using": cache} if kind == "cache" else {"online": {"kind": kind}}
    fs = open_store(tmp_path, SPEND, **using)
    fs.push("pays", some(0), backdate=True)
    fs.push("pays", [pay("gone", NOON - HOUR, card="c9")], backdate=True)
    fs.delete("pays", ["gone"])
    ((name, table),) = fs.runtime.tables().tables.items()
    assert without_state(fs.runtime, table) == set()
    fs.runtime.home.states.delete(name, [b"c2", b"c3"])
    assert without_state(fs.runtime, table) == {b"c2", b"c3"}
    (found,) = every_state(fs)
    assert (found.status, found.check) == ("fail", "online states")
    assert "2 states of entities are gone, as of {'card_id': 'c2'}" in found.text
    assert fs.verify().ok  # a read says building
    rebuild(fs.runtime, None)
    assert [found.status for found in every_state(fs)] == ["ok"]
    check_parity(fs, SPEND, cards(*CARDS, "c9", "nobody"))
