"""online: status, copy, rebuild."""

from pathlib import Path

import pytest

from skewless.testing.servers import free_port, running
from tests.cli.running import data_of, ran, run_in

NEXT = '[stores.next]\nkind = "sqlite"\npath = "next.sqlite"\n'


def settings(shop: Path, online: str, stores: str = NEXT) -> None:
    (shop / "skewless.toml").write_text(f'project = "shop"\n[online]\n{online}\n{stores}')


def served(shop: Path) -> object:
    found = data_of(run_in(shop, "get", "Spend:usual_amount", "card_id=c1", "--json"))
    return [row["features"]["usual_amount"]["value"] for row in found["rows"]]


def test_a_store_is_copied_and_used(shop: Path) -> None:
    settings(shop, 'kind = "lmdb"')
    before = served(shop)
    result = data_of(run_in(shop, "online", "copy", "--to", "next", "--json"))
    assert (result["to"], result["resumed"], result["mirrored"]) == ("next", False, False)
    assert sum(table["rows"] for table in result["tables"]) > 50
    shown = ran(run_in(shop, "online", "copy", "--to", "next"))
    assert "next holds the same" in shown.stdout
    assert "set mirror = 'next'" in shown.stderr
    settings(shop, 'store = "next"')
    assert served(shop) == before != [None]
    status = data_of(run_in(shop, "online", "status", "--json"))
    assert status["online"] == {"kind": "sqlite", "where": str(shop / "next.sqlite")}
    assert status["mirror"] is None


def test_a_mirror_shows_what_it_lacks(shop: Path) -> None:
    settings(shop, 'kind = "lmdb"\nmirror = "next"')
    assert "set store = 'next'" in ran(run_in(shop, "online", "copy", "--to", "next")).stderr
    assert "mirror  next has every row" in ran(run_in(shop, "online", "status")).stdout
    unreachable = f'[stores.next]\nkind = "redis"\nurl = "redis://:hush@127.0.0.1:{free_port()}"\n'
    settings(shop, 'kind = "lmdb"\nmirror = "next"', unreachable)
    row = '{"payment_id": "new", "card_id": "c1", "amount": 1.5, "paid_at": "2026-01-01T00:00:00Z"}'
    ran(run_in(shop, "push", "payments", "-", input=row))
    status = run_in(shop, "online", "status", "--json")
    mirror = data_of(status, 1)["mirror"]
    assert mirror["pending"] > 0
    assert "cannot be reached" in mirror["problem"]
    assert "hush" not in status.output
    assert "lacks" in ran(run_in(shop, "online", "status"), 1).stdout


def test_rebuild_makes_states_anew(shop: Path) -> None:
    before = served(shop)
    (result,) = data_of(run_in(shop, "online", "rebuild", "Spend", "--json"))
    assert result["entities"] > 0
    assert served(shop) == before
    assert "entities" in ran(run_in(shop, "online", "rebuild")).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["copy"], "needs --to NAME"),
        (["status", "--to", "next"], "takes no --to"),
        (["copy", "Spend", "--to", "next"], "takes no views"),
        (["copy", "--to", "nexd"], "has no store 'nexd'"),
        (["rebuild", "Spent"], "Did you mean 'Spend'?"),
    ],
)
def test_wrong_usage_is_told(shop: Path, words: list[str], says: str) -> None:
    settings(shop, 'kind = "lmdb"')
    assert says in ran(run_in(shop, "online", *words), 2).stderr


@pytest.mark.server("redis")
def test_a_second_copy_of_the_repo_is_told_of_the_writer_and_takes_over(
    shop: Path, tmp_path: Path
) -> None:
    with running("redis") as server:
        redis = f'[stores.next]\nkind = "redis"\nurl = "{server.url}"\n'
        settings(shop, 'kind = "lmdb"', redis)
        ran(run_in(shop, "online", "copy", "--to", "next"))
        settings(shop, f'kind = "redis"\nurl = "{server.url}"')
        ran(run_in(shop, "push", "payments", "data/payments.csv", "--backdate"))
        before = served(shop)
        writer = data_of(run_in(shop, "online", "status", "--json"))["writer"]
        assert writer["folder"] == str(shop)
        other = tmp_path / "other"
        ran(run_in(tmp_path, "init", "other"))
        settings(other, f'kind = "redis"\nurl = "{server.url}"')
        ran(run_in(other, "apply", "--yes"))
        refused = run_in(other, "push", "payments", "data/payments.csv", "--backdate")
        assert refused.exit_code != 0
        assert str(shop) in refused.stderr
        found = data_of(run_in(other, "doctor", "--json"), 1)["findings"]
        (owner,) = (f for f in found if f["check"] == "owner")
        assert owner["status"] == "fail"
        assert str(shop) in owner["text"]
        assert "adopt" in owner["hint"]
        taken = data_of(run_in(other, "online", "adopt", "--json"))
        assert taken["before"]["place"].endswith(str(shop))
        ran(run_in(other, "push", "payments", "data/payments.csv", "--backdate"))
        assert served(other) == before
        assert run_in(shop, "push", "payments", "data/payments.csv", "--backdate").exit_code != 0
