"""Stores that lose what they acknowledged, and writers that overlap: values stay those of history."""

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from skewless.errors import RowsKept, StoreUnavailable
from skewless.materialize.verbs import rebuild
from skewless.online.loss_detection import HELD, SPREAD
from skewless.online.storage import is_states
from skewless.testing.clock import SettableClock
from skewless.testing.servers import Server, redis_command, running
from tests.shop import HOUR, NOON, cards, open_store, pay, payments, spend_of

PAYS = payments(row_id="pay_id")
SPEND = spend_of(PAYS)
CARDS = [f"c{number}" for number in range(30)]
FORK = multiprocessing.get_context("fork")
PUSHES, BATCH = 12, 20
PATIENCE_SECONDS = 120.0


def rows_of_push(number: int, count: int = 60) -> list[dict[str, object]]:
    return [
        pay(
            f"p{number}-{n}",
            NOON - HOUR + (number * count + n) * 1_000_000,
            n / 7,
            card=CARDS[n % 30],
        )
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running("postgres") as server:
        yield server


def on_redis(server: Server, folder: Path) -> dict[str, object]:
    return {"kind": "redis", "url": server.url, "namespace": folder.name, "timeout": 30.0}


def values(fs):
    return fs.get_online_features("Spend", cards(*CARDS)).to_rows()


def assert_states_are_what_history_says(fs) -> None:
    pushed = values(fs)
    rebuild(fs.runtime, None)
    assert values(fs) == pushed


def states_of(fs) -> tuple[str, dict[bytes, bytes]]:
    store = fs.runtime.home.states
    (table,) = (name for name in store.tables() if is_states(name))
    return table, dict(store.scan(table))


# ---------------------------------------------------------------------------------- overlapping


def push_some(folder: Path, online: object, worker: int) -> None:
    fs = open_store(folder, online=online, clock=SettableClock(NOON))
    for number in range(PUSHES):
        # Every row comes from both workers: whoever is first brings it.
        fs.push("pays", rows_of_push(number, BATCH), backdate=True)
        own = [pay(f"w{worker}-{number}", NOON - number, 1.0, card=CARDS[number])]
        fs.push("pays", own, backdate=True)
    fs.close()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("redis", marks=pytest.mark.server("redis")),
        pytest.param("postgres", marks=pytest.mark.server("postgres")),
    ],
)
def test_two_workers_that_overlap_lose_nothing_and_count_nothing_twice(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(kind)
    online = on_redis(server, tmp_path)
    if kind == "postgres":
        online = {"kind": "postgres", "dsn": server.url, "name": "overlapping", "timeout": 60.0}
    open_store(tmp_path, SPEND, online=online).close()
    workers = [FORK.Process(target=push_some, args=(tmp_path, online, n)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    fs = open_store(tmp_path, online=online)
    assert fs.runtime.log(fs.runtime.source("pays")).last_sequence() == PUSHES * (BATCH + 2)
    assert_states_are_what_history_says(fs)
    fs.close()


@pytest.mark.server("redis")
def test_a_write_that_comes_late_moves_nothing_backwards(tmp_path, redis, monkeypatch) -> None:
    """A worker's write times out on the way; another one goes on; then the first one arrives."""
    fs = open_store(tmp_path, SPEND, online=on_redis(redis, tmp_path))
    fs.push("pays", rows_of_push(0), backdate=True)
    store = type(fs.runtime.online)
    send, on_its_way = store.compare_and_set, []

    def time_out(self, table, changes):
        on_its_way.append((table, list(changes)))
        raise StoreUnavailable("no answer in time")

    monkeypatch.setattr(store, "compare_and_set", time_out)
    with pytest.raises(RowsKept):
        fs.push("pays", rows_of_push(1), backdate=True)
    monkeypatch.undo()
    fs.push("pays", rows_of_push(2), backdate=True)
    after = values(fs)
    (late,) = on_its_way
    assert set(send(fs.runtime.online, *late)) == {False}
    assert values(fs) == after
    assert_states_are_what_history_says(fs)
    fs.close()


@pytest.mark.server("redis")
def test_a_state_that_changed_under_a_writer_is_built_from_history(
    tmp_path, redis, monkeypatch
) -> None:
    fs = open_store(tmp_path, SPEND, online=on_redis(redis, tmp_path))
    fs.push("pays", rows_of_push(0), backdate=True)
    table, before = states_of(fs)
    fs.push("pays", rows_of_push(1), backdate=True)
    store = type(fs.runtime.online)
    read, late = store.read, []

    def read_and_be_overtaken(self, name, keys):
        found = read(self, name, keys)
        if name == table and not late:
            # After the read and before the write, an old write arrives.
            late.append(name)
            self.write(name, list(before.items())[:7])
        return found

    monkeypatch.setattr(store, "read", read_and_be_overtaken)
    fs.push("pays", rows_of_push(2), backdate=True)
    monkeypatch.undo()
    assert late
    assert_states_are_what_history_says(fs)
    fs.close()


# ------------------------------------------------------------------------------------- forgetting


def forget(server: Server) -> None:
    """Restart the server, which keeps nothing on disk."""
    server.restart()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while redis_command(urlsplit(server.url).port or 0, "PING")[:4] not in {b"+PON", b"-NOA"}:
        assert time.monotonic() < deadline


@pytest.mark.server("redis")
def test_a_store_that_came_back_empty_is_an_outage_until_the_next_push_builds_it_anew(
    tmp_path, caplog
) -> None:
    with running("redis") as server:
        fs = open_store(tmp_path, SPEND, online=on_redis(server, tmp_path))
        fs.push("pays", rows_of_push(0), backdate=True)
        values(fs)
        forget(server)
        with pytest.raises(StoreUnavailable, match="has lost its rows.*skewless materialize"):
            values(fs)
        fs.push("pays", rows_of_push(1)[:1], backdate=True)
        assert "rebuilding them" in caplog.text
        assert_states_are_what_history_says(fs)
        assert fs.get_online_features("Spend", cards("nobody")).to_rows()
        fs.close()


@pytest.mark.server("redis")
def test_rebuild_and_materialize_bring_back_what_was_lost(tmp_path) -> None:
    with running("redis") as server:
        fs = open_store(tmp_path, SPEND, online=on_redis(server, tmp_path))
        fs.push("pays", rows_of_push(0), backdate=True)
        before = values(fs)
        for bring_back in (lambda: rebuild(fs.runtime, None), fs.materialize):
            forget(server)
            with pytest.raises(StoreUnavailable, match="has lost its rows"):
                values(fs)
            bring_back()
            assert values(fs) == before
        fs.close()


@pytest.mark.server("redis")
def test_a_store_that_took_its_last_writes_back_gets_them_again(tmp_path, redis) -> None:
    fs = open_store(tmp_path, SPEND, online=on_redis(redis, tmp_path))
    store = fs.runtime.home.states
    fs.push("pays", rows_of_push(0), backdate=True)
    table, before = states_of(fs)
    notes = dict(store.scan(HELD))
    fs.push("pays", rows_of_push(1), backdate=True)
    store.write(table, before.items())
    store.write(HELD, notes.items())
    fs.push("pays", rows_of_push(2)[:1], backdate=True)
    assert_states_are_what_history_says(fs)
    fs.close()


def test_an_entity_that_was_never_seen_is_no_loss(tmp_path) -> None:
    fs = open_store(tmp_path, SPEND)
    assert not fs.runtime.may_forget
    assert fs.get_online_features("Spend", cards("nobody")).to_rows()
    fs.close()


@pytest.mark.slow
@pytest.mark.server("redis-cluster")
def test_a_node_of_a_cluster_that_came_back_empty_is_noticed(tmp_path) -> None:
    with running("redis-cluster") as server:
        fs = open_store(tmp_path, SPEND, online=on_redis(server, tmp_path))
        fs.push("pays", rows_of_push(0), backdate=True)
        before = values(fs)
        assert len(list(fs.runtime.online.scan(HELD))) == SPREAD + 1  # and the mark of the writer
        server.restart(1)
        deadline = time.monotonic() + PATIENCE_SECONDS
        problem = ""
        while "has lost its rows" not in problem and time.monotonic() < deadline:
            with pytest.raises(StoreUnavailable) as caught:
                values(fs)
            problem = str(caught.value)
        assert "has lost its rows" in problem
        rebuild(fs.runtime, None)
        assert values(fs) == before
        fs.close()


@pytest.mark.slow
@pytest.mark.server("redis-cluster-replica")
def test_pushes_go_on_after_a_failover_of_a_cluster_and_nothing_is_wrong(tmp_path) -> None:
    with running("redis-cluster-replica") as server:
        online = on_redis(server, tmp_path) | {"timeout": 2.0}
        fs = open_store(tmp_path, SPEND, online=online)
        fs.push("pays", rows_of_push(0), backdate=True)
        server.processes[2].kill()
        server.processes[2].wait()
        number, failed = 1, 0
        deadline = time.monotonic() + PATIENCE_SECONDS
        while number < 4 and time.monotonic() < deadline:
            try:
                fs.push("pays", rows_of_push(number), backdate=True)
                number += 1
            except StoreUnavailable:
                failed += 1  # its rows are in the log all the same
        assert number == 4
        assert fs.runtime.log(fs.runtime.source("pays")).last_sequence() == 4 * 60
        assert_states_are_what_history_says(fs)
        fs.close()
