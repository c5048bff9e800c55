"""A server whose online store loses states: not ready, says why, and brings them back by itself."""

import asyncio
import json
from pathlib import Path
from unittest.mock import Mock

import pytest

import skewless as sl
from skewless.errors import CorruptData, StoreUnavailable
from skewless.online.dirty_keys import any_marked
from skewless.online.storage import is_states
from skewless.serving.app import App
from skewless.serving.http.http import ARROW
from skewless.serving.operate import background
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from skewless.testing.memory import MemoryCache
from skewless.testing.servers import running
from tests.serving.calling import PATIENCE, call
from tests.serving.conftest import DEFINITIONS, NOW, ROWS

ASKED = {"service": "fraud", "entities": [{"card_id": "c1"}, {"card_id": "c2"}]}


def shop_on(cache: MemoryCache, folder: Path) -> sl.FeatureStore:
    folder.mkdir()
    (folder / "features.py").write_text(DEFINITIONS)
    fs = sl.FeatureStore(folder, clock=SettableClock(NOW), online=cache)
    fs.apply(fs.plan())
    fs.push("payments", ROWS, backdate=True)
    return fs


def served(cache: MemoryCache, folder: Path) -> App:
    app = App(shop_on(cache, folder), Settings(workers=1, anonymous=True))
    app.start()
    return app


def test_a_store_that_lost_its_states_is_not_ready_until_they_are_built(tmp_path) -> None:
    cache = MemoryCache()
    app = served(cache, tmp_path / "shop")
    before = call(app, "POST", "/v1/features", ASKED).data
    cache.lose()
    assert not app.reader.probe()
    answer = call(app, "GET", "/ready")
    assert answer.status == 503
    assert "has lost its rows" in answer.data["reasons"][0]
    refused = call(app, "POST", "/v1/features", ASKED)
    assert refused.status == 503
    app.upkeep.heal()
    assert app.reader.probe()
    assert call(app, "GET", "/ready").status == 200
    assert call(app, "POST", "/v1/features", ASKED).data == before


def test_an_older_copy_of_the_store_is_noticed_although_its_states_are_there(tmp_path) -> None:
    cache = MemoryCache()
    app = served(cache, tmp_path / "shop")
    older = cache.contents()
    row = {key: value for key, value in ROWS[0].items() if key not in {"picture", "seen"}}
    row |= {"payment_id": "new", "paid_at": "2026-01-01T09:59:00Z"}
    assert call(app, "POST", "/v1/push", {"source": "payments", "rows": [row]}).status == 200
    after = call(app, "POST", "/v1/features", ASKED).data
    cache.lose(older)
    assert not app.reader.probe()
    many = ASKED | {"entities": ASKED["entities"] * 2_000}
    for asked, headers in ((ASKED, {}), (ASKED, {"accept": ARROW.decode()}), (many, {})):
        refused = call(app, "POST", "/v1/features", asked, headers=headers)
        assert refused.status == 503
        assert b"has lost" in refused.body
    headers = {b"host": b"tests", b"content-type": b"application/json"}
    quick = app.at_once(b"/v1/features", headers, json.dumps(ASKED).encode())
    assert quick is not None
    assert quick[0].status == 503
    app.upkeep.heal()
    assert app.reader.probe()
    assert call(app, "POST", "/v1/features", ASKED).data == after


def test_an_evicted_state_is_building_and_comes_back(tmp_path) -> None:
    cache = MemoryCache()
    app = served(cache, tmp_path / "shop")
    before = call(app, "POST", "/v1/features", ASKED).data
    (table,) = (name for name in cache.tables() if is_states(name) and "payments" in name)
    cache.delete(table, [b"c1"])
    assert app.reader.probe()
    found = call(app, "POST", "/v1/features", ASKED)
    assert found.status == 200
    assert "building" in str(found.data["statuses"])
    assert found.data != before
    journal = app.store.runtime.journal
    assert not any_marked(journal), "a request has waited for a writer"
    app.upkeep.work()
    assert any_marked(journal)
    app.upkeep.heal()
    assert call(app, "POST", "/v1/features", ASKED).data == before


def test_a_push_for_another_writers_states_is_refused_and_healing_leaves_them(tmp_path) -> None:
    cache = MemoryCache()
    app = served(cache, tmp_path / "shop")
    other = shop_on_refused(cache, tmp_path / "other")
    row = {"payment_id": "x", "card_id": "c1", "amount": 1.0, "paid_at": "2026-01-01T09:59:00Z"}
    answer = call(other, "POST", "/v1/push", {"source": "payments", "rows": [row]})
    assert answer.status in {409, 503}
    assert "written by" in str(answer.data)
    before = cache.contents()
    other.upkeep.heal()
    assert cache.contents() == before
    assert call(app, "GET", "/ready").status == 200


def shop_on_refused(cache: MemoryCache, folder: Path) -> App:
    folder.mkdir()
    (folder / "features.py").write_text(DEFINITIONS)
    fs = sl.FeatureStore(folder, clock=SettableClock(NOW), online=cache)
    fs.apply(fs.plan())
    app = App(fs, Settings(workers=1, anonymous=True))
    app.start()
    return app


