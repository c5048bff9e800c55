"""Every kernel test runs on both implementations, unless it compares them itself."""

from __future__ import annotations

import pytest

from skewless.aggregations import kernels
from skewless.aggregations.kernels import numpy_kernels


@pytest.fixture(params=["numpy", "compiled"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the dispatcher use one implementation; a missing extension is reported as a skip."""
    if request.param == "compiled":
        reason = "the compiled kernels are not built"
        compiled = pytest.importorskip(
            "skewless.aggregations.kernels.compiled_kernels", reason=reason
        )
        monkeypatch.setattr(kernels, "chosen", compiled)
    else:
        monkeypatch.setattr(kernels, "chosen", numpy_kernels)
    monkeypatch.setattr(kernels, "window_summary", kernels.chosen.window_summary)
    return str(request.param)
