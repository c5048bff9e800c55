"""Options and fixtures of every test: hypothesis' profile, the seed, tests that need a server.

Where a run is judged (CI), a test that ends with a connection lost, a server that does not answer
or a time-out is run once more, and the summary names it (RERUN): it is to be looked into. A test
that finds a wrong value is never run again.

pytest --note-missing=FILE     write there, one a line, the tests skipped for lack of a server
HYPOTHESIS_PROFILE=ci pytest   100 examples for a property instead of 50; the default under CI
SEED=42 pytest                 the `seed` fixture; the header prints the one of this run
TMPDIR=/tmp pytest             temporary files there, not in memory
"""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The suites that ship in skewless.testing assert like tests do.
pytest.register_assert_rewrite("skewless.testing")

settings.register_profile("dev", max_examples=50, deadline=None)
# The same examples in every run of CI, so that it judges the change and not the dice; everywhere
# else new ones are tried, and more of them with HYPOTHESIS_PROFILE=thorough.
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.register_profile(
    "ci",
    max_examples=100,
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


MEMORY, ROOM = Path("/dev/shm"), 4 << 30
"""A file system in memory, and the bytes that are to be free there."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--note-missing",
        type=Path,
        metavar="FILE",
        help="write there the tests that were skipped for lack of a server (make test-servers)",
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(_profile())
    _keep_files_in_memory()
    # In the environment, so that the workers of pytest-xdist share it.
    dice = 1 if _profile() == "ci" else secrets.randbelow(2**32)
    os.environ.setdefault("SEED", str(dice))


_OF_THE_MACHINE = [
    r"^\w*(StoreUnavailable|Connection\w*|Timeout\w*|TimedOut|RemoteDisconnected)\b",
    r"^(BrokenPipeError|IncompleteRead|(Read|Write|Connect)Error)\b",
    r"^RuntimeError: .+ did not (start|stop)",
]
"""What a busy machine does to sockets and servers: how such an error begins."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if named := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"an id that differs by process; give ids=: {named[0]}")
    if _profile() == "ci" and config.pluginmanager.hasplugin("rerunfailures"):
        again = pytest.mark.flaky(
            reruns=1, only_rerun=_OF_THE_MACHINE, rerun_except="AssertionError"
        )
        for item in items:
            item.add_marker(again)


def _keep_files_in_memory() -> None:
    """Have temporary files in memory where there is room: no test asks whether a disk keeps them.

    A third of what many tests take is the disk's, for each commit of each store.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    runs_programs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if runs_programs and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["TMPDIR"], tempfile.tempdir = str(MEMORY), None


_skipped_for_want_of_a_server: dict[str, None] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    from skewless.testing.servers import MISSING

    if report.skipped and isinstance(report.longrepr, tuple) and MISSING in report.longrepr[2]:
        _skipped_for_want_of_a_server[report.nodeid] = None


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Under pytest-xdist every report reaches the controller; a worker has only its own.
    noted = session.config.getoption("--note-missing")
    if noted is not None and not hasattr(session.config, "workerinput"):
        noted.parent.mkdir(parents=True, exist_ok=True)
        noted.write_text("".join(f"{test}\n" for test in _skipped_for_want_of_a_server))


def pytest_report_header(config: pytest.Config) -> str:
    seed = os.environ["SEED"]
    return f"skewless: hypothesis profile {_profile()}; SEED={seed} repeats this run"


@pytest.fixture(scope="session")
def seed() -> int:
    """Seed for generated data; printed in the header of the run."""
    return int(os.environ["SEED"])


def _profile() -> str:
    return os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
