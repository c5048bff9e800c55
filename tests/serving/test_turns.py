"""Large reads take turns, a slice at a time, and hold up nothing that is small."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import skewless as sl
from skewless.errors import StoreUnavailable
from skewless.request_errors import Overloaded
from skewless.serving.app import App
from skewless.serving.handover import handed
from skewless.serving.http import http
from skewless.serving.operate.keys import ANYBODY
from skewless.serving.read.turns import Turn, Turns
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import call
from tests.serving.conftest import NOW
from tests.serving.test_event_loop import send
from tests.serving.test_observability import samples

CARDS = {"card_id": ["c1", "c2", "c3", None, "c4", "c9"]}
READ = {"service": "fraud", "entities": [{"card_id": "c1"}]}
MANY = {"service": "fraud", "entities": {"card_id": [f"c{number % 7}" for number in range(5_000)]}}


@pytest.fixture
def app(store: sl.FeatureStore) -> App:
    """The application, on a machine that may be busy."""
    made = App(store, Settings(timeout=60.0))
    made.start()
    return made


@pytest.fixture
def sliced(app: App, monkeypatch: pytest.MonkeyPatch) -> App:
    """The application, to which every read is a large one, in slices of one entity."""
    monkeypatch.setattr(app.reader, "is_small", lambda *_: False)
    monkeypatch.setattr(app.reader, "_slice", 0.0)
    return app


# ------------------------------------------------------------------------- the same answers


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/features", {"service": "newest", "entities": CARDS | {"asked": [1.0] * 6}}),
        ("/v1/features", {"features": ["Newest:values"], "entities": CARDS, "statuses": False}),
        ("/v1/features", {"service": "fraud", "entities": CARDS, "int64_as_text": True,
                          "include": ["event_times", "ages", "versions", "types", "statuses"]}),
        ("/v1/features", {"features": ["Trip:km"], "entities": [
            {"driver": 7, "code": "AQ=="}, {"driver": 8, "code": "AQ=="}]}),
        ("/v1/features", {"service": "fraud", "entities": [{"card": "c1"}]}),
        ("/get-online-features", {"feature_service": "fraud", "entities": CARDS}),
        ("/get-online-features", {"features": ["Newest:amount", "Newest:country"],
                                  "entities": CARDS, "full_feature_names": True,
                                  "include_feature_view_version_metadata": True}),
        ("/get-online-features", {"features": ["Trip:km"], "entities": {"driver": [7, 8]}}),
    ],
)  # fmt: skip
def test_in_slices_the_answer_is_the_same_to_the_byte(
    app: App, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    whole = call(app, "POST", path, body)
    monkeypatch.setattr(app.reader, "is_small", lambda *_: False)
    monkeypatch.setattr(app.reader, "_slice", 0.0)
    monkeypatch.setattr(http, "PIECE", 7)
    sliced = call(app, "POST", path, body)
    assert (sliced.status, sliced.body) == (whole.status, whole.body)
    assert sliced.headers.keys() == whole.headers.keys()
    shown = call(app, "GET", "/metrics").body
    assert (b'size="large"' in shown) == (whole.status == 200)


def test_in_slices_arrow_has_the_same_rows(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"service": "newest", "include": ["ages"],
            "entities": CARDS | {"asked": [1.0] * 6}}  # fmt: skip
    headers = {"accept": http.ARROW.decode()}

    def asked() -> pa.Table:
        answer = call(app, "POST", "/v1/features", body, headers=headers)
        assert answer.status == 200, answer.body
        return pa.ipc.open_stream(answer.body).read_all()

    whole = asked()
    monkeypatch.setattr(app.reader, "is_small", lambda *_: False)
    monkeypatch.setattr(app.reader, "_slice", 0.0)
    assert asked().equals(whole, check_metadata=True)


def test_every_entity_of_a_large_read_is_logged_and_counted(store: sl.FeatureStore) -> None:
    app = App(store, Settings(timeout=60.0, served_log=1.0))
    app.start()
    assert call(app, "POST", "/v1/features", MANY).status == 200
    known = sum(number % 7 in range(1, 5) for number in range(5_000))
    values = samples(call(app, "GET", "/metrics").body)
    assert values['skewless_values_total{status="unknown"}'] == (5_000 - known) * 3
    app.upkeep.write()
    (file,) = (store.config.folder / ".skewless" / "served").iterdir()
    assert len(file.read_text().splitlines()) == 5_000


# ------------------------------------------------------------------------- one that is huge


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/features", READ),
        ("/v1/features", {"service": "newest", "entities": [{"card_id": "c1", "asked": 1.0}]}),
        ("/get-online-features", {"feature_service": "fraud", "entities": {"card_id": ["c1"]}}),
    ],
)
def test_huge_states_of_few_entities_are_unpacked_where_nobody_waits(
    app: App, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    headers, sent = {b"content-type": b"application/json"}, json.dumps(body).encode()
    small = call(app, "POST", path, body)
    assert app.at_once(path.encode(), headers, sent) is not None
    unpacked: list[int | None] = []
    read = app.reader.online.read

    def reading(*arguments: Any) -> Any:
        found = read(*arguments)
        unpacked.append(threading.get_ident())
        return found

    monkeypatch.setattr(app.reader.online, "read", reading)
    monkeypatch.setattr("skewless.serving.read.reader.MOST_BYTES", 10)
    assert app.at_once(path.encode(), headers, sent) is None
    assert unpacked == []
    assert call(app, "POST", path, body).body == small.body
    assert len(unpacked) == 1
    assert threading.get_ident() not in unpacked

    class Other:
        def ready(self) -> bool:
            return True

        async def read(self, request: http.Request, body: bytes) -> http.Response:
            return http.Response(b"from there " + body)

    app._features.elsewhere = Other()  # type: ignore[assignment]
    assert call(app, "POST", path, body).body == b"from there " + sent
    assert len(unpacked) == 1


# ------------------------------------------------------------------------- small ones first


def test_small_reads_are_answered_between_the_slices_of_a_large_one(sliced: App) -> None:
    async def both() -> tuple[list[int], bool, int]:
        large = asyncio.ensure_future(send(sliced, "POST", "/v1/features", MANY))
        while not sliced.reader.turns.reads:
            await asyncio.sleep(0)
        sliced.reader.is_small = lambda *_: True  # type: ignore[method-assign]
        small = [await send(sliced, "POST", "/v1/features", READ) for _ in range(50)]
        meanwhile = not large.done()
        return small, meanwhile, await large

    assert asyncio.run(both()) == ([200] * 50, True, 200)


def test_a_thousand_embeddings_are_a_large_read_and_small_ones_overtake_it(tmp_path: Path) -> None:
    item = sl.Entity("item", item_id=str)
    texts = sl.Source("texts", schema={"item_id": str, "v": sl.Vector(1536)}, event_time="at")
    view = sl.FeatureView("Text", entity=item, source=texts, features={"v": texts.v.latest()})
    names = [f"i{number}" for number in range(100)]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as fs:
        fs.apply([view])
        rows = [{"item_id": name, "v": [0.5] * 1536, "at": at} for name in names]
        fs.push("texts", rows, backdate=True)
        app = App(fs, Settings(timeout=60.0))
        app.start()
        asked = {"features": ["Text:v"], "entities": {"item_id": names * 10}}
        small = {"features": ["Text:v"], "entities": {"item_id": ["i1"]}}
        given = {b"content-type": b"application/json"}
        assert app.at_once(b"/v1/features", given, json.dumps(asked).encode()) is None
        assert app.at_once(b"/v1/features", given, json.dumps(small).encode()) is not None

        async def both() -> tuple[list[int], bool, int]:
            large = asyncio.ensure_future(send(app, "POST", "/v1/features", asked))
            while not app.reader.turns.reads:
                await asyncio.sleep(0)
            answered = [await send(app, "POST", "/v1/features", small) for _ in range(5)]
            return answered, large.done(), await large

        assert asyncio.run(both()) == ([200] * 5, False, 200)


def test_one_slice_of_all_large_reads_is_done_in_a_round_of_the_event_loop() -> None:
    async def work() -> list[int]:
        turns, rounds, now = Turns(60.0, 64), list[int](), 0

        def count() -> None:
            nonlocal now
            now += 1
            asyncio.get_running_loop().call_soon(count)

        async def read() -> None:
            with turns.admitted() as turn:
                for _ in range(20):
                    await turn.begin()
                    rounds.append(now)

        count()
        await asyncio.gather(*(read() for _ in range(8)))
        return rounds

    rounds = asyncio.run(work())
    assert len(rounds) == 8 * 20
    assert len(set(rounds)) == len(rounds)


def test_a_lesser_read_overtakes_a_greater_one_that_came_before() -> None:
    async def work() -> list[str]:
        turns, ended = Turns(60.0, 64), list[str]()

        async def read(name: str, slices: int) -> None:
            with turns.admitted() as turn:
                turn.expect(slices * 0.1)
                for _ in range(slices):
                    await turn.begin()
                ended.append(name)

        await asyncio.gather(read("great", 30), read("lesser", 3), read("least", 1))
        return ended

    assert asyncio.run(work()) == ["least", "lesser", "great"]


def test_a_read_that_is_given_up_leaves_its_place_to_others() -> None:
    async def work() -> None:
        turns = Turns(60.0, 64)
        with turns.admitted() as first:
            await first.begin()

            async def wait(turn: Turn) -> None:
                with turn:
                    await turn.begin()

            waiting = [asyncio.ensure_future(wait(turns.admitted())) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            first.end()  # its place is given to the next one ...
            while turns._free != 0:
                await asyncio.sleep(0)
            waiting[1].cancel()  # ... which goes before it has it
            await asyncio.wait_for(waiting[2], 30)
        assert (len(turns.reads), turns._free) == (0, 1)

    asyncio.run(work())


def test_a_read_ends_at_its_deadline_while_it_waits_for_its_turn() -> None:
    async def work() -> None:
        turns = Turns(0.05, 64)
        with turns.admitted() as first:
            await first.begin()
            with turns.admitted() as second:
                with pytest.raises(StoreUnavailable, match=r"took too long. Got: 3 of 9.*0\.05 s"):
                    await second.begin("3 of 9")
        assert (len(turns.reads), turns._free) == (0, 1)

    asyncio.run(asyncio.wait_for(work(), 30))


def test_a_read_that_nobody_holds_up_ends_at_its_deadline_too() -> None:
    async def work() -> None:
        turns = Turns(0.0, 64)
        with turns.admitted() as turn:
            with pytest.raises(StoreUnavailable, match=r"took too long. Got: 3 of 9"):
                await turn.begin("3 of 9")
        assert (len(turns.reads), turns._free) == (0, 1)

    asyncio.run(work())


def test_what_an_entity_costs_is_learnt_and_an_outlier_counts_for_little(app: App) -> None:
    asked = app._features._decoder.decode(json.dumps(READ))
    plan = app._features.plan_of(asked, ANYBODY, "")
    guess = plan.pace
    assert guess == 3e-6
    plan.note_pace(1.0, 1)  # a first read, with all that is loaded for it
    assert plan.pace < 2 * guess
    plan.note_pace(1.0, 100)
    assert plan.pace == 0.01
    plan.note_pace(1000.0, 100)
    assert plan.pace < 0.02
    for _ in range(50):
        plan.note_pace(0.0001, 100)
    assert plan.pace < 2e-6


def test_reads_of_few_entities_take_the_short_cut_again_after_an_outlier(app: App) -> None:
    headers, body = {b"content-type": b"application/json"}, json.dumps(READ).encode()
    assert app.at_once(b"/v1/features", headers, body) is not None
    asked = app._features._decoder.decode(body)
    plan = app._features.plan_of(asked, ANYBODY, "")
    plan.pace = 1.0
    assert app.at_once(b"/v1/features", headers, body) is None
    for _ in range(50):
        assert call(app, "POST", "/v1/features", READ).status == 200
    assert app.at_once(b"/v1/features", headers, body) is not None
    plan.pace = 0.003  # it is small, but thought to be slow
    for _ in range(50):
        assert app.at_once(b"/v1/features", headers, body) is not None
    assert plan.pace < 0.003


def test_a_first_read_of_many_takes_turns_whatever_its_lists_hold(app: App) -> None:
    headers = {b"content-type": b"application/json"}
    asked = {"features": ["Spend:total"], "entities": {"card_id": ["c1"] * 100}}
    body = json.dumps(asked).encode()
    assert app.at_once(b"/v1/features", headers, body) is None
    assert call(app, "POST", "/v1/features", asked).status == 200
    assert app.at_once(b"/v1/features", headers, body) is not None


# ------------------------------------------------------------------------- what is refused


def test_large_reads_are_refused_first(app: App) -> None:
    with app.reader.turns.admitted() as other:
        other.left = 1e9  # of work that is due before
        large = call(app, "POST", "/v1/features", MANY)
        assert (large.status, large.data["error"]) == (503, "Overloaded")
        assert large.headers["retry-after"] == "1"
        contract = {"feature_service": "fraud", "entities": MANY["entities"]}
        assert call(app, "POST", "/get-online-features", contract).status == 503
        assert call(app, "POST", "/v1/features", READ).status == 200
        found = samples(call(app, "GET", "/metrics").body)
    assert found['skewless_requests_shed_total{reason="large"}'] == 2
    assert call(app, "POST", "/v1/features", MANY).status == 200


def test_so_many_large_reads_may_be_under_way() -> None:
    turns = Turns(60.0, 2)
    with turns.admitted(), turns.admitted():
        with pytest.raises(Overloaded, match="2 large reads are under way"):
            turns.admitted()
    assert not turns.reads


def test_metrics_and_health_are_answered_when_everything_else_is_refused(app: App) -> None:
    app.upkeep.lag = 1e9
    for path in ("/v1/views", "/v1/explain?feature=Spend:total&card_id=c1"):
        assert call(app, "GET", path).status == 503
    assert call(app, "POST", "/v1/features", READ).status == 503
    for path in ("/metrics", "/health", "/ready"):
        assert call(app, "GET", path).status == 200


# ------------------------------------------------------------------------- jobs stand back


@pytest.fixture
def apart(repo: Path) -> App:
    """An application with the clock of this machine whose jobs run in processes of their own."""
    with sl.FeatureStore(repo) as store:
        made = App(store, Settings(timeout=60.0))
        made.start()
        made.writer.jobs.apart = True
        yield made


def job_of(app: App, body: dict[str, Any]) -> dict[str, Any]:
    number = call(app, "POST", "/v1/materialize", body).data["job"]
    app.writer.jobs.wait(60)
    found: dict[str, Any] = call(app, "GET", f"/v1/jobs/{number}").data
    return found


def test_a_job_runs_in_a_process_of_its_own(apart: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart.store, "backfill", None)  # not here
    folder = apart.store.config.folder
    (folder / "skewless.toml").write_text('[online]\nkind = "sqlite"\n')  # for the next server
    job = job_of(apart, {"views": ["Spend"], "backfill": True})
    assert (job["status"], job["progress"], job["results"][0]["entities"]) == ("done", 1.0, 4)
    found = samples(call(apart, "GET", "/metrics").body)
    assert found['skewless_jobs_total{kind="backfill",outcome="done"}'] == 1
    assert call(apart, "POST", "/materialize", {"feature_views": ["Spend"]}).status == 200
    assert not list(folder.rglob("*.sqlite"))


def test_a_job_that_fails_in_its_process_says_why(apart: App) -> None:
    job = apart.writer.jobs.claim("backfill", ["Nowhere"], None, None)
    with pytest.raises(sl.UnknownName, match="Nowhere"):
        apart.writer.jobs.run(job)
    assert apart.writer.jobs.get(job.id).status == "failed"


def test_a_job_whose_process_dies_has_failed(apart: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skewless.serving.write.jobs.sys.executable", "/bin/false")
    job = job_of(apart, {})
    assert (job["status"], job["error"]["what"], job["error"]["got"]) == (
        "failed", "the process of the job has ended", "code 1",
    )  # fmt: skip
    found = samples(call(apart, "GET", "/metrics").body)
    assert found['skewless_jobs_total{kind="materialize",outcome="failed"}'] == 1


@pytest.mark.parametrize("given", [lambda _: b"", lambda app: handed(app.store.config)])
def test_the_process_of_a_job_ends_with_its_server(
    apart: App, given: Callable[[App], bytes]
) -> None:
    job = apart.writer.jobs.claim("backfill", None, None, None)
    words = [sys.executable, "-m", "skewless.serving.write.job_process"]
    done = subprocess.run([*words, job.id], input=given(apart), timeout=60, check=False)
    assert done.returncode == 1
    assert apart.writer.jobs.get(job.id).status == "running"
