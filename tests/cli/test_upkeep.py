"""materialize, backfill and compact, on a source with a table."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.running import data_of, ran, run_in

FEATURES = """
import skewless as sl
card = sl.Entity("card", card_id=str)
payments = sl.Source("payments", schema={"card_id": str, "amount": float}, event_time="at",
                     table=sl.Parquet("history/"))
@sl.feature_view(entity=card, source=payments)
class Spend:
    total = payments.amount.sum(last=10)
"""


def write(folder: Path, name: str, *amounts: float) -> None:
    at = [datetime.now(UTC) - timedelta(hours=1)] * len(amounts)
    (folder / "history").mkdir(exist_ok=True)
    table = pa.table({"card_id": ["c1"] * len(amounts), "amount": list(amounts), "at": at})
    pq.write_table(table, folder / "history" / name)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "features.py").write_text(FEATURES)
    write(tmp_path, "1.parquet", 1.0, 2.0)
    ran(run_in(tmp_path, "apply", "--yes"))
    return tmp_path


def total(repo: Path) -> object:
    found = data_of(run_in(repo, "get", "Spend", "card_id=c1", "--json"))
    return found["rows"][0]["features"]["total"]["value"]


def test_materialize_brings_new_files_online(repo: Path) -> None:
    ran(run_in(repo, "materialize"))
    assert total(repo) == 3.0
    write(repo, "2.parquet", 4.0)
    (result,) = data_of(run_in(repo, "materialize", "Spend", "--json"))
    assert (result["entities"], result["skipped"]) == (1, False)
    assert total(repo) == 7.0


def test_materialize_of_what_is_up_to_date_does_nothing(repo: Path) -> None:
    ran(run_in(repo, "materialize"))
    assert "up to date already" in ran(run_in(repo, "materialize")).stdout


def test_backfill_builds_states_anew(repo: Path) -> None:
    ran(run_in(repo, "materialize"))
    (result,) = data_of(run_in(repo, "backfill", "--json"))
    assert (result["entities"], result["rows"]) == (1, 2)
    assert total(repo) == 3.0


def test_materialize_of_an_unknown_view_is_an_error(repo: Path) -> None:
    result = ran(run_in(repo, "materialize", "Spent"), 2)
    assert "Did you mean 'Spend'?" in result.stderr


def test_materialize_without_views_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "features.py").touch()
    assert "skewless apply" in ran(run_in(tmp_path, "materialize")).stderr


def test_compact_settles_pushed_rows_once(shop: Path) -> None:
    rows = len((shop / "data" / "payments.csv").read_text().splitlines()) - 1
    assert f"payments: {rows} rows settled." in ran(run_in(shop, "compact")).stdout
    assert data_of(run_in(shop, "compact", "payments", "--json")) == {"payments": 0}
