"""axe-core, which finds what people with other senses cannot use: where it is kept, how it gets there.

    python -m tests.ui.axe        # once, 3 MB; needs npm

It comes inside an npm package (MPL-2.0), which is unpacked and not installed; nothing of it ships.
"""

import sys
from pathlib import Path

from skewless.testing import npm

PACKAGE = "axe-core@4.14.1"
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"


def script() -> Path:
    """The script to run in a page, if it has been fetched."""
    return npm.cache() / PACKAGE.replace("@", "-") / "axe.min.js"


def fetch() -> Path:
    """Fetch it unless it is there; for errors see `npm.fetch`."""
    return npm.fetch(PACKAGE, SHA256, "package/axe.min.js", script())


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
