"""The command: it says where it listens, answers there, and says why it cannot."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from skewless.clock import iso
from skewless.errors import ConfigError
from skewless.ui.server import serve
from tests.ui.repo import MINUTE, NOON, filled


def test_the_command_shows_a_repo_as_of_a_moment_and_ends_when_told(tmp_path: Path) -> None:
    fs, _ = filled(tmp_path)
    fs.close()
    at = iso(NOON + MINUTE)
    words = ["ui", "--repo", str(tmp_path), "--port", "0", "--at", at]
    command = [sys.executable, "-m", "skewless.cli.main", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            with urlopen(f"{address}/?format=json", timeout=60) as answer:
                found = json.load(answer)
            assert (found["at"], found["counts"]["views"]) == (at, 3)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) in {0, -signal.SIGTERM}


def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    fs, _ = filled(tmp_path)
    fs.close()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot listen there"):
            serve(str(tmp_path), host="127.0.0.1", port=taken.getsockname()[1], at=None)
