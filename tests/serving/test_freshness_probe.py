"""The process that finds out how fresh views are: it fails, it hangs, its server stops."""

import subprocess
import threading

import pytest

from skewless.serving.app import App
from skewless.serving.operate import freshness_probe
from tests.serving.calling import PATIENCE, wait_for

Popen = subprocess.Popen


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Those that were started, each of which hangs."""
    found = []

    def started(words: list[str], **options: object) -> subprocess.Popen[bytes]:
        found.append(Popen(["sleep", "600"], **options))
        return found[-1]

    monkeypatch.setattr(freshness_probe.subprocess, "Popen", started)
    return found


@pytest.mark.parametrize("late", [False, True], ids=["running", "about to run"])
def test_a_server_that_stops_does_not_complain_that_freshness_is_unknown(
    app: App, processes: list[object], capfd: pytest.CaptureFixture[str], late: bool
) -> None:
    ages = app.upkeep._ages
    looking = threading.Thread(target=app.upkeep.look_at_freshness)
    if late:
        ages.stop()
    looking.start()
    wait_for(lambda: processes, "the process")
    ages.stop()
    looking.join(PATIENCE)
    assert not looking.is_alive()
    assert "freshness" not in capfd.readouterr().err


def test_a_process_that_takes_too_long_is_ended(
    app: App,
    processes: list[subprocess.Popen[bytes]],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freshness_probe, "_PATIENCE", 0.01)
    app.upkeep.look_at_freshness()
    assert processes[0].poll() is not None
    assert "timed out" in capfd.readouterr().err


def test_why_freshness_is_unknown_is_what_the_process_said_last(
    app: App, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(words: list[str], **options: object) -> subprocess.Popen[bytes]:
        said = "echo Traceback >&2; echo ConfigError: no such store >&2; exit 1"
        return Popen(["sh", "-c", said], **options)

    monkeypatch.setattr(freshness_probe.subprocess, "Popen", failing)
    app.upkeep.look_at_freshness()
    said = capfd.readouterr().err
    assert "is not known" in said
    assert "ConfigError: no such store" in said
    assert "Traceback" not in said
