"""Every access is on record, found by entity and by actor, without a key in the files."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.access.actors import VARIABLE, acting_for
from skewless.access.keyed import KeyedHash
from skewless.audit import audit as audits
from skewless.audit.audit import PURPOSE, Audit, AuditUnavailable
from skewless.audit.events import Access, subjects_named
from skewless.audit.index import _HEAD, _MAGIC, Term, growing_places, index_of, made_of, places
from skewless.audit.search import Search
from skewless.errors import ConfigError, MissingColumn
from skewless.ledger.ledger import Ledger
from skewless.request_errors import Forbidden
from skewless.testing.clock import SettableClock
from tests.cli.running import data_of, ran, run_in

NOW = 1_767_261_600_000_000  # 2026-01-01T10:00:00Z
REPO = """
import skewless as sl

card = sl.Entity("card", card_id=str)
pays = sl.Source(
    "pays", schema={"card_id": str, "payee": str, "amount": float}, event_time="at")
Spend = sl.FeatureView(
    "Spend", entity=card, source=pays, features={"total": pays.amount.sum("1h")})
Paid = Spend.of(card_id="payee", prefix="payee_")
model = sl.FeatureService("model", [Spend])
"""
ROW = {"payee": "k2-secret", "amount": 1.0, "at": "2026-01-01T09:30:00Z"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "features.py").write_text(REPO)
    (tmp_path / "skewless.toml").write_text("[audit]\n")
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as fs:
        fs.apply(fs.plan())
    return tmp_path


def opened(repo: Path) -> sl.FeatureStore:
    return sl.FeatureStore(repo, clock=SettableClock(NOW))


def subject(fs: sl.FeatureStore, card: str) -> list[str]:
    entities = fs.runtime.state(fresh=True).entities.values()
    return list(subjects_named(entities, {"card_id": card}, fs.audit.keyed).values())


def who_read(fs: sl.FeatureStore, card: str, **more: Any) -> list[Any]:
    return Search(fs.audit).who_read(subject(fs, card), **more)


def files_of(repo: Path) -> list[Path]:
    return [f for f in (repo / ".skewless" / "ledger" / "audit").rglob("*") if f.is_file()]


def names_a_card(repo: Path) -> bool:
    files = files_of(repo)
    assert files
    return any(b"secret" in file.read_bytes() for file in files)


def test_what_a_process_reads_and_writes_is_on_record(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "service:nightly")
    monkeypatch.setenv(PURPOSE, "fraud model")
    spine = [{"card_id": "k1-secret", "at": "2026-01-01T09:45:00Z"}] * 3
    with opened(repo) as fs:
        fs.push("pays", [{"card_id": "k1-secret", **ROW}], backdate=True)
        fs.get_online_features("model", [{"card_id": "k1-secret"}, {"card_id": "k3-secret"}])
        fs.get_historical_features(spine, "model", timestamp="at")
        fs.explain("Spend:total", {"card_id": "k1-secret"})
        fs.read_features("Spend", entities=[{"card_id": "k1-secret"}])
        found = who_read(fs, "k1-secret")
        assert [each.action for each in found] == [
            "read_features", "explain", "read history", "read online"]  # fmt: skip
        assert {each.features for each in found} == {("Spend@v1:total",)}
        assert {(each.actor, each.purpose) for each in found} == {
            ("service:nightly", "fraud model")}  # fmt: skip
        assert [each.count for each in found] == [1, 1, 1, 2]
        assert [each.action for each in who_read(fs, "k3-secret")] == ["read online"]
        assert who_read(fs, "k9-secret") == []
        did = Search(fs.audit).what_did("service:nightly")
        assert Counter(each.action for each in did) == Counter(
            ["push", "read online", "read history", "explain", "read_features"])  # fmt: skip
        assert did[-1].about["source"] == "pays"
        assert (did[-1].count, did[-1].outcome) == (1, "ok")
    assert not names_a_card(repo)


def test_an_entity_is_found_in_every_role(repo: Path) -> None:
    with opened(repo) as fs:
        fs.get_online_features("Spend_payee:payee_total", [{"payee": "k2-secret"}])
        (found,) = who_read(fs, "k2-secret")
        assert found.features == ("Spend_payee@v1:payee_total",)


def test_thousands_of_mixed_reads_are_all_found_by_entity(repo: Path) -> None:
    """In files so small that most are behind an index."""
    chance, wanted = random.Random(7), Counter[str]()
    wanted_rows: list[int] = []
    with opened(repo) as fs:
        fs.audit.ledger.chain._file_bytes = 20_000
        for number in range(1_000):
            cards = [f"k{chance.randrange(300)}-secret" for _ in range(chance.randrange(1, 4))]
            wanted.update(set(cards))
            wanted_rows.append(len(cards))
            rows = [{"card_id": card} for card in cards]
            with acting_for(f"service:s{number % 3}"):
                fs.get_online_features("model", rows)
            if not number % 50:
                fs.audit.write()
        fs.audit.write()
        files = [f for f in files_of(repo) if f.suffix == ".jsonl"]
        assert len(files) > 5
        search = Search(fs.audit)
        for card, times in wanted.items():
            found = search.who_read(subject(fs, card))
            assert len(found) == times, card
            assert {each.features for each in found} == {("Spend@v1:total",)}
        did = [each for n in range(3) for each in search.what_did(f"service:s{n}")]
        assert sum(each.count for each in did) == sum(wanted_rows)
        newest = search.who_read(subject(fs, "k7-secret"), limit=2)
        assert newest == search.who_read(subject(fs, "k7-secret"))[:2]
        assert search.verify().ok
    assert not names_a_card(repo)


def test_an_index_that_is_missing_damaged_or_forged_is_made_again_or_told(repo: Path) -> None:
    with opened(repo) as fs:
        fs.audit.ledger.chain._file_bytes = 1
        for _ in range(3):
            with acting_for("service:a"):
                fs.get_online_features("model", [{"card_id": "k1"}])
            fs.audit.write()
        first, *_ = files = fs.audit.ledger.chain.files()
        index = index_of(first)
        whole = index.read_bytes()
        assert len(files) == 3
        for damaged in (b"", whole[:10], whole[:-1], whole[:-3] + b"xyz", None):
            index.unlink() if damaged is None else index.write_bytes(damaged)
            assert len(who_read(fs, "k1")) == 3
            assert index.read_bytes() == whole == made_of(first)
        other = files[1].with_suffix(".idx")
        index_of(files[1])
        other.write_bytes(forged_of(files[1]))
        assert len(who_read(fs, "k1")) == 2, "a forged index hides"
        report = Search(fs.audit).verify()
        assert not report.ok
        assert other.name in str(report)


def forged_of(file: Path) -> bytes:
    """An index that names nothing, and fits."""
    return _HEAD.pack(_MAGIC, file.stat().st_size, 0, 0)


def test_what_is_edited_in_the_audit_is_named(repo: Path) -> None:
    with opened(repo) as fs:
        for card in ("k1", "k2", "k3"):
            fs.get_online_features("model", [{"card_id": card}])
        fs.audit.write()
        (file,) = fs.audit.ledger.chain.files()
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"count":3', b'"count":2', 1))
    with opened(repo) as fs:
        report = Search(fs.audit).verify()
        assert not report.ok
        assert "record" in str(report)
    file.write_bytes(b"\n".join(whole.split(b"\n")[:-3]) + b"\n")
    with opened(repo) as fs:
        assert not Search(fs.audit).verify().ok, "the registry keeps the newest seal"


def test_what_grants_refuse_is_on_record(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "service:curious")
    with opened(repo) as fs:
        fs.apply([sl.Grant("risk", to="service:risk", read="Spend")])
        for read in (
            lambda: fs.get_online_features("model", [{"card_id": "k1"}]),
            lambda: fs.explain("Spend:total", {"card_id": "k1"}),
        ):
            with pytest.raises(Forbidden):
                read()
        found = Search(fs.audit).what_did("service:curious")
        assert [each.outcome.partition(":")[0] for each in found] == ["refused", "refused"]


def test_one_without_an_audit_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(REPO)
    for settings in ("", '[audit]\nmode = "off"\n'):
        (tmp_path / "skewless.toml").write_text(settings)
        with opened(tmp_path) as fs:
            fs.apply(fs.plan())
            fs.get_online_features("model", [{"card_id": "k1"}])
        assert files_of(tmp_path) == []
        assert not (tmp_path / ".skewless" / "access.key").exists()


def test_a_mode_there_is_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "skewless.toml").write_text('[audit]\nmode = "sometimes"\n')
    with pytest.raises(ConfigError, match="off, on, strict"):
        sl.FeatureStore(tmp_path)


def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skewless.ledger.chain._write_whole", full)


def test_strict_reads_nothing_that_is_not_on_record(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "skewless.toml").write_text('[audit]\nmode = "strict"\n')
    with opened(repo) as fs:
        ask = lambda: fs.get_online_features("model", [{"card_id": "k1"}])  # noqa: E731
        ask()
        assert len(who_read(fs, "k1")) == 1
        with monkeypatch.context() as disk:
            broken(disk)
            with pytest.raises(AuditUnavailable, match="No space|cannot be written"):
                ask()
            with pytest.raises(AuditUnavailable):
                fs.push("pays", [{"card_id": "k1", **ROW}], backdate=True)
        ask()
        assert len(who_read(fs, "k1")) == 2
        assert fs.read_features("Spend").num_rows == 0, "nothing was written that is not on record"


def test_what_could_not_be_written_is_counted_and_told(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(repo) as fs:
        with monkeypatch.context() as disk:
            broken(disk)
            fs.get_online_features("model", [{"card_id": "k1"}])
            fs.audit.write()
            assert fs.audit.dropped == 1
        fs.get_online_features("model", [{"card_id": "k1"}])
        fs.audit.write()
        assert fs.audit.dropped == 0
        (gap,) = fs.audit.ledger.records(kinds=["gap"])
        assert gap.data == {"dropped": 1}


def test_more_than_can_wait_is_counted_not_kept(
    monkeypatch: pytest.MonkeyPatch, repo: Path
) -> None:
    monkeypatch.setattr(audits, "MOST_WAITING", 2)
    monkeypatch.setattr(audits, "EVERY", 3600.0)
    with opened(repo) as fs:
        for _ in range(5):
            fs.audit.note(Access("read online", "service:a"))
        assert fs.audit.dropped == 3
        assert fs.audit.write() == 2


def test_a_child_of_a_fork_does_not_write_what_its_parent_does(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audits, "EVERY", 3600.0)
    with opened(repo) as fs:
        fs.audit.note(Access("read online", "service:parent"))
        child = os.fork()
        if not child:
            try:
                fs.audit.note(Access("read online", "service:child"))
                os._exit(0 if fs.audit.write() == 1 else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        search = Search(fs.audit)
        assert len(search.what_did("service:parent")) == len(search.what_did("service:child")) == 1


def test_a_file_names_its_own_lists_of_features(repo: Path) -> None:
    with opened(repo) as fs:
        fs.audit.ledger.chain._file_bytes = 1
        for _ in range(3):
            fs.get_online_features("model", [{"card_id": "k1"}])
            fs.audit.write()
        files = fs.audit.ledger.chain.files()
        assert len(files) == 3
        assert [each.features for each in who_read(fs, "k1")] == [("Spend@v1:total",)] * 3


def test_places_are_found_among_many(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit", lambda: _Heads(), SettableClock(NOW))
    audit = Audit(lambda: ledger, "on", lambda: KeyedHash(b"k" * 32), lambda: NOW)
    actors = [f"service:{number % 37}" for number in range(500)]
    for actor in actors:
        audit.note(Access("write", actor))
    audit.write()
    (file,) = ledger.chain.files()
    for number in range(38):
        name = f"service:{number}"
        for of in (places, growing_places):
            assert len(list(of(file, Term.of_actor(name)))) == actors.count(name)


class _Heads:
    """A registry that keeps nothing."""

    def set_progress(self, *_: Any) -> None: ...

    def progress(self, *_: Any) -> dict[str, Any]:
        return {}


def test_the_command_finds_accesses_and_is_on_record_itself(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(repo) as fs, acting_for("service:checkout"):
        fs.get_online_features("model", [{"card_id": "k1"}])
    monkeypatch.setenv(VARIABLE, "user:auditor")
    said = ran(run_in(repo, "audit", "who-read", "card_id=k1")).output
    assert "service:checkout" in said
    assert "Spend@v1:total" in said
    (found,) = data_of(run_in(repo, "audit", "what-did", "service:checkout", "--json"))
    assert (found["action"], found["features"]) == ("read online", ["Spend@v1:total"])
    own = data_of(run_in(repo, "audit", "what-did", "user:auditor", "--json"))
    assert {each["action"] for each in own} == {"search audit"}
    assert [e["action"] for e in data_of(run_in(repo, "audit", "who-read", "card_id=k1", "--json"))
            ] == ["search audit", "read online"]  # fmt: skip
    ran(run_in(repo, "audit", "verify"))
    ran(run_in(repo, "audit", "who-read", "wafer=1"), 2)
    ran(run_in(repo, "audit", "who-read"), 2)
    ran(run_in(repo, "audit", "verify", "x"), 2)
    (file,) = [f for f in files_of(repo) if f.suffix == ".jsonl"]
    lines = file.read_bytes().replace(b"service:checkout", b"service:checkin_")
    file.write_bytes(lines)
    assert json.loads(run_in(repo, "audit", "verify", "--json").output)["ok"] is False


def test_an_entity_without_its_key_takes_no_other_access_from_the_record(repo: Path) -> None:
    """It was noted before it was looked at, and what waited with it was lost."""
    with opened(repo) as fs:
        fs.get_online_features(["Spend:total"], [{"card_id": "c1"}])
        with pytest.raises(MissingColumn):
            fs.explain("Spend:total", {})
        assert len(who_read(fs, "c1")) == 1


def test_rows_that_their_owner_changes_afterwards_are_on_record_as_they_were(repo: Path) -> None:
    row = {"card_id": "c1"}
    with opened(repo) as fs:
        for card in ("c1", "c2", "c3"):
            row["card_id"] = card
            fs.get_online_features(["Spend:total"], [row])
        row.clear()
        assert [len(who_read(fs, card)) for card in ("c1", "c2", "c3")] == [1, 1, 1]


def test_changes_of_a_version_are_read_and_on_record(repo: Path) -> None:
    with opened(repo) as fs:
        fs.read_features("Spend@v1", entities=[{"card_id": "c1"}])
        (found,) = who_read(fs, "c1")
        assert found.features == ("Spend@v1:total",)
