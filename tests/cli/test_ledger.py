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


def test_a_training_set_is_listed_and_made_again(shop: Path) -> None:
    (shop / "spine.csv").write_text(
        "card_id,at\nc1,2026-03-01T00:00:00Z\nc2,2026-03-01T00:00:00Z\n"
    )
    words = ("historical", "spine.csv", "Spend", "--timestamp", "at", "--out", "train.parquet")
    made = data_of(run_in(shop, *words, "--json"))
    (listed,) = data_of(run_in(shop, "ledger", "sets", "--json"))
    assert (listed["id"], listed["rows"], listed["leakage"]) == (made["id"], 2, "not checked")
    assert made["id"] in ran(run_in(shop, "ledger", "sets")).stdout
    ran(run_in(shop, "rebuild", made["id"]), 2)  # the spine was no Parquet: it is not kept
    for file in ("spine.csv", "train.parquet"):
        again = ran(run_in(shop, "rebuild", made["id"], "--spine", file, "--out", "again.parquet"))
        assert again.stdout == f"{made['id']}: the same 2 rows, to the last bit\n"
        assert (shop / "again.parquet").exists()
    (shop / "spine.csv").write_text(
        "card_id,at\nc9,2026-03-01T00:00:00Z\nc2,2026-03-01T00:00:00Z\n"
    )
    other = data_of(run_in(shop, "rebuild", made["id"], "--spine", "spine.csv", "--json"), 1)
    assert other["changed"][0] == "card_id"
