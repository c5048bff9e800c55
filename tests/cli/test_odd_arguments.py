"""Odd arguments of commands: an exit code and an error of ours, whatever stands on the line."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from skewless.cli.main import main
from tests.cli.running import ran, run_in

DEFINITIONS = """
import skewless as sl

e = sl.Entity("e", k=str)
s = sl.Source("s", schema={"k": str, "n": int, "j": sl.Json}, event_time="at", row_id="k")


@sl.feature_view(entity=e, source=s)
class V:
    n = s.n.latest()
    c = s.count("1h")


svc = sl.FeatureService("svc", [V])
"""
ODD = ["", "a", "-1", "1e400", "nan", "9" * 5000, "2026-13-01", "2026-01-01T00:00:00",
       "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "é", "\u202e", "\udc80", "x" * 100_000,
       "{}", "[1]", '{"k":', "k=a", "k=", "=", "k==", "n=1e400", "V", "V:n", "V:", "V@v1:n", "V@v99:n",
       "V@vx", "V@v\u00b2:n", "V@v" + "9" * 5000, "@", "::", "svc", "s", "e", "-", "/dev/null",
       "rows.jsonl", "nothere", ".", "\n", "%s", "*", "1d", "-1d", "99999999d", "a\nb",
       "bin.parquet", "odd.csv", "empty.json", "deep.json", "bad.json"]  # fmt: skip
KNOWN = ["V", "V:n", "s", "svc", "k=a", "rows.jsonl"]
INPUTS: list[str | bytes | None] = [
    None,
    "",
    "n\n",
    "{}\n",
    b"\xff\n",
    '{"k":"a","n":"x","at":1}\n',
]
NOT_HERE = {"serve", "ui", "mcp", "demo", "capacity", "init", "stream"}  # stay, or take their time
NO_OPTIONS = {"--help", "--host", "--port", "--follow", "--watch", "--yes"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from commands(command, (*path, name))
            elif name not in NOT_HERE:
                yield (*path, name)


def command_of(path: tuple[str, ...]) -> click.Command:
    found: click.Command | None = main
    for name in path:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), name)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "features.py").write_text(DEFINITIONS)
    (folder / "rows.jsonl").write_text('{"k":"a","n":1,"at":"2026-01-01T00:00:00Z"}\n')
    (folder / "bin.parquet").write_bytes(random.Random(1).randbytes(200))
    (folder / "odd.csv").write_bytes(b'k,k,\n1,2,3\n"')
    (folder / "empty.json").write_text("")
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "bad.json").write_bytes(b'\xff{"k":1}')
    ran(run_in(folder, "apply", "--yes"))
    ran(run_in(folder, "push", "s", "rows.jsonl"))
    return folder


@pytest.mark.parametrize("path", sorted(commands(main)), ids=" ".join)
def test_odd_arguments_are_refused_in_our_words(repo: Path, path: tuple[str, ...]) -> None:
    chance = random.Random(" ".join(path))
    parameters = command_of(path).params
    for _ in range(12):
        words: list[str] = []
        for each in parameters:
            choices = getattr(each.type, "choices", None)
            if isinstance(each, click.Argument):
                words.append(chance.choice([*(choices or KNOWN), chance.choice(ODD)]))
            elif chance.random() < 0.25 and not NO_OPTIONS & set(each.opts):
                words.append(each.opts[0])
                words += [] if getattr(each, "is_flag", False) else [chance.choice(ODD)]
        found = run_in(repo, *path, *words, input=chance.choice(INPUTS))
        told = [word[:80] for word in words]
        if not isinstance(found.exception, SystemExit):
            assert found.exception is None, (told, found.exception)
        assert found.exit_code in (0, 1, 2, 3), told
        assert "Traceback" not in found.output, told


@pytest.mark.parametrize("name", ["V@vx", "V@v\u00b2", "V@v" + "9" * 5000, "V@v", "V@v1@v1"])
def test_a_version_that_is_none_is_not_taken_for_the_current_one(repo: Path, name: str) -> None:
    for words in (
        ("show", name), ("show", f"{name}:n"), ("get", f"{name}:n", "k=a"), ("get", name, "k=a"),
        ("read", name), ("statistics", name), ("verify", name), ("retire", name),
        ("materialize", name), ("lineage", name), ("deprecate", name, "old"),
    ):  # fmt: skip
        found = run_in(repo, *words, "--json")
        assert found.exit_code == 2, (words[0], found.output[:300])
        assert json.loads(found.stdout)["what"]


def test_text_that_is_no_unicode_is_refused_by_the_registry(repo: Path) -> None:
    for words in (("V", "\udc80"), ("V", "old", "--who", "\udc80"), ("\udc80", "old")):
        assert run_in(repo, "deprecate", *words).exit_code == 2
