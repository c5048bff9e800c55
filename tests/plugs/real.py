"""Tests of plugs run against the tools themselves, each in an environment of its own.

``make test-plugs ARGS=mlflow`` makes the environment and sets SKEWLESS_PLUG: there a tool that is
missing is a failure. Elsewhere it is a skip that says how to run the tests.
"""

import importlib
import os

import pytest


def needs(module: str, plug: str | None = None):
    """Return an imported tool; skip the module's tests where another environment has it."""
    name = plug or module
    if os.environ.get("SKEWLESS_PLUG") == name:
        return importlib.import_module(module)
    return pytest.importorskip(
        module, reason=f"{module} is not installed: make test-plugs ARGS={name}"
    )
