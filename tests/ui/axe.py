"""axe-core, which finds what people with other senses cannot use: where it is kept, how it gets there.

    python -m tests.ui.axe        # once, 3 MB; needs npm

It comes inside an npm package (MPL-2.0), which is unpacked and not installed; nothing of it ships.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "axe-core@4.14.1"
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"


def script() -> Path:
    """The script to run in a page, if it has been fetched."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "skewless" / PACKAGE.replace("@", "-") / "axe.min.js"


def fetch() -> Path:
    """Fetch it unless it is there; RuntimeError if npm got something else."""
    place = script()
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=scratch, check=True)
        (archive,) = Path(scratch).glob("*.tgz")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SHA256:
            raise RuntimeError(f"{PACKAGE} has the SHA-256 {found}, expected {SHA256}")
        with tarfile.open(archive) as package:
            member = package.extractfile("package/axe.min.js")
            assert member is not None
            half = Path(scratch) / "axe.min.js"
            half.write_bytes(member.read())
        half.rename(place)
    return place


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
