"""Modules in C are used where they are there, and where they are wanted."""

import sys

import pytest

from skewless.compiled import compiled

SEALING = "skewless.stores.online._sealing"


def test_a_module_that_is_not_there_is_none():
    assert compiled("skewless.stores.online._no_such_module") is None


def test_a_module_that_is_there_is_given():
    module = pytest.importorskip(SEALING)
    assert compiled(SEALING) is module
    assert sys.modules[SEALING] is module


def test_numpy_kernels_mean_no_module(monkeypatch):
    monkeypatch.setenv("SKEWLESS_KERNELS", "numpy")
    assert compiled(SEALING) is None
