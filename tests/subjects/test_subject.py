"""All that is held of an entity is found where it is, and nothing of others."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.access.actors import VARIABLE
from skewless.errors import InputError, UnknownName
from skewless.request_errors import Forbidden
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.cli.running import data_of, ran, run_in
from tests.serving.calling import call

NOW = 1_767_261_600_000_000  # 2026-01-01T10:00:00Z
REPO = """
import skewless as sl

card = sl.Entity("card", card_id=str)
fab = sl.Entity("fab", fab_id=int)
pays = sl.Source(
    "pays", schema={"pay_id": str, "card_id": str, "payee": str, "amount": float},
    event_time="at", row_id="pay_id")
Spend = sl.FeatureView(
    "Spend", entity=card, source=pays,
    features={"total": pays.amount.sum("1h"), "count": pays.count("1h")})
Earned = sl.FeatureView(
    "Earned", entity=card, source=pays, on={"card_id": "payee"},
    features={"earned": pays.amount.sum("1h")})
tests = sl.Source("tests", schema={"fab_id": int, "x": float}, event_time="at")
Fab = sl.FeatureView("Fab", entity=fab, source=tests, features={"x": tests.x.latest()})
model = sl.FeatureService("model", [Spend])
"""
ROWS = [
    {"pay_id": "p1", "card_id": "c1-mark", "payee": "c2", "amount": 5.0, "at": "2026-01-01T09:30Z"},
    {"pay_id": "p2", "card_id": "c2", "payee": "c1-mark", "amount": 7.0, "at": "2026-01-01T09:31Z"},
    {"pay_id": "p3", "card_id": "c2", "payee": "c3", "amount": 9.0, "at": "2026-01-01T09:32Z"},
    {"pay_id": "p4", "card_id": "c1-mark", "payee": "c3", "amount": "much",
     "at": "2026-01-01T09:33Z"},
]  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "features.py").write_text(REPO)
    (tmp_path / "skewless.toml").write_text("[audit]\n")
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as fs:
        fs.apply(fs.plan())
        fs.push("pays", ROWS, backdate=True)
        fs.push("pays", [{**ROWS[0], "amount": 6.0}])
        pq.write_table(pa.table({"card_id": ["c1-mark", "c3"], "at": pa.array(
            [NOW, NOW], pa.timestamp("us", "UTC"))}), tmp_path / "spine.parquet")  # fmt: skip
        fs.get_historical_features(tmp_path / "spine.parquet", "model", timestamp="at")
        fs.get_historical_features(
            [{"card_id": "c3", "at": "2026-01-01T10:00:00Z"}], "model", timestamp="at"
        )
        app = App(fs, Settings(served_log=1.0))
        app.start()
        for card in ("c1-mark", "c2"):
            body = {"service": "model", "entities": [{"card_id": card}]}
            assert call(app, "POST", "/v1/features", body).status == 200
        app.upkeep.write()
    return tmp_path


def opened(repo: Path) -> sl.FeatureStore:
    return sl.FeatureStore(repo, clock=SettableClock(NOW))


def test_every_place_that_holds_something_of_it_is_found(repo: Path) -> None:
    with opened(repo) as fs:
        report = fs.subject({"card_id": "c1-mark"})
    assert report.is_known
    amounts = [(row["values"]["pay_id"], row["values"]["amount"]) for row in report.rows["pays"]]
    assert sorted(amounts) == [("p1", 5.0), ("p1", 6.0), ("p2", 7.0)]
    assert {name: each["value"] for name, each in report.values.items()} == {
        "Spend@v1:total": 6.0, "Spend@v1:count": 1, "Earned@v1:earned": 7.0}  # fmt: skip
    assert [json.loads(each["values"])["pay_id"] for each in report.quarantine["pays"]] == ["p4"]
    assert [line["entity"] for line in report.served] == [{"card_id": "c1-mark"}]
    assert sorted(map(str, report.training.values())) == ["None", "True"]
    assert report.accesses is not None
    assert {each.action for each in report.accesses} == {"read online", "read history"}
    assert set(report.rows) == {"pays"}


def test_of_others_it_holds_nothing_and_the_unknown_is_said_to_be(repo: Path) -> None:
    with opened(repo) as fs:
        assert "c1-mark" not in json.dumps(fs.subject({"card_id": "c3"}).to_dict()["served"])
        assert [r["values"]["pay_id"] for r in fs.subject({"card_id": "c3"}).rows["pays"]] == ["p3"]
        unknown = fs.subject({"card_id": "nobody"})
        assert not unknown.is_known
        assert unknown.rows == {"pays": []}
        for key, problem in (({"wafer": 1}, UnknownName), ({"card_id": 7}, InputError)):
            with pytest.raises(problem):
                fs.subject(key)
        with pytest.raises(UnknownName, match="entity"):
            fs.subject({"card_id": "c1"}, "crad")


def test_a_row_that_was_deleted_is_still_held_and_told(repo: Path) -> None:
    with opened(repo) as fs:
        fs.delete("pays", ["p1"])
        rows = fs.subject({"card_id": "c1-mark"}).rows["pays"]
        assert [row["taken_away"] for row in rows if row["values"].get("pay_id") == "p1"].count(
            False) == 2  # fmt: skip
        assert any(row["taken_away"] for row in rows)


def test_asking_is_on_record_and_a_matter_of_grants(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(repo) as fs:
        fs.subject({"card_id": "c2"})
        (last, *_) = fs.subject({"card_id": "c2"}).accesses or ()
        assert last.action == "subject"
        fs.apply([sl.Grant("all", to="*", read="*")])
    monkeypatch.setenv(VARIABLE, "user:curious")
    with opened(repo) as fs, pytest.raises(Forbidden):
        fs.subject({"card_id": "c2"})


def test_the_command_writes_all_of_it_to_a_file_of_its_own(repo: Path) -> None:
    out = repo / "c1.json"
    said = ran(run_in(repo, "subject", "card_id=c1-mark", "--out", str(out))).output
    assert "rows of source pays" in said
    written = json.loads(out.read_text())
    assert out.stat().st_mode & 0o777 == 0o600
    assert len(written["rows"]["pays"]) == 3
    assert "backups, exports and copies of files" in written["not_looked_at"]
    ran(run_in(repo, "subject", "card_id=c1-mark", "--out", str(out)), 2)
    assert data_of(run_in(repo, "subject", "fab_id=7", "--json"), 1)["known"] is False
    ran(run_in(repo, "subject", "fab_id=x"), 2)
