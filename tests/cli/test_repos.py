"""Which folder a command works on, and in which words it speaks."""

import re
from pathlib import Path

import pytest

from skewless.cli.wording import in_shell
from tests.cli.running import data_of, ran, run_in

SOURCES = Path(__file__).parent.parent.parent / "src" / "skewless"


@pytest.mark.parametrize("words", [("get", "V", "k=a"), ("plan",), ("status",), ("list",)])
def test_folder_that_is_no_repo_is_told_and_left_as_it_is(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    problem = ran(run_in(tmp_path, *words), 2).stderr
    assert "this folder is no repo" in problem
    assert "skewless init" in problem
    assert list(tmp_path.iterdir()) == []
    assert (
        "that folder is no repo" in ran(run_in(tmp_path, *words, "--repo", str(tmp_path)), 2).stderr
    )


def test_repo_is_found_upwards(shop: Path) -> None:
    below = shop / "notebooks" / "old"
    below.mkdir(parents=True)
    assert data_of(run_in(below, "list", "--json")) == data_of(run_in(shop, "list", "--json"))
    assert list(below.iterdir()) == []


def test_folder_with_its_own_state_is_not_left_for_one_above(shop: Path) -> None:
    own = shop / "own"
    (own / ".skewless").mkdir(parents=True)
    assert data_of(run_in(own, "list", "--json")) == []


def test_first_card_of_a_new_repo_has_rows_in_every_window(shop: Path) -> None:
    (row,) = data_of(run_in(shop, "get", "fraud_model", "card_id=c1", "--json"))["rows"]
    assert {each["status"] for each in row["features"].values()} == {"present"}
    found = data_of(run_in(shop, "explain", "Spend:amount_sum_1h", "card_id=c1", "--json"))
    assert found["aggregates"][0]["verdicts"]["counted"] >= 2


def test_naive_time_on_the_command_line_is_answered_in_its_words(shop: Path) -> None:
    problem = ran(
        run_in(shop, "get", "fraud_model", "card_id=c1", "--at", "2026-11-30T00:00"), 2
    ).stderr
    assert "2026-11-30T00:00:00Z" in problem
    assert "tzinfo" not in problem


def test_breaking_change_names_the_option(shop: Path) -> None:
    file = shop / "features.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("    usual_amount =", "    usual ="), encoding="utf-8")
    problem = ran(run_in(shop, "apply", "--yes", "--repin-all"), 2).stderr
    assert "--allow-breaking" in problem
    assert "=True" not in problem


def test_every_hint_in_python_has_words_for_the_shell() -> None:
    """A hint with an argument of Python's is read in a shell too."""
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for hint in re.findall(r'hint=f?"([^"]*)"', text):
            if re.search(r"\b(allow_breaking|full_names|backdate)=|tzinfo|quarantine\(\)", hint):
                found.append(hint)
    assert len(found) >= 4
    python = r"=True|tzinfo|\(\)|as_of='"
    assert [hint for hint in found if re.search(python, in_shell(hint))] == []
