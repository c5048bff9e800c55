"""Help, examples and the page of the docs say what the commands really take."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from skewless.cli.main import COMMANDS, main
from skewless.cli.options import Command

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
NAMES = [name for commands in COMMANDS.values() for name in commands]


def command(name: str) -> Command:
    found = main.get_command(click.Context(main), name)
    assert isinstance(found, Command)
    return found


def table_of_commands() -> list[str]:
    lines = ["| command | what it does | exits with 1 when |", "|---|---|---|"]
    for commands in COMMANDS.values():
        for name, (_, summary) in commands.items():
            lines.append(f"| `{name}` | {summary} | {command(name).no} |")
    return lines


@pytest.mark.parametrize("name", NAMES)
def test_summary_is_the_first_line_of_the_help(name: str) -> None:
    summaries = {n: text for commands in COMMANDS.values() for n, (_, text) in commands.items()}
    first = (command(name).help or "").split("\n\n")[0].replace("\n", " ")
    assert first.startswith(summaries[name].rstrip("."))


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_an_example_and_json(name: str) -> None:
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == 0
    assert f"  skewless {name}" in shown.output.partition("Example:")[2]
    assert "--json" in shown.output


@pytest.mark.parametrize("name", NAMES)
def test_example_names_options_that_exist(name: str) -> None:
    for line in command(name).example.replace("\\\n", " ").splitlines():
        words = shlex.split(line.partition("|")[2] or line)
        if words[0] == "skewless":
            shown = CliRunner().invoke(main, [*words[1:], "--help"])
            assert shown.exit_code == 0, shown.output
            assert words[1] == name


def test_repo_is_an_option_of_all_that_work_on_one() -> None:
    without = [n for n in NAMES if "repo" not in {p.name for p in command(n).params}]
    assert without == ["init", "demo", "version", "import"]


def test_page_of_the_docs_has_the_table_of_commands() -> None:
    found = re.findall(r"^\|.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = table_of_commands()
    assert found[: len(wanted)] == wanted, "put this into docs/cli.md:\n" + "\n".join(wanted)


def test_page_of_the_docs_has_a_section_and_every_option_of_each_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [name for name in NAMES if f"`skewless {name}" not in text]
    assert missing == []
    options = {
        option
        for name in NAMES
        for parameter in command(name).params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }
    assert sorted(option for option in options if option not in text) == []
