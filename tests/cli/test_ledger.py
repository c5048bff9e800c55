"""The ledger at the command line."""

import json
from pathlib import Path

from tests.cli.running import data_of, ran, run_in


def test_the_command_shows_runs_and_records_and_verifies(shop: Path) -> None:
    ran(run_in(shop, "compact"))
    newest, *_ = data_of(run_in(shop, "ledger", "--json"))
    assert (newest["job"], newest["status"]) == ("compact", "done")
    assert "compact" in ran(run_in(shop, "ledger", "runs", "--job", "compact")).stdout
    listed = data_of(run_in(shop, "ledger", "list", "--kind", "run", "--json"))
    assert listed[0]["data"]["run"] == newest["id"]
    shown = data_of(run_in(shop, "ledger", "show", listed[0]["record"]))
    assert shown == listed[0]
    assert data_of(run_in(shop, "ledger", "verify", "--json"))["problems"] == []
    ran(run_in(shop, "ledger", "show", "nobody:1"), 2)
    ran(run_in(shop, "ledger", "show"), 2)


def test_the_command_exits_with_1_when_a_record_was_altered(shop: Path) -> None:
    ran(run_in(shop, "compact"))
    (file,) = (shop / ".skewless" / "ledger").rglob("*.jsonl")
    file.write_text(file.read_text().replace('"job":"compact"', '"job":"nothing"', 1))
    report = data_of(run_in(shop, "ledger", "verify", "--json"), 1)
    assert report["ok"] is False
    (damage,) = report["problems"]
    line = file.read_text().splitlines()[damage["line"] - 1]
    assert '"job":"nothing"' in line
    assert json.loads(line)["n"] == damage["n"]
