"""plan, apply, history, retire and deprecate: the life of definitions."""

from pathlib import Path

import pytest

from tests.cli.running import data_of, ran, run_in


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "features.py"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_plan_shows_what_would_be_added_and_writes_nothing(new_shop: Path) -> None:
    result = ran(run_in(new_shop, "plan"))
    assert "Plan: 4 to add, 0 to change, 0 to remove (registry revision 0)." in result.stdout
    assert not (new_shop / ".skewless").exists()


def test_plan_as_json_has_the_steps(new_shop: Path) -> None:
    found = data_of(run_in(new_shop, "plan", "--json"))
    assert [(step["kind"], step["name"]) for step in found["steps"]] == [
        ("entity", "card"),
        ("source", "payments"),
        ("feature view", "Spend"),
        ("feature service", "fraud_model"),
    ]


def test_plan_estimates_states_from_history_and_status_shows_what_they_are(shop: Path) -> None:
    change(shop, '"1h"', '"2h"')
    found = data_of(run_in(shop, "plan", "--json"))["states"]
    assert [state["views"] for state in found] == [["Spend"]]
    shown = ran(run_in(shop, "plan")).stdout
    assert "The state of an entity online, estimated from history" in shown
    assert "Spend (payments by card): " in shown
    (stored,) = data_of(run_in(shop, "status", "--json"))["states"]
    assert stored["views"] == ["Spend@v1"]
    assert stored["entities"] == found[0]["entities"]
    assert "Spend@v1 (payments by card): " in ran(run_in(shop, "status")).stdout


def test_check_says_no_while_there_is_something_to_apply(new_shop: Path) -> None:
    ran(run_in(new_shop, "plan", "--check"), 1)
    assert data_of(run_in(new_shop, "plan", "--check", "--json"), 1)["is_empty"] is False
    ran(run_in(new_shop, "apply", "--yes"))
    ran(run_in(new_shop, "plan", "--check"))


def test_apply_asks_and_applies_when_told_yes(new_shop: Path) -> None:
    result = ran(run_in(new_shop, "apply", input="y\n"))
    assert "Apply this?" in result.stderr
    assert "Applied: the registry is at revision 1." in result.stdout


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_apply_that_is_declined_changes_nothing(new_shop: Path, answer: str) -> None:
    result = ran(run_in(new_shop, "apply", input=answer), 1)
    assert "Nothing has changed." in result.stderr
    ran(run_in(new_shop, "plan", "--check"), 1)


def test_apply_with_nobody_to_ask_is_an_error_that_names_the_option(new_shop: Path) -> None:
    result = ran(run_in(new_shop, "apply", input=""), 2)
    assert "--yes" in result.stderr


def test_apply_as_json_keeps_the_plan_for_people_off_stdout(new_shop: Path) -> None:
    result = run_in(new_shop, "apply", "--yes", "--json")
    assert data_of(result)["revision"] == 1
    assert "Plan: 4 to add" in result.stderr


def test_apply_of_nothing_asks_nothing(shop: Path) -> None:
    result = ran(run_in(shop, "apply"))
    assert "No changes" in result.stdout


def test_breaking_change_is_refused_until_it_is_allowed(shop: Path) -> None:
    change(shop, '    payments_24h = payments.count("24h")\n', "")
    assert "Breaking:" in ran(run_in(shop, "plan", "--repin-all")).stdout
    result = ran(run_in(shop, "apply", "--yes", "--repin", "fraud_model"), 2)
    assert "Error:" in result.stderr
    ran(run_in(shop, "apply", "--yes", "--repin", "fraud_model", "--allow-breaking"))
    ran(run_in(shop, "plan", "--check"))


def test_definition_that_is_wrong_names_file_and_line(shop: Path) -> None:
    change(shop, "payments.amount.sum", "payments.amonut.sum")
    result = ran(run_in(shop, "plan"), 2)
    assert "has no column 'amonut'" in result.stderr
    assert "features.py, line" in result.stderr
    assert "Traceback" not in result.stderr


def test_history_lists_changes_newest_first(shop: Path) -> None:
    ran(run_in(shop, "deprecate", "Spend:jump", "use usual_amount", "--who", "ada"))
    found = data_of(run_in(shop, "history", "--json"))
    assert [revision["number"] for revision in found] == [2, 1]
    assert found[0]["who"] == "ada"
    assert len(data_of(run_in(shop, "history", "--limit", "1", "--json"))) == 1
    assert "+Spend" in ran(run_in(shop, "history")).stdout


def test_history_of_nothing_says_what_to_do(new_shop: Path) -> None:
    assert "skewless apply" in ran(run_in(new_shop, "history")).stdout


def test_old_version_is_retired_once_nothing_is_pinned_to_it(shop: Path) -> None:
    change(shop, "usual_amount = payments.amount.mean(", "usual_amount = payments.amount.max(")
    ran(run_in(shop, "apply", "--yes"))
    refused = ran(run_in(shop, "retire", "Spend@v1"), 2)
    assert "fraud_model" in refused.stderr
    ran(run_in(shop, "apply", "--yes", "--repin-all"))
    assert "Spend@v1 is retired" in ran(run_in(shop, "retire", "Spend@v1")).stdout
    assert "retired" in ran(run_in(shop, "get", "Spend@v1:jump", "card_id=c1"), 2).stderr


@pytest.mark.parametrize("version", ["Spend", "Spend@v", "Spend@vx"])
def test_only_a_version_can_be_retired(shop: Path, version: str) -> None:
    assert "such as Spend@v1" in ran(run_in(shop, "retire", version), 2).stderr


def test_deprecation_is_made_and_taken_back(shop: Path) -> None:
    found = data_of(
        run_in(shop, "deprecate", "Spend:jump", "noisy", "--sunset", "2099-06-30", "--json")
    )
    assert (found["target"], found["sunset"], found["revision"]) == ("Spend:jump", "2099-06-30", 2)
    assert "no longer" in ran(run_in(shop, "deprecate", "Spend:jump", "--undo")).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Spend:jump"], "needs a reason"),
        (["Spend:jump", "noisy", "--undo"], "needs a reason"),
        (["Spend:jump", "noisy", "--sunset", "soon"], "2027-06-30"),
        (["Spent", "noisy"], "Did you mean 'Spend'?"),
    ],
)
def test_wrong_deprecation_is_an_error(shop: Path, words: list[str], said: str) -> None:
    assert said in ran(run_in(shop, "deprecate", *words), 2).stderr


def test_rules_of_names_are_shown_and_kept_on_request(new_shop: Path):
    (new_shop / "skewless.toml").write_text('[lint]\nfeatures = "[a-z]{40}"\n')
    assert "is not named like [a-z]{40}" in ran(run_in(new_shop, "plan", "--lint"), 1).stdout
    assert data_of(run_in(new_shop, "plan", "--json"))["lint"][0]["rule"] == "features"
    refused = run_in(new_shop, "apply", "--lint", "--yes")
    assert refused.exit_code != 0
    assert "Rules" in refused.output
    assert "revision 0" in ran(run_in(new_shop, "plan")).stdout
    ran(run_in(new_shop, "apply", "--yes"))
