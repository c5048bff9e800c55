"""What is SQLite's own: the file, its damage, and processes that share or leave it."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from skewless.definitions.repo import Definitions
from skewless.errors import CorruptData, RegistryError, StoreError
from skewless.plan.apply.diff import diff
from skewless.registry import sql
from skewless.registry.sqlite import SQLiteRegistry
from skewless.testing.shop import applied, shop, spend

ROOT = Path(__file__).parents[2]


def start(code: str, *arguments: object, **options: Any) -> "subprocess.Popen[str]":
    """Run Python code in a process of its own; it can import the tests."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with SQLiteRegistry(tmp_path / "none" / "registry.db") as registry:
        assert registry.state().revision == 0
    assert list(tmp_path.iterdir()) == []


def test_what_was_applied_is_there_for_the_next_process(tmp_path: Path) -> None:
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        applied(registry, shop())
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        assert registry.state().current == {"Spend": 1, "Payment": 1}


def test_a_reader_sees_what_another_registry_applies(tmp_path: Path) -> None:
    reader, writer = (SQLiteRegistry(tmp_path / "registry.db") for _ in range(2))
    with reader, writer:
        assert reader.state().revision == 0
        applied(writer, spend())
        assert reader.state().revision == 1
        applied(writer, spend("14d"))
        assert reader.state(if_newer_than=1) is not None


def test_a_replaced_file_is_opened_anew(tmp_path: Path) -> None:
    with SQLiteRegistry(tmp_path / "other.db") as other:
        applied(other, spend())
        applied(other, spend("14d"))
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        applied(registry, spend())
        (tmp_path / "other.db").replace(tmp_path / "registry.db")
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"registry.db{suffix}").unlink(missing_ok=True)
        assert registry.state().revision == 2
        applied(registry, spend("30d"))
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        assert registry.state().revision == 3


def test_a_closed_registry_says_so(tmp_path: Path) -> None:
    registry = SQLiteRegistry(tmp_path / "registry.db")
    applied(registry, spend())
    registry.close()
    registry.close()
    with pytest.raises(RegistryError, match="closed"):
        registry.state()


def test_a_registry_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with SQLiteRegistry(path) as registry:
        applied(registry, spend())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE facts SET value = 99 WHERE name = 'format'")
    connection.close()
    with SQLiteRegistry(path) as registry:
        with pytest.raises(RegistryError, match=r"format 99.*Upgrade skewless"):
            registry.state()
        with pytest.raises(RegistryError, match="format 99"):
            registry.set_progress("x", 1)


@pytest.mark.parametrize("first", ["state", "set_progress"])
def test_a_registry_of_an_older_release_is_brought_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    path = tmp_path / "registry.db"
    with SQLiteRegistry(path) as registry:
        applied(registry, spend())
    monkeypatch.setattr(sql, "MIGRATIONS", [*sql.MIGRATIONS, ["CREATE TABLE later (x BIGINT)"]])
    with SQLiteRegistry(path) as registry:
        if first == "state":
            registry.state()
        else:
            registry.set_progress("x", 1)
        assert registry.state().current == {"Spend": 1}
    with closing(sqlite3.connect(path)) as connection, connection:
        formats = connection.execute("SELECT value FROM facts WHERE name = 'format'").fetchall()
        assert formats == [(len(sql.MIGRATIONS),)]
        assert connection.execute("SELECT * FROM later").fetchall() == []
    connection.close()


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "registry.db")) as connection, connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        with pytest.raises(RegistryError, match="another program's tables"):
            registry.state()
        with pytest.raises(RegistryError, match="another program's tables"):
            registry.set_progress("x", 1)


def test_what_is_no_sqlite_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"not a database" * 1000)
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        with pytest.raises(CorruptData, match="damaged, or no SQLite file"):
            registry.state()
        with pytest.raises(CorruptData, match="damaged, or no SQLite file"):
            registry.set_progress("x", 1)


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        SQLiteRegistry(tmp_path / "file" / "registry.db") as registry,
        pytest.raises(StoreError, match="cannot be used"),
    ):
        registry.set_progress("x", 1)


def test_a_file_of_another_user_is_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with SQLiteRegistry(path) as registry:
        applied(registry, spend())
    tmp_path.chmod(0o555)
    path.chmod(0o444)

    def use() -> str:
        with SQLiteRegistry(path) as registry:
            seen = str(dict(registry.state().current))
            try:
                registry.set_progress("x", 1)
            except StoreError as problem:
                return f"{seen}, {problem.what}"
        return f"{seen}, written"

    answer = in_child_as_nobody(use, tmp_path)
    tmp_path.chmod(0o755)
    assert answer == "{'Spend': 1}, the registry cannot be used"


