"""What is fetched is what is pinned, comes once, and says what it lacks."""

import os
import stat
from pathlib import Path

import pytest

from skewless.testing import downloads
from skewless.testing.downloads import Jars

CHECKSUM = "28de3c0b6cb19562f7b6b0f2d5a4c0dfa0a56a2f0e6f0d5e2d1a0b7a1a0b0c0d"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a folder of programs that is all there is, but for those of the system."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin")
    return folder


def program(folder: Path, name: str, script: str = "") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def maven(folder: Path) -> None:
    """What Maven does as far as it is asked here: copy jars; it notes that it ran."""
    program(
        folder,
        "mvn",
        f'echo ran >> {folder}/runs; for each in "$@"; do case $each in -DoutputDirectory=*) '
        'mkdir -p "${each#*=}"; echo jar > "${each#*=}/some.jar";; esac; done',
    )
    program(folder, "java")


def test_a_program_that_is_missing_is_named(programs: Path) -> None:
    program(programs, "java")
    wanted = Jars("group:artifact:1", CHECKSUM, needs=("mvn-of-nobody", "java"))
    assert wanted.missing() == ["mvn-of-nobody"]
    with pytest.raises(RuntimeError, match="group:artifact:1 needs mvn-of-nobody"):
        wanted.fetch()


def test_what_is_not_what_is_pinned_is_not_kept(programs: Path) -> None:
    maven(programs)
    wanted = Jars("group:artifact:1", CHECKSUM)
    with pytest.raises(RuntimeError, match=f"expected {CHECKSUM}") as caught:
        wanted.fetch()
    assert not wanted.is_here
    right = Jars("group:artifact:1", str(caught.value).split(" came as ")[1].split(",")[0])
    assert (right.fetch() / "some.jar").read_text() == "jar\n"
    assert right.fetch() == right.folder
    assert len((programs / "runs").read_text().splitlines()) == 2


def test_a_program_that_fails_says_why(programs: Path) -> None:
    program(programs, "java")
    program(programs, "mvn", "echo no such artifact; exit 1")
    with pytest.raises(RuntimeError, match="no such artifact"):
        Jars("group:artifact:1", CHECKSUM).fetch()


def test_the_command_lists_and_installs_and_says_what_could_not_be_had(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    maven(programs)
    monkeypatch.setattr(downloads, "DOWNLOADS", {"some": Jars("group:artifact:1", CHECKSUM)})
    assert downloads.main(["list"]) == 0
    assert "can be had" in capsys.readouterr().out
    assert downloads.main(["install", "all"]) == 1
    assert "some could not be had" in capsys.readouterr().err
    assert downloads.main(["install", "nobody"]) == 2
    assert "names: some" in capsys.readouterr().err


def test_every_download_is_pinned() -> None:
    for each in downloads.DOWNLOADS.values():
        assert each.checksum
        assert any(letter.isdigit() for letter in each.what)
