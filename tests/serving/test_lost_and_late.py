"""What a server answers when its store has lost its rows, and when a read takes too long."""

import itertools
from pathlib import Path

import pytest

import skewless as sl
from skewless.online.loss_detection import HELD
from skewless.online.storage import is_states
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.online.test_reader import ForgetfulStore
from tests.serving.calling import Answer, call
from tests.serving.conftest import NOW, ROWS

CARDS = [{"card_id": "c1"}, {"card_id": "c9"}]


def quick(app: App, path: str, body: bytes) -> int:
    found = app.at_once(path.encode(), {b"content-type": b"application/json"}, body)
    assert found is not None
    return found[0].status


def ours(app: App) -> Answer:
    return call(app, "POST", "/v1/features", {"service": "fraud", "entities": CARDS})


def feasts(app: App) -> Answer:
    body = {"feature_service": "fraud", "entities": {"card_id": ["c1", "c9"]}}
    return call(app, "POST", "/get-online-features", body)


def test_no_server_answers_from_a_store_that_lost_its_rows(repo: Path, tmp_path: Path) -> None:
    online = ForgetfulStore()
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "features.py").write_text((repo / "features.py").read_text())
    with sl.FeatureStore(fresh, clock=SettableClock(NOW), online=online) as fs:
        fs.apply(fs.plan())
        fs.push("payments", ROWS, backdate=True)
        app = App(fs, Settings())
        app.start()
        assert (ours(app).status, feasts(app).status) == (200, 200)
        assert ours(app).data["statuses"]["total"] == ["present", "unknown"]
        for table in online.tables():
            if is_states(table) or table == HELD:
                online.drop(table)
        for answer in (ours(app), feasts(app)):
            assert answer.status == 503
            assert "lost its rows" in answer.body.decode()
        body = b'{"service":"fraud","entities":[{"card_id":"c1"}]}'
        assert quick(app, "/v1/features", body) == 503
        body = b'{"feature_service":"fraud","entities":{"card_id":["c1"]}}'
        assert quick(app, "/get-online-features", body) == 503


@pytest.mark.parametrize("timeout", [0.5, 60.0])
def test_a_large_read_is_given_up_at_the_deadline(
    store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch, timeout: float
) -> None:
    app = App(store, Settings(timeout=timeout))
    app.start()
    seconds = itertools.count()
    monkeypatch.setattr("skewless.serving.read.turns.time.monotonic", lambda: next(seconds) / 100)
    many = {"card_id": [f"c{number}" for number in range(5_000)]}
    answer = call(app, "POST", "/v1/features", {"service": "fraud", "entities": many})
    if timeout == 60.0:
        assert (answer.status, len(answer.data["values"]["total"])) == (200, 5_000)
        return
    assert (answer.status, answer.data["what"]) == (503, "the read took too long")
    assert answer.data["expected"] == "0.5 seconds at most"
