"""``skewless version``: the versions in use."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from skewless.cli.options import command
from skewless.cli.output import emit, say, table
from skewless.version import __version__

LIBRARIES = ("numpy", "pyarrow", "lmdb", "msgspec", "click", "tqdm")


@command("version", repo=False, example="skewless version --json")
def version_command(as_json: bool) -> None:
    """Print the versions in use."""
    found = versions()
    if as_json:
        emit(found)
    else:
        say(table(["what", "version"], list(found.items())))


def versions() -> dict[str, str | None]:
    """Return name to version of skewless, Python and the libraries; None: not installed."""
    found: dict[str, str | None] = {"skewless": __version__}
    found["python"] = platform.python_version()
    return found | {name: installed(name) for name in LIBRARIES}


def installed(library: str) -> str | None:
    """Return the version of an installed library, without importing it."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None
