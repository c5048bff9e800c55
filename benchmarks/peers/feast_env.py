"""Feast in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness import CACHE
from benchmarks.peers.environment import python_with

VERSION = "0.67.0"
REQUIREMENT = f"feast[duckdb,redis]=={VERSION}"
HOME = CACHE / f"feast-{VERSION}"


def feast_python(install: bool) -> Callable[[], str]:
    """Return what finds (and, if allowed, makes) the interpreter that has Feast."""
    return python_with(HOME, [REQUIREMENT], install)
