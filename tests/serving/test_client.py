"""The clients give what the store gives in process, and do again only what is safe."""

import asyncio
import json
import math
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import skewless as sl
from skewless.errors import Conflict
from skewless.plan.results import OnlineResult
from skewless.request_errors import AccessDenied, Forbidden, RequestError
from skewless.serving.operate import keys
from tests.serving.calling import Running, serving
from tests.serving.test_features import CARDS

TRIP = [{"driver": 7, "code": b"\x01"}]


@pytest.fixture(scope="module")
def served(filled_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    import shutil

    folder = tmp_path_factory.mktemp("client")
    repo = Path(shutil.copytree(filled_shop, folder / "shop"))
    with serving(repo, folder) as running:
        yield running


@pytest.fixture
def same(served: Running) -> Iterator[sl.FeatureStore]:
    """The store of the server, in this process."""
    with sl.FeatureStore(served.log.parent / "shop") as store:
        yield store


@pytest.fixture
def client(served: Running) -> Iterator[sl.Client]:
    with sl.Client(served.url, timeout=30) as made:
        yield made


def test_a_result_says_the_id_of_its_request(client: sl.Client, same: sl.FeatureStore) -> None:
    first, second = (client.get_online_features("fraud", CARDS[:1]) for _ in range(2))
    assert first.request_id
    assert second.request_id not in ("", first.request_id)
    assert same.get_online_features("fraud", CARDS[:1]).request_id == ""


def assert_same(found: OnlineResult, expected: OnlineResult) -> None:
    assert found.to_dict() == expected.to_dict()
    assert found.to_statuses() == expected.to_statuses()
    assert found.to_event_times() == expected.to_event_times()
    assert found.outputs == expected.outputs
    assert found.to_arrow().equals(expected.to_arrow())


@pytest.mark.parametrize("features", ["fraud", "Newest", ["Newest:seen", "Spend:mean"], ["Newest"]])
def test_results_are_those_of_the_store(
    client: sl.Client, same: sl.FeatureStore, features: Any
) -> None:
    at = datetime.now(UTC)
    found = client.get_online_features(features, CARDS, at=at)
    assert_same(found, same.get_online_features(features, CARDS, at=at))


def test_keys_and_fields_of_every_type_are_sent(client: sl.Client, same: sl.FeatureStore) -> None:
    at = datetime.now(UTC)
    expected = same.get_online_features(["Trip:km"], TRIP, at=at, full_names=True)
    assert_same(client.get_online_features(["Trip:km"], TRIP, at=at, full_names=True), expected)
    asked = [{"card_id": "c4", "asked": math.inf}, {"card_id": "c4", "asked": math.nan}]
    wanted = same.get_online_features(["Payment:ratio"], asked, at=at)
    assert client.get_online_features(["Payment:ratio"], asked, at=at).values == wanted.values


def test_errors_are_those_of_the_store(client: sl.Client) -> None:
    with pytest.raises(sl.UnknownName, match="Did you mean 'total'"):
        client.get_online_features(["Spend:totl"], CARDS)
    with pytest.raises(RequestError, match="no key 'card'"):
        client.get_online_features("fraud", [{"card_id": "c1", "card": 1}])
    with pytest.raises(sl.MissingColumn):
        client.get_online_features("fraud", [{}])
    with pytest.raises(sl.NaiveTime):
        client.get_online_features("fraud", CARDS, at=datetime(2026, 1, 1))
    with pytest.raises(sl.InputError, match="cannot be sent"):
        client.get_online_features("fraud", [{"card_id": object()}])
    with pytest.raises(sl.InputError, match="address"):
        sl.Client("features:6566")


def test_rows_and_tables_are_pushed(client: sl.Client) -> None:
    now = datetime.now(UTC)
    rows = [{"driver": 9, "code": b"\x02", "km": math.inf, "at": now}]
    pushed = client.push("trips", rows)
    assert (pushed.accepted, pushed.quarantined, pushed.reasons) == (1, 0, ())
    table = pa.Table.from_pylist([{"driver": 10, "code": b"\x02", "km": 1.5, "at": now}])
    assert client.push("trips", table).accepted == 1
    keys_ = [{"driver": 9, "code": b"\x02"}, {"driver": 10, "code": b"\x02"}]
    assert client.get_online_features(["Trip:km"], keys_).to_dict()["km"] == [math.inf, 1.5]
    bad = client.push("trips", [{"driver": "x", "code": b"", "km": 1.0, "at": now}])
    assert (bad.accepted, bad.quarantined, bad.reasons[0][0]) == (0, 1, 0)


def test_a_materialization_is_waited_for_or_not(client: sl.Client) -> None:
    assert client.materialize(["Spend"])["status"] == "done"
    job = client.materialize("Newest", backfill=True, wait=None)
    assert client.job(job["job"])["views"] == ["Newest"]
    while client.job(job["job"])["status"] == "running":
        pass
    with pytest.raises(sl.UnknownName):
        client.materialize(["Nothing"])


@pytest.mark.parametrize("text", [
    "total", "mean amount -deprecated", "entity:card", "fresh", "-fresh", "zzzzqqq", "",
])  # fmt: skip
def test_search_answers_as_the_store_does(
    client: sl.Client, same: sl.FeatureStore, text: str
) -> None:
    assert client.search(text) == same.search(text)


def test_lists_and_explanations(client: sl.Client) -> None:
    assert [view["name"] for view in client.listed("views")] == [
        "Newest",
        "Spend",
        "Trip",
        "Payment",
    ]
    assert client.search("total")[0]["feature"] == "Spend@v1:total"
    assert client.explain("Newest:amount", {"card_id": "c1"})["value"] == 2.5
    assert client.is_ready()


def test_many_threads_share_a_client(client: sl.Client) -> None:
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(30):
                found = client.get_online_features(["Newest:amount"], CARDS[:1])
                assert found.values == [[2.5]]
        except (AssertionError, sl.SkewlessError) as problem:
            failures.append(problem)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_async_client_does_the_same(served: Running, same: sl.FeatureStore) -> None:
    async def work() -> None:
        async with sl.AsyncClient(served.url, timeout=30) as client:
            at = datetime.now(UTC)
            calls = [client.get_online_features("fraud", CARDS, at=at) for _ in range(20)]
            for found in await asyncio.gather(*calls):
                assert_same(found, same.get_online_features("fraud", CARDS, at=at))
            row = {"driver": 11, "code": b"\x02", "km": 2.5, "at": datetime.now(UTC)}
            assert (await client.push("trips", [row])).accepted == 1
            assert (await client.materialize(["Trip"]))["status"] == "done"
            assert (await client.search("total"))[0]["view"] == "Spend"
            assert len(await client.listed("services")) == 2
            assert (await client.explain("Newest:amount", {"card_id": "c1"}))["value"] == 2.5
            assert await client.is_ready()
            with pytest.raises(sl.UnknownName):
                await client.get_online_features("nothing", CARDS)

    asyncio.run(work())


def test_a_key_is_sent(repo: Path, tmp_path: Path) -> None:
    with sl.FeatureStore(repo) as store:
        key = keys.create(store.runtime.registry, scope="read")
    with serving(repo, tmp_path) as running:
        with sl.Client(running.url, key=key) as client:
            assert len(client.get_online_features("fraud", CARDS)) == len(CARDS)
            with pytest.raises(Forbidden):
                client.push("trips", [])
        with sl.Client(running.url) as stranger, pytest.raises(AccessDenied):
            stranger.get_online_features("fraud", CARDS)


# ------------------------------------------------------------------- servers that behave badly

OK = (
    b'{"at":"2026-01-01T00:00:00Z","values":{"a":[1]},"statuses":{"a":["present"]},'
    b'"event_times":{"a":[null]},"versions":{"a":"V@v1:a"},"types":{"a":"int64"}}'
)


def answer(status: str, body: bytes, extra: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n".encode()
    return head + extra + b"\r\n" + body


GOOD = answer("200 OK", OK)
BUSY = answer("503 Busy", b'{"error":"Overloaded","what":"busy"}', b"retry-after: 0\r\n")
DOWN = answer("503 Down", b'{"error":"StoreUnavailable","what":"no redis"}')
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"%x\r\n%s\r\n" % (40, OK[:40])
    + b"%x;ext=1\r\n%s\r\n0\r\ntrailer: x\r\n\r\n" % (len(OK) - 40, OK[40:])
)


@pytest.fixture
def acting() -> Iterator[Callable[[list[bytes]], tuple[str, list[bytes]]]]:
    """Starts a server that answers each request of a connection with the next of some texts.

    An empty text closes the connection instead.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []
    texts: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        with connection:
            while True:
                got = b""
                while not complete(got):
                    part = connection.recv(65_536)
                    if not part:
                        return
                    got += part
                seen.append(got)
                text = texts.pop(0) if texts else b""
                if not text:
                    return
                connection.sendall(text)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()

    def act(what: list[bytes]) -> tuple[str, list[bytes]]:
        texts.extend(what)
        return f"http://127.0.0.1:{listening.getsockname()[1]}", seen

    yield act
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def complete(got: bytes) -> bool:
    head, separator, body = got.partition(b"\r\n\r\n")
    if not separator:
        return False
    length = next(
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-l")
    )
    return len(body) >= length


def read_sync(url: str) -> Any:
    with sl.Client(url, timeout=10) as client:
        return client.get_online_features(["V:a"], [{"k": 1}]).values


def read_async(url: str) -> Any:
    async def work() -> Any:
        async with sl.AsyncClient(url, timeout=10) as client:
            return (await client.get_online_features(["V:a"], [{"k": 1}])).values

    return asyncio.run(work())


def push_sync(url: str) -> Any:
    with sl.Client(url, timeout=10) as client:
        return client.push("s", [{"k": 1}])


def push_async(url: str) -> Any:
    async def work() -> Any:
        async with sl.AsyncClient(url, timeout=10) as client:
            return await client.push("s", [{"k": 1}])

    return asyncio.run(work())


PUSHED = answer(
    "200 OK",
    b'{"source":"s","accepted":1,"corrections":0,"duplicates":0,"late":0,"quarantined":0,'
    b'"reasons":[],"sequence":1}',
)


@pytest.mark.parametrize("read", [read_sync, read_async])
@pytest.mark.parametrize(
    "texts",
    [[GOOD], [CHUNKED], [BUSY, GOOD], [DOWN, DOWN, GOOD], [b"", GOOD], [b"nonsense\r\n\r\n", GOOD],
     [answer("502 Bad", b"<html>"), GOOD]],
    ids=["good", "chunked", "busy", "down twice", "closed", "nonsense", "proxy"],
)  # fmt: skip
def test_reads_are_sent_again(acting: Any, read: Any, texts: list[bytes]) -> None:
    url, seen = acting(list(texts))
    assert read(url) == [[1]]
    assert len(seen) == len(texts)


@pytest.mark.parametrize("read", [read_sync, read_async])
def test_reads_are_not_sent_again_for_ever(acting: Any, read: Any) -> None:
    url, seen = acting([DOWN] * 20)
    with pytest.raises(sl.StoreUnavailable, match="no redis"):
        read(url)
    assert len(seen) == 4


@pytest.mark.parametrize("push", [push_sync, push_async])
def test_a_push_is_sent_again_only_when_nothing_was_done(acting: Any, push: Any) -> None:
    url, seen = acting([BUSY, PUSHED])
    assert push(url).accepted == 1
    assert len(seen) == 2


@pytest.mark.parametrize("push", [push_sync, push_async])
@pytest.mark.parametrize("text", [DOWN, b"", answer("502 Bad", b"<html>")])
def test_a_push_is_not_sent_again_when_it_may_be_in(acting: Any, push: Any, text: bytes) -> None:
    url, seen = acting([text, PUSHED])
    with pytest.raises(sl.StoreUnavailable):
        push(url)
    assert len(seen) == 1


def test_connections_are_used_again(acting: Any) -> None:
    url, seen = acting([GOOD, GOOD, GOOD])
    with sl.Client(url) as client:
        for _ in range(3):
            client.get_online_features(["V:a"], [{"k": 1}])
        assert client._transport.kept() == 1
    assert len(seen) == 3


def test_head_and_body_are_sent_in_one_piece(
    client: sl.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.is_ready()  # the connection is there
    sent: list[bytes] = []
    send = socket.socket.sendall

    def noted(own: socket.socket, data: bytes, *flags: int) -> None:
        sent.append(bytes(data))
        send(own, data, *flags)

    monkeypatch.setattr(socket.socket, "sendall", noted)
    client.get_online_features("fraud", CARDS)
    assert len(sent) == 1
    head, _, body = sent[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/features HTTP/1.1\r\n")
    assert json.loads(body)["entities"]


@pytest.mark.parametrize("read", [read_sync, read_async])
def test_nobody_there_is_an_error_in_time(read: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(sl.StoreUnavailable, match="does not answer"):
        read(f"http://127.0.0.1:{port}")


def test_a_server_that_never_answers_is_given_up(acting: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with sl.Client(url, timeout=0.3) as client, pytest.raises(sl.StoreUnavailable):
            client.get_online_features(["V:a"], [{"k": 1}])

        async def work() -> None:
            async with sl.AsyncClient(url, timeout=0.3) as client:
                with pytest.raises(sl.StoreUnavailable):
                    await client.get_online_features(["V:a"], [{"k": 1}])

        asyncio.run(work())


def test_a_client_needs_none_of_what_a_server_needs() -> None:
    code = (
        "import sys, skewless; skewless.Client; skewless.AsyncClient;"
        "print([m for m in ('orjson', 'uvicorn', 'pyarrow', 'lmdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_conflicts_have_their_class(acting: Any) -> None:
    url, _ = acting([answer("409 Conflict", b'{"error":"Conflict","what":"another"}')])
    with sl.Client(url) as client, pytest.raises(Conflict, match="another"):
        client.materialize()


# ---------------------------------------------------------------------- headers, forks, set-up


@pytest.mark.parametrize(
    ("key", "got"),
    [
        ("sk_1_abc\n", "a line break at its ends"),
        ("sk_1_abc\r\nx-evil: 1", "spaces or signs"),
        ("sk_schl\u00fcssel", "not ASCII"),
        ("sk_\u20ac", "not ASCII"),
        ("sk 1", "spaces"),
    ],
)
def test_a_key_that_cannot_stand_in_a_header_is_refused_and_not_shown(key: str, got: str) -> None:
    for kind in (sl.Client, sl.AsyncClient):
        with pytest.raises(sl.InputError, match=got) as told:
            kind("http://127.0.0.1:1", key=key)
        assert "sk_" not in str(told.value)


@pytest.mark.parametrize("read", [read_sync, read_async])
def test_an_answer_to_another_request_is_not_taken(acting: Any, read: Any) -> None:
    wrong = answer("200 OK", OK, b"x-request-id: somebody-else\r\n")
    url, seen = acting([wrong, GOOD])
    assert read(url) == [[1]]
    assert len(seen) == 2


def test_children_of_a_fork_have_connections_of_their_own(served: Running) -> None:
    """As gunicorn --preload and multiprocessing do it: one client, made before the fork."""
    import os

    client = sl.Client(served.url, timeout=30)
    asynchronous = sl.AsyncClient(served.url, timeout=30)
    values = {
        card: client.get_online_features(["Newest:amount"], [{"card_id": card}]).values
        for card in ("c1", "c2", "c3")
    }
    assert len({str(value) for value in values.values()}) > 1

    async def ask(card: str) -> Any:
        return (
            await asynchronous.get_online_features(["Newest:amount"], [{"card_id": card}])
        ).values

    assert asyncio.run(ask("c1")) == values["c1"]

    def child(card: str) -> int:
        for _ in range(40):
            found = client.get_online_features(["Newest:amount"], [{"card_id": card}])
            if found.values != values[card]:
                return 1
        return 0 if asyncio.run(ask(card)) == values[card] else 2

    pids = []
    for card in values:
        pid = os.fork()
        if pid == 0:
            code = 3
            try:
                code = child(card)
            finally:
                os._exit(code)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    assert client.get_online_features(["Newest:amount"], [{"card_id": "c1"}]).values == values["c1"]
    client.close()
    asyncio.run(asynchronous.close())


def test_connections_that_were_idle_for_long_are_not_trusted(
    acting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skewless.client import transport

    url, seen = acting([GOOD, GOOD])
    with sl.Client(url) as client:
        client.get_online_features(["V:a"], [{"k": 1}])
        assert client._transport.kept() == 1
        (kept,) = [each for each in client._transport._pools.values()]
        monkeypatch.setattr(transport, "IDLE", -1.0)
        client.get_online_features(["V:a"], [{"k": 1}])
        assert kept not in client._transport._pools.values()
    assert len(seen) == 2


def test_a_client_without_urllib3_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(sl.MissingDependency, match=r"skewless\[client\]"):
        sl.Client("http://127.0.0.1:1")


def test_clients_import_nothing_of_the_server() -> None:
    code = (
        "import sys, skewless; skewless.Client; skewless.AsyncClient;"
        "print([m for m in sys.modules if m.startswith(('skewless.serving', 'urllib3'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
