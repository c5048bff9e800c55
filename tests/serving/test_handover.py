"""What the processes of a server are told of its settings."""

from pathlib import Path

import pytest

from skewless.config import Config
from skewless.serving.handover import handed, taken

WRITTEN = """
rewind = "7m"
[online]
kind = "redis"
url = "redis://:${CACHE_PASSWORD}@cache:6379/0"
[registry]
path = "here/registry.db"
"""


@pytest.mark.parametrize("name", ["skewless.toml", "production.toml"])
def test_settings_are_those_that_were_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CACHE_PASSWORD", "hush")
    (tmp_path / name).write_text(WRITTEN)
    config = Config.read(tmp_path / name)
    line = handed(config)
    (tmp_path / name).write_text("no TOML")
    monkeypatch.chdir("/")
    found = taken(line)
    assert found == config
    assert (found.file, found.registry["path"]) == (
        tmp_path / name, str(tmp_path / "here" / "registry.db"),
    )  # fmt: skip
    assert "hush" not in repr(config)
    assert b"hush" not in line


def test_a_repo_without_a_file_is_handed_over_too(tmp_path: Path) -> None:
    config = Config.read(tmp_path)
    assert taken(handed(config)) == config


def test_a_process_without_a_server_is_told_nothing() -> None:
    with pytest.raises(EOFError):
        taken(b"")
