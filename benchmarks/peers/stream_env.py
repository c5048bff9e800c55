"""Stream libraries in an environment of their own."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness import CACHE
from benchmarks.peers.environment import python_with

REQUIREMENTS = ("bytewax==0.21.1", "river==0.26.1")
HOME = CACHE / ("-".join(REQUIREMENTS).replace("==", "-"))


def stream_python(install: bool) -> Callable[[], str]:
    """Return what finds (and, if allowed, makes) the interpreter that has them."""
    return python_with(HOME, REQUIREMENTS, install)
