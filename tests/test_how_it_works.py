"""docs/how-it-works.md names files that exist, and keeps its paths short."""

import re
import tomllib
from pathlib import Path

import pytest

import skewless

SOURCES = Path(skewless.__file__).parent
ROOT = SOURCES.parents[1]
PAGE = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
PATHS = ("apply", "push", "materialization", "online read", "training set")
STAGES, FILES = 5, 7


def files_in(text: str) -> list[str]:
    """Return the files and folders of the package that a text names, each once."""
    named = re.findall(r"`([a-z_][a-z_0-9/]*(?:\.py|/))`", text)
    return list(dict.fromkeys(named))


def stages_of(path: str) -> list[str]:
    """Return the rows of the table below the heading of a path."""
    section = re.search(rf"^## One {path}\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, f"no section about one {path}"
    return re.findall(r"^\| \d\. .*$", section[1], re.MULTILINE)


def test_every_file_it_names_exists() -> None:
    named = [name for name in files_in(PAGE) if name != "src/skewless/"]
    assert len(named) > 50
    assert [name for name in named if not (SOURCES / name).exists()] == []


@pytest.mark.parametrize("path", PATHS)
def test_a_path_has_five_stages_and_few_files(path: str) -> None:
    stages = stages_of(path)
    assert [row[2] for row in stages] == [str(number + 1) for number in range(STAGES)]
    assert all(files_in(row) for row in stages)
    assert len(files_in("\n".join(stages))) <= FILES


def test_the_order_of_imports_is_that_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    layers = [re.sub(r"[()]", "", layer) for layer in reversed(contract["layers"])]
    shown = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    assert [part.strip() for part in shown[1].split("<-")] == layers
