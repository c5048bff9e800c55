"""Results show themselves in a notebook: Jupyter runs the cells, and what it shows is looked at."""

from pathlib import Path

import nbclient
import nbformat
import pytest

CELLS = (
    """
import datetime as dt
import skewless as sl

card = sl.Entity("card", card_id=str)
pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")

@sl.feature_view(entity=card, source=pays, freshness="1h")
class Spend:
    total = pays.amount.sum("1h").describe("what was paid", unit="EUR")
    last = pays.amount.latest()
""",
    "fs = sl.FeatureStore('.')\nplan = fs.plan(Spend)\nplan",
    """
_ = fs.apply(plan)
now = dt.datetime.now(dt.timezone.utc)
rows = [{"card_id": "<c1>", "amount": 2.5, "at": now - dt.timedelta(minutes=5)}]
fs.push(pays, rows, backdate=True)
""",
    "fs.get_online_features(Spend, [{'card_id': '<c1>'}, {'card_id': 'nobody'}])",
    "fs.get_historical_features([{'card_id': '<c1>', 'label': 1, 'at': now}], Spend, timestamp='at')",
    "fs.explain(Spend.total, {'card_id': '<c1>'})",
    "fs.freshness()",
    "fs.statistics(Spend)",
    "fs.show(Spend)",
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What Jupyter shows below each cell, as HTML; empty where it shows none."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    folder: Path = tmp_path_factory.mktemp("book")
    client = nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return [
        "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
        for cell in book.cells
    ]


def test_a_plan_is_drawn_with_its_signs_in_colour(shown: list[str]) -> None:
    assert "+ feature view Spend" in shown[1]
    assert "<span style" in shown[1]


def test_vectors_are_drawn_with_values_and_statuses(shown: list[str]) -> None:
    html = shown[3]
    assert ">2.5<" in html
    assert "&lt;c1&gt;" in html
    assert "<c1>" not in html
    assert 'title="unknown"' in html


def test_a_training_set_is_drawn_with_its_first_rows(shown: list[str]) -> None:
    assert "label" in shown[4]
    assert ">2.5<" in shown[4]
    assert "TrainingSet(1 rows x 2 features" in shown[4]


def test_an_explanation_is_drawn_with_its_rows(shown: list[str]) -> None:
    assert 'title="counted"' in shown[5]
    assert "sum of pays.amount" in shown[5]


@pytest.mark.parametrize(("cell", "text"), [(6, "Spend@v1"), (7, "1 entities"), (8, "in EUR")])
def test_reports_are_drawn(shown: list[str], cell: int, text: str) -> None:
    assert text in shown[cell]
