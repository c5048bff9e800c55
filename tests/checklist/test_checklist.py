"""The checklist of a service: each item is told by what was seen, and nothing that was not is ok."""

from pathlib import Path

import pytest

import skewless as sl
from skewless.checklist.checklist import MISSING, OK, SKIPPED
from skewless.checklist.load import body_of, load
from skewless.clock import SystemClock, from_micros
from skewless.errors import InputError, StoreUnavailable
from tests.alerts.sink import sink
from tests.cli.running import data_of, ran, run_in
from tests.serving.calling import serving

BARE = """
import skewless as sl

card = sl.Entity("card", card_id=str)
pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")


@sl.feature_view(entity=card, source=pays)
class Spend:
    total = pays.amount.sum("1h")


fraud = sl.FeatureService("fraud", [Spend])
"""
COMPLETE = '''
import skewless as sl

card = sl.Entity("card", card_id=str)
pays = sl.Source(
    "pays", schema={"card_id": str, "amount": float}, event_time="at",
    checks=[sl.Check.not_null("amount")],
)


@sl.feature_view(entity=card, source=pays, owner="risk", freshness="1h")
class Spend:
    """What a card spends."""
    total = pays.amount.sum("1h")


fraud = sl.FeatureService("fraud", [Spend], owner="risk", description="Refuses payments.")
example = sl.Example(
    "one payment", of=Spend,
    rows=[{"card_id": "c1", "amount": 2.5, "at": "2026-01-01T10:00:00Z"}],
    at="2026-01-01T10:30:00Z", expect={"total": 2.5},
)
'''


def made(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "features.py").write_text(text)
    with sl.FeatureStore(folder) as fs:
        fs.apply(fs.plan())
        at = from_micros(SystemClock().now() - 60_000_000)
        fs.push("pays", [{"card_id": f"c{n}", "amount": 1.0, "at": at} for n in range(5)])
    return folder


def items(folder: Path, *words: str, code: int = 1) -> dict:
    data = data_of(run_in(folder, "checklist", "fraud", "--json", *words), code)
    assert data["ok"] == all(item["status"] == OK for item in data["items"])
    return {item["name"]: item for item in data["items"]}


def test_a_bare_service_lacks_nearly_everything_and_is_told_what_to_do(tmp_path: Path) -> None:
    found = items(made(tmp_path / "bare", BARE))
    missing = {name for name, item in found.items() if item["status"] == MISSING}
    assert missing == {
        "examples", "owners", "words", "freshness promised", "freshness kept", "checks", "drift",
        "alerts", "leakage",
    }  # fmt: skip
    assert {name for name, item in found.items() if item["status"] == SKIPPED} == {
        "backup", "keys and TLS", "load",
    }  # fmt: skip
    assert all(item["do"] for item in found.values() if item["status"] != OK)
    assert "5 values compared, 0 differ" in found["parity"]["evidence"] or (
        found["parity"]["status"] == OK
    )


def test_a_service_that_has_it_all_shows_the_evidence(tmp_path: Path) -> None:
    folder = made(tmp_path / "complete", COMPLETE)
    with sl.FeatureStore(folder) as fs:
        fs.tend(everything=True)
        fs.push("pays", [{"card_id": "c1", "amount": 1.0, "at": from_micros(SystemClock().now())}])
        spine = [
            {"card_id": f"c{n}", "at": from_micros(SystemClock().now()), "label": n % 2}
            for n in range(5)
        ]
        training = fs.get_historical_features(spine, "fraud", timestamp="at")
        fs.leakage(training, timestamp="at", label="label")
    ran(run_in(folder, "registry", "export", "backup.json"))
    found = items(folder, "--backup", "backup.json")
    told = {name: item["evidence"] for name, item in found.items() if item["status"] == OK}
    assert told["examples"] == "1 example of 1 view hold"
    assert told["owners"] == "risk"
    assert told["freshness promised"] == "Spend 1h"
    assert "in 100.0% of 1 looks" in told["freshness kept"]
    assert told["checks"] == "1 check hold"
    assert ", 0 differ" in told["parity"]
    assert "clean" in told["leakage"]
    assert told["backup"].endswith("revision 1 of 1")
    assert {n for n, i in found.items() if i["status"] != OK} == {
        "drift", "alerts", "keys and TLS", "load",
    }  # fmt: skip


def test_alerts_are_routed_when_a_receiver_has_taken_a_message(tmp_path: Path) -> None:
    folder = made(tmp_path / "repo", COMPLETE)
    assert items(folder)["alerts"]["evidence"] == "alerts have no receiver"
    with sink() as hook:
        settings = f"""[alerts]
allow = ["127.0.0.1"]
[alerts.receivers.risk]
kind = "webhook"
url = "{hook.url}"
"""
        file = folder / "skewless.toml"
        file.write_text(settings + 'owners = ["ops"]\n')
        assert "nobody is told of Spend/freshness" in items(folder)["alerts"]["evidence"]
        file.write_text(settings)
        found = items(folder)["alerts"]
        assert (found["status"], found["do"]) == (MISSING, "skewless alert test")
        hook.down = 500
        assert "HTTP 500" in run_in(folder, "alert", "test").stdout
        assert items(folder)["alerts"]["status"] == MISSING
        hook.down = None
        assert "risk: took it" in ran(run_in(folder, "alert", "test")).output
        assert [message["action"] for message in hook.taken] == ["trigger", "resolve"]
        found = items(folder)["alerts"]
        assert found["status"] == OK
        assert found["evidence"].startswith("risk took the last one")


def test_a_backup_of_an_older_revision_is_none(tmp_path: Path) -> None:
    folder = made(tmp_path / "repo", COMPLETE)
    ran(run_in(folder, "registry", "export", "backup.json"))
    (folder / "features.py").write_text(COMPLETE.replace('sum("1h")', 'sum("2h")'))
    with sl.FeatureStore(folder) as fs:
        fs.apply(fs.plan())
    item = items(folder, "--backup", "backup.json")["backup"]
    assert (item["status"], item["evidence"]) == (MISSING, "backup.json: revision 1 of 2")


def test_a_running_server_is_asked_for_keys_and_put_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "repo", COMPLETE)
    load_of = ("--rate", "50", "--seconds", "1", "--p99", "9000")
    with serving(folder, tmp_path) as server:
        found = items(folder, "--server", server.url, *load_of)
        assert found["load"]["status"] == OK, found["load"]
        assert "requests/s, p50" in found["load"]["evidence"]
        assert found["keys and TLS"]["evidence"] == "without a key: 200, no TLS"
        refused = items(folder, "--server", server.url, *load_of[:4], "--p99", "0.1")["load"]
        assert refused["status"] == MISSING
    key = data_of(run_in(folder, "keys", "create", "--scope", "read", "--json"))["key"]
    with serving(folder, tmp_path) as server:
        without = items(folder, "--server", server.url, *load_of)
        assert without["keys and TLS"]["evidence"] == "without a key: 401, no TLS"
        assert without["load"]["status"] == MISSING
        assert "401" in without["load"]["evidence"]
        monkeypatch.setenv("SKEWLESS_KEY", key)
        assert items(folder, "--server", server.url, *load_of)["load"]["status"] == OK


def test_nobody_at_an_address_is_an_error_and_no_result() -> None:
    with pytest.raises(StoreUnavailable):
        load("http://127.0.0.1:9", [body_of("x", [{}])], rate=1, seconds=1)
    with pytest.raises(InputError):
        load("ftp://x", [b""], rate=1, seconds=1)
