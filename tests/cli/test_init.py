"""`skewless init` makes a repo that runs as its README says."""

import dataclasses
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skewless.cli.starter import files
from skewless.config import Config
from tests.cli.running import data_of, ran, run_in


def commands_of(readme: str) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"^\$ skewless (.*)$", readme, re.MULTILINE)]


def test_commands_of_the_readme_run_in_order(tmp_path: Path) -> None:
    ran(run_in(tmp_path, "init", "shop"))
    commands = commands_of((tmp_path / "shop" / "README.md").read_text(encoding="utf-8"))
    assert [words[0] for words in commands] == [
        "plan", "apply", "push", "get", "explain", "historical", "status", "doctor",
    ]  # fmt: skip
    for words in commands:
        ran(run_in(tmp_path / "shop", *words))
    assert (tmp_path / "shop" / "training.parquet").exists()


def test_python_of_the_readme_runs(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (shop / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shop)
        exec(compile(code, "README.md", "exec"), {})
    assert "'card_id': ['c1']" in capsys.readouterr().out


def test_commands_said_to_be_next_come_first(tmp_path: Path) -> None:
    found = data_of(run_in(tmp_path, "init", "shop", "--json"))
    assert found["next"] == ["cd shop", "skewless plan", "skewless apply"]
    assert sorted(found["files"]) == sorted(
        p.relative_to(tmp_path / "shop").as_posix()
        for p in (tmp_path / "shop").rglob("*")
        if p.is_file()
    )


def test_this_folder_is_the_default(tmp_path: Path) -> None:
    found = data_of(run_in(tmp_path, "init", "--json"))
    assert found["folder"] == str(tmp_path)
    assert found["next"][0] == "skewless plan"


def test_files_that_are_there_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text("mine")
    result = ran(run_in(tmp_path, "init"), 2)
    assert "got:      features.py" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["features.py"]
    assert (tmp_path / "features.py").read_text() == "mine"


def test_gitignore_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    ran(run_in(tmp_path, "init"))
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_rows_are_said_to_be_synthetic_and_lie_in_the_past() -> None:
    now = datetime(2026, 1, 31, 10, tzinfo=UTC)
    made = files("shop", now)
    assert "**synthetic**" in made["README.md"]
    times = re.findall(r"\d{4}-\d\d-\d\dT[\d:]+Z", made["data/payments.csv"])
    moments = [datetime.fromisoformat(time) for time in times]
    assert now - timedelta(days=3, seconds=1) <= min(moments) <= max(moments) < now
    assert moments == sorted(moments)


def test_rows_are_the_same_each_time_for_one_moment() -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert files("shop", now) == files("shop", now)


def test_settings_of_a_new_repo_are_the_defaults(new_shop: Path) -> None:
    written = Config.read(new_shop)
    (new_shop / "skewless.toml").unlink()
    assert written == dataclasses.replace(Config.read(new_shop), project="shop")
