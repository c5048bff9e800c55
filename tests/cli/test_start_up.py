"""The command starts fast: what is heavy is imported when it is needed."""

import subprocess
import sys
import time

import pytest

from skewless.cli.main import COMMANDS

HEAVY = ("numpy", "pyarrow", "lmdb", "tqdm", "msgspec", "polars", "pandas", "sqlite3")
NAMES = [name for commands in COMMANDS.values() for name in commands]


def imported_by(*words: str) -> set[str]:
    code = (
        "import sys\n"
        "from skewless.cli.main import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit: pass\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
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
