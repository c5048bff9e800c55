"""Every kernel test runs on both implementations, unless it compares them itself."""

from __future__ import annotations

from types import ModuleType

import pytest

from skewless.aggregations import kernels
from skewless.aggregations.kernels import numpy_kernels


@pytest.fixture
def compiled_kernels() -> ModuleType:
    """The compiled kernels; where they are missing that is reported as a skip."""
    name = "skewless.aggregations.kernels.compiled_kernels"
    reason = "the compiled kernels are not built"
    module: ModuleType = pytest.importorskip(name, reason=reason, exc_type=ImportError)
    return module


@pytest.fixture(params=["numpy", "compiled"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the dispatcher use one implementation."""
    compiled = request.param == "compiled"
    implementation = request.getfixturevalue("compiled_kernels") if compiled else numpy_kernels
    monkeypatch.setattr(kernels.dispatch, "chosen", implementation)
    monkeypatch.setattr(kernels, "window_summary", kernels.dispatch.chosen.window_summary)
    return str(request.param)
