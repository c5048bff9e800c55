"""list and show: what is defined."""

from pathlib import Path

import pytest

from tests.cli.running import Run, data_of, ran, run_in


def test_list_has_a_line_for_each_definition(run: Run) -> None:
    found = data_of(run("list", "--json"))
    assert [(line["kind"], line["name"]) for line in found] == [
        ("entity", "card"),
        ("source", "payments"),
        ("feature view", "Spend@v1"),
        ("feature service", "fraud_model"),
    ]
    assert "Spend@v1" in ran(run("list", "views")).stdout
    assert "payments" not in ran(run("list", "services")).stdout


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Spend", "feature view Spend@v1"),
        ("Spend@v1", "usual_amount"),
        ("Spend:usual_amount", "fraud_model"),
        ("payments", "card_id"),
        ("card", "join key"),
        ("fraud_model", "Spend@v1:usual_amount"),
    ],
)
def test_show_prints_what_there_is_to_know(run: Run, name: str, shown: str) -> None:
    assert shown in ran(run("show", name)).stdout
    assert data_of(run("show", name, "--json"))["kind"]


def test_show_of_a_name_that_is_not_there_says_which_are(run: Run) -> None:
    assert "Did you mean 'Spend'?" in ran(run("show", "Spent"), 2).stderr


def test_list_of_a_repo_to_which_nothing_was_applied_says_what_to_do(new_shop: Path) -> None:
    assert "skewless plan" in ran(run_in(new_shop, "list")).stderr
