"""The command starts fast: what is heavy is imported when it is needed."""

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import skewless as sl
from skewless.cli.main import COMMANDS

HEAVY = ("numpy", "pyarrow", "lmdb", "tqdm", "msgspec", "polars", "pandas", "sqlite3")
NAMES = [name for commands in COMMANDS.values() for name in commands]


def imported_by(*words: str, folder: Path | None = None) -> set[str]:
    code = (
        "import sys\n"
        "from skewless.cli.main import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit: pass\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["version"]])
def test_start_imports_nothing_heavy(words: list[str]) -> None:
    assert imported_by(*words) == set()


def test_help_of_every_command_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from skewless.cli.main import main\n"
        f"for name in {NAMES!r}:\n"
        "    try: main([name, '--help'])\n"
        "    except SystemExit as stopped: assert not stopped.code, name\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == []


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo of its own with a view of newest values, one of windows, and a row."""
    folder = tmp_path_factory.mktemp("repo")
    card = sl.Entity("card", card_id=str)
    pays = sl.Source("pays", schema={"card_id": str, "x": float, "word": str}, event_time="at")
    newest = sl.FeatureView(
        "Newest", entity=card, source=pays, features={"now": pays.latest("x", "word")}
    )
    spend = sl.FeatureView(
        "Spend", entity=card, source=pays, features={"sum": pays.x.sum("1h", "2h")}
    )
    with sl.FeatureStore(folder) as store:
        store.apply([newest, spend])
        store.push("pays", [{"card_id": "c1", "x": 1.5, "word": "a", "at": datetime.now(UTC)}])
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["get", "Newest", "card_id=c1"], ["get", "Newest", "card_id=nobody"], ["list"],
        ["show", "Newest"], ["online", "status"],
    ],
)  # fmt: skip
def test_what_needs_no_arrays_imports_no_library_of_arrays(words: list[str], repo: Path) -> None:
    assert imported_by(*words, folder=repo) & {"numpy", "pyarrow", "pandas", "polars"} == set()


def test_a_get_of_windows_imports_numpy_alone(repo: Path) -> None:
    found = imported_by("get", "Spend", "card_id=c1", folder=repo)
    assert found & {"numpy", "pyarrow", "pandas", "polars"} == {"numpy"}


def test_start_up_time_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def seconds(*words: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], capture_output=True, check=True)
        return time.perf_counter() - start

    bare = min(seconds("-c", "pass") for _ in range(3))
    helped = min(seconds("-m", "skewless.cli.main", "--help") for _ in range(3))
    with capsys.disabled():
        print(f"\nskewless --help: {helped:.3f} s, of which Python itself {bare:.3f} s")
    assert helped < 3  # a guard against imports that nobody wanted, not a measurement
