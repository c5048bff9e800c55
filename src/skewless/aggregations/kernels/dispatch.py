"""Which implementation of the kernels runs: the C extension, or NumPy with the same bits."""

from __future__ import annotations

import os

from skewless.aggregations.kernels import numpy_kernels
from skewless.aggregations.kernels.protocol import Kernels


def _choose() -> Kernels:
    if os.environ.get("SKEWLESS_KERNELS") == "numpy":
        return numpy_kernels
    try:
        from skewless.aggregations.kernels import compiled_kernels
    except ImportError:
        return numpy_kernels
    return compiled_kernels


chosen: Kernels = _choose()
implementation = "numpy" if chosen is numpy_kernels else "compiled"