@pytest.mark.server("redis")
def test_a_store_that_evicts_is_warned_of_at_the_start_and_by_ready(tmp_path, capfd) -> None:
    from redis import Redis

    with running("redis") as server, Redis.from_url(server.url) as by_hand:
        for policy, warned in (("allkeys-lru", True), ("volatile-lru", False)):
            by_hand.config_set("maxmemory-policy", policy)
            folder = tmp_path / policy
            folder.mkdir()
            (folder / "features.py").write_text(DEFINITIONS)
            (folder / "skewless.toml").write_text(
                f'[online]\nkind = "redis"\nurl = "{server.url}"\nnamespace = "{policy}"\n'
            )
            with sl.FeatureStore(folder) as fs:
                fs.apply(fs.plan())
                app = App(fs, Settings(workers=1, anonymous=True))
                app.start()
                warnings = call(app, "GET", "/ready").data["warnings"]
                assert any(policy in text for text in warnings) == warned
                assert (policy in capfd.readouterr().err) == warned


@pytest.mark.parametrize("kind", ["lmdb", "sqlite"])
def test_a_copy_of_the_file_that_is_put_in_its_place_is_served(tmp_path, kind: str) -> None:
    """A server never goes on with the file of before, nor does it begin an empty one."""
    folder = tmp_path / "shop"
    folder.mkdir()
    file = folder / ("online/data.mdb" if kind == "lmdb" else "online.sqlite")
    path = file.parent if kind == "lmdb" else file
    (folder / "skewless.toml").write_text(f'[online]\nkind = "{kind}"\npath = "{path}"\n')
    (folder / "features.py").write_text(DEFINITIONS)
    with sl.FeatureStore(folder, clock=SettableClock(NOW)) as fs:
        fs.apply(fs.plan())
        fs.push("payments", ROWS, backdate=True)
    copy = tmp_path / "copy"
    copy.write_bytes(file.read_bytes())
    with sl.FeatureStore(folder, clock=SettableClock(NOW)) as fs:
        app = App(fs, Settings(anonymous=True))
        app.start()
        before = call(app, "POST", "/v1/features", ASKED).data
        row = {key: value for key, value in ROWS[0].items() if key not in {"picture", "seen"}}
        row |= {"payment_id": "new", "paid_at": "2026-01-01T09:59:00Z"}
        push = {"source": "payments", "rows": [row]}
        assert call(app, "POST", "/v1/push", push).status == 200
        assert call(app, "POST", "/v1/features", ASKED).data != before
        file.unlink()
        app.upkeep.probe()
        answer = call(app, "GET", "/ready")
        assert (answer.status, "is gone" in answer.data["reasons"][0]) == (503, True)
        assert call(app, "POST", "/v1/features", ASKED).status == 503
        assert call(app, "POST", "/v1/push", push).status == 503
        assert not file.exists()
        copy.replace(file)
        app.upkeep.probe()
        app.upkeep.work()
        assert call(app, "GET", "/ready").status == 200
        assert call(app, "POST", "/v1/features", ASKED).data == before
        assert call(app, "POST", "/v1/push", push).status == 200
        assert call(app, "POST", "/v1/features", ASKED).data != before


def test_a_process_reads_a_copy_of_the_file_without_a_server(store, clock) -> None:
    asked = ("fraud", ASKED["entities"])
    file = store.config.folder / ".skewless" / "online" / "data.mdb"
    copy = store.config.folder / "copy"
    copy.write_bytes(file.read_bytes())
    before = store.get_online_features(*asked).to_dict()
    row = ROWS[0] | {"payment_id": "new", "paid_at": "2026-01-01T09:59:00Z"}
    store.push("payments", [row])
    assert store.get_online_features(*asked).to_dict() != before
    copy.replace(file)
    clock.time += 2_000_000  # the repo is looked at once a second
    assert store.get_online_features(*asked).to_dict() == before


def test_a_damaged_record_of_the_store_is_said_and_looked_at_again(store, monkeypatch) -> None:
    app = App(store, Settings(anonymous=True))
    app.start()

    def damaged(tables: object) -> None:
        raise CorruptData("a row of the online store is damaged", where="skewless.owner")

    with monkeypatch.context() as patched:
        patched.setattr(app.reader.runtime, "check_states", damaged)
        app.upkeep.probe()
    answer = call(app, "GET", "/ready")
    assert answer.status == 503
    assert "is damaged" in answer.data["reasons"][0]
    app.upkeep.probe()
    assert call(app, "GET", "/ready").status == 200


@pytest.mark.parametrize("work", ["probe", "ask_issuer"])
def test_what_is_done_in_the_background_is_done_again_after_a_failure(
    store, capfd, monkeypatch, work
) -> None:
    app = App(store, Settings(anonymous=True))
    app.start()
    monkeypatch.setattr(background, "EVERY", 0.01)
    app.upkeep.tokens = Mock()  # so that an issuer is watched
    times = []

    def fails() -> None:
        times.append(len(times))
        if len(times) == 1:
            raise ZeroDivisionError("an unknown failure")
        app.draining = True

    async def until_it_went_well() -> None:
        setattr(app.upkeep, work, fails)
        app.reader.down = StoreUnavailable("so that it is asked often")
        app.upkeep.go()
        async with asyncio.timeout(PATIENCE):
            while not app.draining:
                await asyncio.sleep(0.01)
        await app.upkeep.stop()

    asyncio.run(until_it_went_well())
    assert "ZeroDivisionError: an unknown failure" in capfd.readouterr().err