def in_child_as_nobody(use: Callable[[], str], folder: Path) -> str:
    """Return what ``use`` returns in a forked child that is not root."""
    readable, writable = os.pipe()
    inside = [p for p in folder.parents if Path(tempfile.gettempdir()) in p.parents]
    parents = {parent: parent.stat().st_mode for parent in inside}
    for parent in parents:
        parent.chmod(0o755)
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            os.write(writable, use().encode())
        finally:
            os._exit(0)
    os.close(writable)
    os.waitpid(child, 0)
    for parent, mode in parents.items():
        parent.chmod(mode)
    with os.fdopen(readable) as answer:
        return answer.read()


def test_a_forked_child_uses_its_own_connection(tmp_path: Path) -> None:
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        applied(registry, spend())
        child = os.fork()
        if child == 0:
            try:
                registry.set_progress("child", registry.state().revision)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert registry.get_progress("child") == 1


APPLY_UNTIL_TOLD = """
    import sys
    from skewless.definitions.repo import Definitions
    from skewless.errors import ConcurrentApply
    from skewless.plan.apply.diff import diff
    from skewless.registry.sqlite import SQLiteRegistry
    from skewless.testing.shop import spend

    path, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
    registry = SQLiteRegistry(path)
    refused = 0
    for number in range(times):
        registry.add_interval("Spend", 1, number * 10, number * 10 + 10)
        registry.set_progress(f"{name}/{number}", number)
        while True:
            state = registry.state()
            tags = state.view("Spend").labels["tags"] | {f"{name}{number}": 1}
            plan = diff(state, Definitions.of(spend(tags=tags)))
            try:
                registry.apply(plan, who=name)
                break
            except ConcurrentApply:
                refused += 1
    print(refused)
"""


def test_two_processes_that_apply_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with SQLiteRegistry(path) as registry:
        applied(registry, spend())
        both = [start(APPLY_UNTIL_TOLD, path, name, 15) for name in ("left", "right")]
        for process in both:
            process.communicate(timeout=120)
        assert [process.returncode for process in both] == [0, 0]
        state = registry.state()
        every = {f"{name}{n}" for name in ("left", "right") for n in range(15)}
        assert set(state.view("Spend").labels["tags"]) == every
        assert state.revision == len(registry.history()) == 31
        assert len(registry.progress()) == 30
        assert registry.intervals("Spend", 1) == [(0, 150)]


APPLY_FOR_EVER = """
    import sys
    from skewless.definitions import FeatureService
    from skewless.definitions.repo import Definitions
    from skewless.plan.apply.diff import diff
    from skewless.registry.sqlite import SQLiteRegistry
    from skewless.testing.shop import fraud, ratio, spend

    registry = SQLiteRegistry(sys.argv[1])
    number = registry.state().revision
    while True:
        number += 1
        view = spend(f"{number}h")
        wanted = Definitions.of(view, ratio(view), fraud(owner=str(number)))
        revision = registry.apply(diff(registry.state(), wanted, repin=True), allow_breaking=True)
        print(revision, flush=True)
"""


def test_a_kill_in_the_middle_of_an_apply_leaves_the_old_or_the_new(
    tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "registry.db"
    for attempt in range(6):
        process = start(APPLY_FOR_EVER, path)
        assert process.stdout is not None
        acknowledged = int(process.stdout.readline())
        moment = time.perf_counter() + ((seed + attempt * 7919) % 997) / 997 * 0.05
        while time.perf_counter() < moment:
            pass
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        # The last line may be cut short.
        acknowledged = max([acknowledged, *map(int, rest.split("\n")[:-1])])
        with SQLiteRegistry(path) as registry:
            state = registry.state()
            assert acknowledged <= state.revision <= acknowledged + 1
            number = state.revision
            assert state.services["fraud"].labels["owner"] == str(number)
            assert state.view("Spend").fingerprint == spend(f"{number}h").fingerprint
            version = state.current["Spend"]
            assert version == state.current["Payment"] == number
            assert state.pins["fraud"] == (
                f"Spend@v{version}:mean",
                f"Payment@v{version}:ratio",
            )
            assert state.view("Payment").refs[0].reference == f"Spend@v{version}:mean"
            assert len(registry.history()) == number


def test_a_reader_is_not_held_up_by_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with SQLiteRegistry(path) as registry, SQLiteRegistry(path) as other:
        applied(registry, spend())
        with other._writing() as run:
            run("UPDATE projects SET revision = 7")
            other._seal(run)
            assert registry.state().revision == 1
        assert registry.state(if_newer_than=1) is not None


def test_a_plan_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        plan = diff(registry.state(), Definitions.of(spend()))
        plan.writes[-1].body["view"]["labels"] = object()
        with pytest.raises(TypeError, match="not plain data"):
            registry.apply(plan)
        assert registry.state().records == ()
