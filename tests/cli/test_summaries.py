"""status and plan of a thousand features: totals first, what needs a person first, owners, filters."""

from pathlib import Path

import pytest

import skewless as sl
from tests.cli.running import data_of, ran, run_in

DEFINITIONS = """
import skewless as sl

card = sl.Entity("card", card_id=str)
pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
views = [
    sl.FeatureView(
        f"Spend{n}", entity=card, source=pays, owner=("fraud", "risk")[n % 2], freshness="1h",
        features={f"sum_{k}": pays.amount.sum(f"{k + n}m") for k in range(1, FEATURES)},
    )
    for n in range(1, VIEWS)
]
"""


def definitions(features: int, views: int) -> str:
    return DEFINITIONS.replace("FEATURES", str(features)).replace("VIEWS", str(views))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "features.py").write_text(definitions(11, 41))
    return tmp_path


def test_a_plan_of_hundreds_of_features_is_totals_and_names(folder: Path) -> None:
    text = ran(run_in(folder, "plan")).output
    assert text.splitlines()[0].startswith("Plan: 42 to add, 0 to change, 0 to remove")
    assert "Owners: fraud 20, risk 20, nobody 2" in text
    assert "and 32 more" in text
    assert "skewless plan --all" in text
    assert "+ sum_3" not in text
    assert len(text.splitlines()) < 30
    everything = ran(run_in(folder, "plan", "--all")).output
    assert everything.count("+ sum_3:") == 40
    mine = ran(run_in(folder, "plan", "--owner", "risk", "--all")).output
    assert mine.splitlines()[0].startswith("Plan: 20 to add")
    assert "Spend2\n" not in mine
    assert "+ sum_3" not in ran(run_in(folder, "plan", "--summary", "--owner", "risk")).output


def test_a_change_that_breaks_comes_before_what_is_added(folder: Path) -> None:
    ran(run_in(folder, "apply", "--yes"))
    more = definitions(12, 61).replace("pays.amount.sum(", "pays.amount.mean(", 1)
    (folder / "features.py").write_text(more)
    text = ran(run_in(folder, "plan")).output
    assert text.index("Other values") < text.index("Added:")
    assert "feature view     20            40" in text


def test_status_says_totals_owners_and_the_first_of_what_needs_somebody(folder: Path) -> None:
    ran(run_in(folder, "apply", "--yes"))
    with sl.FeatureStore(folder) as fs:
        fs.push(
            "pays", [{"card_id": "c1", "amount": 1.0, "at": "2026-01-01T00:00:00Z"}], backdate=True
        )
    text = ran(run_in(folder, "status")).output
    assert text.splitlines()[0] == "40 views: 40 stale"
    assert "and 10 more views: skewless status --all" in text
    lines = ran(run_in(folder, "status", "--summary")).output.split("\n\n")[1].splitlines()
    assert [line.split()[:3] for line in lines[-2:]] == [
        ["fraud", "20", "20"],
        ["risk", "20", "20"],
    ]
    assert ran(run_in(folder, "status", "--all")).output.count("Spend40@v1") >= 1
    data = data_of(run_in(folder, "status", "--owner", "risk", "--json"))
    assert len(data["views"]) == data["totals"]["statuses"]["stale"] == 20
    assert ran(run_in(folder, "status", "--only", "ok")).output.splitlines()[0] == "0 views: none"
    assert run_in(folder, "status", "--check", "--owner", "risk").exit_code == 1
