"""Servers that tests start and that come as no Python package: fetched once, checked, kept.

    python -m skewless.testing.servers list
    python -m skewless.testing.servers install kafka cassandra

They lie outside of any repo, in ``~/.cache/skewless`` (or ``$XDG_CACHE_HOME/skewless``). Each is
named by its version and by a checksum of all that came: whatever else arrives is not kept. What
fetches them are the ordinary clients, Maven, npm and Go, with the settings they have here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FETCH_SECONDS = 1_200
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


@dataclass(frozen=True)
class Download:
    """Something to fetch.

    Attributes:
        what: coordinates with the version, in the form its registry has.
        checksum: of all that comes.
        needs: programs that fetch and run it.
    """

    what: str
    checksum: str
    needs: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it lies once it was fetched."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = re.sub("[^A-Za-z0-9._]+", "-", self.what)
        return cache / "skewless" / f"{name}-{re.sub('[^A-Za-z0-9]', '', self.checksum)[-8:]}"

    @property
    def is_here(self) -> bool:
        """Whether it was fetched."""
        return self.folder.exists()

    def missing(self) -> list[str]:
        """Return the programs that it needs and that are not installed."""
        return [name for name in self.needs if shutil.which(name) is None]

    def fetch(self) -> Path:
        """Fetch it unless it is here; return its folder.

        Raises:
            RuntimeError: a program is missing or failed, or what came is not what is pinned.
        """
        if self.is_here:
            return self.folder
        if missing := self.missing():
            raise RuntimeError(f"{self.what} needs {', '.join(missing)}, not installed here")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as scratch:
            made, found = self._get(Path(scratch))
            if found != self.checksum:
                raise RuntimeError(f"{self.what} came as {found}, expected {self.checksum}")
            try:  # whole or not at all, should another process do the same
                made.rename(self.folder)
            except OSError:
                if not self.is_here:
                    raise
        return self.folder

    @abstractmethod
    def _get(self, scratch: Path) -> tuple[Path, str]:
        """Fetch it into a folder inside ``scratch``; return that folder and the checksum."""


@dataclass(frozen=True)
class Jars(Download):
    """Artifacts of Maven, with everything they need: a folder to name on Java's class path."""

    needs: tuple[str, ...] = ("mvn", "java")

    def _get(self, scratch: Path) -> tuple[Path, str]:
        dependencies = ""
        for each in self.what.split():
            group, artifact, version = each.split(":")
            tags = {"groupId": group, "artifactId": artifact, "version": version}
            inside = "".join(f"<{tag}>{text}</{tag}>" for tag, text in tags.items())
            dependencies += f"<dependency>{inside}</dependency>"
        own = "<groupId>tests</groupId><artifactId>tests</artifactId><version>1</version>"
        (scratch / "pom.xml").write_text(
            '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
            f"{own}<dependencies>{dependencies}</dependencies></project>"
        )
        jars = scratch / "jars"
        options = [f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
        _run(["mvn", "-q", "-B", _COPY, *options], scratch)
        return jars, _checksum_of(jars)


@dataclass(frozen=True)
class Unpacked(Download):
    """Files inside a package of npm, which is unpacked and not installed.

    Attributes:
        inside: which of its folders or files.
    """

    needs: tuple[str, ...] = ("npm",)
    inside: str = "package/"

    def _get(self, scratch: Path) -> tuple[Path, str]:
        _run(["npm", "pack", "--silent", self.what], scratch)
        (archive,) = scratch.glob("*.tgz")
        with tarfile.open(archive) as package:
            wanted = [member for member in package if member.name.startswith(self.inside)]
            package.extractall(scratch, wanted, filter="data")
        made = scratch / self.inside
        return made if made.is_dir() else made.parent, hashlib.sha256(
            archive.read_bytes()
        ).hexdigest()


@dataclass(frozen=True)
class Built(Download):
    """A command of a Go module, compiled here. Go's own checksum of the module is compared.

    Attributes:
        command: its folder in the module.
        version_file: where the module wants its version written down.
    """

    needs: tuple[str, ...] = ("go",)
    command: str = ""
    version_file: str = ""

    def _get(self, scratch: Path) -> tuple[Path, str]:
        told = json.loads(_run(["go", "mod", "download", "-json", self.what], scratch))
        source, made = scratch / "source", scratch / "bin"
        shutil.copytree(told["Dir"], source, copy_function=shutil.copyfile)
        for folder, _, _ in os.walk(source):
            Path(folder).chmod(0o755)  # Go keeps what it downloaded read-only
        (source / self.version_file).write_text(self.what.partition("@")[2])
        build = ["go", "build", "-o", f"{made}/", f"./{self.command}"]
        _run(build, source, {"CGO_ENABLED": "0"})
        return made, str(told["Sum"])


DOWNLOADS: dict[str, Download] = {
    "dynamodb": Unpacked(
        "amplify-dynamodb-simulator@2.9.30",
        "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9",
        needs=("npm", "java"),
        inside="package/emulator/",
    ),
    "axe-core": Unpacked(
        "axe-core@4.14.1",
        "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
        inside="package/axe.min.js",
    ),
    "cassandra": Jars(
        "org.apache.cassandra:cassandra-all:5.0.5",
        "b0e9d980fec64fc695cac3aa05aea0df473335de97a0a1b1283167d0d78ee052",
    ),
    "flink-kafka": Jars(
        "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2",
        "b005475fdef13adfb122e0f4225a2626283b1f52bfa97484375f1445d713f348",
    ),
    "ferretdb": Built(
        "github.com/FerretDB/FerretDB@v1.24.2",
        "h1:trrUU0LbmusMbyubhPS1IELncvrIwKrsRT2LW1UUWCw=",
        command="cmd/ferretdb",
        version_file="build/version/version.txt",
    ),
    "kafka": Jars(
        "org.apache.kafka:kafka_2.13:4.1.0 org.slf4j:slf4j-simple:1.7.36",
        "defd8523665b9074bf5486e51fe91862ce7d7b704147ee109ec8d845548c7da9",
    ),
}


def _run(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=FETCH_SECONDS,
        check=False,
    )
    if done.returncode:
        told = (done.stdout + done.stderr)[-2000:]
        raise RuntimeError(f"{' '.join(command)} failed:\n{told}")
    return done.stdout


def _checksum_of(folder: Path) -> str:
    """Return one checksum of the names and contents of all files."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def main(words: Sequence[str]) -> int:
    """List what can be fetched, or fetch it; return how many could not be had."""
    match words:
        case ["list"]:
            for name, each in DOWNLOADS.items():
                lacks = ", ".join(each.missing())
                state = "here" if each.is_here else f"needs {lacks}" if lacks else "can be had"
                sys.stdout.write(f"{name:12} {each.what:60} {state}\n")
            return 0
        case ["install", "all"]:
            return sum(not _installed(name) for name in DOWNLOADS)
        case ["install", *names] if names and DOWNLOADS.keys() >= set(names):
            return sum(not _installed(name) for name in names)
    sys.stderr.write(f"usage: servers list | install all|NAME...\nnames: {', '.join(DOWNLOADS)}\n")
    return 2


def _installed(name: str) -> bool:
    try:
        sys.stdout.write(f"{name}: {DOWNLOADS[name].fetch()}\n")
    except (RuntimeError, subprocess.TimeoutExpired) as problem:
        sys.stderr.write(f"{name} could not be had: {problem}\n")
        return False
    return True
