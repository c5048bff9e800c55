"""A repo made by `skewless init`, applied and filled, and a way to run commands in it."""

import shutil
from pathlib import Path

import pytest

from tests.cli.running import Run, ran, run_in


@pytest.fixture(scope="session")
def filled_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "shop"
    ran(run_in(folder.parent, "init", "shop"))
    ran(run_in(folder, "apply", "--yes"))
    ran(run_in(folder, "push", "payments", "data/payments.csv", "--backdate"))
    return folder


@pytest.fixture
def shop(filled_shop: Path, tmp_path: Path) -> Path:
    """A copy of its own of the repo, with its rows pushed."""
    return Path(shutil.copytree(filled_shop, tmp_path / "shop"))


@pytest.fixture
def new_shop(tmp_path: Path) -> Path:
    """A repo to which nothing was applied yet."""
    ran(run_in(tmp_path, "init", "shop"))
    return tmp_path / "shop"


@pytest.fixture
def run(shop: Path) -> Run:
    """Runs a command in the filled repo."""
    return lambda *words, **options: run_in(shop, *words, **options)
